//! Properties of a simulated fleet that hold for every seed.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use fleetps_nats::{
    HostName,
    hosts::Group,
    snapshot::{Decoder, Encoder, Process, Snapshot},
};

use super::*;

const START_US: i64 = 1_795_000_000_000_000;
const SECOND_US: i64 = 1_000_000;

fn fleet(hosts: usize, processes: usize) -> Fleet {
    Fleet::new(&SimulationSettings { hosts, processes, run_id: "r".to_owned(), ..Default::default() })
}

#[test]
fn the_same_seed_and_times_give_the_same_fleet_whoever_is_asked_first() {
    let (mut first, mut second) = (fleet(12, 80), fleet(12, 80));
    assert_eq!(first.host_names(), second.host_names());
    let forwards: Vec<Snapshot> = (0..12).map(|host| first.snapshot(host, START_US)).collect();
    let mut backwards: Vec<Snapshot> = (0..12).rev().map(|host| second.snapshot(host, START_US)).collect();
    backwards.reverse();
    assert_eq!(forwards, backwards);
    let mut other = Fleet::new(&SimulationSettings {
        hosts: 12,
        processes: 80,
        seed: 2,
        ..SimulationSettings::default()
    });
    assert_ne!(forwards[0].processes, other.snapshot(0, START_US).processes);
}

#[test]
fn every_snapshot_passes_the_readers_checks_and_every_parent_is_there_and_older() {
    let mut fleet = fleet(30, 120);
    let (mut encoder, mut decoder) = (Encoder::new().unwrap(), Decoder::new().unwrap());
    for step in 0..40 {
        for host in 0..30 {
            let snapshot = fleet.snapshot(host, START_US + step * 10 * SECOND_US);
            let message = encoder.encode(&snapshot).unwrap();
            assert_eq!(decoder.decode(&message, snapshot.captured_at_us).unwrap(), snapshot);
            let started: HashMap<u32, i64> =
                snapshot.processes.iter().map(|process| (process.pid, process.started_at_us)).collect();
            for process in &snapshot.processes {
                assert!(process.started_at_us <= snapshot.captured_at_us, "{process:?}");
                if let Some(parent) = process.parent_pid {
                    let parent_start =
                        started.get(&parent).unwrap_or_else(|| panic!("no parent of {process:?}"));
                    assert!(*parent_start <= process.started_at_us, "older than its parent: {process:?}");
                }
            }
            assert!(snapshot.host.cpu_percent.unwrap() <= 100.0);
        }
    }
}

#[test]
fn hosts_with_thousands_of_processes_have_each_pid_once() {
    for processes in [2000, 5000, 19_000] {
        let mut fleet = fleet(8, processes);
        let (mut encoder, mut decoder) = (Encoder::new().unwrap(), Decoder::new().unwrap());
        for host in 0..8 {
            let message = encoder.encode(&fleet.snapshot(host, START_US)).unwrap();
            decoder.decode(&message, START_US).unwrap();
        }
    }
}

#[test]
fn counters_grow_by_what_the_percentages_say() {
    let mut fleet = fleet(10, 200);
    for host in 0..10 {
        let mut before = fleet.snapshot(host, START_US);
        for step in 1..20 {
            let now = fleet.snapshot(host, START_US + step * 10 * SECOND_US);
            let known: HashMap<(u32, i64), u64> =
                before.processes.iter().map(|p| ((p.pid, p.started_at_us), p.cpu_time_ms.unwrap())).collect();
            for process in &now.processes {
                let Some(cpu_before) = known.get(&(process.pid, process.started_at_us)) else { continue };
                let used_ms = process.cpu_time_ms.unwrap() - cpu_before;
                let said_ms = f64::from(process.cpu_percent.unwrap()) / 100.0 * 10_000.0;
                assert!((used_ms as f64 - said_ms).abs() <= 2.0, "{used_ms} ms, said {said_ms}: {process:?}");
            }
            assert!(now.host.disk_written_bytes >= before.host.disk_written_bytes);
            assert_eq!((now.sequence, &now.boot_id), (before.sequence + 1, &before.boot_id));
            before = now;
        }
    }
}

#[test]
fn processes_come_and_go_one_leaks_and_one_crashes_over_and_over() {
    let mut fleet = fleet(20, 150);
    let (mut crashes, mut leak, mut ended) = (HashSet::new(), Vec::new(), 0);
    let mut alive: HashSet<(usize, u32)> = HashSet::new();
    for step in 0..180 {
        for host in 0..20 {
            let snapshot = fleet.snapshot(host, START_US + step * 10 * SECOND_US);
            let now: HashSet<u32> = snapshot.processes.iter().map(|process| process.pid).collect();
            ended += alive.iter().filter(|(of, pid)| *of == host && !now.contains(pid)).count();
            alive.retain(|(of, _)| *of != host);
            alive.extend(now.into_iter().map(|pid| (host, pid)));
            for process in &snapshot.processes {
                match process.name.as_str() {
                    "payments-worker" => _ = crashes.insert(process.pid),
                    "report-cache" => leak.push((process.pid, process.resident_bytes.unwrap())),
                    _ => {}
                }
            }
        }
    }
    assert!(crashes.len() > 60, "{} starts in half an hour", crashes.len());
    assert!(ended > 300, "{ended} exits");
    let growth = leak.windows(2).filter(|pair| pair[0].0 == pair[1].0 && pair[1].1 > pair[0].1).count();
    assert!(growth * 10 > leak.len() * 8, "it grew {growth} of {} times", leak.len());
}

