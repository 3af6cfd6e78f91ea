//! Messages that are no snapshots, end to end.

use std::collections::BTreeMap;

use async_nats::jetstream::consumer::pull;
use fleetps_nats::{
    hosts::{self, Admission, HostRecord},
    server::Part,
    snapshot::{BadSnapshot, Encoder, MAX_PROCESSES, MAX_STRING_BYTES, Process},
    status::IngestorStatus,
    stream, subject,
};
use futures_util::StreamExt;

use crate::{
    publisher::{Publisher, assert_stored, snapshot},
    support::{Fixture, within},
};

/// Waits for a status for which `holds` is true.
pub async fn status_where(fixture: &Fixture, holds: impl Fn(&IngestorStatus) -> bool) -> IngestorStatus {
    let client = fixture.client(Part::Ingestor).await;
    let mut statuses = client.subscribe(subject::ALL_INGESTOR_STATUS).await.unwrap();
    within(async {
        loop {
            let status = IngestorStatus::from_message(&statuses.next().await.unwrap().payload).unwrap();
            if holds(&status) {
                return status;
            }
        }
    })
    .await
}

fn pack(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, 1).unwrap()
}

fn changed(change: impl FnOnce(&mut fleetps_nats::Snapshot)) -> Vec<u8> {
    let mut snapshot = snapshot("bad", 1);
    change(&mut snapshot);
    Encoder::new().unwrap().encode(&snapshot).unwrap()
}

