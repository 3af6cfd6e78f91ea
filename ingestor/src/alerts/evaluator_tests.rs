use fastrand::Rng;
use fleetps_nats::{
    model::process::PROCESS,
    own_figures::OwnFigure,
    snapshot::{FilesystemSample, HostSample, Process},
};

use super::*;
use crate::{alerts::Severity, events::EventKind};

const INTERVAL_MS: u32 = 10_000;

fn rule(id: &str, sentence: &str) -> Rule {
    Rule::parse(id, 1, Severity::Warning, sentence).unwrap()
}

fn host(name: &str) -> HostName {
    name.parse().unwrap()
}

/// A stream of one host's snapshots, one in 10 s.
struct Stream {
    evaluator: Evaluator,
    sequence: u64,
    at_us: i64,
    boot: u32,
}

impl Stream {
    fn of(rules: &[(&str, &str)]) -> Self {
        let mut evaluator = Evaluator::default();
        evaluator.set_rules(rules.iter().map(|(id, sentence)| rule(id, sentence)).collect(), 0);
        Self { evaluator, sequence: 0, at_us: 1_000_000_000_000, boot: 1 }
    }

    fn place(&self) -> (MessagePlace, StreamClock) {
        let place =
            MessagePlace { partition: 0, epoch_s: 1, sequence: self.sequence, stored_at_us: self.at_us };
        (place, StreamClock { now_ms: Some(self.at_us / 1000), counted_from_ms: None })
    }

    fn pass(&mut self, seconds: i64) -> Vec<AlertChange> {
        (self.at_us, self.sequence) = (self.at_us + seconds * 1_000_000, self.sequence + 1);
        let (place, clock) = self.place();
        self.evaluator.tick(place, clock)
    }

    /// The snapshot with the time that it is.
    fn as_sent(&self, snapshot: Snapshot) -> Snapshot {
        Snapshot {
            boot_id: format!("boot-{}", self.boot),
            captured_at_us: self.at_us,
            monotonic_ms: u64::try_from(self.at_us / 1000).unwrap(),
            interval_ms: INTERVAL_MS,
            ..snapshot
        }
    }

    fn send(&mut self, name: &str, snapshot: Snapshot) -> Vec<AlertChange> {
        (self.at_us, self.sequence) = (self.at_us + 10_000_000, self.sequence + 1);
        let snapshot = self.as_sent(snapshot);
        let (place, clock) = self.place();
        self.evaluator.snapshot(place, clock, &host(name), &Arc::new(snapshot))
    }
}

fn process(pid: u32, name: &str, cpu_percent: f32) -> Process {
    Process { pid, name: name.to_owned(), cpu_percent: Some(cpu_percent), ..Process::default() }
}

fn processes(processes: Vec<Process>) -> Snapshot {
    Snapshot { processes, ..Snapshot::default() }
}

fn words(changes: &[AlertChange]) -> Vec<(String, String, Change)> {
    changes.iter().map(|it| (it.alert.rule.clone(), it.alert.instance(), it.change)).collect()
}

fn said(rule: &str, instance: &str, change: Change) -> (String, String, Change) {
    (rule.to_owned(), instance.to_owned(), change)
}

