//! The differences between two snapshots.

use std::collections::{BTreeSet, HashMap};

use fastrand::Rng;
use fleetps_ingestor::history::{Changed, Diff, History, SnapshotLookup, diff};
use fleetps_nats::{Snapshot, snapshot::Process};

use super::{moments::snapshots_of, some_host};
use crate::fleet::Published;

type Key = (String, u32, i64);

fn processes(snapshot: &Snapshot) -> HashMap<Key, &Process> {
    let key = |process: &Process| (snapshot.boot_id.clone(), process.pid, process.start());
    snapshot.processes.iter().map(|process| (key(process), process)).collect()
}

pub fn check_diff(history: &History, published: &[Published], rng: &mut Rng) {
    let host = some_host(published, rng);
    let all = snapshots_of(published, &host);
    let (a, b) = (rng.usize(0..all.len()), rng.usize(0..all.len()));
    let (before, after) = (all[a.min(b)], all[a.max(b)]);
    let of_history = |snapshot: &Snapshot| match history.snapshot_at(&host, snapshot.captured_at_us).unwrap()
    {
        SnapshotLookup::Snapshot(past) => past.pair.latest().clone(),
        SnapshotLookup::Nothing(nothing) => panic!("{nothing:?}"),
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
        let mut all: Vec<_> = alone.iter().chain(restarted).map(|process| process.key()).collect();
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
