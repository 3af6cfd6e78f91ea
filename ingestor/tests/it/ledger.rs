//! A fleet with everything that happens to one (starts, exits, pids used again, reboots, clocks that are set, lost
//! snapshots, missing values), as segments and as what a naive computation makes of the same snapshots.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use fastrand::Rng;
use fleetps_ingestor::segment::{SegmentRows, seal};
use fleetps_nats::{
    HostName, Snapshot,
    snapshot::{FORMAT, FilesystemSample, Process},
};

use crate::support::{PAGE_BYTES, SECTOR_BYTES, TICK_MS, rows};

/// Midnight.
pub const START_S: i64 = 20_000 * 86_400;
/// Each day has this much activity, so that a test sees many days and hours with few rows.
const ACTIVE_S: i64 = 40 * 60;
const INTERVAL_S: i64 = 20;
const HOSTS: usize = 3;
const EPOCH_S: i64 = 1_700_000_000;

/// A stored snapshot.
pub struct Entry {
    pub host: HostName,
    pub snapshot: Snapshot,
    stored_us: i64,
    /// The day of the first message of its segment.
    day: i64,
}

/// Every snapshot that was stored.
pub struct Ledger {
    pub entries: Vec<Entry>,
}

struct Host {
    name: HostName,
    boot: u32,
    sequence: u64,
    clock_ahead_us: i64,
    processes: Vec<Process>,
}

impl Ledger {
    /// The snapshots of `days` days.
    pub fn random(rng: &mut Rng, days: i64) -> Self {
        let mut hosts: Vec<Host> = (0..HOSTS).map(Host::new).collect();
        let mut entries = Vec::new();
        for day in 0..days {
            let from_s = START_S + day * 86_400 + rng.i64(0..80_000);
            for second in (0..ACTIVE_S).step_by(INTERVAL_S as usize) {
                for host in &mut hosts {
                    let real_us = (from_s + second) * 1_000_000 + rng.i64(0..1_000_000);
                    let snapshot = host.step(real_us, rng);
                    // Some are lost on the way, some come late.
                    let late_us = if rng.u8(..20) == 0 { rng.i64(0..300_000_000) } else { 5_000 };
                    if rng.u8(..15) > 0 {
                        let (host, stored_us) = (host.name.clone(), real_us + late_us);
                        entries.push(Entry { host, snapshot, stored_us, day: 0 });
                    }
                }
            }
        }
        entries.sort_by_key(|entry| entry.stored_us);
        Self { entries }
    }

    /// Seals all of it into `folder`, in segments of some dozens of snapshots.
    pub fn seal(&mut self, folder: &Path, rng: &mut Rng) {
        let mut sequence = 0;
        let mut rest = self.entries.as_mut_slice();
        while !rest.is_empty() {
            let (segment, after) = rest.split_at_mut(rng.usize(10..80).min(rest.len()));
            let begun_us = segment[0].stored_us;
            let mut rows = SegmentRows::new(0, EPOCH_S, sequence + 1, begun_us);
            for entry in segment {
                sequence += 1;
                entry.day = begun_us.div_euclid(86_400_000_000);
                rows.push(sequence, entry.stored_us, &entry.host, &entry.snapshot);
            }
            seal(folder, &mut rows).unwrap();
            rest = after;
        }
    }

    /// When the last was stored, in s.
    pub fn ends_s(&self) -> i64 {
        self.entries.last().map_or(0, |entry| entry.stored_us / 1_000_000)
    }

    /// The last snapshot of each host and minute of each day.
    fn kept(&self) -> BTreeSet<(&str, i64)> {
        let mut last = BTreeMap::new();
        for entry in &self.entries {
            let at_ms = entry.captured_at_ms();
            let key = (entry.day, entry.host.as_str(), at_ms.div_euclid(60_000));
            let latest = last.entry(key).or_insert(at_ms);
            *latest = at_ms.max(*latest);
        }
        last.into_iter().map(|((_, host, _), at_ms)| (host, at_ms)).collect()
    }

    /// The rows of `host_sample` when every snapshot is there: host, time, whether its processes are.
    pub fn snapshots(&self, of_minutes: bool) -> BTreeSet<String> {
        let kept = self.kept();
        let has_processes = |entry: &Entry| !of_minutes || kept.contains(&entry.place());
        let line =
            |entry: &Entry| format!("{}|{}|{}", entry.host, entry.captured_at_ms(), has_processes(entry));
        self.entries.iter().map(line).collect()
    }

