//! Processes as a tree: who hangs below whom, which rows are visible, and every subtree's sums.
//!
//! Parents are what hosts claim, so this holds for any claim: an unknown parent, a parent younger than its child (the
//! pid was used again) and circles all make roots. Nothing here recurses.

use std::collections::HashMap;

use super::{
    ProcessFacts,
    facts::{SortKey, Sums},
    query::ProcessQuery,
};

/// A row of the tree starts collapsed when it has more children than this, unless it is a root: they would fill
/// several screens, and few are of interest.
const MANY_CHILDREN: usize = 100;
/// Rows at this level start collapsed: a reader seldom needs more than seven levels.
const DEEP_LEVEL: usize = 8;

/// A visible row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TreeRow {
    /// The process, by its place in the snapshot.
    pub index: usize,
    /// 1 for roots.
    pub level: usize,
    /// Siblings, with itself.
    pub set_size: usize,
    /// Its number among them, from 1.
    pub position: usize,
    /// Whether it is expanded; `None` without children.
    pub expanded: Option<bool>,
    /// Whether it is only there to show where matching rows hang.
    pub dim: bool,
    /// The sums of the processes below it, without itself, and of its ended children.
    pub below: Sums,
}

/// The visible rows, at most as many as requested.
#[derive(Debug, Default)]
pub(super) struct TreeRows {
    /// The rows, from the top.
    pub rows: Vec<TreeRow>,
    /// Rows that would be visible with more room.
    pub cut_off: usize,
    /// Processes that match the filter.
    pub matching: usize,
}

/// The children of each process.
struct Forest {
    roots: Vec<usize>,
    children: Vec<Vec<usize>>,
    /// Every process, each after its parent.
    from_the_top: Vec<usize>,
    parents: Vec<Option<usize>>,
}