#[test]
fn as_many_processes_as_wanted_are_there_about() {
    for wanted in [1, 5, 40, 300, 3000] {
        for host in 0..9 {
            let count = fleet(9, wanted).snapshot(host, START_US).processes.len();
            assert!(count <= wanted && count * 10 >= wanted * 6, "{count} for {wanted}");
        }
    }
}

#[test]
fn a_month_at_once_and_a_clock_that_goes_back_are_survived() {
    let mut fleet = fleet(9, 60);
    for host in 0..9 {
        fleet.snapshot(host, START_US);
        fleet.snapshot(host, START_US + 30 * 86_400 * SECOND_US);
        fleet.snapshot(host, START_US);
        fleet.snapshot(host, 0);
        fleet.snapshot(host + 1000, i64::MAX / 4);
    }
}

#[test]
fn each_host_is_in_groups_that_there_may_be() {
    let fleet = fleet(40, 1);
    let groups = groups(40);
    let named: Vec<&HostName> = groups.iter().map(|(name, _)| name).collect();
    assert_eq!(named, fleet.host_names().iter().collect::<Vec<_>>());
    for (name, of_host) in &groups {
        assert_eq!(of_host.len(), 2, "{name}");
        assert!(of_host.iter().all(|group| group.parse::<Group>().is_ok()), "{of_host:?}");
    }
    let staging = groups.iter().filter(|(_, of_host)| of_host.contains("env=staging")).count();
    assert_eq!(staging, 8);
}

#[test]
fn in_its_past_one_host_was_booted_and_websites_got_a_new_release() {
    let minute = Duration::from_secs(60);
    let past = SimulatedPast::before(START_US, 360 * minute, minute);
    let run_id = "r".to_owned();
    let settings =
        SimulationSettings { hosts: 20, processes: 150, run_id, past: Some(past), ..Default::default() };
    let mut fleet = Fleet::new(&settings);
    let (mut encoder, mut decoder) = (Encoder::new().unwrap(), Decoder::new().unwrap());
    let mut boots: HashMap<usize, HashSet<String>> = HashMap::new();
    let mut releases: HashMap<usize, Vec<HashSet<String>>> = HashMap::new();
    let mut workers: Vec<(i64, u32)> = Vec::new();
    for step in 0..=360 {
        for host in 0..20 {
            let captured_at_us = past.begins_at_us + step * 60 * SECOND_US;
            let snapshot = fleet.snapshot_every(host, captured_at_us, minute);
            let message = encoder.encode(&snapshot).unwrap();
            assert_eq!(decoder.decode(&message, captured_at_us).unwrap(), snapshot);
            assert_eq!(snapshot.interval_ms, 60_000);
            let boot_at_us = snapshot.host_info.boot_at_us.unwrap();
            for process in &snapshot.processes {
                assert!((boot_at_us..=captured_at_us).contains(&process.started_at_us), "{process:?}");
            }
            boots.entry(host).or_default().insert(snapshot.boot_id.clone());
            let worker = snapshot.processes.iter().find(|process| process.name == "payments-worker");
            workers.extend(worker.map(|process| (past.ends_at_us - captured_at_us, process.pid)));
            let of = |process: &Process| process.command_line.as_deref().and_then(release).map(str::to_owned);
            let running: HashSet<String> = snapshot.processes.iter().filter_map(of).collect();
            let seen = releases.entry(host).or_default();
            if !running.is_empty() && seen.last() != Some(&running) {
                seen.push(running);
            }
        }
    }
    let pids = |is_it: fn(&i64) -> bool| -> HashSet<u32> {
        workers.iter().filter(|(ago_us, _)| is_it(ago_us)).map(|(_, pid)| *pid).collect()
    };
    assert_eq!(pids(|ago_us| *ago_us > 18 * 60 * SECOND_US).len(), 1, "it crashed before it broke");
    assert!(pids(|ago_us| *ago_us < 17 * 60 * SECOND_US).len() > 5, "it did not break");
    let booted: Vec<usize> = boots.iter().filter(|(_, ids)| ids.len() > 1).map(|(host, _)| *host).collect();
    assert_eq!(booted.len(), 1, "{booted:?}");
    let told = stories(20, &past);
    assert_eq!(told.len(), 5);
    let of = |kind: StoryKind| told.iter().find(|story| story.kind == kind).unwrap();
    assert_eq!(of(StoryKind::Boot).host, fleet.host_names()[booted[0]]);
    let deployed = fleet.host_names().iter().position(|name| *name == of(StoryKind::Deployment).host);
    assert!(releases[&deployed.unwrap()].len() == 2, "nothing was deployed there");
    assert_eq!(boots[&booted[0]].len(), 2);
    let served: Vec<&Vec<HashSet<String>>> = releases.values().filter(|seen| !seen.is_empty()).collect();
    assert!(served.len() > 3, "{} hosts serve websites", served.len());
    for seen in served {
        assert_eq!(seen, &["v4.18.0", "v4.19.0"].map(|release| HashSet::from([release.to_owned()])));
    }
}

/// The release in the path of a website.
fn release(command_line: &str) -> Option<&str> {
    command_line.split('/').find(|part| part.starts_with("v4."))
}
