//! Questions over time about random fleets: the history answers as the plainest computation from the raw snapshots
//! does, sealed in random cuts, and after every level of merging and thinning.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    time::Duration,
};

use fastrand::Rng;
use fleetps_ingestor::{
    IngestorSettings,
    history::{Event, EventKind, EventQuery, History, Identity, Resolution, Span},
    merge_folder, tidy_folder,
};
use fleetps_nats::{HostName, Snapshot, snapshot::Process};

use crate::{
    fleet::{Published, for_each_fleet},
    naive::top::check_top_over,
};

/// Questions of each kind for each fleet.
const QUESTIONS: usize = 3;
const HOUR_US: i64 = 3_600_000_000;
/// More than there can be.
const ALL: usize = 1_000_000;

/// From one snapshot to another, or a little beside; sometimes to whole hours.
fn some_span(published: &[Published], rng: &mut Rng) -> Span {
    let mut moment = || {
        let at_us = published[rng.usize(0..published.len())].snapshot.captured_at_us + rng.i64(-1..2) * 1000;
        if rng.u32(0..3) == 0 { at_us - at_us.rem_euclid(HOUR_US) } else { at_us }
    };
    let (a, b) = (moment(), moment());
    Span { from_us: a.min(b), to_us: a.max(b) + 1000 }
}

fn contains(span: Span, at_us: i64) -> bool {
    (span.from_us..span.to_us).contains(&at_us)
}

/// By when they were captured.
fn snapshots_of<'a>(published: &'a [Published], host: &HostName) -> Vec<&'a Snapshot> {
    let of_host = published.iter().filter(|published| published.host == *host);
    let mut snapshots: Vec<_> = of_host.map(|published| &published.snapshot).collect();
    snapshots.sort_by_key(|snapshot| snapshot.captured_at_us);
    snapshots
}

fn identity(host: &HostName, snapshot: &Snapshot, process: &Process) -> Identity {
    Identity::of(host, &snapshot.boot_id, process)
}

/// What the disks read within a span, and the seconds that are known.
fn naive_growth(snapshots: &[&Snapshot], span: Span) -> (f64, f64) {
    let before = snapshots.iter().rev().find(|snapshot| snapshot.captured_at_us < span.from_us);
    let from_us = before.map_or(span.from_us, |snapshot| snapshot.captured_at_us);
    let mut boots: HashMap<&str, Vec<(u64, u64, i64)>> = HashMap::new();
    for snapshot in snapshots {
        if (from_us..span.to_us).contains(&snapshot.captured_at_us)
            && let Some(bytes) = snapshot.host.disk_read_bytes
        {
            let sample = (snapshot.monotonic_ms, bytes, snapshot.captured_at_us);
            boots.entry(&snapshot.boot_id).or_default().push(sample);
        }
    }
    let (mut bytes, mut seconds) = (0.0, 0.0);
    for samples in boots.values_mut() {
        samples.sort_unstable();
        for pair in samples.windows(2) {
            if contains(span, pair[1].2) {
                bytes += (pair[1].1 - pair[0].1) as f64;
                seconds += (pair[1].0 - pair[0].0) as f64 / 1000.0;
            }
        }
    }
    (bytes, seconds)
}

fn naive_gaps(snapshots: &[&Snapshot], span: Span, known_to_us: i64) -> Vec<Span> {
    let mut gaps: Vec<Span> = Vec::new();
    for (place, snapshot) in snapshots.iter().enumerate() {
        let next = snapshots.get(place + 1);
        let interval_ms = snapshot.interval_ms.max(next.map_or(0, |next| next.interval_ms));
        let next_us = next.map_or(known_to_us, |next| next.captured_at_us);
        let is_silence = next_us - snapshot.captured_at_us > 3000 * i64::from(interval_ms);
        if is_silence && snapshot.captured_at_us < span.to_us && next_us > span.from_us {
            let end_us = if next.is_some() { next_us } else { i64::MAX };
            gaps.push(Span {
                from_us: snapshot.captured_at_us.max(span.from_us),
                to_us: end_us.min(span.to_us),
            });
        }
    }
    gaps
}

fn check_host(history: &History, published: &[Published], rng: &mut Rng) {
    let (host, span) = (&published[rng.usize(0..published.len())].host, some_span(published, rng));
    let snapshots = snapshots_of(published, host);
    let within: Vec<_> =
        snapshots.iter().filter(|snapshot| contains(span, snapshot.captured_at_us)).collect();
    let known_to_us = published.iter().map(|published| published.snapshot.captured_at_us).max().unwrap();
    let whole = history.host_metrics(host, span, 1, &[]).unwrap();
    let fine = history.host_metrics(host, span, 50, &[]).unwrap();
    assert_eq!(whole.gaps, naive_gaps(&snapshots, span, known_to_us), "{host} {span:?}");
    let samples: u32 = fine.points.iter().map(|point| point.samples).sum();
    assert_eq!(samples as usize, within.len());
    assert!(fine.points.len() <= 50 && fine.points.is_sorted_by_key(|point| point.from_us));
    let Some(point) = whole.points.first() else { return assert!(within.is_empty()) };
    let used = within.iter().filter_map(|snapshot| snapshot.host.memory_used_bytes);
    let extent = point.extent("memory_used_bytes").unwrap();
    assert_eq!((Some(extent.min as u64), Some(extent.max as u64)), (used.clone().min(), used.max()));
    let (bytes, seconds) = naive_growth(&snapshots, span);
    let mean = point.extent("disk_read_bytes_per_s").map(|rate| rate.mean);
    let is_close = mean.map_or(seconds == 0.0, |mean| (mean * seconds - bytes).abs() <= bytes / 1e6);
    assert!(is_close, "{host} {span:?}: {mean:?}/s, not {bytes} in {seconds} s");
}

