//! Decides, message by message, what happened.

use std::collections::{BTreeSet, HashMap};

use fleetps_nats::{HostName, Snapshot, snapshot::Process};

use super::{
    Event, EventKind, EventPlace, StreamClock,
    host::{KnownHost, between, first, two_agents},
    interner::Interner,
    life::lives,
    loops::Loops,
};

/// A host that was silent for so long is forgotten: when it sends again, it is a new one. As long as process tables are kept,
/// from which a start reads what hosts ran. In ms.
pub(crate) const FORGET_AFTER_MS: i64 = 30 * 24 * 3_600_000;

/// Where a message stands in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessagePlace {
    /// The partition of the stream.
    pub partition: u32,
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
    /// When each host that is not silent falls silent.
    silences: Deadlines,
    /// When each silent host is forgotten.
    forgets: Deadlines,
}

/// Times of hosts, in ms by the broker's clock; one of each.
#[derive(Debug, Default)]
struct Deadlines {
    by_time: BTreeSet<(i64, HostName)>,
    of_host: HashMap<HostName, i64>,
}

impl Deadlines {
    fn first_ms(&self) -> Option<i64> {
        self.by_time.first().map(|(deadline_ms, _)| *deadline_ms)
    }

    fn set(&mut self, host: &HostName, deadline_ms: i64) {
        self.remove(host);
        self.of_host.insert(host.clone(), deadline_ms);
        self.by_time.insert((deadline_ms, host.clone()));
    }

    fn remove(&mut self, host: &HostName) {
        if let Some(deadline_ms) = self.of_host.remove(host) {
            self.by_time.remove(&(deadline_ms, host.clone()));
        }
    }

    /// Takes the first host whose time is before `now_ms`.
    fn take_before(&mut self, now_ms: i64) -> Option<HostName> {
        let (deadline_ms, host) = self.by_time.pop_first()?;
        if deadline_ms >= now_ms {
            self.by_time.insert((deadline_ms, host));
            return None;
        }
        self.of_host.remove(&host);
        Some(host)
    }
}

impl Detector {
    /// What `snapshot` of `host`, the message at `place`, decides.
    pub fn snapshot(&mut self, place: MessagePlace, host: &HostName, snapshot: &Snapshot) -> Vec<Event> {
        let mut events = self.time(place);
        let stored_ms = place.stored_at_us.div_euclid(1000);
        let before = self.hosts.remove(host);
        let none = KnownHost::default();
        let mut now =
            KnownHost::of(snapshot, stored_ms, before.as_ref().unwrap_or(&none), &mut self.interner);
        match &before {
            Some(before) => match two_agents(host, before, &mut now) {
                Some(said) => events.extend(said),
                None => events.extend(between(host, before, &now)),
            },
            None => events.extend(first(host, &now)),
        }
        self.expect(host, &now);
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

    /// From when on the passing of time may decide something, in ms by the broker's clock.
    pub(crate) fn awaited_ms(&self) -> Option<i64> {
        [self.silences.first_ms(), self.loops.first_end_ms()].into_iter().flatten().min()
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
    /// False where none of its starts is known.
    pub(crate) fn replay_loop(&mut self, begun: &Event, lives: u32) -> bool {
        self.loops.set_lives(begun, lives)
    }

    /// What happened by the time of a message.
    fn time(&mut self, place: MessagePlace) -> Vec<Event> {
        if self.clock.advance(place.stored_at_us.div_euclid(1000), self.silences.first_ms()) {
            self.expect_all();
        }
        let now_ms = self.clock.now_ms.unwrap_or_default();
        let mut events = Vec::new();
        while let Some(host) = self.silences.take_before(now_ms) {
            events.extend(self.fall_silent(&host, now_ms));
        }
        while let Some(host) = self.forgets.take_before(now_ms) {
            self.hosts.remove(&host);
        }
        events.extend(self.loops.pass_time(now_ms));
        events
    }

    fn fall_silent(&mut self, host: &HostName, now_ms: i64) -> Option<Event> {
        let known = self.hosts.get_mut(host)?;
        known.is_silent = true;
        self.forgets.set(host, known.stored_ms.saturating_add(FORGET_AFTER_MS));
        let length_ms = Some(now_ms.saturating_sub(known.stored_ms));
        let event = Event::of_host(EventKind::Silent, host, known.captured_ms.saturating_mul(1000));
        Some(Event { length_ms, ..event })
    }

    /// Sets the deadline of a host that is known as this.
    fn expect(&mut self, host: &HostName, known: &KnownHost) {
        // One that pauses sends nothing, and is not silent.
        if known.is_silent || known.info.is_paused() {
            self.silences.remove(host);
            self.forgets.set(host, known.stored_ms.saturating_add(FORGET_AFTER_MS));
        } else {
            self.forgets.remove(host);
            self.silences.set(host, self.clock.silent_at_ms(known.stored_ms, known.quiet_ms()));
        }
    }

    /// Sets all deadlines anew: after a hole, and at the start.
    fn expect_all(&mut self) {
        let hosts = std::mem::take(&mut self.hosts);
        hosts.iter().for_each(|(host, known)| self.expect(host, known));
        self.hosts = hosts;
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
            let MessagePlace { partition, epoch_s, sequence, .. } = place;
            event.place = EventPlace { partition, epoch_s, sequence, number };
        }
        events
    }
}
