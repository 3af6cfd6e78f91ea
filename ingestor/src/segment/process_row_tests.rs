//! What a process was, from snapshots in any order, compared with what each of them said.

use fastrand::Rng;

use super::*;

fn facts(program: u32) -> Facts {
    Facts { program, own: Default::default() }
}

/// What `row` says the process was at a moment: what the row with the last `facts_since_us` before it says.
fn program_at(row: &ProcessRow, at_us: i64) -> Option<u32> {
    let earlier = row.earlier.iter().map(|row| (row.facts_since_us, row.facts.program));
    let all = earlier.chain([(row.facts_since_us, row.facts.program)]);
    all.filter(|(since_us, _)| *since_us <= at_us)
        .max_by_key(|(since_us, _)| *since_us)
        .map(|(_, program)| program)
}

#[test]
fn what_comes_late_says_what_the_process_was_then() {
    let (launcher, worker, busy) = (facts(0), facts(1), facts(2));
    let mut row = ProcessRow::new(800_000, worker, 5);
    row.see(900_000, busy, 6);
    // Both were captured before, and came after.
    assert_eq!(row.see(700_000, launcher, 7), 1);
    assert_eq!(row.see(750_000, worker, 8), 0);
    let programs: Vec<_> =
        [700_000, 749_000, 750_000, 899_000, 900_000].map(|at_us| program_at(&row, at_us)).into();
    assert_eq!(programs, [0, 0, 1, 1, 2].map(Some));
    assert_eq!((row.first_seen_us, row.last_seen_us, row.started_at_us), (700_000, 900_000, 6));
}

#[test]
fn in_any_order_a_process_was_at_each_moment_what_its_snapshot_said() {
    for seed in 0..500 {
        let mut rng = Rng::with_seed(seed);
        let mut moments: Vec<(i64, u32)> =
            (0..20).map(|second| (second * 1_000_000, rng.u32(0..3))).collect();
        rng.shuffle(&mut moments);
        let mut row = ProcessRow::new(moments[0].0, facts(moments[0].1), 0);
        let added: usize =
            moments[1..].iter().map(|(at_us, program)| row.see(*at_us, facts(*program), 0)).sum();
        assert_eq!(row.earlier.len(), added, "seed {seed}");
        assert!(row.earlier.is_sorted_by_key(|row| row.facts_since_us), "seed {seed}");
        for (at_us, program) in moments {
            assert_eq!(program_at(&row, at_us), Some(program), "seed {seed}, {at_us}");
        }
    }
}