#[test]
fn rules_look_at_processes_programs_hosts_and_file_systems() {
    let mut stream = Stream::of(&[
        ("one", "cpu > 90% over process"),
        ("all", "cpu > 150% over program where name:java"),
        ("gone", "count < 1 where name:nginx"),
        ("memory", "memory > 90%"),
        ("disk", "disk > 80%"),
    ]);
    let full = FilesystemSample {
        mount: "/data".to_owned(),
        total_bytes: Some(100),
        used_bytes: Some(85),
        ..FilesystemSample::default()
    };
    let sample =
        HostSample { memory_total_bytes: Some(100), memory_used_bytes: Some(95), ..HostSample::default() };
    let mut snapshot =
        processes(vec![process(1, "java", 95.0), process(2, "java", 60.0), process(3, "nginx", 1.0)]);
    snapshot.processes[2].written_bytes = Some(7);
    (snapshot.host, snapshot.filesystems) = (sample, vec![full]);
    let changes = stream.send("a", snapshot);
    assert_eq!(
        words(&changes),
        [
            said("one", "java (1)", Change::Raised),
            said("all", "java", Change::Raised),
            said("memory", "", Change::Raised),
            said("disk", "/data", Change::Raised),
        ]
    );
    let culprits: Vec<_> = changes[1].culprits.iter().map(|culprit| (culprit.pid, culprit.value)).collect();
    assert_eq!((changes[1].value, culprits), (Some(155.0), vec![(1, 95.0), (2, 60.0)]));
    let writers: Vec<_> = changes[3].culprits.iter().map(|culprit| (culprit.pid, culprit.value)).collect();
    assert_eq!(writers, [(3, 7.0)]);
    // The program starts anew: its own alert goes on, that of the process has ended.
    let changes = stream.send("a", processes(vec![process(7, "java", 160.0)]));
    assert_eq!(
        words(&changes),
        [
            said("one", "java (1)", Change::Exited),
            said("one", "java (7)", Change::Raised),
            said("gone", "", Change::Raised),
        ],
        "neither memory nor the disk is known now"
    );
    let none = || processes(vec![process(3, "nginx", 0.0)]);
    assert_eq!(
        words(&stream.send("a", none())),
        [said("one", "java (7)", Change::Exited), said("gone", "", Change::Cleared)]
    );
    // After three intervals.
    assert_eq!(words(&stream.send("a", none())), [said("disk", "/data", Change::Gone)]);
    assert_eq!(words(&stream.send("a", none())), [said("all", "java", Change::Gone)]);
}

#[test]
fn a_host_that_is_silent_is_told_once_and_its_other_alerts_stay() {
    let mut stream = Stream::of(&[("silent", "silent for 1m"), ("cpu", "cpu > 90% over process")]);
    assert_eq!(
        words(&stream.send("a", processes(vec![process(1, "x", 99.0)]))),
        [said("cpu", "x (1)", Change::Raised)]
    );
    // Three intervals, and a minute.
    assert_eq!(words(&stream.pass(90)), []);
    let raised = stream.pass(1);
    assert_eq!(words(&raised), [said("silent", "", Change::Raised)]);
    assert_eq!(words(&stream.pass(600)), []);
    let back = stream.send("a", processes(vec![process(1, "x", 99.0)]));
    assert_eq!(words(&back), [said("silent", "", Change::Cleared)]);
    assert_eq!(back[0].alert, raised[0].alert);
    // Thirty days later nobody expects it any longer.
    stream.pass(100);
    let forgotten = stream.pass(31 * 24 * 3600);
    assert_eq!(words(&forgotten), [said("silent", "", Change::Gone), said("cpu", "x (1)", Change::Gone)]);
}

#[test]
fn a_boot_ends_the_alerts_of_processes_and_a_gap_adds_no_time() {
    let mut stream =
        Stream::of(&[("one", "cpu > 90% for 20s over process"), ("host", "cpu > 90% for 20s where name:x")]);
    let busy = || processes(vec![process(1, "x", 99.0)]);
    let changes: Vec<usize> = (0..2).map(|_| stream.send("a", busy()).len()).collect();
    assert_eq!(changes, [0, 0]);
    stream.pass(3600);
    assert_eq!(words(&stream.send("a", busy())), [], "the gap does not count");
    assert_eq!(
        words(&stream.send("a", busy())),
        [said("one", "x (1)", Change::Raised), said("host", "x (1)", Change::Raised)]
    );
    stream.boot = 2;
    assert_eq!(
        words(&stream.send("a", busy())),
        [said("one", "x (1)", Change::Exited), said("host", "x (1)", Change::Exited)]
    );
}

#[test]
fn a_snapshot_that_arrives_late_says_nothing() {
    let mut stream = Stream::of(&[("one", "cpu > 90% over process")]);
    stream.send("a", processes(vec![process(1, "x", 1.0)]));
    let (place, clock) = stream.place();
    let mut late = processes(vec![process(1, "x", 99.0)]);
    (late.boot_id, late.captured_at_us) = ("boot-1".to_owned(), stream.at_us - 1);
    assert_eq!(stream.evaluator.snapshot(place, clock, &host("a"), &Arc::new(late)), []);
}

