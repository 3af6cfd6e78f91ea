//! The gate for snapshots that come over HTTP, with a real broker: each is stored once, in order, whatever is killed.

use std::time::Duration;

use async_nats::{Client, jetstream};
use bytes::Bytes;
use fleetps::testing::gate::{BodyHash, Gate, Incoming, NotStored, Stored};
use fleetps_nats::{
    HostName, Snapshot,
    server::Part,
    snapshot::{BadSnapshot, Encoder, MAX_HEADER_BYTES},
    stream, subject,
};
use futures_util::FutureExt;

use crate::{
    hung::Hung,
    pipeline::broker,
    support::{PATIENCE, family, process, snapshot},
};

/// The rate limit of a host.
const BYTES_PER_S: u64 = 1 << 20;

/// The gate asks for a number from here on where the stream has nothing of the host.
const NO_SEQUENCE: u64 = 1 << 52;

fn host() -> HostName {
    "web-1.example.com".parse().unwrap()
}

/// A snapshot of this run and sequence, as a post of a host that says what came last.
fn incoming(run: &str, sequence: i64, after: u64) -> Incoming {
    let snapshot = Snapshot { run_id: run.to_owned(), ..snapshot(sequence, family()) };
    let (run, sequence) = (snapshot.run_id.clone(), snapshot.sequence);
    let message = Encoder::new().unwrap().encode(&snapshot).unwrap().into();
    Incoming { message, run, sequence, age: Some(Duration::from_millis(5)), body: None, after: Some(after) }
}

/// A post that has no sequence.
fn with_body(sequence: i64, body: &str) -> Incoming {
    Incoming { body: Some(BodyHash::of(body.as_bytes())), after: None, ..incoming("legacy", sequence, 0) }
}

/// Posts as an agent does: where the stream has nothing of the host, again with the number that the gate asks for.
async fn store(gate: &Gate, incoming: Incoming) -> Result<Stored, NotStored> {
    match post(gate, incoming.clone()).await {
        Err(NotStored::Unproven { after }) if after >= NO_SEQUENCE => {
            post(gate, Incoming { after: Some(after), ..incoming }).await
        }
        answer => answer,
    }
}

async fn post(gate: &Gate, incoming: Incoming) -> Result<Stored, NotStored> {
    let _entered = gate.enter(&host())?;
    tokio::time::timeout(PATIENCE, gate.store(&host(), incoming)).await.expect("the gate does not answer")
}

async fn stored(client: &Client) -> u64 {
    let stream = jetstream::new(client.clone()).get_stream(stream::SNAPSHOTS).await.unwrap();
    stream.cached_info().state.messages
}

#[tokio::test]
async fn a_snapshot_is_stored_once_also_by_a_gate_that_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = broker(folder.path()).await;
    let client = server.broker(Part::Api).connect("test").await.unwrap();
    let new = |sequence| Stored { sequence, is_repeat: false };
    let repeat = |sequence| Stored { sequence, is_repeat: true };
    let gate = Gate::new(client.clone(), BYTES_PER_S);
    assert_eq!(store(&gate, incoming("a", 1, 0)).await.unwrap(), new(1));
    assert_eq!(store(&gate, incoming("a", 1, 0)).await.unwrap(), repeat(1));
    // After a kill.
    let gate = Gate::new(client.clone(), BYTES_PER_S);
    assert_eq!(store(&gate, incoming("a", 1, 0)).await.unwrap(), repeat(1));
    assert_eq!(store(&gate, incoming("a", 2, 0)).await.unwrap(), new(2));
    // Another server beside it.
    let other = Gate::new(client.clone(), BYTES_PER_S);
    assert_eq!(store(&other, incoming("a", 3, 0)).await.unwrap(), new(3));
    assert_eq!(store(&gate, incoming("a", 3, 0)).await.unwrap(), repeat(3));
    assert_eq!(store(&gate, incoming("a", 4, 0)).await.unwrap(), new(4));
    assert_eq!(store(&other, incoming("a", 2, 0)).await.unwrap(), repeat(3));
    assert_eq!(store(&other, incoming("a", 5, 0)).await.unwrap(), new(5));
    assert_eq!(stored(&client).await, 5);
    server.stop().await;
}

#[tokio::test]
async fn a_recorded_post_of_an_earlier_run_is_never_taken_again() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = broker(folder.path()).await;
    let client = server.broker(Part::Api).connect("test").await.unwrap();
    let gate = Gate::new(client.clone(), BYTES_PER_S);
    let mut last = 0;
    for run in 0..20 {
        let first = incoming(&run.to_string(), 1, last);
        last = store(&gate, first).await.unwrap().sequence;
        last = store(&gate, incoming(&run.to_string(), 2, last)).await.unwrap().sequence;
    }
    for gate in [gate, Gate::new(client.clone(), BYTES_PER_S)] {
        for run in 0..20 {
            for sequence in [1, 2, 3] {
                let after = 2 * run;
                let answer = store(&gate, incoming(&run.to_string(), sequence, after)).await;
                match answer {
                    Ok(stored) if run >= 16 && sequence < 3 => assert!(stored.is_repeat),
                    Err(NotStored::Unproven { after }) if run < 16 => assert_eq!(after, last),
                    // Of a run that is known, its next is taken whenever it comes.
                    Ok(stored) if run >= 16 => last = stored.sequence,
                    other => panic!("{run} {sequence}: {other:?}"),
                }
            }
        }
        for run in 16..20 {
            store(&gate, incoming(&run.to_string(), 3, 0)).await.unwrap();
        }
    }
    assert_eq!(stored(&client).await, 44);
    server.stop().await;
}

