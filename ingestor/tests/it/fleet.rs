//! Random fleets from a seed, with everything that goes wrong in real ones: processes that start and exit, reused pids
//! and start times, reboots, clocks that are set, agents that restart, snapshots that are lost or late, values that
//! cannot be read, hostile strings.

use std::{
    collections::{BTreeMap, HashSet},
    ops::Range,
    path::Path,
};

use fastrand::Rng;
use fleetps_ingestor::{
    events::{Detector, MessagePlace},
    history::History,
    segment::{SegmentName, SegmentRows, seal},
};
use fleetps_nats::{
    HostName, Snapshot,
    model::{
        Scale, Value,
        process::{FIGURES, PROCESS},
    },
    snapshot::{AgentCost, FORMAT, FilesystemSample, HostInfo, HostSample, InterfaceSample, Process},
};

use crate::{
    chance::seeds,
    support::{PAGE_BYTES, SECTOR_BYTES, TICK_MS},
};

/// When the fleets begin, and the numbering of their stream: 2026-11-20 22:13:20 UTC, in s since 1970.
const BEGIN_S: i64 = 1_795_212_800;
const SECOND_US: i64 = 1_000_000;
const HOUR_US: i64 = 3600 * SECOND_US;
/// So few that they are used again.
const PIDS: u32 = 15;
/// Programs that processes run, with what a reader may stumble over.
const PROGRAMS: [&str; 8] = [
    "postgres",
    "sh",
    "<img src=x onerror=alert(1)>",
    "'; DROP TABLE process; --",
    "=cmd|' /C calc'!A0",
    "\u{202e}exe.\u{1f980}\u{1b}[31m",
    "line\nbreak\t\"quoted\", and more",
    "",
];

/// A snapshot that the broker took.
#[derive(Debug, Clone)]
pub struct Published {
    pub host: HostName,
    /// By the broker's clock.
    pub stored_at_us: i64,
    pub snapshot: Snapshot,
}

/// The published snapshots of a fleet, in the order of the stream. Times of capture are whole ms, as they are stored,
/// and no two of a host are the same. Processes are in the order of their pids, file systems in the order of their
/// mounts.
pub fn fleet(seed: u64) -> Vec<Published> {
    let mut rng = Rng::with_seed(seed);
    let hosts = rng.usize(1..=3);
    let mut published: Vec<Published> =
        (0..hosts).flat_map(|number| Machine::new(number, &mut rng).life(&mut rng)).collect();
    published.sort_by_key(|published| published.stored_at_us);
    published
}

/// Seals what was published as fresh segments in `folder`, in cuts made up from `rng`. Returns which became what.
pub fn seal_all(folder: &Path, published: &[Published], rng: &mut Rng) -> Vec<(SegmentName, Range<usize>)> {
    let (mut segments, mut begin, mut detector) = (Vec::new(), 0, Detector::default());
    while begin < published.len() {
        let end = published.len().min(begin + rng.usize(1..=25));
        let mut rows = SegmentRows::new(0, BEGIN_S, begin as u64 + 1, published[begin].stored_at_us);
        let mut events = Vec::new();
        for (sequence, published) in (begin as u64 + 1..).zip(&published[begin..end]) {
            let place = MessagePlace {
                partition: 0,
                epoch_s: BEGIN_S,
                sequence,
                stored_at_us: published.stored_at_us,
            };
            events.extend(detector.snapshot(place, &published.host, &published.snapshot));
            rows.push(sequence, published.stored_at_us, &published.host, &published.snapshot);
        }
        rows.set_events(events, detector.clock());
        segments.push((seal(folder, &mut rows).unwrap(), begin..end));
        begin = end;
    }
    segments
}

