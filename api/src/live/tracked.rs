//! What is kept decoded of the hosts whose metrics are read: their figures, and the CPU time of their programs as counters.
//!
//! A program's CPU time is the sum of what its processes used, and falls when one of them ends. As a counter it may not. So
//! while somebody reads a host's metrics, each of its snapshots adds what its processes used since the one before, and
//! what came to light of their ended children. The counters begin at zero when reading begins, and nothing is kept of a
//! host whose metrics nobody has read for a while ([`KEPT_FOR`]).
//!
//! Which programs a host has in metrics are its first by CPU and by memory. One that was among them stays for an hour
//! ([`STAYS_FOR`]), so that its series do not come and go.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use fleetps_nats::{
    HostName, Snapshot,
    snapshot::{AgentCost, FilesystemSample, HostSample},
};
use parking_lot::Mutex;

use super::programs::Share;

/// How long a host is tracked after its metrics were read: twice the longest usual time between two scrapes.
const KEPT_FOR: Duration = Duration::from_secs(600);
/// How long a program stays that was among the first.
const STAYS_FOR: Duration = Duration::from_secs(3600);
/// Programs of a host that are counted: twenty times what is asked for by default. A host with a new name for each of its
/// processes has more, which are not counted until others have been gone for an hour.
const MAX_PROGRAMS: usize = 1_000;
/// A host may have this many times the programs that are asked for, by CPU and by memory and because they stay.
const MOST_STAYING: usize = 4;
/// Different numbers of programs that are asked for at a time. Another forgets the one that was not asked for longest.
const MAX_ASKED: usize = 4;
/// A process that started this long before the snapshot before is new all the same: starts are known to 10 ms, and both
/// times are of a clock that may be corrected.
const START_TOLERANCE_US: i64 = 1_000_000;

/// The hosts that are tracked.
#[derive(Debug, Default)]
pub(super) struct Tracking(Mutex<HashMap<HostName, Entry>>);

#[derive(Debug)]
struct Entry {
    /// Until when it is tracked, by [`super::steady_us`].
    until_us: i64,
    host: TrackedHost,
}

/// One host that is tracked. A clone is the same.
#[derive(Debug, Clone, Default)]
pub struct TrackedHost(Arc<Mutex<Tracked>>);

#[derive(Debug, Default)]
struct Tracked {
    figures: Option<Arc<HostFigures>>,
    /// The latest snapshot's place, and what its processes had used: by pid and start, in order.
    last: Option<Last>,
    programs: HashMap<Arc<str>, Counted>,
    /// Processes of the latest snapshot whose programs are not counted for want of room.
    uncounted: u64,
    asked: Vec<TopPrograms>,
}

#[derive(Debug)]
struct Last {
    boot_id: String,
    monotonic_ms: u64,
    captured_at_us: i64,
    used_ms: Vec<((u32, i64), u64)>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    cpu_ms: u64,
    /// When it was seen last.
    seen_us: i64,
}

/// The programs that were among the first `count`, and when last.
#[derive(Debug)]
struct TopPrograms {
    count: usize,
    at_us: i64,
    among: BTreeMap<Arc<str>, i64>,
}

/// The figures of a host's latest snapshot, without its processes.
#[derive(Debug, Default)]
pub struct HostFigures {
    /// The machine's.
    pub host: HostSample,
    /// Its file systems.
    pub filesystems: Vec<FilesystemSample>,
    /// Its agent's.
    pub agent: AgentCost,
    /// Hardware threads.
    pub threads: Option<u32>,
    /// Processes that its agent left out of the snapshot.
    pub processes_left_out: u32,
}

/// A program of a host, with what its processes used since tracking began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramUse {
    /// Its name.
    pub name: Arc<str>,
    /// CPU time, in ms.
    pub cpu_ms: u64,
    /// Its memory now: what its processes share is counted once.
    pub memory_bytes: u64,
    /// Its processes now.
    pub processes: u64,
}