#[tokio::test]
async fn once_the_stream_has_forgotten_a_host_a_recorded_run_is_not_taken_either() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = broker(folder.path()).await;
    let client = server.broker(Part::Api).connect("test").await.unwrap();
    let gate = Gate::new(client.clone(), BYTES_PER_S);
    let asked = async |gate: &Gate, after| match post(gate, incoming("a", 1, after)).await {
        Err(NotStored::Unproven { after }) => after,
        other => panic!("{other:?}"),
    };
    // Of an agent that knows of no message, and of one that was told to name this number.
    let recorded = [0, asked(&gate, 0).await];
    assert_eq!(asked(&gate, 0).await, recorded[1], "it holds until a snapshot is stored");
    let stored_at = post(&gate, incoming("a", 1, recorded[1])).await.unwrap().sequence;
    post(&gate, incoming("a", 2, stored_at)).await.unwrap();

    let stream = jetstream::new(client.clone()).get_stream(stream::SNAPSHOTS).await.unwrap();
    stream.purge().await.unwrap();
    let new_gate = Gate::new(client.clone(), BYTES_PER_S);
    for after in recorded {
        assert!(asked(&new_gate, after).await >= NO_SEQUENCE);
        // This gate still knows the run.
        assert!(post(&gate, incoming("a", 1, after)).await.unwrap().is_repeat);
    }
    assert_eq!(stored(&client).await, 0);
    // The run itself goes on at both.
    assert!(!store(&gate, incoming("a", 3, stored_at + 1)).await.unwrap().is_repeat);
    assert!(!store(&new_gate, incoming("a", 4, stored_at + 1)).await.unwrap().is_repeat);
    server.stop().await;
}

#[test]
fn a_sender_that_hangs_up_while_its_post_is_decoded_pays_for_it() {
    // What decodes runs on threads for such work. There is one, and the test keeps it busy.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(1).build();
    runtime.unwrap().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let (server, _) = broker(folder.path()).await;
        let client = server.broker(Part::Api).connect("test").await.unwrap();
        let gate = Gate::new(client.clone(), 16 << 10);
        store(&gate, incoming("a", 1, 0)).await.unwrap();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || ended.recv());
        // The allowance holds 896 KiB, and each costs 256 KiB.
        for _ in 0..4 {
            let answer = gate.store(&host(), incoming("a", 2, 0)).now_or_never();
            assert!(answer.is_none(), "it was not decoded: {answer:?}");
        }
        drop(end);
        busy.await.unwrap().unwrap_err();
        let refused = post(&gate, incoming("a", 2, 0)).await;
        assert!(matches!(refused, Err(NotStored::TooMuch { .. })), "{refused:?}");
        assert_eq!(stored(&client).await, 1);
        server.stop().await;
    });
}

#[tokio::test]
async fn a_host_has_four_posts_under_way_and_others_have_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = broker(folder.path()).await;
    let client = server.broker(Part::Api).connect("test").await.unwrap();
    let gate = Gate::new(client, BYTES_PER_S);
    let mut entered: Vec<_> = (0..4).map(|_| gate.enter(&host()).unwrap()).collect();
    for _ in 0..2 {
        let refused = gate.enter(&host()).unwrap_err();
        assert!(matches!(refused, NotStored::AtOnce), "{refused:?}");
    }
    gate.enter(&"web-2.example.com".parse().unwrap()).unwrap();
    gate.enter_unnamed().unwrap();
    entered.pop();
    gate.enter(&host()).unwrap();
    assert_eq!(gate.refused(), [("at-once", 2)].into());
    server.stop().await;
    assert!(matches!(gate.enter(&host()), Err(NotStored::Unavailable)));
    assert!(matches!(gate.enter_unnamed(), Err(NotStored::Unavailable)));
    assert_eq!(gate.refused(), [("at-once", 2), ("unavailable", 2)].into());
}

