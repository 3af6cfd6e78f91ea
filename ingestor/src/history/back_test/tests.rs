//! Tests of trials on the past.

use std::path::Path;

use fastrand::Rng;
use fleetps_nats::{Snapshot, snapshot::Process};

use super::{relevant::relevant, *};
use crate::{
    IngestorSettings,
    alerts::Severity,
    merge_folder,
    segment::{SegmentRows, seal},
    tidy_folder,
};

#[test]
fn only_processes_above_a_threshold_are_read_where_single_ones_are_measured() {
    let condition = |sentence| relevant(&Rule::parse("r", 0, Severity::Info, sentence).unwrap());
    assert_eq!(condition("cpu > 90% clear 80% over process").as_deref(), Some("cpu_percent > 80.0::DOUBLE"));
    for all in [
        "cpu > 90%",
        "cpu < 5 over process",
        "cpu > 90 over program",
        "read > 1M over process",
        "parent > 3 over process",
    ] {
        assert_eq!(condition(all), None, "{all}");
    }
}

const SENTENCES: [&str; 22] = [
    "cpu > 100 clear 40 over program",
    "cpu > 100 clear 40 for 20s over program where user:a",
    "cpu > 60 2 of 4 over process",
    "cpu > 60 clear 20 over process where not name:n1",
    "cpu < 20 clear 30 over unit",
    "cpu > 150 over user where cpu > 40",
    "cpu > 400 clear 350 over host where name ~ ^n",
    "cpu > 1 over host where name:none",
    "cpu > 50 over program where host:h and user:a",
    "mem > 200K for 10s over program",
    "mem > 150K over unit where mem > 50K and not user:a",
    "cpu > 250 over program",
    "mem > 400K over user",
    "count > 3 over program",
    "count < 3 for 20s where name:n2",
    "count < 1 where name:none",
    "count > 2 over unit where cpu > 50",
    "read > 1K over program",
    "age > 30s over unit",
    "mem% > 30 over user",
    "parent > 3 over program",
    "parent > 3 over process",
];

/// A host whose processes come, go, change their names and boot, and are not always all there.
struct Host {
    rng: Rng,
    at_us: i64,
    boots: u32,
    processes: Vec<Process>,
}

impl Host {
    fn change(&mut self, process: &mut Process) {
        let rng = &mut self.rng;
        let name = |rng: &mut Rng, letter: char, of: u8| format!("{letter}{}", rng.u8(..of));
        match rng.u8(..12) {
            0 => process.name = name(rng, 'n', 4),
            1 => process.user_name = (rng.u8(..4) > 0).then(|| name(rng, 'a', 3)),
            2 => process.unit = (rng.u8(..3) > 0).then(|| name(rng, 'u', 3)),
            3 | 4 => process.cpu_percent = (rng.u8(..6) > 0).then(|| f32::from(rng.u8(..100)) / 10.0 * 9.0),
            5 => process.resident_bytes = (rng.u8(..6) > 0).then(|| u64::from(rng.u8(..40)) * 4096),
            6 => process.read_bytes = Some(process.read_bytes.unwrap_or_default() + u64::from(rng.u16(..))),
            7 => process.started_at_us = self.at_us / 10_000 * 10_000,
            8 => process.parent_pid = (rng.u8(..6) > 0).then(|| u32::from(rng.u8(..6))),
            _ => {}
        }
        process.start_ticks = u64::try_from(process.started_at_us / 10_000).ok();
    }

    fn next(&mut self) -> Snapshot {
        self.at_us += if self.rng.u8(..20) == 0 { self.rng.i64(3..200) } else { 10 } * 1_000_000;
        self.boots += u32::from(self.rng.u8(..60) == 0);
        let mut processes = std::mem::take(&mut self.processes);
        processes.iter_mut().for_each(|process| self.change(process));
        self.processes = processes.clone();
        processes.retain(|_| self.rng.u8(..15) > 0);
        Snapshot {
            boot_id: format!("boot-{}", if self.rng.u8(..30) == 0 { 0 } else { self.boots }),
            captured_at_us: self.at_us,
            monotonic_ms: u64::try_from(self.at_us / 1000).unwrap(),
            interval_ms: 10_000,
            processes_left_out: u32::from(self.rng.u8(..10) == 0),
            processes,
            ..Snapshot::default()
        }
    }
}

