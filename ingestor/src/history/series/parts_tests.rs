//! Down-sampling, on literals.

use super::*;

const SPAN: Span = Span { from_us: 0, to_us: 100_000_000 };

fn sample(seconds: i64, boot: u32, monotonic_s: i64, level: f64, counter: Option<f64>) -> Sample<1, 1> {
    Sample {
        captured_at_us: seconds * 1_000_000,
        boot,
        monotonic_ms: monotonic_s * 1000,
        levels: [Some(level)],
        counters: [counter],
    }
}

fn parts(count: usize, samples: Vec<Sample<1, 1>>) -> Vec<Part<1, 1>> {
    let mut parts = Parts::new(SPAN, count);
    parts.fill(samples, None);
    parts.into_parts().collect()
}

fn rates(parts: &[Part<1, 1>]) -> Vec<Option<(f64, f64, f64)>> {
    let extent = |part: &Part<1, 1>| part.rates[0].extent().map(|rate| (rate.min, rate.mean, rate.max));
    parts.iter().map(extent).collect()
}

#[test]
fn a_spike_of_one_sample_survives() {
    let level = |second| if second == 55 { 99.0 } else { 1.0 };
    let parts = parts(2, (0..100).map(|second| sample(second, 0, second, level(second), None)).collect());
    let extents: Vec<_> = parts.iter().map(|part| part.levels[0].extent().unwrap()).collect();
    assert_eq!(extents[0], Extent { min: 1.0, mean: 1.0, max: 1.0 });
    assert_eq!(extents[1], Extent { min: 1.0, mean: (49.0 + 99.0) / 50.0, max: 99.0 });
    assert_eq!((parts[1].from_us, parts[1].to_us, parts[1].samples), (50_000_000, 99_000_000, 50));
}

#[test]
fn a_part_without_samples_is_left_out() {
    let parts = parts(10, vec![sample(5, 0, 5, 1.0, None), sample(95, 0, 95, 2.0, None)]);
    assert_eq!(parts.iter().map(|part| part.from_us).collect::<Vec<_>>(), [5_000_000, 95_000_000]);
}

#[test]
fn rates_are_exact_over_lost_samples_and_begin_before_the_span() {
    // The samples of the seconds 10 to 59 were lost; meanwhile the counter grew by 500.
    let samples = [(-10, 0.0), (0, 100.0), (60, 600.0), (70, 600.0)];
    let parts = parts(
        1,
        samples.iter().map(|(second, value)| sample(*second, 0, second + 10, 0.0, Some(*value))).collect(),
    );
    assert_eq!(rates(&parts), [Some((0.0, 600.0 / 80.0, 10.0))]);
    assert_eq!(parts[0].samples, 3);
}

#[test]
fn a_reset_or_reboot_gives_no_rate() {
    let values =
        [(0, 0, 100.0), (10, 0, 200.0), (20, 0, 50.0), (30, 0, 60.0), (40, 1, 1000.0), (50, 1, 1020.0)];
    let samples = values.map(|(second, boot, value)| sample(second, boot, second % 40, 0.0, Some(value)));
    let parts = parts(10, samples.to_vec());
    let means: Vec<_> = rates(&parts).into_iter().map(|rate| rate.map(|(_, mean, _)| mean)).collect();
    assert_eq!(means, [None, Some(10.0), None, Some(1.0), None, Some(2.0)]);
}

#[test]
fn a_change_of_the_clock_does_not_change_rates() {
    // After 20 s the clock went back by 15 s: captured at 5, but 30 s after the start.
    let samples = [(0, 0), (10, 10), (20, 20), (15, 30), (25, 40)];
    let parts = parts(
        1,
        samples.iter().map(|(at, since)| sample(*at, 0, *since, 0.0, Some(*since as f64 * 7.0))).collect(),
    );
    assert_eq!(rates(&parts), [Some((7.0, 7.0, 7.0))]);
}

#[test]
fn an_absent_counter_is_bridged() {
    let samples = [(0, Some(0.0)), (10, None), (20, Some(40.0))];
    let parts = parts(1, samples.iter().map(|(at, value)| sample(*at, 0, *at, 0.0, *value)).collect());
    assert_eq!(rates(&parts), [Some((2.0, 2.0, 2.0))]);
}

#[test]
fn what_started_in_the_span_counts_from_its_start() {
    let mut parts = Parts::new(SPAN, 1);
    parts.fill(vec![sample(10, 0, 10, 0.0, Some(16.0))], Some(2000));
    assert_eq!(rates(&parts.into_parts().collect::<Vec<_>>()), [Some((2.0, 2.0, 2.0))]);
}

#[test]
fn the_longest_span_has_its_parts() {
    let mut parts: Parts<1, 1> = Parts::new(Span { from_us: i64::MIN, to_us: i64::MAX }, usize::MAX);
    assert!(parts.at(i64::MIN).is_some() && parts.at(0).is_some() && parts.at(i64::MAX - 1).is_some());
    assert!(parts.at(i64::MAX).is_none());
    let mut parts: Parts<1, 1> = Parts::new(Span { from_us: 7, to_us: 7 }, 0);
    assert!(parts.at(7).is_none());
}
