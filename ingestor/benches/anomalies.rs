//! How many anomalies of labelled series `unusual` finds, and how often it tells of nothing:
//! `cargo bench -p fleetps-ingestor --bench anomalies -- FOLDER [PERCENT …]`, at 20 % unless told otherwise.
//!
//! The folder has series as the Numenta Anomaly Benchmark has them: `*.csv` with `timestamp,value`, and `windows.json` with the times
//! in which something was wrong, by the name of the file. The first 15 % of a series is for learning, and an alarm within six
//! hours of one before it is the same.
//!
//! A series goes through the evaluator as a figure of a host: CPU as such, with its least range; anything else as a load whose
//! greatest value is 1,000, so that its least range is nothing.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that cannot go on should panic")]

use std::{collections::BTreeMap, path::Path, sync::Arc};

use fleetps_ingestor::{
    alerts::{Change, Evaluator, Rule, Severity},
    events::{MessagePlace, StreamClock},
};
use fleetps_nats::{HostName, Snapshot, snapshot::HostSample};
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// By the name of the file.
type Windows = BTreeMap<String, Vec<(String, String)>>;

const HOUR_US: i64 = 3_600_000_000;
const WEEK_US: f64 = 7.0 * 24.0 * HOUR_US as f64;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with("--")).collect();
    let Some(folder) = arguments.first() else {
        println!("say where the series are: cargo bench -p fleetps-ingestor --bench anomalies -- FOLDER");
        return;
    };
    let mut percents: Vec<u32> = arguments.iter().skip(1).map(|it| it.parse().unwrap()).collect();
    if percents.is_empty() {
        percents.push(20);
    }
    let folder = Path::new(folder);
    let windows = std::fs::read_to_string(folder.join("windows.json")).unwrap();
    let windows: Windows = serde_json::from_str(&windows).unwrap();
    for percent in percents {
        let (mut labelled, mut found, mut false_alarms, mut weeks) = (0, 0, 0, 0.0);
        for (name, windows) in &windows {
            let series = read(&folder.join(name));
            let alarms = alarms(&series, name.contains("cpu"), percent);
            let of_window = |(from, to): &(String, String)| (time_us(from), time_us(to));
            let windows: Vec<(i64, i64)> = windows.iter().map(of_window).collect();
            let is_within = |at_us: &i64, window: &(i64, i64)| (window.0..=window.1).contains(at_us);
            let hit = windows.iter().filter(|it| alarms.iter().any(|at_us| is_within(at_us, it))).count();
            let of_nothing = alarms.iter().filter(|it| !windows.iter().any(|window| is_within(it, window)));
            let of_nothing = of_nothing.count();
            println!("{name}: {hit} of {} windows, {of_nothing} false alarms", windows.len());
            (labelled, found, false_alarms) =
                (labelled + windows.len(), found + hit, false_alarms + of_nothing);
            weeks += (series.last().unwrap().0 - learned_us(&series)) as f64 / WEEK_US;
        }
        println!(
            "unusual > {percent}%: {found} of {labelled} windows, {false_alarms} false alarms in {weeks:.1} weeks of a series"
        );
    }
}

fn time_us(text: &str) -> i64 {
    let time: DateTime = text.parse().unwrap();
    let time: Timestamp = time.to_zoned(TimeZone::UTC).unwrap().timestamp();
    time.as_microsecond()
}

fn read(path: &Path) -> Vec<(i64, f64)> {
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().skip(1).filter_map(|line| line.split_once(','));
    rows.map(|(at, value)| (time_us(at), value.parse().unwrap())).collect()
}

/// When it is learned what is usual.
fn learned_us(series: &[(i64, f64)]) -> i64 {
    series[series.len() * 15 / 100].0
}

/// When an alert would have been raised.
fn alarms(series: &[(i64, f64)], is_cpu: bool, percent: u32) -> Vec<i64> {
    let mut evaluator = Evaluator::default();
    let sentence = format!("unusual > {percent}%");
    evaluator.set_rules(vec![Rule::parse("unusual", 0, Severity::Info, &sentence).unwrap()], 0);
    let host: HostName = "server".parse().unwrap();
    let greatest = series.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    let mut alarms: Vec<i64> = Vec::new();
    for (sequence, (at_us, value)) in (1..).zip(series) {
        let host_sample = match is_cpu {
            true => HostSample { cpu_percent: Some(*value as f32), ..HostSample::default() },
            false => {
                HostSample { load_1: Some((value / greatest * 1_000.0) as f32), ..HostSample::default() }
            }
        };
        let snapshot = Snapshot {
            boot_id: "boot".to_owned(),
            captured_at_us: *at_us,
            monotonic_ms: u64::try_from(at_us / 1000).unwrap(),
            interval_ms: 300_000,
            host: host_sample,
            ..Snapshot::default()
        };
        let place = MessagePlace { partition: 0, epoch_s: 1, sequence, stored_at_us: *at_us };
        let clock = StreamClock { now_ms: Some(at_us / 1000), counted_from_ms: None };
        let changes = evaluator.snapshot(place, clock, &host, &Arc::new(snapshot));
        let is_raised = changes.iter().any(|change| change.change == Change::Raised);
        let is_new = alarms.last().is_none_or(|last| at_us - last >= 6 * HOUR_US);
        if is_raised && is_new && *at_us >= learned_us(series) {
            alarms.push(*at_us);
        }
    }
    alarms
}