/// Messages, and the short names of the reasons that they must be refused for.
fn corpus() -> Vec<(Vec<u8>, &'static str)> {
    // The largest that a map of named lists can claim, without having it.
    let huge_claim = [&[0x81, 0xa9][..], b"processes", &[0xdd, 0xff, 0xff, 0xff, 0xff]].concat();
    let bad_utf8 = [&[0x81, 0xa6][..], b"run_id", &[0xa2, 0xff, 0xfe]].concat();
    vec![
        (vec![], "not_a_snapshot"),
        (b"{\"json\": true}".to_vec(), "not_zstd"),
        (changed(|_| {})[..40].to_vec(), "not_zstd"),
        (pack(b""), "not_a_snapshot"),
        (pack(&[0xc1]), "not_a_snapshot"),
        (pack(&[0x93, 1, 2, 3]), "not_a_snapshot"),
        (pack(&[0xc3]), "not_a_snapshot"),
        (pack(&bad_utf8), "not_a_snapshot"),
        (pack(&huge_claim), "not_a_snapshot"),
        (pack(&[0x91; 100_000]), "not_a_snapshot"),
        (pack(&vec![0; 17 << 20]), "too_long_inside"),
        (changed(|snapshot| snapshot.format = 99), "unknown_format"),
        (changed(|snapshot| snapshot.captured_at_us = 253_402_300_799_000_000), "bad_time"),
        (changed(|snapshot| snapshot.captured_at_us = i64::MIN), "bad_time"),
        (changed(|snapshot| snapshot.processes[0].started_at_us = i64::MAX), "bad_time"),
        (changed(|snapshot| snapshot.sequence = u64::MAX), "bad_number"),
        (changed(|snapshot| snapshot.interval_ms = 0), "bad_number"),
        (changed(|snapshot| snapshot.host.cpu_percent = Some(f32::NAN)), "bad_number"),
        (changed(|snapshot| snapshot.run_id = String::new()), "bad_identifier"),
        (changed(|snapshot| snapshot.processes[1].pid = 1), "pid_twice"),
        (
            changed(|snapshot| snapshot.processes[0].name = "x".repeat(MAX_STRING_BYTES + 1)),
            "string_too_long",
        ),
        (
            changed(|snapshot| {
                snapshot.processes = (0..=MAX_PROCESSES as u32)
                    .map(|pid| Process { pid, state: 'S', ..Process::default() })
                    .collect();
            }),
            "too_many",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn rubbish_is_refused_and_the_next_message_is_unaffected() {
    let fixture = Fixture::start().await;
    let ingestor = fixture.ingestor(fixture.settings()).await;
    let jetstream = fixture.jetstream().await;
    let mut publisher = Publisher::new(jetstream.clone(), "good", "run");
    let mut expected = BTreeMap::new();
    for (message, reason) in corpus() {
        jetstream.publish("fleetps.bad.snapshot", message.into()).await.unwrap().await.unwrap();
        publisher.publish().await;
        *expected.entry(reason.to_owned()).or_insert(0_u64) += 1;
    }
    // A subject that no host may have.
    jetstream.publish("fleetps.ü.snapshot", "x".into()).await.unwrap().await.unwrap();
    *expected.entry("bad_subject".to_owned()).or_default() += 1;

    let refused = |status: &IngestorStatus| -> BTreeMap<String, u64> {
        status.refused.iter().filter(|(_, count)| *count > 0).cloned().collect()
    };
    let total = expected.values().sum::<u64>();
    let status = status_where(&fixture, |status| refused(status).values().sum::<u64>() == total).await;
    assert_eq!(refused(&status), expected);
    assert_eq!(status.refused.len(), BadSnapshot::REASONS.len());
    ingestor.stop().await;
    assert_stored(&fixture.history(), &[publisher]);

    let mut letters = BTreeMap::new();
    let dead = jetstream.get_stream(stream::DEAD_LETTERS).await.unwrap();
    let consumer = dead.create_consumer(pull::Config::default()).await.unwrap();
    let mut messages = consumer.fetch().max_messages(1000).messages().await.unwrap();
    while let Some(Ok(letter)) = messages.next().await {
        assert!(letter.headers.as_ref().unwrap().get("Fp-Refusal").is_some());
        *letters.entry(letter.subject.rsplit('.').next().unwrap().to_owned()).or_insert(0_u64) += 1;
    }
    assert_eq!(letters, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_with_long_headers_is_refused_unread_and_counted() {
    let fixture = Fixture::start().await;
    let ingestor = fixture.ingestor(fixture.settings()).await;
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-Msg-Id", "x".repeat(60_000));
    let bad = subject::snapshot(&"bad".parse().unwrap());
    let hosts = fixture.hosts().await;
    let sent = hosts.publish_with_headers(bad, headers, changed(|_| {}).into()).await.unwrap();
    sent.await.unwrap();
    let mut good = Publisher::new(hosts, "good", "run");
    good.publish().await;
    let long = ("long_headers".to_owned(), 1);
    status_where(&fixture, |status| status.read_sequence >= 2 && status.refused.contains(&long)).await;
    ingestor.stop().await;
    assert_stored(&fixture.history(), &[good]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_sends_after_it_was_revoked_is_refused_and_counted_also_what_is_in_the_stream_already() {
    let fixture = Fixture::start().await;
    let records = hosts::open(&fixture.client(Part::Api).await).await.unwrap();
    let names = ["bad", "gone"];
    for name in names {
        assert!(hosts::admit(&records, &name.parse().unwrap(), "UKEY").await.unwrap());
    }
    let jetstream = fixture.hosts().await;
    let mut publishers = names.map(|name| Publisher::new(jetstream.clone(), name, "run"));
    for publisher in &mut publishers {
        publisher.publish().await;
    }
    let was = records.get("bad").await.unwrap().unwrap();
    let revoked = HostRecord { admission: Admission::Revoked, ..was.value };
    assert!(records.update("bad", &revoked, was.revision).await.unwrap());
    hosts::forget(&records, &"gone".parse().unwrap()).await.unwrap();
    let allowed = publishers.each_ref().map(|publisher| publisher.ledger.clone());
    for publisher in &mut publishers {
        publisher.publish().await;
    }

    // Nothing has read any of it so far.
    let ingestor = fixture.ingestor(fixture.settings()).await;
    let counted = |count| ("revoked".to_owned(), count);
    status_where(&fixture, |status| status.read_sequence >= 4 && status.refused.contains(&counted(2))).await;
    let more = publishers[0].publish().await;
    status_where(&fixture, |status| status.read_sequence >= more && status.refused.contains(&counted(3)))
        .await;
    ingestor.stop().await;
    crate::publisher::assert_stored_entries(&fixture.history(), allowed.into_iter().flatten().collect());
}
