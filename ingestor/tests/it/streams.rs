//! Troubles of the stream: loss, repeats, a new one, an old one.

use std::path::Path;

use fleetps_nats::stream;

use crate::{
    publisher::{Publisher, assert_stored},
    support::{Fixture, rows, until},
};

async fn publish(publisher: &mut Publisher, count: u64) -> u64 {
    let mut last = 0;
    for _ in 0..count {
        last = publisher.publish().await;
    }
    last
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_broker_dropped_becomes_a_gap() {
    let fixture = Fixture::start().await;
    let jetstream = fixture.jetstream().await;
    let mut publisher = Publisher::new(jetstream.clone(), "host", "run");
    let ingestor = fixture.ingestor(fixture.settings()).await;
    publish(&mut publisher, 10).await;
    fixture.until_count("SELECT count(*) FROM host_sample", 10).await;
    ingestor.stop().await;

    let mut lost = Publisher::new(jetstream.clone(), "lost", "run");
    assert_eq!(publish(&mut lost, 20).await, 30);
    publish(&mut publisher, 5).await;
    let stream = stream::open_snapshots(&jetstream).await.unwrap();
    stream.purge().sequence(31).await.unwrap();

    let ingestor = fixture.ingestor(fixture.settings()).await;
    fixture.until_count("SELECT count(*) FROM host_sample", 15).await;
    ingestor.stop().await;
    assert_stored(&fixture.history(), &[publisher]);
    let gaps = rows(&fixture.history(), "SELECT first_sequence, last_sequence FROM gap", |row| {
        (row.get::<_, u64>(0).unwrap(), row.get::<_, u64>(1).unwrap())
    });
    assert_eq!(gaps, [(11, 30)]);
    // The names cover the gap, so it is not looked for again.
    let covered: u64 = fixture.value("SELECT sum(last_sequence - first_sequence + 1)::BIGINT FROM segment");
    assert_eq!(covered, 35);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_snapshot_is_stored_once() {
    let fixture = Fixture::start().await;
    let mut publisher = Publisher::new(fixture.jetstream().await, "host", "run");
    let ingestor = fixture.ingestor(fixture.settings()).await;
    publish(&mut publisher, 5).await;
    publisher.publish_again().await;
    let status = crate::refusals::status_where(&fixture, |status| status.read_sequence >= 6).await;
    assert_eq!(status.duplicates, 1);
    ingestor.stop().await;

    // Another ingestor knows from the history.
    let ingestor = fixture.ingestor(fixture.settings()).await;
    publisher.publish_again().await;
    publish(&mut publisher, 1).await;
    fixture.until_count("SELECT count(*) FROM host_sample", 6).await;
    ingestor.stop().await;
    assert_stored(&fixture.history(), &[publisher]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_made_anew_is_stored_beside_the_old_one() {
    let fixture = Fixture::start().await;
    let jetstream = fixture.jetstream().await;
    let mut publisher = Publisher::new(jetstream.clone(), "host", "run");
    let ingestor = fixture.ingestor(fixture.settings()).await;
    publish(&mut publisher, 10).await;
    fixture.until_count("SELECT count(*) FROM host_sample", 10).await;

    let created = || async { stream::open_snapshots(&jetstream).await.unwrap().cached_info().created };
    let before_s = created().await.unix_timestamp();
    // Streams of the same second cannot be told apart.
    until("the next second", || jiff::Timestamp::now().as_second() > before_s).await;
    jetstream.delete_stream(stream::SNAPSHOTS).await.unwrap();
    stream::ensure(&jetstream, 256 << 20).await.unwrap();
    publish(&mut publisher, 10).await;
    fixture.until_count("SELECT count(*) FROM host_sample", 20).await;
    ingestor.stop().await;

    let ingestor = fixture.ingestor(fixture.settings()).await;
    publish(&mut publisher, 5).await;
    fixture.until_count("SELECT count(*) FROM host_sample", 25).await;
    ingestor.stop().await;
    assert_stored(&fixture.history(), &[publisher]);
    assert_eq!(fixture.value::<u64>("SELECT count(DISTINCT stream_created) FROM segment"), 2);
    assert_eq!(fixture.value::<u64>("SELECT count(*) FROM gap"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_lost_its_end_begins_a_new_numbering() {
    the_stream_loses_its_end(false, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_again_is_not_stored_twice_however_many_runs_the_host_had() {
    // More than are remembered of each, and more than are read back from the history.
    the_stream_loses_its_end(true, 30).await;
    the_stream_loses_its_end(false, 1300).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_loses_its_end_while_it_is_read_begins_a_new_numbering() {
    the_stream_loses_its_end(true, 5).await;
}

async fn the_stream_loses_its_end(while_it_is_read: bool, runs: u64) {
    let mut fixture = Fixture::start().await;
    let mut publisher = Publisher::new(fixture.jetstream().await, "host", "run");
    for run in 0..runs {
        publisher.run_id = format!("early-{run}");
        publish(&mut publisher, 1).await;
    }
    fixture.stop_server().await;
    let (store, kept) = (fixture.folder.path().join("nats"), fixture.folder.path().join("kept"));
    copy(&store, &kept);

    fixture.start_server().await;
    let mut after = Publisher::new(fixture.jetstream().await, "host", "run-2");
    publish(&mut after, 5).await;
    let ingestor = fixture.ingestor(fixture.settings()).await;
    fixture.until_count("SELECT count(*) FROM host_sample", runs + 5).await;
    let reading = if while_it_is_read {
        Some(ingestor)
    } else {
        ingestor.stop().await;
        None
    };
    fixture.stop_server().await;

    // As after a power failure: what was stored last is gone from the broker.
    std::fs::remove_dir_all(&store).unwrap();
    copy(&kept, &store);
    fixture.start_server().await;
    let mut later = Publisher::new(fixture.jetstream().await, "host", "run-3");
    assert_eq!(publish(&mut later, 3).await, runs + 3);
    let ingestor = match reading {
        Some(ingestor) => ingestor,
        None => fixture.ingestor(fixture.settings()).await,
    };
    fixture.until_count("SELECT count(*) FROM host_sample", runs + 8).await;
    ingestor.stop().await;
    assert_stored(&fixture.history(), &[publisher, after, later]);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