/// Checks the history of random fleets (`count` at scale 1), sealed in random cuts, given its folder.
pub fn for_each_fleet(count: usize, check: impl Fn(&Path, &History, &[Published], &mut Rng)) {
    for seed in seeds(count) {
        let published = fleet(seed);
        if published.is_empty() {
            continue;
        }
        let mut rng = Rng::with_seed(seed);
        let folder = tempfile::tempdir().unwrap();
        seal_all(folder.path(), &published, &mut rng);
        let history = History::open(folder.path()).unwrap();
        check(folder.path(), &history, &published, &mut rng);
    }
}

/// One host.
struct Machine {
    host: HostName,
    interval_us: i64,
    /// The true time, which no clock shows.
    now_us: i64,
    booted_us: i64,
    boots: u32,
    /// How wrong its clock is.
    clock_us: i64,
    /// Its clock is set now and then. Else its kernel is upgraded at reboots: a history cannot tell which kernel it had
    /// where a clock says two things about one time.
    clock_is_set: bool,
    /// Whether its system counts starts in ticks since the boot.
    counts_ticks: bool,
    runs: u32,
    sequence: u64,
    counter: u64,
    processes: BTreeMap<u32, Process>,
    captured_ms: HashSet<i64>,
}

impl Machine {
    fn new(number: usize, rng: &mut Rng) -> Self {
        let now_us = BEGIN_S * SECOND_US + rng.i64(0..3 * HOUR_US);
        let mut machine = Self {
            host: format!("host-{number}").parse().unwrap(),
            interval_us: [1, 10, 10, 45][rng.usize(0..4)] * SECOND_US,
            now_us,
            booted_us: 0,
            boots: 0,
            clock_us: if rng.bool() { 0 } else { rng.i64(-HOUR_US..HOUR_US) },
            clock_is_set: rng.bool(),
            counts_ticks: rng.bool(),
            runs: 0,
            sequence: 0,
            counter: 0,
            processes: BTreeMap::new(),
            captured_ms: HashSet::new(),
        };
        machine.boot(rng);
        machine
    }

    /// Everything that it published, in order.
    fn life(mut self, rng: &mut Rng) -> Vec<Published> {
        let mut published = Vec::new();
        let mut broker_is_away_until_us = 0;
        for _ in 0..rng.usize(1..60) {
            self.pass_time(rng);
            let snapshot = self.snapshot(rng);
            match rng.u32(0..20) {
                // The ring of the agent was full.
                0 => continue,
                1 => broker_is_away_until_us = self.now_us + rng.i64(0..10) * self.interval_us,
                _ => {}
            }
            let stored_at_us = self.now_us.max(broker_is_away_until_us) + 1_000;
            published.push(Published { host: self.host.clone(), stored_at_us, snapshot });
        }
        published
    }

    fn pass_time(&mut self, rng: &mut Rng) {
        self.now_us += self.interval_us + rng.i64(0..SECOND_US / 10);
        match rng.u32(0..40) {
            0 => self.now_us += rng.i64(0..30 * HOUR_US),
            1 => self.now_us += rng.i64(0..6 * self.interval_us),
            2 | 3 if self.clock_is_set => self.clock_us += rng.i64(-2 * HOUR_US..2 * HOUR_US),
            4 | 5 if self.clock_is_set => self.clock_us += rng.i64(-20 * SECOND_US..20 * SECOND_US),
            6 => self.boot(rng),
            7 => self.start_agent(),
            _ => {}
        }
        self.work(rng);
    }

    fn boot(&mut self, rng: &mut Rng) {
        self.now_us += rng.i64(0..300) * SECOND_US;
        self.booted_us = self.now_us - 20 * SECOND_US;
        self.boots += 1;
        self.counter = 0;
        self.processes.clear();
        // A machine without a battery starts at the same time again and again.
        let init = Process { started_at_us: 7, ..self.started(1, rng) };
        self.processes.insert(1, init);
        self.start_agent();
    }

    fn start_agent(&mut self) {
        self.runs += 1;
        self.sequence = 0;
    }

