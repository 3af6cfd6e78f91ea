//! Makes the history of a large fleet: simulated snapshots become segments through the code that an ingestor uses, and are
//! merged when its compactor would merge them. The newest segments stay fresh.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use fleetps_agent::simulate::{Fleet, SimulationSettings};
use fleetps_ingestor::{
    IngestorSettings,
    events::{Detector, Event, MessagePlace},
    segment::{SegmentRows, seal},
    tidy_folder,
};
use fleetps_nats::{HostName, Snapshot};

use crate::arguments::Arguments;

/// 2026-11-27 00:00 UTC, when the history ends. On the hour: the fresh segments of the last hour wait for more.
pub const END_US: i64 = 1_795_737_600_000_000;
pub const MINUTE_US: i64 = 60_000_000;
const SECOND_US: i64 = 1_000_000;
/// The agent's own interval.
const FINE_US: i64 = 10 * SECOND_US;
/// What thinning leaves: one sample a minute.
const THINNED_US: i64 = MINUTE_US;
/// By then a day has passed for compaction, whichever of its messages came last.
const PASSED_US: i64 = 26 * 60 * MINUTE_US;
/// From a capture until the broker has the snapshot.
const ON_THE_WAY_US: i64 = 5_000;
/// Segments that wait to be sealed; each takes some 100 MB.
const WAITING: usize = 1;
/// How often it is said how far this is.
const TELL_EVERY_ROWS: u64 = 10_000_000;
/// Written last, with what was made.
const DONE: &str = "made";

/// Where the segments are.
pub fn history(folder: &Path) -> PathBuf {
    folder.join("history")
}

/// Whether the history that `arguments` asks for is in its folder.
///
/// # Panics
/// Where another history is there.
pub fn is_made(arguments: &Arguments) -> bool {
    let Ok(made) = fs::read_to_string(arguments.folder.join(DONE)) else { return false };
    assert!(made == arguments.fleet(), "{} has another history: {made}", arguments.folder.display());
    true
}

/// Makes the history. Anything unfinished in its place is removed.
pub fn make(arguments: &Arguments) {
    let (start, history) = (Instant::now(), history(&arguments.folder));
    let _ = fs::remove_dir_all(&history);
    fs::create_dir_all(&history).unwrap();
    let (full, waiting) = sync_channel(WAITING);
    let (rows, storing) = thread::scope(|scope| {
        let folder = &history;
        let sealing = scope.spawn(move || store_all(folder, &waiting));
        let rows = simulate(arguments, full);
        (rows, sealing.join().unwrap())
    });
    let took = start.elapsed();
    println!(
        "made {rows} rows of processes in {:.0} s, {:.0} rows/s; sealing and merging took {:.0} s of it",
        took.as_secs_f64(),
        rows as f64 / took.as_secs_f64(),
        storing.as_secs_f64()
    );
    fs::write(arguments.folder.join(DONE), arguments.fleet()).unwrap();
}

/// What is handed from the simulating thread to the storing one.
enum Step {
    Seal(Box<Intake>),
    /// Everything so far is thinned, as if this were the time (s since 1970 UTC).
    Thin(i64),
}

/// The one place where snapshots become a segment, as an ingestor's intake makes them.
struct Intake {
    rows: SegmentRows,
    detector: Detector,
    events: Vec<Event>,
    begun_at_us: i64,
    seal: IngestorSettings,
}

impl Intake {
    fn new(first_sequence: u64, begun_at_us: i64) -> Self {
        let rows = SegmentRows::new(0, 1, first_sequence, begun_at_us);
        let (detector, events) = (Detector::default(), Vec::new());
        Self { rows, detector, events, begun_at_us, seal: IngestorSettings::default() }
    }

    /// What was collected, with what it decided; the next segment begins with `first_sequence`.
    fn finish(&mut self, first_sequence: u64, begun_at_us: i64) -> Self {
        let next = Self::new(first_sequence, begun_at_us);
        let mut due = std::mem::replace(self, next);
        due.rows.set_events(std::mem::take(&mut due.events), due.detector.clock());
        std::mem::swap(&mut self.detector, &mut due.detector);
        due
    }

