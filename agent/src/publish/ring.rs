//! Packed snapshots that the stream does not have yet: bounded in bytes, the oldest makes room, what is lost is counted.

use std::collections::VecDeque;

use bytes::Bytes;

/// A packed snapshot and its sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The agent's sequence.
    pub sequence: u64,
    /// The message.
    pub message: Bytes,
}

/// A queue of packed snapshots, bounded in bytes.
///
/// The law, which a property test states: whatever is pushed is in the ring, or was taken by [`Ring::confirm`], or is
/// counted in [`Ring::dropped`], exactly one of the three; the bytes held stay within the bound; the order is kept.
#[derive(Debug)]
pub struct Ring {
    waiting: VecDeque<Packed>,
    held_bytes: usize,
    max_bytes: usize,
    dropped: u64,
    /// The first entry is on its way to the stream: it may be stored already, so the next one makes room instead.
    front_is_in_flight: bool,
}

impl Ring {
    /// An empty ring that holds at most `max_bytes`.
    pub fn new(max_bytes: usize) -> Self {
        Self { waiting: VecDeque::new(), held_bytes: 0, max_bytes, dropped: 0, front_is_in_flight: false }
    }

    /// Adds the newest snapshot; the oldest that are not in flight make room. One that cannot fit at all is dropped.
    pub fn push(&mut self, packed: Packed) {
        let oldest = usize::from(self.front_is_in_flight);
        while self.held_bytes + packed.message.len() > self.max_bytes && self.waiting.len() > oldest {
            self.drop_at(oldest);
        }
        if self.held_bytes + packed.message.len() > self.max_bytes {
            self.dropped += 1;
            return;
        }
        self.held_bytes += packed.message.len();
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
            self.held_bytes -= packed.message.len();
        }
    }

    /// The snapshot in flight did not arrive, or nobody knows; it waits again.
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
            self.held_bytes -= packed.message.len();
            self.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Push(usize),
        Take,
        Confirm,
        Release,
        GiveUp,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0_usize..60).prop_map(Step::Push),
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
                    Step::Push(length) => {
                        pushed += 1;
                        ring.push(Packed { sequence: pushed, message: vec![0; length].into() });
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
                prop_assert!(bytes <= MAX_BYTES);
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
            ring.push(Packed { sequence, message: vec![0; 10].into() });
        }
        assert_eq!(ring.take_flight().map(|packed| packed.sequence), Some(1));
        ring.push(Packed { sequence: 4, message: vec![0; 10].into() });
        ring.confirm();
        assert_eq!(ring.take_flight().map(|packed| packed.sequence), Some(3));
        assert_eq!(ring.dropped(), 1);
    }
}
