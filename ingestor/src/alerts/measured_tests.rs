use std::sync::Arc;

use fastrand::Rng;
use fleetps_nats::{Snapshot, snapshot::Process};

use super::*;
use crate::alerts::{Severity, key_of};

const SENTENCES: [&str; 16] = [
    "cpu > 60 over program",
    "cpu > 60 over program where user:a",
    "cpu > 60 clear 20 over process",
    "cpu < 30 over unit",
    "cpu > 90 over user where not name:n1",
    "cpu > 300 over host where name ~ ^n",
    "cpu > 1 over host where name:none",
    "mem > 100 over program where mem > 50",
    "read > 1 over program",
    "read > 1 over process where read > 1",
    "age > 5 over unit",
    "mem% > 1 over user",
    "count > 2 over program",
    "count < 3 where name:n2",
    "count < 1 where name:none",
    "count > 1 over unit where cpu > 50",
];

fn some_processes(rng: &mut Rng, reads: u64) -> Vec<Process> {
    let name = |rng: &mut Rng, letter: char, of: u8| format!("{letter}{}", rng.u8(..of));
    let process = |pid| Process {
        pid,
        start_ticks: Some(u64::from(rng.u8(1..3))),
        name: name(rng, 'n', 5),
        user_name: (rng.u8(..4) > 0).then(|| name(rng, 'a', 3)),
        unit: (rng.u8(..3) > 0).then(|| name(rng, 'u', 3)),
        cpu_percent: (rng.u8(..6) > 0).then(|| f32::from(rng.u8(..100))),
        resident_bytes: (rng.u8(..6) > 0).then(|| u64::from(rng.u8(..100))),
        read_bytes: (rng.u8(..6) > 0).then(|| reads + u64::from(rng.u8(..200))),
        ..Process::default()
    };
    (1..30).map(process).collect()
}

fn pair(rng: &mut Rng) -> SnapshotPair {
    let snapshot = |monotonic_ms, processes| Snapshot { monotonic_ms, processes, ..Snapshot::default() };
    let mut latest = snapshot(30_000, some_processes(rng, 100));
    latest.host.memory_total_bytes = Some(1000);
    let previous = (rng.u8(..4) > 0).then(|| Arc::new(snapshot(20_000, some_processes(rng, 0))));
    SnapshotPair::new("a".parse().unwrap(), Arc::new(latest), previous)
}

/// The value of every instance of a rule, in the plainest way.
fn plain(pair: &SnapshotPair, rule: &Rule) -> ValueOf {
    let mut values = ValueOf::new();
    if rule.over == Over::Host && rule.measure == Measure::Count {
        values.insert(Key::Host, Some(0.0));
    }
    for view in pair.processes() {
        let fields = Fields::from(&view);
        let passes = rule.filter.matching([fields], &Deadline::after(std::time::Duration::MAX)).unwrap()[0];
        let Some(key) = key_of(rule.over, view.process).filter(|_| passes) else { continue };
        let value = match rule.measure {
            Measure::Process(figure) => figure.of(&fields),
            _ => Some(1.0),
        };
        let sum = values.entry(key).or_insert(None);
        *sum = [*sum, value].into_iter().flatten().reduce(|a, b| a + b);
    }
    values
}

#[test]
fn rules_that_share_what_they_ask_for_get_the_values_that_each_would_get_alone() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let rules = SENTENCES.map(|sentence| Rule::parse("r", 0, Severity::Info, sentence).unwrap());
    let plan = Plan::of(&rules);
    let (mut hits, mut known_values) = (0, 0);
    for _ in 0..200 {
        let pair = pair(&mut rng);
        let deadline = Deadline::after(std::time::Duration::MAX);
        let measured = Measured::of(&pair, (&plan, Needs::Processes), deadline);
        for (number, rule) in rules.iter().enumerate() {
            let mut expected = plain(&pair, rule);
            let gone = Key::Named("gone".to_owned());
            let known: Vec<Key> = expected.keys().filter(|_| rng.bool()).cloned().chain([gone]).collect();
            let known: Vec<&Key> = known.iter().collect();
            let is_hit = |value: &Option<f64>| value.is_some_and(|value| rule.threshold.is_hit(value));
            expected.retain(|key, value| is_hit(value) || known.contains(&key));
            let values = measured.values(plan.planned(number, rule), &known).unwrap();
            assert_eq!(values, expected, "seed {seed}: {}", rule.sentence);
            hits += values.values().filter(|value| is_hit(value)).count();
            known_values += values.values().filter(|value| !is_hit(value)).count();
        }
    }
    assert!(hits > 1_000 && known_values > 1_000, "{hits} and {known_values}");
}

#[test]
fn culprits_are_those_of_the_instance_that_pass_the_filter() {
    let process = |pid, name: &str, user: &str, cpu| Process {
        pid,
        name: name.to_owned(),
        user_name: Some(user.to_owned()),
        cpu_percent: Some(cpu),
        written_bytes: Some(u64::from(pid)),
        ..Process::default()
    };
    let processes = vec![process(1, "x", "a", 10.0), process(2, "x", "b", 90.0), process(3, "y", "a", 50.0)];
    let snapshot = Snapshot { processes, ..Snapshot::default() };
    let pair = SnapshotPair::new("a".parse().unwrap(), Arc::new(snapshot), None);
    let named = |name: &str| Key::Named(name.to_owned());
    for (sentence, key, expected) in [
        ("cpu > 1 over program", named("x"), vec![2, 1]),
        ("cpu > 1 over program where user:a", named("x"), vec![1]),
        ("cpu > 1 over user", named("a"), vec![3, 1]),
        ("count > 1 where user:a", Key::Host, vec![3, 1]),
        ("cpu > 1 over process", Key::of_process(&pair.latest().processes[2]), vec![3]),
        ("cpu > 1", Key::Host, vec![2, 3, 1]),
        ("disk > 1", named("/"), vec![3, 2, 1]),
        ("cpu > 1 over unit", named("x"), vec![]),
    ] {
        let rule = Rule::parse("r", 0, Severity::Info, sentence).unwrap();
        let plan = Plan::of([&rule]);
        let deadline = Deadline::after(std::time::Duration::MAX);
        let measured = Measured::of(&pair, (&plan, Needs::Nothing), deadline);
        let culprits = measured.culprits(plan.planned(0, &rule), &key);
        assert_eq!(culprits.iter().map(|it| it.pid).collect::<Vec<_>>(), expected, "{sentence}");
    }
}
