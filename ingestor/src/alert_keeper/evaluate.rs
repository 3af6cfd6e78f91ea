//! Decodes the messages of the stream, and evaluates them.

use std::{collections::BTreeMap, sync::Arc};

use fleetps_nats::{
    HostName, Snapshot, Standing, decode::MessageDecoder, own_figures::OwnFigures, reader::Delivered, subject,
};
use tokio::sync::mpsc;

use super::{
    AlertKeeper,
    checkpoint::Checkpoint,
    publish::Outgoing,
    rules::{LatestNews, News},
    start::Begin,
};
use crate::{
    alerts::{AlertChange, Evaluator, Transition},
    events::{Detector, Event, EventKind, EventPlace, MessagePlace},
    intake::{Awaited, Duplicates, Incoming},
    status::Progress,
};

/// How often it is looked which hosts were revoked or forgotten, in ms of the stream's time.
const LOOK_FOR_ENDED_MS: i64 = 5_000;

/// The receiver of the changes has ended.
struct Ended;

/// The evaluation: a function of the messages, and of what `news` says of rules and groups.
pub(super) struct Evaluation {
    partition: u32,
    epoch_s: i64,
    decoder: MessageDecoder,
    duplicates: Duplicates,
    standing: Standing,
    detector: Detector,
    evaluator: Evaluator,
    /// How the restart loops that go on began, by host and by what loops.
    loops: BTreeMap<(HostName, String), Event>,
    news: LatestNews,
    awaited: Arc<Awaited>,
    progress: Arc<Progress>,
    /// Until this message everything was evaluated before; absent when that is behind.
    recalled_until: Option<u64>,
    /// The last message that was evaluated, and when the broker took it (µs since 1970 UTC).
    at: (u64, i64),
    /// The number of its next change.
    number: u32,
    looked_for_ended_ms: i64,
    /// Whether something was evaluated that no checkpoint has.
    is_ahead: bool,
    /// Whether it was logged that checkpoints are too large to have what is learned over hours and days.
    is_too_large: bool,
}

impl Evaluation {
    pub(super) fn new(
        keeper: &AlertKeeper,
        begin: Begin,
        news: LatestNews,
        (decoder, standing): (MessageDecoder, Standing),
        awaited: Arc<Awaited>,
    ) -> Self {
        let Begin { start, evaluated, stored_at_us, evaluator, loops } = begin;
        let (sequence, number) = evaluated.unwrap_or((start.sequence - 1, 0));
        let loops = loops.into_iter().map(|event| (name_of(&event), event)).collect();
        Self {
            partition: keeper.partition,
            epoch_s: start.epoch_s,
            decoder,
            duplicates: Duplicates::default(),
            standing,
            detector: Detector::default(),
            evaluator,
            loops,
            news,
            awaited,
            progress: Arc::clone(&keeper.progress),
            recalled_until: evaluated.map(|(sequence, _)| sequence),
            at: (sequence, stored_at_us),
            number,
            looked_for_ended_ms: 0,
            is_ahead: false,
            is_too_large: false,
        }
    }

    /// Evaluates until reading ends, or `outgoing` does.
    pub(super) fn run(mut self, mut incoming: mpsc::Receiver<Incoming>, outgoing: &mpsc::Sender<Outgoing>) {
        while let Some(next) = incoming.blocking_recv() {
            if self.handle(next, outgoing).is_err() {
                return;
            }
        }
        let _ = self.checkpoint(outgoing);
    }

    fn handle(&mut self, incoming: Incoming, outgoing: &mpsc::Sender<Outgoing>) -> Result<(), Ended> {
        self.take_news(outgoing)?;
        match incoming {
            Incoming::Message(delivered) => {
                let changes = self.message(&delivered);
                self.hand_over(changes, outgoing)?;
                self.say_progress(&delivered);
            }
            Incoming::Seal => self.checkpoint(outgoing)?,
            Incoming::Lost { .. } => {}
            Incoming::NewEpoch { epoch_s } => {
                (self.epoch_s, self.recalled_until, self.number) = (epoch_s, None, 0);
                self.duplicates.read_again();
            }
        }
        Ok(())
    }

