//! Readers beside a running ingestor.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use duckdb::Connection;
use fleetps_ingestor::{ATTACH_SQL, IngestorSettings, catalog::SegmentFolder, segment::Level};
use tokio_util::sync::CancellationToken;

use crate::{
    chance::rounds,
    publisher::{PROCESSES, Publisher, assert_stored, captured_at_us},
    support::{Fixture, until},
};

/// What an analyst may ask, given the path of `attach.sql` and two times.
const PYTHON: &str = "
import sys, duckdb
database = duckdb.connect()
database.execute(open(sys.argv[1]).read())
begin, middle = [f'make_timestamp({us})' for us in sys.argv[2:]]
for question in [
    'SELECT count(*) FROM process_sample JOIN process USING (host, boot_id, pid, started_at)',
    f\"SELECT count(*), max(resident_bytes) FROM processes_at('host', {middle} + INTERVAL 999 MILLISECONDS)\",
    f\"SELECT count(*), max(resident_bytes) FROM processes_at('host', {begin} - INTERVAL 1 HOUR)\",
    f'SELECT count(*), max(peak_resident_bytes) FROM top({begin}, {middle})',
]:
    print(database.execute(question).fetchone())
";

/// What one look through `attach.sql` finds: snapshots, distinct ones, highest sequence, rows of processes.
fn look(fixture: &Fixture) -> (u64, u64, u64, u64) {
    let text = std::fs::read_to_string(fixture.history().join(ATTACH_SQL)).unwrap();
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(&text).unwrap();
    let sql = "SELECT count(*), count(DISTINCT sequence), coalesce(max(sequence), 0),
        (SELECT count(*) FROM process_sample) FROM host_sample";
    connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_never_sees_a_row_twice_or_misses_one_while_segments_change() {
    let fixture = Arc::new(Fixture::start().await);
    // Small segments, merged at once, removed soon: as much change as there can be.
    let settings = IngestorSettings { merge_fresh_count: 3, seal_rows: 60, ..fixture.settings() };
    let ingestor = fixture.ingestor(settings).await;
    let (done, looks) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
    // Also where the test fails: it would otherwise wait for the reader, and the reader for it.
    let _guard = done.clone().drop_guard();
    let mut publisher = Publisher::new(fixture.jetstream().await, "host", "run");
    publisher.publish().await;
    fixture.until_count("SELECT count(*) FROM host_sample", 1).await;
    let reading = {
        let (fixture, done, looks) = (Arc::clone(&fixture), done.clone(), Arc::clone(&looks));
        tokio::task::spawn_blocking(move || {
            let mut seen = 0;
            while !done.is_cancelled() {
                let (snapshots, distinct, highest, processes) = look(&fixture);
                // Sequences are stored in order, so none below the highest may be missing.
                assert_eq!((snapshots, distinct), (highest, highest), "twice or missing");
                assert_eq!(processes, snapshots * u64::from(PROCESSES));
                assert!(snapshots >= seen, "seen before, and gone");
                seen = snapshots;
                looks.fetch_add(1, SeqCst);
            }
        })
    };
    let merged = || {
        let current = SegmentFolder::scan(&fixture.history()).unwrap().current;
        current.iter().filter(|segment| segment.name.level == Level::Hour).count()
    };
    let mut look = 0;
    // On a busy machine, until merging has got that far.
    while (look < rounds(20) as u64 || merged() < 2) && !reading.is_finished() {
        look += 1;
        assert!(look < 1000, "merging does not go on");
        // No faster than it is read, even on a slow machine.
        for _ in 0..5 {
            publisher.publish().await;
        }
        until("a look", || looks.load(SeqCst) >= look || reading.is_finished()).await;
    }
    done.cancel();
    reading.await.unwrap();
    let published = publisher.ledger.len() as u64;
    fixture.until_count("SELECT count(*) FROM host_sample", published).await;
    ingestor.stop().await;
    assert_stored(&fixture.history(), &[publisher]);
}

#[tokio::test(flavor = "multi_thread")]
async fn attach_sql_works_from_an_empty_history_and_again_after_a_change() {
    let fixture = Fixture::start().await;
    let ingestor = fixture.ingestor(fixture.settings()).await;
    let attach = fixture.history().join(ATTACH_SQL);
    until("attach.sql", || attach.exists()).await;
    let connection = Connection::open_in_memory().unwrap();
    let count = || -> u64 {
        connection.execute_batch(&std::fs::read_to_string(&attach).unwrap()).unwrap();
        connection.query_row("SELECT count(*) FROM process", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count(), 0);
    let mut publisher = Publisher::new(fixture.jetstream().await, "host", "run");
    publisher.publish().await;
    until("the snapshot", || count() == u64::from(PROCESSES)).await;
    ingestor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_reads_everything_while_the_ingestor_runs() {
    let has_duckdb = Command::new("python3").args(["-c", "import duckdb"]).output();
    if !has_duckdb.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: python3 has no duckdb module; install it with `python3 -m pip install duckdb`");
        return;
    }
    let fixture = Fixture::start().await;
    let ingestor = fixture.ingestor(fixture.settings()).await;
    let mut publisher = Publisher::new(fixture.jetstream().await, "host", "run");
    for _ in 0..10 {
        publisher.publish().await;
    }
    fixture.until_count("SELECT count(*) FROM host_sample", 10).await;
    // Written after the segments have their names.
    let attach = fixture.history().join(ATTACH_SQL);
    until("attach.sql", || {
        let connection = Connection::open_in_memory().unwrap();
        let text = std::fs::read_to_string(&attach).unwrap_or_default();
        let count = "SELECT count(*) FROM host_sample";
        let found =
            connection.execute_batch(&text).and_then(|()| connection.query_row(count, [], |row| row.get(0)));
        found.is_ok_and(|found: u64| found == 10)
    })
    .await;
    let python = Command::new("python3")
        .args(["-c", PYTHON])
        .arg(&attach)
        .args([captured_at_us(3), captured_at_us(5)].map(|us| us.to_string()))
        // Another folder than the ingestor's.
        .current_dir(std::env::temp_dir())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&python.stdout);
    let complained = String::from_utf8_lossy(&python.stderr);
    // Each snapshot has other processes.
    let expected = ["(100,)", "(10, 10485760)", "(0, None)", "(20, 10485760)"];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected, "{complained}");
    ingestor.stop().await;
}
