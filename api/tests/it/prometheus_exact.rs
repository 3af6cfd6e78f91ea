//! Answers compared with a plain calculation over the same snapshots: random fleets with lost snapshots, silences, reboots,
//! counters that are reset, and processes that come, go and call exec.

use std::collections::BTreeMap;

use fastrand::Rng;
use fleetps_ingestor::merge_folder;
use fleetps_nats::{
    Snapshot,
    snapshot::{HostSample, Process},
};

use crate::{
    chance::seeds,
    prometheus::{BEGIN_S, encoded, values},
    support::{BEGIN_US, Site, process, snapshot_at},
};

/// Snapshots of each host, at one every ten seconds.
const LENGTH: i64 = 90;
const HOSTS: [&str; 3] = ["a-1", "b-1", "c-1"];
/// Growth of a counter of CPU time is in ticks.
const TICK_MS: u64 = 10;

pub type Told = Vec<(&'static str, Snapshot)>;

/// One host's life.
fn host(rng: &mut Rng, name: &'static str) -> Told {
    let (mut boot, mut booted_at) = (0, -500_i64);
    let mut received = rng.u64(0..1_000_000);
    let mut processes: Vec<Process> = Vec::new();
    let (mut next_pid, mut told, mut silent_until) = (10, Vec::new(), -1);
    for step in 0..LENGTH {
        let second = step * 10;
        if rng.u32(0..60) == 0 {
            (boot, booted_at) = (boot + 1, second - rng.i64(1..5));
            received = 0;
            processes.clear();
        }
        match rng.u32(0..40) {
            0 => received = rng.u64(0..1_000),
            1 => silent_until = second + rng.i64(20..120),
            _ => received += rng.u64(0..100_000),
        }
        processes.retain(|_| rng.u32(0..30) > 0);
        for process in &mut processes {
            process.cpu_time_ms = process.cpu_time_ms.map(|used| used + rng.u64(0..100) * TICK_MS);
            process.resident_bytes = Some(rng.u64(1..1_000) * 4096);
            if rng.u32(0..40) == 0 {
                process.name = format!("program-{}", rng.u32(0..4));
            }
        }
        while processes.len() < 5 {
            next_pid += 1;
            let started = second - rng.i64(0..10);
            processes.push(Process {
                start_ticks: u64::try_from((started - booted_at) * 100).ok(),
                started_at_us: BEGIN_US + started * 1_000_000,
                cpu_time_ms: Some(rng.u64(0..50) * TICK_MS),
                resident_bytes: Some(4096),
                ..process(next_pid, 1, &format!("program-{}", rng.u32(0..4)))
            });
        }
        // Some snapshots are lost.
        if second < silent_until || rng.u32(0..15) == 0 {
            continue;
        }
        let snapshot = snapshot_at(second, processes.clone());
        told.push((
            name,
            Snapshot {
                boot_id: format!("{name}-{boot}"),
                monotonic_ms: u64::try_from((second - booted_at) * 1_000).unwrap(),
                host: HostSample {
                    cpu_percent: Some(rng.u32(0..1_000) as f32 / 8.0),
                    network_received_bytes: Some(received),
                    ..snapshot.host.clone()
                },
                ..snapshot
            },
        ));
    }
    told
}

fn second_of(snapshot: &Snapshot) -> i64 {
    (snapshot.captured_at_us - BEGIN_US) / 1_000_000
}

/// The time between two snapshots that follow each other, in ms.
fn pair_ms(earlier: &Snapshot, later: &Snapshot) -> Option<u64> {
    let elapsed_ms = later.monotonic_ms.checked_sub(earlier.monotonic_ms)?;
    (earlier.boot_id == later.boot_id && elapsed_ms > 0 && elapsed_ms <= 3 * u64::from(later.interval_ms))
        .then_some(elapsed_ms)
}

/// What the snapshots of one host say of a window that ends at a second.
struct Window<'a> {
    told: Vec<&'a Snapshot>,
    end: i64,
    length: i64,
}