/// Arranges the processes as `query` says; `matches` tells of each whether the filter lets it through.
pub(super) fn arrange(processes: &[ProcessFacts<'_>], matches: &[bool], query: &ProcessQuery) -> TreeRows {
    let mut forest = Forest::plant(processes);
    let subtree = forest.sums(processes);
    let holds_match = forest.holds_match(matches);
    forest.sort(processes, &subtree, query);
    let mut rows =
        TreeRows { matching: matches.iter().filter(|matches| **matches).count(), ..TreeRows::default() };
    let visible = |siblings: &[usize]| -> Vec<usize> {
        siblings.iter().copied().filter(|&index| holds_match[index]).collect()
    };
    let mut waiting: Vec<(usize, usize, usize, usize)> = Vec::new();
    push_siblings(&mut waiting, &visible(&forest.roots), 1);
    while let Some((index, level, set_size, position)) = waiting.pop() {
        let children = visible(&forest.children[index]);
        let expanded = (!children.is_empty()).then(|| {
            let pid = processes[index].process.pid;
            query.open.contains(&pid)
                || !query.closed.contains(&pid)
                    && (!query.q.text.is_empty() || starts_expanded(level, children.len(), &subtree[index]))
        });
        if expanded == Some(true) {
            push_siblings(&mut waiting, &children, level + 1);
        }
        if rows.rows.len() >= query.rows.get() {
            rows.cut_off += 1;
            continue;
        }
        let below = forest.below(index, processes, &subtree);
        let dim = !matches[index];
        rows.rows.push(TreeRow { index, level, set_size, position, expanded, dim, below });
    }
    rows
}

/// Whether a row starts expanded. A subtree that uses no memory at all is the kernel's own threads.
fn starts_expanded(level: usize, children: usize, subtree: &Sums) -> bool {
    let kernel = subtree.number(super::Column::Memory).unwrap_or_default() == 0.0;
    !kernel && level < DEEP_LEVEL && (level == 1 || children <= MANY_CHILDREN)
}

/// The last first, because the pile is taken from its top.
fn push_siblings(waiting: &mut Vec<(usize, usize, usize, usize)>, siblings: &[usize], level: usize) {
    let numbered = siblings.iter().enumerate().rev();
    waiting.extend(numbered.map(|(number, &index)| (index, level, siblings.len(), number + 1)));
}

impl Forest {
    fn plant(processes: &[ProcessFacts<'_>]) -> Self {
        let by_pid: HashMap<u32, usize> =
            processes.iter().enumerate().map(|(index, facts)| (facts.process.pid, index)).collect();
        let parent_of = |index: usize| -> Option<usize> {
            let process = processes[index].process;
            let parent = *by_pid.get(&process.parent_pid?)?;
            let older = processes[parent].process.started_at_us <= process.started_at_us;
            (parent != index && older).then_some(parent)
        };
        let mut parents: Vec<Option<usize>> = (0..processes.len()).map(parent_of).collect();
        let mut children: Vec<Vec<usize>> = vec![Vec::new(); processes.len()];
        for (index, parent) in parents.iter().enumerate() {
            if let Some(parent) = *parent {
                children[parent].push(index);
            }
        }
        let mut forest = Self { roots: Vec::new(), children, from_the_top: Vec::new(), parents: Vec::new() };
        let mut reached = vec![false; processes.len()];
        for index in (0..processes.len()).filter(|&index| parents[index].is_none()) {
            forest.reach(index, &mut reached);
        }
        // The rest is in circles (all started at the same moment): each circle is cut open at its first.
        for index in 0..processes.len() {
            if !reached[index] {
                if let Some(parent) = parents[index].take() {
                    forest.children[parent].retain(|&child| child != index);
                }
                forest.reach(index, &mut reached);
            }
        }
        forest.parents = parents;
        forest
    }

    /// Makes `root` a root and walks down from it.
    fn reach(&mut self, root: usize, reached: &mut [bool]) {
        self.roots.push(root);
        let mut waiting = vec![root];
        while let Some(index) = waiting.pop() {
            if !std::mem::replace(&mut reached[index], true) {
                self.from_the_top.push(index);
                waiting.extend(&self.children[index]);
            }
        }
    }

    /// The sums of every process with all below it.
    fn sums(&self, processes: &[ProcessFacts<'_>]) -> Vec<Sums> {
        let mut sums: Vec<Sums> = processes.iter().map(Sums::of).collect();
        for &index in self.from_the_top.iter().rev() {
            if let Some(parent) = self.parents[index] {
                let below = sums[index];
                sums[parent].add(&below);
            }
        }
        sums
    }

    /// The sums of the processes below one, without itself, and of its ended children.
    fn below(&self, index: usize, processes: &[ProcessFacts<'_>], subtree: &[Sums]) -> Sums {
        let mut below = Sums::default();
        for &child in &self.children[index] {
            below.add(&subtree[child]);
        }
        below.add_ended_children(&processes[index]);
        below
    }

    /// Whether each process or one below it matches.
    fn holds_match(&self, matches: &[bool]) -> Vec<bool> {
        let mut holds = matches.to_vec();
        for &index in self.from_the_top.iter().rev() {
            if let Some(parent) = self.parents[index].filter(|_| holds[index]) {
                holds[parent] = true;
            }
        }
        holds
    }

    /// Sorts siblings, by their subtrees' sums where values add up; the pid decides between equals.
    fn sort(&mut self, processes: &[ProcessFacts<'_>], subtree: &[Sums], query: &ProcessQuery) {
        let keys: Vec<SortKey<'_>> = (0..processes.len())
            .map(|index| match query.order.column.adds_up() {
                true => subtree[index].number(query.order.column).into(),
                false => processes[index].sort_key(query.order.column),
            })
            .collect();
        let order = |a: &usize, b: &usize| {
            let by_key = keys[*a].compare(&keys[*b], query.order.descending);
            by_key.then_with(|| processes[*a].process.pid.cmp(&processes[*b].process.pid))
        };
        self.roots.sort_unstable_by(order);
        for children in &mut self.children {
            children.sort_unstable_by(order);
        }
    }
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