#[test]
fn a_rule_that_is_changed_ends_its_alerts_and_begins_anew() {
    let mut stream = Stream::of(&[("one", "cpu > 90% over process"), ("other", "cpu > 95% over process")]);
    let busy = || processes(vec![process(1, "x", 99.0)]);
    let before = stream.send("a", busy());
    let changed = Rule { revision: 2, ..rule("one", "cpu > 80% over process") };
    let ended = stream.evaluator.set_rules(vec![changed, rule("other", "cpu > 95% over process")], 7);
    assert_eq!(words(&ended), [said("one", "x (1)", Change::RuleChanged)]);
    let after = stream.send("a", busy());
    assert_eq!(words(&after), [said("one", "x (1)", Change::Raised)]);
    assert_ne!(before[0].alert.id, after[0].alert.id);
}

/// The changes that are no alerts of processes.
fn too_many(changes: &[AlertChange]) -> Vec<Option<f64>> {
    changes.iter().filter(|it| it.change == Change::TooMany).map(|it| it.value).collect()
}

#[test]
fn what_one_rule_remembers_of_the_fleet_is_bounded() {
    let mut stream = Stream::of(&[("one", "cpu > 90% over process")]);
    let busy = |count| processes((1..=count).map(|pid| process(pid, "x", 99.0)).collect());
    for number in 0..10 {
        assert_eq!(stream.send(&format!("h{number}"), busy(99)).len(), 99);
    }
    let more = stream.send("b", busy(20));
    assert_eq!((more.len(), too_many(&more)), (11, vec![Some(1000.0)]));
    assert_eq!(stream.send("c", busy(1)), [], "it was told");
    assert_eq!(stream.evaluator.beyond(), 11);
    let exited = stream.send("h1", processes(Vec::new()));
    assert!(exited.len() == 99 && exited.iter().all(|change| change.change == Change::Exited));
    assert_eq!(stream.send("b", busy(20)).len(), 10, "there is room now");
}

#[test]
fn one_host_cannot_use_up_the_room_of_all() {
    let rules = [("one", "cpu > 90% over process"), ("all", "cpu > 90% over program")];
    let mut stream = Stream::of(&rules);
    let busy = |count| processes((1..=count).map(|pid| process(pid, "x", 99.0)).collect());
    let of_host = stream.send("a", busy(2_000));
    assert_eq!(
        (of_host.len(), too_many(&of_host)),
        (102, vec![Some(100.0)]),
        "100, the program, and too many"
    );
    assert_eq!(stream.send("a", busy(2_000)), [], "it is told once");
    assert_eq!(too_many(&stream.send("b", busy(150))), [Some(100.0)], "and once of each host");
    assert_eq!(stream.send("c", busy(5)).len(), 6);
    // What was told outlives a restart, and is told again after it was less for once.
    let written = rmp_serde::to_vec_named(&stream.evaluator.state()).unwrap();
    stream.evaluator = Evaluator::restore(rmp_serde::from_slice(&written).unwrap());
    assert_eq!(stream.send("a", busy(2_000)), []);
    assert_eq!(stream.send("a", busy(10)).len(), 90);
    assert_eq!(too_many(&stream.send("a", busy(101))), [Some(100.0)]);
}

#[test]
fn restart_loops_of_one_host_are_bounded_too() {
    let mut stream = Stream::of(&[("loop", "restart_loop")]);
    stream.send("a", processes(Vec::new()));
    let (place, _) = stream.place();
    let event = |kind, number: u32| {
        let name = format!("job-{number}");
        let program = crate::events::EventProgram { name, ..Default::default() };
        Event { program: Some(program), ..Event::of_host(kind, &host("a"), stream.at_us) }
    };
    let begun: Vec<Event> = (0..120).map(|number| event(EventKind::RestartLoop, number)).collect();
    let ended: Vec<Event> = (0..120).map(|number| event(EventKind::RestartLoopEnded, number)).collect();
    let raised = stream.evaluator.events(place, &begun);
    assert_eq!((raised.len(), too_many(&raised)), (101, vec![Some(100.0)]));
    assert_eq!(stream.evaluator.events(place, &begun), []);
    assert_eq!(stream.evaluator.events(place, &ended).len(), 100);
}

