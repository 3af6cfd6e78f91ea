//! Segments of earlier versions of the schema: read beside newer ones, and merged with each other.

use std::path::Path;

use duckdb::Connection;
use fleetps_ingestor::{
    catalog::SegmentFolder,
    history::History,
    merge_folder,
    segment::{SCHEMA_VERSION, SegmentRows, seal},
};
use fleetps_nats::{HostName, Snapshot, snapshot::Process};

use crate::{publisher::snapshot, support::value};

/// A version of the schema.
struct Version {
    file: &'static str,
    schema: &'static str,
    /// The figures of `process_sample` of a process `pid`.
    figures: &'static str,
    /// As they are read: state, CPU time and resident set of each process.
    as_read: &'static str,
}

const PLAIN_FIGURES: &str = "'S' AS state, 100 * pid + 7 AS cpu_time_ms, 4097 AS resident_bytes";
const FIRST: Version = Version {
    file: "hour-p000-1700000000-000000000001-000000000001-20231114T221320Z.duckdb",
    schema: include_str!("schema_1.sql"),
    figures: PLAIN_FIGURES,
    as_read: "S 107 4097, S 207 4097",
};
const SECOND: Version = Version {
    file: "hour-p000-1700000000-000000000001-000000000001-20231114T221320Z-v2.duckdb",
    schema: concat!(
        include_str!("schema_2.sql"),
        "ALTER TABLE $catalog.host_sample ALTER has_processes SET DEFAULT true;"
    ),
    ..FIRST
};
const THIRD: Version = Version {
    file: "hour-p000-1700000000-000000000001-000000000001-20231114T221320Z-v3.duckdb",
    schema: concat!(
        include_str!("schema_3.sql"),
        "ALTER TABLE $catalog.host_sample ALTER has_processes SET DEFAULT true;"
    ),
    figures: "ascii('S') AS state_code, 10 * pid AS cpu_ticks, 1 AS resident_pages",
    as_read: "S 100 4096, S 200 4096",
};

const FOURTH: Version = Version {
    // A merged one has sums of hours, too.
    file: "fresh-p000-1700000000-000000000001-000000000001-20231114T221320Z-v4.duckdb",
    schema: concat!(
        include_str!("schema_4.sql"),
        "ALTER TABLE $catalog.host_sample ALTER has_processes SET DEFAULT true;"
    ),
    ..THIRD
};

impl Version {
    /// The statement that writes the samples of the processes: as they are, or as spans and captures.
    fn samples(&self) -> String {
        let figures = self.figures;
        let identity = "SELECT 'host' AS host, 'boot' AS boot_id, pid, make_timestamp(5) AS started_at";
        let at = "make_timestamp(1700000000123456)";
        if self.file == FOURTH.file {
            return format!(
                "INSERT INTO capture BY NAME SELECT 'host' AS host, 0 AS number, {at} AS captured_at;
                INSERT INTO process_span BY NAME {identity}, {at} AS first_captured_at, {at} AS last_captured_at,
                    1 AS snapshots, {figures} FROM process;"
            );
        }
        format!("INSERT INTO process_sample BY NAME {identity}, {at} AS captured_at, {figures} FROM process;")
    }
}

/// One snapshot with two processes, captured at a time that is no whole millisecond; figures are no whole units either. It
/// is of `host` and the sequence `number`.
fn write_earlier(folder: &Path, version: &Version, host: &str, number: u64) {
    let connection = Connection::open_in_memory().unwrap();
    let one = "000000000001-000000000001";
    let file = folder.join(version.file.replace(one, &format!("{number:012}-{number:012}")));
    connection.execute_batch(&format!("ATTACH '{}' AS old", file.display())).unwrap();
    connection.execute_batch(&version.schema.replace("$catalog", "old")).unwrap();
    connection
        .execute_batch(&format!(
            "USE old;
            INSERT INTO segment BY NAME SELECT 'hour' AS level, 2 AS \"rows\", 1 AS schema_version;
            INSERT INTO host_sample BY NAME SELECT 'host' AS host, 'boot' AS boot_id, 'run' AS run_id,
                1 AS sequence, 1000 AS interval_ms, make_timestamp(1700000000123456) AS captured_at;
            INSERT INTO process BY NAME SELECT 'host' AS host, 'boot' AS boot_id, pid, make_timestamp(5) AS started_at,
                'old' AS name, make_timestamp(1700000000123456) AS last_seen FROM (VALUES (1), (2)) pids (pid);
            {}
            USE memory; CHECKPOINT old; DETACH old",
            version.samples()
        ).replace("'host'", &format!("'{host}'")))
        .unwrap();
}

