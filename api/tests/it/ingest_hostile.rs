//! What a hostile host, and somebody who is none, may post: each is refused by name, and nobody else notices.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use fastrand::Rng;
use fleetps_agent::server::Answer;
use fleetps_nats::{
    admission::{AdmissionSettings, Enrolled},
    key,
    signed::{self, Label, SignedRequest},
};

use crate::{
    chance::{chance, rounds},
    ingest::{World, blocking, enrol, packed, post, session, until},
    support::PATIENCE,
};

/// A request as it goes over the wire.
struct Raw {
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Raw {
    /// A snapshot of `host` in `body`, signed with the key of `signer`.
    fn of(world: &World, host: &str, signer: &str, sequence: u64, body: Vec<u8>) -> Self {
        let key = key::read(&world.key_file(signer)).unwrap();
        let label = Label { run: "raw".to_owned(), sequence, age: None, after: 0 };
        let signed = SignedRequest::new(signed::INGEST, &host.parse().unwrap(), &key, Some(label), &body);
        Self { headers: signed.sign(&key).unwrap(), body }
    }

    fn head(&self, length: usize) -> String {
        let headers = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        let headers: String = headers.collect();
        let first = format!("POST {} HTTP/1.1\r\nhost: localhost\r\n", signed::INGEST);
        format!("{first}connection: close\r\ncontent-length: {length}\r\n{headers}\r\n")
    }

    /// The status of the answer, and all of it.
    async fn send(&self, address: SocketAddr) -> (u16, String) {
        self.send_with(address, self.body.len()).await
    }

    /// The same, with another length in its head.
    async fn send_with(&self, address: SocketAddr, length: usize) -> (u16, String) {
        let (head, body) = (self.head(length), self.body.clone());
        blocking(move || {
            let mut socket = connect(address);
            socket.write_all(head.as_bytes()).unwrap();
            // The server may have answered and closed already.
            let _ = socket.write_all(&body);
            answer(&mut socket)
        })
        .await
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn answer(socket: &mut TcpStream) -> (u16, String) {
    let mut said = Vec::new();
    let _ = socket.read_to_end(&mut said);
    let said = String::from_utf8_lossy(&said).into_owned();
    let status = said.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no answer: {said:?}")), said)
}

/// A frame of zstd that is small and decompresses to this many blocks of 128 KiB: each says one byte and how often it comes.
fn bomb(blocks: u32) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x70];
    for block in 1..=blocks {
        let header = (128 << 10) << 3 | 1 << 1 | u32::from(block == blocks);
        frame.extend(&header.to_le_bytes()[..3]);
        frame.push(0xc0);
    }
    frame
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_not_the_key_of_a_host_posts_nothing_for_it() {
    let world = World::start(AdmissionSettings::default()).await;
    let good = world.admitted("good").await;
    let bad = world.admitted("bad").await;
    let message = || packed("raw", 7).to_vec();
    for (host, signer) in [("good", "bad"), ("good", "stranger"), ("nobody", "bad"), ("nobody", "stranger")] {
        let (status, said) = Raw::of(&world, host, signer, 7, message()).send(world.address).await;
        assert_eq!(status, 401, "{host} by {signer}: {said}");
        assert!(said.contains("this key does not speak for this host"), "{said}");
    }
    // The name of one key and the signature of another.
    let mut forged = Raw::of(&world, "good", "bad", 7, message());
    let honest = Raw::of(&world, "good", "good", 7, message());
    forged.headers[1] = honest.headers[1].clone();
    let (status, said) = forged.send(world.address).await;
    assert_eq!(status, 401, "{said}");
    // Unsigned.
    let unsigned = Raw { headers: Vec::new(), body: message() };
    let (status, said) = unsigned.send(world.address).await;
    assert!(status == 401 || status == 403, "{said}");
    // Another body than the one that was signed.
    let other = Raw { headers: honest.headers, body: packed("raw", 8).to_vec() };
    assert_eq!(other.send(world.address).await.0, 401);
    for session in [good, bad] {
        assert_eq!(post(&session, "run", 1).await, Answer::Taken);
    }
    let shown = world.get("/api/v1/hosts").await;
    assert!(!shown.contains("nobody"), "{shown}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_bit_anywhere_is_refused_and_never_a_fault_of_the_server() {
    let world = World::start(AdmissionSettings::default()).await;
    let session = world.admitted("web-1").await;
    let mut rng = chance();
    for _ in 0..rounds(300) {
        let mut raw = Raw::of(&world, "web-1", "web-1", 7, packed("raw", 7).to_vec());
        flip(&mut raw, &mut rng);
        let (status, said) = raw.send(world.address).await;
        // After many wrong signatures, no more of them are looked at for a while.
        assert!(matches!(status, 400 | 401 | 429), "{:?}: {said}", raw.headers);
    }
    until("it is heard again", async || post(&session, "run", 1).await == Answer::Taken).await;
    world.stop().await;
}

/// Changes one bit of a header's value or of the body, so that it stays a request.
fn flip(raw: &mut Raw, rng: &mut Rng) {
    let place = rng.usize(..=raw.headers.len());
    let Some((_, value)) = raw.headers.get_mut(place) else {
        let place = rng.usize(..raw.body.len());
        raw.body[place] ^= 1 << rng.u8(..8);
        return;
    };
    let mut bytes = value.clone().into_bytes();
    let place = rng.usize(..bytes.len());
    let before = bytes[place];
    while bytes[place] == before || !bytes[place].is_ascii_graphic() {
        bytes[place] = before ^ 1 << rng.u8(..7);
    }
    *value = String::from_utf8(bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_or_no_snapshot_is_refused_by_its_reason() {
    let world = World::start(AdmissionSettings::default()).await;
    let session = world.admitted("web-1").await;
    let send = async |body: Vec<u8>| Raw::of(&world, "web-1", "web-1", 7, body).send(world.address).await;
    assert_eq!(post(&session, "raw", 1).await, Answer::Taken);
    // Nothing of it is read: none is sent.
    let long = Raw::of(&world, "web-1", "web-1", 7, Vec::new());
    assert_eq!(long.send_with(world.address, 16 << 20).await.0, 413);
    assert_eq!(send(vec![7; 16 << 20]).await.0, 413);
    for (body, reason) in [
        (bomb(200), "too_long_inside"),
        (bomb(2), "not_a_snapshot"),
        (b"not a snapshot".to_vec(), "not_zstd"),
        (Vec::new(), "not_a_snapshot"),
        (packed("raw", 8).to_vec(), "mislabelled"),
    ] {
        let (status, said) = send(body).await;
        assert_eq!(status, 422, "{reason}: {said}");
        assert!(said.contains(&format!("\"reason\":\"{reason}\"")), "{reason}: {said}");
    }
    assert_eq!(post(&session, "run", 1).await, Answer::Taken);
    let ready = world.get("/readyz").await;
    assert!(ready.contains(r#""too_long_inside":1"#), "{ready}");
    // As of a host that speaks with the broker.
    let dead = async_nats::jetstream::new(world.client.clone()).get_stream("DEAD").await.unwrap();
    let letter = dead.get_last_raw_message_by_subject("fleetps-dead.web-1.too_long_inside").await.unwrap();
    assert_eq!(letter.payload, bomb(200));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_never_come_take_the_places_of_their_own_host_only() {
    let world = World::start(AdmissionSettings::default()).await;
    let (slow, quick) = (world.admitted("slow").await, world.admitted("quick").await);
    let raw = Raw::of(&world, "slow", "slow", 7, packed("raw", 7).to_vec());
    let head = raw.head(raw.body.len());
    let mut sockets: Vec<_> = (0..4).map(|_| connect(world.address)).collect();
    for socket in &mut sockets {
        socket.write_all(head.as_bytes()).unwrap();
        socket.write_all(&raw.body[..1]).unwrap();
    }
    let mut refused = String::new();
    until("its places are taken", async || {
        let (status, said) = raw.send(world.address).await;
        refused = said;
        status == 429
    })
    .await;
    assert!(refused.contains("retry-after: "), "{refused}");
    // Strangers have no place at all.
    let stranger = Raw::of(&world, "slow", "quick", 7, raw.body.clone());
    let mut strangers: Vec<_> = (0..40).map(|_| connect(world.address)).collect();
    for socket in &mut strangers {
        socket.write_all(stranger.head(raw.body.len()).as_bytes()).unwrap();
    }
    for sequence in 1..=10 {
        assert_eq!(post(&quick, "run", sequence).await, Answer::Taken);
    }
    drop(sockets);
    until("its places are free", async || post(&slow, "run", 1).await == Answer::Taken).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_new_names_leave_no_record_or_as_many_as_may_wait_and_keep_nobody_out() {
    for approve in [false, true] {
        let world = World::start(AdmissionSettings { approve, ..AdmissionSettings::default() }).await;
        let known = world.admitted("known").await;
        let names = rounds(500);
        let mut sequence = 0;
        for number in 0..names {
            // One key for all: what counts are the names.
            let url = format!("http://{}", world.address);
            let session = session(&url, &format!("new-{number}"), &world.key_file("new"));
            let state = enrol(&session, None).await;
            let is_expected = match approve {
                false => state == Enrolled::Refused,
                true => matches!(state, Enrolled::Waiting | Enrolled::Undecided),
            };
            assert!(is_expected, "{number}: {state:?}");
            if number % 100 == 0 {
                sequence += 1;
                assert_eq!(post(&known, "run", sequence).await, Answer::Taken);
            }
        }
        let records = fleetps_nats::hosts::open(&world.client).await.unwrap().all().await.unwrap();
        let new = records.iter().filter(|(name, _)| name.starts_with("new-")).count();
        match approve {
            false => assert_eq!(new, 0),
            true => assert!((200..=256).contains(&new), "{new}"),
        }
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_post_is_a_repeat_or_refused_whenever_it_is_sent_again() {
    let world = World::start(AdmissionSettings::default()).await;
    let session = world.admitted("web-1").await;
    let recorded = Raw::of(&world, "web-1", "web-1", 7, packed("raw", 7).to_vec());
    // The probe of its admission came first.
    assert_eq!(recorded.send(world.address).await.0, 409);
    assert_eq!(post(&session, "raw", 7).await, Answer::Taken);
    for round in 1..=6 {
        let (status, said) = recorded.send(world.address).await;
        let is_repeat = status == 202 && said.contains("\"duplicate\":true");
        assert!(is_repeat || status == 409, "{said}");
        assert_eq!(post(&session, &format!("run-{round}"), 1).await, Answer::Taken);
    }
    assert_eq!(recorded.send(world.address).await.0, 409, "its run is forgotten");
    tokio::time::timeout(Duration::from_secs(60), world.stop()).await.unwrap();
}