/// A sample of an instance, as the plainest way keeps it: its value, and the seconds since the host's sample before, if no gap
/// lies between.
type Sample = (Option<f64>, Option<u64>);

/// The plainest way to evaluate `cpu > 50 clear 30 for 20s over program` over whole lists of samples: looks back from each one
/// for as long as the value was such, over samples that are unknown, and adds up the time that was observed.
fn plain(samples: &[Sample]) -> Vec<(usize, Change)> {
    let (mut told, mut raised, mut from) = (Vec::new(), false, 0);
    for index in 0..samples.len() {
        let is_such = |value: f64| if raised { value <= 30.0 } else { value > 50.0 };
        let Some(value) = samples[index].0 else { continue };
        if !is_such(value) {
            continue;
        }
        let known: Vec<&Sample> = samples[from..=index].iter().filter(|(value, _)| value.is_some()).collect();
        let such = known.iter().rev().take_while(|(value, _)| value.is_some_and(is_such)).count();
        // The first of them begins the time.
        let observed_s: u64 =
            known[known.len() - such + 1..].iter().filter_map(|(_, since_s)| *since_s).sum();
        if observed_s >= 20 {
            raised = !raised;
            from = index + 1;
            told.push((index, if raised { Change::Raised } else { Change::Cleared }));
        }
    }
    told
}

#[test]
fn random_streams_with_gaps_are_evaluated_as_the_plainest_way_does() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let mut compared = 0;
    for _ in 0..300 {
        let mut stream = Stream::of(&[("r", "cpu > 50 clear 30 for 20s over program")]);
        let (mut samples, mut found) = (Vec::new(), Vec::new());
        for index in 0..60 {
            let is_gap = index > 0 && rng.u8(..12) == 0;
            if is_gap {
                stream.pass(rng.i64(31..500));
            }
            let value = (rng.u8(..10) > 0).then(|| f64::from(rng.u8(..4)) * 20.0 + 5.0);
            samples.push((value, (index > 0 && !is_gap).then_some(10)));
            let cpu_percent = value.map(|value| value as f32);
            // Another process of the same program, now and then.
            let pid = u32::from(rng.u8(..15));
            let process = Process { pid, name: "x".to_owned(), cpu_percent, ..Process::default() };
            let changes = stream.send("a", processes(vec![process]));
            found.extend(changes.iter().map(|change| (index, change.change)));
        }
        let expected = plain(&samples);
        // From where it flaps on, nothing is told.
        let steady = found.iter().position(|(_, change)| *change == Change::Flapping).unwrap_or(found.len());
        assert_eq!(found[..steady], expected[..steady], "seed {seed}: {samples:?}");
        assert!(steady < found.len() || found.len() == expected.len(), "seed {seed}: {samples:?}");
        compared += steady;
    }
    assert!(compared > 50, "only {compared} changes");
}

#[test]
fn an_evaluator_that_goes_on_decides_as_one_that_was_never_stopped() {
    let rules = [
        ("sum", "cpu > 50 clear 30 for 20s over program"),
        ("one", "cpu > 60 2 of 4 over process"),
        ("rate", "read > 1M clear 1K over program"),
        ("silent", "silent for 30s"),
        ("none", "count < 1 for 10s where name:b"),
    ];
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let mut told = 0;
    for _ in 0..60 {
        let (mut whole, mut stopped) = (Stream::of(&rules), Stream::of(&rules));
        let mut last: HashMap<&str, Snapshot> = HashMap::new();
        let mut read_bytes = 0;
        for _ in 0..80 {
            if rng.u8(..15) == 0 {
                let seconds = rng.i64(1..200);
                assert_eq!(whole.pass(seconds), stopped.pass(seconds), "seed {seed}");
            }
            if rng.u8(..8) == 0 {
                let written = rmp_serde::to_vec_named(&stopped.evaluator.state()).unwrap();
                let state: EvaluatorState<'static> = rmp_serde::from_slice(&written).unwrap();
                stopped.evaluator = Evaluator::restore(state);
                // What a host that is not silent sent last is read again.
                for (name, snapshot) in &last {
                    stopped.evaluator.recall(&host(name), &Arc::new(snapshot.clone()));
                }
            }
            let name = ["h1", "h2"][rng.usize(..2)];
            read_bytes += u64::from(rng.u8(..3)) << 24;
            let mut all = Vec::new();
            for program in ["a", "b"] {
                if rng.u8(..6) > 0 {
                    let cpu_percent = f32::from(rng.u8(..10)) * 10.0;
                    let process = process(u32::from(rng.u8(1..4)), program, cpu_percent);
                    all.push(Process { read_bytes: Some(read_bytes), ..process });
                }
            }
            let snapshot = processes(all);
            let changes = whole.send(name, snapshot.clone());
            assert_eq!(stopped.send(name, snapshot.clone()), changes, "seed {seed}");
            last.insert(name, whole.as_sent(snapshot));
            told += changes.len();
        }
    }
    assert!(told > 500, "only {told} changes");
}

