//! One simulated host: its process tree over time.

use fastrand::Rng;
use fleetps_nats::{
    model::process::TICK_US,
    snapshot::{Process, Snapshot},
};

use super::{
    blueprint::{self, Life, Program},
    incident::{Incident, Kind},
    machine::Machine,
    process::{Inherited, Slot},
    text::{Draw, RELEASE},
};

/// The first pid of the kernel's own threads, after init and kthreadd.
const FIRST_KERNEL_PID: u32 = 4;
/// The first pid after the kernel's own threads, unless those are many.
const FIRST_USER_PID: u32 = 300;
/// Linux' default `pid_max` on 64 bits; pids start over after it.
const LAST_PID: u32 = 4_194_304;
/// A short-lived program that missed this much time (a jump of the clock) is not caught up with start by start.
const CATCH_UP_US: i64 = 3600 * 1_000_000;
/// Services start one after the other within this time after the boot.
const BOOT_US: i64 = 60 * 1_000_000;
/// A new release is started in one program after the other, this far apart.
const RELEASE_STEP_US: i64 = 700_000;
/// Hosts are never busier than this share of their cores.
const MAX_LOAD: f32 = 0.97;

/// A simulated host.
pub(super) struct Host {
    machine: Machine,
    programs: Vec<Program>,
    slots: Vec<Slot>,
    rng: Rng,
    next_pid: u32,
    /// When it was advanced to, in µs since 1970; `None` before the first time.
    now_us: Option<i64>,
    /// What has still to happen to it, the last one first.
    incidents: Vec<Incident>,
    /// Whether what can break has broken.
    is_broken: bool,
}

impl Host {
    /// A host with about `processes` processes. A blueprint that is wrong (a test sees to it that none is) gives an
    /// empty host.
    pub(super) fn new(machine: Machine, blueprint: &str, processes: usize, mut rng: Rng) -> Self {
        let programs = blueprint::parse(blueprint).unwrap_or_default();
        let slots = plant(&programs, processes, &mut rng);
        let kernel_threads = slots.iter().filter(|slot| programs[slot.program].is_kernel).count();
        let after_kernel = FIRST_KERNEL_PID.saturating_add(u32::try_from(kernel_threads).unwrap_or(LAST_PID));
        let next_pid = FIRST_USER_PID.max(after_kernel);
        Self { machine, programs, slots, rng, next_pid, now_us: None, incidents: Vec::new(), is_broken: true }
    }

    /// The same host with a past, in which these happen, given in the order of their times.
    pub(super) fn with(mut self, incidents: Vec<Incident>) -> Self {
        self.incidents = incidents;
        self.incidents.reverse();
        self.is_broken = !self.incidents.iter().any(|incident| incident.kind == Kind::Break);
        self
    }

    /// The host as it is at `captured_at_us`; a time before the last one counts as the last one.
    pub(super) fn snapshot(&mut self, captured_at_us: i64) -> Snapshot {
        let to_us = self.now_us.map_or(captured_at_us, |now_us| now_us.max(captured_at_us));
        let mut from_us = match self.now_us.replace(to_us) {
            Some(from_us) => from_us,
            None => {
                self.machine.boot(to_us, &mut self.rng);
                self.start_services(to_us);
                self.machine.boot_at_us()
            }
        };
        while let Some(incident) = self.incidents.pop_if(|incident| incident.at_us <= to_us) {
            from_us = self.undergo(incident, from_us, to_us);
        }
        for slot in 0..self.slots.len() {
            self.come_and_go(slot, to_us);
        }
        self.use_cpu(from_us, to_us);
        let processes = self.processes();
        self.machine.snapshot(captured_at_us, &self.slots, &self.programs, processes, &mut self.rng)
    }

    fn processes(&self) -> Vec<Process> {
        let alive = self.slots.iter().filter(|slot| slot.is_alive);
        alive
            .map(|slot| {
                let parent_pid = slot.parent.map(|parent| self.slots[parent].pid);
                let process = slot.process(&self.programs[slot.program], parent_pid);
                let start_ticks = self.ticks(process.started_at_us);
                // As an agent works it out: whole ticks after the boot.
                let after_us = start_ticks.and_then(|ticks| i64::try_from(ticks * TICK_US).ok());
                let started_at_us =
                    after_us.map_or(process.started_at_us, |us| self.machine.boot_at_us().saturating_add(us));
                Process { start_ticks, started_at_us, ..process }
            })
            .collect()
    }

    /// How many ticks after the boot a moment is.
    fn ticks(&self, at_us: i64) -> Option<u64> {
        let since_boot_us = at_us.saturating_sub(self.machine.boot_at_us());
        u64::try_from(since_boot_us).ok().map(|us| us / TICK_US)
    }