#[test]
fn segments_of_the_first_version_are_read_beside_newer_ones_and_merged() {
    is_read_and_merged(&FIRST);
}

#[test]
fn segments_of_the_second_version_are_read_beside_newer_ones_and_merged() {
    is_read_and_merged(&SECOND);
}

#[test]
fn segments_of_the_third_version_are_read_beside_newer_ones_and_merged() {
    is_read_and_merged(&THIRD);
}

#[test]
fn segments_of_the_fourth_version_are_read_beside_newer_ones_and_merged() {
    is_read_and_merged(&FOURTH);
}

fn is_read_and_merged(earlier: &Version) {
    let folder = tempfile::tempdir().unwrap();
    write_earlier(folder.path(), earlier, "host", 1);
    write_earlier(folder.path(), earlier, "other", 2);
    let mut rows = SegmentRows::new(0, 1_700_000_000, 3, 1_700_000_010_000_000);
    rows.push(3, 1_700_000_010_000_000, &"host".parse().unwrap(), &snapshot("run", 10));
    seal(folder.path(), &mut rows).unwrap();
    let joined = "SELECT count(*) FROM process_sample JOIN host_sample USING (host, boot_id, captured_at)
        JOIN process USING (host, boot_id, pid, started_at) WHERE has_processes";
    assert_eq!(value::<u64>(folder.path(), joined), 14);
    let figures = "SELECT string_agg(concat_ws(' ', state, cpu_time_ms, resident_bytes), ', ' ORDER BY pid)
        FROM process_sample JOIN process USING (host, boot_id, pid, started_at) WHERE name = 'old' AND host = 'host'";
    assert_eq!(value::<String>(folder.path(), figures), earlier.as_read);

    merge_folder(folder.path()).unwrap();
    let current = SegmentFolder::scan(folder.path()).unwrap().current;
    // Events are only in segments that were sealed with them.
    let versions: Vec<_> = current.iter().map(|segment| segment.name.schema_version).collect();
    assert_eq!(versions, [5, SCHEMA_VERSION], "{current:?}");
    assert_eq!(value::<u64>(folder.path(), joined), 14);
    // To the tick and the page.
    assert_eq!(value::<String>(folder.path(), figures), "S 100 4096, S 200 4096");
    let samples = "SELECT sum(samples)::UBIGINT FROM process_hour";
    assert_eq!(value::<u64>(folder.path(), samples), 14);
    let of_old =
        "SELECT max(cpu_time_last_ms) FROM process_hour JOIN process USING (host, boot_id, pid, started_at)
        WHERE name = 'old'";
    let most_ms = if earlier.figures == PLAIN_FIGURES { 207 } else { 200 };
    assert_eq!(value::<u64>(folder.path(), of_old), most_ms);
}

/// When a host of version 6 was booted, as two runs of its agent worked it out, and a process that started 6,000 ticks later.
const BOOTS_US: [i64; 2] = [1_700_000_000_003_217, 1_700_000_000_009_101];
const STARTED_US: i64 = BOOTS_US[0] + 60_000_000;

/// One snapshot of version 6 with a process that counts in ticks, and one whose start is the time itself.
fn write_sixth(folder: &Path) {
    let connection = Connection::open_in_memory().unwrap();
    let file = folder.join("fresh-p000-1700000000-000000000001-000000000001-20231114T221320Z-v6.duckdb");
    connection.execute_batch(&format!("ATTACH '{}' AS old", file.display())).unwrap();
    connection.execute_batch(&include_str!("schema_6.sql").replace("$catalog", "old")).unwrap();
    let [first_us, again_us] = BOOTS_US;
    connection
        .execute_batch(&format!(
            "USE old;
            INSERT INTO segment BY NAME SELECT 'fresh' AS level, 2 AS \"rows\", 6 AS schema_version;
            INSERT INTO host_info BY NAME SELECT 'host' AS host, make_timestamp(1700000100000000) AS captured_at,
                make_timestamp(boot_us) AS boot_at FROM (VALUES ({again_us}), ({first_us})) boots (boot_us);
            INSERT INTO host_sample BY NAME SELECT 'host' AS host, 'boot' AS boot_id, 'run' AS run_id, 1 AS sequence,
                1000 AS interval_ms, make_timestamp(1700000100000000) AS captured_at, true AS has_processes;
            INSERT INTO capture BY NAME SELECT 'host' AS host, 0 AS number,
                make_timestamp(1700000100000000) AS captured_at;
            INSERT INTO process BY NAME SELECT 'host' AS host, 'boot' AS boot_id, pid, make_timestamp(us) AS started_at,
                'old' AS name, make_timestamp(1700000100000000) AS first_seen,
                make_timestamp(1700000100000000) AS last_seen
                FROM (VALUES (1, {STARTED_US}), (2, 1700000050000001)) processes (pid, us);
            INSERT INTO process_span BY NAME SELECT host, boot_id, pid, started_at, first_seen AS first_captured_at,
                last_seen AS last_captured_at, 1 AS snapshots, ascii('S') AS state_code FROM process;
            INSERT INTO event BY NAME SELECT first_seen AS occurred_at, 'started' AS kind, host, name, boot_id, pid,
                started_at, first_seen AS decided_at, 0 AS partition, make_timestamp(0) AS stream_created, 1 AS sequence,
                0 AS number FROM process WHERE pid = 1;
            USE memory; CHECKPOINT old; DETACH old"
        ))
        .unwrap();
}

