//! What a process was, from snapshots in any order, compared with what each of them said.

use fastrand::Rng;

use super::*;

fn process(name: &str) -> Process {
    Process { pid: 1, name: name.to_owned(), ..Process::default() }
}

/// What `row` says the process was at a moment: what the row with the last `facts_since_us` before it says.
fn name_at(row: &ProcessRow, at_us: i64) -> Option<&str> {
    let earlier = row.earlier.iter().map(|row| (row.facts_since_us, row.process.name.as_str()));
    let all = earlier.chain([(row.facts_since_us, row.process.name.as_str())]);
    all.filter(|(since_us, _)| *since_us <= at_us).max_by_key(|(since_us, _)| *since_us).map(|(_, name)| name)
}

#[test]
fn what_comes_late_says_what_the_process_was_then() {
    let mut row = ProcessRow::new(800_000, &process("worker"));
    row.see(900_000, &process("worker: busy"));
    // Both were captured before, and came after.
    assert_eq!(row.see(700_000, &process("launcher")), Added { earlier: 1, text_bytes: 8 });
    assert_eq!(row.see(750_000, &process("worker")), Added { earlier: 0, text_bytes: 0 });
    let names: Vec<_> =
        [700_000, 749_000, 750_000, 899_000, 900_000].map(|at_us| name_at(&row, at_us)).into();
    assert_eq!(names, ["launcher", "launcher", "worker", "worker", "worker: busy"].map(Some));
    assert_eq!((row.first_seen_us, row.last_seen_us), (700_000, 900_000));
}

#[test]
fn in_any_order_a_process_was_at_each_moment_what_its_snapshot_said() {
    for seed in 0..500 {
        let mut rng = Rng::with_seed(seed);
        let mut moments: Vec<(i64, &str)> =
            (0..20).map(|second| (second * 1_000_000, ["a", "b", "c"][rng.usize(0..3)])).collect();
        rng.shuffle(&mut moments);
        let mut row = ProcessRow::new(moments[0].0, &process(moments[0].1));
        let (mut added, mut text_bytes) = (0, row.added().text_bytes);
        for (at_us, name) in &moments[1..] {
            let more = row.see(*at_us, &process(name));
            (added, text_bytes) = (added + more.earlier, text_bytes + more.text_bytes);
        }
        // Each name is one byte.
        assert_eq!((row.earlier.len(), row.earlier.len() + 1), (added, text_bytes), "seed {seed}");
        assert!(row.earlier.is_sorted_by_key(|row| row.facts_since_us), "seed {seed}");
        for (at_us, name) in moments {
            assert_eq!(name_at(&row, at_us), Some(name), "seed {seed}, {at_us}");
        }
    }
}
