//! CPU time of children that ended: each millisecond once.
//!
//! The kernel adds the CPU time of a child that ended, and of the children that it had waited for itself, to the parent
//! that waits for it. The rows of that child have shown a part of it already, up to its last sample. What is left is what
//! nobody has seen, and grows the parent's counter. So over all processes, the growth of CPU time and of these counters
//! is the machine's, but for children whom nobody waited for.
//!
//! Let `seen` of a process be its CPU time and its children's at its last sample. Once it is gone, `seen` has to be taken
//! off what some ancestor gained since: the nearest one that is left, or, as far as that has not gained as much, one further
//! up, whose child it became when its parent ended. Three things are not so simple:
//! * A pass is no moment. A parent may be read before it waits for a child that is read no more: the gain comes with the
//!   next pass. So what cannot be taken off yet stays due for [`DUE_PASSES`].
//! * A child may be read before its parent and end in between: the gain is there although the child is. So as much as
//!   such children had used is held back until the next pass.
//! * A parent that ignores the end of its children (`SigIgn`) gains nothing, and nothing is taken off.

use std::collections::HashMap;

/// Passes for which something stays due: a parent that does not wait by then hardly ever will.
const DUE_PASSES: u8 = 3;
/// Takes in whom nobody else waits for.
const INIT: u32 = 1;
/// Deepest tree that is looked at; nothing real comes near.
const MOST_ANCESTORS: usize = 256;

/// What a pass knows of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    /// Its pid.
    pub pid: u32,
    /// Its parent's.
    pub parent: Option<u32>,
    /// Whether it was there in the last pass.
    pub is_known: bool,
    /// Whether it started since the last pass.
    pub is_new: bool,
    /// CPU time of its own, in ms.
    pub own_ms: u64,
    /// CPU time of the children that it waited for, in ms, as the system counts.
    pub children_ms: u64,
    /// Whether it ignores the end of its children.
    pub ignores_children: bool,
    /// Whether it has ended itself, and waits for its parent.
    pub is_ended: bool,
}

/// The ended children of all processes.
#[derive(Debug, Default)]
pub(super) struct EndedChildren {
    known: HashMap<u32, Known>,
    due: Vec<Due>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    member: Member,
    /// The counter.
    credited_ms: u64,
    /// Gained, but not credited yet.
    held_ms: u64,
}

/// Something to take off the gain of the first of these that has it.
#[derive(Debug)]
struct Due {
    ms: u64,
    ancestors: Vec<u32>,
    /// While this one, the nearest, has not ended, nobody else can have waited.
    parent: Option<u32>,
    passes_left: u8,
}

impl EndedChildren {
    /// Takes the processes of a pass, in the order in which they were read.
    pub(super) fn pass(&mut self, members: &[Member]) {
        let place: HashMap<u32, usize> =
            members.iter().enumerate().map(|(at, member)| (member.pid, at)).collect();
        let members = &self.with_parents_that_are_left(members, &place);
        let is_left = |pid: &u32| {
            place.get(pid).is_some_and(|at| members.get(*at).is_some_and(|member| member.is_known))
        };
        self.find_dead(&is_left);
        let mut gains: Vec<u64> = members.iter().map(|member| self.gain_of(member)).collect();
        self.settle(members, &place, &mut gains);
        let held = held_back(members, &place, &gains);
        let mut now = HashMap::with_capacity(members.len());
        for ((member, gain), held_ms) in members.iter().zip(gains).zip(held) {
            let before = self.known.get(&member.pid).filter(|_| member.is_known);
            let credited_ms = before.map_or(0, |known| known.credited_ms).saturating_add(gain - held_ms);
            now.insert(member.pid, Known { member: *member, credited_ms, held_ms });
        }
        self.known = now;
    }

    /// A parent that ended after its child was read is replaced by its own.
    fn with_parents_that_are_left(&self, members: &[Member], place: &HashMap<u32, usize>) -> Vec<Member> {
        let left = |member: &Member| {
            let mut parent = member.parent;
            for _ in 0..MOST_ANCESTORS {
                match parent {
                    Some(pid) if !place.contains_key(&pid) => {
                        parent = self.known.get(&pid).map_or(Some(INIT), |known| known.member.parent);
                        if pid == INIT {
                            return None;
                        }
                    }
                    _ => break,
                }
            }
            parent
        };
        members.iter().map(|member| Member { parent: left(member), ..*member }).collect()
    }

    /// The counter of a process of the last pass, in ms.
    pub(super) fn of(&self, pid: u32) -> Option<u64> {
        self.known.get(&pid).map(|known| known.credited_ms)
    }