fn seal_some(folder: &Path, seed: u64) -> Span {
    let mut rng = Rng::with_seed(seed);
    let processes = (1..=12).map(|pid| Process { pid, state: 'S', ..Process::default() }).collect();
    let mut host = Host { rng: rng.fork(), at_us: 1_700_000_000_000_000, boots: 1, processes };
    let (from_us, name) = (host.at_us, "h".parse().unwrap());
    let mut rows = SegmentRows::new(0, 1, 1, from_us);
    for sequence in 1..=300 {
        let mut snapshot = host.next();
        snapshot.host.memory_total_bytes = Some(1 << 20);
        rows.push(sequence, host.at_us, &name, &snapshot);
        if rng.u8(..60) == 0 {
            seal(folder, &mut rows).unwrap();
            rows = SegmentRows::new(0, 1, sequence + 1, host.at_us);
        }
    }
    if !rows.is_empty() {
        seal(folder, &mut rows).unwrap();
    }
    Span { from_us, to_us: host.at_us + 1 }
}

#[test]
fn more_processes_may_be_wanted_than_one_query_asks_for() {
    let folder = tempfile::tempdir().unwrap();
    let (from_us, name) = (1_700_000_000_000_000, "h".parse().unwrap());
    let process = |pid: u32| Process {
        pid,
        name: "x".to_owned(),
        state: 'S',
        start_ticks: Some(u64::from(pid)),
        ..Process::default()
    };
    let mut rows = SegmentRows::new(0, 1, 1, from_us);
    for (sequence, second) in [(1, 10_u32), (2, 20), (3, 30)] {
        let snapshot = Snapshot {
            boot_id: "boot".to_owned(),
            captured_at_us: from_us + i64::from(second) * 1_000_000,
            monotonic_ms: u64::from(second) * 1000,
            interval_ms: 10_000,
            processes: (1..=4_100).map(process).collect(),
            ..Snapshot::default()
        };
        rows.push(sequence, snapshot.captured_at_us, &name, &snapshot);
    }
    seal(folder.path(), &mut rows).unwrap();
    let history = History::open(folder.path()).unwrap();
    let rule = Rule::parse("r", 0, Severity::Info, "count > 4050 where name:x").unwrap();
    let span = Span { from_us, to_us: from_us + 60_000_000 };
    let test =
        |by_spans| history.back_test_by(std::slice::from_ref(&rule), span, &|_| true, by_spans).unwrap();
    let by_spans = test(true);
    assert_eq!(by_spans.episodes.iter().map(|it| it.value).collect::<Vec<_>>(), [Some(4_100.0)]);
    assert_eq!(by_spans, test(false));
}

#[test]
fn sums_of_spans_decide_what_whole_snapshots_do() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let (mut told, mut ended) = (0, 0);
    let folder = tempfile::tempdir().unwrap();
    let span = seal_some(folder.path(), seed);
    for is_merged in [false, true] {
        if is_merged {
            merge_folder(folder.path()).unwrap();
        }
        let history = History::open(folder.path()).unwrap();
        for sentence in SENTENCES {
            let rule = Rule::parse("r", 0, Severity::Info, sentence).unwrap();
            let rules = [&[rule.clone()][..], &rule.steadier()].concat();
            let test = |by_spans| history.back_test_by(&rules, span, &|_| true, by_spans).unwrap();
            let (by_spans, whole) = (test(true), test(false));
            let differs = by_spans.episodes.iter().zip(&whole.episodes).find(|(a, b)| a != b);
            assert!(by_spans == whole, "seed {seed}, merged {is_merged}: {sentence}: {differs:?}");
            told += whole.told.iter().sum::<u64>();
            ended += whole.episodes.iter().filter(|episode| episode.end.is_some()).count();
        }
    }
    assert!(told > 100 && ended > 100, "{told} told, {ended} ended");
}

