//! The past of made-up fleets, computed from the raw snapshots in the plainest way, against what the history answers; in
//! whatever cuts they were sealed, and after every level of merging.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
};

use fastrand::Rng;
use fleetps_ingestor::{
    filter::{Fields, Filter},
    history::{
        AtMoment, Changed, Diff, Found, History, Identity, NoSnapshot, PastSnapshot, ProcessLife, Resolution,
        Span, diff,
    },
    merge_folder,
};
use fleetps_nats::{
    HostName, Snapshot,
    snapshot::{HostInfo, Process},
};
use proptest::prelude::*;

use crate::fleet::{Published, fleet, seal_all};

/// Questions of each kind for each fleet.
const QUESTIONS: usize = 4;

/// The snapshots of a host, in the order in which they were captured.
fn snapshots_of<'a>(published: &'a [Published], host: &HostName) -> Vec<&'a Snapshot> {
    let mut snapshots: Vec<_> = published
        .iter()
        .filter(|published| published.host == *host)
        .map(|published| &published.snapshot)
        .collect();
    snapshots.sort_by_key(|snapshot| snapshot.captured_at_us);
    snapshots
}

/// What the history should say of a moment, where every sample is kept.
pub fn at_moment(published: &[Published], host: &HostName, at_us: i64) -> AtMoment {
    let snapshots = snapshots_of(published, host);
    let after = snapshots.partition_point(|snapshot| snapshot.captured_at_us <= at_us);
    let captured = |place: usize| snapshots.get(place).map(|snapshot| snapshot.captured_at_us);
    let Some(place) = after.checked_sub(1) else {
        let first_us = captured(0);
        return AtMoment::Nothing(
            first_us.map_or(NoSnapshot::UnknownHost, |first_us| NoSnapshot::BeforeFirst { first_us }),
        );
    };
    let snapshot = snapshots[place];
    if at_us - snapshot.captured_at_us > 3000 * i64::from(snapshot.interval_ms) {
        let before_us = snapshot.captured_at_us;
        return AtMoment::Nothing(match captured(after) {
            Some(after_us) => NoSnapshot::Gap { before_us, after_us },
            None => NoSnapshot::AfterLast { last_us: before_us },
        });
    }
    let earlier = place.checked_sub(1).map(|place| snapshots[place]);
    AtMoment::Snapshot(Box::new(PastSnapshot {
        snapshot: snapshot.clone(),
        previous: earlier.filter(|earlier| earlier.boot_id == snapshot.boot_id).map(for_rates),
        earlier_us: earlier.map(|earlier| earlier.captured_at_us),
        later_us: captured(after),
        resolution: Resolution::Samples,
    }))
}

/// What a history tells of the snapshot before.
fn for_rates(snapshot: &Snapshot) -> Snapshot {
    Snapshot {
        os_host_name: String::new(),
        agent_version: String::new(),
        host_info: HostInfo::default(),
        filesystems: Vec::new(),
        ..snapshot.clone()
    }
}

/// A moment that may be anywhere, but is often just at or beside a snapshot.
fn moment(published: &[Published], rng: &mut Rng) -> i64 {
    let snapshot = &published[rng.usize(0..published.len())].snapshot;
    let near_us = 4000 * i64::from(snapshot.interval_ms);
    match rng.u32(0..4) {
        0 => snapshot.captured_at_us,
        1 => snapshot.captured_at_us + rng.i64(-2_000..2_000),
        2 => snapshot.captured_at_us + rng.i64(-near_us..near_us),
        _ => snapshot.captured_at_us + rng.i64(-20 * near_us..20 * near_us),
    }
}

fn some_host(published: &[Published], rng: &mut Rng) -> HostName {
    published[rng.usize(0..published.len())].host.clone()
}

