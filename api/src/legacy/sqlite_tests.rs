use super::*;

/// A database with these statements in it.
fn database(statements: &str) -> (tempfile::TempDir, Result<OldDatabase, SqliteError>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("db.sqlite3");
    Connection::open(&file).unwrap().execute_batch(statements).unwrap();
    let opened = OldDatabase::open(&file);
    (folder, opened)
}

fn snapshots(database: &OldDatabase, after: i64) -> Vec<OldSnapshot> {
    let mut all = Vec::new();
    let take = |snapshot| {
        all.push(snapshot);
        Ok::<_, SqliteError>(true)
    };
    database.each_snapshot(after, take).unwrap();
    all
}

const TABLES_001: &str = "
    CREATE TABLE monitor_host (id integer PRIMARY KEY, hostname varchar(255), api_key varchar(255));
    CREATE TABLE monitor_snapshot (id integer PRIMARY KEY, captured_at datetime, os varchar(255), processor varchar(255),
        cores integer, threads integer, ram_gb real, used_ram_gb real, available_ram_gb real, storage_total_gb real,
        storage_used_gb real, storage_free_gb real, cpu_freq_mhz real, process_count integer, host_id bigint);
    CREATE TABLE monitor_process (id integer PRIMARY KEY, pid integer, ppid integer, name varchar(255), cpu_percent real,
        memory_mb real, cmdline text, snapshot_id bigint);
    INSERT INTO monitor_host VALUES (1, 'web.example.com', 'KEY-1'), (2, 'db 1', 'KEY-2');
    INSERT INTO monitor_snapshot VALUES
        (7, '2025-08-22 10:11:12.5', 'Linux-6.8', '', 4, 8, 16, 4.5, 11.5, 100, 60, 40, NULL, 2, 1),
        (9, '2025-08-22 10:11:14', 'Linux-6.8', 'x86', 4, 8, 16, 4.5, 11.5, 100, 60, 40, 2400.6, 1, 2);
    INSERT INTO monitor_process VALUES (1, 1, 0, 'init', 0.1, 1.5, '', 7), (2, 40, 1, 'java', 250.5, 512, 'java -jar x', 7),
        (3, 1, 0, 'init', 0, 1, '', 9), (4, -5, 0, 'no process', 0, 0, '', 9);
";

#[test]
fn a_database_of_001_is_read_with_its_keys_times_and_units() {
    let (_folder, database) = database(TABLES_001);
    let database = database.unwrap();
    assert_eq!(database.system(), System::S001);
    let host = |id, name: &str, key: &str| OldHost {
        id,
        name: name.to_owned(),
        key: Some(key.to_owned()),
        registered: None,
    };
    assert_eq!(database.hosts().unwrap(), [host(1, "web.example.com", "KEY-1"), host(2, "db 1", "KEY-2")]);
    let all = snapshots(&database, 0);
    assert_eq!(all.len(), 2);
    let first = &all[0];
    assert_eq!((first.id, first.host_id, first.captured_at_us), (7, 1, 1_755_857_472_500_000));
    assert_eq!(
        (first.os.as_deref(), first.processor.as_deref(), first.frequency_mhz),
        (Some("Linux-6.8"), None, None)
    );
    assert_eq!((first.cores, first.threads), (Some(4), Some(8)));
    let gib = 1 << 30;
    assert_eq!(first.sizes, Some([16 * gib, 9 * gib / 2, 23 * gib / 2, 100 * gib, 60 * gib, 40 * gib]));
    let java = OldProcess {
        pid: 40,
        parent_pid: 1,
        name: "java".to_owned(),
        cpu_percent: Some(250.5),
        resident_bytes: Some(512 << 20),
        command_line: Some("java -jar x".to_owned()),
    };
    assert_eq!((first.processes.len(), &first.processes[1]), (2, &java));
    assert_eq!((all[1].frequency_mhz, all[1].processes.len(), all[1].left_out), (Some(2401), 1, 1));
    assert_eq!(snapshots(&database, 7), all[1..]);
}

#[test]
fn its_origin_stays_while_it_grows_and_is_no_other_databases() {
    let (_folder, one) = database(TABLES_001);
    let grown = format!(
        "{TABLES_001} INSERT INTO monitor_snapshot (id, captured_at, host_id) VALUES (10, '2025-08-23', 1);"
    );
    let (_folder, grown) = database(&grown);
    let (_folder, other) = database(&TABLES_001.replace("web.example.com", "web.example.net"));
    let origin = |database: Result<OldDatabase, _>| database.unwrap().origin().unwrap().unwrap();
    let (one, grown, other) = (origin(one), origin(grown), origin(other));
    assert_eq!((one, one.1), (grown, 1_755_857_472_500_000));
    assert_ne!(one, other);
}

