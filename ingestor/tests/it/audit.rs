//! The audit on its way from the broker to segments, and what its chain shows.

mod damage;

use std::path::Path;

use duckdb::Connection;
use fleetps_ingestor::{
    ATTACH_SQL,
    audit::{AuditFolder, AuditName, AuditQuery, Break, Verified, seal, search, verify},
};
use fleetps_nats::{
    audit::{Audit, AuditEntry, Chained, Link, Outcome},
    server::Part,
};

use crate::support::{Fixture, until, within};

/// 2100-01-01T00:00:00Z: segments of a day that is over are merged.
const BEGUN_US: i64 = 4_102_444_800_000_000;

const MONTH_US: i64 = 31 * 86_400 * 1_000_000;

fn entry(number: u64) -> AuditEntry {
    AuditEntry {
        at_us: BEGUN_US + i64::try_from(number).unwrap(),
        who: format!("user-{number}"),
        from: Some([10, 0, 0, 1].into()),
        action: if number.is_multiple_of(2) { "sign-in" } else { "sql.ask" }.to_owned(),
        host: number.is_multiple_of(3).then(|| "web-01".parse().unwrap()),
        what: format!("'; DROP TABLE audit; -- {number}"),
        outcome: Outcome::Done,
    }
}

/// `count` entries behind `last`.
fn chain(last: &Link, count: u64) -> Vec<Chained> {
    let mut chain: Vec<Chained> = Vec::new();
    for number in 1..=count {
        let last = chain.last().map_or_else(|| last.clone(), Chained::link);
        chain.push(Chained::new(&last, entry(number)));
    }
    chain
}

fn everything() -> AuditQuery {
    AuditQuery { to_us: i64::MAX / 2, limit: 1000, ..AuditQuery::default() }
}