#[test]
fn a_hole_in_the_stream_neither_raises_nor_ends_a_silence() {
    let mut stream = Stream::of(&[("silent", "silent for 1m")]);
    stream.send("a", processes(Vec::new()));
    assert_eq!(words(&stream.pass(100)), [said("silent", "", Change::Raised)]);
    // As after the broker was away: silence counts from now on.
    (stream.at_us, stream.sequence) = (stream.at_us + 3_600_000_000, stream.sequence + 1);
    let (place, clock) = stream.place();
    let clock = StreamClock { counted_from_ms: clock.now_ms, ..clock };
    assert_eq!(stream.evaluator.tick(place, clock), []);
    assert_eq!(words(&stream.send("a", processes(Vec::new()))), [said("silent", "", Change::Cleared)]);
    (stream.at_us, stream.sequence) = (stream.at_us + 3_600_000_000, stream.sequence + 1);
    let (place, clock) = stream.place();
    let clock = StreamClock { counted_from_ms: clock.now_ms, ..clock };
    assert_eq!(stream.evaluator.tick(place, clock), []);
    let awaited_ms = stream.evaluator.awaited_ms().unwrap();
    assert_eq!(awaited_ms, clock.now_ms.unwrap() + 90_000, "three intervals and a minute from the hole on");
}

#[test]
fn a_restart_loop_is_an_alert_from_its_event_to_the_one_of_its_end() {
    let mut stream = Stream::of(&[("loop", "restart_loop")]);
    stream.send("a", processes(Vec::new()));
    let (place, _) = stream.place();
    let event = |kind| {
        let event = Event::of_host(kind, &host("a"), stream.at_us);
        let program = crate::events::EventProgram { name: "job".to_owned(), ..Default::default() };
        let supervisor = Some("job.service".to_owned());
        Event { program: Some(program), supervisor, lives: Some(6), ..event }
    };
    let (begun, ended) = (event(EventKind::RestartLoop), event(EventKind::RestartLoopEnded));
    let raised = stream.evaluator.events(place, &[begun]);
    assert_eq!(words(&raised), [said("loop", "job (job.service)", Change::Raised)]);
    assert_eq!(raised[0].value, Some(6.0));
    assert_eq!(words(&stream.send("a", processes(Vec::new()))), []);
    let (place, _) = stream.place();
    let cleared = stream.evaluator.events(place, &[ended]);
    assert_eq!(words(&cleared), [said("loop", "job (job.service)", Change::Cleared)]);
    assert_eq!(cleared[0].alert, raised[0].alert);
}

/// A disk of 1,000 MiB of which so many are used.
fn disk(used_mib: u64) -> Snapshot {
    let mib = |mib: u64| Some(mib << 20);
    let disk = FilesystemSample {
        mount: "/data".to_owned(),
        total_bytes: mib(1_000),
        used_bytes: mib(used_mib),
        available_bytes: mib(1_000 - used_mib),
        ..FilesystemSample::default()
    };
    Snapshot { filesystems: vec![disk], ..processes(vec![process(1, "writer", 1.0)]) }
}