#[test]
fn the_first_databases_of_001_say_nothing_about_machines() {
    let (_folder, database) = database(
        "CREATE TABLE monitor_host (id integer, hostname text, api_key text, created_at datetime);
         CREATE TABLE monitor_snapshot (id integer, captured_at datetime, process_count integer, host_id bigint);
         CREATE TABLE monitor_process (id integer, pid integer, ppid integer, name text, cpu_percent real, memory_mb real,
            cmdline text, snapshot_id bigint);
         INSERT INTO monitor_snapshot VALUES (1, '2025-08-22 10:11:12', 0, 1);",
    );
    let all = snapshots(&database.unwrap(), 0);
    assert_eq!((all.len(), all[0].sizes, all[0].cores), (1, None, None));
}

#[test]
fn a_database_of_002_is_read() {
    let (_folder, database) = database(
        "CREATE TABLE core_machine (id integer PRIMARY KEY, hostname text, machine_id text, created_at datetime,
            polling_interval integer, enabled bool, os_name text, architecture text, processor text, cpu_cores integer,
            cpu_threads integer, total_ram integer, total_storage integer);
         CREATE TABLE core_snapshotbatch (id integer PRIMARY KEY, timestamp datetime, machine_id bigint);
         CREATE TABLE core_machinesnapshot (id integer PRIMARY KEY, timestamp datetime, total_ram bigint, used_ram bigint,
            available_ram bigint, total_disk bigint, used_disk bigint, available_disk bigint, batch_id bigint);
         CREATE TABLE core_processsnapshot (id integer PRIMARY KEY, pid integer, ppid integer, name text, cpu_usage real,
            memory_usage real, batch_id bigint);
         INSERT INTO core_machine VALUES (3, 'mira', 'abc', '2025-05-16', 5, 1, 'Linux', 'x86_64', '', 2, 4, 100, 200);
         INSERT INTO core_snapshotbatch VALUES (5, '2025-05-16 09:21:00.000001', 3), (6, '2025-05-16 09:21:05', 3);
         INSERT INTO core_machinesnapshot VALUES (1, '2025-05-16 09:21:00', 100, 60, 40, 200, 150, 50, 5);
         INSERT INTO core_processsnapshot VALUES (1, 7, 1, x'6aff', 12.5, 0.5, 5);",
    );
    let database = database.unwrap();
    assert_eq!(database.system(), System::S002);
    let registered = Registered {
        machine_id: "abc".to_owned(),
        created_at: Some("2025-05-16".to_owned()),
        polling_interval: Some(5),
        enabled: Some(true),
        os_name: Some("Linux".to_owned()),
        architecture: Some("x86_64".to_owned()),
        processor: None,
        cpu_cores: Some(2),
        cpu_threads: Some(4),
        total_ram: Some(100),
        total_storage: Some(200),
    };
    let host = OldHost { id: 3, name: "mira".to_owned(), key: None, registered: Some(registered) };
    assert_eq!(database.hosts().unwrap(), [host]);
    let all = snapshots(&database, 0);
    assert_eq!((all[0].id, all[0].captured_at_us), (5, 1_747_387_260_000_001));
    assert_eq!(
        (all[0].architecture.as_deref(), all[0].cores, all[0].threads),
        (Some("x86_64"), Some(2), Some(4))
    );
    assert_eq!((all[0].sizes, all[1].sizes), (Some([100, 60, 40, 200, 150, 50]), None));
    let process = OldProcess {
        pid: 7,
        parent_pid: 1,
        name: "j\u{fffd}".to_owned(),
        cpu_percent: Some(12.5),
        resident_bytes: Some(1 << 19),
        command_line: None,
    };
    assert_eq!(all[0].processes, [process]);
}

#[test]
fn what_is_no_such_database_is_refused() {
    let (_folder, other) = database("CREATE TABLE notes (id integer)");
    assert!(matches!(other, Err(SqliteError::OtherTables)));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("text");
    std::fs::write(&file, "no database".repeat(1000)).unwrap();
    assert!(matches!(OldDatabase::open(&file), Err(SqliteError::Sqlite(_))));
    assert!(matches!(OldDatabase::open(&folder.path().join("nothing")), Err(SqliteError::Sqlite(_))));
    let (_folder, odd) = database(&TABLES_001.replace("2025-08-22 10:11:14", "yesterday"));
    let failed = odd.unwrap().each_snapshot(0, |_| Ok::<_, SqliteError>(true)).unwrap_err();
    assert!(failed.to_string().starts_with("snapshot 9 has the time \"yesterday\""), "{failed}");
}

#[test]
fn times_are_read_as_they_were_written() {
    for (text, at_us) in [
        ("2025-08-22 10:11:12.123456", Some(1_755_857_472_123_456)),
        ("2025-08-22 10:11:12", Some(1_755_857_472_000_000)),
        ("2025-08-22T10:11:12Z", Some(1_755_857_472_000_000)),
        ("2025-08-22 10:11:12+00:00", Some(1_755_857_472_000_000)),
        ("", None),
        ("yesterday", None),
    ] {
        assert_eq!(read_time(text), at_us, "{text}");
    }
}
