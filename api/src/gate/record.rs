//! What came last of a host: in memory, and in the headers of each message that the gate publishes.
//!
//! `Fp-Runs` has the host's last runs, the latest first, each as the beginning of its hash, a dot and its highest sequence, in
//! hexadecimal. `Fp-Bodies` has the last bodies in the same way, with the sequence in the stream; the first is the message's own,
//! whose sequence in the stream nobody knows yet when it is published. `Fp-Left` is what the host may still send, in bytes.
//! Together they take at most 700 of the 1,024 bytes that headers may have.

use async_nats::jetstream::message::StreamMessage;
use data_encoding::BASE64URL_NOPAD;
use fleetps_nats::decode::Allowance;
use sha2::{Digest, Sha256};

use super::{Incoming, NotStored, Stored};

const RUNS_HEADER: &str = "Fp-Runs";
const BODIES_HEADER: &str = "Fp-Bodies";
const LEFT_HEADER: &str = "Fp-Left";
/// Runs remembered of a host: it has one at a time, and two machines that share a key have two.
const MAX_RUNS: usize = 4;
/// Bodies remembered of a host: what an agent sends again after a minute without an answer.
const MAX_BODIES: usize = 32;
/// Bytes of a hash that are kept: only the host itself could make two that are the same.
const HASH_BYTES: usize = 6;

/// From here on a number is no sequence of the stream, which at a billion messages a day comes here in 12,000 years. Numbers of
/// twice this are exact in every JSON reader.
const NO_SEQUENCE: u64 = 1 << 52;

/// The beginning of the SHA-256 of something.
type ShortHash = [u8; HASH_BYTES];

/// The hash of a post, by which a repeat is recognised where the post has no sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyHash(ShortHash);

impl BodyHash {
    /// The hash of `body`.
    pub fn of(body: &[u8]) -> Self {
        Self(short_hash(body))
    }
}

/// A hash, and a number that goes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    hash: ShortHash,
    /// A run's highest sequence, or the sequence in the stream of the message that was made from a body.
    number: u64,
}

/// What came last of a host.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Last {
    /// The sequence in the stream of the host's last message; 0 where there is none.
    pub(super) sequence: u64,
    /// What the first snapshot of a run must name: `sequence`, or where there is none, a number that only this gate knows.
    proof: u64,
    /// What the host may still send.
    pub(super) allowance: Allowance,
    /// The latest first.
    runs: Vec<Seen>,
    /// The latest first.
    bodies: Vec<Seen>,
}

impl Last {
    /// Nothing came yet, or the stream has removed it. Only `random` then tells a post that is signed now from one that was
    /// recorded when nothing had come yet either.
    pub(super) fn none(allowance: Allowance, random: u64) -> Self {
        let proof = NO_SEQUENCE + random % NO_SEQUENCE;
        Self { sequence: 0, proof, allowance, runs: Vec::new(), bodies: Vec::new() }
    }

    /// What the host's last `message` says; `full` is the allowance of a host whose message says nothing of it.
    pub(super) fn of(message: &StreamMessage, full: Allowance) -> Self {
        let header = |name| message.headers.get(name).map_or("", |value| value.as_str());
        let stored_at_us = i64::try_from(message.time.unix_timestamp_nanos() / 1000).unwrap_or(full.at_us);
        let left = header(LEFT_HEADER).parse::<i64>().ok();
        let allowance = left.map_or(full, |left| Allowance { left_bytes: left as f64, at_us: stored_at_us });
        let sequence = message.sequence;
        let runs = read(header(RUNS_HEADER), 0).take(MAX_RUNS).collect();
        let bodies = read(header(BODIES_HEADER), sequence).take(MAX_BODIES).collect();
        Self { sequence, proof: sequence, allowance, runs, bodies }
    }

    /// The answer to a snapshot that is not to be stored after this: it came before, or its run is not known and it does not
    /// name the host's last message, or what it must name where there is none.
    pub(super) fn answer(&self, incoming: &Incoming) -> Option<Result<Stored, NotStored>> {
        if let Some(sequence) = self.repeated(incoming) {
            return Some(Ok(Stored { sequence, is_repeat: true }));
        }
        let is_proven = incoming.after.is_none_or(|after| after == self.proof);
        let is_taken = is_proven || self.run_of(incoming).is_some();
        (!is_taken).then_some(Err(NotStored::Unproven { after: self.proof }))
    }

    /// The sequence in the stream of a snapshot that came before.
    fn repeated(&self, incoming: &Incoming) -> Option<u64> {
        if let Some(BodyHash(hash)) = incoming.body {
            return Some(self.bodies.iter().find(|body| body.hash == hash)?.number);
        }
        let run = self.run_of(incoming)?;
        (incoming.sequence <= run.number).then_some(self.sequence)
    }

    fn run_of(&self, incoming: &Incoming) -> Option<&Seen> {
        let hash = short_hash(incoming.run.as_bytes());
        self.runs.iter().find(|run| run.hash == hash)
    }

    /// Takes note of a snapshot that the stream has at `sequence` now.
    pub(super) fn stored(&mut self, incoming: &Incoming, sequence: u64) {
        (self.sequence, self.proof) = (sequence, sequence);
        self.take(incoming, sequence);
    }

    fn take(&mut self, incoming: &Incoming, sequence: u64) {
        let run = Seen { hash: short_hash(incoming.run.as_bytes()), number: incoming.sequence };
        put_first(&mut self.runs, run, MAX_RUNS);
        if let Some(BodyHash(hash)) = incoming.body {
            put_first(&mut self.bodies, Seen { hash, number: sequence }, MAX_BODIES);
        }
    }

    /// The headers of the message of `incoming`, which comes after all of this.
    pub(super) fn headers_with(&self, incoming: &Incoming) -> Vec<(&'static str, String)> {
        let mut with = self.clone();
        with.take(incoming, 0);
        let mut headers = vec![
            (RUNS_HEADER, written(&with.runs)),
            (LEFT_HEADER, (with.allowance.left_bytes as i64).to_string()),
        ];
        if !with.bodies.is_empty() {
            headers.push((BODIES_HEADER, written(&with.bodies)));
        }
        headers
    }
}

fn short_hash(bytes: &[u8]) -> ShortHash {
    let hash = Sha256::digest(bytes);
    std::array::from_fn(|place| hash[place])
}

fn put_first(list: &mut Vec<Seen>, first: Seen, most: usize) {
    list.retain(|seen| seen.hash != first.hash);
    list.insert(0, first);
    list.truncate(most);
}

fn written(list: &[Seen]) -> String {
    let one = |seen: &Seen| format!("{}.{:x}", BASE64URL_NOPAD.encode(&seen.hash), seen.number);
    list.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// Reads what [`written`] wrote; a number of 0 is `own`. What cannot be read is left out: agents may send any header.
fn read(text: &str, own: u64) -> impl Iterator<Item = Seen> {
    text.split(' ').filter_map(move |one| {
        let (hash, number) = one.split_once('.')?;
        let hash = BASE64URL_NOPAD.decode(hash.as_bytes()).ok()?.try_into().ok()?;
        let number = u64::from_str_radix(number, 16).ok()?;
        Some(Seen { hash, number: if number == 0 { own } else { number } })
    })
}
