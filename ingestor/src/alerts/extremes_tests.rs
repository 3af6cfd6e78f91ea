use std::sync::Arc;

use fastrand::Rng;
use fleetps_nats::{Snapshot, snapshot::HostSample};

use super::*;

const START_US: i64 = 1_700_000_000_000_000 / (BIN_US * SLOT_BINS) * (BIN_US * SLOT_BINS);

fn pair(at_us: i64, cpu_percent: Option<f32>) -> SnapshotPair {
    let host = HostSample { cpu_percent, ..HostSample::default() };
    let snapshot = Snapshot { captured_at_us: at_us, host, ..Snapshot::default() };
    SnapshotPair::new("a".parse().unwrap(), Arc::new(snapshot), None)
}

/// What is said of CPU with a sample a minute, at each five minutes.
fn beyond(minutes: i64, cpu: impl Fn(i64) -> f32) -> Vec<Option<f64>> {
    let mut extremes = Extremes::default();
    let mut said = Vec::new();
    for minute in 0..minutes {
        extremes.note(&pair(START_US + minute * 60_000_000, Some(cpu(minute))), Some(60_000));
        if minute % 5 == 0 {
            said.push(extremes.beyond()[&Key::Named("cpu_percent".to_owned())]);
        }
    }
    said
}

const DAY: i64 = 1_440;

#[test]
fn only_what_is_beyond_the_week_is_unusual_and_that_for_half_a_day() {
    let daily = |minute: i64| 30.0 + 20.0 * (minute as f32 / DAY as f32 * std::f32::consts::TAU).sin();
    let said = beyond(9 * DAY, daily);
    assert!(said[..280].iter().all(Option::is_none), "a day must be known");
    assert!(said[450..].iter().all(|it| it.is_some_and(|percent| percent < 5.0)), "{said:?}");
    // Two hours at 90 on the eighth day: 40 above 50, of a range of 40.
    let busy = |minute: i64| if (8 * DAY..8 * DAY + 120).contains(&minute) { 90.0 } else { daily(minute) };
    let said = beyond(9 * DAY, busy);
    let hit = said.iter().flatten().filter(|percent| **percent > 20.0).count();
    assert_eq!(hit, 24);
    assert!(said.iter().flatten().any(|percent| (percent - 100.0).abs() < 3.0));
    // A minute is no news, and neither is little on an idle host.
    let peak = |minute: i64| if minute == 8 * DAY { 60.0 } else { daily(minute) };
    assert!(beyond(9 * DAY, peak).iter().flatten().all(|percent| *percent < 20.0));
    let idle = |minute: i64| if minute > 8 * DAY { 2.0 } else { 0.5 };
    assert!(beyond(9 * DAY, idle).iter().flatten().all(|percent| *percent < 20.0));
    // What stays is what it is now.
    let stays = |minute: i64| if minute > 3 * DAY { 80.0 } else { daily(minute) };
    assert_eq!(beyond(9 * DAY, stays).last().unwrap(), &Some(0.0));
}

/// What is said after some bins, by looking at all of them: each its number, and its mean where that is known.
fn plain(bins: &[(i64, Option<f64>)]) -> Option<f64> {
    let (last, mean) = *bins.last()?;
    let mean = mean?;
    let slot = |bin: i64| bin.div_euclid(SLOT_BINS);
    let week =
        |bin: &&(i64, Option<f64>)| slot(bin.0) < slot(last) && slot(last) - slot(bin.0) <= SLOTS as i64;
    let known: Vec<(i64, f64)> =
        bins.iter().filter(week).filter_map(|(bin, mean)| Some((slot(*bin), (*mean)?))).collect();
    let mut slots: Vec<i64> = known.iter().map(|(slot, _)| *slot).collect();
    slots.dedup();
    if slots.len() < LEAST_SLOTS {
        return None;
    }
    let means = || known.iter().map(|(_, mean)| f64::from(*mean as f32));
    let (least, greatest) = (means().fold(f64::INFINITY, f64::min), means().fold(0.0, f64::max));
    let range = (greatest - least).max(10.0).max(0.02 * mean);
    Some((mean - greatest).max(least - mean).max(0.0) / range * 100.0)
}

#[test]
fn random_figures_with_gaps_are_judged_as_the_plainest_way_does_also_over_restarts() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let mut known = 0;
    for _ in 0..30 {
        let (mut extremes, mut bins, mut bin) = (Extremes::default(), Vec::new(), 5_000_000);
        for step in 0..1_500 {
            let values: Vec<Option<f32>> =
                (0..3).map(|_| (rng.u8(..8) > 0).then(|| f32::from(rng.u8(..100)) / 4.0)).collect();
            for (part, value) in (0..).zip(&values) {
                extremes.note(&pair(bin * BIN_US + part * BIN_US / 3, *value), Some(100_000));
            }
            let there: Vec<f64> = values.iter().flatten().map(|value| f64::from(*value)).collect();
            let mean = (there.len() >= 2).then(|| there.iter().sum::<f64>() / there.len() as f64);
            bins.push((bin, mean));
            bin += if rng.u8(..40) == 0 { rng.i64(2..600) } else { 1 };
            if step % 50 == 0 {
                extremes = rmp_serde::from_slice(&rmp_serde::to_vec_named(&extremes).unwrap()).unwrap();
            }
            let mut next = extremes.clone();
            next.note(&pair(bin * BIN_US, None), None);
            let said = next.beyond().remove(&Key::Named("cpu_percent".to_owned())).flatten();
            assert_eq!(said, plain(&bins), "seed {seed}");
            known += usize::from(said.is_some_and(|percent| percent > 0.0));
        }
        let series = extremes.0.values().next().unwrap();
        assert!(series.ranges.len() <= SLOTS + 1 && rmp_serde::to_vec_named(series).unwrap().len() < 220);
    }
    assert!(known > 30, "only {known}");
}
