use fastrand::Rng;
use fleetps_nats::{
    model::process::PROCESS,
    snapshot::{FilesystemSample, HostSample, Process},
};

use super::*;
use crate::alerts::Severity;

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

    fn send(&mut self, name: &str, mut snapshot: Snapshot) -> Vec<AlertChange> {
        (self.at_us, self.sequence) = (self.at_us + 10_000_000, self.sequence + 1);
        snapshot.boot_id = format!("boot-{}", self.boot);
        snapshot.captured_at_us = self.at_us;
        snapshot.monotonic_ms = u64::try_from(self.at_us / 1000).unwrap();
        snapshot.interval_ms = INTERVAL_MS;
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

#[test]
fn what_one_rule_remembers_is_bounded() {
    let mut stream = Stream::of(&[("one", "cpu > 90% over process")]);
    let busy = |first| processes((first..first + 600).map(|pid| process(pid, "x", 99.0)).collect());
    assert_eq!(stream.send("a", busy(1)).len(), 600);
    let more = stream.send("b", busy(1));
    assert_eq!(more.len(), 401);
    assert_eq!(more.iter().filter(|change| change.change == Change::TooMany).count(), 1);
    assert_eq!(stream.send("b", busy(1)), []);
    let exited = stream.send("a", processes(Vec::new()));
    assert!(exited.len() == 600 && exited.iter().all(|change| change.change == Change::Exited));
    assert_eq!(stream.send("b", busy(1)).len(), 200, "there is room now");
}

/// The plainest way to evaluate `cpu > 50 clear 30 for 20s over program` over whole lists of samples.
fn plain(samples: &[Option<f64>]) -> Vec<(usize, Change)> {
    let (mut told, mut raised, mut index) = (Vec::new(), false, 0);
    while index < samples.len() {
        let is_such = |value: f64| if raised { value <= 30.0 } else { value > 50.0 };
        let known: Vec<f64> = samples[..=index].iter().flatten().copied().collect();
        let from =
            told.last().map_or(0, |(last, _): &(usize, Change)| samples[..=*last].iter().flatten().count());
        let such = known[from..].iter().rev().take_while(|value| is_such(**value)).count();
        if samples[index].is_some() && such >= 3 {
            raised = !raised;
            told.push((index, if raised { Change::Raised } else { Change::Cleared }));
        }
        index += 1;
    }
    told
}

#[test]
fn random_streams_are_evaluated_as_the_plainest_way_does() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    for _ in 0..200 {
        let samples: Vec<Option<f64>> =
            (0..60).map(|_| (rng.u8(..10) > 0).then(|| f64::from(rng.u8(..4)) * 20.0 + 5.0)).collect();
        let mut stream = Stream::of(&[("r", "cpu > 50 clear 30 for 20s over program")]);
        let mut found = Vec::new();
        for (index, sample) in samples.iter().enumerate() {
            let cpu_percent = sample.map(|value| value as f32);
            let process = Process { pid: 1, name: "x".to_owned(), cpu_percent, ..Process::default() };
            let changes = stream.send("a", processes(vec![process]));
            found.extend(changes.iter().map(|change| (index, change.change)));
        }
        let expected = plain(&samples);
        // From where it flaps on, nothing is told.
        let steady = found.iter().position(|(_, change)| *change == Change::Flapping).unwrap_or(found.len());
        assert_eq!(found[..steady], expected[..steady], "seed {seed}: {samples:?}");
        assert!(steady < found.len() || found.len() == expected.len(), "seed {seed}: {samples:?}");
    }
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
