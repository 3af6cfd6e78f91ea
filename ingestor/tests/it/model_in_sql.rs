//! The rules of `fleetps_nats::model` in Rust and in SQL say the same: DuckDB is asked what Rust computes.

use duckdb::{Connection, params};
use fleetps_nats::model::{HostState, Spacing, derived, rate, staleness};
use proptest::prelude::*;

/// What `sql` says of two values, which are called `a` and `b` there.
fn ask<T: duckdb::types::FromSql>(sql: &str, (a, b): (Option<i64>, Option<i64>)) -> T {
    thread_local!(static DUCKDB: Connection = Connection::open_in_memory().unwrap());
    let sql = format!("SELECT {sql} FROM (SELECT $1::BIGINT AS a, $2::BIGINT AS b)");
    DUCKDB.with(|duckdb| {
        duckdb.prepare_cached(&sql).unwrap().query_row(params![a, b], |row| row.get(0)).unwrap()
    })
}

/// A counter or a time: often small, so that two are often equal or zero, and at most what a segment holds.
fn number() -> impl Strategy<Value = i64> {
    prop_oneof![0..5_i64, 0..100_000_i64, 0..=i64::MAX]
}

fn counter() -> impl Strategy<Value = Option<u64>> {
    prop::option::of(number().prop_map(i64::unsigned_abs))
}

fn signed(counter: Option<u64>) -> Option<i64> {
    counter.map(|value| i64::try_from(value).unwrap())
}

/// A moment that a timestamp can say, in µs.
fn moment_us() -> impl Strategy<Value = i64> {
    prop_oneof![0..5_i64, 0..4_000_000_000_000_000_i64]
}

proptest! {
    #[test]
    fn counters_grow_alike(earlier in counter(), later in counter()) {
        let in_sql: Option<i64> = ask(&rate::sql_growth("(b - a)"), (signed(earlier), signed(later)));
        prop_assert_eq!(in_sql, signed(rate::growth(earlier, later)));
    }

    #[test]
    fn rates_are_alike(earlier in counter(), later in counter(), elapsed_ms in -5..100_000_i64) {
        let sql = rate::sql_per_second("(b - a)", &format!("({elapsed_ms})"));
        let in_sql: Option<f64> = ask(&sql, (signed(earlier), signed(later)));
        prop_assert_eq!(in_sql, rate::of_counter(earlier, later, elapsed_ms));
    }

    #[test]
    fn ages_are_alike(
        captured_us in moment_us(),
        started_us in moment_us(),
        monotonic_ms in prop_oneof![Just(0), 0..4_000_000_000_u64],
        start in prop_oneof![-1..2_i64, 0..400_000_000_i64, any::<i64>()],
    ) {
        let (monotonic, ticks) = (format!("{monotonic_ms}::BIGINT"), format!("({start})::BIGINT"));
        let in_sql: f64 = ask(
            &derived::sql_age_s(&monotonic, &ticks, "make_timestamp(a)", "make_timestamp(b)"),
            (Some(captured_us), Some(started_us)),
        );
        let age_us = derived::age_at_us((monotonic_ms, captured_us), (start, started_us));
        prop_assert_eq!(in_sql, age_us as f64 / 1e6);
    }

    #[test]
    fn memory_percent_is_alike(used in counter(), total in counter()) {
        let in_sql: Option<f64> = ask(&derived::sql_memory_percent("a", "b"), (signed(used), signed(total)));
        prop_assert_eq!(in_sql, derived::memory_percent(used, total));
    }

    #[test]
    fn silence_begins_alike(
        interval_ms in 1..86_400_000_u32,
        next_interval_ms in prop::option::of(1..86_400_000_u32),
        is_thinned: bool,
        beyond_ms in -2..3_i64,
        intervals in 0..4_i64,
    ) {
        let spacing = if is_thinned { Spacing::OneAMinute } else { Spacing::EverySample };
        let longest_ms = interval_ms.max(next_interval_ms.unwrap_or(0));
        let age_ms = intervals * i64::from(longest_ms.max(spacing.least_ms())) + beyond_ms;
        let least_ms = spacing.least_ms().to_string();
        let sql = format!("{age_ms} > {}", staleness::sql_silent_after_ms(&["a", "b", &least_ms]));
        let is_silent: bool = ask(&sql, (Some(interval_ms.into()), next_interval_ms.map(i64::from)));
        let state = HostState::after(age_ms * 1000, longest_ms, spacing);
        prop_assert_eq!(is_silent, state != HostState::Up);
    }
}