#[test]
fn a_disk_that_will_be_full_soon_is_told_before_it_is_and_a_restart_changes_nothing() {
    let rules = [("soon", "disk_full_in < 2d clear 3d"), ("full", "disk > 97%")];
    let (mut stream, mut again) = (Stream::of(&rules), Stream::of(&rules));
    let mut told = Vec::new();
    for hour in 0..60 {
        // Ten MiB an hour, until somebody cleans up.
        let used = if hour < 40 { 500 + 10 * hour } else { 300 };
        for stream in [&mut stream, &mut again] {
            stream.pass(1800);
            stream.pass(1790);
        }
        let mut snapshot = disk(used);
        snapshot.processes[0].written_bytes = Some(5);
        let changes = stream.send("a", snapshot.clone());
        assert_eq!(again.send("a", snapshot), changes, "hour {hour}");
        let written = rmp_serde::to_vec_named(&again.evaluator.state()).unwrap();
        again.evaluator = Evaluator::restore(rmp_serde::from_slice(&written).unwrap());
        told.extend(changes.into_iter().map(|change| (hour, change)));
    }
    let words: Vec<_> = told.iter().map(|(hour, it)| (*hour, it.alert.rule.as_str(), it.change)).collect();
    let [(begun, "soon", Change::Raised), (cleared, "soon", Change::Cleared)] = words[..] else {
        panic!("{words:?}")
    };
    // Most of a day must be known; what is left then lasts another.
    assert!((20..30).contains(&begun) && (40..43).contains(&cleared), "{begun} and {cleared}");
    let left_s = told[0].1.value.unwrap();
    assert!((0.8..1.2).contains(&(left_s / 3600.0 / (50.0 - begun as f64))), "{left_s} s at {begun}");
    assert_eq!(told[0].1.culprits[0].name, "writer");
}

#[test]
fn what_the_kernel_ends_for_want_of_memory_is_told_once_for_each_time() {
    let mut stream = Stream::of(&[("oom", "oom_kills/s > 0")]);
    let killed = |kills| {
        let large = Process { resident_bytes: Some(9 << 30), ..process(2, "large", 1.0) };
        let host = HostSample { oom_kills: kills, ..HostSample::default() };
        Snapshot { host, ..processes(vec![process(1, "busy", 99.0), large]) }
    };
    // One that was killed before the first snapshot, and a kernel that does not count, say nothing.
    let (mut all, mut culprits) = (Vec::new(), Vec::new());
    for kills in [None, Some(3), Some(3), Some(4), Some(4), Some(4), None, Some(5)] {
        let changes = stream.send("a", killed(kills));
        culprits.extend(changes.iter().flat_map(|it| it.culprits.clone()).map(|it| it.name));
        all.push(changes.iter().map(|it| it.change).collect::<Vec<_>>());
    }
    let none = Vec::new;
    assert_eq!(
        all,
        [none(), none(), none(), vec![Change::Raised], vec![Change::Cleared], none(), none(), none()]
    );
    assert_eq!(culprits, ["large"]);
}

#[test]
fn what_the_kernel_killed_while_a_host_was_silent_is_told_when_it_is_back() {
    let mut stream = Stream::of(&[("oom", "oom_kills/s > 0"), ("disk", "disk_written_bytes/s > 0")]);
    let counted = |count| {
        let host =
            HostSample { oom_kills: Some(count), disk_written_bytes: Some(count), ..HostSample::default() };
        Snapshot { host, ..Snapshot::default() }
    };
    assert_eq!(stream.send("a", counted(3)), []);
    stream.pass(3600);
    let written = rmp_serde::to_vec_named(&stream.evaluator.state()).unwrap();
    stream.evaluator = Evaluator::restore(rmp_serde::from_slice(&written).unwrap());
    let back = stream.send("a", counted(5));
    assert_eq!(words(&back), [said("oom", "", Change::Raised)], "nothing else is measured over a gap");
    assert_eq!(back[0].value, Some(2.0 / 3610.0));
    assert_eq!(words(&stream.send("a", counted(5))), [said("oom", "", Change::Cleared)]);
    stream.pass(3600);
    assert_eq!(stream.send("a", counted(5)), [], "none was killed");
    stream.pass(3600);
    stream.boot = 2;
    assert_eq!(stream.send("a", counted(9)), [], "another boot has another counter");
}