    /// Takes the rules and groups that there are now. What they end is written down at once, because it is not in the stream
    /// of snapshots when that was.
    fn take_news(&mut self, outgoing: &mpsc::Sender<Outgoing>) -> Result<(), Ended> {
        let News { rules, groups } = self.news.take();
        if let Some(groups) = groups {
            self.evaluator.set_groups(groups);
        }
        let Some(rules) = rules else { return Ok(()) };
        let at_us = if self.at.1 > 0 { self.at.1 } else { fleetps_nats::now_us() };
        let changes = self.evaluator.set_rules(rules, at_us);
        self.hand_over(changes, outgoing)?;
        let rules = self.evaluator.rules().count() as u64;
        self.progress.set_alerts(|status| status.rules = rules);
        self.is_ahead = true;
        if self.recalled_until.is_none() { self.checkpoint(outgoing) } else { Ok(()) }
    }

    fn message(&mut self, delivered: &Delivered) -> Vec<AlertChange> {
        let Delivered { sequence, stored_at_us, .. } = *delivered;
        let place = MessagePlace { partition: self.partition, epoch_s: self.epoch_s, sequence, stored_at_us };
        let decoded = self.decode(delivered);
        if self.recalled_until.is_some_and(|until| sequence <= until) {
            self.recall(place, decoded);
            return Vec::new();
        }
        (self.at, self.number, self.is_ahead) = ((sequence, stored_at_us), 0, true);
        let mut changes = self.end_recalling(place);
        let events = self.decide(place, decoded.as_ref());
        let clock = self.detector.clock();
        changes.extend(match &decoded {
            Some((host, snapshot)) => self.evaluator.snapshot(place, clock, host, snapshot),
            None => self.tick(place, delivered),
        });
        self.note_loops(&events);
        changes.extend(self.evaluator.events(place, &events));
        changes.extend(self.forget_ended(stored_at_us));
        self.awaited.set(self.evaluator.awaited_ms());
        changes
    }

    /// Takes note that time has passed, and of what a part of fleetps says of itself.
    fn tick(&mut self, place: MessagePlace, delivered: &Delivered) -> Vec<AlertChange> {
        let is_tick = delivered.subject == subject::TICK;
        let told = is_tick.then(|| OwnFigures::from_message(&delivered.payload)).flatten();
        let mut changes = told.map_or_else(Vec::new, |told| self.evaluator.own(place, &told));
        changes.extend(self.evaluator.tick(place, self.detector.clock()));
        changes
    }

    /// The snapshot of a message, unless that is none or came before.
    fn decode(&mut self, delivered: &Delivered) -> Option<(HostName, Arc<Snapshot>)> {
        if delivered.subject == subject::TICK {
            return None;
        }
        // The ingestor counts and records refusals.
        let (host, snapshot) = self.decoder.decode(delivered).ok()?;
        let is_new = self.duplicates.take(&host, &snapshot.run_id, snapshot.sequence, delivered.stored_at_us);
        is_new.then(|| (host, Arc::new(snapshot)))
    }

    fn decide(&mut self, place: MessagePlace, decoded: Option<&(HostName, Arc<Snapshot>)>) -> Vec<Event> {
        match decoded {
            Some((host, snapshot)) => self.detector.snapshot(place, host, snapshot),
            None => self.detector.tick(place),
        }
    }

    /// Takes a message that was evaluated before.
    fn recall(&mut self, place: MessagePlace, decoded: Option<(HostName, Arc<Snapshot>)>) {
        self.decide(place, decoded.as_ref());
        if let Some((host, snapshot)) = decoded {
            self.evaluator.recall(&host, &snapshot);
        }
    }

