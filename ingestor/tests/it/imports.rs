//! Importing what another system kept, while an ingestor uses the history.

use std::path::Path;

use fleetps_ingestor::import::{Import, ImportSource, Imported};
use fleetps_nats::{HostName, Snapshot, snapshot::Process};

use crate::{
    publisher::Publisher,
    support::{Fixture, rows, value},
};

const SOURCE: ImportSource = ImportSource { fingerprint: 0xfeed, begun_s: 1_795_000_000 };

/// A snapshot in 10 minutes of `old-01`, with process 1 and one more.
fn snapshot(sequence: u64) -> Snapshot {
    let captured_at_us = (SOURCE.begun_s + 600 * i64::try_from(sequence).unwrap()) * 1_000_000;
    let process = |pid| Process { pid, name: format!("program-{pid}"), ..Process::default() };
    Snapshot {
        boot_id: "imported boot".to_owned(),
        run_id: "imported".to_owned(),
        sequence,
        captured_at_us,
        interval_ms: 600_000,
        processes: [1, 100 + u32::try_from(sequence).unwrap()].map(process).into(),
        ..Snapshot::default()
    }
}

fn take(import: &mut Import, sequences: impl IntoIterator<Item = u64>) {
    let host: HostName = "old-01".parse().unwrap();
    for sequence in sequences {
        import.take(sequence, &host, &snapshot(sequence)).unwrap();
    }
}

/// The sequence and the two pids of each snapshot.
fn stored(folder: &Path) -> Vec<(u64, u32, u32)> {
    let sql = "SELECT s.sequence, min(pid), max(pid) FROM host_sample AS s JOIN process_sample USING (host, captured_at) \
               WHERE host = 'old-01' GROUP BY ALL ORDER BY 1";
    rows(folder, sql, |row| (row.get(0).unwrap(), row.get(1).unwrap(), row.get(2).unwrap()))
}

fn expected(sequences: impl IntoIterator<Item = u64>) -> Vec<(u64, u32, u32)> {
    sequences.into_iter().map(|sequence| (sequence, 1, 100 + u32::try_from(sequence).unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_imported_is_in_the_history_once_beside_what_an_ingestor_stores() {
    let fixture = Fixture::start().await;
    let mut publisher = Publisher::new(fixture.jetstream().await, "host", "run");
    let ingestor = fixture.ingestor(fixture.settings()).await;
    publisher.publish().await;
    fixture.until_count("SELECT count(*) FROM host_sample", 1).await;

    // A database leaves out numbers.
    let first: Vec<u64> = (3..100).filter(|sequence| sequence % 7 != 0).collect();
    let mut import = Import::begin(&fixture.history(), SOURCE).unwrap();
    assert_eq!(import.stored_sequence(), 0);
    assert!(Import::begin(&fixture.history(), SOURCE).is_err(), "one at a time");
    take(&mut import, first.clone());
    assert_eq!(stored(&fixture.history()), [], "all or nothing");
    let count = first.len() as u64;
    assert_eq!(import.finish().unwrap(), Imported { snapshots: count, known: 0 });
    // The ingestor finds it by itself.
    fixture.until_count("SELECT count(*) FROM host_sample WHERE host = 'old-01'", count).await;
    assert_eq!(stored(&fixture.history()), expected(first.clone()));
    let starts = "SELECT count(*) FROM event WHERE host = 'old-01' AND kind = 'started'";
    assert_eq!(fixture.value::<u64>(starts), count - 1);

    // The database has grown since.
    let mut again = Import::begin(&fixture.history(), SOURCE).unwrap();
    assert_eq!(again.stored_sequence(), 99);
    take(&mut again, first.iter().copied().chain([100, 101]));
    assert_eq!(again.finish().unwrap(), Imported { snapshots: 2, known: count });
    let all = first.into_iter().chain([100, 101]);
    assert_eq!(stored(&fixture.history()), expected(all.clone()));
    assert_eq!(fixture.value::<u64>(starts), count + 1, "what ran before did not start anew");
    ingestor.stop().await;

    // Another start takes none of it for its own, not even of the same host in a later numbering.
    let later = ImportSource { fingerprint: 7, begun_s: fleetps_nats::now_us() / 1_000_000 + 60 };
    let mut import = Import::begin(&fixture.history(), later).unwrap();
    import.take(1, &"host".parse().unwrap(), &snapshot(1)).unwrap();
    import.finish().unwrap();
    let ingestor = fixture.ingestor(fixture.settings()).await;
    publisher.publish().await;
    fixture.until_count("SELECT count(*) FROM host_sample WHERE host = 'host'", 3).await;
    ingestor.stop().await;
    let mixed_up =
        "SELECT count(*) FROM event WHERE (host = 'old-01' OR kind = 'booted') AND partition < 1024";
    assert_eq!(fixture.value::<u64>(mixed_up), 0);
    assert_eq!(stored(&fixture.history()), expected(all));
    assert!(!fixture.history().join("import.tmp/segments").exists());
    let names = value::<u64>(&fixture.history(), "SELECT count(*) FROM segment WHERE partition >= 1024");
    assert!(names < 10, "merged: {names}");
}

#[test]
fn an_import_that_is_given_up_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut import = Import::begin(folder.path(), SOURCE).unwrap();
    take(&mut import, 1..50);
    drop(import);
    let mut import = Import::begin(folder.path(), SOURCE).unwrap();
    assert_eq!(import.stored_sequence(), 0);
    take(&mut import, 1..3);
    import.finish().unwrap();
    assert_eq!(stored(folder.path()), expected(1..3));
}