/// Starts and exits as (kind, time, process), by what the snapshots of each boot have.
fn naive_turns(host: &HostName, snapshots: &[&Snapshot], span: Span) -> Vec<(EventKind, i64, Identity)> {
    let mut boots: HashMap<&str, Vec<&Snapshot>> = HashMap::new();
    for snapshot in snapshots {
        boots.entry(&snapshot.boot_id).or_default().push(snapshot);
    }
    let mut turns = Vec::new();
    for snapshots in boots.values() {
        let mut seen: BTreeMap<Identity, (usize, usize)> = BTreeMap::new();
        for (place, snapshot) in snapshots.iter().enumerate() {
            for process in &snapshot.processes {
                seen.entry(identity(host, snapshot, process)).or_insert((place, place)).1 = place;
            }
        }
        for (identity, (first, last)) in seen {
            if first > 0 || identity.started_at_us > snapshots[0].captured_at_us {
                turns.push((EventKind::Started, snapshots[first].captured_at_us, identity.clone()));
            }
            if let Some(next) = snapshots.get(last + 1) {
                turns.push((EventKind::Exited, next.captured_at_us, identity));
            }
        }
    }
    turns.retain(|(_, at_us, _)| contains(span, *at_us));
    turns.sort();
    turns
}

fn check_events(history: &History, published: &[Published], rng: &mut Rng) {
    let (host, span) = (&published[rng.usize(0..published.len())].host, some_span(published, rng));
    let in_stream = published.iter().filter(|published| published.host == *host);
    if !in_stream.is_sorted_by_key(|published| published.snapshot.captured_at_us) {
        // Its clock went back, so that what came before and after what is not to be told.
        return;
    }
    let snapshots = snapshots_of(published, host);
    let found =
        history.events(&EventQuery { host: Some(host.clone()), ..EventQuery::of(span, ALL) }).unwrap();
    assert!(found.items.is_sorted_by(|a, b| a.at_us >= b.at_us));
    let turns = |event: &Event| Some((event.kind, event.at_us, event.identity()?));
    let mut told: Vec<_> = found.items.iter().filter_map(turns).collect();
    told.sort();
    assert_eq!(told, naive_turns(host, &snapshots, span), "{host} {span:?}");
    let mut booted: Vec<i64> = snapshots
        .windows(2)
        .filter(|pair| pair[0].boot_id != pair[1].boot_id)
        .map(|pair| pair[1].captured_at_us)
        .collect();
    booted.retain(|at_us| contains(span, *at_us));
    let told = found.items.iter().rev().filter(|event| event.kind == EventKind::Booted);
    assert_eq!(told.map(|event| event.at_us).collect::<Vec<_>>(), booted);
    let everywhere =
        history.events(&EventQuery { kinds: vec![EventKind::Exited], ..EventQuery::of(span, ALL) }).unwrap();
    let here = everywhere.items.iter().filter(|event| event.host == *host);
    let exited = found.items.iter().filter(|event| event.kind == EventKind::Exited);
    assert!(here.eq(exited), "anywhere and here differ");
}

fn check(history: &History, published: &[Published], rng: &mut Rng) {
    for _ in 0..QUESTIONS {
        check_host(history, published, rng);
        check_events(history, published, rng);
    }
}

/// Thinning keeps the use within whole hours, and the hosts' figures as long as there is one snapshot a minute.
fn check_thinned(folder: &Path, history: &History, published: &[Published], rng: &mut Rng) {
    let (soon, never) = (Duration::from_secs(1), Duration::MAX);
    for (keep_minutes, level) in [(never, Resolution::Minutes), (soon, Resolution::Hours)] {
        let settings = IngestorSettings {
            keep_samples: soon,
            keep_minutes,
            keep_hours: never,
            max_history_bytes: u64::MAX,
            ..IngestorSettings::default()
        };
        tidy_folder(folder, i64::MAX / 2, &settings).unwrap();
        history.refresh().unwrap();
        for _ in 0..QUESTIONS {
            let span = some_span(published, rng);
            let hour_of = |at_us: i64| at_us - at_us.rem_euclid(HOUR_US);
            let hours = Span { from_us: hour_of(span.from_us), to_us: hour_of(span.to_us) + HOUR_US };
            check_top_over(history, published, hours, rng);
            if level == Resolution::Minutes {
                check_host(history, published, rng);
                check_events(history, published, rng);
            }
        }
    }
}

#[test]
fn over_time_the_past_is_what_was_published() {
    for_each_fleet(1, |folder, history, published, rng| {
        check(history, published, rng);
        merge_folder(folder).unwrap();
        history.refresh().unwrap();
        check(history, published, rng);
        check_thinned(folder, history, published, rng);
    });
}