    /// Goes from what was evaluated before to what was not. Loops that are no longer known of have ended.
    fn end_recalling(&mut self, place: MessagePlace) -> Vec<AlertChange> {
        if self.recalled_until.take().is_none() {
            return Vec::new();
        }
        let mut ended = Vec::new();
        for event in self.loops.values() {
            if !self.detector.replay_loop(event, event.lives.unwrap_or_default()) {
                ended.push(Event { kind: EventKind::RestartLoopEnded, ..event.clone() });
            }
        }
        self.note_loops(&ended);
        self.evaluator.events(place, &ended)
    }

    fn note_loops(&mut self, events: &[Event]) {
        for event in events {
            match event.kind {
                EventKind::RestartLoop => _ = self.loops.insert(name_of(event), event.clone()),
                EventKind::RestartLoopEnded => _ = self.loops.remove(&name_of(event)),
                _ => {}
            }
        }
    }

    /// Forgets hosts that were revoked or forgotten.
    fn forget_ended(&mut self, stored_at_us: i64) -> Vec<AlertChange> {
        let now_ms = stored_at_us.div_euclid(1000);
        if now_ms.saturating_sub(self.looked_for_ended_ms) < LOOK_FOR_ENDED_MS {
            return Vec::new();
        }
        self.looked_for_ended_ms = now_ms;
        let is_ended = |host: &&HostName| self.standing.ended_at_us(host).is_some();
        let mut ended: Vec<HostName> = self.evaluator.hosts().filter(is_ended).cloned().collect();
        ended.sort();
        ended.iter().flat_map(|host| self.evaluator.forget(host, stored_at_us)).collect()
    }

    fn hand_over(
        &mut self,
        changes: Vec<AlertChange>,
        outgoing: &mpsc::Sender<Outgoing>,
    ) -> Result<(), Ended> {
        for change in changes {
            let (sequence, decided_at_us) = self.at;
            let (partition, epoch_s, number) = (self.partition, self.epoch_s, self.number);
            self.number = self.number.saturating_add(1);
            let place = EventPlace { partition, epoch_s, sequence, number };
            let transition = Box::new(Transition { place, decided_at_us, change });
            outgoing.blocking_send(Outgoing::Change(transition)).map_err(|_| Ended)?;
        }
        Ok(())
    }

    /// Hands over all that is remembered.
    fn checkpoint(&mut self, outgoing: &mpsc::Sender<Outgoing>) -> Result<(), Ended> {
        if self.recalled_until.is_some() || !std::mem::take(&mut self.is_ahead) {
            return Ok(());
        }
        let (sequence, stored_at_us) = self.at;
        let loops = self.loops.values().cloned().collect();
        let at = (self.epoch_s, sequence, self.number);
        let (bytes, is_whole) = Checkpoint::new(at, stored_at_us, loops, self.evaluator.state()).into_bytes();
        if !is_whole && !std::mem::replace(&mut self.is_too_large, true) {
            tracing::error!(
                "the checkpoint of alerts is too large to have what is learned of hosts; after a start, \
                 forecasts say nothing for most of a day, and nothing counts as gone for a day"
            );
        }
        outgoing.blocking_send(Outgoing::Checkpoint(bytes)).map_err(|_| Ended)
    }

    fn say_progress(&self, delivered: &Delivered) {
        let (instances, beyond) = (self.evaluator.instance_count() as u64, self.evaluator.beyond());
        self.progress.set_alerts(|status| {
            (status.read_sequence, status.read_stored_us) = (delivered.sequence, delivered.stored_at_us);
            (status.pending, status.instances, status.beyond) = (delivered.pending, instances, beyond);
        });
    }
}

/// What loops, within its host.
fn name_of(event: &Event) -> (HostName, String) {
    let name = event.name().unwrap_or_default();
    let command_line = event.program.as_ref().and_then(|program| program.command_line.as_deref());
    let by = event.supervisor.as_deref();
    (event.host.clone(), [name, by.unwrap_or_default(), command_line.unwrap_or_default()].join("\n"))
}