impl Window<'_> {
    fn has(&self, snapshot: &Snapshot) -> bool {
        let second = second_of(snapshot);
        second > self.end - self.length && second <= self.end
    }

    fn pairs(&self) -> impl Iterator<Item = (&Snapshot, &Snapshot, u64)> {
        let pairs = self.told.windows(2).filter(|pair| self.has(pair[1]));
        pairs.filter_map(|pair| Some((pair[0], pair[1], pair_ms(pair[0], pair[1])?)))
    }

    /// Growth and time of the bytes received.
    fn received(&self) -> Option<(f64, f64)> {
        let mut sums = None;
        for (earlier, later, elapsed_ms) in self.pairs() {
            let bytes = |snapshot: &Snapshot| snapshot.host.network_received_bytes.unwrap();
            if let Some(growth) = bytes(later).checked_sub(bytes(earlier)) {
                let (sum, time) = sums.unwrap_or((0.0, 0.0));
                sums = Some((sum + growth as f64, time + elapsed_ms as f64));
            }
        }
        sums
    }

    fn cpu(&self) -> Vec<f64> {
        let inside = self.told.iter().filter(|snapshot| self.has(snapshot));
        inside.map(|snapshot| f64::from(snapshot.host.cpu_percent.unwrap())).collect()
    }

    /// The CPU time in s of each program in the window, and the time that it was used in.
    fn programs(&self) -> (BTreeMap<String, f64>, f64) {
        let (mut all, mut time_ms) = (BTreeMap::new(), 0.0);
        for (earlier, later, elapsed_ms) in self.pairs() {
            time_ms += elapsed_ms as f64;
            for process in &later.processes {
                let before = earlier.processes.iter().find(|before| before.key() == process.key());
                let used =
                    process.cpu_time_ms.unwrap() - before.map_or(0, |before| before.cpu_time_ms.unwrap());
                *all.entry(process.name.clone()).or_insert(0.0) += used as f64 / 1_000.0;
            }
        }
        (all, time_ms / 1_000.0)
    }
}

pub fn assert_same(what: &str, found: &[(String, f64)], expected: &BTreeMap<String, f64>) {
    let found: BTreeMap<String, f64> = found.iter().cloned().collect();
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{what}");
    for (label, value) in &found {
        let (expected, most) = (expected[label], expected[label].abs().max(1.0) * 1e-9);
        assert!((value - expected).abs() <= most, "{what}: {label} is {value}, expected {expected}");
    }
}

#[tokio::test]
async fn answers_are_what_a_plain_calculation_finds() {
    for seed in seeds(2) {
        let mut rng = Rng::with_seed(seed);
        let all: BTreeMap<&str, Told> = HOSTS.iter().map(|name| (*name, host(&mut rng, name))).collect();
        let mut told: Told = all.values().flatten().cloned().collect();
        told.sort_by_key(|(_, snapshot)| snapshot.captured_at_us);
        let mut segments = Vec::new();
        while !told.is_empty() {
            let rest = told.split_off(rng.usize(1..=60).min(told.len()));
            segments.push(std::mem::replace(&mut told, rest));
        }
        let site = Site::with_history(segments);
        for _ in 0..8 {
            let end = rng.i64(0..LENGTH * 10 + 30);
            let length = rng.i64(1..30) * 10;
            compare(&site, &all, end, length).await;
        }
    }
}

async fn compare(site: &Site, all: &BTreeMap<&str, Told>, end: i64, length: i64) {
    let window = |host: &str| {
        let told = all[host].iter().map(|(_, snapshot)| snapshot).collect();
        Window { told, end, length }
    };
    let by_host = |value: &dyn Fn(&Window<'_>) -> Option<f64>| -> BTreeMap<String, f64> {
        HOSTS.iter().filter_map(|host| Some(((*host).to_owned(), value(&window(host))?))).collect()
    };
    let metric = "fleetps_host_network_received_bytes_total";
    let hosts: [(String, BTreeMap<String, f64>); 6] = [
        (
            format!("rate({metric}[{length}s])"),
            by_host(&|window| window.received().map(|(growth, ms)| growth / ms * 1_000.0)),
        ),
        (format!("increase({metric}[{length}s])"), by_host(&|window| window.received().map(|sums| sums.0))),
        (
            format!("avg_over_time(fleetps_host_cpu_percent[{length}s])"),
            by_host(&|window| {
                let cpu = window.cpu();
                (!cpu.is_empty()).then(|| cpu.iter().sum::<f64>() / cpu.len() as f64)
            }),
        ),
        (
            format!("max_over_time(fleetps_host_cpu_percent[{length}s])"),
            by_host(&|window| window.cpu().into_iter().reduce(f64::max)),
        ),
        (
            format!("count_over_time(fleetps_host_cpu_percent[{length}s])"),
            by_host(&|window| Some(window.cpu().len() as f64).filter(|count| *count > 0.0)),
        ),
        (
            "fleetps_host_cpu_percent".to_owned(),
            by_host(&|window| {
                let last = window.told.iter().rev().find(|snapshot| second_of(snapshot) <= end)?;
                (end - second_of(last) <= 30).then(|| f64::from(last.host.cpu_percent.unwrap()))
            }),
        ),
    ];
    for (query, expected) in hosts {
        assert_same(&format!("{query} at {end}"), &values(site, &query, end, "host").await, &expected);
    }
    compare_programs(site, all, end, length).await;
    let all: f64 = HOSTS.iter().filter_map(|host| Some(window(host).received()?.0)).sum();
    let found = values(site, &format!("sum(increase({metric}[{length}s]))"), end, "").await;
    assert!(found.first().is_none_or(|(_, found)| (found - all).abs() < 1e-6), "{found:?} {all} at {end}");
}

