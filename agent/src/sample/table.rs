//! From raw processes to the rows of a snapshot: derives CPU percent, and remembers processes from pass to pass.
//!
//! Reading a file of /proc costs more than everything else here together, so a process's facts (command line, user,
//! unit) are read when it appears, when it runs another program, under another name or as another user, and then once a
//! minute; and its storage counters only when it has used the processor since or its turn comes: who does not run does not
//! read or write.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use fleetps_nats::{model::derived::age_at_us, snapshot::Process};

use super::{
    children::{EndedChildren, Member},
    raw::{Details, Facts, Image, ProcessSource, RawProcess, StorageBytes, Wanted},
    text::{cut, cut_option, line},
    users::UserNames,
};
use crate::scrub::{CommandLineMode, command_line};

/// Facts are read again after this time: programs rewrite their command lines (`postgres: … idle`).
const FACTS_AGE: Duration = Duration::from_secs(60);
/// Storage counters of a sleeping process are read again after this time: the kernel writes for others, and CPU time is
/// counted in steps of 10 ms, below which a little may have been read.
const STORAGE_AGE: Duration = Duration::from_secs(20);

/// In the first pass, the facts of all processes are read: 20,000 take about this long. Later, what is not there yet comes
/// with the next pass.
const FIRST_PATIENCE: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_millis(250);
/// Processes that grow or shrink by less than this have their shared memory read once a minute.
const LEAST_RESIZE_BYTES: u64 = 16 << 20;
/// Where the system does not show which program a process runs, this many are looked at anew in one pass, at 0.1 ms each.
const MOST_GUESSES: u32 = 16;

/// The processes of the last pass, with what must be remembered about them.
#[derive(Debug, Default)]
pub(super) struct Table {
    known: HashMap<u32, Known>,
    ended_children: EndedChildren,
    passes: u64,
    last_pass_at: Option<Duration>,
    raw: Vec<RawProcess>,
    wanted: Vec<Wanted>,
    members: Vec<Member>,
    tokens: u64,
    shortened: BTreeSet<u32>,
}

/// A process between two passes.
#[derive(Debug, Default)]
struct Known {
    start: i64,
    /// Tells it from another one with its pid, in answers that come late.
    token: u64,
    /// The last pass that saw it.
    seen_in_pass: u64,
    /// As of the facts.
    name: String,
    /// As of the facts: the shared memory among them is a part of it.
    resident_bytes: u64,
    image: Image,
    owner: Option<u32>,
    user_id: Option<String>,
    executable: Option<String>,
    executable_deleted: Option<bool>,
    command_line: Option<String>,
    /// Whether something is missing in the command line.
    is_shortened: bool,
    unit: Option<String>,
    container: Option<String>,
    pod: Option<String>,
    ignores_children: bool,
    figures: Process,
    facts_read_at: Duration,
    cpu_time_ms: Option<u64>,
    cpu_percent: Option<f32>,
    /// CPU time of ended children up to the last pass.
    credited_ms: Option<u64>,
    storage: Option<StorageBytes>,
    storage_read_at: Duration,
    is_withheld: bool,
}

/// When a pass takes place.
#[derive(Debug, Clone, Copy)]
pub(super) struct PassTime {
    /// Time since the machine booted.
    pub monotonic: Duration,
    /// µs since 1970 UTC, by the host's clock.
    pub clock_us: i64,
}

impl Table {
    /// The pids of the last pass whose command line was shortened.
    pub(super) fn shortened(&self) -> &BTreeSet<u32> {
        &self.shortened
    }

