//! Tests that depend on chance say how they can be repeated, and long ones do as much as is wanted.
//!
//! `FLEETPS_TEST_SCALE=N` makes them N times as long: 1 for a person who waits, 2 in `.ci/run`, more in `.ci/full`.
//! `FLEETPS_TEST_SEED=N` repeats a test with the seed that it printed when it failed; `FLEETPS_TEST_SEED=new` uses new
//! seeds for random data, too.

use std::env;

use fastrand::Rng;

/// How often a test repeats itself, which is `count` times at scale 1.
pub fn rounds(count: usize) -> usize {
    let scale = env::var("FLEETPS_TEST_SCALE").unwrap_or_else(|_| "1".to_owned());
    count * scale.parse::<usize>().expect("FLEETPS_TEST_SCALE is a whole number")
}

enum Wanted {
    Same,
    New,
    This(u64),
}

fn wanted() -> Wanted {
    match env::var("FLEETPS_TEST_SEED").as_deref() {
        Err(_) => Wanted::Same,
        Ok("new") => Wanted::New,
        Ok(seed) => Wanted::This(seed.parse().expect("FLEETPS_TEST_SEED is a whole number, or new")),
    }
}

/// The seeds of a test of made-up data, `count` at scale 1: the same every time, unless others are wanted. The test says
/// which one it is at, which is shown when it fails.
pub fn seeds(count: usize) -> impl Iterator<Item = u64> {
    let seeds: Vec<u64> = match wanted() {
        Wanted::This(seed) => vec![seed],
        Wanted::New => (0..rounds(count)).map(|_| fastrand::u64(..)).collect(),
        Wanted::Same => (0..).take(rounds(count)).collect(),
    };
    seeds.into_iter().inspect(|seed| say(*seed))
}

/// Chance for a test whose course cannot be repeated to the letter, such as when a process is killed: new every time.
pub fn chance() -> Rng {
    let seed = if let Wanted::This(seed) = wanted() { seed } else { fastrand::u64(..) };
    say(seed);
    Rng::with_seed(seed)
}

fn say(seed: u64) {
    eprintln!("seed {seed}; to repeat: FLEETPS_TEST_SEED={seed}");
}
