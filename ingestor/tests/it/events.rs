//! Events are a function of the stream: decided once, whenever the ingestor was killed, and kept by every merge.

use std::{collections::HashMap, ops::Range, path::Path, time::Duration};

use fastrand::Rng;
use fleetps_ingestor::{
    IngestorSettings,
    catalog::SegmentFolder,
    events::{Detector, Event, EventKind, MessagePlace},
    history::{EventQuery, History, Span},
    merge_folder, restore_detector,
    segment::{SegmentName, SegmentRows, seal},
    tidy_folder,
};
use fleetps_nats::{
    Snapshot,
    reader::{Delivery, SnapshotReader, Start},
    snapshot::{Decoder, Process},
    subject::host_of_snapshot,
};

use crate::{
    chance::seeds,
    fleet::{Published, fleet},
    support::{Fixture, within},
};

const EPOCH_S: i64 = 1_795_212_800;
const SECOND_US: i64 = 1_000_000;
/// Ticks after a message; then comes a hole, as when the broker is away.
const TICKS: i64 = 200;
const ALL: usize = 1_000_000;

/// A message of a stream: when it was stored, and a snapshot, or a tick.
struct Message<'a> {
    stored_at_us: i64,
    published: Option<&'a Published>,
}

/// What was published, with a tick every second while nothing else comes; sometimes ticks are missing.
fn with_ticks<'a>(published: &'a [Published], rng: &mut Rng) -> Vec<Message<'a>> {
    let mut messages = Vec::new();
    for (place, snapshot) in published.iter().enumerate() {
        let stored_at_us = snapshot.stored_at_us;
        messages.push(Message { stored_at_us, published: Some(snapshot) });
        let next_us =
            published.get(place + 1).map_or(stored_at_us + TICKS * SECOND_US, |next| next.stored_at_us);
        let ticks = if rng.u32(0..10) == 0 { rng.i64(0..TICKS) } else { TICKS };
        let ticks =
            (1..=ticks).map(|tick| stored_at_us + tick * SECOND_US).take_while(|at_us| *at_us < next_us);
        messages.extend(ticks.map(|stored_at_us| Message { stored_at_us, published: None }));
    }
    messages
}

fn decide(detector: &mut Detector, sequence: u64, message: &Message<'_>) -> Vec<Event> {
    let place = MessagePlace { partition: 0, epoch_s: EPOCH_S, sequence, stored_at_us: message.stored_at_us };
    match message.published {
        Some(published) => detector.snapshot(place, &published.host, &published.snapshot),
        None => detector.tick(place),
    }
}

fn names(folder: &Path) -> Vec<SegmentName> {
    SegmentFolder::scan(folder).unwrap().current.iter().map(|segment| segment.name).collect()
}

