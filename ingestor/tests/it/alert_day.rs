//! A day and some hours of a simulated fleet under the built-in rules: what is planted is found, and nothing else is told.
//!
//! The ordinary test has few hosts. The large one is run by hand, with `HOSTS`, `PROCESSES` and
//! `INTERVAL_S` where others than 200, 100 and 30 are wanted:
//! `cargo test --release -p fleetps-ingestor --test it alert_day -- --ignored --nocapture`.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use fleetps_agent::simulate::{Fleet, SimulationSettings};
use fleetps_ingestor::{
    alerts::{AlertChange, Change, Evaluator, Rule, Severity, built_in},
    events::{Detector, MessagePlace},
};
use fleetps_nats::Snapshot;

/// Midnight, so that the hours of the story are those of the fleet's day.
const START_US: i64 = 1_795_046_400_000_000;
/// What is always there is known after 25.
const HOURS: f64 = 31.0;
const GIB: u64 = 1 << 30;
/// A rule that is tried beside the built-in ones.
const BESIDE: &str = "beside";

/// What is done to one of the Linux hosts.
type Disturb = fn(f64, &mut Snapshot);

/// A trouble: what is done, the rule that must find it, and the part of the name of what it is about.
const TROUBLES: [(Disturb, &str, &str); 9] = [
    (no_cron, "service-gone", "cron.service"),
    (fills_up, "disk-full-soon", "/srv"),
    (full, "disk-full", "/srv"),
    (pegged, "core-pegged", "rsyslogd"),
    (out_of_memory, "memory-nearly-gone", ""),
    (killed, "out-of-memory", ""),
    (clock_off, "clock-off", ""),
    (drops, "agent-drops", ""),
    (silent, "host-silent", ""),
];

/// What happens on healthy hosts, and no rule may tell.
const HARMLESS: [Disturb; 7] =
    [restarts_cron, boots, limited, stops_each_night, warms_up, new_version, nightly_copy];

fn remove_unit(snapshot: &mut Snapshot, unit: &str) {
    snapshot.processes.retain(|process| process.unit.as_deref() != Some(unit));
}

fn no_cron(hour: f64, snapshot: &mut Snapshot) {
    if hour > 27.0 {
        remove_unit(snapshot, "cron.service");
    }
}

fn use_srv(snapshot: &mut Snapshot, share: f64) {
    for disk in snapshot.filesystems.iter_mut().filter(|disk| disk.mount == "/srv") {
        let total = disk.total_bytes.unwrap_or_default() as f64;
        disk.used_bytes = Some((total * share) as u64);
        disk.available_bytes = Some((total * (1.0 - share)) as u64);
    }
}

fn fills_up(hour: f64, snapshot: &mut Snapshot) {
    use_srv(snapshot, 0.55 + 0.01 * hour);
}

fn full(hour: f64, snapshot: &mut Snapshot) {
    use_srv(snapshot, if (5.0..5.2).contains(&hour) { 0.99 } else { 0.4 });
}

fn pegged(hour: f64, snapshot: &mut Snapshot) {
    let wanted = snapshot.processes.iter_mut().filter(|process| process.name == "rsyslogd");
    wanted.for_each(|process| {
        if (3.0..9.0).contains(&hour) {
            process.cpu_percent = Some(99.9);
        }
    });
}

fn out_of_memory(hour: f64, snapshot: &mut Snapshot) {
    if (8.0..8.5).contains(&hour) {
        let total = snapshot.host.memory_total_bytes.unwrap_or_default();
        snapshot.host.memory_used_bytes = Some(total / 100 * 97);
        snapshot.host.memory_available_bytes = Some(total / 100 * 3);
    }
}

fn killed(hour: f64, snapshot: &mut Snapshot) {
    snapshot.host.oom_kills = Some(u64::from(hour > 15.0));
}

fn clock_off(hour: f64, snapshot: &mut Snapshot) {
    snapshot.clock_offset_us = (12.0..13.0).contains(&hour).then_some(8_000_000);
}

fn drops(hour: f64, snapshot: &mut Snapshot) {
    snapshot.agent.dropped_snapshots = ((hour.clamp(20.0, 20.2) - 20.0) * 1_000.0) as u64;
}

/// What is not sent has no processes and no interval.
fn silent(hour: f64, snapshot: &mut Snapshot) {
    if (10.0..10.5).contains(&hour) {
        snapshot.interval_ms = 0;
    }
}

fn restarts_cron(hour: f64, snapshot: &mut Snapshot) {
    // Once an hour for a moment, and once for three minutes.
    if hour.fract() < 0.01 || (27.0..27.05).contains(&hour) {
        remove_unit(snapshot, "cron.service");
    }
}