/// Asks everything, and compares.
fn check(history: &History, published: &[Published], rng: &mut Rng) {
    for _ in 0..QUESTIONS {
        let (host, at_us) = (some_host(published, rng), moment(published, rng));
        let found = history.snapshot_at(&host, at_us).unwrap();
        assert_eq!(found, at_moment(published, &host, at_us), "{host} at {at_us}");
    }
    for _ in 0..QUESTIONS {
        check_snapshots(history, published, rng);
        check_diff(history, published, rng);
        check_search(history, published, rng);
        check_lives(history, published, rng);
    }
}

fn check_snapshots(history: &History, published: &[Published], rng: &mut Rng) {
    let host = some_host(published, rng);
    let (a, b) = (moment(published, rng), moment(published, rng));
    let span = Span { from_us: a.min(b), to_us: a.max(b) };
    let within = |captured_us: &i64| (span.from_us..span.to_us).contains(captured_us);
    let captured = snapshots_of(published, &host).into_iter().map(|snapshot| snapshot.captured_at_us);
    let expected: Vec<i64> = captured.filter(within).collect();
    let found = history.snapshots(&host, span, 5).unwrap();
    assert_eq!(found.total, expected.len() as u64, "{host} {span:?}");
    assert_eq!(found.items, expected[..expected.len().min(5)], "{host} {span:?}");
}

type Key = (String, u32, i64);

fn processes(snapshot: &Snapshot) -> HashMap<Key, &Process> {
    let key = |process: &Process| (snapshot.boot_id.clone(), process.pid, process.started_at_us);
    snapshot.processes.iter().map(|process| (key(process), process)).collect()
}

fn check_diff(history: &History, published: &[Published], rng: &mut Rng) {
    let host = some_host(published, rng);
    let all = snapshots_of(published, &host);
    let (a, b) = (rng.usize(0..all.len()), rng.usize(0..all.len()));
    let (before, after) = (all[a.min(b)], all[a.max(b)]);
    let of_history = |snapshot: &Snapshot| match history.snapshot_at(&host, snapshot.captured_at_us).unwrap()
    {
        AtMoment::Snapshot(past) => past.snapshot,
        AtMoment::Nothing(nothing) => panic!("{nothing:?}"),
    };
    let found = diff(&of_history(before), &of_history(after));
    assert_eq!((found.from_us, found.to_us), (before.captured_at_us, after.captured_at_us));
    assert_eq!(found.rebooted, before.boot_id != after.boot_id);
    check_comings_and_goings(&found, before, after);
    check_changes(&found, before, after);
}

/// Every process that is in one snapshot only is said to be so once; of each program as many were restarted as could be.
fn check_comings_and_goings(found: &Diff, before: &Snapshot, after: &Snapshot) {
    let (earlier, later) = (processes(before), processes(after));
    let only = |these: &HashMap<Key, &Process>, those: &HashMap<Key, &Process>| -> BTreeSet<(u32, i64)> {
        let only = these.keys().filter(|key| !those.contains_key(key));
        only.map(|(_, pid, started_at_us)| (*pid, *started_at_us)).collect()
    };
    let said = |alone: &[Process], of_pair: fn(&Changed) -> &Process| -> Vec<(u32, i64)> {
        let restarted = found.restarted.iter().map(of_pair);
        let mut all: Vec<_> =
            alone.iter().chain(restarted).map(|process| (process.pid, process.started_at_us)).collect();
        all.sort_unstable();
        all
    };
    let started = said(&found.started, |pair| &pair.after);
    let gone = said(&found.gone, |pair| &pair.before);
    assert!(only(&later, &earlier).into_iter().eq(started.iter().copied()), "{started:?}");
    assert!(only(&earlier, &later).into_iter().eq(gone.iter().copied()), "{gone:?}");
    let program = |process: &Process| (process.name.clone(), process.command_line.clone());
    for pair in &found.restarted {
        assert_eq!(program(&pair.before), program(&pair.after));
    }
    let started: BTreeSet<_> = found.started.iter().map(program).collect();
    assert!(found.gone.iter().all(|process| !started.contains(&program(process))), "started, and gone");
}