/// A host that is looked at every five minutes for three days: services go and come back or don't, and one process leaks.
fn three_days(rng: &mut Rng) -> Vec<Snapshot> {
    const BOOT_US: i64 = 1_700_000_000_000_000;
    let from_us = BOOT_US + 86_400_000_000;
    // When each service is away, as steps.
    let absences: Vec<(u32, u32)> = (0..8).map(|_| (rng.u32(200..700), rng.u32(1..200))).collect();
    let limits: Vec<(u32, u32)> = (0..3).map(|_| (rng.u32(..700), rng.u32(1..40))).collect();
    let boot_at = rng.u32(300..600);
    let is_within = |step: u32, (from, length): &(u32, u32)| (*from..from + length).contains(&step);
    let service = |number: u32, step: u32| Process {
        pid: 10 + number,
        name: format!("n{number}"),
        parent_pid: Some(if number == 6 { 10 } else { 1 }),
        unit: (number != 7).then(|| format!("{}.service", char::from(b'a' + number as u8))),
        container: (number == 7).then(|| "0123456789ab".to_owned()),
        start_ticks: Some(u64::from(number)),
        resident_bytes: Some((100 + if number == 2 { 10 * u64::from(step % 300) } else { 0 }) << 20),
        cpu_percent: Some(step as f32 % 7.0),
        state: 'S',
        ..Process::default()
    };
    let snapshot = |step: u32| {
        let is_after_boot = step >= boot_at;
        let at_us = from_us + i64::from(step) * 300_000_000;
        let booted_us = if is_after_boot { from_us + i64::from(boot_at) * 300_000_000 } else { BOOT_US };
        let present = (0..8).filter(|number| !is_within(step, &absences[*number as usize]));
        let mut processes: Vec<Process> = present.map(|number| service(number, step)).collect();
        processes.push(Process { pid: 9, unit: Some("z.service".to_owned()), ..service(0, step) });
        let mut snapshot = Snapshot {
            boot_id: format!("boot-{is_after_boot}"),
            captured_at_us: at_us,
            monotonic_ms: u64::try_from((at_us - booted_us) / 1000).unwrap(),
            interval_ms: 300_000,
            processes_left_out: u32::from(limits.iter().any(|limit| is_within(step, limit))),
            processes,
            ..Snapshot::default()
        };
        snapshot.host.memory_available_bytes = Some(4 << 30);
        snapshot.host.cpu_percent = Some((step % 50) as f32 * if step > 700 { 2.0 } else { 1.0 });
        snapshot
    };
    (0..860).map(snapshot).collect()
}