/// A host's programs in metrics.
#[derive(Debug, Default)]
pub struct ProgramUses {
    /// In the order of their names.
    pub programs: Vec<ProgramUse>,
    /// Processes of its latest snapshot whose programs are not counted, because the host has too many names.
    pub left_out: u64,
}

impl Tracking {
    /// Takes a host's new snapshot, if it is tracked.
    pub(super) fn take(&self, host: &HostName, snapshot: &Snapshot, now_us: i64) {
        let tracked = {
            let mut hosts = self.0.lock();
            if hosts.get(host).is_some_and(|entry| entry.until_us < now_us) {
                hosts.remove(host);
            }
            hosts.get(host).map(|entry| entry.host.clone())
        };
        if let Some(tracked) = tracked {
            tracked.take(snapshot, now_us);
        }
    }

    /// Tracks a host from now on. What is known of it already is kept.
    pub(super) fn track(&self, host: &HostName, now_us: i64) -> TrackedHost {
        let kept_us = i64::try_from(KEPT_FOR.as_micros()).unwrap_or(i64::MAX);
        let until_us = now_us.saturating_add(kept_us);
        let mut hosts = self.0.lock();
        match hosts.get_mut(host) {
            Some(entry) => {
                entry.until_us = until_us;
                entry.host.clone()
            }
            None => {
                // Hosts that are gone send nothing that would end their tracking.
                hosts.retain(|_, entry| entry.until_us >= now_us);
                let tracked = TrackedHost::default();
                hosts.insert(host.clone(), Entry { until_us, host: tracked.clone() });
                tracked
            }
        }
    }
}

impl TrackedHost {
    /// Begins with a snapshot that came before it was tracked, unless one has come since.
    pub(super) fn begin(&self, snapshot: impl FnOnce() -> Option<Arc<Snapshot>>, now_us: i64) {
        let is_new = self.0.lock().figures.is_none();
        // It takes a while to decode.
        let Some(snapshot) = is_new.then(snapshot).flatten() else { return };
        let mut tracked = self.0.lock();
        if tracked.figures.is_none() {
            tracked.take(&snapshot, now_us);
        }
    }

    fn take(&self, snapshot: &Snapshot, now_us: i64) {
        self.0.lock().take(snapshot, now_us);
    }

    /// The figures of its latest snapshot.
    pub fn figures(&self) -> Option<Arc<HostFigures>> {
        self.0.lock().figures.clone()
    }

    /// Its first `count` programs by CPU and by memory of its latest snapshot, which is `share`, and those that were among
    /// them within the past hour; none where none are asked for.
    pub fn programs(&self, share: &Share, count: usize, now_us: i64) -> ProgramUses {
        if count == 0 {
            return ProgramUses::default();
        }
        let mut tracked = self.0.lock();
        let tracked = &mut *tracked;
        let asked = asked_for(&mut tracked.asked, count, now_us);
        for name in first_of(share, count) {
            asked.among.insert(name, now_us);
        }
        let longest_us = i64::try_from(STAYS_FOR.as_micros()).unwrap_or(i64::MAX);
        asked.among.retain(|_, among_us| now_us.saturating_sub(*among_us) <= longest_us);
        while asked.among.len() > count.saturating_mul(MOST_STAYING) {
            let Some(longest) = asked.among.iter().min_by_key(|(_, at_us)| **at_us) else { break };
            let longest = Arc::clone(longest.0);
            asked.among.remove(&longest);
        }
        let now: HashMap<&str, _> = share.iter().map(|(name, totals)| (&**name, totals)).collect();
        let programs = asked.among.keys().filter_map(|name| {
            let counted = tracked.programs.get(name)?;
            let totals = now.get(&**name).copied().copied().unwrap_or_default();
            let (memory_bytes, processes) = (totals.memory_bytes, totals.processes);
            Some(ProgramUse { name: Arc::clone(name), cpu_ms: counted.cpu_ms, memory_bytes, processes })
        });
        ProgramUses { programs: programs.collect(), left_out: tracked.uncounted }
    }
}

