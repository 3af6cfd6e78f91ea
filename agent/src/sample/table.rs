//! From raw processes to the rows of a snapshot: derives CPU percent, and remembers processes from pass to pass.
//!
//! Reading a file of /proc costs more than everything else here together, so a process's facts (command line, user,
//! unit) are read when it appears, when its name changes (it called exec) and then once a minute, and its storage
//! counters only when it has used the processor since or its turn comes: who does not run does not read or write.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use fleetps_nats::{model::derived::age_at_us, snapshot::Process};

use super::{
    raw::{ProcessSource, StorageBytes},
    text::{cut, cut_option, line},
};
use crate::scrub::{CommandLineMode, command_line};

/// Facts are read again after this time: programs rewrite their command lines (`postgres: … idle`).
const FACTS_AGE: Duration = Duration::from_secs(60);
/// Storage counters of a sleeping process are read again after this time: the kernel writes for others, and CPU time is
/// counted in steps of 10 ms, below which a little may have been read.
const STORAGE_AGE: Duration = Duration::from_secs(20);

/// The processes of the last pass, with what must be remembered about them.
#[derive(Debug, Default)]
pub struct Table {
    known: HashMap<u32, Known>,
    passes: u64,
    last_pass_at: Option<Duration>,
    raw: Vec<Process>,
    shortened: BTreeSet<u32>,
}

/// A process between two passes.
#[derive(Debug)]
struct Known {
    start: i64,
    /// The last pass that saw it.
    seen_in_pass: u64,
    name: String,
    executable: Option<String>,
    command_line: Option<String>,
    /// Whether something is missing in the command line.
    is_shortened: bool,
    user_name: Option<String>,
    unit: Option<String>,
    container: Option<String>,
    figures: Process,
    facts_read_at: Duration,
    cpu_time_ms: Option<u64>,
    storage: Option<StorageBytes>,
    storage_read_at: Duration,
}

/// When a pass takes place.
#[derive(Debug, Clone, Copy)]
pub struct PassTime {
    /// Time since the machine booted.
    pub monotonic: Duration,
    /// µs since 1970 UTC, by the host's clock.
    pub clock_us: i64,
}

impl Table {
    /// The pids of the last pass whose command line was shortened.
    pub fn shortened(&self) -> &BTreeSet<u32> {
        &self.shortened
    }

    /// Reads every process once and returns the rows. `cpu_percent` is absent in the first pass.
    pub fn pass<S: ProcessSource>(
        &mut self,
        source: &mut S,
        at: PassTime,
        mode: CommandLineMode,
        user_name: &dyn Fn(&str) -> Option<String>,
    ) -> Vec<Process> {
        self.passes += 1;
        self.shortened.clear();
        let elapsed = self.last_pass_at.map(|last| at.monotonic.saturating_sub(last));
        self.last_pass_at = Some(at.monotonic);
        let mut raw = std::mem::take(&mut self.raw);
        source.read(&mut raw);
        let mut rows = Vec::with_capacity(raw.len());
        for process in &raw {
            let is_known = self.known.get(&process.pid).is_some_and(|known| known.start == process.start());
            if !is_known {
                self.known.remove(&process.pid);
            }
            let known = self.known.entry(process.pid).or_insert_with(|| Known::new(process));
            let cpu_before_ms = if is_known { known.cpu_time_ms } else { cpu_of_new(process, elapsed, at) };
            let has_run = !is_known || process.cpu_time_ms != known.cpu_time_ms || process.state == 'D';
            if has_run || at.monotonic.saturating_sub(known.storage_read_at) >= STORAGE_AGE {
                known.storage = source.storage(process.pid);
                known.storage_read_at = spread(at.monotonic, process.pid, STORAGE_AGE, is_known);
            }
            if !is_known
                || known.name != process.name
                || at.monotonic.saturating_sub(known.facts_read_at) >= FACTS_AGE
            {
                known.read_facts(source, process, mode, user_name);
                known.facts_read_at = spread(at.monotonic, process.pid, FACTS_AGE, is_known);
            }
            if known.is_shortened {
                self.shortened.insert(process.pid);
            }
            known.seen_in_pass = self.passes;
            known.cpu_time_ms = process.cpu_time_ms;
            rows.push(known.row(process, cpu_percent(process.cpu_time_ms, cpu_before_ms, elapsed)));
        }
        self.known.retain(|_, known| known.seen_in_pass == self.passes);
        self.raw = raw;
        rows
    }
}

