//! What happened on a host between two of its snapshots.

use std::collections::HashMap;

use fleetps_nats::{
    HostName, Snapshot,
    model::{HostState, Spacing, Value, derived, host::HOST_INFO, staleness},
    snapshot::{HostInfo, MAX_OFFSET_US},
};

use super::{
    Event, EventKind, EventProcess, EventProgram,
    interner::Interner,
    life::{Life, LifeKey, lives},
    supervisor::{Supervised, supervised, supervisor},
};

/// The clock was set where it went by this much more or less than the monotonic clock: time daemons change its pace by a
/// tenth at most, and a step of less changes nothing that anybody looks at.
const CLOCK_STEP_MS: i64 = 2_000;
/// The pace of a clock is corrected by up to 500 ppm; twice that over a long time is no step.
const CLOCK_DRIFT: i64 = 1_000;
/// While two machines send as one host, it is told again after this time.
const TELL_TWO_AGAIN_MS: i64 = 3_600_000;
/// What changes by itself.
const UNSTEADY: [&str; 3] = ["frequency_mhz", "boot_at", "paused"];

/// A host as its last snapshot had it. Times are in ms since 1970 UTC.
#[derive(Debug, Clone, Default)]
pub(crate) struct KnownHost {
    pub(crate) boot_id: String,
    pub(crate) run_id: String,
    /// The run of its agent before that one, of this ingestor's time.
    pub(crate) other_run_id: Option<String>,
    /// When it was last told that two agents send as this host.
    pub(crate) two_told_ms: Option<i64>,
    pub(crate) captured_ms: i64,
    pub(crate) stored_ms: i64,
    pub(crate) monotonic_ms: u64,
    /// By how much its clock was ahead of the broker's; absent where its agent does not say.
    pub(crate) clock_offset_ms: Option<i64>,
    pub(crate) interval_ms: u32,
    pub(crate) left_out: u32,
    /// Its agent, its name, and what it is.
    pub(crate) agent_version: String,
    pub(crate) os_host_name: String,
    pub(crate) info: HostInfo,
    pub(crate) lives: HashMap<LifeKey, Life>,
    /// Since then it counts as silent, by the broker's clock.
    pub(crate) is_silent: bool,
}

impl KnownHost {
    /// The host as `snapshot` has it, which the broker took at `stored_ms`.
    pub(super) fn of(snapshot: &Snapshot, stored_ms: i64, before: &Self, interner: &mut Interner) -> Self {
        let is_same_run = before.run_id == snapshot.run_id;
        let last_run_id = || Some(before.run_id.clone()).filter(|run_id| !run_id.is_empty());
        Self {
            boot_id: snapshot.boot_id.clone(),
            run_id: snapshot.run_id.clone(),
            other_run_id: if is_same_run { before.other_run_id.clone() } else { last_run_id() },
            two_told_ms: before.two_told_ms,
            clock_offset_ms: snapshot.clock_offset_us.map(|offset_us| offset_us.div_euclid(1000)),
            captured_ms: snapshot.captured_at_us.div_euclid(1000),
            stored_ms,
            monotonic_ms: snapshot.monotonic_ms,
            interval_ms: snapshot.interval_ms,
            left_out: snapshot.processes_left_out,
            agent_version: snapshot.agent_version.clone(),
            os_host_name: snapshot.os_host_name.clone(),
            info: snapshot.host_info.clone(),
            lives: lives(&snapshot.processes, &before.lives, interner),
            is_silent: false,
        }
    }

    /// When it was captured by its own clock, in ms.
    fn own_captured_ms(&self) -> i64 {
        self.captured_ms.saturating_add(self.clock_offset_ms.filter(|ms| is_off(*ms)).unwrap_or_default())
    }

    /// Whether its clock is known to be off.
    fn is_off(&self) -> bool {
        self.clock_offset_ms.is_some_and(is_off)
    }

    /// How old a process is, or would be if it lived, in µs.
    fn age_us(&self, (_, start): LifeKey, life: &Life) -> i64 {
        let now = (self.monotonic_ms, self.captured_ms.saturating_mul(1000));
        derived::age_at_us(now, (start, life.started_at_us))
    }

    /// How long it may send nothing before it is silent.
    pub(super) fn quiet_ms(&self) -> i64 {
        staleness::silent_after_ms(self.interval_ms, Spacing::EverySample)
    }
}

