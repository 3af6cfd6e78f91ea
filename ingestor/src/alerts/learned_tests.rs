//! What is learned over hours and days, through the evaluator.

use std::sync::Arc;

use fastrand::Rng;
use fleetps_nats::{
    HostName, Snapshot,
    snapshot::{HostInfo, HostSample, Process},
};

use super::*;
use crate::{
    alerts::{AlertChange, Change, Evaluator, Severity},
    events::{MessagePlace, StreamClock},
};

const RULES: [(&str, &str); 4] = [
    ("service", "gone for 5m"),
    ("program", "gone for 5m over program"),
    ("leak", "memory_full_in < 3d clear 5d over process"),
    ("unusual", "unusual > 20%"),
];

/// The snapshots of one host, one a minute.
struct Stream {
    evaluator: Evaluator,
    sequence: u64,
    at_us: i64,
    boot: (u32, i64),
}

impl Stream {
    fn new() -> Self {
        let rule = |(id, sentence)| Rule::parse(id, 1, Severity::Warning, sentence).unwrap();
        let mut evaluator = Evaluator::default();
        evaluator.set_rules(RULES.map(rule).into(), 0);
        Self { evaluator, sequence: 0, at_us: 1_700_000_000_000_000, boot: (1, 1_600_000_000_000_000) }
    }

    fn send(&mut self, snapshot: Snapshot) -> Vec<AlertChange> {
        (self.at_us, self.sequence) = (self.at_us + 60_000_000, self.sequence + 1);
        let (boot, boot_at_us) = self.boot;
        let snapshot = Snapshot {
            boot_id: format!("boot-{boot}"),
            captured_at_us: self.at_us,
            monotonic_ms: u64::try_from((self.at_us - boot_at_us) / 1000).unwrap(),
            interval_ms: 60_000,
            ..snapshot
        };
        let place =
            MessagePlace { partition: 0, epoch_s: 1, sequence: self.sequence, stored_at_us: self.at_us };
        let clock = StreamClock { now_ms: Some(self.at_us / 1000), counted_from_ms: None };
        self.evaluator.snapshot(place, clock, &host(), &Arc::new(snapshot))
    }

    fn minutes(&mut self, minutes: u32, processes: &[Process]) -> Vec<AlertChange> {
        (0..minutes).flat_map(|_| self.send(with(processes.to_vec()))).collect()
    }

    fn restart(&mut self) {
        let written = rmp_serde::to_vec_named(&self.evaluator.state()).unwrap();
        self.evaluator = Evaluator::restore(rmp_serde::from_slice(&written).unwrap());
    }

    fn boot(&mut self) {
        self.boot = (self.boot.0 + 1, self.at_us);
    }
}

fn host() -> HostName {
    "web-01".parse().unwrap()
}

fn with(processes: Vec<Process>) -> Snapshot {
    let host = HostSample { memory_available_bytes: Some(4 << 30), ..HostSample::default() };
    Snapshot { processes, host, ..Snapshot::default() }
}

fn service(pid: u32, name: &str) -> Process {
    Process {
        pid,
        name: name.to_owned(),
        parent_pid: Some(1),
        unit: Some(format!("{name}.service")),
        start_ticks: Some(u64::from(pid)),
        ..Process::default()
    }
}

fn words(changes: &[AlertChange]) -> Vec<(&str, String, Change)> {
    changes.iter().map(|it| (it.alert.rule.as_str(), it.alert.instance(), it.change)).collect()
}

#[test]
fn a_service_that_always_ran_is_told_when_it_is_gone_and_when_it_was_seen_last() {
    let (cron, db) = (service(5, "cron"), service(6, "db"));
    let mut stream = Stream::new();
    assert_eq!(stream.minutes(25 * 60 + 1, &[cron.clone(), db.clone()]), []);
    let seen_us = stream.at_us;
    let told = stream.minutes(7, std::slice::from_ref(&cron));
    let raised =
        [("service", "db.service".to_owned(), Change::Raised), ("program", "db".to_owned(), Change::Raised)];
    assert_eq!(words(&told), raised);
    assert_eq!((told[0].last_seen_us(), told[0].at_us), (Some(seen_us), seen_us + 360_000_000));
    let as_if = |change| AlertChange { change, ..told[0].clone() }.last_seen_us();
    assert_eq!([Change::Steady, Change::TooMany].map(as_if), [Some(seen_us), None]);
    stream.restart();
    assert_eq!(stream.minutes(60, std::slice::from_ref(&cron)), [], "it is told once");
    let back = stream.minutes(1, &[cron.clone(), db.clone()]);
    assert_eq!(words(&back).len(), 2);
    assert!(back.iter().all(|it| it.change == Change::Cleared && it.last_seen_us().is_none()));
    // Removed on purpose: once more, and then it is forgotten.
    assert_eq!(stream.minutes(10, std::slice::from_ref(&cron)).len(), 2);
    let forgotten = stream.minutes(72 * 60, std::slice::from_ref(&cron));
    assert!(forgotten.len() == 2 && forgotten.iter().all(|it| it.change == Change::Gone), "{forgotten:?}");
}