/// The CPU time that a process had used at the last pass, when it was not seen there: none, if it started since.
fn cpu_of_new(process: &Process, elapsed: Option<Duration>, at: PassTime) -> Option<u64> {
    let elapsed_us = i64::try_from(elapsed?.as_micros()).ok()?;
    // Start times are counted in steps of 10 ms, and on some systems in seconds.
    const STEP_US: i64 = 1_000_000;
    let monotonic_ms = u64::try_from(at.monotonic.as_millis()).ok()?;
    let age_us = age_at_us((monotonic_ms, at.clock_us), (process.start(), process.started_at_us));
    (age_us <= elapsed_us + STEP_US).then_some(0)
}

/// When something counts as read: now, but for a new process by up to `age` earlier, so that those that were found in one
/// pass (all of them, in the first) do not all come around again in one.
fn spread(now: Duration, pid: u32, age: Duration, is_known: bool) -> Duration {
    let places = u32::try_from(age.as_secs()).unwrap_or(1).max(1);
    if is_known { now } else { now.saturating_sub(Duration::from_secs(u64::from(pid % places))) }
}

/// CPU use in percent of one core: the CPU time used since the last pass, divided by the time elapsed. `None` where a count or
/// the elapsed time is missing.
fn cpu_percent(now_ms: Option<u64>, before_ms: Option<u64>, elapsed: Option<Duration>) -> Option<f32> {
    let elapsed_ms = elapsed?.as_secs_f64() * 1000.0;
    let used_ms = now_ms?.saturating_sub(before_ms?) as f64;
    (elapsed_ms > 0.0).then(|| (100.0 * used_ms / elapsed_ms) as f32)
}

impl Known {
    fn new(process: &Process) -> Self {
        Self {
            start: process.start(),
            seen_in_pass: 0,
            name: String::new(),
            executable: None,
            command_line: None,
            is_shortened: false,
            user_name: None,
            unit: None,
            container: None,
            figures: Process::default(),
            facts_read_at: Duration::ZERO,
            cpu_time_ms: None,
            storage: None,
            storage_read_at: Duration::ZERO,
        }
    }

    fn read_facts<S: ProcessSource>(
        &mut self,
        source: &mut S,
        process: &Process,
        mode: CommandLineMode,
        user_name: &dyn Fn(&str) -> Option<String>,
    ) {
        let facts = source.facts(process.pid);
        self.name.clone_from(&process.name);
        self.executable = cut_option(facts.executable);
        let command_line = command_line(mode, &facts.arguments).map(|parts| line(&parts));
        self.is_shortened = command_line.as_ref().is_some_and(|(_, is_shortened)| *is_shortened);
        self.command_line = command_line.map(|(text, _)| text);
        self.user_name = cut_option(facts.user_id.map(|id| user_name(&id).unwrap_or(id)));
        self.unit = cut_option(facts.unit);
        self.container = cut_option(facts.container);
        self.figures = facts.figures;
    }

    fn row(&self, process: &Process, cpu_percent: Option<f32>) -> Process {
        let mut row = process.clone();
        row.name = cut(row.name);
        row.executable.clone_from(&self.executable);
        row.command_line.clone_from(&self.command_line);
        row.user_name.clone_from(&self.user_name);
        row.cpu_percent = cpu_percent;
        row.read_bytes = self.storage.map(|bytes| bytes.read);
        row.written_bytes = self.storage.map(|bytes| bytes.written);
        row.unit.clone_from(&self.unit);
        row.container.clone_from(&self.container);
        row.fill_in(&self.figures);
        row
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
