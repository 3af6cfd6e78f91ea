//! The past of random fleets, computed from the raw snapshots in the plainest way, compared with the history's answers:
//! sealed in random cuts, after every level of merging, and where one process table a minute is left.

mod differences;
mod lives;
mod moments;
mod search;
pub mod top;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use fastrand::Rng;
use fleetps_ingestor::{
    IngestorSettings,
    history::{History, Hosts, Identity, Scope, SnapshotLookup, Span},
    merge_folder, tidy_folder,
};
use fleetps_nats::{HostName, Snapshot, snapshot::Process};

pub use self::moments::{Kept, at_moment};
use self::{
    differences::check_diff, lives::check_lives, moments::snapshots_of, search::check_search, top::check_top,
};
use crate::fleet::{Published, for_each_fleet};

/// Questions of each kind for each fleet.
const QUESTIONS: usize = 4;
/// From snapshot to snapshot in one direction.
const STEPS: usize = 6;

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
    let all = Kept::all(published);
    for _ in 0..QUESTIONS {
        check_moments(history, published, &all, rng);
        check_snapshots(history, published, rng);
        check_diff(history, published, rng);
        check_lives(history, published, rng);
        check_top(history, published, rng);
    }
}

/// Asks for processes as they were at some moments.
fn check_moments(history: &History, published: &[Published], kept: &Kept, rng: &mut Rng) {
    let (host, at_us) = (some_host(published, rng), moment(published, rng));
    check_moment(history, published, kept, &host, at_us);
    check_steps(history, published, kept, &host, at_us);
    check_search(history, published, kept, rng);
}

fn check_moment(
    history: &History,
    published: &[Published],
    kept: &Kept,
    host: &HostName,
    at_us: i64,
) -> SnapshotLookup {
    let found = history.snapshot_at(host, at_us).unwrap();
    assert_eq!(found, at_moment(published, kept, host, at_us), "{host} at {at_us}");
    found
}

/// Goes from snapshot to snapshot, as a key that is held down does: on, and back beyond where it began.
fn check_steps(history: &History, published: &[Published], kept: &Kept, host: &HostName, from_us: i64) {
    let mut at_us = from_us;
    for step in 0..3 * STEPS {
        let SnapshotLookup::Snapshot(past) = check_moment(history, published, kept, host, at_us) else {
            return;
        };
        let next_us = if step < STEPS { past.later_us } else { past.earlier_us };
        at_us = next_us.unwrap_or(at_us);
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

fn identity(host: &HostName, snapshot: &Snapshot, process: &Process) -> Identity {
    Identity::of(host, &snapshot.boot_id, process)
}

fn hosts(published: &[Published]) -> BTreeSet<&HostName> {
    published.iter().map(|published| &published.host).collect()
}

/// Asks within a scope: the answers are as if nothing else had ever been published.
fn check_scope(history: &History, published: &[Published], rng: &mut Rng) {
    let mut some = || match rng.u32(0..4) {
        0 => Hosts::All,
        _ => hosts(published).into_iter().filter(|_| rng.bool()).cloned().collect(),
    };
    let scope = Scope::new(some(), some());
    let mut seen: Vec<Published> =
        published.iter().filter(|published| scope.sees(&published.host)).cloned().collect();
    for Published { host, snapshot, .. } in &mut seen {
        if !scope.sees_command_lines(host) {
            snapshot.processes.iter_mut().for_each(|process| process.command_line = None);
        }
    }
    if !seen.is_empty() {
        check(&history.within(Arc::new(scope)), &seen, rng);
    }
}

#[test]
fn the_past_is_what_was_published() {
    for_each_fleet(1, |folder, history, published, rng| {
        check(history, published, rng);
        merge_folder(folder).unwrap();
        history.refresh().unwrap();
        check(history, published, rng);
        check_scope(history, published, rng);
        tidy_folder(folder, i64::MAX / 2, &minutes()).unwrap();
        history.refresh().unwrap();
        let kept = Kept::thinned(history, published);
        for _ in 0..2 * QUESTIONS {
            check_moments(history, published, &kept, rng);
            check_lives(history, published, rng);
        }
        assert_eq!(history.missing_segments(), []);
    });
}

/// Everything is old enough to be thinned, and not to become sums.
fn minutes() -> IngestorSettings {
    IngestorSettings {
        keep_samples: Duration::from_secs(1),
        keep_minutes: Duration::MAX,
        max_history_bytes: u64::MAX,
        ..IngestorSettings::default()
    }
}