fn sequences(folder: &Path, stream: &[Chained], query: &AuditQuery) -> Vec<u64> {
    let found = search(folder, stream, query).unwrap();
    assert_eq!(found.total, found.entries.len() as u64);
    found.entries.iter().map(|entry| entry.sequence).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_down_is_sealed_once_and_goes_on_after_a_restart() {
    let fixture = Fixture::start().await;
    let audit = Audit::open(&fixture.client(Part::Api).await).await.unwrap();
    let count = |folder: &Path| search(folder, &[], &everything()).map_or(0, |found| found.total);
    let mut written = 0;
    for _ in 0..3 {
        let ingestor = fixture.ingestor(fixture.settings()).await;
        for _ in 0..5 {
            written += 1;
            audit.record(entry(written)).await.unwrap();
        }
        until("the entries are sealed", || count(&fixture.history()) == written).await;
        // One more, which stopping seals.
        written += 1;
        audit.record(entry(written)).await.unwrap();
        ingestor.stop().await;
        assert_eq!(count(&fixture.history()), written);
    }
    let stream = within(audit.read(1)).await.unwrap();
    let verified = verify(&fixture.history(), &stream).unwrap();
    assert_eq!((verified.entries, verified.on_the_broker, verified.chains.len()), (written, 0, 1));
    // Any DuckDB sees the same.
    let connection = Connection::open_in_memory().unwrap();
    let attach = std::fs::read_to_string(fixture.history().join(ATTACH_SQL)).unwrap();
    connection.execute_batch(&attach).unwrap();
    let rows: u64 = connection.query_row("SELECT count(*) FROM audit", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, written);
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_the_broker_lost_are_a_gap_that_is_told_and_the_chain_holds() {
    let fixture = Fixture::start().await;
    let audit = Audit::open(&fixture.client(Part::Api).await).await.unwrap();
    let ingestor = fixture.ingestor(fixture.settings()).await;
    let jetstream = async_nats::jetstream::new(fixture.client(Part::Api).await);
    // One sequence for nothing before there is any entry, and one between two.
    for (number, sequence) in [(1, 3), (2, 6)] {
        let publishing = jetstream.publish("fleetps-audit.nothing", "".into()).await.unwrap();
        within(publishing.into_future()).await.unwrap();
        assert_eq!(audit.record(entry(number)).await.unwrap(), sequence);
    }
    let sealed = || search(&fixture.history(), &[], &everything()).is_ok_and(|found| found.total == 4);
    until("the entries are sealed", sealed).await;
    ingestor.stop().await;
    let stream = within(audit.read(1)).await.unwrap();
    for (folder, on_the_broker) in
        [(fixture.history(), 0), (tempfile::tempdir().unwrap().path().to_owned(), 4)]
    {
        std::fs::create_dir_all(&folder).unwrap();
        let verified = verify(&folder, &stream).unwrap();
        assert_eq!((verified.entries, verified.on_the_broker, verified.chains.len()), (4, on_the_broker, 1));
        assert_eq!(verified.gaps, [(1, 1), (4, 4)]);
    }
    // Where the broker has nothing left of what is sealed, its first entry says so.
    let first = Chained::new(&Link::before_the_first(), entry(1));
    let gap = stream[0].entry.clone();
    let lost = Chained::new(&Link { sequence: 9, hash: String::new() }, gap);
    let verified = verify(&fixture.history(), &[lost.clone(), Chained::new(&lost.link(), entry(2))]).unwrap();
    assert_eq!((verified.entries, verified.on_the_broker, verified.chains.len()), (6, 2, 1));
    assert_eq!(verified.gaps, [(1, 1), (4, 4), (7, 9)]);
    // The same without a word about it is an entry that was removed.
    let silent = [first.clone(), Chained::new(&Link { sequence: 2, hash: first.hash.clone() }, entry(3))];
    let removed = verify(tempfile::tempdir().unwrap().path(), &silent);
    assert!(matches!(removed, Err(Break::Missing { first: 2, last: 2, .. })), "{removed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_segments_become_one_and_nothing_is_lost() {
    let fixture = Fixture::start().await;
    let ingestor = fixture.ingestor(fixture.settings()).await;
    let audit = Audit::open(&fixture.client(Part::Api).await).await.unwrap();
    let folder = fixture.history();
    let mut written = 0;
    // Each waits for its own segment; a merge leaves a file with more than one.
    let is_merged = |name: &AuditName| name.last_sequence - name.first_sequence >= 10;
    while !AuditFolder::scan(&folder).unwrap().current.iter().any(is_merged) {
        written += 1;
        assert!(written < 100, "nothing was merged");
        audit.record(entry(written)).await.unwrap();
        until("it is sealed", || {
            search(&folder, &[], &everything()).is_ok_and(|found| found.total == written)
        })
        .await;
    }
    until("what was merged is gone", || AuditFolder::scan(&folder).unwrap().covered.is_empty()).await;
    assert_eq!(verify(&folder, &[]).unwrap().entries, written);
    ingestor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_is_removed_and_that_is_on_record() {
    let fixture = Fixture::start().await;
    let mut settings = fixture.settings();
    settings.keep_audit = std::time::Duration::ZERO;
    let audit = Audit::open(&fixture.client(Part::Api).await).await.unwrap();
    let ingestor = fixture.ingestor(settings).await;
    // They are of different months, so they stay apart: the newest segment is never removed.
    let old = |number: u64| AuditEntry {
        at_us: 1_700_000_000_000_000 + MONTH_US * number.cast_signed(),
        ..entry(number)
    };
    let folder = fixture.history();
    for number in 1..=2 {
        audit.record(old(number)).await.unwrap();
        until("it is sealed", || {
            search(&folder, &[], &everything())
                .is_ok_and(|found| found.entries.iter().any(|entry| entry.sequence >= number))
        })
        .await;
    }
    until("the first is removed", || !sequences(&folder, &[], &everything()).contains(&1)).await;
    ingestor.stop().await;
    let verified = verify(&folder, &[]).unwrap();
    assert!(verified.chains[0].first > 1, "{verified:?}");
    let removal = AuditQuery { action: Some("audit.remove".to_owned()), ..everything() };
    assert!(!sequences(&folder, &[], &removal).is_empty());
}

#[test]
fn entries_are_found_by_what_is_asked_and_shown_once() {
    let folder = tempfile::tempdir().unwrap();
    let all = chain(&Link::before_the_first(), 12);
    seal(folder.path(), 1000, &all[..8]).unwrap();
    let find = |query: AuditQuery| sequences(folder.path(), &all[5..], &query);
    assert_eq!(find(everything()), (1..=12).rev().collect::<Vec<_>>());
    assert_eq!(find(AuditQuery { who: Some("USER-1".to_owned()), ..everything() }), [12, 11, 10, 1]);
    assert_eq!(find(AuditQuery { action: Some("sql".to_owned()), ..everything() }), [11, 9, 7, 5, 3, 1]);
    assert_eq!(find(AuditQuery { host: Some("web-01".to_owned()), ..everything() }), [12, 9, 6, 3]);
    let (from_us, to_us) = (all[2].entry.at_us, all[4].entry.at_us);
    assert_eq!(find(AuditQuery { from_us, to_us, ..everything() }), [4, 3]);
    let first = search(folder.path(), &all, &AuditQuery { limit: 1, ..everything() }).unwrap();
    assert_eq!((first.total, &first.entries[0]), (12, &all[11]));
}

/// A folder with the entries 1 to 9 in three segments.
fn three_segments() -> (tempfile::TempDir, Vec<AuditName>, Vec<Chained>) {
    let folder = tempfile::tempdir().unwrap();
    let all = chain(&Link::before_the_first(), 9);
    let names = all.chunks(3).map(|entries| seal(folder.path(), 1000, entries).unwrap()).collect();
    (folder, names, all)
}

/// The result of following the chain after `sql` was run on the second segment.
fn after_editing(sql: &str) -> Result<Verified, Break> {
    let (folder, names, all) = three_segments();
    assert_eq!(verify(folder.path(), &all).unwrap().entries, 9);
    let editor = Connection::open(folder.path().join(names[1].to_string())).unwrap();
    assert!(editor.execute(sql, []).unwrap() > 0);
    drop(editor);
    verify(folder.path(), &[])
}

#[test]
fn any_change_to_a_row_is_found_and_named() {
    for change in [
        "who = 'somebody else'",
        "address = NULL",
        "address = 'nonsense'",
        "action = 'x'",
        "host = 'db-01'",
        "host = '../'",
        "what = ''",
        "outcome = 'refused'",
        "outcome = 'nonsense'",
        "occurred_at = occurred_at + INTERVAL 1 MICROSECOND",
        "hash = repeat('0', 64)",
        "previous_hash = ''",
    ] {
        let found = after_editing(&format!("UPDATE audit SET {change} WHERE sequence = 5"));
        assert!(matches!(found, Err(Break::Edited { sequence: 5, .. })), "{change}: {found:?}");
    }
}

#[test]
fn a_row_that_is_missing_or_moved_is_found_and_named() {
    let found = after_editing("DELETE FROM audit WHERE sequence = 5");
    assert!(matches!(found, Err(Break::Missing { first: 5, last: 5, .. })), "{found:?}");
    let found = after_editing("DELETE FROM audit WHERE sequence = 4");
    assert!(matches!(found, Err(Break::Missing { first: 4, last: 4, .. })), "{found:?}");
    let found = after_editing("DELETE FROM audit WHERE sequence = 6");
    assert!(matches!(found, Err(Break::Missing { first: 6, last: 6, .. })), "{found:?}");
    let found = after_editing("UPDATE audit SET sequence = 11 - sequence WHERE sequence IN (5, 6)");
    assert!(matches!(found, Err(Break::Edited { sequence: 5, .. })), "{found:?}");
    let found = after_editing("INSERT INTO audit FROM audit WHERE sequence = 5");
    assert!(matches!(found, Err(Break::DoesNotFollow { sequence: 5, .. })), "{found:?}");
}

#[test]
fn a_segment_that_is_missing_or_damaged_is_found() {
    let (folder, names, all) = three_segments();
    let path = |index: usize| folder.path().join(names[index].to_string());
    let taken = std::fs::read(path(1)).unwrap();
    std::fs::remove_file(path(1)).unwrap();
    let found = verify(folder.path(), &[]);
    assert!(matches!(found, Err(Break::Missing { first: 4, last: 6, .. })), "{found:?}");
    let mut damaged = taken.clone();
    damaged.truncate(taken.len() / 2);
    std::fs::write(path(1), damaged).unwrap();
    assert!(matches!(verify(folder.path(), &[]), Err(Break::Unreadable { .. })));
    std::fs::write(path(1), taken).unwrap();
    std::fs::remove_file(path(0)).unwrap();
    assert!(matches!(verify(folder.path(), &[]), Err(Break::NoBeginning { last: 3 })));
    // Entries cut off at the end are only missed while the broker has them or the ones after them.
    std::fs::remove_file(path(1)).unwrap();
    std::fs::remove_file(path(2)).unwrap();
    seal(folder.path(), 1000, &all[..3]).unwrap();
    assert!(matches!(verify(folder.path(), &all[6..]), Err(Break::Missing { first: 4, last: 6, .. })));
    assert_eq!(verify(folder.path(), &all[2..]).unwrap().on_the_broker, 6);
}

#[test]
fn a_chain_that_was_computed_anew_does_not_match_the_brokers() {
    let folder = tempfile::tempdir().unwrap();
    let all = chain(&Link::before_the_first(), 6);
    let mut forged = all[..2].to_vec();
    for original in &all[2..] {
        let last = forged.last().unwrap().link();
        forged.push(Chained::new(&last, AuditEntry { who: "nobody".to_owned(), ..original.entry.clone() }));
    }
    seal(folder.path(), 1000, &forged).unwrap();
    assert_eq!(verify(folder.path(), &[]).unwrap().entries, 6);
    assert!(matches!(verify(folder.path(), &all), Err(Break::TwoVersions { sequence: 3 })));
}

#[test]
fn a_stream_that_numbers_anew_begins_another_chain() {
    let folder = tempfile::tempdir().unwrap();
    let first = chain(&Link::before_the_first(), 4);
    seal(folder.path(), 1000, &first).unwrap();
    // Made anew.
    let anew = chain(&Link::before_the_first(), 2);
    seal(folder.path(), 2000, &anew).unwrap();
    // It lost its end: what follows its second entry is stored as another numbering.
    let after = chain(&first[1].link(), 3);
    seal(folder.path(), 3000, &after).unwrap();
    let verified = verify(folder.path(), &[]).unwrap();
    let firsts: Vec<_> = verified.chains.iter().map(|chain| (chain.epoch_s, chain.first)).collect();
    assert_eq!(firsts, [(Some(1000), 1), (Some(2000), 1), (Some(3000), 3)]);
}