    fn take(&mut self, sequence: u64, stored_at_us: i64, host: &HostName, snapshot: &Snapshot) {
        let place = MessagePlace { partition: 0, epoch_s: 1, sequence, stored_at_us };
        self.events.extend(self.detector.snapshot(place, host, snapshot));
        self.rows.push(sequence, stored_at_us, host, snapshot);
    }

    /// Whether an ingestor would seal it at `now_us`.
    fn is_due(&self, now_us: i64) -> bool {
        let age_us = u64::try_from(now_us - self.begun_at_us).unwrap_or_default();
        self.rows.is_full(self.seal.seal_rows) || Duration::from_micros(age_us) >= self.seal.seal_interval
    }

    /// Writes the segment to `folder`.
    fn seal(mut self, folder: &Path) {
        if !self.rows.is_empty() {
            seal(folder, &mut self.rows).unwrap();
        }
    }
}

/// Simulates the thinned part and the fine one; the rows of processes in both.
fn simulate(arguments: &Arguments, full: SyncSender<Step>) -> u64 {
    let fine_us = END_US - arguments.minutes * MINUTE_US;
    let thinned_us = fine_us - arguments.thinned_minutes * MINUTE_US;
    let settings = SimulationSettings {
        hosts: arguments.hosts,
        processes: arguments.processes,
        seed: arguments.seed,
        run_id: "history".to_owned(),
        ..SimulationSettings::default()
    };
    let mut simulation = Simulation { fleet: Fleet::new(&settings), sequence: 1, rows: 0, full };
    simulation.run((thinned_us, fine_us), THINNED_US);
    if thinned_us < fine_us {
        simulation.full.send(Step::Thin((fine_us + PASSED_US) / SECOND_US)).unwrap();
    }
    simulation.run((fine_us, END_US), FINE_US);
    simulation.rows
}

struct Simulation {
    fleet: Fleet,
    sequence: u64,
    rows: u64,
    full: SyncSender<Step>,
}

impl Simulation {
    /// Hosts are spread evenly over the interval, as a real fleet is.
    fn run(&mut self, (from_us, to_us): (i64, i64), interval_us: i64) {
        let names = self.fleet.host_names().to_vec();
        let hosts = i64::try_from(names.len()).unwrap();
        let mut intake = Intake::new(self.sequence, from_us);
        for round_us in (from_us..to_us).step_by(usize::try_from(interval_us).unwrap()) {
            for (place, host) in names.iter().enumerate() {
                let captured_at_us = round_us + interval_us * i64::try_from(place).unwrap() / hosts;
                let stored_at_us = captured_at_us + ON_THE_WAY_US;
                let snapshot = self.fleet.snapshot(place, captured_at_us);
                self.rows += snapshot.processes.len() as u64;
                intake.take(self.sequence, stored_at_us, host, &snapshot);
                self.sequence += 1;
                if intake.is_due(stored_at_us) {
                    let due = intake.finish(self.sequence, stored_at_us);
                    self.full.send(Step::Seal(Box::new(due))).unwrap();
                }
            }
        }
        let last = intake.finish(self.sequence, to_us);
        self.full.send(Step::Seal(Box::new(last))).unwrap();
    }
}

/// Seals what comes, and merges as soon as a compactor would; how long that took.
fn store_all(history: &Path, waiting: &Receiver<Step>) -> Duration {
    let settings = IngestorSettings { max_history_bytes: u64::MAX, ..IngestorSettings::default() };
    let thinning = IngestorSettings { keep_samples: Duration::ZERO, ..settings.clone() };
    let (mut stored, mut told, mut spent) = (0_u64, 0, Duration::ZERO);
    for step in waiting {
        let start = Instant::now();
        match step {
            Step::Seal(intake) => {
                let now_s = intake.begun_at_us / SECOND_US;
                stored += intake.rows.len() as u64;
                intake.seal(history);
                tidy_folder(history, now_s, &settings).unwrap();
            }
            Step::Thin(now_s) => _ = tidy_folder(history, now_s, &thinning).unwrap(),
        }
        spent += start.elapsed();
        if stored >= told + TELL_EVERY_ROWS {
            println!("  {stored} rows of processes so far");
            told = stored;
        }
    }
    spent
}
