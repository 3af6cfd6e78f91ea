//! Packed snapshots that the stream does not have yet. The ring is bounded in bytes and in the rate limit that they
//! cost, so that everything that waited is accepted when the broker is back. A full ring drops and counts the oldest.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use fleetps_nats::decode::RING_WORTH_BYTES;

/// A packed snapshot and its sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The agent's sequence.
    pub sequence: u64,
    /// The message.
    pub message: Bytes,
    /// When it was sampled, by [`crate::sample::since_boot`]; absent where it is not of the present.
    pub sampled_at: Option<Duration>,
    /// Its cost for readers, by [`fleetps_nats::decode::worth_bytes`].
    pub worth_bytes: usize,
}

/// A queue of packed snapshots, bounded in bytes and in worth.
///
/// The law, stated by a property test: each pushed snapshot is either in the ring, or was taken by [`Ring::confirm`],
/// or is counted in [`Ring::dropped`]; bytes and worth stay within their bounds; the order is kept.
#[derive(Debug)]
pub struct Ring {
    waiting: VecDeque<Packed>,
    held_bytes: usize,
    held_worth_bytes: usize,
    max_bytes: usize,
    dropped: u64,
    /// The first entry is on its way to the stream: it may be stored already, so the next one makes room instead.
    front_is_in_flight: bool,
}

impl Ring {
    /// An empty ring that holds at most `max_bytes`, and what costs readers [`RING_WORTH_BYTES`].
    pub fn new(max_bytes: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            held_bytes: 0,
            held_worth_bytes: 0,
            max_bytes,
            dropped: 0,
            front_is_in_flight: false,
        }
    }

    /// Adds the newest snapshot; the oldest that are not in flight make room. One that cannot fit at all is dropped.
    pub fn push(&mut self, packed: Packed) {
        let oldest = usize::from(self.front_is_in_flight);
        while !self.has_room_for(&packed) && self.waiting.len() > oldest {
            self.drop_at(oldest);
        }
        if !self.has_room_for(&packed) {
            self.dropped += 1;
            return;
        }
        self.held_bytes += packed.message.len();
        self.held_worth_bytes += packed.worth_bytes;
        self.waiting.push_back(packed);
    }

    /// The oldest snapshot, now in flight until it is confirmed or released.
    pub fn take_flight(&mut self) -> Option<Packed> {
        let front = self.waiting.front().cloned();
        self.front_is_in_flight = front.is_some();
        front
    }

    /// The stream has the snapshot in flight.
    pub fn confirm(&mut self) {
        if std::mem::take(&mut self.front_is_in_flight)
            && let Some(packed) = self.waiting.pop_front()
        {
            self.is_gone(&packed);
        }
    }

    /// The snapshot in flight did not arrive, or its fate is unknown; it waits again.
    pub fn release(&mut self) {
        self.front_is_in_flight = false;
    }

    /// The snapshot in flight can never be taken by the broker: it is dropped and counted.
    pub fn give_up(&mut self) {
        if std::mem::take(&mut self.front_is_in_flight) && !self.waiting.is_empty() {
            self.drop_at(0);
        }
    }

    /// Snapshots dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Snapshots waiting.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing is waiting.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Bytes held.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    fn drop_at(&mut self, position: usize) {
        if let Some(packed) = self.waiting.remove(position) {
            self.is_gone(&packed);
            self.dropped += 1;
        }
    }

    fn has_room_for(&self, packed: &Packed) -> bool {
        self.held_bytes + packed.message.len() <= self.max_bytes
            && self.held_worth_bytes + packed.worth_bytes <= RING_WORTH_BYTES
    }

    fn is_gone(&mut self, packed: &Packed) {
        self.held_bytes -= packed.message.len();
        self.held_worth_bytes -= packed.worth_bytes;
    }
}

