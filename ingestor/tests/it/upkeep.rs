//! Merging and removing, and what they do about damage and crashes.

use std::{fs, path::PathBuf, time::Duration};

use fleetps_ingestor::{
    IngestorSettings,
    catalog::SegmentFolder,
    merge_folder,
    segment::{Level, SegmentName},
};

use crate::{
    chance::{chance, rounds},
    ledger::{Ledger, lines, sql},
    publisher::{Publisher, assert_stored},
    support::{Fixture, kill, until},
};

fn files(fixture: &Fixture) -> Vec<String> {
    let entries = fs::read_dir(fixture.history()).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

fn current(fixture: &Fixture) -> Vec<SegmentName> {
    SegmentFolder::scan(&fixture.history()).unwrap().current.iter().map(|segment| segment.name).collect()
}

/// Seals `count` segments of one snapshot each.
async fn seal_each(fixture: &Fixture, publisher: &mut Publisher, count: u64) {
    let settings = IngestorSettings { seal_rows: 1, merge_fresh_count: usize::MAX, ..fixture.settings() };
    let ingestor = fixture.ingestor(settings).await;
    for _ in 0..count {
        publisher.publish().await;
    }
    fixture.until_count("SELECT count(*) FROM segment", publisher.ledger.len() as u64).await;
    ingestor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn merged_segments_replace_their_sources_which_are_removed_later() {
    let fixture = Fixture::start().await;
    let mut publisher = Publisher::new(fixture.jetstream().await, "host", "run");
    seal_each(&fixture, &mut publisher, 7).await;
    let settings = IngestorSettings { unlink_delay: Duration::from_secs(600), ..fixture.settings() };
    let ingestor = fixture.ingestor(settings).await;
    until("the merge", || current(&fixture).len() == 1).await;
    ingestor.stop().await;
    assert_eq!(current(&fixture)[0].level, Level::Hour);
    assert_eq!(SegmentFolder::scan(&fixture.history()).unwrap().covered.len(), 7);
    assert_stored(&fixture.history(), &[publisher]);

    // The next start takes up the removal.
    let ingestor = fixture.ingestor(fixture.settings()).await;
    until("the removal", || SegmentFolder::scan(&fixture.history()).unwrap().covered.is_empty()).await;
    ingestor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_during_merges_leave_a_correct_folder() {
    let mut chance = chance();
    let fixture = Fixture::start().await;
    let mut publisher = Publisher::new(fixture.jetstream().await, "host", "run");
    seal_each(&fixture, &mut publisher, 20).await;
    let kept: Vec<PathBuf> =
        current(&fixture).iter().map(|name| fixture.history().join(name.to_string())).collect();
    let aside = tempfile::tempdir().unwrap();
    for path in &kept {
        fs::copy(path, aside.path().join(path.file_name().unwrap())).unwrap();
    }
    let (mut before, mut during) = (0, 0);
    for _ in 0..rounds(2) {
        // Back to all fresh ones, so that there is something to merge again.
        for name in SegmentFolder::scan(&fixture.history()).unwrap().current {
            fs::remove_file(fixture.history().join(name.name.to_string())).unwrap();
        }
        for path in &kept {
            fs::copy(aside.path().join(path.file_name().unwrap()), path).unwrap();
        }
        let mut process = fixture.process();
        until("the start", || files(&fixture).iter().any(|file| file.contains("hour"))).await;
        tokio::time::sleep(Duration::from_millis(chance.u64(0..120))).await;
        kill(&mut process);
        if files(&fixture).iter().any(|file| file.ends_with(".tmp")) {
            during += 1
        } else {
            before += 1
        }
        assert_stored(&fixture.history(), std::slice::from_ref(&publisher));
    }
    eprintln!("killed {during} times while a file was being written, {before} times otherwise");
    let ingestor = fixture.ingestor(fixture.settings()).await;
    until("the remains are gone", || !files(&fixture).iter().any(|file| file.ends_with(".tmp"))).await;
    until("a merge that is not interrupted", || current(&fixture).len() == 1).await;
    ingestor.stop().await;
    assert_stored(&fixture.history(), &[publisher]);
}

/// Every day of an old history, thinned and rolled up by a process that is killed again and again.
#[tokio::test(flavor = "multi_thread")]
async fn kills_while_samples_are_thinned_leave_every_sequence_once() {
    let fixture = Fixture::start().await;
    fs::create_dir_all(fixture.history()).unwrap();
    let mut chance = chance();
    let mut ledger = Ledger::random(&mut chance, rounds(2) as i64);
    ledger.seal(&fixture.history(), &mut chance);
    merge_folder(&fixture.history()).unwrap();
    let whole = ledger.entries.len() as u64;
    let sequences =
        || -> u64 { current(&fixture).iter().map(|name| name.last_sequence - name.first_sequence + 1).sum() };
    let (mut during, mut longest_ms) = (0, 300);
    while current(&fixture).iter().any(|name| name.level != Level::Rollup) {
        // They are days old, so a person has to say that the clock is right.
        let trusting = ("FLEETPS_TRUST_CLOCK_UNTIL", "2999-01-01");
        let mut process = fixture.command().env(trusting.0, trusting.1).spawn().unwrap();
        until("a step", || files(&fixture).iter().any(|file| file.ends_with(".tmp"))).await;
        tokio::time::sleep(Duration::from_millis(chance.u64(0..longest_ms))).await;
        // On a busy machine a step takes longer, and must be done some time.
        longest_ms += 50;
        kill(&mut process);
        during += usize::from(files(&fixture).iter().any(|file| file.ends_with(".tmp")));
        assert_eq!(sequences(), whole);
        assert_eq!(lines(&fixture.history(), sql::PROCESSES), ledger.processes());
        assert_eq!(lines(&fixture.history(), sql::HOURS), ledger.hours());
    }
    eprintln!("killed {during} times while a file was being written");
    assert_eq!(lines(&fixture.history(), sql::SNAPSHOTS), ledger.snapshots_of_minutes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_segment_is_set_aside_and_the_others_are_served() {
    let fixture = Fixture::start().await;
    let mut publisher = Publisher::new(fixture.jetstream().await, "host", "run");
    seal_each(&fixture, &mut publisher, 3).await;
    let damaged = current(&fixture)[1];
    let path = fixture.history().join(damaged.to_string());
    let mut bytes = fs::read(&path).unwrap();
    // Damages every block, so that every read fails.
    bytes.iter_mut().skip(4096).step_by(512).for_each(|byte| *byte ^= 0x55);
    // A segment is a file that is only read.
    fs::remove_file(&path).unwrap();
    fs::write(&path, bytes).unwrap();

    let ingestor = fixture.ingestor(fixture.settings()).await;
    let status = crate::refusals::status_where(&fixture, |status| !status.set_aside.is_empty()).await;
    assert_eq!(status.set_aside, [damaged.to_string()]);
    publisher.publish().await;
    let attach = fixture.history().join(fleetps_ingestor::ATTACH_SQL);
    let count = || -> u64 {
        let connection = duckdb::Connection::open_in_memory().unwrap();
        connection.execute_batch(&fs::read_to_string(&attach).unwrap()).unwrap();
        connection.query_row("SELECT count(*) FROM host_sample", [], |row| row.get(0)).unwrap()
    };
    until("the others and a new one", || count() == 3).await;
    let kept = fixture.history().join(damaged.damaged_file_name());
    until("it is set aside", || kept.exists() && !path.exists()).await;
    ingestor.stop().await;

    // Nor after a start, which does not store its snapshots again either.
    let ingestor = fixture.ingestor(fixture.settings()).await;
    let status = crate::refusals::status_where(&fixture, |status| !status.set_aside.is_empty()).await;
    assert_eq!((status.set_aside, status.stored), (vec![damaged.to_string()], 0));
    ingestor.stop().await;
    assert_eq!(count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_go_when_there_is_too_much() {
    let fixture = Fixture::start().await;
    let mut publisher = Publisher::new(fixture.jetstream().await, "host", "run");
    seal_each(&fixture, &mut publisher, 6).await;
    let segments = SegmentFolder::scan(&fixture.history()).unwrap().current;
    let newest: u64 = segments[3..].iter().map(|segment| segment.bytes).sum();
    let settings =
        IngestorSettings { max_history_bytes: newest, merge_fresh_count: usize::MAX, ..fixture.settings() };
    let ingestor = fixture.ingestor(settings).await;
    until("the removal", || current(&fixture).len() == 3).await;
    ingestor.stop().await;
    let kept: Vec<u64> = current(&fixture).iter().map(|name| name.first_sequence).collect();
    assert_eq!(kept, [4, 5, 6]);
}