    /// The rows of `host_sample` when only the last of every minute is there.
    pub fn snapshots_of_minutes(&self) -> BTreeSet<String> {
        self.kept().into_iter().map(|(host, at_ms)| format!("{host}|{at_ms}|false")).collect()
    }

    /// The rows of `process_sample`.
    pub fn samples(&self, of_minutes: bool) -> BTreeSet<String> {
        let kept = self.kept();
        let entries = self.entries.iter().filter(|entry| !of_minutes || kept.contains(&entry.place()));
        let lines = entries.flat_map(|entry| {
            entry.snapshot.processes.iter().map(|process| {
                let at_ms = entry.captured_at_ms();
                let figures = [process.cpu_time_ms, process.resident_bytes, process.read_bytes];
                format!("{}|{at_ms}|{}", entry.identity(process), figures.map(or_null).join("|"))
            })
        });
        lines.collect()
    }

    /// The rows of `process`: identity, first and last seen, name.
    pub fn processes(&self) -> BTreeSet<String> {
        let mut seen: BTreeMap<String, (i64, i64, &str)> = BTreeMap::new();
        for entry in &self.entries {
            let at_ms = entry.captured_at_ms();
            for process in &entry.snapshot.processes {
                let row = seen.entry(entry.identity(process)).or_insert((at_ms, at_ms, &process.name));
                if at_ms > row.1 {
                    row.2 = &process.name;
                }
                (row.0, row.1) = (row.0.min(at_ms), row.1.max(at_ms));
            }
        }
        seen.into_iter().map(|(key, (first, last, name))| format!("{key}|{first}|{last}|{name}")).collect()
    }

    /// The rows of `process_hour`.
    pub fn hours(&self) -> BTreeSet<String> {
        let mut hours: BTreeMap<(String, i64), Vec<(i64, &Process)>> = BTreeMap::new();
        for entry in &self.entries {
            let at_ms = entry.captured_at_ms();
            for process in &entry.snapshot.processes {
                let key = (entry.identity(process), at_ms.div_euclid(3_600_000) * 3_600_000);
                hours.entry(key).or_default().push((at_ms, process));
            }
        }
        hours.into_iter().map(|((key, hour), samples)| format!("{key}|{hour}|{}", sums(&samples))).collect()
    }
}

fn sums(samples: &[(i64, &Process)]) -> String {
    let all = |figure: fn(&Process) -> Option<u64>| -> Vec<u64> {
        samples.iter().filter_map(|(_, process)| figure(process)).collect()
    };
    let ends = |figure| [all(figure).into_iter().min(), all(figure).into_iter().max()];
    let resident = all(|process| process.resident_bytes);
    let cpu_tenths =
        samples.iter().filter_map(|(_, process)| process.cpu_percent).map(|cpu| (cpu * 10.0).round() as u64);
    let times = samples.iter().map(|(at_ms, _)| *at_ms);
    let mut line = format!(
        "{}|{}|{}|{}|{}|{}|{}",
        samples.len(),
        times.clone().min().unwrap(),
        times.max().unwrap(),
        or_null(cpu_tenths.max()),
        resident.len(),
        or_null((!resident.is_empty()).then(|| resident.iter().sum())),
        or_null(resident.iter().max().copied()),
    );
    let counters = [
        ends(|process| process.cpu_time_ms),
        ends(|process| process.read_bytes),
        ends(|process| process.written_bytes),
    ];
    for value in counters.into_iter().flatten() {
        line += &format!("|{}", or_null(value));
    }
    line
}

fn or_null(value: Option<u64>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| value.to_string())
}

impl Entry {
    fn captured_at_ms(&self) -> i64 {
        self.snapshot.captured_at_us.div_euclid(1000)
    }

    fn place(&self) -> (&str, i64) {
        (self.host.as_str(), self.captured_at_ms())
    }

    fn identity(&self, process: &Process) -> String {
        format!("{}|{}|{}|{}", self.host, self.snapshot.boot_id, process.pid, process.started_at_us)
    }
}

impl Host {
    fn new(number: usize) -> Self {
        let name = format!("host-{number}").parse().unwrap();
        Self { name, boot: 0, sequence: 0, clock_ahead_us: 0, processes: Vec::new() }
    }