    /// Reads every process once and returns the rows. `cpu_percent` is absent in the first pass.
    pub(super) fn pass<S: ProcessSource>(
        &mut self,
        source: &mut S,
        at: PassTime,
        mode: CommandLineMode,
        users: &mut dyn UserNames,
    ) -> Vec<Process> {
        self.passes += 1;
        self.shortened.clear();
        let elapsed = self.last_pass_at.map(|last| at.monotonic.saturating_sub(last));
        self.last_pass_at = Some(at.monotonic);
        let mut raw = std::mem::take(&mut self.raw);
        source.read(&mut raw);
        self.members.clear();
        let mut guesses_left = MOST_GUESSES;
        for process in &raw {
            self.meet(process, at, elapsed, &mut guesses_left);
        }
        self.known.retain(|_, known| known.seen_in_pass == self.passes);
        self.ended_children.pass(&self.members);
        self.ask(source, mode, if elapsed.is_some() { TIMEOUT } else { FIRST_PATIENCE });
        let mut rows = Vec::with_capacity(raw.len());
        for RawProcess { process, .. } in &raw {
            let Some(known) = self.known.get_mut(&process.pid) else { continue };
            if known.is_shortened {
                self.shortened.insert(process.pid);
            }
            known.is_withheld = users.is_withheld(known.user_id.as_deref());
            let mut row = known.row(process, users);
            let credited_ms = process.ended_children_cpu_ms.and_then(|_| self.ended_children.of(process.pid));
            row.ended_children_cpu_ms =
                credited_ms.map(|ms| ms.saturating_sub(known.credited_ms.unwrap_or_default()));
            known.credited_ms = credited_ms;
            rows.push(row);
        }
        self.raw = raw;
        rows
    }

    /// Forgets every command line, and reads them anew in the next pass: they leave the host in another way from now on.
    pub(super) fn forget_command_lines(&mut self) {
        for known in self.known.values_mut() {
            (known.command_line, known.is_shortened) = (None, false);
            known.facts_read_at = Duration::ZERO;
        }
    }

    /// Whether the process's user is one whose processes are not sent, or may be.
    pub(super) fn is_withheld(&self, pid: u32) -> bool {
        self.known.get(&pid).is_some_and(|known| known.is_withheld)
    }

    /// Compares a process with what is known of it, and notes what has to be read.
    fn meet(&mut self, raw: &RawProcess, at: PassTime, elapsed: Option<Duration>, guesses_left: &mut u32) {
        let process = &raw.process;
        let is_known = self.known.get(&process.pid).is_some_and(|known| known.start == process.start());
        if !is_known {
            self.tokens += 1;
            let new = Known { start: process.start(), token: self.tokens, ..Known::default() };
            self.known.insert(process.pid, new);
        }
        let Some(known) = self.known.get_mut(&process.pid) else { return };
        let cpu_before_ms = if is_known { known.cpu_time_ms } else { cpu_of_new(process, elapsed, at) };
        let has_run = !is_known || process.cpu_time_ms != known.cpu_time_ms || process.state == 'D';
        let storage = has_run || at.monotonic.saturating_sub(known.storage_read_at) >= STORAGE_AGE;
        let facts = known.has_changed(raw, guesses_left)
            || !is_known
            || known.has_another_size(process)
            || at.monotonic.saturating_sub(known.facts_read_at) >= FACTS_AGE;
        // A process that has ended has forgotten everything: what is known of it stays.
        let facts = facts && !(is_known && is_ended(process));
        if storage {
            known.storage_read_at = spread(at.monotonic, process.pid, STORAGE_AGE, is_known);
        }
        if facts {
            known.name.clone_from(&process.name);
            known.resident_bytes = process.resident_bytes.unwrap_or_default();
            known.facts_read_at = spread(at.monotonic, process.pid, FACTS_AGE, is_known);
        }
        if storage || facts {
            self.wanted.push(Wanted { pid: process.pid, token: known.token, facts, storage });
        }
        self.members.push(Member {
            pid: process.pid,
            parent: process.parent_pid,
            is_known,
            is_new: !is_known && cpu_before_ms.is_some(),
            own_ms: process.cpu_time_ms.unwrap_or_default(),
            children_ms: process.ended_children_cpu_ms.unwrap_or_default(),
            ignores_children: known.ignores_children,
            is_ended: is_ended(process),
        });
        known.seen_in_pass = self.passes;
        known.cpu_time_ms = process.cpu_time_ms;
        known.cpu_percent = cpu_percent(process.cpu_time_ms, cpu_before_ms, elapsed);
    }

