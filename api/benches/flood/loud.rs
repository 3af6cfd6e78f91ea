//! The host that floods, in a process of its own, so that its memory is not that of those it floods.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use fleetps_nats::{
    Snapshot, now_us,
    server::{Part, broker_in},
    snapshot::{Encoder, FORMAT, MAX_PROCESSES, MAX_STRING_BYTES, Process},
    subject,
};

/// A hundred times as often as a quiet host.
const INTERVAL: Duration = Duration::from_millis(10);
/// Messages that take turns. Each has a run id of its own, so that none is a repeat: the ingestor remembers eight.
const MESSAGES: usize = 50;
/// As much of a command line that does not repeat as makes a message a hundred times one of 300 processes: 900 KB.
const UNLIKE_BYTES: usize = 22;
/// Names that are new in every snapshot, and how many of those have the longest command line: as 16 MiB hold.
const NEW_NAMES: usize = 10_000;
const LONGEST: usize = 3_500;
/// Set for the process that floods: which flood, and the broker's data folder.
const FLOOD: &str = "FLEETPS_BENCH_FLOOD";
const FLOOD_DATA: &str = "FLEETPS_BENCH_FLOOD_DATA";

/// A kind of flood.
#[derive(Clone, Copy)]
pub enum Flood {
    /// As much as a message holds.
    Size,
    /// Names that nobody has seen before.
    Names,
}

impl Flood {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Size, Self::Names];

    /// What it is.
    pub fn what(self) -> &'static str {
        match self {
            Self::Size => "one host 100 times as often and 100 times as much",
            Self::Names => "one host 100 times as often, with 10,000 new names each time",
        }
    }

    fn processes(self) -> Vec<Process> {
        let (count, longest) = match self {
            Self::Size => (MAX_PROCESSES, 0),
            Self::Names => (NEW_NAMES, LONGEST),
        };
        (0..count).map(|number| self.process(number, number < longest)).collect()
    }

    fn process(self, number: usize, is_longest: bool) -> Process {
        let unlike: String = std::iter::repeat_with(fastrand::alphanumeric).take(UNLIKE_BYTES).collect();
        let name = match self {
            Self::Size => "loud".to_owned(),
            Self::Names => format!("loud-{:08x}", fastrand::u32(..)),
        };
        let mut command_line = format!("{name} {unlike}");
        if is_longest {
            command_line = format!("{command_line:x<MAX_STRING_BYTES$}");
        }
        Process {
            pid: u32::try_from(number + 1).unwrap(),
            started_at_us: 1_790_000_000_000_000,
            name,
            command_line: Some(command_line),
            state: 'S',
            resident_bytes: Some(fastrand::u64(..1 << 30) & !4095),
            cpu_time_ms: Some(fastrand::u64(..1 << 20)),
            ..Process::default()
        }
    }

    fn message(self, encoder: &mut Encoder) -> bytes::Bytes {
        let snapshot = Snapshot {
            format: FORMAT,
            agent_version: "0.1.0".to_owned(),
            boot_id: "boot".to_owned(),
            run_id: format!("{:016x}", fastrand::u64(..)),
            sequence: 1,
            captured_at_us: now_us(),
            interval_ms: 10,
            processes: self.processes(),
            ..Snapshot::default()
        };
        encoder.encode(&snapshot).unwrap().into()
    }
}

/// The process that floods, seen from the benchmark.
pub struct Flooder {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Flooder {
    /// Starts it; returns when it has its messages.
    pub fn start(flood: Flood, data: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(FLOOD, (flood as u8).to_string())
            .env(FLOOD_DATA, data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        println!("  messages of {}", line.trim());
        Self { child, said }
    }

    /// Lets it begin.
    pub fn begin(mut self) -> Self {
        self.child.stdin.as_mut().unwrap().write_all(b"begin\n").unwrap();
        self
    }

    /// Ends it; how many messages it has sent.
    pub fn end(mut self) -> u64 {
        drop(self.child.stdin.take());
        let mut sent = String::new();
        self.said.read_to_string(&mut sent).unwrap();
        self.child.wait().unwrap();
        sent.trim().parse().unwrap()
    }
}

/// Whether this process is the one that floods.
pub fn is_asked_for() -> bool {
    std::env::var_os(FLOOD).is_some()
}

/// Floods from `begin` on until its input ends.
pub async fn flood() {
    let asked = std::env::var(FLOOD).unwrap();
    let flood = Flood::ALL.into_iter().find(|flood| (*flood as u8).to_string() == asked).unwrap();
    let data = std::env::var_os(FLOOD_DATA).unwrap();
    let client = broker_in(Path::new(&data), Part::Simulator).unwrap();
    let client = client.connect_later("loud", "_INBOX_simulator").await.unwrap();
    let mut encoder = Encoder::new().unwrap();
    let messages: Vec<_> = (0..MESSAGES).map(|_| flood.message(&mut encoder)).collect();
    println!("{} KiB", messages[0].len() >> 10);
    std::io::stdin().read_line(&mut String::new()).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&over);
    std::thread::spawn(move || {
        std::io::stdin().lines().for_each(drop);
        ended.store(true, Relaxed);
    });
    let subject = subject::snapshot(&"loud".parse().unwrap());
    let (mut ticks, mut sent) = (tokio::time::interval(INTERVAL), 0_usize);
    while !over.load(Relaxed) {
        ticks.tick().await;
        client.publish(subject.clone(), messages[sent % MESSAGES].clone()).await.unwrap();
        sent += 1;
    }
    client.flush().await.unwrap();
    println!("{sent}");
}