    /// The next snapshot.
    fn step(&mut self, real_us: i64, rng: &mut Rng) -> Snapshot {
        if rng.u8(..100) == 0 {
            self.boot += 1;
            self.processes.clear();
        }
        if rng.u8(..50) == 0 {
            self.clock_ahead_us = rng.i64(-90_000_000..90_000_000);
        }
        self.processes.retain(|_| rng.u8(..20) > 0);
        let captured_at_us = real_us + self.clock_ahead_us;
        for pid in 1..8 {
            if !self.processes.iter().any(|process| process.pid == pid) && rng.u8(..5) == 0 {
                self.processes.push(started(pid, captured_at_us, rng));
            }
        }
        self.processes.iter_mut().for_each(|process| run(process, rng));
        self.sequence += 1;
        Snapshot {
            format: FORMAT,
            boot_id: format!("boot-{}", self.boot),
            run_id: "run".to_owned(),
            sequence: self.sequence,
            captured_at_us,
            interval_ms: INTERVAL_S as u32 * 1000,
            processes: self.processes.iter().map(|process| with_missing_values(process, rng)).collect(),
            filesystems: vec![FilesystemSample { mount: "/".to_owned(), ..FilesystemSample::default() }],
            ..Snapshot::default()
        }
    }
}

fn started(pid: u32, at_us: i64, rng: &mut Rng) -> Process {
    let name = format!("name-{}", rng.u8(..4));
    let zero = Some(0);
    Process {
        pid,
        started_at_us: at_us,
        name,
        state: 'S',
        cpu_time_ms: zero,
        read_bytes: zero,
        written_bytes: zero,
        ..Process::default()
    }
}

fn run(process: &mut Process, rng: &mut Rng) {
    let mut grow = |counter: &mut Option<u64>, unit, most| {
        *counter = counter.map(|value| value + unit * rng.u64(0..=most));
    };
    grow(&mut process.cpu_time_ms, TICK_MS, 90);
    grow(&mut process.read_bytes, SECTOR_BYTES, 1 << 31);
    grow(&mut process.written_bytes, SECTOR_BYTES, 3);
    process.cpu_percent = Some(rng.f32() * 200.0);
    process.resident_bytes = Some(rng.u64(..1 << 22) * PAGE_BYTES);
}

fn with_missing_values(process: &Process, rng: &mut Rng) -> Process {
    let mut process = process.clone();
    let mut lose = |value: &mut Option<u64>| *value = value.filter(|_| rng.u8(..8) > 0);
    lose(&mut process.cpu_time_ms);
    lose(&mut process.resident_bytes);
    lose(&mut process.read_bytes);
    lose(&mut process.written_bytes);
    process
}

/// The lines of a query over the history, NULL as `null`, in order; fails where one is there twice.
pub fn lines(folder: &Path, sql: &str) -> BTreeSet<String> {
    let found: Vec<String> = rows(folder, sql, |row| row.get(0).unwrap());
    let lines: BTreeSet<String> = found.iter().cloned().collect();
    assert_eq!(lines.len(), found.len(), "rows are there twice: {sql}");
    lines
}

/// What [`Ledger`] computes, from the history.
pub mod sql {
    pub const SNAPSHOTS: &str =
        "SELECT concat_ws('|', host, epoch_ms(captured_at), has_processes) FROM host_sample";
    pub const SAMPLES: &str =
        "SELECT concat_ws('|', host, boot_id, pid, epoch_us(started_at), epoch_ms(captured_at),
        coalesce(cpu_time_ms::VARCHAR, 'null'), coalesce(resident_bytes::VARCHAR, 'null'),
        coalesce(read_bytes::VARCHAR, 'null')) FROM process_sample";
    pub const PROCESSES: &str =
        "SELECT concat_ws('|', host, boot_id, pid, epoch_us(started_at), epoch_ms(first_seen),
        epoch_ms(last_seen), name) FROM process";
    pub const HOURS: &str =
        "SELECT concat_ws('|', host, boot_id, pid, epoch_us(started_at), epoch_ms(hour), samples,
        epoch_ms(first_captured_at), epoch_ms(last_captured_at),
        coalesce(round(cpu_percent_max * 10)::INTEGER::VARCHAR, 'null'), resident_samples,
        coalesce(resident_bytes_sum::VARCHAR, 'null'), coalesce(resident_bytes_max::VARCHAR, 'null'),
        coalesce(cpu_time_first_ms::VARCHAR, 'null'), coalesce(cpu_time_last_ms::VARCHAR, 'null'),
        coalesce(read_bytes_first::VARCHAR, 'null'), coalesce(read_bytes_last::VARCHAR, 'null'),
        coalesce(written_bytes_first::VARCHAR, 'null'), coalesce(written_bytes_last::VARCHAR, 'null'))
        FROM process_hour";
}