#[test]
fn what_is_learned_over_days_is_the_same_in_a_trial_as_on_the_stream() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let (folder, name): (_, HostName) = (tempfile::tempdir().unwrap(), "h".parse().unwrap());
    let snapshots = three_days(&mut rng);
    let from_us = snapshots[0].captured_at_us;
    let mut rows = SegmentRows::new(0, 1, 1, from_us);
    for (sequence, snapshot) in (1..).zip(&snapshots) {
        rows.push(sequence, snapshot.captured_at_us, &name, snapshot);
        if rng.u8(..200) == 0 {
            seal(folder.path(), &mut rows).unwrap();
            rows = SegmentRows::new(0, 1, sequence + 1, snapshot.captured_at_us);
        }
    }
    if !rows.is_empty() {
        seal(folder.path(), &mut rows).unwrap();
    }
    let history = History::open(folder.path()).unwrap();
    let span = Span { from_us, to_us: snapshots.last().unwrap().captured_at_us + 1 };
    for sentence in [
        "gone for 5m",
        "gone for 10m over program",
        "memory_full_in < 3d clear 5d over process",
        "unusual > 20%",
    ] {
        let rule = Rule::parse("r", 0, Severity::Info, sentence).unwrap();
        let mut evaluator = crate::alerts::Evaluator::default();
        evaluator.set_rules(vec![rule.clone()], 0);
        let mut raised = Vec::new();
        for (sequence, snapshot) in (1..).zip(&snapshots) {
            let stored_at_us = snapshot.captured_at_us;
            let place = crate::events::MessagePlace { partition: 0, epoch_s: 1, sequence, stored_at_us };
            let clock =
                crate::events::StreamClock { now_ms: Some(stored_at_us / 1000), counted_from_ms: None };
            let changes = evaluator.snapshot(place, clock, &name, &std::sync::Arc::new(snapshot.clone()));
            let new = changes.into_iter().filter(|change| change.change == Change::Raised);
            raised.extend(new.map(|change| (change.at_us, change.alert.key, change.value)));
        }
        raised.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        let rules = std::slice::from_ref(&rule);
        let test = |by_spans| history.back_test_by(rules, span, &|_| true, by_spans).unwrap();
        let (by_spans, whole) = (test(true), test(false));
        assert_eq!(by_spans, whole, "seed {seed}: {sentence}");
        let found: Vec<_> = whole.episodes.iter().map(|it| (it.from_us, it.key.clone(), it.value)).collect();
        assert_eq!(found, raised, "seed {seed}: {sentence}");
        assert!(!raised.is_empty(), "seed {seed}: {sentence}");
    }
}

#[test]
fn where_one_snapshot_a_minute_is_kept_the_others_are_no_gaps_and_as_much_is_learned() {
    const MINUTE_US: i64 = 60_000_000;
    let (folder, name): (_, HostName) = (tempfile::tempdir().unwrap(), "h".parse().unwrap());
    let (from_us, minutes, gone_at): (i64, i64, i64) = (1_700_000_000_000_000, 26 * 60, 26 * 60 - 30);
    let service = |(pid, unit): (u32, &str)| Process {
        pid,
        parent_pid: Some(1),
        unit: Some(unit.to_owned()),
        start_ticks: Some(u64::from(pid)),
        state: 'S',
        ..Process::default()
    };
    let all = [(10, "init.service"), (11, "db.service")];
    let mut rows = SegmentRows::new(0, 1, 1, from_us);
    for (sequence, minute) in (1..).zip(0..minutes) {
        let present = if minute < gone_at { &all[..] } else { &all[..1] };
        let snapshot = Snapshot {
            boot_id: "boot".to_owned(),
            captured_at_us: from_us + minute * MINUTE_US,
            monotonic_ms: u64::try_from(minute).unwrap() * 60_000 + 3_600_000,
            interval_ms: 10_000,
            processes: present.iter().copied().map(service).collect(),
            ..Snapshot::default()
        };
        rows.push(sequence, snapshot.captured_at_us, &name, &snapshot);
    }
    seal(folder.path(), &mut rows).unwrap();
    merge_folder(folder.path()).unwrap();
    // Every sample is kept for a week, and one a minute for thirty days.
    let ten_days_later_s = from_us / 1_000_000 + 10 * 86_400;
    tidy_folder(folder.path(), ten_days_later_s, &IngestorSettings::default()).unwrap();
    let history = History::open(folder.path()).unwrap();
    let span = Span { from_us, to_us: from_us + minutes * MINUTE_US };
    let rule = Rule::parse("r", 0, Severity::Info, "gone for 5m").unwrap();
    for by_spans in [false, true] {
        let test = history.back_test_by(std::slice::from_ref(&rule), span, &|_| true, by_spans).unwrap();
        assert_eq!(test.resolution, Resolution::Minutes);
        let found: Vec<_> = test.episodes.iter().map(|it| (it.from_us, it.key.clone())).collect();
        // It was seen last a minute before it was gone, and is missed for more than five.
        let raised_at_us = from_us + (gone_at + 5) * MINUTE_US;
        assert_eq!(found, [(raised_at_us, Key::Named("db.service".to_owned()))], "by spans: {by_spans}");
    }
}
