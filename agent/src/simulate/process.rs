//! One place in a simulated host's process tree, and the process that is there now.

use std::sync::Arc;

use fastrand::Rng;
use fleetps_nats::snapshot::Process;

use super::{
    blueprint::{Program, Text},
    text::{Draw, fill},
};

/// A container's identifier is shown by its first 12 hexadecimal digits.
const CONTAINER_DIGITS: u64 = 0xffff_ffff_ffff;
/// The memory that a program maps besides what it uses.
const MAPPED_BYTES: u64 = 96 << 20;
/// In what systems count the time of processes and the memory that they use: Linux' ticks and pages.
const TICK_MS: u64 = 10;
const PAGE_BYTES: u64 = 4096;
/// The part of a program's memory that is its files and shared memory, as a divisor; it hardly changes.
const SHARED_PART: u64 = 4;
const SHARED_STEP_BYTES: u64 = 1 << 20;
/// Standard input and output, a log, an event queue and libraries' own; and a connection for each thread.
const FILES_OF_A_PROGRAM: u32 = 8;
const FILES_OF_A_THREAD: u32 = 1;
/// A process that works waits for something about this often.
const MS_BETWEEN_SWITCHES: u64 = 4;
/// The nice value that most kernel workers have: they run before everybody else.
const KERNEL_NICE: i8 = -20;
/// Programs that use less than this much of a core, in percent, sleep most of the time.
const DAEMON_PERCENT: f32 = 1.0;
/// The share of the time that such a daemon is awake, and one of the further copies of a program, which wait for work
/// that the first ones leave over. Measured on a real machine, a process uses CPU in about one of ten intervals.
const MAX_SHARE_AWAKE: f32 = 0.2;

/// A place in the tree.
#[derive(Debug)]
pub(super) struct Slot {
    /// Its program, as a place in the list.
    pub(super) program: usize,
    /// Its parent, as a place in the list of slots; always before it.
    pub(super) parent: Option<usize>,
    /// When it next starts or exits, in µs since 1970; only for short-lived programs.
    pub(super) changes_at_us: i64,
    /// Whether a process is there now.
    pub(super) is_alive: bool,
    /// The process that is there, or was there last.
    pub(super) pid: u32,
    pub(super) started_at_us: i64,
    draw: Draw,
    name: Arc<str>,
    user: Option<Arc<str>>,
    unit: Option<Arc<str>>,
    container: Option<u64>,
    command_line: Option<Arc<str>>,
    /// Wanders around 1: how busy it is when it is awake, as a multiple of its program's mean.
    activity: f32,
    is_awake: bool,
    share_awake: f32,
    cpu_percent: f32,
    cpu_time_ms: f64,
    resident_bytes: u64,
    leaked_bytes: u64,
    written_bytes: f64,
}

/// A slot's inheritance from its parent.
#[derive(Debug, Clone, Default)]
pub(super) struct Inherited {
    user: Option<Arc<str>>,
    unit: Option<Arc<str>>,
    container: Option<u64>,
}

impl Slot {
    /// An empty place for copy `draw.copy` of a program.
    pub(super) fn new(program: usize, parent: Option<usize>, draw: Draw) -> Self {
        Self {
            program,
            parent,
            changes_at_us: 0,
            is_alive: false,
            pid: 0,
            started_at_us: 0,
            draw,
            name: Arc::default(),
            user: None,
            unit: None,
            container: None,
            command_line: None,
            activity: 1.0,
            is_awake: true,
            share_awake: 1.0,
            cpu_percent: 0.0,
            cpu_time_ms: 0.0,
            resident_bytes: 0,
            leaked_bytes: 0,
            written_bytes: 0.0,
        }
    }

    pub(super) fn draw(&self) -> Draw {
        self.draw
    }

    /// From its next start on, its program is of the next release.
    pub(super) fn take_next_release(&mut self) {
        self.draw.release += 1;
    }

    /// The inheritance of its children.
    pub(super) fn inheritance(&self) -> Inherited {
        Inherited { user: self.user.clone(), unit: self.unit.clone(), container: self.container }
    }

    /// Starts a new process here.
    pub(super) fn start(
        &mut self,
        program: &Program,
        inherited: Inherited,
        pid: u32,
        at_us: i64,
        rng: &mut Rng,
    ) {
        self.draw.process = rng.u64(..);
        self.is_alive = true;
        self.pid = pid;
        self.started_at_us = at_us;
        self.name = fill(&program.name, self.draw);
        self.user = self.take(&program.user, inherited.user);
        self.unit = self.take(&program.unit, inherited.unit);
        self.container = if program.starts_container {
            Some(self.draw.process & CONTAINER_DIGITS)
        } else {
            inherited.container
        };
        self.command_line = program.command_line.as_ref().map(|text| fill(text, self.draw));
        self.activity = 0.5 + rng.f32();
        let is_daemon = program.cpu_percent < DAEMON_PERCENT;
        let is_spare = program.growth > 0 && self.draw.copy > program.copies;
        self.share_awake = if program.life.is_none() && (is_daemon || is_spare) {
            MAX_SHARE_AWAKE * (0.1 + 0.9 * rng.f32())
        } else {
            1.0
        };
        self.is_awake = rng.f32() < self.share_awake;
        (self.cpu_percent, self.cpu_time_ms, self.written_bytes) = (0.0, 0.0, 0.0);
        self.resident_bytes = program.resident_bytes;
    }

    fn take(&self, text: &Text, inherited: Option<Arc<str>>) -> Option<Arc<str>> {
        match text {
            Text::Parent => inherited,
            Text::Absent => None,
            Text::Given(given) => Some(fill(given, self.draw)),
        }
    }

