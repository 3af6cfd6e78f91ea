//! When a process started, as it is stored: in two halves, of which the first is the same for most processes of a host; and its
//! time as since when the host counts, because the ticks say the rest.

use fleetps_nats::model::process::TICK_US;

/// More ticks than this, three thousand years, are no time; nor is what lies before this time, in µs.
const MAX_TICKS: i64 = 10_000_000_000_000;
const EARLIEST_US: i64 = -1_000_000_000_000_000_000;
const _: () = assert!(TICK_US == 10_000, "what is stored in segments counts in these");
const TICK: i64 = 10_000;

/// A start in ticks as it is stored: its upper bits, and its lower sixteen.
pub(super) fn halves(start_ticks: i64) -> (i64, u16) {
    (start_ticks >> 16, (start_ticks & 0xffff) as u16)
}

/// From the time that a host's ticks are counted from until such a start, in µs. A start without ticks is a time itself: -1
/// less the µs since 1970.
pub(super) fn start_us(start_ticks: i64) -> i64 {
    match start_ticks {
        0..=MAX_TICKS => start_ticks * TICK,
        EARLIEST_US..=-1 => -1 - start_ticks,
        _ => 0,
    }
}

/// The same in SQL.
fn sql_start_us() -> String {
    format!(
        "CASE WHEN start_ticks BETWEEN 0 AND {MAX_TICKS} THEN start_ticks * {TICK} \
         WHEN start_ticks BETWEEN {EARLIEST_US} AND -1 THEN -1 - start_ticks ELSE 0 END"
    )
}

/// The columns that are stored.
pub(crate) const STORED: &str = "start_high, start_low, ticks_from";
const START_TICKS: &str = "start_high * 65536 + start_low";

fn sql_started_at() -> String {
    format!("make_timestamp(epoch_us(ticks_from) + {})", sql_start_us())
}

/// The stored columns of a start, and those that are read.
pub(super) fn sql_definitions() -> String {
    format!(
        "start_high BIGINT,                -- start_ticks // 65536\n    \
         start_low USMALLINT,              -- the rest\n    \
         start_ticks BIGINT AS ({START_TICKS}),\n    \
         ticks_from TIMESTAMP,             -- since when the host counts ticks, by its clock\n    \
         started_at TIMESTAMP AS ({})",
        sql_started_at()
    )
}

/// The columns that are read, worked out from the stored ones.
pub(crate) fn sql_read() -> String {
    format!("{START_TICKS} AS start_ticks, {} AS started_at", sql_started_at())
}

/// The values of the stored columns, from the column `start_ticks` and the time of the start.
pub(crate) fn sql_stored(started_at: &str) -> String {
    let start_us = sql_start_us();
    format!(
        "(start_ticks - (start_ticks & 65535)) // 65536, start_ticks & 65535, \
         make_timestamp(epoch_us({started_at}) - {start_us})"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::open_engine;

    /// The last ones are no real starts, and no reason to fail.
    #[test]
    fn sql_and_rust_store_every_start_and_say_what_it_was() {
        let engine = open_engine(64, 1, None).unwrap();
        engine.execute_batch(&format!("CREATE TABLE t ({})", sql_definitions())).unwrap();
        let year_9999_us = 253_402_300_799_999_999;
        for started_at_us in [0, 1_764_000_000_123_456, year_9999_us] {
            let no_time = [MAX_TICKS + 1, i64::MAX, EARLIEST_US - 1, i64::MIN + 1];
            for start_ticks in [0, 1, 6_001, MAX_TICKS, -1 - started_at_us].into_iter().chain(no_time) {
                let sql = format!(
                    "DELETE FROM t; INSERT INTO t SELECT {}
                    FROM (SELECT {start_ticks}::BIGINT AS start_ticks, make_timestamp({started_at_us}) AS started_at)",
                    sql_stored("started_at")
                );
                engine.execute_batch(&sql).unwrap();
                let columns =
                    "start_high, start_low, epoch_us(ticks_from), start_ticks, epoch_us(started_at)";
                let read: (i64, u16, i64, i64, i64) = engine
                    .query_row(&format!("SELECT {columns} FROM t"), [], |row| {
                        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
                    })
                    .unwrap();
                let ((high, low), from_us) = (halves(start_ticks), started_at_us - start_us(start_ticks));
                assert_eq!(read, (high, low, from_us, start_ticks, started_at_us));
            }
        }
    }
}
