//! Makes a snapshot of a translated post.
//!
//! The agents of older systems send neither the start of a process nor a boot, so both are taken from the host's snapshot
//! before: a process of the same pid, name and parent goes on, and any other starts now. Its start is therefore a lower bound
//! of its age. What an older system does not send stays absent, and the host says so ([`HostInfo::limited_view`]).

use std::collections::HashMap;

use fleetps_nats::{
    Snapshot,
    snapshot::{FORMAT, FilesystemSample, HostInfo, HostSample, MAX_STRING_BYTES, Process},
};

use super::{LegacyHost, System};

/// Boot times of one boot differ by less, in µs: they are worked out from whole seconds of two clocks.
const SAME_BOOT_US: u64 = 5_000_000;

/// A post, translated.
#[derive(Debug, Default)]
pub(crate) struct Post {
    /// What the machine calls itself.
    pub os_host_name: String,
    /// When it was captured by its own clock, in µs since 1970 UTC; the server's clock where it does not say.
    pub captured_at_us: Option<i64>,
    /// Time since its boot, in s.
    pub uptime_s: Option<u64>,
    /// Its load.
    pub host: HostSample,
    /// Its description.
    pub info: HostInfo,
    /// Its file systems.
    pub filesystems: Vec<FilesystemSample>,
    /// Its processes, without starts.
    pub processes: Vec<Process>,
    /// Processes with a text that was shortened.
    pub texts_shortened: u32,
    /// Processes that are not among these.
    pub left_out: u32,
}

/// What a snapshot is made of.
pub(super) struct Making {
    pub(super) system: System,
    pub(super) known: LegacyHost,
    pub(super) post: Post,
    pub(super) captured_at_us: i64,
    pub(super) interval_ms: u32,
    pub(super) run_id: String,
    pub(super) sequence: u64,
}

impl Making {
    /// The snapshot, after the one `before` it.
    pub(super) fn snapshot(self, before: Option<&Snapshot>) -> Snapshot {
        let Self { system, known, post, captured_at_us, interval_ms, run_id, sequence } = self;
        // Processes of an agent of fleetps, which had the name before, have other starts.
        let before = before.filter(|before| before.host_info.source.is_some());
        let boot = Boot::of(&known, captured_at_us, post.uptime_s, before);
        let mut processes = last_of_each_pid(post.processes);
        let goes_on = before.filter(|before| before.boot_id == boot.id);
        set_starts(&mut processes, captured_at_us, goes_on);
        let verified = known.agent().is_some_and(|agent| agent.verified);
        let source =
            if verified { format!("legacy {system}") } else { format!("legacy {system}, unverified") };
        let info = HostInfo {
            source: Some(source),
            limited_view: Some(system.limited_view().to_owned()),
            boot_at_us: boot.at_us,
            ..post.info
        };
        Snapshot {
            format: FORMAT,
            agent_version: format!("legacy {system}"),
            os_host_name: cut(post.os_host_name),
            boot_id: boot.id,
            run_id,
            sequence,
            captured_at_us,
            interval_ms,
            monotonic_ms: u64::try_from(captured_at_us / 1_000).unwrap_or_default(),
            host: HostSample { uptime_s: post.uptime_s, ..post.host },
            host_info: info,
            filesystems: post.filesystems,
            texts_shortened: post.texts_shortened,
            processes_left_out: post.left_out,
            processes,
            ..Snapshot::default()
        }
    }
}

/// A boot of a machine.
struct Boot {
    id: String,
    at_us: Option<i64>,
}

impl Boot {
    /// The boot that a post is of: the one before where its time is the same within a few seconds. Where no time is sent, there
    /// is one boot for each enrolment.
    fn of(known: &LegacyHost, captured_at_us: i64, uptime_s: Option<u64>, before: Option<&Snapshot>) -> Self {
        let uptime_us = uptime_s.and_then(|seconds| i64::try_from(seconds).ok()?.checked_mul(1_000_000));
        let Some(at_us) = uptime_us.and_then(|uptime_us| captured_at_us.checked_sub(uptime_us)) else {
            return Self { id: format!("enrolled-{}", known.record.first_contact_at_us), at_us: None };
        };
        let same = before.filter(|before| {
            before.host_info.boot_at_us.is_some_and(|before_us| before_us.abs_diff(at_us) <= SAME_BOOT_US)
        });
        match same {
            Some(before) => Self { id: before.boot_id.clone(), at_us: before.host_info.boot_at_us },
            None => Self { id: format!("booted-{}", at_us / 1_000_000), at_us: Some(at_us) },
        }
    }
}

/// A process that had the same pid, name and parent before goes on; any other starts now.
fn set_starts(processes: &mut [Process], now_us: i64, before: Option<&Snapshot>) {
    let known: HashMap<u32, &Process> = before
        .into_iter()
        .flat_map(|before| &before.processes)
        .map(|process| (process.pid, process))
        .collect();
    for process in processes {
        let same = known
            .get(&process.pid)
            .filter(|known| known.name == process.name && known.parent_pid == process.parent_pid);
        process.started_at_us = same.map_or(now_us, |known| known.started_at_us);
    }
}

/// The last of the processes that have the same pid.
fn last_of_each_pid(processes: Vec<Process>) -> Vec<Process> {
    let mut places: HashMap<u32, usize> = HashMap::with_capacity(processes.len());
    let mut all: Vec<Process> = Vec::with_capacity(processes.len());
    for process in processes {
        match places.get(&process.pid) {
            Some(place) => all[*place] = process,
            None => {
                places.insert(process.pid, all.len());
                all.push(process);
            }
        }
    }
    all
}

/// The text, cut to what a snapshot takes.
pub(super) fn cut(mut text: String) -> String {
    if text.len() > MAX_STRING_BYTES {
        text.truncate(text.floor_char_boundary(MAX_STRING_BYTES));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, name: &str) -> Process {
        Process { pid, name: name.to_owned(), state: '?', ..Process::default() }
    }

    #[test]
    fn a_process_goes_on_while_pid_name_and_parent_are_the_same() {
        let mut first = vec![process(1, "init"), process(7, "shop")];
        set_starts(&mut first, 100, None);
        let before = Snapshot { processes: first, ..Snapshot::default() };
        let mut then = vec![process(1, "init"), process(7, "other"), process(8, "new")];
        set_starts(&mut then, 200, Some(&before));
        let starts: Vec<i64> = then.iter().map(|process| process.started_at_us).collect();
        assert_eq!(starts, [100, 200, 200]);
    }

    #[test]
    fn of_two_processes_with_one_pid_the_last_counts() {
        let all = last_of_each_pid(vec![process(1, "a"), process(2, "b"), process(1, "c")]);
        let names: Vec<&str> = all.iter().map(|process| process.name.as_str()).collect();
        assert_eq!(names, ["c", "b"]);
    }
}