#[test]
fn a_rule_for_some_groups_is_for_the_hosts_in_any_of_them() {
    let mut stream = Stream::of(&[]);
    let of_web = Rule { groups: Some(["web".to_owned()].into()), ..rule("one", "cpu > 90% over process") };
    stream.evaluator.set_rules(vec![of_web], 0);
    let busy = || processes(vec![process(1, "x", 99.0)]);
    let in_group = |group: &str| HostGroups::from([(host("a"), [group.to_owned()].into())]);
    assert_eq!(stream.send("a", busy()), []);
    stream.evaluator.set_groups(in_group("web"));
    assert_eq!(words(&stream.send("a", busy())), [said("one", "x (1)", Change::Raised)]);
    assert_eq!(stream.send("b", busy()), []);
    stream.evaluator.set_groups(in_group("db"));
    assert_eq!(words(&stream.send("a", busy())), [said("one", "x (1)", Change::RuleChanged)]);
}

#[test]
fn of_the_snapshot_before_only_what_rules_need_is_kept() {
    let written = |bytes| {
        let host = HostSample { disk_written_bytes: Some(bytes), ..HostSample::default() };
        Snapshot { host, ..processes(vec![process(1, "x", 1.0)]) }
    };
    let kept = |stream: &Stream| {
        let known = stream.evaluator.hosts.get(&host("a")).unwrap();
        known.previous.as_ref().map(|snapshot| snapshot.processes.len())
    };
    for (sentence, kept_processes) in [
        ("cpu > 90% over process", None),
        ("disk_written_bytes/s > 1M", Some(0)),
        ("cpu > 90% over process where written > 1M", Some(1)),
    ] {
        let mut stream = Stream::of(&[("r", sentence)]);
        stream.send("a", written(0));
        assert_eq!(kept(&stream), kept_processes, "{sentence}");
        let is_of_host = kept_processes == Some(0);
        assert_eq!(stream.send("a", written(100 << 20)).len(), usize::from(is_of_host), "{sentence}");
    }
}

#[test]
fn an_alert_of_which_only_the_last_change_is_known_goes_on() {
    let mut stream = Stream::of(&[("sum", "cpu > 90% over program"), ("silent", "silent")]);
    let raised = stream.send("a", processes(vec![process(1, "x", 99.0)]));
    let mut next = Stream::of(&[("sum", "cpu > 90% over program"), ("silent", "silent")]);
    (next.at_us, next.sequence) = (stream.at_us, stream.sequence);
    next.evaluator.resume(&raised[0].alert, stream.at_us / 1000);
    assert_eq!(next.send("a", processes(vec![process(2, "x", 98.0)])), []);
    let cleared = next.send("a", processes(vec![process(2, "x", 1.0)]));
    assert_eq!(words(&cleared), [said("sum", "x", Change::Cleared)]);
    assert_eq!(cleared[0].alert, raised[0].alert);
}

#[test]
fn the_same_stream_gives_the_same_alerts() {
    assert!(PROCESS.iter().any(|field| field.filter_word == Some("cpu")));
    let run = || {
        let mut stream = Stream::of(&[("one", "cpu > 90% over process"), ("silent", "silent")]);
        let mut all = stream.send("a", processes(vec![process(1, "x", 99.0)]));
        all.extend(stream.send("b", processes(vec![process(1, "x", 99.0), process(2, "y", 98.0)])));
        all.extend(stream.pass(500));
        all
    };
    let (first, again) = (run(), run());
    assert_eq!(first, again);
    let mut ids: Vec<&str> = first.iter().map(|change| change.alert.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), first.len()), (5, 5));
}

/// What a part of fleetps on the host `name` says.
fn told(name: &str, part: &str, figure: OwnFigure, value: f64) -> OwnFigures {
    let mut told = OwnFigures::of(part, [(figure, Some(value))]);
    told.host = host(name);
    told
}

impl Stream {
    fn tell(&mut self, told: &OwnFigures) -> Vec<AlertChange> {
        (self.at_us, self.sequence) = (self.at_us + 30_000_000, self.sequence + 1);
        let (place, _) = self.place();
        self.evaluator.own(place, told)
    }
}