    /// Asks for what has to be read, and takes what comes.
    fn ask<S: ProcessSource>(&mut self, source: &mut S, mode: CommandLineMode, patience: Duration) {
        let known = &mut self.known;
        source.details(&self.wanted, patience, &mut |details| {
            if let Some(known) = known.get_mut(&details.pid).filter(|known| known.token == details.token) {
                known.take(details, mode);
            }
        });
        self.wanted.clear();
    }
}

fn is_ended(process: &Process) -> bool {
    // The main thread of one that has more has ended; the others go on.
    matches!(process.state, 'Z' | 'X') && process.threads <= Some(1)
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
    /// Whether it runs another program, has another name, or another user.
    fn has_changed(&mut self, raw: &RawProcess, guesses_left: &mut u32) -> bool {
        let mut has_changed = self.name != raw.process.name;
        if raw.image != self.image {
            let is_guess = matches!(raw.image, Image::Guess(_)) && matches!(self.image, Image::Guess(_));
            if !is_guess || *guesses_left > 0 {
                *guesses_left -= u32::from(is_guess);
                self.image = raw.image;
                has_changed = true;
            }
        }
        if raw.owner.is_some() && raw.owner != self.owner {
            self.owner = raw.owner;
            self.user_id = raw.owner.map(|id| id.to_string());
            has_changed = true;
        }
        has_changed
    }

    /// Whether its resident set is another one than when its shared memory was read, which would be wrong by as much.
    fn has_another_size(&self, process: &Process) -> bool {
        let now_bytes = process.resident_bytes.unwrap_or_default();
        let most_bytes = (self.resident_bytes / 4).max(LEAST_RESIZE_BYTES);
        now_bytes.abs_diff(self.resident_bytes) > most_bytes
    }

    fn take(&mut self, details: Details, mode: CommandLineMode) {
        if let Some(storage) = details.storage {
            self.storage = storage;
        }
        let Some(Facts {
            executable,
            executable_deleted,
            arguments,
            user_id,
            unit,
            container,
            pod,
            ignores_children,
            figures,
        }) = details.facts
        else {
            return;
        };
        self.executable = cut_option(executable);
        self.executable_deleted = executable_deleted;
        if let Some(arguments) = arguments {
            let command_line = command_line(mode, &arguments).map(|parts| line(&parts));
            self.is_shortened = command_line.as_ref().is_some_and(|(_, is_shortened)| *is_shortened);
            self.command_line = command_line.map(|(text, _)| text);
        }
        if user_id.is_some() {
            self.user_id = user_id;
        }
        self.unit = cut_option(unit);
        self.container = cut_option(container);
        self.pod = cut_option(pod);
        self.ignores_children = ignores_children;
        self.figures = figures;
    }

    fn row(&self, process: &Process, users: &mut dyn UserNames) -> Process {
        let mut row = process.clone();
        row.name = cut(row.name);
        row.executable.clone_from(&self.executable);
        row.executable_deleted = self.executable_deleted;
        row.command_line.clone_from(&self.command_line);
        row.user_name = cut_option(self.user_id.as_deref().map(|id| users.name_or_id(id)));
        row.cpu_percent = self.cpu_percent;
        row.read_bytes = self.storage.map(|bytes| bytes.read);
        row.written_bytes = self.storage.map(|bytes| bytes.written);
        row.unit.clone_from(&self.unit);
        row.container.clone_from(&self.container);
        row.pod.clone_from(&self.pod);
        row.fill_in(&self.figures);
        // It is older than the resident set.
        row.shared_bytes = row.shared_bytes.map(|shared| shared.min(row.resident_bytes.unwrap_or(shared)));
        row
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
