//! `attach.sql`, and scripts like it for other times.
//!
//! DuckDB has no macro that attaches a file, so what does not fit into one script is in another one:
//! `fleetps history attach` prints that of any time. Each says in its head which part of the history it is.

use std::path::Path;

use jiff::Timestamp;

use super::{
    SegmentFolder, attach_sql,
    selection::{MAX_ATTACHED, Newest, may_hold, newest},
};
use crate::{
    segment::{FolderError, SegmentName},
    time::Span,
};

/// A script that attaches segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachScript {
    /// The statements.
    pub sql: String,
    /// How many segments it attaches.
    pub segments: usize,
    /// How many there are.
    pub of: usize,
}

/// The script for the segments in `folder` (an absolute path) that may hold something from within `span`, or for the newest
/// that fit.
///
/// # Errors
/// When the folder cannot be listed.
pub fn attach_script(folder: &Path, span: Option<Span>) -> Result<AttachScript, FolderError> {
    let names: Vec<SegmentName> =
        SegmentFolder::scan(folder)?.current.iter().map(|segment| segment.name).collect();
    let Some(span) = span else { return Ok(newest_script(folder, names, MAX_ATTACHED)) };
    let of = names.len();
    let names: Vec<SegmentName> = names.into_iter().filter(|name| may_hold(name, span)).collect();
    let [from, to] = [span.from_us, span.to_us].map(|at_us| written(at_us.div_euclid(1_000_000)));
    let head = format!("-- {} of {of} segments: those of {from} to {to} UTC.\n", names.len());
    Ok(AttachScript { sql: head + &attach_sql(folder, &names), segments: names.len(), of })
}

/// The script for the newest of these segments, at most `most`: `attach.sql`.
pub(super) fn newest_script(folder: &Path, names: Vec<SegmentName>, most: usize) -> AttachScript {
    let of = names.len();
    let Newest { names, since_s } = newest(names, most);
    let segments = names.len();
    let head = since_s.map(|since_s| {
        format!(
            "-- {segments} of {of} segments: all that came since {} UTC. Each takes an open file and some milliseconds,\n\
             -- so not all are attached. The script for another time: fleetps history attach --from 2026-11-01 --to 2026-11-02\n",
            written(since_s)
        )
    });
    AttachScript { sql: head.unwrap_or_default() + &attach_sql(folder, &names), segments, of }
}

/// A time as DuckDB reads it.
fn written(at_s: i64) -> String {
    Timestamp::from_second(at_s).unwrap_or_default().strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use duckdb::Connection;
    use fleetps_nats::snapshot::Snapshot;

    use super::*;
    use crate::segment::{SegmentRows, seal};

    const HOUR_US: i64 = 3_600_000_000;

    /// A folder with a segment for each hour.
    fn folder(hours: u64) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for hour in 0..hours {
            let at_us = i64::try_from(hour).unwrap() * HOUR_US;
            let mut rows = SegmentRows::new(0, 1_000, hour + 1, at_us);
            let snapshot = Snapshot { captured_at_us: at_us, ..Snapshot::default() };
            rows.push(hour + 1, at_us, &"host".parse().unwrap(), &snapshot);
            seal(folder.path(), &mut rows).unwrap();
        }
        folder
    }

    /// The hours in the history that a script attaches.
    fn hours(script: &AttachScript) -> Vec<i64> {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(&script.sql).unwrap();
        let sql = "SELECT epoch(captured_at)::BIGINT // 3600 FROM host_sample ORDER BY ALL";
        let mut statement = connection.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<duckdb::Result<_>>().unwrap()
    }

    #[test]
    fn a_small_history_is_attached_whole_and_of_a_large_one_the_newest_which_the_head_says() {
        let folder = folder(12);
        let names =
            || SegmentFolder::scan(folder.path()).unwrap().current.iter().map(|file| file.name).collect();
        let whole = newest_script(folder.path(), names(), 12);
        assert_eq!((hours(&whole), whole.sql.contains(" of 12 segments")), ((0..12).collect(), false));
        assert_eq!(whole, attach_script(folder.path(), None).unwrap());
        let newest = newest_script(folder.path(), names(), 3);
        assert_eq!((hours(&newest), newest.segments, newest.of), (vec![9, 10, 11], 3, 12));
        // The last one that is left out begins at 8:00 and has two hours at most.
        assert!(newest.sql.starts_with("-- 3 of 12 segments: all that came since 1970-01-01 10:00:00 UTC."));
    }

    #[test]
    fn another_time_has_a_script_of_its_own() {
        let folder = folder(24);
        let span = Span { from_us: 12 * HOUR_US, to_us: 13 * HOUR_US };
        let script = attach_script(folder.path(), Some(span)).unwrap();
        // Two hours of a fresh segment and six of clocks before, and six behind.
        assert_eq!(hours(&script), (4..=19).collect::<Vec<_>>());
        assert!(
            script
                .sql
                .starts_with("-- 16 of 24 segments: those of 1970-01-01 12:00:00 to 1970-01-01 13:00:00")
        );
        fs::remove_dir_all(folder.path()).unwrap();
        assert!(attach_script(folder.path(), Some(span)).is_err());
    }
}