async fn compare_programs(site: &Site, all: &BTreeMap<&str, Told>, end: i64, length: i64) {
    for host in HOSTS {
        let window = Window { told: all[host].iter().map(|(_, snapshot)| snapshot).collect(), end, length };
        let (used, time) = window.programs();
        let selector = format!("fleetps_program_cpu_seconds_total{{host=\"{host}\"}}");
        // A program that was seen and used nothing is 0, one that was not seen is absent.
        let found = |query: String| async move {
            let mut found = values(site, &query, end, "program").await;
            found.retain(|(_, value)| *value != 0.0);
            found
        };
        let expected = |by: f64| -> BTreeMap<String, f64> {
            used.iter()
                .filter(|(_, used)| **used > 0.0)
                .map(|(name, used)| (name.clone(), used / by))
                .collect()
        };
        let query = format!("sum by (program) (increase({selector}[{length}s]))");
        assert_same(&format!("{query} at {end}"), &found(query).await, &expected(1.0));
        let query = format!("sum by (program) (rate({selector}[{length}s]))");
        assert_same(&format!("{query} at {end}"), &found(query).await, &expected(time));
        let query = format!("sum by (program) (fleetps_program_memory_bytes{{host=\"{host}\"}})");
        let mut resident = BTreeMap::new();
        let told = window.told;
        let last =
            told.iter().rev().find(|snapshot| second_of(snapshot) <= end && end - second_of(snapshot) <= 30);
        for process in last.map(|snapshot| snapshot.processes.as_slice()).unwrap_or_default() {
            *resident.entry(process.name.clone()).or_insert(0.0) += process.resident_bytes.unwrap() as f64;
        }
        assert_same(&format!("{query} at {end}"), &values(site, &query, end, "program").await, &resident);
    }
}

/// Five hours of one host with a snapshot a minute, none of them at the full hour.
fn hours(rng: &mut Rng) -> Told {
    let mut processes: Vec<Process> = Vec::new();
    let (mut next_pid, mut told) = (10, Vec::new());
    for minute in 0..5 * 60 + 10 {
        let second = minute * 60 + 5;
        processes.retain(|_| rng.u32(0..50) > 0);
        for process in &mut processes {
            process.cpu_time_ms = process.cpu_time_ms.map(|used| used + rng.u64(0..100) * TICK_MS);
        }
        while processes.len() < 4 {
            next_pid += 1;
            let start = second - rng.i64(0..60);
            processes.push(Process {
                start_ticks: u64::try_from((start + 1_000) * 100).ok(),
                started_at_us: BEGIN_US + start * 1_000_000,
                cpu_time_ms: Some(rng.u64(0..50) * TICK_MS),
                ..process(next_pid, 1, &format!("program-{}", rng.u32(0..3)))
            });
        }
        let monotonic_ms = u64::try_from((second + 1_000) * 1_000).unwrap();
        let snapshot = snapshot_at(second, processes.clone());
        told.push(("a-1", Snapshot { monotonic_ms, interval_ms: 60_000, ..snapshot }));
    }
    told
}

/// The values of each program at the full hours from the second to the fifth.
pub async fn at_full_hours(site: &Site, query: &str, step: i64) -> Vec<BTreeMap<String, f64>> {
    let (start, end) = ((BEGIN_S + 2 * 3_600).to_string(), (BEGIN_S + 5 * 3_600).to_string());
    let step_text = step.to_string();
    let pairs = [("query", query), ("start", start.as_str()), ("end", &end), ("step", &step_text)];
    let body = site.json(&format!("/prometheus/api/v1/query_range?{}", encoded(&pairs))).await;
    let mut all = vec![BTreeMap::new(); 4];
    for series in body["data"]["result"].as_array().unwrap_or_else(|| panic!("{query}: {body}")) {
        let program = series["metric"]["program"].as_str().unwrap();
        for point in series["values"].as_array().unwrap() {
            let since = point[0].as_i64().unwrap() - BEGIN_S - 2 * 3_600;
            if since % 3_600 == 0 {
                let value: f64 = point[1].as_str().unwrap().parse().unwrap();
                all[usize::try_from(since / 3_600).unwrap()].insert(program.to_owned(), value);
            }
        }
    }
    all
}

