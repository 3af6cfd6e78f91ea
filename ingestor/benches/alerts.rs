//! What the evaluation of alerts costs for each snapshot, and how long a rule is tried on the past:
//! `cargo bench -p fleetps-ingestor --bench alerts -- [HOSTS [PROCESSES [ROUNDS]]]`, 20 hosts with 300 processes for 2,160 rounds
//! of 10 s (6 hours) unless told otherwise.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that cannot go on should panic")]

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use fleetps_agent::simulate::{Fleet, SimulationSettings};
use fleetps_ingestor::{
    alerts::{Evaluator, Measure, Rule, Severity, built_in},
    events::{Detector, MessagePlace, StreamClock},
    history::{History, Span},
    merge_folder,
    segment::{SegmentRows, seal},
};
use fleetps_nats::{
    HostName, Snapshot,
    snapshot::{Decoder, Encoder},
};

const ROUND_US: i64 = 10_000_000;
/// Rules beside the built-in ones, such as people write: over everything, with and without a filter.
const OWN: [&str; 41] = [
    "cpu > 90% for 10m over program",
    "cpu > 150% for 5m over program",
    "cpu > 60% 3 of 5 over program",
    "cpu > 200 over host where name:java",
    "cpu > 100 for 5m over host where user:postgres",
    "cpu > 90 for 5m over unit",
    "cpu > 300 for 5m over unit",
    "cpu > 150 for 10m over user",
    "cpu > 99 for 1h over process",
    "cpu > 80 for 30m over process where user:www-data",
    "cpu > 50 for 10m over process where cmd:backup",
    "mem > 4G over program where user:www-data",
    "mem > 8G over program",
    "mem > 2G over process",
    "mem > 16G over unit",
    "mem > 8G over user where not user:root",
    "mem > 1G over process where cmd ~ ^python",
    "mem% > 40 over unit",
    "mem% > 60 over program",
    "count < 1 for 1m where cmd:nginx",
    "count < 1 for 1m where name:sshd",
    "count < 1 for 1m where name:cron",
    "count > 500 over user",
    "count > 100 over program",
    "count > 200 over unit",
    "count > 5 for 5m where state = Z",
    "count > 20 for 5m where state = D",
    "read > 100M for 1m over program",
    "written > 100M for 5m over program",
    "written > 50M for 10m over unit",
    "written > 200M over host where user:postgres",
    "threads > 5000 over process",
    "threads > 20000 over host where not user:root",
    "threads > 2000 over program",
    "files > 10000 over process",
    "files > 50000 over program",
    "load_1 > 32 for 10m",
    "disk_written_bytes/s > 500M for 10m",
    "swap > 50% for 10m",
    "process_count > 5000",
    "network_received_bytes/s > 100M for 10m",
];
const TRIED: [&str; 8] = [
    "memory > 90% for 5m",
    "disk > 90% for 5m",
    "cpu > 95% clear 90% for 1h over process",
    "mem > 2G over process where user:www-data",
    "cpu > 90% for 10m over program",
    "count < 1 for 1m where cmd:nginx",
    "gone for 5m over unit",
    "memory_full_in < 3d clear 5d over process",
];

