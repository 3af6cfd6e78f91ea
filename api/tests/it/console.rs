//! SQL questions: which are answered, which are refused, and that none does any harm. The probes are those that got
//! past DuckDB's own locks, and those that its own limits do not stop.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use fleetps_ingestor::{
    history::{Holding, Scope, Span},
    segment::{SegmentRows, seal},
    sql::{Answer, AskError, Choice, Cut, LIMITS, SqlClient},
};
use fleetps_nats::snapshot::Process;
use tokio_util::sync::CancellationToken;

use crate::{
    chance::rounds,
    support::{process, snapshot},
};

/// A process name that would do something in a page, a terminal, a spreadsheet and an SQL text.
pub const HOSTILE: &str = "=1+1<img src=x onerror=alert(1)>\u{1b}[31m\u{202e}'; DROP TABLE process; --";

/// A data folder with a history of two segments, and where that is.
pub fn history() -> (tempfile::TempDir, PathBuf) {
    let data = tempfile::tempdir().unwrap();
    let history = data.path().join("history");
    fs::create_dir(&history).unwrap();
    for first in [1, 3] {
        let mut rows = SegmentRows::new(0, 1_763_712_000, first, 1_763_713_800_000_000);
        for sequence in first..first + 2 {
            let processes =
                vec![process(1, 0, "init"), Process { name: HOSTILE.to_owned(), ..process(2, 1, "x") }];
            let mut snapshot = snapshot(i64::try_from(sequence).unwrap(), processes);
            snapshot.captured_at_us = 1_763_713_800_000_000 + i64::try_from(sequence).unwrap() * 10_000_000;
            rows.push(sequence, snapshot.captured_at_us, &"web-1".parse().unwrap(), &snapshot);
        }
        seal(&history, &mut rows).unwrap();
    }
    (data, history)
}

/// Asks by running the real program.
pub fn sql_client(history: &Path) -> SqlClient {
    SqlClient::new(PathBuf::from(env!("CARGO_BIN_EXE_fleetps")), history.to_owned())
}

fn ask(history: &Path, sql: &str) -> Result<Answer, AskError> {
    sql_client(history).ask(sql, &Scope::everything(), &CancellationToken::new())
}

/// The one value that `sql` finds.
fn value(history: &Path, sql: &str) -> String {
    ask(history, sql).unwrap().rows[0][0].clone().unwrap()
}

/// Every file of a folder with what is in it.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.clone(), fs::read(path).unwrap_or_default())).collect()
}

fn names(folder: &str) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

/// The processes that answer questions over the history in `folder`.
#[cfg(target_os = "linux")]
pub fn workers(folder: &Path) -> Vec<u32> {
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let folder = folder.to_str().unwrap().to_owned();
    pids.filter(|pid| {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut arguments = arguments.split(|byte| *byte == 0).skip(1);
        arguments.next() == Some(b"sql-worker") && arguments.next() == Some(folder.as_bytes())
    })
    .collect()
}

#[test]
fn a_question_is_answered_over_every_segment_with_what_it_is_over() {
    let (_data, history) = history();
    let answer = ask(
        &history,
        "SELECT name, count(*) AS samples, max(captured_at) AS last FROM process_sample \
        JOIN process USING (host, boot_id, pid, started_at) GROUP BY name ORDER BY name DESC; -- all of them",
    )
    .unwrap();
    let columns: Vec<_> =
        answer.columns.iter().map(|column| (column.name.as_str(), column.kind.as_str())).collect();
    assert_eq!(columns[..2], [("name", "VARCHAR"), ("samples", "BIGINT")]);
    assert_eq!(answer.rows[0][..2], [Some("init".to_owned()), Some("4".to_owned())]);
    assert_eq!(answer.rows[1][0].as_deref(), Some(HOSTILE));
    assert_eq!(
        answer.columns[2].json(answer.rows[0][2].as_deref()).as_str().unwrap()[..19],
        *"2025-11-21T08:30:40"
    );
    assert_eq!((answer.cut, answer.incomplete.len()), (None, 0));
    assert_eq!(answer.history_to_us, Some(1_763_713_840_000_000));
    assert_eq!(value(&history, "SELECT count(*) FROM (FROM process)"), "2");
    assert_eq!(value(&history, "SELECT NULL IS NULL"), "true");
}

