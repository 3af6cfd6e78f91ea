//! An ingestor whose clock is days past the newest stored snapshot: nothing is lost until a person confirms the clock.

use std::path::Path;

use fleetps_ingestor::{
    IngestorSettings,
    catalog::SegmentFolder,
    segment::{Level, SegmentRows, seal},
};
use fleetps_nats::{Snapshot, now_us};

use crate::{
    publisher::{self, Publisher},
    refusals::status_where,
    support::{Fixture, until},
};

const DAY_US: i64 = 86_400_000_000;

/// A history whose newest snapshot is 40 days old.
fn seal_old(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let begin_us = now_us() - 40 * DAY_US;
    for hour in 0..3 {
        let (sequence, stored_at_us) = (hour + 1, begin_us + i64::try_from(hour).unwrap() * 3_600_000_000);
        let mut rows = SegmentRows::new(0, begin_us / 1_000_000 - 10, sequence, stored_at_us);
        let snapshot = Snapshot { captured_at_us: stored_at_us, ..publisher::snapshot("old", sequence) };
        rows.push(sequence, stored_at_us, &"old".parse().unwrap(), &snapshot);
        seal(folder, &mut rows).unwrap();
    }
}

/// The levels of what is in the history of the old host's stream, and of the present one's.
fn levels(folder: &Path) -> (Vec<Level>, Vec<Level>) {
    let names = SegmentFolder::scan(folder).unwrap().current.into_iter().map(|segment| segment.name);
    let is_old = |first_stored_s: i64| first_stored_s < now_us() / 1_000_000 - 30 * 86_400;
    let (old, new): (Vec<_>, Vec<_>) = names.partition(|name| is_old(name.first_stored_s));
    (old.iter().map(|name| name.level).collect(), new.iter().map(|name| name.level).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_days_past_the_newest_snapshot_thins_nothing_until_a_person_confirms_it() {
    let fixture = Fixture::start().await;
    seal_old(&fixture.history());
    let settings = IngestorSettings { merge_fresh_count: 1, ..fixture.settings() };
    let ingestor = fixture.ingestor(settings.clone()).await;
    let status = status_where(&fixture, |status| status.waits_for_clock.is_some()).await;
    let waits = status.waits_for_clock.unwrap();
    assert!(waits.contains("trust_clock_until"), "{waits}");
    // Segments stored meanwhile are merged, after the step in which old ones would have been thinned.
    let mut publisher = Publisher::new(fixture.jetstream().await, "host", "run");
    for merged in 1..=3 {
        publisher.publish().await;
        until("the merge", || {
            levels(&fixture.history()).1.iter().filter(|level| **level != Level::Fresh).count() >= merged
        })
        .await;
    }
    let (old, _) = levels(&fixture.history());
    assert!(!old.is_empty() && old.iter().all(|level| level.is_raw()), "{old:?}");
    ingestor.stop().await;

    let settings = IngestorSettings { trust_clock_until: Some("2999-01-01".parse().unwrap()), ..settings };
    let ingestor = fixture.ingestor(settings).await;
    until("the thinning", || levels(&fixture.history()).0.iter().all(|level| *level == Level::Rollup)).await;
    status_where(&fixture, |status| status.waits_for_clock.is_none()).await;
    ingestor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_size_waits_for_no_clock() {
    let fixture = Fixture::start().await;
    seal_old(&fixture.history());
    let settings = IngestorSettings { merge_fresh_count: 1, max_history_bytes: 1, ..fixture.settings() };
    let ingestor = fixture.ingestor(settings).await;
    status_where(&fixture, |status| status.waits_for_clock.is_some()).await;
    until("the removal", || levels(&fixture.history()).0.len() <= 1).await;
    ingestor.stop().await;
}
