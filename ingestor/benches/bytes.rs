//! Bytes of each process row in fresh and merged segments: `cargo bench -p fleetps-ingestor --bench bytes -- HOSTS…`.
//!
//! For each number of hosts, a simulated fleet of 200 processes a host at 10 s goes through the code with which an ingestor
//! collects, decides events, seals and merges, without a broker. Prints what each table and column takes.
//! `--processes N`, `--rounds N` (snapshots of each host), `--seal-rows N`, `--seal-interval SECONDS` (of a small fleet; a large
//! one's is three times as long) and `--folder PATH` (keeps the files there) change that; `--fresh` merges nothing.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that cannot go on should panic")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use duckdb::Connection;
use fleetps_agent::simulate::{Fleet, SimulationSettings};
use fleetps_ingestor::{
    IngestorSettings,
    catalog::SegmentFolder,
    events::{Detector, MessagePlace},
    merge_folder,
    segment::{SegmentRows, seal},
};

/// The agent's own interval.
const INTERVAL_US: i64 = 10_000_000;
/// 2026-11-27 00:00 UTC: on the hour, so that what follows can be merged.
const START_US: i64 = 1_795_737_600_000_000;
/// From a capture until the broker has the snapshot.
const ON_THE_WAY_US: i64 = 5_000;
/// Rows to merge unless told otherwise: where a merge is cut.
const MERGED_ROWS: usize = 20_000_000;
/// A column that takes less, in bytes a row, is not printed.
const LEAST_PRINTED: f64 = 0.02;

struct Arguments {
    hosts: Vec<usize>,
    processes: usize,
    rounds: Option<usize>,
    seal_rows: usize,
    seal_interval: Duration,
    folder: Option<PathBuf>,
    merges: bool,
}

impl Arguments {
    fn read() -> Self {
        let defaults = IngestorSettings::default();
        let mut read = Self {
            hosts: Vec::new(),
            processes: 200,
            rounds: None,
            seal_rows: defaults.seal_rows,
            seal_interval: defaults.seal_interval,
            folder: None,
            merges: true,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut number = || words.next().unwrap().parse::<usize>().unwrap();
            match word.as_str() {
                // Cargo adds it.
                "--bench" => {}
                "--processes" => read.processes = number(),
                "--rounds" => read.rounds = Some(number()),
                "--seal-rows" => read.seal_rows = number(),
                "--seal-interval" => read.seal_interval = Duration::from_secs(number() as u64),
                "--folder" => read.folder = words.next().map(PathBuf::from),
                "--fresh" => read.merges = false,
                hosts => read.hosts.push(hosts.parse().unwrap()),
            }
        }
        if read.hosts.is_empty() {
            read.hosts = vec![20, 200, 2_000];
        }
        read
    }

    /// Snapshots of each host: enough for several fresh segments, and for as much as a merge takes.
    fn rounds(&self, hosts: usize) -> i64 {
        let rows = if self.merges { MERGED_ROWS } else { 6_000_000 };
        let rounds = self.rounds.unwrap_or((rows / (hosts * self.processes)).clamp(12, 360));
        i64::try_from(rounds).unwrap()
    }
}

/// CPU time of this process so far, in µs.
fn cpu_us() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// Seals what a fleet of this size sends; the rows of processes.
fn make(folder: &Path, hosts: usize, arguments: &Arguments) -> u64 {
    let (processes, run_id) = (arguments.processes, "bytes".to_owned());
    let settings = SimulationSettings { hosts, processes, run_id, ..SimulationSettings::default() };
    let mut fleet = Fleet::new(&settings);
    let names = fleet.host_names().to_vec();
    let (mut detector, mut events) = (Detector::default(), Vec::new());
    let mut segment = SegmentRows::new(0, 1, 1, START_US);
    let (mut sequence, mut begun_us, mut sealing_us, mut all_rows) = (0_u64, START_US, 0.0, 0);
    let last = (arguments.rounds(hosts), names.len());
    for round in 0..last.0 {
        for (place, host) in names.iter().enumerate() {
            // Spread evenly over the interval, as the hosts of a real fleet are.
            let within_us = INTERVAL_US * i64::try_from(place).unwrap() / i64::try_from(hosts).unwrap();
            let snapshot = fleet.snapshot(place, START_US + round * INTERVAL_US + within_us);
            let stored_at_us = snapshot.captured_at_us + ON_THE_WAY_US;
            sequence += 1;
            all_rows += snapshot.processes.len() as u64;
            let at = MessagePlace { partition: 0, epoch_s: 1, sequence, stored_at_us };
            events.extend(detector.snapshot(at, host, &snapshot));
            segment.push(sequence, stored_at_us, host, &snapshot);
            let age_us = u64::try_from(stored_at_us - begun_us).unwrap();
            let age = Duration::from_micros(age_us);
            let is_large = segment.are_of_a_large_fleet()
                && age < SegmentRows::LARGE_INTERVALS * arguments.seal_interval;
            let is_due = segment.is_full(arguments.seal_rows)
                || (age >= arguments.seal_interval && !is_large)
                || (round + 1, place + 1) == last;
            if is_due {
                segment.set_events(std::mem::take(&mut events), detector.clock());
                let before_us = cpu_us();
                seal(folder, &mut segment).unwrap();
                sealing_us += cpu_us() - before_us;
                segment = SegmentRows::new(0, 1, sequence + 1, stored_at_us);
                begun_us = stored_at_us;
            }
        }
    }
    println!("{hosts} hosts: sealing took {:.2} µs CPU a row", sealing_us / all_rows as f64);
    all_rows
}

