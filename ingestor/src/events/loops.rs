//! Restart loops: services that are restarted again and again.
//!
//! **The rule.** A supervised program ([`super::supervisor`]) loops when five of its lives ended within ten minutes and it
//! is started once more, no two of them at a time, with half of the starts at most 45 s apart. Jobs of timers and of cron
//! start once a minute at most. The loop ends when it was not started for ten minutes: it is stopped, or it stays up.
//!
//! Loops are found from starts and exits alone, as they are in the table `event`. So a restarted ingestor reads those of
//! the last ten minutes again ([`Loops::replay`]) and goes on as if nothing had happened.

use std::collections::{BTreeSet, HashMap, VecDeque};

use fleetps_nats::HostName;

use super::{
    Event, EventKind, EventProcess, EventProgram,
    event::ProcessKey,
    supervisor::{Supervision, supervision},
};

/// This many lives ended before a start makes a loop: fewer happen while somebody sets up a service.
const LIVES: usize = 5;
/// Ten minutes, by the broker's clock: Kubernetes waits up to five between two starts.
pub(crate) const LOOP_WINDOW_MS: i64 = 600_000;
/// Half of the starts are at most this far apart. What runs by the clock starts once a minute, give or take the seconds
/// until it is sampled.
const MEDIAN_PERIOD_US: i64 = 45_000_000;
/// Starts of one program that are remembered: one a second for ten minutes.
const MOST_STARTS: usize = 600;

/// Which program of a host, and who starts it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Slot {
    host: HostName,
    supervisor: String,
    name: String,
    /// Only where the supervisor is the parent.
    command_line: Option<String>,
}

/// A start of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Start {
    process: ProcessKey,
    /// When it started by the host's clock.
    started_at_us: i64,
    at_us: i64,
    decided_ms: i64,
    lived_us: Option<i64>,
}

/// The starts of a program within the last ten minutes.
#[derive(Debug, Default)]
struct Starts {
    starts: VecDeque<Start>,
    /// When two of it were seen at a time, in ms by the broker's clock.
    together_ms: Option<i64>,
    /// Since it loops.
    looping: Option<Looping>,
}

#[derive(Debug)]
struct Looping {
    since_us: i64,
    lives: u32,
}

/// The supervised programs that were started within the last ten minutes.
#[derive(Debug, Default)]
pub(crate) struct Loops {
    slots: HashMap<Slot, Starts>,
    /// When the last start of each is ten minutes ago.
    ends: BTreeSet<(i64, Slot)>,
    /// How many of them loop.
    looping: usize,
    /// The slot of each living process that was started within the time.
    living: HashMap<(HostName, ProcessKey), Slot>,
}

impl Loops {
    /// Takes note of a start or exit; returns the loop that it begins.
    pub(super) fn observe(&mut self, event: &Event) -> Option<Event> {
        match event.kind {
            EventKind::Started => {
                let slot = self.start(event)?;
                self.begin(&slot, event)
            }
            EventKind::Exited => {
                self.exit(event);
                None
            }
            _ => None,
        }
    }

    /// Takes note of an event that was decided before. What it began is among these events as well.
    pub(super) fn replay(&mut self, event: &Event) {
        match event.kind {
            EventKind::Started => _ = self.start(event),
            EventKind::Exited => self.exit(event),
            EventKind::RestartLoop => _ = self.set_lives(event, event.lives.unwrap_or_default()),
            _ => {}
        }
    }

    /// Says of a program that it loops, as `begun` says, and how often it was started until now.
    /// False where it is not known.
    pub(super) fn set_lives(&mut self, begun: &Event, lives: u32) -> bool {
        let Some(starts) = Slot::of(begun).and_then(|slot| self.slots.get_mut(&slot)) else { return false };
        let since_us = begun.since_us.unwrap_or(begun.at_us);
        self.looping += usize::from(starts.looping.is_none());
        starts.looping = Some(Looping { since_us, lives });
        true
    }