/// Whether a clock that is this much ahead of the broker's, or behind, counts as off.
fn is_off(offset_ms: i64) -> bool {
    offset_ms.saturating_mul(1000).saturating_abs() > MAX_OFFSET_US
}

/// What the first snapshot of a host says.
pub(super) fn first(host: &HostName, now: &KnownHost) -> Option<Event> {
    let event = Event::of_host(EventKind::ClockOffset, host, now.captured_ms.saturating_mul(1000));
    now.is_off().then_some(Event { length_ms: now.clock_offset_ms, ..event })
}

/// That two machines send as `host`: a run of its agent sends again after another one did. Nothing else can be said then of
/// what happened since the snapshot before, which is of another machine.
pub(super) fn two_agents(host: &HostName, before: &KnownHost, now: &mut KnownHost) -> Option<Vec<Event>> {
    let is_back = before.run_id != now.run_id && before.other_run_id.as_ref() == Some(&now.run_id);
    if !is_back {
        return None;
    }
    let is_told = before.two_told_ms.is_some_and(|told_ms| now.stored_ms - told_ms < TELL_TWO_AGAIN_MS);
    if is_told {
        return Some(Vec::new());
    }
    now.two_told_ms = Some(now.stored_ms);
    let names = [&before.os_host_name, &now.os_host_name];
    let who = match names {
        [one, other] if one == other => "the same machine name".to_owned(),
        [one, other] => format!("the machines {one} and {other}"),
    };
    let change = format!("runs {} and {} of {who} take turns", before.run_id, now.run_id);
    let event = Event::of_host(EventKind::TwoAgents, host, now.captured_ms.saturating_mul(1000));
    Some(vec![Event { change: Some(change), ..event }])
}

/// What happened from `before` to `now`, in a fixed order. Exits come before starts: one process takes another's place.
pub(super) fn between(host: &HostName, before: &KnownHost, now: &KnownHost) -> Vec<Event> {
    let at_us = now.captured_ms.saturating_mul(1000);
    let event = |kind| Event::of_host(kind, host, at_us);
    let is_same_boot = before.boot_id == now.boot_id;
    let mut events = Vec::new();
    if before.is_silent {
        events.push(back(event(EventKind::Back), before, now));
    }
    match (before.info.is_paused(), now.info.is_paused()) {
        (false, true) => events.push(event(EventKind::Paused)),
        (true, false) => {
            let length_ms = Some(now.captured_ms.saturating_sub(before.captured_ms));
            events.push(Event { length_ms, ..event(EventKind::Resumed) });
        }
        _ => {}
    }
    if !is_same_boot {
        events.push(event(EventKind::Booted));
    }
    if let Some(step_ms) = clock_step_ms(before, now).filter(|_| is_same_boot) {
        events.push(Event { length_ms: Some(step_ms), ..event(EventKind::ClockChanged) });
    }
    if before.is_off() != now.is_off() && now.clock_offset_ms.is_some() {
        events.push(Event { length_ms: now.clock_offset_ms, ..event(EventKind::ClockOffset) });
    }
    let changed = [
        (EventKind::AgentChanged, agent_change(before, now)),
        (EventKind::HostChanged, host_change(before, now)),
    ];
    for (kind, change) in changed {
        events.extend(change.map(|change| Event { change: Some(change), ..event(kind) }));
    }
    if is_same_boot {
        events.extend(exits(&event, before, now));
        events.extend(starts(&event, before, now));
    }
    events
}

fn back(event: Event, before: &KnownHost, now: &KnownHost) -> Event {
    let gap_us = now.captured_ms.saturating_sub(before.captured_ms).saturating_mul(1000);
    let interval_ms = before.interval_ms.max(now.interval_ms);
    let is_whole = before.boot_id == now.boot_id
        && HostState::after(gap_us, interval_ms, Spacing::EverySample) == HostState::Up;
    Event {
        length_ms: Some(now.stored_ms.saturating_sub(before.stored_ms)),
        change: is_whole
            .then(|| "what it measured meanwhile arrived late, and nothing is missing".to_owned()),
        ..event
    }
}

/// By how much the clock was set, if it was.
fn clock_step_ms(before: &KnownHost, now: &KnownHost) -> Option<i64> {
    let elapsed_ms = i64::try_from(now.monotonic_ms.checked_sub(before.monotonic_ms)?).ok()?;
    let step_ms = now.own_captured_ms().saturating_sub(before.own_captured_ms()).saturating_sub(elapsed_ms);
    (step_ms.saturating_abs() >= CLOCK_STEP_MS.max(elapsed_ms / CLOCK_DRIFT)).then_some(step_ms)
}