/// What was asked for with this count before, or a new list in place of the one that was not asked for longest.
fn asked_for(asked: &mut Vec<TopPrograms>, count: usize, now_us: i64) -> &mut TopPrograms {
    let place = match asked.iter().position(|known| known.count == count) {
        Some(place) => place,
        None => {
            let new = TopPrograms { count, at_us: now_us, among: BTreeMap::new() };
            let oldest = (0..asked.len()).min_by_key(|place| asked[*place].at_us).unwrap_or_default();
            if asked.len() >= MAX_ASKED {
                asked[oldest] = new;
                oldest
            } else {
                asked.push(new);
                asked.len() - 1
            }
        }
    };
    asked[place].at_us = now_us;
    &mut asked[place]
}

/// The first `count` programs by CPU, and the first by memory; of equals the first by name.
fn first_of(share: &Share, count: usize) -> Vec<Arc<str>> {
    let first = |of: fn(&super::ProgramTotals) -> u64| {
        let mut order: Vec<_> = share.iter().collect();
        order.sort_unstable_by(|a, b| of(&b.1).cmp(&of(&a.1)).then_with(|| a.0.cmp(&b.0)));
        order.into_iter().take(count).map(|(name, _)| Arc::clone(name))
    };
    let mut names: Vec<_> = first(|totals| totals.cpu_units).collect();
    names.extend(first(|totals| totals.memory_bytes));
    names
}

impl Tracked {
    fn take(&mut self, snapshot: &Snapshot, now_us: i64) {
        self.figures = Some(Arc::new(HostFigures {
            host: snapshot.host.clone(),
            filesystems: snapshot.filesystems.clone(),
            agent: snapshot.agent.clone(),
            threads: snapshot.host_info.threads,
            processes_left_out: snapshot.processes_left_out,
        }));
        // Snapshots of another boot, or of another machine with the same key, say nothing of growth.
        let before = self
            .last
            .take()
            .filter(|last| last.boot_id == snapshot.boot_id && last.monotonic_ms < snapshot.monotonic_ms);
        self.uncounted = 0;
        let mut used_ms = Vec::with_capacity(snapshot.processes.len());
        for process in &snapshot.processes {
            let cpu_ms = process.cpu_time_ms.unwrap_or_default();
            used_ms.push((process.key(), cpu_ms));
            let used = before.as_ref().map_or(0, |last| {
                let ended_ms = process.ended_children_cpu_ms.unwrap_or_default();
                last.growth_ms(process.key(), cpu_ms, process.started_at_us).saturating_add(ended_ms)
            });
            self.count(&process.name, used, now_us);
        }
        used_ms.sort_unstable_by_key(|(key, _)| *key);
        self.last = Some(Last {
            boot_id: snapshot.boot_id.clone(),
            monotonic_ms: snapshot.monotonic_ms,
            captured_at_us: snapshot.captured_at_us,
            used_ms,
        });
    }

    fn count(&mut self, name: &str, used_ms: u64, now_us: i64) {
        if let Some(counted) = self.programs.get_mut(name) {
            counted.cpu_ms = counted.cpu_ms.saturating_add(used_ms);
            counted.seen_us = now_us;
            return;
        }
        if self.programs.len() >= MAX_PROGRAMS {
            let longest_us = i64::try_from(STAYS_FOR.as_micros()).unwrap_or(i64::MAX);
            // Once for each snapshot: what is new in it is not old a moment later.
            if self.uncounted == 0 {
                self.programs.retain(|_, counted| now_us.saturating_sub(counted.seen_us) <= longest_us);
            }
            if self.programs.len() >= MAX_PROGRAMS {
                self.uncounted += 1;
                return;
            }
        }
        self.programs.insert(name.into(), Counted { cpu_ms: used_ms, seen_us: now_us });
    }
}