    /// What happens between two snapshots.
    fn work(&mut self, rng: &mut Rng) {
        self.counter += rng.u64(0..1 << 30);
        self.processes.retain(|pid, _| *pid == 1 || rng.u32(0..8) > 0);
        for _ in 0..rng.u32(0..3) {
            let pid = rng.u32(2..=PIDS);
            // The one that had the pid has exited, if any.
            let process = self.started(pid, rng);
            self.processes.insert(pid, process);
        }
        if !self.clock_is_set {
            self.exec(rng);
        }
        for process in self.processes.values_mut() {
            let add = |counter: &mut Option<u64>, unit: u64, most: u64, rng: &mut Rng| {
                *counter = counter.map(|value| value + if rng.bool() { 0 } else { unit * rng.u64(0..most) });
            };
            add(&mut process.cpu_time_ms, TICK_MS, 1000, rng);
            add(&mut process.read_bytes, SECTOR_BYTES, 1 << 21, rng);
            add(&mut process.written_bytes, SECTOR_BYTES, 1 << 21, rng);
            process.state = ['S', 'R', 'D', 'Z', '?'][rng.usize(0..5)];
            process.threads = Some(rng.u32(1..100));
            process.cpu_percent = Some(rng.u16(0..2000) as f32 / 10.0);
            if rng.bool() {
                process.resident_bytes = Some(rng.u64(0..1 << 14) * PAGE_BYTES);
            }
            process.virtual_bytes = Some(rng.u64(0..1 << 28) * PAGE_BYTES);
            let others = FIGURES.into_iter().filter(|place| !VARIED.contains(&PROCESS[*place].name));
            for place in others {
                let unit = match PROCESS[place].stored.scale {
                    Scale::UnitsOf(size) => i64::from(size),
                    _ => 1,
                };
                process.set(place, Value::Integer(unit * rng.i64(0..100)));
            }
        }
    }

    /// Now and then a process becomes another program, takes another user, or writes another title. A history cannot tell which
    /// it was where a clock says two things about one time.
    fn exec(&mut self, rng: &mut Rng) {
        let pids: Vec<u32> = self.processes.keys().copied().collect();
        for pid in pids {
            if rng.u32(0..15) > 0 {
                continue;
            }
            let other = self.started(pid, rng);
            let Some(process) = self.processes.get_mut(&pid) else { continue };
            match rng.u32(0..3) {
                0 => process.user_name = other.user_name,
                1 => process.command_line = other.command_line,
                _ => {
                    process.name = other.name;
                    process.executable = other.executable;
                    process.command_line = other.command_line;
                }
            }
        }
    }

    fn started(&self, pid: u32, rng: &mut Rng) -> Process {
        let program = PROGRAMS[rng.usize(0..PROGRAMS.len())];
        let text = |rng: &mut Rng| (rng.u32(0..4) > 0).then(|| format!("{program} {}", rng.u32(0..3)));
        Process {
            pid,
            parent_pid: (pid > 1).then(|| rng.u32(1..=PIDS)),
            start_ticks: self
                .counts_ticks
                .then(|| u64::try_from((self.now_us - self.booted_us) / 10_000).unwrap()),
            started_at_us: self.now_us + self.clock_us - rng.i64(0..self.interval_us),
            name: program.to_owned(),
            executable: text(rng),
            command_line: if rng.u32(0..50) == 0 { Some("x".repeat(4096)) } else { text(rng) },
            user_name: text(rng),
            unit: text(rng),
            container: text(rng),
            cpu_time_ms: Some(rng.u64(0..100) * TICK_MS),
            resident_bytes: Some(rng.u64(0..1 << 14) * PAGE_BYTES),
            read_bytes: Some(0),
            written_bytes: Some(rng.u64(0..10) * SECTOR_BYTES),
            ..Process::default()
        }
    }