    /// The loops that ended by `now_ms` of the broker's clock.
    pub(super) fn pass_time(&mut self, now_ms: i64) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some((end_ms, slot)) = self.ends.first().cloned().filter(|(end_ms, _)| *end_ms < now_ms) {
            self.ends.remove(&(end_ms, slot.clone()));
            let Some(mut starts) = self.slots.remove(&slot) else { continue };
            for start in &starts.starts {
                self.living.remove(&(slot.host.clone(), start.process.clone()));
            }
            let looping = starts.looping.take();
            self.looping -= usize::from(looping.is_some());
            if let (Some(looping), Some(last)) = (looping, starts.starts.back()) {
                let event = Event::of_host(EventKind::RestartLoopEnded, &slot.host, last.at_us);
                events.push(slot.say(event, &starts, &looping));
            }
        }
        events
    }

    /// When the first loop ends unless it is started once more, in ms by the broker's clock.
    pub(super) fn first_end_ms(&self) -> Option<i64> {
        let loops = |slot: &Slot| self.slots.get(slot).is_some_and(|starts| starts.looping.is_some());
        // Mostly there is none, which is soon known; else it is among the first, as it is started often.
        if self.looping == 0 {
            return None;
        }
        self.ends.iter().find(|(_, slot)| loops(slot)).map(|(end_ms, _)| *end_ms)
    }

    fn start(&mut self, event: &Event) -> Option<Slot> {
        let (slot, of_event) = (Slot::of(event)?, event.process.as_ref()?);
        let (process, started_at_us) = (of_event.key(), of_event.started_at_us);
        let decided_ms = event.decided_at_us.div_euclid(1000);
        let starts = self.slots.entry(slot.clone()).or_default();
        if let Some(last) = starts.starts.back() {
            self.ends.remove(&(last.decided_ms + LOOP_WINDOW_MS, slot.clone()));
        }
        let (at_us, lived_us) = (event.at_us, None);
        let start = Start { process: process.clone(), started_at_us, at_us, decided_ms, lived_us };
        starts.starts.push_back(start);
        self.ends.insert((decided_ms + LOOP_WINDOW_MS, slot.clone()));
        self.living.insert((event.host.clone(), process), slot.clone());
        if event.instances.is_some_and(|instances| instances > 1) {
            starts.together_ms = Some(decided_ms);
        }
        let too_old = |start: &Start, count: usize| {
            start.decided_ms < decided_ms.saturating_sub(LOOP_WINDOW_MS) || count > MOST_STARTS
        };
        while starts.starts.front().is_some_and(|first| too_old(first, starts.starts.len())) {
            if let Some(first) = starts.starts.pop_front() {
                self.living.remove(&(event.host.clone(), first.process));
            }
        }
        if let Some(looping) = &mut starts.looping {
            looping.lives = looping.lives.saturating_add(1);
        }
        Some(slot)
    }

    /// The loop that the start `event` begins, if it does.
    fn begin(&mut self, slot: &Slot, event: &Event) -> Option<Event> {
        let starts = self.slots.get_mut(slot)?;
        if starts.looping.is_some() || !starts.is_loop(event.decided_at_us.div_euclid(1000)) {
            return None;
        }
        let since_us = starts.starts.front().map_or(event.at_us, |first| first.at_us);
        let looping = Looping { since_us, lives: u32::try_from(starts.starts.len()).unwrap_or(u32::MAX) };
        let begun =
            slot.say(Event::of_host(EventKind::RestartLoop, &event.host, event.at_us), starts, &looping);
        starts.looping = Some(looping);
        self.looping += 1;
        Some(begun)
    }

    fn exit(&mut self, event: &Event) {
        let Some(process) = event.process.as_ref().map(EventProcess::key) else { return };
        let Some(slot) = self.living.remove(&(event.host.clone(), process.clone())) else { return };
        let starts = self.slots.get_mut(&slot).map(|starts| &mut starts.starts);
        if let Some(start) =
            starts.and_then(|starts| starts.iter_mut().rev().find(|start| start.process == process))
        {
            start.lived_us = event.length_ms.map(|length_ms| length_ms.saturating_mul(1000));
        }
    }
}

impl Starts {
    fn is_loop(&self, now_ms: i64) -> bool {
        let lives = self.starts.iter().filter(|start| start.lived_us.is_some()).count();
        let is_pool = self.together_ms.is_some_and(|together_ms| together_ms >= now_ms - LOOP_WINDOW_MS);
        let periods = self.starts.iter().zip(self.starts.iter().skip(1));
        let period_us = |(one, next): (&Start, &Start)| next.started_at_us.saturating_sub(one.started_at_us);
        !is_pool
            && lives >= LIVES
            && median(periods.map(period_us).collect()).is_some_and(|period_us| period_us <= MEDIAN_PERIOD_US)
    }

    fn median_life_us(&self) -> Option<i64> {
        median(self.starts.iter().filter_map(|start| start.lived_us).collect())
    }
}

fn median(mut values: Vec<i64>) -> Option<i64> {
    values.sort_unstable();
    values.get(values.len().saturating_sub(1) / 2).copied()
}

impl Slot {
    /// The slot of an event of a supervised program.
    fn of(event: &Event) -> Option<Self> {
        let (supervisor, program) = (event.supervisor.clone()?, event.program.as_ref()?);
        // An event about a loop has it only where it counts.
        let counts = event.kind != EventKind::Started
            || supervision(program, event.parent_pid) == Some(Supervision::Parent);
        let command_line = program.command_line.clone().filter(|_| counts);
        Some(Self { host: event.host.clone(), supervisor, name: program.name.clone(), command_line })
    }

    /// An event about its loop.
    fn say(&self, event: Event, starts: &Starts, looping: &Looping) -> Event {
        let last = starts.starts.back();
        Event {
            decided_at_us: last.map_or(event.at_us, |last| last.decided_ms.saturating_mul(1000)),
            supervisor: Some(self.supervisor.clone()),
            program: Some(EventProgram {
                name: self.name.clone(),
                command_line: self.command_line.clone(),
                ..EventProgram::default()
            }),
            lives: Some(looping.lives),
            since_us: Some(looping.since_us),
            length_ms: starts.median_life_us().map(|life_us| life_us / 1000),
            ..event
        }
    }
}
