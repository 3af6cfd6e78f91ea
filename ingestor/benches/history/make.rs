//! Makes a history as a fleet of the simulator leaves it, through the code that an ingestor uses: a day of each kind, and the
//! others as copies of it.

use std::{collections::BTreeSet, fs, path::Path, thread, time::Instant};

use fleetps_agent::simulate::{Fleet, SimulationSettings};
use fleetps_ingestor::{
    IngestorSettings,
    catalog::SegmentFolder,
    merge_folder,
    segment::{SegmentName, SegmentRows, seal},
    tidy_folder,
};

use crate::later::{SEQUENCES_PER_DAY, copy_later};

/// 2026-11-20 00:00 UTC, when it ends.
pub const END_US: i64 = 1_795_132_800_000_000;
pub const DAY_US: i64 = 86_400_000_000;
const DAY_S: i64 = DAY_US / 1_000_000;
pub const HOSTS: usize = 20;
pub const PROCESSES: usize = 300;
/// The interval of the last days, which is the agent's own.
const FINE_US: i64 = 10_000_000;
/// Rows of a fresh segment, as an ingestor seals them.
const SEAL_ROWS: usize = 500_000;
/// Written once everything is there.
const DONE: &str = "done";

/// How much.
#[derive(Clone, Copy)]
pub struct Size {
    pub days: i64,
    /// The last of them, with samples every 10 s.
    pub fine_days: i64,
    /// The interval of those before.
    pub coarse_us: i64,
}

/// Makes it in `folder`, unless it is there.
pub fn make(folder: &Path, size: Size) {
    if folder.join(DONE).exists() {
        return;
    }
    let start = Instant::now();
    let first_fine = size.days - size.fine_days;
    let made: BTreeSet<i64> =
        [0, first_fine].into_iter().filter(|day| (0..size.days).contains(day)).collect();
    thread::scope(|scope| {
        for day in &made {
            scope.spawn(|| make_day(folder, size, *day));
        }
    });
    // What is old by then is thinned.
    let settings = IngestorSettings { max_history_bytes: u64::MAX, ..IngestorSettings::default() };
    tidy_folder(folder, END_US / 1_000_000, &settings).unwrap();
    let segments = SegmentFolder::scan(folder).unwrap().current;
    let begin_s = END_US / 1_000_000 - size.days * DAY_S;
    let day_of = |name: &SegmentName| (name.first_stored_s - begin_s).div_euclid(DAY_S);
    for day in (0..size.days).filter(|day| !made.contains(day)) {
        let original = if day < first_fine { 0 } else { first_fine };
        let names = segments.iter().map(|segment| segment.name).filter(|name| day_of(name) == original);
        names.for_each(|name| copy_later(folder, name, day - original));
    }
    fs::write(folder.join(DONE), "").unwrap();
    println!("made in {:.0} s", start.elapsed().as_secs_f64());
}

/// One day, in a folder of its own until it is merged.
fn make_day(folder: &Path, size: Size, day: i64) {
    let begin_us = END_US - (size.days - day) * DAY_US;
    let interval_us = if day >= size.days - size.fine_days { FINE_US } else { size.coarse_us };
    let own = folder.join(format!("day-{day}.tmp"));
    let _ = fs::remove_dir_all(&own);
    fs::create_dir_all(&own).unwrap();
    // Every day begins with a boot of its own; what a day is asked for is inside it.
    let settings = SimulationSettings {
        hosts: HOSTS,
        processes: PROCESSES,
        interval: std::time::Duration::from_micros(interval_us.cast_unsigned()),
        run_id: format!("day-{day}"),
        ..SimulationSettings::default()
    };
    let mut fleet = Fleet::new(&settings);
    let names = fleet.host_names().to_vec();
    let mut sequence = 1 + day.cast_unsigned() * SEQUENCES_PER_DAY;
    let mut rows = SegmentRows::new(0, 1, sequence, begin_us);
    for captured_at_us in (begin_us..begin_us + DAY_US).step_by(usize::try_from(interval_us).unwrap()) {
        for (place, host) in names.iter().enumerate() {
            rows.push(sequence, captured_at_us, host, &fleet.snapshot(place, captured_at_us));
            sequence += 1;
        }
        if rows.is_full(SEAL_ROWS) {
            seal(&own, &mut rows).unwrap();
            rows = SegmentRows::new(0, 1, sequence, captured_at_us + interval_us);
        }
    }
    if !rows.is_empty() {
        seal(&own, &mut rows).unwrap();
    }
    merge_folder(&own).unwrap();
    for entry in fs::read_dir(&own).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().ends_with(".duckdb") {
            fs::rename(entry.path(), folder.join(entry.file_name())).unwrap();
        }
    }
    fs::remove_dir_all(&own).unwrap();
}