    /// How much of a core it wants now, in percent. Its activity wanders: each step goes a third of the way towards a
    /// new random value whose mean is 1 and whose peaks are 3. Whether it sleeps is drawn anew in a third of the steps.
    pub(super) fn wanted_cpu_percent(&mut self, program: &Program, rng: &mut Rng) -> f32 {
        if program.cpu_percent == 0.0 {
            return 0.0;
        }
        let target = 3.0 * rng.f32().powi(2);
        self.activity += (target - self.activity) / 3.0;
        if rng.u8(..3) == 0 {
            self.is_awake = rng.f32() < self.share_awake;
        }
        match self.is_awake {
            // A daemon does in its short time all that it does.
            true if program.cpu_percent < DAEMON_PERCENT => {
                program.cpu_percent * self.activity / self.share_awake
            }
            true => program.cpu_percent * self.activity,
            false => 0.0,
        }
    }

    /// Lets it run from `from_us` (or its own start, if later) to `to_us`, using `cpu_percent` of a core meanwhile. Its
    /// memory changes now and then while it runs, by whole pages.
    pub(super) fn run(
        &mut self,
        program: &Program,
        cpu_percent: f32,
        (from_us, to_us): (i64, i64),
        rng: &mut Rng,
    ) {
        let interval_ms = (to_us - from_us) as f64 / 1000.0;
        let alive_ms = (to_us - from_us.max(self.started_at_us)).max(0) as f64 / 1000.0;
        let counted_before_ms = self.counted_cpu_time_ms();
        self.cpu_time_ms += f64::from(cpu_percent) / 100.0 * alive_ms;
        let used_ms = self.counted_cpu_time_ms().saturating_sub(counted_before_ms);
        if interval_ms > 0.0 {
            self.cpu_percent = (100.0 * used_ms as f64 / interval_ms) as f32;
        }
        if self.is_awake {
            self.written_bytes += program.written_bytes_per_s * f64::from(self.activity) * alive_ms / 1000.0;
        }
        let age_minutes = (to_us - self.started_at_us) as f64 / 60e6;
        self.leaked_bytes = (program.leak_bytes_per_minute as f64 * age_minutes) as u64;
        if self.leaked_bytes > 0 || (used_ms > 0 && rng.u8(..4) == 0) {
            let breathing = 0.95 + 0.05 * f64::from(self.activity);
            let used_bytes = (program.resident_bytes as f64 * breathing) as u64;
            self.resident_bytes = whole(PAGE_BYTES, used_bytes + self.leaked_bytes);
        }
    }

    /// Its CPU time as a system counts it.
    fn counted_cpu_time_ms(&self) -> u64 {
        whole(TICK_MS, self.cpu_time_ms as u64)
    }

    /// Its use over the last interval, in percent of one core.
    pub(super) fn cpu_percent(&self) -> f32 {
        self.cpu_percent
    }

    /// Its resident set.
    pub(super) fn resident_bytes(&self) -> u64 {
        self.resident_bytes
    }

    /// The process as a snapshot has it.
    pub(super) fn process(&self, program: &Program, parent_pid: Option<u32>) -> Process {
        let written_bytes = self.written_bytes as u64;
        let is_user_process = !program.is_kernel;
        let virtual_bytes = program.resident_bytes * 2 + whole(1 << 20, self.leaked_bytes) + MAPPED_BYTES;
        Process {
            pid: self.pid,
            parent_pid,
            start_ticks: None,
            started_at_us: self.started_at_us,
            name: self.name.to_string(),
            executable: self.command_line.as_deref().and_then(executable),
            command_line: self.command_line.as_deref().map(str::to_owned),
            user_name: self.user.as_deref().map(str::to_owned),
            state: self.state(program),
            threads: Some(program.threads),
            cpu_percent: Some(self.cpu_percent),
            cpu_time_ms: Some(self.counted_cpu_time_ms()),
            resident_bytes: Some(self.resident_bytes),
            virtual_bytes: Some(if is_user_process { virtual_bytes } else { 0 }),
            read_bytes: is_user_process.then_some(whole(PAGE_BYTES, written_bytes / 3)),
            written_bytes: is_user_process.then_some(whole(PAGE_BYTES, written_bytes)),
            unit: self.unit.as_deref().map(str::to_owned),
            container: self.container.map(|digits| format!("{digits:012x}")),
            open_files: is_user_process.then_some(FILES_OF_A_PROGRAM + FILES_OF_A_THREAD * program.threads),
            voluntary_switches: Some(self.counted_cpu_time_ms() / MS_BETWEEN_SWITCHES),
            pod: None,
            executable_deleted: self.command_line.as_deref().and_then(executable).map(|_| false),
            ended_children_cpu_ms: Some(0),
            shared_bytes: is_user_process
                .then_some(whole(SHARED_STEP_BYTES, program.resident_bytes / SHARED_PART)),
            sent_memory_percent: None,
            nice: Some(if program.is_kernel { KERNEL_NICE } else { 0 }),
        }
    }

    fn state(&self, program: &Program) -> char {
        match () {
            () if self.cpu_percent > 25.0 => 'R',
            () if program.is_kernel => 'I',
            () if program.written_bytes_per_s > 1e6 && self.activity > 1.4 => 'D',
            () => 'S',
        }
    }
}

/// The part of `amount` that is in whole units.
fn whole(unit: u64, amount: u64) -> u64 {
    amount / unit * unit
}

/// The path that a command line starts with, where it starts with one.
fn executable(command_line: &str) -> Option<String> {
    if let Some(end) = command_line.find(".exe") {
        return Some(command_line[..end + 4].to_owned());
    }
    let first = command_line.split(' ').next()?;
    first.starts_with('/').then(|| first.to_owned())
}