    fn snapshot(&mut self, rng: &mut Rng) -> Snapshot {
        self.sequence += 1;
        let mut captured_ms = (self.now_us + self.clock_us).div_euclid(1000);
        while !self.captured_ms.insert(captured_ms) {
            captured_ms += 1;
        }
        let mut processes: Vec<Process> = self.processes.values().cloned().collect();
        processes.iter_mut().for_each(|process| forget_some(process, rng));
        Snapshot {
            clock_offset_us: None,
            format: FORMAT,
            agent_version: format!("0.{}", if self.clock_is_set { 0 } else { self.runs }),
            os_host_name: "<b>me</b>".to_owned(),
            boot_id: format!("boot-{}", self.boots),
            run_id: format!("{}-run-{}", self.host, self.runs),
            sequence: self.sequence,
            captured_at_us: captured_ms * 1000,
            interval_ms: u32::try_from(self.interval_us / 1000).unwrap(),
            monotonic_ms: u64::try_from((self.now_us - self.booted_us) / 1000).unwrap(),
            agent: AgentCost { cpu_time_ms: Some(self.sequence), ..AgentCost::default() },
            host: self.host_sample(rng),
            host_info: HostInfo {
                kernel: (!self.clock_is_set).then(|| format!("Linux 7.{}", self.boots)),
                memory_bytes: Some(1 << 34),
                ..HostInfo::default()
            },
            filesystems: vec![
                FilesystemSample {
                    mount: "/".to_owned(),
                    total_bytes: Some(9),
                    used_bytes: Some(5),
                    available_bytes: Some(3),
                    other_mounts: Some("/a\n/b".to_owned()),
                    other_mount_count: Some(2),
                    ..Default::default()
                },
                FilesystemSample {
                    mount: "/'x'".to_owned(),
                    device: Some("d".to_owned()),
                    unanswered_since_us: Some(self.booted_us),
                    ..Default::default()
                },
            ],
            interfaces: vec![
                InterfaceSample {
                    name: "eth'0'".to_owned(),
                    counted_as: Some("physical".to_owned()),
                    received_bytes: Some(self.counter),
                    ..Default::default()
                },
                InterfaceSample { name: "lo".to_owned(), ..Default::default() },
            ],
            processes_left_out: rng.u32(0..2),
            texts_shortened: rng.u32(0..3),
            processes,
        }
    }

    fn host_sample(&self, rng: &mut Rng) -> HostSample {
        let counter = |rng: &mut Rng| (rng.u32(0..10) > 0).then_some(self.counter);
        HostSample {
            cpu_percent: (rng.u32(0..10) > 0).then(|| rng.f32() * 100.0),
            load_1: Some(rng.f32()),
            memory_total_bytes: Some(1 << 34),
            memory_used_bytes: Some(rng.u64(0..1 << 34)),
            disk_read_bytes: counter(rng),
            disk_written_bytes: counter(rng),
            network_received_bytes: counter(rng),
            network_sent_bytes: counter(rng),
            process_count: u32::try_from(self.processes.len()).ok(),
            uptime_s: u64::try_from((self.now_us - self.booted_us) / SECOND_US).ok(),
            ..HostSample::default()
        }
    }
}

/// Figures with values of their own. All other fields of the model are small random numbers; counters too, of which
/// this test takes no differences.
const VARIED: [&str; 8] = [
    "state",
    "threads",
    "cpu_percent",
    "cpu_time_ms",
    "resident_bytes",
    "virtual_bytes",
    "read_bytes",
    "written_bytes",
];

/// Values that could not be read.
fn forget_some(process: &mut Process, rng: &mut Rng) {
    let mut forget = |value: &mut Option<u64>| {
        if rng.u32(0..10) == 0 {
            *value = None;
        }
    };
    forget(&mut process.cpu_time_ms);
    forget(&mut process.resident_bytes);
    forget(&mut process.virtual_bytes);
    forget(&mut process.read_bytes);
    forget(&mut process.written_bytes);
    if rng.u32(0..10) == 0 {
        (process.cpu_percent, process.threads) = (None, None);
    }
}
