use fastrand::Rng;
use fleetps_nats::snapshot::HostSample;

use super::*;

const MINUTE_US: i64 = 60_000_000;
const START_US: i64 = 1_700_000_000_000_000 / SLOT_US * SLOT_US;

fn process(pid: u32, mib: f64) -> Process {
    Process {
        pid,
        name: "app".to_owned(),
        start_ticks: Some(u64::from(pid)),
        resident_bytes: Some((mib.max(0.0) * 1_048_576.0) as u64),
        ..Process::default()
    }
}

fn snapshot(minute: i64, processes: Vec<Process>) -> Snapshot {
    let host = HostSample { memory_available_bytes: Some(8 << 30), ..HostSample::default() };
    let captured_at_us = START_US + minute * MINUTE_US;
    Snapshot { boot_id: "boot".to_owned(), captured_at_us, host, processes, ..Snapshot::default() }
}

/// What is said of one process after these hours, where `mib` says how much memory it has at an hour: nothing, that it does not
/// leak, or in how many hours the memory of the host is used up.
fn after(hours: f64, mib: impl Fn(f64) -> f64) -> Option<f64> {
    let mut memories = Memories::default();
    let minutes = (hours * 60.0) as i64;
    for minute in 0..=minutes {
        memories.note(&snapshot(minute, vec![process(7, mib(minute as f64 / 60.0))]));
    }
    said(&memories, &snapshot(minutes, vec![process(7, mib(hours))])).map(|seconds| seconds / 3600.0)
}

fn said(memories: &Memories, snapshot: &Snapshot) -> Option<f64> {
    let key = Key::of_process(&snapshot.processes[0]);
    memories.full_in_s(snapshot, &[&key]).remove(&key).flatten()
}

const FAR_HOURS: f64 = FAR_S / 3600.0;

#[test]
fn a_process_that_grows_steadily_for_half_a_day_leaks() {
    let steady = |hour: f64| 200.0 + 300.0 * hour;
    assert_eq!(after(11.0, steady), None, "it may have something to do");
    // Unless there is no time to wait.
    let fast = |hour: f64| 200.0 + 2_000.0 * hour;
    assert_eq!(after(3.5, fast), None);
    assert!(after(5.0, fast).is_some_and(|found| (found / 4.1 - 1.0).abs() < 0.1), "{:?}", after(5.0, fast));
    let left = 8.0 * 1024.0 / 300.0;
    for hours in [15.0, 30.0, 60.0, 100.0] {
        let found = after(hours, steady).unwrap();
        assert!((found / left - 1.0).abs() < 0.1, "{found} after {hours}");
    }
    // Garbage comes and goes, and so do requests.
    let busy = |hour: f64| steady(hour) + 150.0 * (hour * 7.0).rem_euclid(1.0);
    assert!(
        after(14.0, busy).is_some_and(|found| (found / left - 1.0).abs() < 0.2),
        "{:?}",
        after(14.0, busy)
    );
    // A slow one, and one that begins late.
    assert!(after(40.0, |hour| 200.0 + 10.0 * hour).is_some_and(|found| found < FAR_HOURS));
    let late = |hour: f64| 500.0 + 100.0 * (hour - 40.0).max(0.0);
    assert!(after(110.0, late).is_some_and(|found| found < FAR_HOURS));
}

#[test]
fn what_warms_up_or_fills_or_breathes_does_not_leak() {
    for (what, mib) in [
        ("it stays", (|_| 900.0) as fn(f64) -> f64),
        ("it shrinks", |hour| 2_000.0 - 10.0 * hour),
        ("it warms up in an hour", |hour| 2_000.0 - 1_800.0 * (-hour).exp()),
        ("it warms up in half a day", |hour| 2_000.0 - 1_800.0 * (-hour / 6.0).exp()),
        ("a cache fills and is full", |hour| (200.0 + 400.0 * hour).min(2_000.0)),
        ("a job loads its data at once", |hour| if hour > 3.0 { 3_000.0 } else { 300.0 }),
        ("it follows the day", |hour| 1_000.0 + 500.0 * (hour / 24.0 * std::f64::consts::TAU).sin()),
        ("it follows the night", |hour| 1_000.0 - 500.0 * (hour / 24.0 * std::f64::consts::TAU).cos()),
        ("it collects its garbage rarely", |hour| 500.0 + 300.0 * hour.rem_euclid(5.0)),
        ("a little", |hour| 200.0 + 5.0 * hour.min(20.0)),
        ("little of what it has", |hour| 8_000.0 + 30.0 * hour.min(40.0)),
    ] {
        for half_hours in 0..120 {
            let hours = f64::from(half_hours) / 2.0;
            let found = after(hours, mib);
            assert!(found.is_none_or(|found| found == FAR_HOURS), "{what}, after {hours}: {found:?}");
        }
        assert_eq!(after(60.0, mib), Some(FAR_HOURS), "{what}");
    }
}

#[test]
fn memory_that_is_shared_is_not_its_own() {
    let mut memories = Memories::default();
    for minute in 0..1_000 {
        let all = process(7, 200.0 + 5.0 * minute as f64);
        let shared_bytes = all.resident_bytes.map(|bytes| bytes - (100 << 20));
        memories.note(&snapshot(minute, vec![Process { shared_bytes, ..all }]));
    }
    assert_eq!(said(&memories, &snapshot(1_000, vec![process(7, 900.0)])), Some(FAR_S));
}