    /// Lets something happen between `from_us` and `to_us`; since when the host goes on as it is then.
    fn undergo(&mut self, incident: Incident, from_us: i64, to_us: i64) -> i64 {
        match incident.kind {
            Kind::Boot => {
                self.machine.boot_anew(incident.at_us, &mut self.rng);
                self.slots.iter_mut().for_each(|slot| slot.is_alive = false);
                self.start_services(to_us);
                incident.at_us
            }
            Kind::Deploy => {
                self.deploy(incident.at_us, to_us);
                from_us
            }
            Kind::Break => {
                self.is_broken = true;
                let programs = &self.programs;
                let breaks = |slot: &&mut Slot| programs[slot.program].breaks;
                self.slots.iter_mut().filter(breaks).for_each(|slot| slot.changes_at_us = incident.at_us);
                from_us
            }
        }
    }

    /// How a process comes and goes; `None` while it stays.
    fn life(&self, slot: usize) -> Option<Life> {
        let program = &self.programs[self.slots[slot].program];
        program.life.filter(|_| self.is_broken || !program.breaks)
    }

    /// Starts everything anew of which there are releases, in the next one.
    fn deploy(&mut self, at_us: i64, to_us: i64) {
        let mut starts_at_us = at_us;
        for slot in 0..self.slots.len() {
            let command_line = self.programs[self.slots[slot].program].command_line.as_deref();
            if !command_line.is_some_and(|text| text.contains(RELEASE)) {
                continue;
            }
            self.slots[slot].take_next_release();
            if self.slots[slot].is_alive {
                let pid = self.new_pid();
                self.start(slot, pid, starts_at_us.min(to_us));
                starts_at_us += RELEASE_STEP_US;
            }
        }
    }

    /// Starts the processes that run since the boot, in the order of starting, so that pids rise.
    fn start_services(&mut self, now_us: i64) {
        let boot_at_us = self.machine.boot_at_us();
        let within_us = BOOT_US.min(now_us.saturating_sub(boot_at_us));
        let mut next_kernel_pid = FIRST_KERNEL_PID - 1;
        for slot in 0..self.slots.len() {
            let program = self.programs[self.slots[slot].program].clone();
            if let Some(life) = self.life(slot) {
                // It begins within one of its own cycles, so that not all start at once.
                let cycle_us = 1000 * (life.pause_ms + life.lasts_ms) as i64;
                let changes_at_us = now_us - self.rng.i64(0..cycle_us.max(1));
                self.slots[slot].changes_at_us = changes_at_us.max(boot_at_us);
                continue;
            }
            let (pid, after_us) = match program.fixed_pid {
                Some(pid) => (pid, 0),
                None if program.is_kernel => {
                    next_kernel_pid += 1;
                    (next_kernel_pid, 0)
                }
                None => (self.new_pid(), within_us * slot as i64 / self.slots.len() as i64),
            };
            let parent_start_us = self.parent_of(slot).map_or(boot_at_us, |parent| parent.started_at_us);
            if self.parent_of(slot).is_none_or(|parent| parent.is_alive) {
                self.start(slot, pid, (boot_at_us + after_us).max(parent_start_us));
            }
        }
    }

    fn parent_of(&self, slot: usize) -> Option<&Slot> {
        self.slots[slot].parent.map(|parent| &self.slots[parent])
    }

    fn start(&mut self, slot: usize, pid: u32, at_us: i64) {
        let inherited = self.parent_of(slot).map_or_else(Inherited::default, Slot::inheritance);
        let program = &self.programs[self.slots[slot].program];
        self.slots[slot].start(program, inherited, pid, at_us, &mut self.rng);
    }

    fn new_pid(&mut self) -> u32 {
        loop {
            self.next_pid += self.rng.u32(1..9);
            if self.next_pid > LAST_PID {
                self.next_pid = FIRST_USER_PID;
            }
            let pid = self.next_pid;
            if !self.slots.iter().any(|slot| slot.is_alive && slot.pid == pid) {
                return pid;
            }
        }
    }

    /// Starts and ends short-lived processes, up to `to_us`. A process that loses its parent ends, and returns with it.
    fn come_and_go(&mut self, slot: usize, to_us: i64) {
        let (parent_is_alive, parent_start_us) =
            self.parent_of(slot).map_or((true, i64::MIN), |parent| (parent.is_alive, parent.started_at_us));
        if !parent_is_alive {
            self.slots[slot].is_alive = false;
            return;
        }
        let is_orphan = self.slots[slot].started_at_us < parent_start_us;
        let Some(life) = self.life(slot) else {
            if is_orphan || !self.slots[slot].is_alive {
                let (pid, delay_us) = (self.new_pid(), self.rng.i64(1000..5_000));
                self.start(slot, pid, parent_start_us + delay_us);
            }
            return;
        };
        if is_orphan && (self.slots[slot].is_alive || self.slots[slot].changes_at_us < parent_start_us) {
            self.slots[slot].is_alive = false;
            self.slots[slot].changes_at_us = parent_start_us + self.about_us(life.pause_ms) / 4;
        }
        if self.slots[slot].changes_at_us < to_us - CATCH_UP_US.max(2000 * life.lasts_ms as i64) {
            self.slots[slot].changes_at_us = (to_us - self.rng.i64(0..CATCH_UP_US)).max(parent_start_us);
        }
        while self.slots[slot].changes_at_us <= to_us {
            self.toggle(slot, life);
        }
    }