#[test]
fn a_boot_a_gap_a_limit_or_another_view_is_no_end_of_a_service() {
    let (cron, db) = (service(5, "cron"), service(6, "db"));
    let both = [cron.clone(), db.clone()];
    let only = std::slice::from_ref(&cron);
    let mut stream = Stream::new();
    stream.minutes(25 * 60 + 1, &both);
    stream.boot();
    assert_eq!(stream.minutes(10, only), [], "it is being started");
    assert_eq!(stream.minutes(5, &both), []);
    stream.at_us += 3_600_000_000;
    assert_eq!(stream.minutes(5, only), [], "the gap does not count");
    assert_eq!(stream.minutes(1, &both), []);
    for _ in 0..100 {
        assert_eq!(stream.send(Snapshot { processes_left_out: 1, ..with(vec![cron.clone()]) }), []);
    }
    assert_eq!(stream.minutes(1, &both), []);
    let limited = HostInfo { limited_view: Some("sees only its own".to_owned()), ..HostInfo::default() };
    for _ in 0..100 {
        let snapshot = Snapshot { host_info: limited.clone(), ..with(vec![cron.clone()]) };
        assert_eq!(stream.send(snapshot), []);
    }
    assert_eq!(stream.minutes(100, only), []);
    // One that does not come back after a boot is told.
    stream.minutes(25 * 60 + 1, &both);
    stream.boot();
    assert_eq!(words(&stream.minutes(20, only)).len(), 2);
}

#[test]
fn a_leak_is_told_with_its_process_and_ends_with_it() {
    let mut stream = Stream::new();
    let app = |minute: u64| Process { resident_bytes: Some((300 + 2 * minute) << 20), ..service(7, "app") };
    let mut told = Vec::new();
    for minute in 0..900 {
        told.extend(stream.send(with(vec![service(5, "cron"), app(minute)])));
        if minute % 50 == 0 {
            stream.restart();
        }
    }
    assert_eq!(words(&told), [("leak", "app (7)".to_owned(), Change::Raised)]);
    assert_eq!(told[0].culprits[0].name, "app");
    let hours = told[0].value.unwrap() / 3600.0;
    assert!((30.0..40.0).contains(&hours), "4 GiB at 120 MiB an hour: {hours}");
    let ended = stream.minutes(1, &[service(5, "cron")]);
    assert_eq!(words(&ended), [("leak", "app (7)".to_owned(), Change::Exited)]);
}

#[test]
fn what_no_rule_asks_for_is_forgotten_and_not_learned() {
    let size = |stream: &Stream| rmp_serde::to_vec_named(&stream.evaluator.state()).unwrap().len();
    let mut stream = Stream::new();
    let large = Process { resident_bytes: Some(1 << 30), ..service(7, "app") };
    stream.minutes(100, &[service(5, "cron"), large.clone()]);
    let learned = size(&stream);
    stream.evaluator.set_rules(vec![Rule::parse("r", 1, Severity::Info, "cpu > 90%").unwrap()], 0);
    stream.minutes(1, &[service(5, "cron"), large]);
    assert!(size(&stream) + 200 < learned, "{} of {learned}", size(&stream));
    // So is a state of before there were these rules: it is read, and has nothing of them.
    let written = rmp_serde::to_vec_named(&stream.evaluator.state()).unwrap();
    for name in ["services", "programs", "memories", "extremes"] {
        assert!(!written.windows(name.len()).any(|part| part == name.as_bytes()), "{name}");
    }
    stream.restart();
    assert!(stream.evaluator.hosts().eq([&host()]));
}

#[test]
fn an_evaluator_that_goes_on_has_learned_the_same() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let mut told = 0;
    for _ in 0..4 {
        let (mut whole, mut stopped) = (Stream::new(), Stream::new());
        let mut minute = 0_u32;
        while minute < 4_500 {
            // What runs for a while: mostly all, with limits, boots and gaps between.
            let lasts = if minute < 1_600 { 200 } else { rng.u32(1..150) };
            let is_there: Vec<bool> = (0..6).map(|_| minute < 1_600 || rng.u8(..4) > 0).collect();
            let left_out = u32::from(rng.u8(..6) == 0);
            if rng.u8(..10) == 0 {
                [&mut whole, &mut stopped].into_iter().for_each(Stream::boot);
            }
            if rng.u8(..10) == 0 {
                let gap_us = rng.i64(1..600) * 60_000_000;
                [&mut whole, &mut stopped].into_iter().for_each(|stream| stream.at_us += gap_us);
            }
            for _ in 0..lasts {
                minute += 1;
                let present = (0..6_u32).filter(|number| is_there[*number as usize]).map(|number| {
                    let resident_bytes = Some(u64::from(200 + minute % 2_000 * number) << 20);
                    Process { resident_bytes, ..service(10 + number, &format!("app-{number}x")) }
                });
                let mut processes: Vec<Process> = present.collect();
                processes.push(service(5, "cron"));
                let mut snapshot = Snapshot { processes_left_out: left_out, ..with(processes) };
                snapshot.host.cpu_percent = Some((minute % 97) as f32 * if lasts < 10 { 1.0 } else { 0.5 });
                let changes = whole.send(snapshot.clone());
                assert_eq!(stopped.send(snapshot), changes, "seed {seed}");
                told += changes.len();
                if rng.u8(..20) == 0 {
                    stopped.restart();
                }
            }
        }
    }
    assert!(told > 20, "only {told} changes");
}