fn boots(hour: f64, snapshot: &mut Snapshot) {
    const AT: f64 = 27.5;
    if hour >= AT {
        snapshot.boot_id.push_str("-again");
        snapshot.monotonic_ms = ((hour - AT) * 3_600_000.0) as u64;
        if hour < AT + 0.1 {
            snapshot.processes.truncate(3);
        }
    }
}

fn limited(hour: f64, snapshot: &mut Snapshot) {
    if (26.5..28.0).contains(&hour) {
        snapshot.processes_left_out = u32::try_from(snapshot.processes.len()).unwrap() - 5;
        snapshot.processes.truncate(5);
    }
}

fn stops_each_night(hour: f64, snapshot: &mut Snapshot) {
    if (3.0..3.5).contains(&(hour % 24.0)) {
        remove_unit(snapshot, "cron.service");
    }
}

fn warms_up(hour: f64, snapshot: &mut Snapshot) {
    // Started at two, as after a nightly release.
    let age = (hour - 2.0).max(0.0);
    for process in snapshot.processes.iter_mut().filter(|process| process.name == "rsyslogd") {
        process.resident_bytes = Some((2.0 * GIB as f64 * (1.0 - (-age / 4.0).exp())) as u64 + (100 << 20));
    }
}

fn new_version(hour: f64, snapshot: &mut Snapshot) {
    for process in &mut snapshot.processes {
        if process.unit.as_deref() == Some("cron.service") {
            process.unit = Some(format!("app-{}.service", if hour > 26.0 { 42 } else { 41 }));
        }
    }
}

fn nightly_copy(hour: f64, snapshot: &mut Snapshot) {
    use_srv(snapshot, if (1.0..4.0).contains(&(hour % 24.0)) { 0.88 } else { 0.6 });
}

/// A fleet under the built-in rules.
struct Day {
    hosts: usize,
    processes: usize,
    interval_s: u32,
}

/// What was told.
struct Told {
    /// How often each rule raised what, by rule, host, and what it is about.
    raised: BTreeMap<(String, usize, String), u32>,
    /// The Linux hosts, whose first two have the simulator's own troubles.
    linux: Vec<usize>,
    snapshots: u64,
    evaluated_us: f64,
}

impl Day {
    fn evaluate(&self, rules: Vec<Rule>) -> Told {
        let interval = std::time::Duration::from_secs(self.interval_s.into());
        let settings = SimulationSettings {
            hosts: self.hosts,
            processes: self.processes,
            interval,
            run_id: "day".to_owned(),
            ..SimulationSettings::default()
        };
        let mut fleet = Fleet::new(&settings);
        let names = fleet.host_names().to_vec();
        let (mut detector, mut evaluator) = (Detector::default(), Evaluator::default());
        evaluator.set_rules(rules, START_US);
        let mut told = Told { raised: BTreeMap::new(), linux: Vec::new(), snapshots: 0, evaluated_us: 0.0 };
        let rounds = (HOURS * 3600.0) as i64 / i64::from(self.interval_s);
        let mut sequence = 0;
        for round in 0..rounds {
            for (number, name) in names.iter().enumerate() {
                // Hosts are spread over the interval: a stream in which nothing comes for long has a hole.
                let interval_us = i64::from(self.interval_s) * 1_000_000;
                let at_us = START_US + round * interval_us + interval_us * number as i64 / names.len() as i64;
                let hour = (at_us - START_US) as f64 / 3.6e9;
                let mut snapshot = fleet.snapshot(number, at_us);
                let is_linux = snapshot.processes.iter().any(|it| it.unit.as_deref() == Some("cron.service"));
                if round == 0 && is_linux {
                    told.linux.push(number);
                }
                if let Some(disturb) = told.disturbance(number) {
                    disturb(hour, &mut snapshot);
                }
                if snapshot.interval_ms == 0 {
                    continue;
                }
                sequence += 1;
                let place = MessagePlace { partition: 0, epoch_s: 1, sequence, stored_at_us: at_us };
                let snapshot = Arc::new(snapshot);
                let events = detector.snapshot(place, name, &snapshot);
                let start = Instant::now();
                let mut changes = evaluator.snapshot(place, detector.clock(), name, &snapshot);
                changes.extend(evaluator.events(place, &events));
                told.evaluated_us += start.elapsed().as_secs_f64() * 1e6;
                let number_of = |change: &AlertChange| names.iter().position(|it| *it == change.alert.host);
                for change in
                    changes.iter().filter(|it| matches!(it.change, Change::Raised | Change::Flapping))
                {
                    let about =
                        (change.alert.rule.clone(), number_of(change).unwrap(), change.alert.instance());
                    *told.raised.entry(about).or_default() += 1;
                }
            }
        }
        told.snapshots = sequence;
        told
    }
}

