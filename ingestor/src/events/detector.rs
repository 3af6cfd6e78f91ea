//! Decides, message by message, what happened.

use std::collections::{BTreeSet, HashMap};

use fleetps_nats::{HostName, Snapshot, snapshot::Process};

use super::{
    Event, EventKind, EventPlace, StreamClock,
    host::{KnownHost, between},
    interner::Interner,
    life::lives,
    loops::Loops,
};

/// A host that was silent for so long is forgotten: when it sends again, it is a new one. In ms.
pub(crate) const FORGET_AFTER_MS: i64 = 30 * 24 * 3_600_000;

/// Where a message stands in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessagePlace {
    /// When the numbering began, in s since 1970 UTC.
    pub epoch_s: i64,
    /// Its sequence.
    pub sequence: u64,
    /// When the broker took it, in µs since 1970 UTC.
    pub stored_at_us: i64,
}

/// Decides what happened: a function of the messages of the stream, in their order, and of nothing else.
#[derive(Debug, Default)]
pub struct Detector {
    clock: StreamClock,
    hosts: HashMap<HostName, KnownHost>,
    interner: Interner,
    loops: Loops,
    /// When each host that is not silent falls silent, and when a silent one is forgotten; in ms by the broker's clock.
    deadlines: BTreeSet<(i64, HostName)>,
    deadline_of: HashMap<HostName, i64>,
}

impl Detector {
    /// What `snapshot` of `host`, the message at `place`, decides.
    pub fn snapshot(&mut self, place: MessagePlace, host: &HostName, snapshot: &Snapshot) -> Vec<Event> {
        let mut events = self.time(place);
        let stored_ms = place.stored_at_us.div_euclid(1000);
        let before = self.hosts.remove(host);
        let none = KnownHost::default();
        let now = KnownHost::of(snapshot, stored_ms, before.as_ref().unwrap_or(&none), &mut self.interner);
        if let Some(before) = &before {
            events.extend(between(host, before, &now, snapshot));
        }
        self.expect(host, self.deadline_ms(&now));
        self.hosts.insert(host.clone(), now);
        self.finish(place, events)
    }

    /// What a message without a new snapshot decides, such as a tick: only that time has passed.
    pub fn tick(&mut self, place: MessagePlace) -> Vec<Event> {
        let events = self.time(place);
        self.finish(place, events)
    }

    /// The time of the stream.
    pub fn clock(&self) -> StreamClock {
        self.clock
    }

    /// Goes on from `hosts` as they were at `clock`.
    pub(crate) fn restore(&mut self, clock: StreamClock, hosts: HashMap<HostName, KnownHost>) {
        (self.clock, self.hosts) = (clock, hosts);
        self.expect_all();
    }

    /// Gives a host that is restored the processes of its last snapshot.
    pub(crate) fn set_lives(&mut self, known: &mut KnownHost, processes: &[Process]) {
        known.lives = lives(processes, &HashMap::new(), &mut self.interner);
    }

    /// Takes note of an event that was decided before, of the last [`super::LOOP_WINDOW_MS`].
    pub(crate) fn replay(&mut self, event: &Event) {
        self.loops.replay(event);
    }

    /// Takes note of a loop that began before these events and has had so many `lives` since.
    pub(crate) fn replay_loop(&mut self, begun: &Event, lives: u32) {
        self.loops.set_lives(begun, lives);
    }

    /// What happened by the time of a message.
    fn time(&mut self, place: MessagePlace) -> Vec<Event> {
        if self.clock.advance(place.stored_at_us.div_euclid(1000)) {
            self.expect_all();
        }
        let now_ms = self.clock.now_ms.unwrap_or_default();
        let mut events = Vec::new();
        while let Some((deadline_ms, host)) = self.deadlines.first().cloned().filter(|(ms, _)| *ms < now_ms) {
            self.deadlines.remove(&(deadline_ms, host.clone()));
            self.deadline_of.remove(&host);
            events.extend(self.pass_deadline(host, now_ms));
        }
        events.extend(self.loops.pass_time(now_ms));
        events
    }

    fn pass_deadline(&mut self, host: HostName, now_ms: i64) -> Option<Event> {
        let known = self.hosts.get_mut(&host)?;
        if known.is_silent {
            self.hosts.remove(&host);
            return None;
        }
        known.is_silent = true;
        let (captured_ms, stored_ms) = (known.captured_ms, known.stored_ms);
        self.expect(&host, stored_ms.saturating_add(FORGET_AFTER_MS));
        let event = Event::of_host(EventKind::Silent, &host, captured_ms.saturating_mul(1000));
        Some(Event { length_ms: Some(now_ms.saturating_sub(stored_ms)), ..event })
    }

    /// When a host that is known as this falls silent or is forgotten.
    fn deadline_ms(&self, known: &KnownHost) -> i64 {
        match known.is_silent {
            true => known.stored_ms.saturating_add(FORGET_AFTER_MS),
            false => self.clock.silent_at_ms(known.stored_ms, known.quiet_ms()),
        }
    }

    fn expect(&mut self, host: &HostName, deadline_ms: i64) {
        if let Some(before_ms) = self.deadline_of.insert(host.clone(), deadline_ms) {
            self.deadlines.remove(&(before_ms, host.clone()));
        }
        self.deadlines.insert((deadline_ms, host.clone()));
    }

    /// Sets all deadlines anew: after a hole, and at the start.
    fn expect_all(&mut self) {
        let deadlines: HashMap<HostName, i64> =
            self.hosts.iter().map(|(host, known)| (host.clone(), self.deadline_ms(known))).collect();
        self.deadlines = deadlines.iter().map(|(host, deadline_ms)| (*deadline_ms, host.clone())).collect();
        self.deadline_of = deadlines;
    }

    /// Gives events their places, and looks for restart loops in them.
    fn finish(&mut self, place: MessagePlace, found: Vec<Event>) -> Vec<Event> {
        let mut events = Vec::with_capacity(found.len());
        for mut event in found {
            event.decided_at_us = place.stored_at_us.div_euclid(1000).saturating_mul(1000);
            let begun = self.loops.observe(&event);
            events.push(event);
            events.extend(begun);
        }
        for (number, event) in (0..).zip(&mut events) {
            event.decided_at_us = place.stored_at_us.div_euclid(1000).saturating_mul(1000);
            event.place = EventPlace { epoch_s: place.epoch_s, sequence: place.sequence, number };
        }
        events
    }
}
