//! Audit segments that are damaged: they are named and set aside, never removed, and the rest goes on.

use std::{fs, path::Path};

use duckdb::Connection;
use fleetps_ingestor::{
    ATTACH_SQL,
    audit::{AuditFolder, Break, search, verify},
};
use fleetps_nats::{audit::Audit, server::Part};

use super::{entry, everything, three_segments};
use crate::support::{Fixture, until};

fn truncate(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::remove_file(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_segment_is_set_aside_and_the_newest_is_sealed_again_from_the_broker() {
    let fixture = Fixture::start().await;
    let folder = fixture.history();
    let audit = Audit::open(&fixture.client(Part::Api).await).await.unwrap();
    let ingestor = fixture.ingestor(fixture.settings()).await;
    for written in 1..=3 {
        audit.record(entry(written)).await.unwrap();
        let is_sealed = || search(&folder, &[], &everything()).is_ok_and(|found| found.total == written);
        until("it is sealed", is_sealed).await;
    }
    ingestor.stop().await;
    let names = AuditFolder::scan(&folder).unwrap().current;
    let [first, _, last] = names[..] else { panic!("{names:?}") };
    for name in [first, last] {
        truncate(&folder.join(name.to_string()));
    }
    let ingestor = fixture.ingestor(fixture.settings()).await;
    until("the first is set aside", || AuditFolder::scan(&folder).unwrap().damaged == [first]).await;
    let has_last = || {
        search(&folder, &[], &everything()).is_ok_and(|found| found.entries.iter().any(|e| e.sequence == 3))
    };
    until("the last is sealed again", has_last).await;
    // It goes on behind them.
    audit.record(entry(4)).await.unwrap();
    until("it goes on", || search(&folder, &[], &everything()).is_ok_and(|found| found.total == 3)).await;
    ingestor.stop().await;
    let found = search(&folder, &[], &everything()).unwrap();
    assert_eq!(found.unreadable, [first]);
    assert_eq!(found.entries.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [4, 3, 2]);
    for name in [first, last] {
        assert!(folder.join(name.damaged_file_name()).exists(), "{name} was removed");
    }
    let broken = verify(&folder, &[]);
    assert!(matches!(&broken, Err(Break::Damaged(name)) if *name == first.to_string()), "{broken:?}");
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(&fs::read_to_string(folder.join(ATTACH_SQL)).unwrap()).unwrap();
    let rows: u64 = connection.query_row("SELECT count(*) FROM audit", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 3);
}

#[test]
fn damage_anywhere_in_a_segment_costs_its_own_entries_at_most() {
    let (folder, names, _) = three_segments();
    let path = folder.path().join(names[1].to_string());
    let whole = fs::read(&path).unwrap();
    let mut missing = 0;
    // Every kibibyte, because most of a small segment is empty.
    for place in (0..whole.len()).step_by(1_024) {
        let mut bytes = whole.clone();
        bytes[place..].iter_mut().take(64).for_each(|byte| *byte ^= 0b101);
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
        let found = search(folder.path(), &[], &everything()).unwrap();
        let sequences: Vec<_> = found.entries.iter().map(|entry| entry.sequence).collect();
        match found.unreadable.is_empty() {
            true => assert_eq!(sequences, [9, 8, 7, 6, 5, 4, 3, 2, 1], "at {place}"),
            false => {
                assert_eq!(
                    (found.unreadable, sequences),
                    (vec![names[1]], vec![9, 8, 7, 3, 2, 1]),
                    "at {place}"
                );
                missing += 1;
            }
        }
    }
    assert!(missing > 2, "{missing}");
}