#[test]
fn a_process_of_the_sixth_version_is_the_same_in_newer_segments_and_by_earlier_links() {
    let folder = tempfile::tempdir().unwrap();
    write_sixth(folder.path());
    let host: HostName = "host".parse().unwrap();
    let mut rows = SegmentRows::new(0, 1_700_000_000, 2, 1_700_000_110_000_000);
    // The agent has no state folder, so it worked the boot time out once more.
    let started_at_us = STARTED_US + 4_444;
    let process = Process {
        pid: 1,
        start_ticks: Some(6_000),
        started_at_us,
        name: "new".to_owned(),
        state: 'S',
        ..Process::default()
    };
    let later = Snapshot {
        boot_id: "boot".to_owned(),
        captured_at_us: 1_700_000_110_000_000,
        processes: vec![process],
        ..snapshot("run", 2)
    };
    rows.push(2, 1_700_000_110_000_000, &host, &later);
    seal(folder.path(), &mut rows).unwrap();
    let check = |step: &str| {
        let starts = "SELECT string_agg(concat_ws(' ', pid, start_ticks), ', ' ORDER BY pid) FROM process";
        assert_eq!(value::<String>(folder.path(), starts), "1 6000, 2 -1700000050000002", "{step}");
        let joined =
            "SELECT count(*) FROM process_sample JOIN process USING (host, boot_id, pid, start_ticks)";
        assert_eq!(value::<u64>(folder.path(), joined), 3, "{step}");
        let event = "SELECT start_ticks FROM event";
        assert_eq!(value::<i64>(folder.path(), event), 6_000, "{step}");
        let names = "SELECT string_agg(name, ', ' ORDER BY facts_since) FROM process_history WHERE pid = 1";
        assert_eq!(value::<String>(folder.path(), names), "old, new", "{step}");
        let history = History::open(folder.path()).unwrap();
        // By the time of then, by that of now, and by one that another run of the agent told.
        for told_us in [STARTED_US, started_at_us, BOOTS_US[1] + 60_000_000] {
            let life = history.process(&host, 1, Some(told_us)).unwrap().unwrap();
            assert_eq!((life.identity.start, life.first_seen_us), (6_000, 1_700_000_100_000_000), "{step}");
        }
        assert_eq!(history.process(&host, 1, Some(STARTED_US + 70_000_000)).unwrap(), None, "{step}");
    };
    check("before");
    merge_folder(folder.path()).unwrap();
    let current = SegmentFolder::scan(folder.path()).unwrap().current;
    let versions: Vec<_> = current.iter().map(|segment| segment.name.schema_version).collect();
    assert_eq!(versions, [SCHEMA_VERSION], "{current:?}");
    check("after");
    // What a version did not have is unknown, also in sums.
    let sums =
        "SELECT count(*) FROM process_hour WHERE ended_children_cpu_ms IS NULL AND shared_bytes_sum IS NULL";
    assert_eq!(value::<u64>(folder.path(), sums), 2);
}