fn check_changes(found: &Diff, before: &Snapshot, after: &Snapshot) {
    let (earlier, later) = (processes(before), processes(after));
    let mut resized = Vec::new();
    let mut busy = Vec::new();
    for (key, now) in &later {
        let Some(then) = earlier.get(key) else { continue };
        if let (Some(a), Some(b)) = (then.resident_bytes, now.resident_bytes) {
            let (a, b) = (a as f64, b as f64);
            if (b - a).abs() >= 1_048_576.0 && (b - a).abs() >= a / 10.0 {
                resized.push((now.pid, (b - a) as i64));
            }
        }
        if let (Some(a), Some(b)) = (then.cpu_time_ms, now.cpu_time_ms)
            && b > a
        {
            busy.push((now.pid, (b - a) as i64));
        }
    }
    for (expected, changed) in [(&mut resized, &found.resized), (&mut busy, &found.busy)] {
        expected.sort_by_key(|(pid, by)| (-by, *pid));
        let pids: Vec<u32> = changed.iter().map(|pair| pair.after.pid).collect();
        assert_eq!(pids, expected.iter().map(|(pid, _)| *pid).collect::<Vec<_>>());
    }
}

/// What a search should find among one process of a snapshot.
fn found(host: &HostName, past: &PastSnapshot, process: &Process) -> Found {
    let (now, before) = (&past.snapshot, past.previous.as_ref());
    let same = |other: &&Process| (other.pid, other.started_at_us) == (process.pid, process.started_at_us);
    let rate = |counter: fn(&Process) -> Option<u64>| {
        let earlier = before?.processes.iter().find(same)?;
        let elapsed_ms =
            now.monotonic_ms.checked_sub(before?.monotonic_ms).filter(|elapsed_ms| *elapsed_ms > 0)?;
        Some(counter(process)?.checked_sub(counter(earlier)?)? as f64 / (elapsed_ms as f64 / 1000.0))
    };
    Found {
        identity: identity(host, now, process),
        captured_at_us: now.captured_at_us,
        process: process.clone(),
        memory_total_bytes: now.host.memory_total_bytes,
        read_per_s: rate(|process| process.read_bytes),
        written_per_s: rate(|process| process.written_bytes),
    }
}

fn identity(host: &HostName, snapshot: &Snapshot, process: &Process) -> Identity {
    let (pid, started_at_us) = (process.pid, process.started_at_us);
    Identity { host: host.clone(), boot_id: snapshot.boot_id.clone(), pid, started_at_us }
}

fn hosts(published: &[Published]) -> BTreeSet<&HostName> {
    published.iter().map(|published| &published.host).collect()
}

fn check_search(history: &History, published: &[Published], rng: &mut Rng) {
    let at_us = moment(published, rng);
    let text = ["", "cpu > 100 and not postgres", "read > 1M or unit ~ sh", "mem% >= 0.2"][rng.usize(0..4)];
    let filter = Filter::parse(text).unwrap();
    let mut expected = Vec::new();
    for host in hosts(published) {
        let AtMoment::Snapshot(past) = at_moment(published, host, at_us) else { continue };
        let of_host = past.snapshot.processes.iter().map(|process| found(host, &past, process));
        expected.extend(of_host.filter(|found| filter.matches(&fields(found))));
    }
    let answer = history.search(&filter, at_us, 20).unwrap();
    assert_eq!(answer.total, expected.len() as u64, "{text:?} at {at_us}");
    expected.truncate(20);
    assert_eq!(answer.items, expected, "{text:?} at {at_us}");
}

fn fields(found: &Found) -> Fields<'_> {
    let process = &found.process;
    let resident_bytes = process.resident_bytes.map(|bytes| bytes as f64);
    Fields {
        host: found.identity.host.as_str(),
        name: &process.name,
        command_line: process.command_line.as_deref(),
        user_name: process.user_name.as_deref(),
        pid: process.pid,
        parent_pid: process.parent_pid,
        cpu_percent: process.cpu_percent.map(f64::from),
        resident_bytes,
        memory_percent: resident_bytes
            .zip(found.memory_total_bytes)
            .map(|(bytes, total_bytes)| 100.0 * bytes / total_bytes as f64),
        read_per_s: found.read_per_s,
        written_per_s: found.written_per_s,
        threads: process.threads,
        state: Some(process.state),
        age_s: (found.captured_at_us - process.started_at_us) as f64 / 1e6,
        unit: process.unit.as_deref(),
        container: process.container.as_deref(),
    }
}

