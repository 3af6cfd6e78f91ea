//! Random trees of lives on a simulated kernel, sampled at random moments.

use proptest::prelude::*;

use super::*;

/// A process of the simulated kernel.
#[derive(Debug, Clone)]
struct Life {
    parent: u32,
    own_ms: u64,
    children_ms: u64,
    is_zombie: bool,
    ignores_children: bool,
}

/// A kernel that knows what a kernel does: fork, run, exit, wait, and orphans that become init's children.
#[derive(Debug)]
struct Kernel {
    lives: HashMap<u32, Life>,
    next_pid: u32,
    most_pids: u32,
    /// All CPU time there ever was, but that of children that nobody waited for.
    used_ms: u64,
}

const INIT: u32 = 1;

impl Kernel {
    fn new(most_pids: u32) -> Self {
        let init =
            Life { parent: 0, own_ms: 70, children_ms: 9000, is_zombie: false, ignores_children: false };
        Self { lives: HashMap::from([(INIT, init)]), next_pid: 2, most_pids, used_ms: 9070 }
    }

    fn running(&self) -> Vec<u32> {
        let mut pids: Vec<u32> =
            self.lives.iter().filter(|(_, life)| !life.is_zombie).map(|(pid, _)| *pid).collect();
        pids.sort_unstable();
        pids
    }

    fn fork(&mut self, parent: u32, ignores_children: bool) {
        if self.lives.len() as u32 + 1 >= self.most_pids {
            return;
        }
        while self.lives.contains_key(&self.next_pid) || self.next_pid < 2 {
            self.next_pid = (self.next_pid + 1) % self.most_pids;
        }
        let life = Life { parent, own_ms: 0, children_ms: 0, is_zombie: false, ignores_children };
        self.lives.insert(self.next_pid, life);
        self.next_pid = (self.next_pid + 1) % self.most_pids;
    }

    fn run(&mut self, pid: u32, ms: u64) {
        self.lives.get_mut(&pid).unwrap().own_ms += ms;
        self.used_ms += ms;
    }

    fn exit(&mut self, pid: u32) {
        if pid == INIT {
            return;
        }
        self.lives.get_mut(&pid).unwrap().is_zombie = true;
        let orphans: Vec<u32> =
            self.lives.iter().filter(|(_, life)| life.parent == pid).map(|(pid, _)| *pid).collect();
        for orphan in orphans {
            self.lives.get_mut(&orphan).unwrap().parent = INIT;
        }
        let parent = self.lives[&pid].parent;
        if self.lives[&parent].ignores_children {
            let life = self.lives.remove(&pid).unwrap();
            self.used_ms -= life.own_ms + life.children_ms;
        }
    }

    /// Waits for every child of `parent` that has ended.
    fn wait(&mut self, parent: u32) {
        let is_over = |life: &Life| life.is_zombie && life.parent == parent;
        let ended: Vec<u32> =
            self.lives.iter().filter(|(_, life)| is_over(life)).map(|(pid, _)| *pid).collect();
        for pid in ended {
            let life = self.lives.remove(&pid).unwrap();
            self.lives.get_mut(&parent).unwrap().children_ms += life.own_ms + life.children_ms;
        }
    }

    fn step(&mut self, action: u8, who: usize, ms: u64) {
        let running = self.running();
        let pid = running[who % running.len()];
        match action % 6 {
            0 | 1 => self.fork(pid, action > 240),
            2 | 3 => self.run(pid, ms),
            4 => self.exit(pid),
            _ => self.wait(pid),
        }
    }
}

/// The agent's side, and a consumer that adds up what rows show.
#[derive(Default)]
struct Observer {
    ended: EndedChildren,
    rows: HashMap<u32, (u64, u64)>,
    /// Which process has a pid: pids are given again.
    births: HashMap<u32, u64>,
    is_started: bool,
    counted_ms: u64,
}

impl Observer {
    fn pass(&mut self, seen: &[(u32, u64, Life)]) {
        let member = |(pid, birth, life): &(u32, u64, Life)| {
            let is_known = self.births.get(pid) == Some(birth);
            Member {
                pid: *pid,
                parent: Some(life.parent).filter(|parent| *parent > 0),
                is_known,
                is_new: !is_known && self.is_started,
                own_ms: life.own_ms,
                children_ms: life.children_ms,
                ignores_children: life.ignores_children,
                is_ended: life.is_zombie,
            }
        };
        let members: Vec<Member> = seen.iter().map(member).collect();
        self.ended.pass(&members);
        let mut rows = HashMap::new();
        for member in members {
            let now = (member.own_ms, self.ended.of(member.pid).unwrap());
            let before = self.rows.get(&member.pid).copied().filter(|_| member.is_known);
            match before {
                Some(before) => {
                    assert!(now.1 >= before.1, "a counter never falls");
                    self.counted_ms += now.0 - before.0 + now.1 - before.1;
                }
                None if member.is_new => self.counted_ms += now.0 + now.1,
                None => {}
            }
            rows.insert(member.pid, now);
        }
        self.rows = rows;
        self.births = seen.iter().map(|(pid, birth, _)| (*pid, *birth)).collect();
        self.is_started = true;
    }
}