#[cfg(test)]
mod tests {
    use fleetps_nats::{
        Snapshot,
        decode::{MessageDecoder, worth_bytes},
        reader::Delivered,
        snapshot::{Encoder, FORMAT, Process},
    };
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Push(usize, usize),
        Take,
        Confirm,
        Release,
        GiveUp,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0_usize..60, 0..RING_WORTH_BYTES / 3).prop_map(|(length, worth)| Step::Push(length, worth)),
            2 => Just(Step::Take),
            1 => Just(Step::Confirm),
            1 => Just(Step::Release),
            1 => Just(Step::GiveUp),
        ]
    }

    proptest! {
        #[test]
        fn what_is_pushed_is_held_or_confirmed_or_counted_and_order_and_bound_hold(
            steps in prop::collection::vec(step(), 0..200)
        ) {
            const MAX_BYTES: usize = 100;
            let mut ring = Ring::new(MAX_BYTES);
            let (mut pushed, mut confirmed) = (0_u64, Vec::new());
            let mut in_flight: Option<u64> = None;
            for step in steps {
                match step {
                    Step::Push(length, worth_bytes) => {
                        pushed += 1;
                        ring.push(Packed { sequence: pushed, message: vec![0; length].into(), sampled_at: None, worth_bytes });
                    }
                    Step::Take => {
                        let taken = ring.take_flight().map(|packed| packed.sequence);
                        prop_assert!(in_flight.is_none() || taken == in_flight, "what is in flight stays the first");
                        in_flight = taken;
                    }
                    Step::Confirm => {
                        ring.confirm();
                        confirmed.extend(in_flight.take());
                    }
                    Step::Release => {
                        ring.release();
                        in_flight = None;
                    }
                    Step::GiveUp => {
                        ring.give_up();
                        in_flight = None;
                    }
                }
                let held: Vec<u64> = ring.waiting.iter().map(|packed| packed.sequence).collect();
                let bytes: usize = ring.waiting.iter().map(|packed| packed.message.len()).sum();
                prop_assert_eq!(ring.held_bytes(), bytes);
                let worth: usize = ring.waiting.iter().map(|packed| packed.worth_bytes).sum();
                prop_assert!(bytes <= MAX_BYTES && worth <= RING_WORTH_BYTES);
                prop_assert!(held.is_sorted() && confirmed.is_sorted());
                prop_assert_eq!(pushed, held.len() as u64 + confirmed.len() as u64 + ring.dropped());
                prop_assert!(in_flight.is_none() || held.first() == in_flight.as_ref());
            }
        }
    }

    #[test]
    fn the_oldest_makes_room_but_never_the_one_in_flight() {
        let mut ring = Ring::new(30);
        for sequence in 1..=3 {
            ring.push(Packed { sequence, message: vec![0; 10].into(), sampled_at: None, worth_bytes: 10 });
        }
        assert_eq!(ring.take_flight().map(|packed| packed.sequence), Some(1));
        ring.push(Packed { sequence: 4, message: vec![0; 10].into(), sampled_at: None, worth_bytes: 10 });
        ring.confirm();
        assert_eq!(ring.take_flight().map(|packed| packed.sequence), Some(3));
        assert_eq!(ring.dropped(), 1);
    }

    /// A snapshot of `processes` that all look like each other, as far as `text` says nothing of their number.
    fn message(processes: u32, text: impl Fn(u32) -> String) -> Vec<u8> {
        let processes = (1..=processes).map(|pid| Process {
            pid,
            started_at_us: 1_700_000_000_000_000,
            name: "worker".to_owned(),
            command_line: Some(text(pid)),
            state: 'S',
            ..Process::default()
        });
        let snapshot = Snapshot {
            format: FORMAT,
            boot_id: "boot".to_owned(),
            run_id: "run".to_owned(),
            sequence: 1,
            captured_at_us: 1_700_000_001_000_000,
            interval_ms: 1000,
            processes: processes.collect(),
            ..Snapshot::default()
        };
        Encoder::new().unwrap().encode(&snapshot).unwrap()
    }

    #[test]
    fn all_that_a_full_ring_holds_is_taken_at_once() {
        let hosts = [
            ("a few processes", 3, message(3, |_| "x".to_owned())),
            ("kernel threads", 2_000, message(2_000, |_| String::new())),
            (
                "alike, with long command lines",
                200,
                message(200, |_| "/usr/bin/worker --mode=x ".repeat(100)),
            ),
            ("each another", 300, message(300, |pid| format!("{:x}", u128::from(pid).pow(4) * 0x9e37_79b9))),
        ];
        for (what, processes, message) in hosts {
            let mut ring = Ring::new(crate::publish::RING_BYTES);
            let worth_bytes = worth_bytes(&message, processes);
            let mut sequence = 0;
            while ring.dropped() == 0 {
                sequence += 1;
                ring.push(Packed {
                    sequence,
                    message: message.clone().into(),
                    sampled_at: None,
                    worth_bytes,
                });
            }
            let mut message_decoder = MessageDecoder::new(1 << 20).unwrap();
            let delivered = |payload| Delivered {
                sequence: 1,
                subject: "fleetps.a.snapshot".to_owned(),
                payload,
                header_bytes: 20,
                stored_at_us: 1_700_000_002_000_000,
                age_us: None,
                pending: 0,
            };
            println!("{what}: {} snapshots of {} bytes", ring.len(), message.len());
            while let Some(packed) = ring.take_flight() {
                let unpacked = message_decoder.decode(&delivered(packed.message));
                assert!(unpacked.is_ok(), "{what}: {:?} with {} to come", unpacked.err(), ring.len());
                ring.confirm();
            }
            // A flood of the same is cut.
            let cut =
                (0..200_000).any(|_| message_decoder.decode(&delivered(message.clone().into())).is_err());
            assert!(cut, "{what}");
        }
    }
}