/// Every process of a host over its life.
fn lives(published: &[Published], host: &HostName) -> Vec<ProcessLife> {
    let snapshots = snapshots_of(published, host);
    let mut lives: HashMap<Identity, ProcessLife> = HashMap::new();
    for snapshot in &snapshots {
        for process in &snapshot.processes {
            let identity = identity(host, snapshot, process);
            let life = lives.entry(identity.clone()).or_insert_with(|| ProcessLife {
                identity,
                process: without_samples(process),
                first_seen_us: snapshot.captured_at_us,
                last_seen_us: snapshot.captured_at_us,
                has_exited: false,
            });
            life.last_seen_us = snapshot.captured_at_us;
        }
    }
    let last_us = snapshots.last().map(|snapshot| snapshot.captured_at_us);
    let mut lives: Vec<ProcessLife> = lives.into_values().collect();
    lives.iter_mut().for_each(|life| life.has_exited = last_us > Some(life.last_seen_us));
    lives
}

fn without_samples(process: &Process) -> Process {
    Process {
        state: '?',
        threads: None,
        cpu_percent: None,
        cpu_time_ms: None,
        resident_bytes: None,
        virtual_bytes: None,
        read_bytes: None,
        written_bytes: None,
        ..process.clone()
    }
}

fn check_lives(history: &History, published: &[Published], rng: &mut Rng) {
    let host = some_host(published, rng);
    let mut all = lives(published, &host);
    let one = all[rng.usize(0..all.len())].clone();
    let (pid, name) = (one.identity.pid, one.process.name.clone());
    let last = |life: &&ProcessLife| (life.last_seen_us, life.identity.started_at_us);
    let of_pid = |started_at_us: Option<i64>| {
        let same = all.iter().filter(|life| life.identity.pid == pid);
        same.filter(|life| started_at_us.is_none_or(|us| us == life.identity.started_at_us)).max_by_key(last)
    };
    for started_at_us in [Some(one.identity.started_at_us), None] {
        assert_eq!(history.process(&host, pid, started_at_us).unwrap().as_ref(), of_pid(started_at_us));
    }
    assert_eq!(history.process(&host, pid, Some(1)).unwrap(), None);
    all.retain(|life| life.process.name == name);
    all.sort_by_key(|life| Reverse((life.identity.started_at_us, life.last_seen_us, life.identity.pid)));
    let found = history.incarnations(&host, &name, 3).unwrap();
    assert_eq!((found.total, &found.items[..]), (all.len() as u64, &all[..all.len().min(3)]));
    check_elsewhere(history, published, &host, &name);
}

fn check_elsewhere(history: &History, published: &[Published], host: &HostName, name: &str) {
    let others = hosts(published).into_iter().filter(|other| *other != host);
    let expected: Vec<ProcessLife> = others
        .filter_map(|other| {
            let of_program = lives(published, other).into_iter().filter(|life| life.process.name == name);
            of_program.max_by_key(|life| {
                (life.last_seen_us, life.identity.started_at_us, Reverse(life.identity.pid))
            })
        })
        .collect();
    assert_eq!(history.elsewhere(host, name, 10).unwrap().items, expected);
}

proptest! {
    // Each takes a second, for the files that it writes and the many small questions.
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn the_past_is_what_was_published(seed: u64) {
        let published = fleet(seed);
        prop_assume!(!published.is_empty());
        let mut rng = Rng::with_seed(seed);
        let folder = tempfile::tempdir().unwrap();
        seal_all(folder.path(), &published, &mut rng);
        let history = History::open(folder.path()).unwrap();
        check(&history, &published, &mut rng);
        merge_folder(folder.path()).unwrap();
        history.refresh().unwrap();
        check(&history, &published, &mut rng);
    }
}
