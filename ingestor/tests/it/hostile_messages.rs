//! Messages that no agent sends: each is refused with a reason, or is a snapshot that an agent could have sent.

use std::collections::BTreeMap;

use fastrand::Rng;
use fleetps_nats::snapshot::{BadSnapshot, Decoder, Encoder, Process, Snapshot};

use crate::chance::{rounds, seeds};

const NOW_US: i64 = 1_795_000_000_000_000;
/// A seed's messages; one in eight is taken, the others are refused for seven reasons or more.
const MESSAGES_PER_SEED: usize = 4000;

/// A snapshot of a few processes, packed but not compressed.
fn packed(rng: &mut Rng) -> Vec<u8> {
    let process = |pid: u32| Process {
        pid,
        started_at_us: NOW_US - 1000,
        name: "postgres: writer".repeat(usize::from(rng.u8(0..3))),
        command_line: Some("postgres -D /data".to_owned()),
        state: 'S',
        cpu_percent: Some(12.5),
        resident_bytes: Some(1 << 33),
        ..Process::default()
    };
    let snapshot = Snapshot {
        format: 1,
        boot_id: "boot".to_owned(),
        run_id: "run".to_owned(),
        sequence: 7,
        captured_at_us: NOW_US,
        interval_ms: 10_000,
        processes: (1..5).map(process).collect(),
        ..Snapshot::default()
    };
    let mut encoder = Encoder::new().unwrap();
    let message = encoder.encode(&snapshot).unwrap();
    zstd::bulk::decompress(&message, 1 << 20).unwrap()
}

/// Where the values of a MessagePack message begin, in order; lists and maps before what is in them.
fn places(packed: &[u8]) -> Vec<usize> {
    let (mut places, mut at) = (Vec::new(), 0);
    while at < packed.len() {
        places.push(at);
        at += length_of_one(&packed[at..]);
    }
    places
}

/// The bytes of the value that begins here; for a list or map, of its head.
fn length_of_one(packed: &[u8]) -> usize {
    match packed[0] {
        text @ 0xa0..=0xbf => 1 + usize::from(text & 0x1f),
        0xc4 | 0xd9 => 2 + usize::from(packed[1]),
        0xcc | 0xd0 => 2,
        0xcd | 0xd1 | 0xdc | 0xde => 3,
        0xca | 0xce | 0xd2 | 0xdd | 0xdf => 5,
        0xcb | 0xcf | 0xd3 => 9,
        _ => 1,
    }
}

/// Something else in the place of a value.
fn another_value(rng: &mut Rng) -> Vec<u8> {
    match rng.u8(0..13) {
        0 => vec![0xc0],
        1 => vec![0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        2 => vec![0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0],
        3 => [vec![0xcb], f64::NAN.to_be_bytes().to_vec()].concat(),
        4 => [vec![0xca], f32::NEG_INFINITY.to_be_bytes().to_vec()].concat(),
        // A list, map, text, and binary that claim four thousand million entries.
        5 => vec![0xdd, 0xff, 0xff, 0xff, 0xff],
        6 => vec![0xdf, 0xff, 0xff, 0xff, 0xff],
        7 => vec![0xdb, 0xff, 0xff, 0xff, 0xff],
        8 => vec![0xc6, 0xff, 0xff, 0xff, 0xff],
        // Not UTF-8.
        9 => vec![0xa4, 0xff, 0xc0, 0x80, 0xed],
        // Lists in lists: 100,000 of them overflow a stack that follows them.
        10 => vec![0x91; [20, 1000, 100_000][rng.usize(0..3)]],
        // More entries than a snapshot may have.
        11 => [vec![0xdd, 0, 0, 0x4e, 0x21], vec![0xc0; 20_001]].concat(),
        _ => (0..rng.usize(1..40)).map(|_| rng.u8(..)).collect(),
    }
}

/// A field that no version knows, to be skipped with any value.
fn add_field(packed: &mut Vec<u8>, rng: &mut Rng) {
    // The head of the message: a map of up to 15 fields.
    if let head @ 0x80..=0x8f = packed[0] {
        let field = [vec![0xde, 0, (head & 0x0f) + 1, 0xa2, b'z', b'z'], another_value(rng)].concat();
        packed.splice(0..1, field);
    }
}

/// One to three changes: another value, another byte, a value less or twice, one more field, or a cut.
fn changed(mut packed: Vec<u8>, rng: &mut Rng) -> Vec<u8> {
    for _ in 0..rng.usize(1..4) {
        let places = places(&packed);
        let at = places[rng.usize(0..places.len())];
        let end = (at + length_of_one(&packed[at..])).min(packed.len());
        match rng.u8(0..20) {
            0..=5 => drop(packed.splice(at..end, another_value(rng))),
            6..=8 => packed[at] = rng.u8(..),
            9 | 10 => drop(packed.drain(at..end)),
            11 | 12 => {
                let value = packed[at..end].to_vec();
                packed.splice(at..at, value);
            }
            13..=18 => add_field(&mut packed, rng),
            _ => packed.truncate(at.max(1)),
        }
        if packed.is_empty() || length_of_one_is_beyond(&packed) {
            break;
        }
    }
    packed
}

/// Whether a value reaches beyond the message, so that its values cannot be walked through again.
fn length_of_one_is_beyond(packed: &[u8]) -> bool {
    let mut at = 0;
    while at < packed.len() {
        if matches!(packed[at], 0xc4 | 0xd9) && at + 1 >= packed.len() {
            return true;
        }
        at += length_of_one(&packed[at..]);
    }
    at > packed.len()
}

/// The bytes as a message: compressed, sometimes badly, or `bomb` instead.
fn message_of(packed: &[u8], bomb: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut message = zstd::bulk::compress(packed, 1).unwrap();
    match rng.u8(0..40) {
        0 => message = packed.to_vec(),
        1 => message = bomb.to_vec(),
        2 => message.truncate(rng.usize(0..message.len())),
        3 => {
            let at = rng.usize(0..message.len());
            message[at] ^= 1 << rng.u8(0..8);
        }
        4 => message.resize(1_100_000, 0),
        _ => {}
    }
    message
}

#[test]
fn hostile_messages_are_refused_with_a_reason_or_are_snapshots_that_could_have_been_sent() {
    let (mut decoder, mut encoder) = (Decoder::new().unwrap(), Encoder::new().unwrap());
    let bomb = zstd::bulk::compress(&vec![0x91; 32 << 20], 1).unwrap();
    let mut counts = BTreeMap::<&str, usize>::new();
    for seed in seeds(1) {
        let mut rng = Rng::with_seed(seed);
        for _ in 0..MESSAGES_PER_SEED {
            let message = message_of(&changed(packed(&mut rng), &mut rng), &bomb, &mut rng);
            match decoder.decode(&message, NOW_US) {
                Err(refusal) => *counts.entry(refusal.reason()).or_default() += 1,
                Ok(snapshot) => {
                    let again = encoder.encode(&snapshot).unwrap();
                    assert_eq!(decoder.decode(&again, NOW_US).unwrap(), snapshot);
                    *counts.entry("taken").or_default() += 1;
                }
            }
        }
    }
    eprintln!("{} messages: {counts:?}", rounds(MESSAGES_PER_SEED));
    assert!(counts.keys().all(|reason| *reason == "taken" || BadSnapshot::REASONS.contains(reason)));
    assert!(counts.len() >= 8, "this is to meet most of the reasons there are: {counts:?}");
}