#[test]
fn what_fleetps_says_of_itself_is_measured_part_by_part_and_snapshots_change_nothing_of_it() {
    let mut stream =
        Stream::of(&[("behind", "history_behind > 5m clear 3m for 1m"), ("quiet", "silent for 1m")]);
    let history = |value: f64| told("vm", "history", OwnFigure::HistoryBehind, value);
    let second = |value: f64| told("vm", "history, partition 1", OwnFigure::HistoryBehind, value);
    let disk = told("vm", "history", OwnFigure::HistoryDisk, 99.0);
    assert_eq!(stream.tell(&history(301.0)), []);
    assert_eq!(stream.send("vm", Snapshot::default()), []);
    assert_eq!(
        stream.tell(&history(400.0)),
        [],
        "70 s later by the stream, of which the sample in between took ten"
    );
    let raised = stream.tell(&history(500.0));
    assert_eq!(words(&raised), [said("behind", "history", Change::Raised)]);
    assert_eq!((raised[0].value, raised[0].alert.host.as_str()), (Some(500.0), "vm"));
    // Another figure, another part and a snapshot say nothing of it.
    for changes in [stream.tell(&disk), stream.tell(&second(0.0)), stream.send("vm", Snapshot::default())] {
        assert_eq!(changes, []);
    }
    // Goes on from what is remembered.
    let state = rmp_serde::to_vec_named(&stream.evaluator.state()).unwrap();
    stream.evaluator = Evaluator::restore(rmp_serde::from_slice(&state).unwrap());
    stream.tell(&history(100.0));
    stream.tell(&history(100.0));
    assert_eq!(words(&stream.tell(&history(100.0))), [said("behind", "history", Change::Cleared)]);
    assert_eq!(stream.evaluator.instance_count(), 1, "that it has changed is remembered for an hour");
}

#[test]
fn a_part_that_was_away_has_lasted_nothing_meanwhile_and_after_a_day_it_is_gone() {
    let mut stream = Stream::of(&[("disk", "history_disk > 95% for 1m")]);
    let full = told("server", "history", OwnFigure::HistoryDisk, 97.0);
    stream.tell(&full);
    stream.pass(3_600);
    for _ in 0..2 {
        assert_eq!(stream.tell(&full), [], "the hour is a gap");
    }
    assert_eq!(words(&stream.tell(&full)), [said("disk", "history", Change::Raised)]);
    // The ingestor has moved; the web server goes on.
    let web = told("server", "127.0.0.1:8443", OwnFigure::CertificateEndsIn, 1e7);
    stream.pass(23 * 3_600);
    assert_eq!(stream.tell(&web), []);
    stream.pass(2 * 3_600);
    assert_eq!(words(&stream.tell(&web)), [said("disk", "history", Change::Gone)]);
    assert_eq!(stream.evaluator.instance_count(), 0);
}

#[test]
fn a_server_without_an_agent_is_not_silent() {
    let mut stream = Stream::of(&[("quiet", "silent for 1m"), ("ends", "certificate_ends_in < 14d")]);
    let ends = told("server", "0.0.0.0:8443", OwnFigure::CertificateEndsIn, 86_400.0);
    assert_eq!(words(&stream.tell(&ends)), [said("ends", "0.0.0.0:8443", Change::Raised)]);
    assert_eq!(stream.pass(3_600), []);
    assert_eq!(stream.tell(&ends), []);
}

#[test]
fn where_fleetps_runs_a_host_may_be_forgotten_and_the_parts_of_it_are_not() {
    let mut stream = Stream::of(&[("disk", "history_disk > 95%"), ("busy", "count > 0")]);
    let full = told("server", "history", OwnFigure::HistoryDisk, 97.0);
    stream.send("server", processes(vec![process(7, "java", 1.0)]));
    assert_eq!(words(&stream.tell(&full)), [said("disk", "history", Change::Raised)]);
    for _ in 0..3 {
        let at_us = stream.at_us;
        let ended = stream.evaluator.forget(&host("server"), at_us);
        assert!(words(&ended).iter().all(|(rule, ..)| rule == "busy"), "{ended:?}");
        assert_eq!(stream.tell(&full), [], "it is raised already");
    }
    assert_eq!(stream.evaluator.instance_count(), 1);
    let gone_us = stream.at_us + 25 * 3_600_000_000;
    let ended = stream.evaluator.forget(&host("server"), gone_us);
    assert_eq!(words(&ended), [said("disk", "history", Change::Gone)]);
}