impl Told {
    /// What is done to a host: of each four healthy ones, one has something harmless.
    fn disturbance(&self, host: usize) -> Option<Disturb> {
        let place = self.linux.iter().position(|linux| *linux == host)?.checked_sub(2)?;
        let of_trouble = TROUBLES.get(place).map(|(disturb, ..)| *disturb);
        of_trouble.or_else(|| {
            let further = place - TROUBLES.len();
            HARMLESS.get(further % (4 * HARMLESS.len())).copied()
        })
    }

    /// What must be found, by rule, host and a part of what it is about.
    fn planted(&self) -> Vec<(&'static str, usize, &'static str)> {
        let own = [
            ("memory-leak", self.linux[0], "report-cache"),
            ("restart-loop", self.linux[1], "payments-worker"),
        ];
        let troubles = TROUBLES.iter().zip(&self.linux[2..]);
        own.into_iter().chain(troubles.map(|((_, rule, about), host)| (*rule, *host, *about))).collect()
    }

    /// What was planted and is not found, and what was told of hosts to which nothing was done.
    fn mistakes(&self) -> (Vec<String>, Vec<String>) {
        let planted = self.planted();
        let is_of = |(rule, host, about): &(String, usize, String), it: &(&str, usize, &str)| {
            (rule.as_str(), *host) == (it.0, it.1) && about.contains(it.2)
        };
        let missed = planted.iter().filter(|it| !self.raised.keys().any(|raised| is_of(raised, it)));
        let missed = missed.map(|it| format!("{it:?}")).collect();
        let is_planted = |raised: &(String, usize, String)| planted.iter().any(|it| is_of(raised, it));
        // What a trouble brings with it.
        let follows = |(rule, host, _): &(String, usize, String)| {
            let of_host = |wanted: &str| planted.iter().any(|it| it.1 == *host && it.0 == wanted);
            match rule.as_str() {
                "memory-nearly-gone" | "core-pegged" => of_host("memory-leak"),
                _ => false,
            }
        };
        let of_nothing = self.raised.iter().filter(|(raised, _)| !is_planted(raised) && !follows(raised));
        let false_alarms = of_nothing.map(|(raised, times)| format!("{raised:?}: {times}")).collect();
        (missed, false_alarms)
    }
}

fn built_in_rules() -> Vec<Rule> {
    built_in().iter().map(|it| Rule::parse(it.id, 0, it.severity, it.sentence).unwrap()).collect()
}

#[test]
fn the_troubles_of_a_day_are_found_and_nothing_else_is_told() {
    let day = Day { hosts: 22, processes: 55, interval_s: 30 };
    let told = day.evaluate(built_in_rules());
    assert!(told.linux.len() >= 2 + TROUBLES.len() + HARMLESS.len(), "{} hosts with Linux", told.linux.len());
    let (missed, false_alarms) = told.mistakes();
    assert!(missed.is_empty() && false_alarms.is_empty(), "missed {missed:#?}, told {false_alarms:#?}");
}

#[test]
#[ignore = "takes minutes"]
fn the_troubles_of_a_day_of_a_large_fleet() {
    let asked = |name: &str, usual: usize| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
    };
    let day = Day {
        hosts: asked("HOSTS", 200),
        processes: asked("PROCESSES", 100),
        interval_s: u32::try_from(asked("INTERVAL_S", 30)).unwrap(),
    };
    // Not on from the start, and neither found nor told wrongly: how often it would tell something.
    let beside = ["unusual > 20%", "gone for 5m over program"];
    let rule = |sentence| Rule::parse(BESIDE, 0, Severity::Info, sentence).unwrap();
    let all = day.evaluate(built_in_rules());
    let of_beside = beside.map(|sentence| (sentence, day.evaluate(vec![rule(sentence)])));
    let (missed, false_alarms) = all.mistakes();
    println!("{} hosts, {} snapshots, {HOURS} hours", day.hosts, all.snapshots);
    println!("{:.1} µs a snapshot", all.evaluated_us / all.snapshots as f64);
    println!("found: {}", all.planted().len() - missed.len());
    for (raised, times) in &all.raised {
        println!("told {times} times: {raised:?}");
    }
    for (sentence, told) in of_beside {
        println!(
            "`{sentence}`: told {} times, of {} things",
            told.raised.values().sum::<u32>(),
            told.raised.len()
        );
        let of_disturbed =
            told.raised.keys().filter(|(_, host, _)| told.disturbance(*host).is_some()).count();
        println!("    {of_disturbed} of these on hosts to which something was done");
    }
    assert!(missed.is_empty() && false_alarms.is_empty(), "missed {missed:#?}, told {false_alarms:#?}");
}