fn agent_change(before: &KnownHost, now: &KnownHost) -> Option<String> {
    let (before, now) = (&before.agent_version, &now.agent_version);
    (before != now).then(|| format!("agent version: {before} → {now}"))
}

/// What is known of both and differs, in words.
fn host_change(before: &KnownHost, now: &KnownHost) -> Option<String> {
    let mut changes = Vec::new();
    if before.os_host_name != now.os_host_name {
        changes.push(format!("os host name: {} → {}", before.os_host_name, now.os_host_name));
    }
    for (place, field) in HOST_INFO.iter().enumerate() {
        let (before, now) = (said(before.info.value(place)), said(now.info.value(place)));
        if let (Some(before), Some(now), false) = (before, now, UNSTEADY.contains(&field.column))
            && before != now
        {
            changes.push(format!("{}: {before} → {now}", field.column.replace('_', " ")));
        }
    }
    changes.sort();
    (!changes.is_empty()).then(|| changes.join("; "))
}

fn said(value: Value<'_>) -> Option<String> {
    value.text().map(str::to_owned).or_else(|| value.integer().map(|number| number.to_string()))
}

/// The processes that are gone. One that a host with a limit leaves out of its snapshot counts as gone as well.
fn exits(event: &impl Fn(EventKind) -> Event, before: &KnownHost, now: &KnownHost) -> Vec<Event> {
    let is_gone = |key: &LifeKey| !now.lives.contains_key(key);
    let mut gone: Vec<(&LifeKey, &Life)> = before.lives.iter().filter(|(key, _)| is_gone(key)).collect();
    gone.sort_unstable_by_key(|(key, _)| **key);
    let exit = |(key, life): (&LifeKey, &Life)| {
        let event = event(EventKind::Exited);
        Event {
            length_ms: Some(now.age_us(*key, life) / 1000),
            cpu_time_ms: life.cpu_time_ms,
            resident_bytes: life.resident_bytes,
            ..of_process(event, &before.boot_id, *key, life)
        }
    };
    gone.into_iter().map(exit).collect()
}

/// The processes that are new. One that was left out of the snapshot before may have been there.
fn starts(event: &impl Fn(EventKind) -> Event, before: &KnownHost, now: &KnownHost) -> Vec<Event> {
    let elapsed_us = i64::try_from(now.monotonic_ms.saturating_sub(before.monotonic_ms)).unwrap_or(i64::MAX);
    let elapsed_us = elapsed_us.saturating_add(CLOCK_STEP_MS).saturating_mul(1000);
    let is_new = |key: &LifeKey, life: &Life| {
        !before.lives.contains_key(key) && (before.left_out == 0 || now.age_us(*key, life) <= elapsed_us)
    };
    let mut new: Vec<(&LifeKey, &Life)> = now.lives.iter().filter(|(key, life)| is_new(key, life)).collect();
    new.sort_unstable_by_key(|(key, _)| **key);
    let instances = if new.is_empty() { HashMap::new() } else { instances(now) };
    let start = |(key, life): (&LifeKey, &Life)| {
        let supervisor = supervisor(&life.program, life.parent_pid);
        let supervised = supervised(&life.program, life.parent_pid);
        let instances = supervised.and_then(|supervised| instances.get(&supervised).copied());
        let event = Event { supervisor, instances, ..event(EventKind::Started) };
        of_process(event, &now.boot_id, *key, life)
    };
    new.into_iter().map(start).collect()
}

/// How many instances there are of each supervised program.
fn instances(now: &KnownHost) -> HashMap<Supervised<'_>, u32> {
    let mut counts = HashMap::new();
    for life in now.lives.values() {
        if let Some(supervised) = supervised(&life.program, life.parent_pid) {
            *counts.entry(supervised).or_default() += 1;
        }
    }
    counts
}

fn of_process(event: Event, boot_id: &str, (pid, start): LifeKey, life: &Life) -> Event {
    let started_at_us = life.started_at_us;
    Event {
        process: Some(EventProcess { boot_id: boot_id.to_owned(), pid, start, started_at_us }),
        program: Some(EventProgram::clone(&life.program)),
        parent_pid: life.parent_pid,
        ..event
    }
}