fn main() {
    let given: Vec<i64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let [hosts, processes, rounds] =
        [(0, 20), (1, 300), (2, 2_160)].map(|(place, usual)| given.get(place).copied().unwrap_or(usual));
    let (hosts, processes) = (usize::try_from(hosts).unwrap(), usize::try_from(processes).unwrap());
    let run_id = "bench".to_owned();
    let mut fleet =
        Fleet::new(&SimulationSettings { hosts, processes, run_id, ..SimulationSettings::default() });
    let names = fleet.host_names().to_vec();
    let folder = tempfile::tempdir().unwrap();
    let begun_us = fleetps_nats::now_us() - rounds * ROUND_US;
    let (mut encoder, mut decoder) = (Encoder::new().unwrap(), Decoder::new().unwrap());
    let (mut detector, mut evaluator) = (Detector::default(), Evaluator::default());
    evaluator.set_rules(rules(), 0);
    let mut beside = BuiltInRules::new();
    let mut rows = SegmentRows::new(0, 1, 1, begun_us);
    let (mut sequence, mut rows_in_all, mut changes) = (0, 0, 0);
    let mut took = [Duration::ZERO; 3];
    for round in 0..rounds {
        for (place, host) in names.iter().enumerate() {
            sequence += 1;
            let stored_at_us = begun_us + round * ROUND_US;
            let message = encoder.encode(&fleet.snapshot(place, stored_at_us)).unwrap();
            let start = Instant::now();
            let snapshot = Arc::new(decoder.decode(&message, stored_at_us).unwrap());
            let decoded = Instant::now();
            let at = MessagePlace { partition: 0, epoch_s: 1, sequence, stored_at_us };
            detector.snapshot(at, host, &snapshot);
            let detected = Instant::now();
            changes += evaluator.snapshot(at, detector.clock(), host, &snapshot).len();
            let parts = [decoded - start, detected - decoded, detected.elapsed()];
            took.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
            beside.take(at, detector.clock(), host, &snapshot);
            rows_in_all += snapshot.processes.len();
            rows.push(sequence, stored_at_us, host, &snapshot);
            if rows.is_full(500_000) {
                seal(folder.path(), &mut rows).unwrap();
                rows = SegmentRows::new(0, 1, sequence + 1, stored_at_us);
            }
        }
    }
    seal(folder.path(), &mut rows).unwrap();
    for (part, took) in ["decode", "events", "rules"].into_iter().zip(took) {
        let us = took.as_secs_f64() * 1e6 / sequence as f64;
        println!("{part:<10} {us:>8.1} µs a snapshot, {:>5.2} % of a core for 1,000 hosts", us / 100.0);
    }
    let [decode, _, evaluate] = took;
    println!(
        "{} rules cost {:.2} times as much as decoding",
        rules().len(),
        evaluate.div_duration_f64(decode)
    );
    beside.say(sequence, names.len());
    println!("{changes} changes of {sequence} snapshots, {rows_in_all} rows");
    merge_folder(folder.path()).unwrap();
    try_rules(folder.path(), Span { from_us: begun_us, to_us: fleetps_nats::now_us() });
}

fn try_rules(folder: &Path, span: Span) {
    let history = History::open(folder).unwrap();
    for sentence in TRIED {
        let rule = Rule::parse("r", 0, Severity::Info, sentence).unwrap();
        let start = Instant::now();
        let test = history.back_test(&[rule], span, &|_| true).unwrap();
        println!(
            "{sentence:<44} {:>7.2} s, told {} times, {} episodes, {} snapshots",
            start.elapsed().as_secs_f64(),
            test.told[0],
            test.episode_count,
            test.snapshots
        );
    }
}

/// The built-in rules, with those that ask for what is learned of memory and services, and without.
struct BuiltInRules {
    evaluators: [Evaluator; 2],
    took: [Duration; 2],
}

impl BuiltInRules {
    fn new() -> Self {
        let mut evaluators = [Evaluator::default(), Evaluator::default()];
        evaluators[0].set_rules(built_in_rules(), 0);
        evaluators[1].set_rules(built_in_rules().into_iter().filter(|rule| !learns(rule)).collect(), 0);
        Self { evaluators, took: [Duration::ZERO; 2] }
    }

    fn take(&mut self, at: MessagePlace, clock: StreamClock, host: &HostName, snapshot: &Arc<Snapshot>) {
        // In turn, so that neither always finds the snapshot in the cache.
        for number in [at.sequence % 2, (at.sequence + 1) % 2].map(|number| usize::from(number == 1)) {
            let start = Instant::now();
            self.evaluators[number].snapshot(at, clock, host, snapshot);
            self.took[number] += start.elapsed();
        }
    }

    fn say(&self, snapshots: u64, hosts: usize) {
        let [with, without] = self.took.map(|took| took.as_secs_f64() * 1e6 / snapshots as f64);
        let times = with / without;
        println!(
            "the built-in rules {with:.1} µs a snapshot, {without:.1} without what is learned: {times:.2} times"
        );
        let bytes =
            |evaluator: &Evaluator| rmp_serde::to_vec_named(&evaluator.state()).unwrap().len() / hosts;
        let [with, without] = self.evaluators.each_ref().map(bytes);
        println!("their state of a host has {with} bytes, {without} without");
    }
}

/// Whether a rule asks for what is learned of memory and services.
fn learns(rule: &Rule) -> bool {
    matches!(rule.measure, Measure::MemoryFullIn | Measure::Gone)
}

fn built_in_rules() -> Vec<Rule> {
    built_in().iter().map(|it| Rule::parse(it.id, 0, it.severity, it.sentence).unwrap()).collect()
}

fn rules() -> Vec<Rule> {
    let own = OWN.iter().enumerate().map(|(number, sentence)| {
        Rule::parse(&format!("own-{number}"), 1, Severity::Warning, sentence).unwrap()
    });
    built_in_rules().into_iter().chain(own).collect()
}