#[test]
fn an_earlier_life_that_grew_as_fast_is_evidence_for_a_week() {
    let lives = |mib_per_hour: f64, pause_hours: i64| {
        let mut memories = Memories::default();
        let mut said_after = Vec::new();
        for (life, rate) in [(1_u32, 600.0), (2, mib_per_hour)] {
            let start = i64::from(life - 1) * (240 + pause_hours * 60);
            for minute in 0..240 {
                let all = vec![process(life, 200.0 + rate * minute as f64 / 60.0)];
                let snapshot = snapshot(start + minute, all);
                memories.note(&snapshot);
                if said(&memories, &snapshot).is_some_and(|seconds| seconds < FAR_S) {
                    said_after.push((life, minute));
                }
            }
            memories.note(&snapshot(start + 240, Vec::new()));
            memories = rmp_serde::from_slice(&rmp_serde::to_vec_named(&memories).unwrap()).unwrap();
        }
        said_after.first().copied()
    };
    assert_eq!(lives(600.0, 1), Some((2, 140)));
    assert_eq!(lives(1_100.0, 1), Some((2, 140)));
    assert_eq!(lives(1_400.0, 1), None, "that is something else");
    assert_eq!(lives(600.0, 8 * 24), None, "that is long ago");
}

#[test]
fn where_processes_are_always_left_out_those_that_are_no_longer_seen_make_room() {
    let seen = |minute: i64, pids: std::ops::RangeInclusive<u32>| Snapshot {
        processes_left_out: 1,
        ..snapshot(minute, pids.map(|pid| process(pid, 300.0)).collect())
    };
    let remembered = |memories: &Memories| memories.processes().map(|(pid, _)| pid).collect::<Vec<_>>();
    let mut memories = Memories::default();
    memories.note(&seen(0, 1..=64));
    memories.note(&seen(19, 64..=65));
    assert_eq!(remembered(&memories), (1..=64).collect::<Vec<_>>(), "they may be left out for a moment");
    memories.note(&seen(20, 64..=65));
    assert_eq!(remembered(&memories), [64, 65]);
}

#[test]
fn what_is_remembered_is_bounded_and_outlives_a_restart() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let (mut whole, mut stopped) = (Memories::default(), Memories::default());
    let (mut minute, mut leaks) = (0, 0);
    let mut known: Vec<Key> = Vec::new();
    for round in 0..3_000 {
        minute += if rng.u8(..100) == 0 { rng.i64(2..400) } else { 3 };
        let count = if rng.u8(..50) == 0 { 120 } else { 30 };
        let processes = (1..=count).filter(|_| rng.u8(..200) > 0).map(|pid| {
            let mib = f64::from(pid) * (10.0 + minute as f64 / 20.0);
            Process { name: "x".repeat(pid as usize), ..process(pid, mib) }
        });
        let mut snapshot = snapshot(minute, processes.collect());
        snapshot.processes_left_out = u32::from(rng.u8(..10) > 0);
        whole.note(&snapshot);
        stopped.note(&snapshot);
        if round % 13 == 0 {
            stopped = rmp_serde::from_slice(&rmp_serde::to_vec_named(&stopped).unwrap()).unwrap();
        }
        let keys: Vec<&Key> = known.iter().collect();
        let said = whole.full_in_s(&snapshot, &keys);
        // A growth is worked out again with the next snapshot; the one that was noted last counts.
        if round % 13 != 0 {
            assert_eq!(said, stopped.full_in_s(&snapshot, &keys), "seed {seed}");
        }
        leaks += said.values().flatten().filter(|seconds| **seconds < FAR_S).count();
        known = said.into_keys().collect();
        assert!(whole.processes.values().all(|memory| memory.program.len() <= MAX_NAME_BYTES));
        assert!(whole.processes.len() <= MAX_PROCESSES && whole.earlier.len() <= MAX_PROGRAMS);
        assert!(whole.processes.values().all(|memory| memory.least.len() <= SLOTS + 1));
    }
    assert!(leaks > 100, "only {leaks}");
    let one = Memory {
        program: "x".repeat(15),
        last: 1_000_000,
        least: vec![100_000; 25].into(),
        ..Memory::default()
    };
    assert!(rmp_serde::to_vec_named(&one).unwrap().len() < 160);
}

#[test]
fn slots_have_the_least_of_their_time() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    for _ in 0..200 {
        let (mut memory, mut samples, mut at_us) = (Memory::default(), Vec::new(), START_US);
        let most_us = [SLOT_US / 3, SLOT_US * 2, SLOT_US * 10][rng.usize(..3)];
        for _ in 0..500 {
            at_us += rng.i64(1..most_us);
            let mib = rng.u32(64..10_000);
            memory.note(at_us, mib);
            samples.push((at_us, mib));
        }
        let length_us = SLOT_US << memory.doubled;
        let first = memory.last - memory.least.len() as i64 + 1;
        for (slot, found) in (first..).zip(&memory.least) {
            let within = samples.iter().filter(|(at_us, _)| at_us.div_euclid(length_us) == slot);
            let least = within.map(|(_, mib)| *mib).min().unwrap_or(UNKNOWN);
            assert_eq!(*found, least, "seed {seed}");
        }
        assert_eq!(memory.last, at_us.div_euclid(length_us), "seed {seed}");
    }
}

#[test]
fn a_clock_from_the_future_does_not_stop_it_for_ever() {
    let mut memories = Memories::default();
    memories.note(&snapshot(60 * 24 * 365, vec![process(7, 300.0)]));
    for minute in 0..1_000 {
        memories.note(&snapshot(minute, vec![process(7, 300.0 + 5.0 * minute as f64)]));
    }
    assert!(
        said(&memories, &snapshot(1_000, vec![process(7, 5_300.0)])).is_some_and(|seconds| seconds < FAR_S)
    );
}
