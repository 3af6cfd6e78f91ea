//! What a row costs on its way from a message to a merged segment: `cargo bench -p fleetps-ingestor`.
//!
//! `cargo bench -p fleetps-ingestor -- [HOSTS [PROCESSES [ROUNDS [SEAL_ROWS [MERGE_ROWS [WHOLE]]]]]]`, 100 hosts with 300
//! processes for 120 rounds of 10 s (20 minutes) unless told otherwise. First by parts, each alone on one processor; then
//! through a real broker, all at once, unless there is a WHOLE: where it is 1, no segment is divided by hosts.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that cannot go on should panic")]

use std::{
    path::Path,
    time::{Duration, Instant},
};

use async_nats::jetstream;
use fleetps_agent::simulate::{Fleet, SimulationSettings};
use fleetps_ingestor::{
    IngestorSettings,
    catalog::SegmentFolder,
    history::History,
    merge_folder_by,
    segment::{FIRST_IMPORTED_PARTITION, SegmentName, SegmentRows, seal},
};
use fleetps_nats::{
    HostName,
    server::{ManagedServer, Part, ServerSettings},
    snapshot::{Decoder, Encoder},
    stream, subject,
};
use tokio_util::sync::CancellationToken;

const ROUND_US: i64 = 10_000_000;
/// Messages on their way to the broker at a time.
const IN_FLIGHT: usize = 256;

/// Shorter than usual, or waiting for the last segment would be most of what is measured.
const SEAL_INTERVAL: Duration = Duration::from_secs(1);

struct Message {
    host: HostName,
    captured_at_us: i64,
    bytes: bytes::Bytes,
}

/// CPU time of this process so far.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap())
}

/// CPU time of another process so far, from /proc (in ticks of 10 ms).
fn cpu_of(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<u64> =
        stat.rsplit(')').next().unwrap().split_whitespace().filter_map(|field| field.parse().ok()).collect();
    // After the name and the state (a letter, left out above): utime and stime are the 11th and 12th number.
    Duration::from_millis((fields[10] + fields[11]) * 10)
}

fn report(phase: &str, rows: u64, wall: Duration, cpu: Duration) {
    println!(
        "{phase:<28} {:>9.2} s wall {:>9.2} s CPU   {:>6.3} µs CPU per row   {:>9.0} rows/s",
        wall.as_secs_f64(),
        cpu.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / rows as f64,
        rows as f64 / wall.as_secs_f64()
    );
}

fn timed<T>(phase: &str, rows: u64, work: impl FnOnce() -> T) -> T {
    let (start, start_cpu) = (Instant::now(), cpu());
    let result = work();
    report(phase, rows, start.elapsed(), cpu() - start_cpu);
    result
}

fn generate(hosts: usize, processes: usize, rounds: i64) -> (Vec<Message>, u64) {
    let run_id = "bench".to_owned();
    let mut fleet =
        Fleet::new(&SimulationSettings { hosts, processes, run_id, ..SimulationSettings::default() });
    let names = fleet.host_names().to_vec();
    let mut encoder = Encoder::new().unwrap();
    let (mut messages, mut rows) = (Vec::new(), 0);
    // So that all of it lies in one day of the past.
    let now_us = jiff::Timestamp::now().as_microsecond();
    let day_us = 24 * 3_600_000_000;
    let start_us = now_us / day_us * day_us - 2 * day_us;
    for round in 0..rounds {
        for (place, host) in names.iter().enumerate() {
            let captured_at_us = start_us + round * ROUND_US;
            let snapshot = fleet.snapshot(place, captured_at_us);
            rows += snapshot.processes.len() as u64;
            let bytes = encoder.encode(&snapshot).unwrap().into();
            messages.push(Message { host: host.clone(), captured_at_us, bytes });
        }
    }
    (messages, rows)
}

fn print_sizes(folder: &Path, rows: u64, what: &str) {
    let catalog = SegmentFolder::scan(folder).unwrap();
    let bytes: u64 = catalog.current.iter().map(|segment| segment.bytes).sum();
    println!(
        "{what:<28} {} segments, {bytes} bytes, {:.2} bytes per row",
        catalog.current.len(),
        bytes as f64 / rows as f64
    );
}

/// How many segments a question about a host reads, in the mean of some hosts.
fn print_segments_of_a_host(folder: &Path, messages: &[Message]) {
    let names: Vec<SegmentName> =
        SegmentFolder::scan(folder).unwrap().current.iter().map(|segment| segment.name).collect();
    let hosts = messages.iter().take(100).map(|message| &message.host);
    let segments: usize =
        hosts.map(|host| names.iter().filter(|name| name.shard.has(host.as_str())).count()).sum();
    println!("{:<28} {} segments for a host", "", segments / messages.len().clamp(1, 100));
}

