//! How long questions about the past take, with 30 days of 20 hosts × 300 processes on disk; and the same questions asked
//! of SQLite and PostgreSQL: `cargo bench -p fleetps-ingestor --bench history`.
//!
//! `cargo bench -p fleetps-ingestor --bench history -- [FOLDER [DAYS [FINE_DAYS [COARSE_S]]]]`. The history is made once in
//! FOLDER, or anew in a temporary folder; of DAYS days (30) the last FINE_DAYS (2) have samples every 10 s, which is the
//! agent's interval, and the rest every COARSE_S seconds (60), which is what thinning leaves.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that cannot go on should panic")]

mod figures;
mod later;
mod load;
mod make;
mod peers;
mod postgres;
mod questions;
mod sqlite;

use std::path::{Path, PathBuf};

use fastrand::Rng;
use fleetps_ingestor::{
    catalog::SegmentFolder,
    history::{History, Span},
};

use make::{DAY_US, END_US, Size, make};
use questions::{Questions, Times, hosts};

const HOUR_US: i64 = DAY_US / 24;

fn main() {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number = |place: usize, default: i64| {
        arguments.get(place).and_then(|argument| argument.parse().ok()).unwrap_or(default)
    };
    let temporary = tempfile::tempdir().unwrap();
    let folder = arguments.first().map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let size = Size { days: number(1, 30), fine_days: number(2, 2), coarse_us: number(3, 60) * 1_000_000 };
    std::fs::create_dir_all(&folder).unwrap();
    make(&folder, size);
    describe(&folder, size);
    ask_everything(&folder, size);
    peers::compare(&folder, size);
}

fn describe(folder: &Path, size: Size) {
    let catalog = SegmentFolder::scan(folder).unwrap();
    let bytes: u64 = catalog.current.iter().map(|segment| segment.bytes).sum();
    let database = History::open(folder).unwrap().database().unwrap();
    let rows: u64 = database.query_row("SELECT count(*) FROM process_sample", [], |row| row.get(0)).unwrap();
    println!(
        "{} days, the last {} with samples every 10 s, the others every {} s: {rows} rows of processes in {} segments, \
         {:.1} GB, {:.2} bytes a row",
        size.days,
        size.fine_days,
        size.coarse_us / 1_000_000,
        catalog.current.len(),
        bytes as f64 / 1e9,
        bytes as f64 / rows as f64
    );
}

fn report(question: &str, mut times: Times) {
    println!(
        "{question:<26} median {:>8.1} ms   99 % {:>8.1} ms   longest {:>8.1} ms   CPU {:>8.1} ms   of {}",
        times.percentile(50),
        times.percentile(99),
        times.percentile(100),
        times.cpu.as_secs_f64() * 1e3 / times.each.len() as f64,
        times.each.len()
    );
}

fn ask_everything(folder: &Path, size: Size) {
    let history = History::open(folder).unwrap();
    let held = Span { from_us: END_US - size.days * DAY_US, to_us: END_US };
    let mut all = Questions { history: &history, hosts: hosts(&history), held, rng: Rng::with_seed(1) };
    report("table at a moment", all.random_moment());
    report("table, step by step", all.steps());
    report("moments of 1 h", all.snapshots());
    report("difference over 1 h", all.diff());
    report("host, 24 h", all.host_metrics(200, DAY_US));
    report("host, 7 d", all.host_metrics(30, 7 * DAY_US));
    report("host, all days", all.host_metrics(20, size.days * DAY_US - 1));
    report("process, 24 h", all.process_metrics());
    report("programs of a host, 24 h", all.breakdown());
    report("events of a host, 24 h", all.events());
    report("top, 1 h", all.top(30, HOUR_US));
    report("top, 24 h", all.top(20, DAY_US));
    report("top, 7 d", all.top(10, 7 * DAY_US));
    report("search at a moment", all.search());
    let database = history.database().unwrap();
    report("figures of a host, 24 h", all.host_day());
    report("a rate of a host, 24 h", all.host_day_rate());
    report("the same in plain SQL, 24 h", all.host_day_in_sql(&database));
    report("CPU of a program of a host, all days", all.program_hours(size.days, false));
    report("CPU of a program of all, all days", all.program_hours(size.days, true));
    match all.program_hours_in_sql(size.days, &database) {
        Ok(times) => report("the same in plain SQL, all days", times),
        Err(error) => println!("{:<26} {error}", "the same in plain SQL, all days"),
    }
}