/// A segment of version 10: of a host with three snapshots, in which one process stayed the same, one called exec, and one
/// has its start as a time.
fn write_tenth(folder: &Path) {
    let connection = Connection::open_in_memory().unwrap();
    let file = folder.join("fresh-p000-1700000000-000000000001-000000000003-20231114T221320Z-v10.duckdb");
    connection.execute_batch(&format!("ATTACH '{}' AS old", file.display())).unwrap();
    connection.execute_batch(&include_str!("schema_10.sql").replace("$catalog", "old")).unwrap();
    let at = |second: i64| format!("make_timestamp({})", (1_700_000_000 + second) * 1_000_000);
    let (first, second, last) = (at(0), at(10), at(20));
    connection
        .execute_batch(&format!(
            "USE old;
            INSERT INTO segment BY NAME SELECT 'fresh' AS level, 9 AS \"rows\", 10 AS schema_version;
            INSERT INTO capture SELECT 'host', number, {first} + number * INTERVAL 10 SECOND FROM range(3) captures (number);
            INSERT INTO host_sample BY NAME SELECT host, 'boot' AS boot_id, 'run' AS run_id, 1 + number AS sequence,
                10000 AS interval_ms, captured_at, true AS has_processes FROM capture;
            INSERT INTO process BY NAME SELECT 'host' AS host, 'boot' AS boot_id, pid, start_ticks,
                make_timestamp(us) AS started_at, name, 'sh -c ' || name AS command_line, 'pod' AS container,
                1 AS parent_pid, {first} AS first_seen, {last} AS last_seen, since AS facts_since
                FROM (VALUES (1, 6000, 1699990060000000, 'same', {first}), (2, 7000, 1699990070000000, 'after', {second}),
                    (3, -1 - 1699990080000001, 1699990080000001, 'same', {first}))
                    processes (pid, start_ticks, us, name, since);
            INSERT INTO process_earlier BY NAME SELECT host, boot_id, pid, start_ticks, started_at, 'before' AS name,
                {first} AS facts_since, {first} AS last_seen FROM process WHERE pid = 2;
            INSERT INTO process_span BY NAME SELECT host, boot_id, pid, start_ticks, started_at,
                first_seen AS first_captured_at, last_seen AS last_captured_at, 3 AS snapshots, ascii('S') AS state_code,
                7 AS cpu_ticks FROM process;
            USE memory; CHECKPOINT old; DETACH old"
        ))
        .unwrap();
}

#[test]
fn a_segment_of_the_tenth_version_says_the_same_beside_newer_ones_and_merged_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_tenth(folder);
    let mut rows = SegmentRows::new(0, 1_700_000_000, 4, 1_700_000_030_000_000);
    let process = |pid, start_ticks: Option<u64>, started_at_us, name: &str| Process {
        pid,
        parent_pid: Some(1),
        start_ticks,
        started_at_us,
        name: name.to_owned(),
        command_line: Some(format!("sh -c {name}")),
        container: Some("pod".to_owned()),
        state: 'S',
        cpu_time_ms: Some(70),
        ..Process::default()
    };
    let later = Snapshot {
        boot_id: "boot".to_owned(),
        captured_at_us: 1_700_000_030_000_000,
        interval_ms: 10_000,
        processes: vec![
            process(1, Some(6_000), 1_699_990_060_000_000, "same"),
            process(2, Some(7_000), 1_699_990_070_000_000, "last"),
            process(3, None, 1_699_990_080_000_001, "same"),
        ],
        ..snapshot("run", 4)
    };
    rows.push(4, 1_700_000_030_000_000, &"host".parse().unwrap(), &later);
    seal(folder, &mut rows).unwrap();
    let check = |step: &str| {
        let processes =
            "SELECT string_agg(concat_ws(' ', pid, start_ticks, epoch_us(started_at), name, command_line,
            container, parent_pid), ', ' ORDER BY pid) FROM process";
        let expected = "1 6000 1699990060000000 same sh -c same pod 1, 2 7000 1699990070000000 last sh -c last pod 1, \
            3 -1699990080000002 1699990080000001 same sh -c same pod 1";
        assert_eq!(value::<String>(folder, processes), expected, "{step}");
        let was = "SELECT string_agg(concat_ws(' ', name, command_line), ', ' ORDER BY facts_since)
            FROM process_history WHERE pid = 2";
        assert_eq!(value::<String>(folder, was), "before, after sh -c after, last sh -c last", "{step}");
        let samples = "SELECT string_agg(concat_ws(' ', epoch_ms(captured_at) // 1000 - 1700000000, cpu_time_ms), ', '
            ORDER BY captured_at) FROM process_sample JOIN process USING (host, boot_id, pid, start_ticks, started_at)
            WHERE pid = 3";
        assert_eq!(value::<String>(folder, samples), "0 70, 10 70, 20 70, 30 70", "{step}");
    };
    check("before");
    merge_folder(folder).unwrap();
    check("after");
    let current = SegmentFolder::scan(folder).unwrap().current;
    assert_eq!(current.len(), 1, "{current:?}");
    // Each that stayed the same is one span, though its ends are stored in two ways.
    let only = current[0].name;
    let in_file = |table: &str| format!("SELECT count(*) FROM \"{}\".{table}", only.alias());
    assert_eq!(value::<u64>(folder, &in_file("process_span")), 3);
}
