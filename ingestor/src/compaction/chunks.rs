//! Divides a merge into chunks that can be sorted in memory.
//!
//! DuckDB 2.0 cannot sort ten million rows in a gigabyte, spilling or not; a million takes 500 MB at most. The chunks
//! are ranges of hosts in the order of the sort, so one after the other they are the whole in order.

use duckdb::{Connection, params};

/// Rows sorted at a time: half of the number that fits into the memory of a merge.
const MAX_CHUNK_ROWS: u64 = 1_000_000;

/// A range of hosts with all their processes, or a range of the processes of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) first_host: String,
    pub(super) last_host: String,
    pub(super) first_pid: u32,
    pub(super) last_pid: u32,
}

/// How many rows each host has, and each process of a host. Sums too, because a process that lived for less than a minute
/// may have nothing else.
const ROWS_OF_HOSTS: &str = "SELECT host, count(*) AS rows
    FROM (SELECT host FROM source_span UNION ALL SELECT host FROM all_rows_of_process_hour)
    GROUP BY host ORDER BY host";
const ROWS_OF_PROCESSES: &str = "SELECT pid, count(*) AS rows
    FROM (SELECT host, pid FROM source_span UNION ALL SELECT host, pid FROM all_rows_of_process_hour)
    WHERE host = ? GROUP BY pid ORDER BY pid";

/// The chunks of everything in the views `source_span` and `all_rows_of_process_hour`, in order.
pub(super) fn chunks(engine: &Connection) -> duckdb::Result<Vec<Chunk>> {
    let mut hosts = engine.prepare(ROWS_OF_HOSTS)?;
    let hosts = hosts.query_map([], |row| Ok((row.get("host")?, row.get("rows")?)))?;
    let mut chunks = Vec::new();
    for (first_host, last_host, rows) in ranges(&hosts.collect::<duckdb::Result<Vec<(String, u64)>>>()?) {
        if rows <= MAX_CHUNK_ROWS {
            chunks.push(Chunk { first_host, last_host, first_pid: 0, last_pid: u32::MAX });
            continue;
        }
        // More than a chunk, so one host alone.
        let mut pids = engine.prepare(ROWS_OF_PROCESSES)?;
        let pids = pids.query_map(params![first_host], |row| Ok((row.get("pid")?, row.get("rows")?)))?;
        for (first_pid, last_pid, _) in ranges(&pids.collect::<duckdb::Result<Vec<(u32, u64)>>>()?) {
            chunks.push(Chunk {
                first_host: first_host.clone(),
                last_host: last_host.clone(),
                first_pid,
                last_pid,
            });
        }
    }
    Ok(chunks)
}

/// Puts neighbours together while they fit into a chunk: (first, last, rows). What does not fit by itself stays alone.
fn ranges<T: Clone>(counts: &[(T, u64)]) -> Vec<(T, T, u64)> {
    let mut ranges: Vec<(T, T, u64)> = Vec::new();
    for (key, rows) in counts {
        match ranges.last_mut() {
            Some((_, last, total)) if *total + rows <= MAX_CHUNK_ROWS => {
                *last = key.clone();
                *total += rows;
            }
            _ => ranges.push((key.clone(), key.clone(), *rows)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_a_piece_while_they_fit() {
        let most = MAX_CHUNK_ROWS;
        let counts = [("a", 1), ("b", most - 1), ("c", 1), ("d", 2 * most), ("e", 5), ("f", 6)];
        assert_eq!(ranges(&counts), [("a", "b", most), ("c", "c", 1), ("d", "d", 2 * most), ("e", "f", 11)]);
        assert_eq!(ranges::<u32>(&[]), []);
    }

    #[test]
    fn a_host_that_is_too_big_is_divided_by_its_processes() {
        let engine = Connection::open_in_memory().unwrap();
        // A small host before and after one with 25 pids of 100,000 rows each.
        engine
            .execute_batch(
                "CREATE TABLE source_span AS
                SELECT 'big' AS host, (range % 25)::UINTEGER AS pid FROM range(2500000)
                UNION ALL VALUES ('a', 1), ('z', 1);
                CREATE TABLE all_rows_of_process_hour AS SELECT 'only-sums' AS host, 7::UINTEGER AS pid",
            )
            .unwrap();
        let chunks = chunks(&engine).unwrap();
        let found: Vec<_> =
            chunks.iter().map(|chunk| (chunk.first_host.as_str(), chunk.first_pid, chunk.last_pid)).collect();
        assert_eq!(
            found,
            [("a", 0, u32::MAX), ("big", 0, 9), ("big", 10, 19), ("big", 20, 24), ("only-sums", 0, u32::MAX)]
        );
    }
}