#[tokio::test]
async fn a_post_without_a_sequence_is_recognised_by_its_body() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = broker(folder.path()).await;
    let client = server.broker(Part::Api).connect("test").await.unwrap();
    let mut gate = Gate::new(client.clone(), BYTES_PER_S);
    for number in 1..=40 {
        let made = store(&gate, with_body(number, &number.to_string())).await.unwrap();
        assert_eq!((made.sequence, made.is_repeat), (number.unsigned_abs(), false));
        if number % 7 == 0 {
            gate = Gate::new(client.clone(), BYTES_PER_S);
        }
        for earlier in (number - 31).max(1)..=number {
            let repeat = store(&gate, with_body(1000, &earlier.to_string())).await.unwrap();
            assert_eq!((repeat.sequence, repeat.is_repeat), (earlier.unsigned_abs(), true));
        }
    }
    let stream = jetstream::new(client).get_stream(stream::SNAPSHOTS).await.unwrap();
    let last = stream.direct_get_last_for_subject(subject::snapshot(&host())).await.unwrap();
    let lengths = last.headers.iter().flat_map(|(name, values)| {
        values.iter().map(|value| AsRef::<str>::as_ref(name).len() + value.as_str().len())
    });
    let bytes: usize = lengths.sum();
    // Sequences of a stream that is years old have six digits more.
    assert!(bytes + 32 * 6 < MAX_HEADER_BYTES, "{bytes}");
    server.stop().await;
}

#[tokio::test]
async fn what_readers_would_not_take_is_not_stored() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = broker(folder.path()).await;
    let client = server.broker(Part::Api).connect("test").await.unwrap();
    let gate = Gate::new(client.clone(), BYTES_PER_S);
    let with = |message: Vec<u8>| Incoming { message: Bytes::from(message), ..incoming("a", 1, 0) };
    let rubbish = store(&gate, with(vec![7; 100])).await;
    assert!(matches!(rubbish, Err(NotStored::Invalid(BadSnapshot::NotZstd(_)))), "{rubbish:?}");
    let long = store(&gate, with(vec![7; (1 << 20) + 1])).await;
    assert!(matches!(long, Err(NotStored::Invalid(BadSnapshot::TooLong(_)))), "{long:?}");
    let other = Incoming { sequence: 2, ..incoming("a", 1, 0) };
    assert!(matches!(store(&gate, other).await, Err(NotStored::Mislabelled)));
    let other = Incoming { run: "b".to_owned(), ..incoming("a", 1, 0) };
    assert!(matches!(store(&gate, other).await, Err(NotStored::Mislabelled)));
    assert_eq!(stored(&client).await, 0);
    server.stop().await;
    assert!(matches!(gate.enter(&host()), Err(NotStored::Unavailable)));
}

#[tokio::test]
async fn a_flood_is_cut_where_readers_would_cut_it_also_by_a_gate_that_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = broker(folder.path()).await;
    let client = server.broker(Part::Api).connect("test").await.unwrap();
    let texts = || {
        (1..=1000).map(|pid| fleetps_nats::snapshot::Process {
            command_line: Some(format!("{:x}{:x}", fastrand::u128(..), fastrand::u128(..))),
            ..process(pid, 0, "loud")
        })
    };
    let loud = |sequence| {
        let snapshot = snapshot(sequence, texts().collect());
        let message = Encoder::new().unwrap().encode(&snapshot).unwrap().into();
        Incoming { message, ..incoming("run", sequence, 0) }
    };
    let (bytes_per_s, mut taken) = (16 << 10, 0);
    let gate = Gate::new(client.clone(), bytes_per_s);
    let refused = loop {
        match store(&gate, loud(taken + 1)).await {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    let NotStored::TooMuch { retry_after } = refused else { panic!("{refused:?}") };
    assert!((1..=30).contains(&retry_after.as_secs()), "{retry_after:?}");
    let again = store(&Gate::new(client.clone(), bytes_per_s), loud(taken + 1)).await;
    assert!(matches!(again, Err(NotStored::TooMuch { .. })), "{again:?}");
    // No reader refuses what was taken.
    let mut decoder = fleetps_nats::decode::MessageDecoder::new(bytes_per_s).unwrap();
    let start = fleetps_nats::reader::Start::Sequence(1);
    let mut reader = fleetps_nats::reader::SnapshotReader::new(jetstream::new(client), start, None);
    for _ in 0..taken {
        let delivery = tokio::time::timeout(PATIENCE, reader.next()).await.unwrap();
        let fleetps_nats::reader::Delivery::Message(delivered) = delivery else { panic!("{delivery:?}") };
        decoder.decode(&delivered).unwrap();
    }
    server.stop().await;
}

#[tokio::test]
async fn what_a_broker_that_hangs_takes_later_is_not_stored_again() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = broker(folder.path()).await;
    let client = server.broker(Part::Api).connect("test").await.unwrap();
    let gate = Gate::new(client.clone(), BYTES_PER_S);
    store(&gate, incoming("a", 1, 0)).await.unwrap();
    let hung = Hung::new(server.pid());
    let unanswered = store(&gate, incoming("a", 2, 0)).await;
    assert!(matches!(unanswered, Err(NotStored::Unavailable)), "{unanswered:?}");
    drop(hung);
    let again = async {
        loop {
            match store(&gate, incoming("a", 2, 0)).await {
                Ok(stored) => return stored,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    assert_eq!(tokio::time::timeout(PATIENCE, again).await.unwrap().sequence, 2);
    assert_eq!(stored(&client).await, 2);
    server.stop().await;
}