/// What is in files, in bytes.
#[derive(Default)]
struct Sizes {
    bytes: u64,
    rows: u64,
    /// Blocks that are in use, and those that nothing refers to.
    blocks: [u64; 2],
    /// Of each table: its rows, and what each column takes.
    tables: BTreeMap<String, (u64, BTreeMap<String, u64>)>,
}

/// A part of a column, as DuckDB stores it: table, column, block and place in it.
struct Part {
    table: usize,
    column: String,
    block: i64,
    offset: u64,
}

impl Sizes {
    fn add(&mut self, path: &Path) {
        self.bytes += fs::metadata(path).unwrap().len();
        let engine = Connection::open_in_memory().unwrap();
        engine.execute_batch(&format!("ATTACH '{}' AS s (READ_ONLY); USE s", path.display())).unwrap();
        let number = |sql: &str| engine.query_row(sql, [], |row| row.get::<_, u64>(0)).unwrap();
        let rows = number("SELECT coalesce(sum(snapshots), 0)::UBIGINT FROM process_span");
        let pragma = |what: &str| {
            number(&format!("SELECT {what}::UBIGINT FROM pragma_database_size() WHERE database_name = 's'"))
        };
        let block_bytes = pragma("block_size");
        self.rows += rows;
        self.blocks[0] += pragma("used_blocks");
        self.blocks[1] += pragma("free_blocks");
        let mut names =
            engine.prepare("SELECT table_name FROM duckdb_tables() WHERE database_name = 's'").unwrap();
        let names: Vec<String> = names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let parts: Vec<Part> =
            names.iter().enumerate().flat_map(|(table, name)| parts(&engine, table, name)).collect();
        for (table, name) in names.iter().enumerate() {
            let (rows, columns) = self.tables.entry(name.clone()).or_default();
            *rows += number(&format!("SELECT count(*)::UBIGINT FROM {name}"));
            for (part, bytes) in with_bytes(&parts, block_bytes).filter(|(part, _)| part.table == table) {
                *columns.entry(part.column.clone()).or_default() += bytes;
            }
        }
    }

    fn print(&self, what: &str, files: usize) {
        let each = |bytes: u64| bytes as f64 / self.rows as f64;
        println!(
            "{what}: {:.2} bytes a row; {files} files, {} bytes, {} rows, {} blocks, {} free",
            each(self.bytes),
            self.bytes,
            self.rows,
            self.blocks[0],
            self.blocks[1]
        );
        let bytes = |columns: &BTreeMap<String, u64>| columns.values().sum::<u64>();
        let mut tables: Vec<_> = self.tables.iter().collect();
        tables.sort_by_key(|(_, (_, columns))| std::cmp::Reverse(bytes(columns)));
        for (table, (rows, columns)) in tables {
            let mut columns: Vec<_> =
                columns.iter().filter(|(_, bytes)| each(**bytes) >= LEAST_PRINTED).collect();
            columns.sort_by_key(|(_, bytes)| std::cmp::Reverse(**bytes));
            let text: Vec<_> =
                columns.iter().map(|(column, bytes)| format!("{column} {:.2}", each(**bytes))).collect();
            let all: u64 = self.tables[table].1.values().sum();
            println!("  {table:<18} {rows:>9} rows {:>6.2}  {}", each(all), text.join(", "));
        }
    }
}

fn parts(engine: &Connection, table: usize, name: &str) -> Vec<Part> {
    let sql = format!(
        "SELECT column_name, unnest(list_prepend({{block: block_id, place: block_offset}}, \
             list_transform(additional_block_ids, lambda block: {{block: block, place: 0}})), recursive := true) \
         FROM pragma_storage_info('{name}') WHERE persistent AND block_id >= 0"
    );
    let mut statement = engine.prepare(&sql).unwrap();
    let rows = statement.query_map([], |row| {
        Ok(Part { table, column: row.get(0)?, block: row.get(1)?, offset: row.get(2)? })
    });
    rows.unwrap().map(Result::unwrap).collect()
}

/// Each part with what it takes of its block: as far as the next one; the last one the rest, so that empty room counts as its.
fn with_bytes(parts: &[Part], block_bytes: u64) -> impl Iterator<Item = (&Part, u64)> {
    let mut sorted: Vec<&Part> = parts.iter().collect();
    sorted.sort_by_key(|part| (part.block, part.offset));
    let ends: Vec<u64> = (0..sorted.len())
        .map(|place| match sorted.get(place + 1) {
            Some(next) if next.block == sorted[place].block => next.offset,
            _ => block_bytes,
        })
        .collect();
    sorted.into_iter().zip(ends).map(|(part, end)| (part, end - part.offset))
}

/// Prints what the segments in `folder` take, without the first and the last of several, which no usual time filled.
fn measure(folder: &Path, what: &str) {
    let segments = SegmentFolder::scan(folder).unwrap().current;
    let usual = match segments.len() {
        0..3 => &segments[..],
        count => &segments[1..count - 1],
    };
    let mut sizes = Sizes::default();
    usual.iter().for_each(|segment| sizes.add(&folder.join(segment.name.to_string())));
    sizes.print(what, usual.len());
}

fn main() {
    let arguments = Arguments::read();
    for &hosts in &arguments.hosts {
        let temporary = tempfile::tempdir().unwrap();
        let folder = arguments
            .folder
            .as_ref()
            .map_or(temporary.path().to_owned(), |folder| folder.join(hosts.to_string()));
        fs::create_dir_all(&folder).unwrap();
        let rows = make(&folder, hosts, &arguments);
        measure(&folder, &format!("fresh, {hosts} hosts"));
        if arguments.merges {
            let before_us = cpu_us();
            merge_folder(&folder).unwrap();
            println!("{hosts} hosts: merging took {:.2} µs CPU a row", (cpu_us() - before_us) / rows as f64);
            measure(&folder, &format!("merged, {hosts} hosts"));
        }
    }
}