/// The kernel with births, which the agent knows as start times.
struct World {
    kernel: Kernel,
    births: HashMap<u32, u64>,
    born: u64,
}

impl World {
    fn new(most_pids: u32) -> Self {
        Self { kernel: Kernel::new(most_pids), births: HashMap::from([(INIT, 0)]), born: 0 }
    }

    fn step(&mut self, (action, who, ms): (u8, usize, u64)) {
        self.kernel.step(action, who, ms);
        self.births.retain(|pid, _| self.kernel.lives.contains_key(pid));
        for pid in self.kernel.lives.keys() {
            self.births.entry(*pid).or_insert_with(|| {
                self.born += 1;
                self.born
            });
        }
    }

    fn pids(&self) -> Vec<u32> {
        let mut pids: Vec<u32> = self.kernel.lives.keys().copied().collect();
        pids.sort_unstable();
        pids
    }

    fn seen(&self, pid: u32) -> Option<(u32, u64, Life)> {
        Some((pid, *self.births.get(&pid)?, self.kernel.lives.get(&pid)?.clone()))
    }
}

fn steps() -> impl Strategy<Value = Vec<Vec<(u8, usize, u64)>>> {
    let step = (0_u8..=240, any::<usize>(), 0_u64..500);
    prop::collection::vec(prop::collection::vec(step, 0..25), 2..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_sum_over_all_rows_grows_as_the_cpu_time_of_the_machine(steps in steps(), most_pids in 8_u32..60) {
        let (mut world, mut observer) = (World::new(most_pids), Observer::default());
        let mut before_ms = None;
        for burst in &steps {
            burst.iter().for_each(|step| world.step(*step));
            let seen: Vec<_> = world.pids().into_iter().filter_map(|pid| world.seen(pid)).collect();
            observer.pass(&seen);
            // A pid that grew over its parent's once more holds something back for a pass.
            let held: u64 = observer.ended.known.values().map(|known| known.held_ms).sum();
            let start_ms = *before_ms.get_or_insert(world.kernel.used_ms);
            prop_assert_eq!(observer.counted_ms + held, world.kernel.used_ms - start_ms);
        }
    }
}

/// Every process is read at a moment of its own, while others fork and end all the time: far more goes on within a pass
/// than on any machine. One tree in some ten thousand cannot be told from another then.
#[test]
fn passes_that_take_their_time_count_everything_in_the_end_but_for_a_thousandth() {
    let (mut used_ms, mut wrong_ms) = (0, 0);
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut step = || (random.u8(0..=240), random.usize(..), random.u64(0..500));
        // No pid is given twice: a parent that was born and died within one pass, before its child was read, is unknown.
        let (mut world, mut observer) = (World::new(10_000), Observer::default());
        (0..20).for_each(|_| world.step(step()));
        let start_ms = world.kernel.used_ms;
        let listed =
            |world: &World| world.pids().into_iter().filter_map(|pid| world.seen(pid)).collect::<Vec<_>>();
        observer.pass(&listed(&world));
        for _ in 0..10 {
            let mut seen = Vec::new();
            for pid in world.pids() {
                (0..2).for_each(|_| world.step(step()));
                seen.extend(world.seen(pid));
            }
            observer.pass(&seen);
            (0..10).for_each(|_| world.step(step()));
        }
        (0..2).for_each(|_| observer.pass(&listed(&world)));
        used_ms += world.kernel.used_ms - start_ms;
        wrong_ms += observer.counted_ms.abs_diff(world.kernel.used_ms - start_ms);
    }
    assert!(wrong_ms * 1000 <= used_ms, "{wrong_ms} of {used_ms} ms");
}

fn member(pid: u32, parent: u32, own_ms: u64, children_ms: u64) -> Member {
    Member {
        pid,
        parent: Some(parent),
        is_known: true,
        is_new: false,
        own_ms,
        children_ms,
        ignores_children: false,
        is_ended: false,
    }
}

#[test]
fn a_child_of_one_who_ignores_its_end_is_taken_off_nothing() {
    let mut ended = EndedChildren::default();
    let ignoring = Member { ignores_children: true, ..member(5, 1, 0, 0) };
    ended.pass(&[member(1, 0, 0, 0), ignoring, member(6, 5, 700, 0)]);
    // Somebody else's child, which nobody saw.
    ended.pass(&[member(1, 0, 0, 900), ignoring]);
    assert_eq!(ended.of(1), Some(900));
}

#[test]
fn a_circle_of_parents_ends_the_search() {
    let mut ended = EndedChildren::default();
    ended.pass(&[member(1, 2, 5, 0), member(2, 1, 5, 0), member(3, 3, 5, 0)]);
    ended.pass(&[member(9, 9, 5, 0)]);
    assert_eq!(ended.of(9), Some(0));
}