#[tokio::test]
async fn the_sums_of_hours_say_the_same_as_their_samples() {
    for seed in seeds(2) {
        let told = hours(&mut Rng::with_seed(seed));
        let (early, late) = told.split_at(told.len() / 2);
        let site = Site::with_history(vec![early.to_vec(), late.to_vec()]);
        assert!(merge_folder(site.folder.path()).unwrap() > 0);
        let site = site.reopened();
        let windows = (2..=5).map(|hour| Window {
            told: told.iter().map(|(_, snapshot)| snapshot).collect(),
            end: hour * 3_600,
            length: 3_600,
        });
        let windows: Vec<Window<'_>> = windows.collect();
        let query = "sum by (program) (increase(fleetps_program_cpu_seconds_total[1h]))";
        let (by_hours, by_samples) =
            (at_full_hours(&site, query, 3_600).await, at_full_hours(&site, query, 1_800).await);
        for (place, window) in windows.iter().enumerate() {
            let (mut expected, _) = window.programs();
            expected.retain(|_, used| *used > 0.0);
            let non_zero = |found: &BTreeMap<String, f64>| -> Vec<(String, f64)> {
                found.clone().into_iter().filter(|(_, used)| *used > 0.0).collect()
            };
            assert_same(&format!("by hours {place}"), &non_zero(&by_hours[place]), &expected);
            assert_same(&format!("by samples {place}"), &non_zero(&by_samples[place]), &expected);
        }
        let means = at_full_hours(&site, "sum by (program) (fleetps_program_processes)", 3_600).await;
        for (place, window) in windows.iter().enumerate() {
            let inside: Vec<_> = window.told.iter().filter(|snapshot| window.has(snapshot)).collect();
            let mut expected: BTreeMap<String, f64> = BTreeMap::new();
            for process in inside.iter().flat_map(|snapshot| &snapshot.processes) {
                *expected.entry(process.name.clone()).or_default() += 1.0 / inside.len() as f64;
            }
            let found: Vec<_> = means[place].clone().into_iter().collect();
            assert_same(&format!("processes {place}"), &found, &expected);
        }
    }
}

/// The value of a question at the end of each of `count` minutes, one behind the other.
async fn each_minute(site: &Site, query: &str, first: i64, count: i64) -> Vec<f64> {
    let mut all = Vec::new();
    for minute in 0..count {
        all.extend(
            values(site, query, first + minute * 60, "program").await.first().map(|(_, value)| *value),
        );
    }
    all
}

/// Five minutes of a host with one process, as `told` makes it.
fn one_process(told: impl Fn(i64) -> Option<Process>) -> Site {
    let at = |step: i64| {
        let snapshot = snapshot_at(step * 10, told(step * 10).into_iter().collect());
        ("a-1", Snapshot { monotonic_ms: u64::try_from(step * 10_000 + 1_000_000).unwrap(), ..snapshot })
    };
    Site::with_history(vec![(0..=30).map(at).collect()])
}

#[tokio::test]
async fn what_ended_children_used_counts_in_each_snapshot_that_says_so() {
    let shell =
        |_| Some(Process { cpu_time_ms: Some(70), ended_children_cpu_ms: Some(500), ..process(10, 1, "sh") });
    let site = one_process(shell);
    let query = "increase(fleetps_program_cpu_seconds_total[1m])";
    assert_eq!(each_minute(&site, query, 60, 5).await, [3.0; 5]);
}

#[tokio::test]
async fn a_process_that_is_seen_long_after_its_start_counts_from_there() {
    // It started a minute before it is seen, within the time that is asked for.
    let late = |second: i64| {
        let used = u64::try_from(50_000 + second * 100).unwrap();
        let started_at_us = BEGIN_US + 60_000_000;
        (second >= 120).then(|| Process {
            cpu_time_ms: Some(used),
            started_at_us,
            start_ticks: Some(106_000),
            ..process(10, 1, "late")
        })
    };
    let site = one_process(late);
    let query = "increase(fleetps_program_cpu_seconds_total[3m])";
    assert_eq!(values(&site, query, 180, "program").await, [("late".to_owned(), 6.0)]);
}