/// Seals the messages of `range` with what they decide.
fn seal_range(folder: &Path, detector: &mut Detector, messages: &[Message<'_>], range: Range<usize>) {
    let sequence_of = |place: usize| place as u64 + 1;
    let first = &messages[range.start];
    let mut rows = SegmentRows::new(0, EPOCH_S, sequence_of(range.start), first.stored_at_us);
    let mut events = Vec::new();
    for place in range {
        let (sequence, message) = (sequence_of(place), &messages[place]);
        events.extend(decide(detector, sequence, message));
        match message.published {
            Some(published) => {
                rows.push(sequence, message.stored_at_us, &published.host, &published.snapshot);
            }
            None => rows.cover(sequence),
        }
    }
    rows.set_events(events, detector.clock());
    seal(folder, &mut rows).unwrap();
}

/// Every stored event, in the order of the stream.
fn stored(folder: &Path) -> Vec<Event> {
    let history = History::open(folder).unwrap();
    assert_eq!(history.missing_segments(), []);
    let everything = EventQuery::of(Span { from_us: i64::MIN, to_us: i64::MAX }, ALL);
    let mut events = history.events(&everything).unwrap().items;
    events.sort_by_key(|event| event.place);
    events
}

/// Fails at the first difference, which says more than two long lists.
fn assert_same(stored: &[Event], expected: &[Event]) {
    for (stored, expected) in stored.iter().zip(expected) {
        assert_eq!(stored, expected);
    }
    assert_eq!(stored.len(), expected.len());
}

fn check(messages: &[Message<'_>], rng: &mut Rng) {
    let mut whole = Detector::default();
    let expected: Vec<Event> =
        (1..).zip(messages).flat_map(|(sequence, message)| decide(&mut whole, sequence, message)).collect();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (mut detector, mut begin) = (Detector::default(), 0);
    while begin < messages.len() {
        let end = messages.len().min(begin + rng.usize(1..=300));
        seal_range(folder, &mut detector, messages, begin..end);
        begin = end;
        match rng.u32(0..4) {
            // A kill: what was only in memory is gone.
            0 | 1 => detector = restore_detector(folder, &names(folder)),
            2 => _ = merge_folder(folder).unwrap(),
            _ => {}
        }
    }
    assert_same(&stored(folder), &expected);
    for keep_minutes in [Duration::MAX, Duration::from_secs(1)] {
        let settings = IngestorSettings {
            keep_samples: Duration::from_secs(1),
            keep_minutes,
            keep_hours: Duration::MAX,
            max_history_bytes: u64::MAX,
            ..IngestorSettings::default()
        };
        tidy_folder(folder, i64::MAX / 2, &settings).unwrap();
        assert_same(&stored(folder), &expected);
    }
    check_questions(folder, &expected, rng);
}

/// Part of the events, as anybody may ask for it.
fn check_questions(folder: &Path, all: &[Event], rng: &mut Rng) {
    let history = History::open(folder).unwrap();
    let Some(some) = rng.choice(all) else { return };
    for _ in 0..20 {
        let (one, other) = (rng.choice(all).unwrap(), rng.choice(all).unwrap());
        let span = Span { from_us: one.at_us.min(other.at_us), to_us: one.at_us.max(other.at_us) + 1 };
        let query = EventQuery {
            host: rng.bool().then(|| some.host.clone()),
            kinds: if rng.bool() { vec![some.kind, EventKind::Exited] } else { Vec::new() },
            program: if rng.bool() { some.name().map(str::to_owned) } else { None },
            text: ["", "POST", "a", "<img", "→"].get(rng.usize(0..8)).map(|text| (*text).to_owned()),
            ..EventQuery::of(span, rng.usize(1..40))
        };
        let mut expected: Vec<Event> = all.iter().filter(|event| query.matches(event)).cloned().collect();
        fleetps_ingestor::history::sort_events(&mut expected);
        let found = history.events(&query).unwrap();
        if let Some(total) = found.total {
            assert_eq!(total, expected.len() as u64, "{query:?}");
        }
        expected.truncate(query.limit);
        assert_eq!(found.items, expected, "{query:?}");
    }
}

/// Fails unless the stored events are what the stream decides, read as a whole from its beginning.
pub async fn assert_events_of_the_stream(fixture: &Fixture) {
    let last = names(&fixture.history()).iter().map(|name| name.last_sequence).max().unwrap();
    let epoch_s = names(&fixture.history())[0].epoch_s;
    let mut reader = SnapshotReader::new(fixture.jetstream().await, Start::Sequence(1), None);
    let (mut detector, mut decoder) = (Detector::default(), Decoder::new().unwrap());
    let mut highest: HashMap<(String, String), u64> = HashMap::new();
    let mut expected = Vec::new();
    loop {
        let Delivery::Message(delivered) = within(reader.next()).await else { panic!("something is lost") };
        let sequence = delivered.sequence;
        if sequence > last {
            break;
        }
        let place = MessagePlace { partition: 0, epoch_s, sequence, stored_at_us: delivered.stored_at_us };
        // A host whose publication was not acknowledged publishes again.
        let new = host_of_snapshot(&delivered.subject).and_then(|host| {
            let snapshot = decoder.decode(&delivered.payload, delivered.stored_at_us).unwrap();
            let run = (host.to_string(), snapshot.run_id.clone());
            let known = highest.get(&run).copied().unwrap_or_default();
            highest.insert(run, known.max(snapshot.sequence));
            (snapshot.sequence > known).then_some((host, snapshot))
        });
        expected.extend(match new {
            Some((host, snapshot)) => detector.snapshot(place, &host, &snapshot),
            None => detector.tick(place),
        });
        if sequence == last {
            break;
        }
    }
    assert!(expected.len() > 100, "only {} events", expected.len());
    assert_same(&stored(&fixture.history()), &expected);
}

/// What runs beside the first process of a host that is looked at every 10 s, at a second: pid, parent's pid, name, unit, and
/// when it started.
type Runs<'a> = &'a dyn Fn(i64) -> Vec<(u32, u32, &'static str, &'static str, i64)>;

fn watched(seconds: i64, runs: Runs<'_>) -> Vec<Published> {
    let at = |second: i64| {
        let others = runs(second).into_iter().map(|(pid, parent, name, unit, started_s)| Process {
            pid,
            parent_pid: Some(parent),
            started_at_us: (EPOCH_S + started_s) * SECOND_US,
            name: name.to_owned(),
            command_line: Some(format!("/usr/bin/{name}")),
            unit: Some(unit.to_owned()),
            ..Process::default()
        });
        let init = Process { pid: 1, name: "systemd".to_owned(), ..Process::default() };
        let captured_at_us = (EPOCH_S + second) * SECOND_US;
        let snapshot = Snapshot {
            boot_id: "boot".to_owned(),
            run_id: "run".to_owned(),
            sequence: second.unsigned_abs() / 10 + 1,
            captured_at_us,
            interval_ms: 10_000,
            monotonic_ms: second.unsigned_abs() * 1000,
            processes: std::iter::once(init).chain(others).collect(),
            ..Snapshot::default()
        };
        Published { host: "web-01".parse().unwrap(), stored_at_us: captured_at_us + 1000, snapshot }
    };
    (0..seconds).step_by(10).map(at).collect()
}

/// One process after the other: each lives for `lives_s` of `period_s`, until the second `until_s`.
fn again_and_again(second: i64, (lives_s, period_s): (i64, i64), until_s: i64) -> Option<(u32, i64)> {
    let start_s = second / period_s * period_s;
    let is_alive = second < until_s && second - start_s < lives_s;
    is_alive.then(|| (100 + u32::try_from(start_s / period_s).unwrap(), start_s))
}

fn loops(published: &[Published]) -> Vec<(EventKind, i64, u32, i64)> {
    let mut detector = Detector::default();
    let mut rng = Rng::with_seed(1);
    let messages = with_ticks(published, &mut rng);
    let events =
        (1..).zip(&messages).flat_map(|(sequence, message)| decide(&mut detector, sequence, message));
    let second = |at_us: i64| at_us / SECOND_US - EPOCH_S;
    let of_loop =
        |event: Event| Some((event.kind, second(event.at_us), event.lives?, second(event.since_us?)));
    events.filter_map(of_loop).collect()
}

/// A service that crashes for 40 minutes and then stays away: the first process was there already, so the sixth start is
/// that at 120 s.
fn crashing() -> Vec<Published> {
    watched(3600, &|second| {
        let life = again_and_again(second, (10, 20), 2400);
        life.map(|(pid, start_s)| (pid, 1, "app", "app.service", start_s)).into_iter().collect()
    })
}

#[test]
fn a_restart_loop_is_one_event_when_it_begins_and_one_when_it_ends() {
    let expected = [(EventKind::RestartLoop, 120, 6, 20), (EventKind::RestartLoopEnded, 2380, 119, 20)];
    assert_eq!(loops(&crashing()), expected);
}

#[test]
fn a_restart_loop_is_the_same_whenever_the_ingestor_was_killed() {
    for seed in seeds(3) {
        let published = crashing();
        let mut rng = Rng::with_seed(seed);
        let messages = with_ticks(&published, &mut rng);
        check(&messages, &mut rng);
    }
}

#[test]
fn timers_pools_jobs_and_children_of_anything_are_no_restart_loops() {
    let one = |period: (i64, i64), parent: u32, unit: &'static str| {
        watched(3600, &move |second| {
            let life = again_and_again(second, period, 3600);
            life.map(|(pid, start_s)| (pid, parent, "app", unit, start_s)).into_iter().collect()
        })
    };
    // A timer once a minute, a job of cron, a command of a session.
    for published in [
        one((10, 60), 1, "app.service"),
        one((10, 20), 50, "cron.service"),
        one((10, 20), 1, "session-1.scope"),
    ] {
        assert_eq!(loops(&published), []);
    }
    // Two at a time.
    let pool = watched(3600, &|second| {
        let (one, other) = (second / 40 * 40, (second + 20) / 40 * 40 - 20);
        let pid = |start_s: i64| 1000 + u32::try_from(start_s + 40).unwrap();
        [one, other].map(|start_s| (pid(start_s), 1, "app", "app.service", start_s)).into()
    });
    assert_eq!(loops(&pool), []);
    // But the same one at a time.
    assert_eq!(loops(&one((10, 20), 1, "app.service")).len(), 1);
}

#[test]
fn the_stored_events_are_those_of_the_stream_whenever_the_ingestor_was_killed() {
    for seed in seeds(4) {
        let published = fleet(seed);
        let mut rng = Rng::with_seed(seed);
        let messages = with_ticks(&published, &mut rng);
        check(&messages, &mut rng);
    }
}

/// Snapshots of a host every second, each with its run, boot and by how much its clock is off, and what they decide.
fn decided(snapshots: &[(&str, &str, i64)]) -> Vec<(EventKind, Option<i64>)> {
    let (mut detector, host) = (Detector::default(), "web-01".parse().unwrap());
    let mut events = Vec::new();
    for (sequence, (run_id, boot_id, offset_us)) in (1..).zip(snapshots) {
        let stored_at_us = EPOCH_S * SECOND_US + sequence * SECOND_US;
        let snapshot = Snapshot {
            run_id: (*run_id).to_owned(),
            boot_id: (*boot_id).to_owned(),
            captured_at_us: stored_at_us,
            clock_offset_us: Some(*offset_us),
            interval_ms: 1000,
            monotonic_ms: u64::try_from(sequence).unwrap() * 1000,
            ..Snapshot::default()
        };
        let sequence = u64::try_from(sequence).unwrap();
        let place = MessagePlace { partition: 0, epoch_s: EPOCH_S, sequence, stored_at_us };
        events.extend(detector.snapshot(place, &host, &snapshot));
    }
    events.into_iter().map(|event| (event.kind, event.length_ms)).collect()
}

#[test]
fn a_clock_that_is_off_is_told_once_and_when_it_is_set_right_that_is_told_too() {
    let hour_us = 3_600 * SECOND_US;
    let of = |offsets_us: &[i64]| {
        decided(&offsets_us.iter().map(|offset_us| ("run", "boot", *offset_us)).collect::<Vec<_>>())
    };
    assert_eq!(of(&[0, 4 * SECOND_US, -4 * SECOND_US]), [], "a little");
    let off = (EventKind::ClockOffset, Some(3_600_000));
    assert_eq!(of(&[hour_us, hour_us, hour_us + 3_000]), [off], "from the first snapshot on");
    // Its times are on the broker's clock all the while, so what it was set by is in the offset alone.
    let right = [(EventKind::ClockChanged, Some(-3_600_000)), (EventKind::ClockOffset, Some(0))];
    assert_eq!(of(&[hour_us, 0, 0]), [&[off][..], &right].concat());
}

#[test]
fn two_machines_with_one_key_are_told_once_and_nothing_else_is_made_of_it() {
    let (a, b) = (("run-a", "boot-a", 0), ("run-b", "boot-b", 0));
    let booted = (EventKind::Booted, None);
    assert_eq!(decided(&[a, a, b, b]), [booted], "another boot, with a run of its own");
    assert_eq!(decided(&[a, b, a, b, b, a, a]), [booted, (EventKind::TwoAgents, None)]);
    let restarted = ("run-c", "boot-a", 0);
    assert_eq!(decided(&[a, restarted, restarted]), [], "an agent that restarts");
}