/// A ready-made DuckDB has extensions that a compiled one lacks: answers are the same, and none is loaded from anywhere.
#[test]
fn answers_do_not_depend_on_what_extensions_the_library_has() {
    let (_data, history) = history();
    assert_eq!(
        value(&history, "SELECT TIMESTAMPTZ '2026-01-01 00:00:00+02'::VARCHAR"),
        "2025-12-31 22:00:00+00"
    );
    for probe in [
        "FROM duckdb_extensions()",
        "LOAD icu",
        "LOAD json",
        "LOAD parquet",
        "INSTALL parquet",
        "FORCE INSTALL httpfs FROM core_nightly",
        "FROM read_parquet('https://127.0.0.1:1/x.parquet')",
        "FROM read_json_auto('/etc/passwd')",
        "FROM 'x.parquet'",
        "FROM 'x.json'",
        "FROM read_xlsx('x.xlsx')",
        "FROM st_read('x.shp')",
        "FROM sqlite_scan('x.db', 'y')",
    ] {
        let answer = ask(&history, probe);
        assert!(matches!(answer, Err(AskError::Refused { .. })), "{probe}: {answer:?}");
    }
}

#[test]
fn a_large_history_is_answered_from_what_fits_or_from_a_time_and_the_answer_says_which() {
    let (_data, history) = history();
    let count = "SELECT count(*) FROM host_sample";
    let ask = |choice: &Choice| {
        let scope = Scope::everything();
        sql_client(&history).ask_about(count, choice, &scope, &CancellationToken::new())
    };
    let answer = ask(&Choice::default()).unwrap();
    assert_eq!((answer.rows[0][0].as_deref(), answer.attached.from_us), (Some("4"), None));
    let newest = ask(&Choice::default().at_most(1)).unwrap();
    assert_eq!(newest.rows[0][0].as_deref(), Some("2"));
    assert_eq!((newest.attached.segments, newest.attached.of), (1, 2));
    assert!(newest.attached.from_us.is_some());
    let (from_us, to_us) = (1_763_713_800_000_000, 1_763_713_900_000_000);
    let names: Vec<String> = contents(&history)
        .into_keys()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    let holding = Holding { with: [names[0].clone()].into(), without: [names[1].clone()].into() };
    let of_host = ask(&Choice::of(Span { from_us, to_us }, holding).at_most(1)).unwrap();
    assert_eq!((of_host.rows[0][0].as_deref(), of_host.attached.segments), (Some("2"), 1));
    assert_eq!((of_host.attached.from_us, of_host.attached.to_us), (Some(from_us), Some(to_us)));
    let other_day = Span { from_us: from_us + 86_400_000_000, to_us: to_us + 86_400_000_000 };
    assert_eq!(ask(&Choice::of(other_day, Holding::default())).unwrap().attached.segments, 0);
    match ask(&Choice::of(Span { from_us, to_us }, Holding::default()).at_most(1)) {
        Err(AskError::TooManySegments(why)) => assert!(why.contains("about 2 segments"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_segment_that_cannot_be_read_is_named() {
    let (_data, history) = history();
    let broken = fs::read_dir(&history).unwrap().next().unwrap().unwrap().path();
    fs::write(&broken, "this is no database, and long enough to be read as one".repeat(1000)).unwrap();
    let answer = ask(&history, "SELECT count(*) FROM host_sample").unwrap();
    assert_eq!(answer.incomplete, [broken.file_name().unwrap().to_str().unwrap()]);
    assert_eq!(answer.rows[0][0].as_deref(), Some("2"));
}

#[test]
fn damage_within_a_segment_is_said_and_never_answered_over() {
    let (_data, history) = history();
    let segment = contents(&history).into_keys().next().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    // What opens the file stays, every block of rows is damaged.
    for byte in bytes.iter_mut().skip(3 * 4096).step_by(512) {
        *byte ^= 1;
    }
    fs::write(&segment, bytes).unwrap();
    match ask(&history, "SELECT count(*), max(name) FROM process") {
        Err(AskError::Damaged(what)) => assert!(what.contains("orrupt"), "{what}"),
        Ok(answer) => assert_eq!(answer.incomplete, [segment.file_name().unwrap().to_str().unwrap()]),
        other => panic!("{other:?}"),
    }
    // The files that were found damaged are named.
    fs::rename(&segment, segment.with_extension("duckdb.damaged")).unwrap();
    let answer = ask(&history, "SELECT count(*) FROM host_sample").unwrap();
    assert_eq!(answer.incomplete, [segment.file_name().unwrap().to_str().unwrap()]);
}

#[test]
fn what_duckdb_refuses_is_refused_with_its_words_and_the_place() {
    let (_data, history) = history();
    for (sql, expected, expected_place) in [
        ("SELECT nosuch FROM process", "\"nosuch\" not found", Some((1, 8))),
        ("SELECT 1,\n  +", "syntax error", Some((2, 3))),
        ("FROM nowhere", "nowhere does not exist", Some((1, 6))),
        ("", "single SELECT", None),
        ("SELECT 1; SELECT 2", "single SELECT", None),
        ("SELECT '\0'", "nul", None),
    ] {
        match ask(&history, sql) {
            Err(AskError::Refused { message, place }) => {
                assert!(message.contains(expected), "{sql}: {message}");
                assert_eq!(place, expected_place, "{sql}: {message}");
            }
            other => panic!("{sql}: {other:?}"),
        }
    }
    assert!(matches!(ask(&history, &"x".repeat(65 << 10)), Err(AskError::TooLong)));
}

/// The questions that must be refused. `$file` is a segment, `$alias` its attached name, `$new` a file that is not
/// there.
const FORBIDDEN: &[&str] = &[
    "COPY (SELECT 42) TO '$file' (FORMAT csv, USE_TMP_FILE false)",
    "COPY (SELECT 42) TO '$file.wal' (FORMAT csv, USE_TMP_FILE false)",
    "COPY (SELECT 42) TO '$new'",
    "SELECT 1) TO '$new'; --",
    "SELECT 1); COPY (SELECT 42) TO '$new'; SELECT * FROM (SELECT 1",
    "SELECT 1'); COPY (SELECT 42) TO '$new'; SELECT ('",
    "SELECT 1; COPY (SELECT 42) TO '$new'",
    "FROM query('COPY (SELECT 42) TO ''$new''')",
    "DETACH \"$alias\"",
    "SELECT 1; DETACH \"$alias\"; ATTACH '$file' AS \"$alias\"; CREATE TABLE \"$alias\".evil (a INT)",
    "ATTACH '$file' AS again",
    "ATTACH '$new' AS fresh",
    "CREATE TABLE \"$alias\".evil (a INT)",
    "CREATE TABLE evil (a INT)",
    "CREATE OR REPLACE VIEW process AS SELECT 1",
    "INSERT INTO fleetps_empty.process (host) VALUES ('evil')",
    "WITH evil AS (INSERT INTO fleetps_empty.process (host) VALUES ('evil') RETURNING *) FROM evil",
    "WITH evil AS (DELETE FROM \"$alias\".process RETURNING *) FROM evil",
    "DELETE FROM \"$alias\".process",
    "UPDATE \"$alias\".process SET name = 'evil'",
    "MERGE INTO \"$alias\".process USING process ON false WHEN NOT MATCHED THEN INSERT",
    "DROP VIEW process",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '$new.so'",
    "SET lock_configuration = false",
    "RESET lock_configuration",
    "SET enable_external_access = true",
    "SET VARIABLE a = 1",
    "SET SESSION memory_limit = '100GB'",
    "PRAGMA enable_profiling = 'json'",
    "PRAGMA profiling_output = '$new'",
    "PRAGMA version",
    "CALL enable_logging()",
    "FROM enable_logging()",
    "FROM enable_logging(storage = 'file', storage_config = {'path': '$new'})",
    "FROM enable_profiling()",
    "FROM set_config('memory_limit', '100GB')",
    "EXPORT DATABASE '$new'",
    "IMPORT DATABASE '$new'",
    "CHECKPOINT",
    "FORCE CHECKPOINT \"$alias\"",
    "VACUUM",
    "USE fleetps_empty",
    "BEGIN",
    "PREPARE evil AS SELECT 1",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '$new'",
    "FROM read_csv('$file')",
    "FROM read_csv('/etc/passwd')",
    "FROM read_text('/etc/passwd')",
    "FROM read_blob('$file')",
    "FROM read_text('/proc/self/environ')",
    "FROM '/etc/passwd'",
    "FROM '/etc/passwd.csv'",
    "FROM '$file'",
    "FROM glob('/*')",
    "FROM sniff_csv('/etc/passwd')",
    "FROM read_parquet('/etc/passwd')",
    "FROM read_json('/etc/passwd')",
    "FROM read_csv('http://127.0.0.1:1/')",
    "SELECT getenv('PATH')",
    "SELECT $1",
];

/// Questions that DuckDB answers, and that must do nothing.
const HARMLESS: &[&str] = &[
    "FROM checkpoint('$alias')",
    "FROM force_checkpoint('$alias')",
    "SELECT write_log('evil')",
    "FROM duckdb_logs",
    "FROM duckdb_secrets()",
    "SELECT current_setting('lock_configuration')",
];

#[test]
fn nothing_can_be_asked_that_reads_or_writes_any_file_or_changes_a_setting() {
    let (_data, history) = history();
    let (before, root_before) = (contents(&history), names("/"));
    let file = before.keys().next().unwrap();
    let alias = file.file_stem().unwrap().to_str().unwrap();
    let new = history.join("new");
    let ask = |probe: &str| {
        let sql = probe.replace("$file", file.to_str().unwrap()).replace("$alias", alias);
        ask(&history, &sql.replace("$new", new.to_str().unwrap()))
    };
    for probe in FORBIDDEN {
        let answer = ask(probe);
        assert!(matches!(answer, Err(AskError::Refused { .. })), "{probe}: {answer:?}");
    }
    for probe in HARMLESS {
        let answer = ask(probe);
        assert!(matches!(answer, Ok(_) | Err(AskError::Refused { .. })), "{probe}: {answer:?}");
    }
    assert!(contents(&history) == before, "a file was changed or made");
    assert_eq!(names("/"), root_before);
    assert_eq!(value(&history, "SELECT count(*) FROM process WHERE host = 'web-1'"), "2");
}

/// Questions that must end soon, by DuckDB's own limits or the system's.
const EXHAUSTING: &[&str] = &[
    "SELECT length(repeat('x', 2000000000))",
    "SELECT len(range(0, 300000000))",
    "SELECT list(a) FROM range(1000000000) x(a)",
    "SELECT string_agg(repeat('x', 1000000), '') FROM range(100000)",
    "SELECT * FROM range(1000000000) ORDER BY hash(range)",
    "SELECT regexp_matches(repeat('a', 100000000) || 'b', '(a*)*c')",
    "SELECT repeat('x', 100000000) FROM range(100000)",
];

/// Questions that go on until the deadline.
const ENDLESS: &[&str] = &[
    "SELECT length(lpad('x', 2000000000, 'y'))",
    "SELECT count(*) FROM range(100000) a, range(100000) b, range(1000) c",
    "WITH RECURSIVE r(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM r) SELECT count(*) FROM r",
];

fn exhaust(history: &Path, sql: &str) {
    let answer = ask(history, sql);
    let lengths = answer.iter().flat_map(|answer| answer.rows.iter().flatten().flatten()).map(String::len);
    assert!(lengths.sum::<usize>() <= LIMITS.bytes, "{sql} was answered at length");
    assert!(!matches!(answer, Err(AskError::Failed(_) | AskError::Start(_))), "{sql}: {answer:?}");
}

#[test]
fn nothing_can_be_asked_that_takes_more_than_it_may() {
    let (_data, history) = history();
    let before = contents(&history);
    EXHAUSTING.iter().for_each(|sql| exhaust(&history, sql));
    // At once, because they take all the time that they are given.
    let endless = &ENDLESS[..rounds(1).min(ENDLESS.len())];
    std::thread::scope(|scope| endless.iter().for_each(|sql| drop(scope.spawn(|| exhaust(&history, sql)))));
    let parentheses = format!("SELECT {}1{}", "(".repeat(3000), ")".repeat(3000));
    assert!(matches!(ask(&history, &parentheses), Err(AskError::Refused { .. })));
    assert!(contents(&history) == before);
    #[cfg(target_os = "linux")]
    assert_eq!(workers(&history), [0; 0]);
    assert_eq!(value(&history, "SELECT 1"), "1");
}

#[test]
fn long_answers_are_cut_off_and_say_by_which_limit() {
    let (_data, history) = history();
    let exact = ask(&history, "FROM range(10000)").unwrap();
    assert_eq!((exact.rows.len(), exact.cut), (LIMITS.rows, None));
    let longer = ask(&history, "FROM range(10001) ORDER BY range DESC").unwrap();
    assert_eq!((longer.rows.len(), longer.cut), (LIMITS.rows, Some(Cut::Rows)));
    assert_eq!(longer.rows[0][0].as_deref(), Some("10000"));
    let wide = ask(&history, "SELECT repeat('\u{1}', 1000000) FROM range(100)").unwrap();
    assert_eq!((wide.rows.len(), wide.cut), (8, Some(Cut::Bytes)));
}

#[cfg(target_os = "linux")]
#[test]
fn a_cancelled_question_ends_with_its_process() {
    let (_data, history) = history();
    let cancelled = CancellationToken::new();
    let asking = {
        let (sql_client, cancelled) = (sql_client(&history), cancelled.clone());
        std::thread::spawn(move || {
            sql_client.ask(
                "SELECT count(*) FROM range(1000000000) a, range(1000) b",
                &Scope::everything(),
                &cancelled,
            )
        })
    };
    until("the process runs", || !workers(&history).is_empty());
    cancelled.cancel();
    assert!(matches!(asking.join().unwrap(), Err(AskError::Cancelled)));
    assert_eq!(workers(&history), [0; 0]);
}

pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + crate::support::PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not come true");
        std::thread::sleep(Duration::from_millis(10));
    }
}