    /// Everything that those who are gone have shown becomes due.
    fn find_dead(&mut self, is_left: &dyn Fn(&u32) -> bool) {
        self.due.retain_mut(|due| {
            due.passes_left -= 1;
            due.passes_left > 0
        });
        let mut dead: Vec<(usize, Due)> = Vec::new();
        for known in self.known.values().filter(|known| !is_left(&known.member.pid)) {
            let seen = known.member.own_ms.saturating_add(known.member.children_ms);
            let ms = seen.saturating_sub(known.held_ms);
            let ancestors = self.ancestors(known.member.pid);
            let parent = ancestors.first().and_then(|parent| self.known.get(parent));
            let is_lost =
                parent.is_some_and(|parent| parent.member.ignores_children && is_left(&parent.member.pid));
            if ms > 0 && !is_lost {
                let depth = ancestors.len();
                let parent = known.member.parent.filter(|parent| ancestors.first() == Some(parent));
                let ancestors = ancestors.into_iter().filter(is_left).collect();
                dead.push((depth, Due { ms, ancestors, parent, passes_left: DUE_PASSES }));
            }
        }
        // Those deep in the tree first: they have the fewest to choose from that others do not have.
        dead.sort_by_key(|(depth, due)| (std::cmp::Reverse(*depth), due.ms));
        self.due.extend(dead.into_iter().map(|(_, due)| due));
    }

    fn ancestors(&self, pid: u32) -> Vec<u32> {
        let mut ancestors = Vec::new();
        let mut at = pid;
        while let Some(parent) = self.known.get(&at).and_then(|known| known.member.parent) {
            if ancestors.len() == MOST_ANCESTORS || parent == pid || !self.known.contains_key(&parent) {
                break;
            }
            ancestors.push(parent);
            at = parent;
        }
        ancestors
    }

    /// What a process has gained since it was credited last.
    fn gain_of(&self, member: &Member) -> u64 {
        match self.known.get(&member.pid).filter(|_| member.is_known) {
            Some(known) => {
                let grown = member.children_ms.saturating_sub(known.member.children_ms);
                known.held_ms.saturating_add(grown)
            }
            None if member.is_new => member.children_ms,
            // What it had gained before it was first seen belongs to no time that is known.
            None => 0,
        }
    }

    fn settle(&mut self, members: &[Member], place: &HashMap<u32, usize>, gains: &mut [u64]) {
        let left =
            |pid: &u32| place.get(pid).and_then(|at| members.get(*at)).filter(|member| member.is_known);
        for due in &mut self.due {
            due.ancestors.retain(|pid| left(pid).is_some());
            due.parent = due.parent.filter(|parent| left(parent).is_some_and(|member| !member.is_ended));
        }
        // First those who can have one waiter only. Then the nearest of each: further up is perhaps what others need.
        let (certain, mut others): (Vec<&mut Due>, Vec<&mut Due>) =
            self.due.iter_mut().partition(|due| due.parent.is_some());
        let furthest = others.iter().map(|due| due.ancestors.len()).max().unwrap_or_default();
        let mut take = |distance: usize, due: &mut Due| {
            let gain = due.ancestors.get(distance).and_then(|pid| place.get(pid));
            if let Some(gain) = gain.and_then(|at| gains.get_mut(*at)) {
                let taken = due.ms.min(*gain);
                *gain -= taken;
                due.ms -= taken;
            }
        };
        certain.into_iter().for_each(|due| take(0, due));
        for distance in 0..furthest {
            others.iter_mut().for_each(|due| take(distance, due));
        }
        self.due.retain(|due| due.ms > 0);
    }
}

/// How much of each gain may be of a child that is among the members, because the child was read first.
fn held_back(members: &[Member], place: &HashMap<u32, usize>, gains: &[u64]) -> Vec<u64> {
    let mut held = vec![0_u64; members.len()];
    let is_before_its_parent = |(at, member): (usize, &Member)| {
        member.parent.and_then(|parent| place.get(&parent)).is_some_and(|parent| *parent > at)
    };
    // Pids grow, and are read in their order: only after all have been given once is there such a child.
    if !members.iter().enumerate().any(is_before_its_parent) {
        return held;
    }
    for (at, member) in members.iter().enumerate() {
        let mut parent = member.parent;
        for _ in 0..MOST_ANCESTORS {
            let Some(&parent_at) = parent.and_then(|parent| place.get(&parent)) else { break };
            if parent_at > at {
                held[parent_at] =
                    held[parent_at].saturating_add(member.own_ms.saturating_add(member.children_ms));
            }
            parent = members[parent_at].parent;
        }
    }
    held.iter().zip(gains).map(|(held, gain)| *held.min(gain)).collect()
}

#[cfg(test)]
#[path = "children_tests.rs"]
mod tests;
