//! Questions in SQL over a history of thousands of segments, as the console asks them, and `attach.sql` as anybody runs it.
//!
//! `cargo bench -p fleetps --bench sql_segments -- 10000 FOLDER` makes the segments in FOLDER the first time (some minutes) and
//! asks; with 100 segments in another folder it is the reference. The segments are tiny, because what is measured is what each
//! one costs, and as an ingestor leaves them that divides a fleet: thirty days, and each segment holds a day of a few hosts.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on should panic")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use fleetps_agent::simulate::{Fleet, SimulationSettings};
use fleetps_ingestor::{
    history::{Holding, Scope, Span},
    segment::{SegmentRows, seal},
    sql::{AskError, Choice, SqlClient},
};
use tokio_util::sync::CancellationToken;

/// 2026-10-28 00:00 UTC, when the history begins.
const BEGIN_US: i64 = 1_793_145_600_000_000;
const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;
const DAYS: usize = 30;
const HOSTS_OF_A_SEGMENT: usize = 3;
const SAMPLES: i64 = 4;
const PROCESSES: usize = 5;
/// Questions of one kind.
const ROUNDS: usize = 5;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let wanted: usize = arguments.next().and_then(|number| number.parse().ok()).unwrap_or(10_000);
    let folder = PathBuf::from(arguments.next().expect("which folder is the history in"));
    let parts = wanted.div_ceil(DAYS);
    if !folder.join("made").exists() {
        make(&folder, parts);
    }
    let segments = fs::read_dir(&folder).unwrap().count() - 1;
    println!("{segments} segments of {} hosts over {DAYS} days", parts * HOSTS_OF_A_SEGMENT);
    let client = SqlClient::new(PathBuf::from(env!("CARGO_BIN_EXE_fleetps")), folder.clone());
    let host = Fleet::new(&settings(parts)).host_names()[0].to_string();
    let count = format!("SELECT count(*) FROM process_span WHERE host = '{host}'");
    let busiest = "SELECT name, max(cpu_percent) FROM process_span JOIN process USING (host, boot_id, pid, start_ticks) \
        GROUP BY name ORDER BY 2 DESC LIMIT 10";
    let end_us = BEGIN_US + i64::try_from(DAYS).unwrap() * DAY_US;
    let week = Span { from_us: end_us - 7 * DAY_US, to_us: end_us };
    let hour = Span { from_us: end_us - HOUR_US, to_us: end_us };
    ask(&client, "as far back as fits", busiest, &Choice::default());
    // As the web server's index tells: each part of the fleet is a partition.
    ask(&client, "one host over 7 days", &count, &Choice::of(week, holding(&folder, 0..1)));
    ask(&client, "every host over an hour", busiest, &Choice::of(hour, holding(&folder, 0..parts)));
    ask(&client, "every segment", &count, &Choice::default().at_most(usize::MAX));
    attach(&folder);
}

fn settings(parts: usize) -> SimulationSettings {
    let hosts = parts * HOSTS_OF_A_SEGMENT;
    SimulationSettings { hosts, processes: PROCESSES, run_id: "bench".to_owned(), ..Default::default() }
}

fn make(folder: &Path, parts: usize) {
    fs::create_dir_all(folder).unwrap();
    let mut fleet = Fleet::new(&settings(parts));
    for day in 0..DAYS {
        let begin_us = BEGIN_US + i64::try_from(day).unwrap() * DAY_US;
        for part in 0..parts {
            let first = 1 + u64::try_from(day * 100).unwrap();
            let partition = u32::try_from(part).unwrap();
            let mut rows = SegmentRows::new(partition, BEGIN_US / 1_000_000, first, begin_us);
            let mut sequence = first;
            for sample in 0..SAMPLES {
                // The last one is within the last hour of the day.
                let captured_at_us = begin_us + sample * (DAY_US - HOUR_US / 2) / (SAMPLES - 1);
                for host in part * HOSTS_OF_A_SEGMENT..(part + 1) * HOSTS_OF_A_SEGMENT {
                    let snapshot = fleet.snapshot(host, captured_at_us);
                    let name = fleet.host_names()[host].clone();
                    rows.push(sequence, captured_at_us, &name, &snapshot);
                    sequence += 1;
                }
            }
            let name = seal(folder, &mut rows).unwrap().to_string();
            fs::rename(folder.join(&name), folder.join(name.replacen("fresh", "day", 1))).unwrap();
        }
        println!("made day {day}");
    }
    fs::write(folder.join("made"), "").unwrap();
}

/// What the segments of these parts of the fleet are called, and the others.
fn holding(folder: &Path, parts: std::ops::Range<usize>) -> Holding {
    let (mut holding, prefixes) = (Holding::default(), parts.map(|part| format!("day-p{part:03}-")));
    let prefixes: Vec<String> = prefixes.collect();
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            holding.without.insert(name);
        }
    }
    holding
}

fn ask(client: &SqlClient, what: &str, sql: &str, choice: &Choice) {
    let (mut times, mut said) = (Vec::new(), String::new());
    for _ in 0..ROUNDS {
        let asked = Instant::now();
        let answer = client.ask_about(sql, choice, &Scope::everything(), &CancellationToken::new());
        times.push(asked.elapsed());
        said = match answer {
            Ok(answer) => format!("attached {} of {}", answer.attached.segments, answer.attached.of),
            Err(AskError::TooSlow) => "stopped at the deadline".to_owned(),
            Err(error) => error.to_string(),
        };
        if asked.elapsed() > Duration::from_secs(9) {
            break;
        }
    }
    times.sort_unstable();
    println!("  {what}: median {:.2} s, longest {:.2} s; {said}", seconds(&times, 2), seconds(&times, 1));
}

/// The time at a part of the way.
fn seconds(times: &[Duration], part: usize) -> f64 {
    times[(times.len() / part).min(times.len() - 1)].as_secs_f64()
}

/// `attach.sql` in a database of one's own, as `duckdb -init` runs it.
fn attach(folder: &Path) {
    let sql = fleetps_ingestor::catalog::attach_script(folder, None).unwrap().sql;
    let connection = duckdb::Connection::open_in_memory().unwrap();
    let began = Instant::now();
    let attached = connection.execute_batch(&sql);
    println!("  attach.sql, {} KB: {:.2} s, {attached:?}", sql.len() / 1024, began.elapsed().as_secs_f64());
    let began = Instant::now();
    let counted = connection.query_row("SELECT count(*) FROM host_sample", [], |row| row.get::<_, u64>(0));
    println!("  and a count of host_sample: {:.2} s, {counted:?}", began.elapsed().as_secs_f64());
}
