//! Tests that depend on chance say how they can be repeated, and long ones run as a sample unless all of it is wanted.
//!
//! `FLEETPS_TEST_SEED=N` repeats a test with the seed that it printed when it failed. `FLEETPS_TEST_FULL=1`, which
//! `.ci/full` sets, runs every round, with new seeds each time.

use std::env;

use fastrand::Rng;

fn is_full() -> bool {
    env::var("FLEETPS_TEST_FULL").is_ok_and(|value| value == "1")
}

fn given() -> Option<u64> {
    let given = env::var("FLEETPS_TEST_SEED").ok()?;
    Some(given.parse().expect("FLEETPS_TEST_SEED is a whole number"))
}

/// How often a test repeats itself: `sample` times, or `full` times when everything runs.
pub fn rounds(sample: usize, full: usize) -> usize {
    if is_full() { full } else { sample }
}

/// The seeds of a test of made-up data: always the same `sample` of them, or `full` new ones when everything runs. The test
/// says which one it is at, which is shown when it fails.
pub fn seeds(sample: u64, full: u64) -> impl Iterator<Item = u64> {
    let seeds: Vec<u64> = match given() {
        Some(seed) => vec![seed],
        None if is_full() => (0..full).map(|_| fastrand::u64(..)).collect(),
        None => (0..sample).collect(),
    };
    seeds.into_iter().inspect(|seed| say(*seed))
}

/// Chance for a test whose course cannot be repeated to the letter, such as when a process is killed: new every time.
pub fn chance() -> Rng {
    let seed = given().unwrap_or_else(|| fastrand::u64(..));
    say(seed);
    Rng::with_seed(seed)
}

fn say(seed: u64) {
    eprintln!("seed {seed}; to repeat: FLEETPS_TEST_SEED={seed}");
}
