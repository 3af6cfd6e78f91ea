//! When spans were captured, as it is stored. A host is captured at a steady pace, so the numbers of intervals since its first
//! capture in the file say nearly all; what is over is a few milliseconds.

/// A host's first capture in a file, and the usual time between two; in ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    pub(super) from_ms: i64,
    pub(super) interval_ms: i64,
}

/// When a span was captured first and last, by the pace of its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PacedSpan {
    /// The number of intervals before it.
    pub(super) intervals: i64,
    /// How much later than those it was captured first; negative if it was before.
    pub(super) late_ms: i64,
    /// How much longer it is than its number of snapshots says.
    pub(super) longer_ms: i64,
}

impl Pace {
    pub(super) fn of_span(self, (first_ms, last_ms): (i64, i64), snapshots: u32) -> PacedSpan {
        let interval_ms = self.interval_ms.max(1);
        let since_ms = first_ms - self.from_ms;
        let intervals = (since_ms + interval_ms / 2).div_euclid(interval_ms);
        PacedSpan {
            intervals,
            late_ms: since_ms - intervals * interval_ms,
            longer_ms: last_ms - first_ms - (i64::from(snapshots) - 1) * interval_ms,
        }
    }
}

/// The columns that are stored.
pub(crate) const STORED: &str = "captured_from_ms, interval_ms, intervals, late_ms, longer_ms";
const FIRST_MS: &str = "captured_from_ms + intervals * interval_ms + late_ms";

/// The first and the last capture.
fn sql_captured_at() -> [String; 2] {
    [
        format!("make_timestamp_ms({FIRST_MS})::TIMESTAMP_MS"),
        format!("make_timestamp_ms({FIRST_MS} + (snapshots - 1) * interval_ms + longer_ms)::TIMESTAMP_MS"),
    ]
}

/// The columns that are read, worked out from the stored ones.
pub(crate) fn sql_read() -> String {
    let [first, last] = sql_captured_at();
    format!("{first} AS first_captured_at, {last} AS last_captured_at")
}

/// The stored columns, and those that are read.
pub(super) fn sql_definitions() -> String {
    let [first, last] = sql_captured_at();
    format!(
        "captured_from_ms BIGINT,          -- the first capture of its host in this file, in ms since 1970\n    \
         interval_ms BIGINT,               -- the usual time between two\n    \
         intervals BIGINT,                 -- of these, before the span\n    \
         late_ms BIGINT,                   -- how much later than that it was captured first\n    \
         longer_ms BIGINT,                 -- how much longer it is than (snapshots - 1) intervals\n    \
         first_captured_at TIMESTAMP_MS AS ({first}),\n    \
         last_captured_at TIMESTAMP_MS AS ({last})"
    )
}

/// The values of the stored columns in their order, from times, a number of snapshots, and the columns `captured_from_ms` and
/// `interval_ms`.
pub(crate) fn sql_stored(first: &str, last: &str, snapshots: &str) -> String {
    let (first_ms, last_ms) =
        (format!("epoch_ms({first}::TIMESTAMP)"), format!("epoch_ms({last}::TIMESTAMP)"));
    // Nothing is before the first capture, so that this rounds as Rust does.
    let intervals = format!("(({first_ms} - captured_from_ms + interval_ms // 2) // interval_ms)");
    format!(
        "captured_from_ms, interval_ms, {intervals}, {first_ms} - captured_from_ms - {intervals} * interval_ms, \
         {last_ms} - {first_ms} - ({snapshots} - 1) * interval_ms"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::open_engine;

    #[test]
    fn sql_and_rust_store_a_span_alike_and_it_is_read_as_it_was() {
        let engine = open_engine(64, 1, None).unwrap();
        engine.execute_batch(&format!("CREATE TABLE t ({}, snapshots UINTEGER)", sql_definitions())).unwrap();
        let from_ms = 1_764_000_000_123;
        // In time, a little early and late, after a gap, and while the clock stood.
        for (first_ms, last_ms, snapshots) in [
            (0, 0, 1),
            (10_000, 30_000, 3),
            (9_998, 20_003, 2),
            (86_404_999, 86_415_000, 2),
            (5_000, 90_000, 4),
            (7, 8, 9),
        ] {
            let span = (from_ms + first_ms, from_ms + last_ms);
            for interval_ms in [1, 3, 10_000] {
                let at = |ms: i64| format!("make_timestamp_ms({ms})::TIMESTAMP_MS");
                let times = (at(span.0), at(span.1));
                let stored = sql_stored(&times.0, &times.1, &snapshots.to_string());
                let pace = format!(
                    "SELECT {from_ms}::BIGINT AS captured_from_ms, {interval_ms}::BIGINT AS interval_ms"
                );
                let sql = format!("DELETE FROM t; INSERT INTO t SELECT {stored}, {snapshots} FROM ({pace})");
                engine.execute_batch(&sql).unwrap();
                let columns = "intervals, late_ms, longer_ms, epoch_ms(first_captured_at::TIMESTAMP), \
                    epoch_ms(last_captured_at::TIMESTAMP)";
                let read: (i64, i64, i64, i64, i64) = engine
                    .query_row(&format!("SELECT {columns} FROM t"), [], |row| {
                        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
                    })
                    .unwrap();
                let paced = Pace { from_ms, interval_ms }.of_span(span, snapshots);
                let expected = (paced.intervals, paced.late_ms, paced.longer_ms, span.0, span.1);
                assert_eq!(read, expected, "{interval_ms}");
            }
        }
    }
}
