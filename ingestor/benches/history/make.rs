//! Makes a history as a fleet of the simulator leaves it, through the code that an ingestor uses.

use std::{fs, path::Path, thread, time::Instant};

use fleetps_agent::simulate::{Fleet, SimulationSettings};
use fleetps_ingestor::{
    IngestorSettings, merge_folder,
    segment::{SegmentRows, seal},
    tidy_folder,
};

/// 2026-11-20 00:00 UTC, when it ends.
pub const END_US: i64 = 1_795_132_800_000_000;
pub const DAY_US: i64 = 86_400_000_000;
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
    let next = std::sync::atomic::AtomicI64::new(0);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let day = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if day >= size.days {
                        return;
                    }
                    make_day(folder, size, day);
                }
            });
        }
    });
    // What is old by then is thinned.
    let settings = IngestorSettings { max_history_bytes: u64::MAX, ..IngestorSettings::default() };
    tidy_folder(folder, END_US / 1_000_000, &settings).unwrap();
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
    // Room for a day of snapshots.
    let mut sequence = 1 + day.cast_unsigned() * 1_000_000;
    let mut rows = SegmentRows::new(0, 1, sequence, begin_us);
    for captured_at_us in (begin_us..begin_us + DAY_US).step_by(usize::try_from(interval_us).unwrap()) {
        for (place, host) in names.iter().enumerate() {
            rows.push(sequence, captured_at_us, host, fleet.snapshot(place, captured_at_us));
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