impl Last {
    /// What a process used since this snapshot: one that it has not is new, or was left out of it, and what it used
    /// before is unknown then.
    fn growth_ms(&self, key: (u32, i64), cpu_ms: u64, started_at_us: i64) -> u64 {
        match self.used_ms.binary_search_by_key(&key, |(known, _)| *known) {
            Ok(place) => self.used_ms.get(place).map_or(0, |(_, before)| cpu_ms.saturating_sub(*before)),
            Err(_) if started_at_us.saturating_add(START_TOLERANCE_US) >= self.captured_at_us => cpu_ms,
            Err(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use fleetps_nats::snapshot::Process;

    use super::{super::programs::Programs, *};

    const SECOND_US: i64 = 1_000_000;

    /// A snapshot of the second `at`: name, pid, second of its start, CPU time and that of its ended children.
    fn snapshot(at: i64, processes: &[(&str, u32, i64, u64, u64)]) -> Snapshot {
        let process = |(name, pid, started, cpu, ended): &(&str, u32, i64, u64, u64)| Process {
            name: (*name).to_owned(),
            pid: *pid,
            started_at_us: started * SECOND_US,
            start_ticks: Some(u64::try_from(started * 100).unwrap()),
            cpu_time_ms: Some(*cpu),
            cpu_percent: Some(1.0),
            resident_bytes: Some(u64::from(*pid)),
            ended_children_cpu_ms: Some(*ended),
            ..Process::default()
        };
        Snapshot {
            boot_id: "boot".to_owned(),
            monotonic_ms: u64::try_from(at * 1000).unwrap(),
            captured_at_us: at * SECOND_US,
            interval_ms: 10_000,
            processes: processes.iter().map(process).collect(),
            ..Snapshot::default()
        }
    }

    fn share(snapshot: &Snapshot) -> Share {
        Programs::default().share_of(snapshot)
    }

    fn used(host: &TrackedHost, of: &Snapshot, name: &str) -> Option<u64> {
        let uses = host.programs(&share(of), 20, of.captured_at_us);
        uses.programs.into_iter().find(|program| &*program.name == name).map(|program| program.cpu_ms)
    }

    #[test]
    fn a_programs_cpu_time_only_grows_and_counts_who_came_and_went() {
        let host = TrackedHost::default();
        let steps = [
            // What was used before reading began does not count.
            (snapshot(100, &[("sh", 1, 10, 5_000, 900), ("sh", 2, 10, 700, 0)]), 0),
            (snapshot(110, &[("sh", 1, 10, 5_400, 30), ("sh", 2, 10, 700, 0)]), 430),
            // One ended, one is new and one was left out of the snapshot before.
            (snapshot(120, &[("sh", 1, 10, 5_400, 0), ("sh", 3, 115, 60, 0), ("sh", 4, 20, 9_999, 0)]), 490),
            // A pid is given again.
            (snapshot(130, &[("sh", 3, 125, 20, 0), ("sh", 4, 20, 10_000, 0)]), 511),
            (snapshot(140, &[("other", 9, 135, 1, 0)]), 511),
            (snapshot(150, &[("sh", 3, 145, 7, 0)]), 518),
        ];
        for (snapshot, expected) in &steps {
            host.take(snapshot, snapshot.captured_at_us);
            assert_eq!(used(&host, snapshot, "sh"), Some(*expected), "at {}", snapshot.captured_at_us);
        }
        // A new boot, an older snapshot and another machine with the same name change nothing by themselves.
        let mut other = snapshot(160, &[("sh", 3, 145, 90_000, 80_000)]);
        other.boot_id = "another".to_owned();
        for snapshot in [other.clone(), snapshot(155, &[("sh", 3, 145, 50_000, 0)]), other] {
            host.take(&snapshot, snapshot.captured_at_us);
            assert_eq!(used(&host, &snapshot, "sh"), Some(518));
        }
    }

    #[test]
    fn a_program_that_was_among_the_first_stays_for_an_hour() {
        let host = TrackedHost::default();
        let names = |host: &TrackedHost, of: &Snapshot, count| {
            let uses = host.programs(&share(of), count, of.captured_at_us);
            uses.programs.iter().map(|program| program.name.to_string()).collect::<Vec<_>>()
        };
        // By memory, which is the pid here, and all alike by CPU.
        let first = snapshot(10, &[("a", 9, 1, 0, 0), ("b", 8, 1, 0, 0), ("c", 7, 1, 0, 0)]);
        host.take(&first, first.captured_at_us);
        assert_eq!(names(&host, &first, 1), ["a"]);
        assert_eq!(names(&host, &first, 2), ["a", "b"]);
        assert!(host.programs(&share(&first), 0, 0).programs.is_empty());
        let then = snapshot(1000, &[("b", 5, 1, 0, 0), ("c", 7, 1, 0, 0)]);
        host.take(&then, then.captured_at_us);
        assert_eq!(names(&host, &then, 1), ["a", "b", "c"], "b by CPU and name, c by memory");
        let gone = host.programs(&share(&then), 1, then.captured_at_us).programs.swap_remove(0);
        assert_eq!((gone.processes, gone.memory_bytes), (0, 0));
        let later = snapshot(3700, &[("b", 5, 1, 0, 0), ("c", 7, 1, 0, 0)]);
        host.take(&later, later.captured_at_us);
        assert_eq!(names(&host, &later, 1), ["b", "c"], "an hour is over");
    }

    #[test]
    fn a_host_with_ever_new_names_takes_bounded_memory() {
        let host = TrackedHost::default();
        let mut left_out = 0;
        for round in 0..20_i64 {
            let names: Vec<String> = (0..200).map(|number| format!("p{round}-{number}")).collect();
            let processes: Vec<_> =
                (1..).zip(&names).map(|(pid, name)| (name.as_str(), pid, 1, 0, 0)).collect();
            let snapshot = snapshot(10 + round, &processes);
            host.take(&snapshot, snapshot.captured_at_us);
            let uses = host.programs(&share(&snapshot), 20, snapshot.captured_at_us);
            assert!(uses.programs.len() <= 20 * MOST_STAYING);
            left_out += uses.left_out;
            for count in 1..=100 {
                host.programs(&share(&snapshot), count, snapshot.captured_at_us);
            }
        }
        let tracked = host.0.lock();
        assert_eq!((tracked.programs.len(), tracked.asked.len()), (MAX_PROGRAMS, MAX_ASKED));
        assert_eq!(left_out, 20 * 200 - MAX_PROGRAMS as u64);
    }

    #[test]
    fn a_host_is_tracked_while_its_metrics_are_read() {
        let (tracking, host) = (Tracking::default(), "web-1".parse::<HostName>().unwrap());
        let first = snapshot(10, &[("sh", 1, 1, 100, 0)]);
        tracking.take(&host, &first, 0);
        let tracked = tracking.track(&host, 0);
        assert!(tracked.figures().is_none());
        tracked.begin(|| Some(Arc::new(first.clone())), 0);
        assert!(tracked.figures().is_some());
        tracked.begin(|| unreachable!("it has begun"), 0);
        let kept_us = i64::try_from(KEPT_FOR.as_micros()).unwrap();
        let second = snapshot(20, &[("sh", 1, 1, 130, 0)]);
        tracking.take(&host, &second, kept_us);
        assert_eq!(used(&tracking.track(&host, 1), &second, "sh"), Some(30));
        tracking.take(&host, &snapshot(30, &[("sh", 1, 1, 150, 0)]), kept_us + 2);
        let again = tracking.track(&host, kept_us + 3);
        assert!(again.figures().is_none(), "nobody has read it for long");
    }
}
