//! The audit on a real broker: one chain for all writers, from which nothing can be removed.

use async_nats::jetstream;
use fleetps_nats::{
    audit::{self, Audit, AuditEntry, Chained, Link, Outcome},
    server::Part,
};

use crate::support::{Fixture, host, start, within};

fn entry(who: &str) -> AuditEntry {
    AuditEntry {
        at_us: 1,
        who: who.to_owned(),
        from: Some([127, 0, 0, 1].into()),
        action: "sign-in".to_owned(),
        host: Some(host("web-01")),
        what: String::new(),
        outcome: Outcome::Done,
    }
}

/// Every entry that the broker has.
async fn read(fixture: &Fixture) -> Vec<Chained> {
    let audit = Audit::open(&fixture.client(Part::Api).await).await.unwrap();
    let mut entries: Vec<Chained> = Vec::new();
    loop {
        let next = entries.last().map_or(1, |last| last.sequence + 1);
        match within(audit.read(next)).await.unwrap() {
            more if more.is_empty() => return entries,
            more => entries.extend(more),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_programs_write_one_chain() {
    const WRITERS: usize = 6;
    const EACH: usize = 50;
    let fixture = start().await;
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        let audit = Audit::open(&fixture.client(Part::Api).await).await.unwrap();
        writers.push(tokio::spawn(async move {
            for _ in 0..EACH {
                audit.record(entry(&format!("writer {number}"))).await.unwrap();
            }
        }));
    }
    for writer in writers {
        within(writer).await.unwrap();
    }
    let mut last = Link::before_the_first();
    let mut written = [0; WRITERS];
    for chained in read(&fixture).await {
        assert_eq!(chained.sequence, last.sequence + 1);
        assert_eq!((&chained.previous, &chained.hash), (&last.hash, &chained.computed_hash()));
        last = chained.link();
        let writer: usize = chained.entry.who.trim_start_matches("writer ").parse().unwrap();
        written[writer] += 1;
    }
    assert_eq!(written, [EACH; WRITERS]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chain_goes_on_after_a_restart_of_the_writer() {
    let fixture = start().await;
    for who in ["first", "second"] {
        let audit = Audit::open(&fixture.client(Part::Ingestor).await).await.unwrap();
        audit.record(entry(who)).await.unwrap();
    }
    let entries = read(&fixture).await;
    assert_eq!(entries[1].previous, entries[0].hash);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_taken_out_of_the_audit() {
    let fixture = start().await;
    let audit = Audit::open(&fixture.client(Part::Api).await).await.unwrap();
    audit.record(entry("somebody")).await.unwrap();
    let jetstream = jetstream::new(fixture.client(Part::Ingestor).await);
    let stream = jetstream.get_stream(audit::STREAM).await.unwrap();
    assert!(stream.delete_message(1).await.is_err());
    assert!(stream.purge().await.is_err());
    assert_eq!(read(&fixture).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sequences_that_the_broker_gave_out_for_nothing_are_told_and_hold_nobody_up() {
    let fixture = start().await;
    let client = fixture.client(Part::Api).await;
    let [one, other] = [Audit::open(&client).await.unwrap(), Audit::open(&client).await.unwrap()];
    let second = {
        one.record(entry("first")).await.unwrap();
        one.record(entry("second")).await.unwrap();
        read(&fixture).await.pop().unwrap()
    };
    // As after a disk that was full: the stream counts on, and has no entries for it.
    for _ in 0..2 {
        let publishing =
            jetstream::new(client.clone()).publish("fleetps-audit.nothing", "".into()).await.unwrap();
        within(publishing.into_future()).await.unwrap();
    }
    let (first, last) =
        within(async { tokio::join!(one.record(entry("a")), other.record(entry("b"))) }).await;
    assert_eq!((first.unwrap().min(6), last.unwrap().max(7)), (6, 7));
    let entries = read(&fixture).await;
    let sequences: Vec<u64> = entries.iter().map(|chained| chained.sequence).collect();
    assert_eq!(sequences, [1, 2, 5, 6, 7]);
    let gap = &entries[2];
    assert_eq!((gap.entry.action.as_str(), &gap.previous), (audit::GAP, &second.hash));
    assert!(gap.entry.what.contains("entries 3 to 4"), "{}", gap.entry.what);
    for pair in entries.windows(2) {
        assert_eq!((&pair[1].previous, &pair[1].hash), (&pair[0].hash, &pair[1].computed_hash()));
    }
}
