use super::*;
use crate::alerts::Severity;

const MINUTE_US: i64 = 60_000_000;

fn rule(sentence: &str) -> Rule {
    Rule::parse("rule", 1, Severity::Warning, sentence).unwrap()
}

/// What is told of these values, one in 10 s: the index of each, and what.
fn told(sentence: &str, values: &[Option<f64>]) -> Vec<(usize, Told)> {
    let rule = rule(sentence);
    let mut instance = Instance::default();
    let step = |(index, value): (usize, &Option<f64>)| {
        let at_us = i64::try_from(index).unwrap() * 10_000_000;
        let observed = Observation { value: *value, at_us, sequence: index as u64, since_ms: Some(10_000) };
        instance.step(&rule, observed).map(|(told, _)| (index, told))
    };
    values.iter().enumerate().filter_map(step).collect()
}

fn some(values: &[i32]) -> Vec<Option<f64>> {
    values.iter().map(|value| (*value >= 0).then(|| f64::from(*value))).collect()
}

#[test]
fn it_is_raised_beyond_one_threshold_and_cleared_within_the_other() {
    let values = some(&[89, 91, 89, 82, 81, 91]);
    let expected = [(1, Told::Raised), (4, Told::Cleared), (5, Told::Raised)];
    assert_eq!(told("cpu > 90%", &values), expected);
    let below = some(&[1, 0, 1]);
    assert_eq!(told("count < 1", &below), [(1, Told::Raised), (2, Told::Cleared)]);
}

#[test]
fn it_must_last_in_observed_time_and_be_well_as_long() {
    // 30 s are four samples, one in 10 s.
    let values = some(&[95, 95, 50, 95, 95, 95, 95, 50, 50, 50, 95, 50, 50, 50, 50]);
    assert_eq!(told("cpu > 90% for 30s", &values), [(6, Told::Raised), (14, Told::Cleared)]);
}

#[test]
fn what_is_not_known_stops_the_clock_and_turns_nothing_back() {
    let values = some(&[95, 95, -1, -1, -1, -1, 95, 95, -1, 95]);
    assert_eq!(told("cpu > 90% for 30s", &values), [(7, Told::Raised)]);
    let rule = rule("cpu > 90% for 30s");
    let mut instance = Instance::default();
    let mut step = |since_ms| {
        instance.step(&rule, Observation { value: Some(95.0), at_us: 0, sequence: 1, since_ms }).is_some()
    };
    // After a gap nothing is added.
    assert_eq!(
        [Some(1), Some(20_000), None, None, Some(9_999), Some(1)].map(&mut step),
        [false, false, false, false, false, true]
    );
}

#[test]
fn so_many_of_the_last_samples_raise_it() {
    let values = some(&[95, 50, 95, 50, 95, 50, 50, 95, 50, 50]);
    assert_eq!(told("cpu > 90% 3 of 5", &values), [(4, Told::Raised), (8, Told::Cleared)]);
}

#[test]
fn one_that_comes_and_goes_is_told_once_until_it_is_steady() {
    let rule = rule("cpu > 90%");
    let mut instance = Instance::default();
    let mut at_us = 0;
    let mut step = |value: f64, minutes: i64| {
        at_us += minutes * MINUTE_US;
        let observed = Observation { value: Some(value), at_us, sequence: 1, since_ms: Some(1) };
        instance.step(&rule, observed).map(|(told, _)| told)
    };
    let steps = [95.0, 50.0, 95.0, 50.0, 95.0, 50.0, 95.0, 50.0, 95.0];
    let told: Vec<_> = steps.into_iter().map(|value| step(value, 5)).collect();
    let (raised, cleared) = (Some(Told::Raised), Some(Told::Cleared));
    assert_eq!(told, [raised, cleared, raised, cleared, raised, Some(Told::Flapping), None, None, None]);
    assert_eq!(step(95.0, 29), None);
    assert_eq!(step(95.0, 1), Some(Told::Steady));
    assert_eq!((step(50.0, 1), step(95.0, 1)), (cleared, raised));
    // Slowly, it does not flap.
    let mut slow = |value| step(value, 30);
    assert_eq!(
        [50.0, 95.0, 50.0, 95.0, 50.0, 95.0, 50.0]
            .map(&mut slow)
            .iter()
            .filter(|told| **told == Some(Told::Flapping))
            .count(),
        0
    );
}

#[test]
fn flapping_that_ends_well_is_told() {
    let rule = rule("cpu > 90%");
    let mut instance = Instance::default();
    let mut told = Vec::new();
    for (minute, value) in
        [95.0, 50.0, 95.0, 50.0, 95.0, 50.0, 50.0].into_iter().chain([50.0; 40]).enumerate()
    {
        let at_us = i64::try_from(minute).unwrap() * MINUTE_US;
        let observed = Observation { value: Some(value), at_us, sequence: minute as u64, since_ms: Some(1) };
        told.extend(instance.step(&rule, observed).map(|(told, (_, sequence))| (minute, told, sequence)));
    }
    assert_eq!(told[4..], [(4, Told::Raised, 4), (5, Told::Flapping, 4), (35, Told::Cleared, 4)]);
    assert_eq!(instance.known, None);
}