/// No segment of an import is divided.
fn by_parts(messages: &[Message], rows: u64, (seal_rows, merge_rows): (usize, u64), is_whole: bool) {
    let partition = if is_whole { FIRST_IMPORTED_PARTITION } else { 0 };
    let folder = tempfile::tempdir().unwrap();
    let mut decoder = Decoder::new().unwrap();
    timed("decode", rows, || {
        for message in messages {
            decoder.decode(&message.bytes, message.captured_at_us).unwrap();
        }
    });
    let (mut collecting, mut sealing) = ((Duration::ZERO, Duration::ZERO), (Duration::ZERO, Duration::ZERO));
    let mut segment = SegmentRows::new(partition, 1, 1, messages[0].captured_at_us);
    for (message, sequence) in messages.iter().zip(1_u64..) {
        let snapshot = decoder.decode(&message.bytes, message.captured_at_us).unwrap();
        let (start, start_cpu) = (Instant::now(), cpu());
        segment.push(sequence, message.captured_at_us, &message.host, &snapshot);
        collecting = (collecting.0 + start.elapsed(), collecting.1 + (cpu() - start_cpu));
        if segment.is_full(seal_rows) || sequence == messages.len() as u64 {
            let (start, start_cpu) = (Instant::now(), cpu());
            seal(folder.path(), &mut segment).unwrap();
            sealing = (sealing.0 + start.elapsed(), sealing.1 + (cpu() - start_cpu));
            segment = SegmentRows::new(partition, 1, sequence + 1, message.captured_at_us);
        }
    }
    report("collect", rows, collecting.0, collecting.1);
    report("seal", rows, sealing.0, sealing.1);
    print_sizes(folder.path(), rows, "fresh");
    timed("merge", rows, || merge_folder_by(folder.path(), merge_rows).unwrap());
    print_sizes(folder.path(), rows, "merged");
    print_segments_of_a_host(folder.path(), messages);
    let database = History::open(folder.path()).unwrap().database().unwrap();
    let stored: u64 =
        database.query_row("SELECT count(*) FROM process_sample", [], |row| row.get(0)).unwrap();
    assert_eq!(stored, rows);
}

/// Everything at once: a publisher, the broker, and an ingestor that merges. The publisher's own cost is in the CPU
/// time of this process.
async fn through_a_broker(messages: Vec<Message>, rows: u64) {
    let folder = tempfile::tempdir().unwrap();
    let server = ManagedServer::start(ServerSettings {
        data: folder.path().to_owned(),
        program: None,
        public: None,
        simulator: true,
        max_file_store_bytes: 16 << 30,
    })
    .await
    .unwrap();
    let history = folder.path().join("history");
    let settings = IngestorSettings {
        history: history.clone(),
        seal_interval: SEAL_INTERVAL,
        // A day of three hosts is published at once.
        host_bytes_per_s: u64::MAX,
        ..IngestorSettings::default()
    };
    let client = server.broker(Part::Ingestor).connect("bench").await.unwrap();
    let jetstream = jetstream::new(client.clone());
    stream::ensure(&jetstream, settings.max_stream_bytes as i64).await.unwrap();
    let cancel = CancellationToken::new();
    let (start, start_cpu, broker_cpu) = (Instant::now(), cpu(), cpu_of(server.pid()));
    let running = tokio::spawn(fleetps_ingestor::run(client, settings, cancel.clone()));
    let last = publish(&server, messages).await;
    let published = start.elapsed();
    loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let Ok(catalog) = SegmentFolder::scan(&history) else { continue };
        if catalog.current.last().is_some_and(|segment| segment.name.last_sequence >= last) {
            break;
        }
    }
    let sealed = start.elapsed();
    report("through a broker, sealed", rows, sealed, cpu() - start_cpu);
    println!(
        "{:<28} {:.2} s until all was acknowledged; the broker took {:.3} µs CPU per row",
        "",
        published.as_secs_f64(),
        (cpu_of(server.pid()) - broker_cpu).as_secs_f64() * 1e6 / rows as f64
    );
    print_sizes(&history, rows, "as it runs");
    cancel.cancel();
    running.await.unwrap().unwrap();
    server.stop().await;
}

async fn publish(server: &ManagedServer, messages: Vec<Message>) -> u64 {
    let client =
        server.broker(Part::Simulator).connect_later("bench-publisher", "_INBOX_simulator").await.unwrap();
    let jetstream = jetstream::new(client);
    let mut waiting = std::collections::VecDeque::new();
    let mut last = 0;
    for message in messages {
        if waiting.len() == IN_FLIGHT {
            let oldest: jetstream::context::PublishAckFuture = waiting.pop_front().unwrap();
            last = oldest.await.unwrap().sequence;
        }
        waiting.push_back(jetstream.publish(subject::snapshot(&message.host), message.bytes).await.unwrap());
    }
    for acknowledgement in waiting {
        last = acknowledgement.await.unwrap().sequence;
    }
    last
}

fn main() {
    // Cargo adds `--bench`.
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let number = |place: usize, default: usize| numbers.get(place).copied().unwrap_or(default);
    let (hosts, processes, rounds) = (number(0, 100), number(1, 300), number(2, 120));
    let (messages, rows) = generate(hosts, processes, i64::try_from(rounds).unwrap());
    let bytes: usize = messages.iter().map(|message| message.bytes.len()).sum();
    println!(
        "{hosts} hosts, {} messages, {rows} rows of processes, {:.2} bytes per row on the wire",
        messages.len(),
        bytes as f64 / rows as f64
    );
    let merge_rows = numbers.get(4).map_or(IngestorSettings::default().merge_rows, |rows| *rows as u64);
    by_parts(&messages, rows, (number(3, 500_000), merge_rows), number(5, 0) == 1);
    if numbers.get(5).is_some() {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(through_a_broker(messages, rows));
}