    fn toggle(&mut self, slot: usize, life: Life) {
        let at_us = self.slots[slot].changes_at_us;
        let lasts_us = if self.slots[slot].is_alive {
            self.slots[slot].is_alive = false;
            self.about_us(life.pause_ms)
        } else {
            let pid = self.new_pid();
            self.start(slot, pid, at_us);
            self.about_us(life.lasts_ms)
        };
        self.slots[slot].changes_at_us = at_us + lasts_us;
    }

    /// A time around `mean_ms`, between half and one and a half of it.
    fn about_us(&mut self, mean_ms: u64) -> i64 {
        let mean_us = 1000 * mean_ms as i64;
        mean_us / 2 + self.rng.i64(0..=mean_us)
    }

    /// Shares the cores among those who want them.
    fn use_cpu(&mut self, from_us: i64, to_us: i64) {
        let mut wanted = Vec::with_capacity(self.slots.len());
        let day = self.machine.day_factor(to_us);
        for slot in &mut self.slots {
            let program = &self.programs[slot.program];
            let percent =
                if slot.is_alive { slot.wanted_cpu_percent(program, &mut self.rng) * day } else { 0.0 };
            wanted.push(percent.min(100.0 * program.threads as f32));
        }
        let available = 100.0 * MAX_LOAD * self.machine.threads() as f32;
        let share = (available / wanted.iter().sum::<f32>().max(1.0)).min(1.0);
        for (slot, wanted) in self.slots.iter_mut().zip(wanted) {
            if slot.is_alive {
                slot.run(&self.programs[slot.program], wanted * share, (from_us, to_us), &mut self.rng);
            }
        }
    }
}

/// The tree of a blueprint with its copies, cut to `processes` or grown to it.
fn plant(programs: &[Program], processes: usize, rng: &mut Rng) -> Vec<Slot> {
    let host = rng.u64(..);
    let mut planter =
        Planter { programs, slots: Vec::with_capacity(processes), host, first_slots: Vec::new() };
    planter.first_slots.resize(programs.len(), None);
    let mut program = 0;
    while program < programs.len() {
        program = planter.plant_copies(program, None, rng);
    }
    let growing: Vec<usize> = (0..programs.len())
        .flat_map(|program| std::iter::repeat_n(program, programs[program].growth as usize))
        .collect();
    let mut copy = 2;
    while planter.slots.len() < processes && !growing.is_empty() {
        for &program in &growing {
            let parent = planter.parent_of_growth(program);
            planter.plant_one(program, parent, copy, rng);
            copy += 1;
        }
    }
    planter.slots.truncate(processes);
    planter.slots
}

struct Planter<'a> {
    programs: &'a [Program],
    slots: Vec<Slot>,
    host: u64,
    /// The first place of every program, where further copies find their parent.
    first_slots: Vec<Option<usize>>,
}

impl Planter<'_> {
    /// Plants all copies of a program below `parent`; the place of the next program that is not below it.
    fn plant_copies(&mut self, program: usize, parent: Option<usize>, rng: &mut Rng) -> usize {
        let mut next = program + 1;
        for copy in 1..=self.programs[program].copies {
            next = self.plant_one(program, parent, copy, rng);
        }
        next
    }

    fn plant_one(&mut self, program: usize, parent: Option<usize>, copy: u32, rng: &mut Rng) -> usize {
        let slot = self.slots.len();
        // A process started by a service belongs to the service; the first process and its direct children draw their own.
        let service = match parent.map(|parent| &self.slots[parent]) {
            Some(parent) if self.programs[parent.program].depth > 0 => parent.draw().service,
            _ => rng.u64(..),
        };
        let draw = Draw { copy, host: self.host, service, process: 0, release: 0 };
        self.slots.push(Slot::new(program, parent, draw));
        self.first_slots[program].get_or_insert(slot);
        let depth = self.programs[program].depth;
        let mut next = program + 1;
        while self.programs.get(next).is_some_and(|below| below.depth > depth) {
            next = self.plant_copies(next, Some(slot), rng);
        }
        next
    }

    fn parent_of_growth(&self, program: usize) -> Option<usize> {
        self.first_slots[program].and_then(|slot| self.slots[slot].parent)
    }
}
