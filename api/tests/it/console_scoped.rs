//! SQL of a person who may not see everything: no question shows more.

use std::{fs, path::PathBuf};

use fleetps_ingestor::{
    history::{Hosts, Scope},
    merge_folder,
    segment::{SegmentRows, seal},
    sql::{Answer, AskError},
};
use fleetps_nats::{Snapshot, snapshot::Process};
use tokio_util::sync::CancellationToken;

use crate::{
    console::sql_client,
    support::{process, snapshot_at},
};

/// A history of two hosts that is merged in part, so that it has hourly sums too. Every text of the second host says
/// so.
fn history() -> (tempfile::TempDir, PathBuf) {
    let data = tempfile::tempdir().unwrap();
    let history = data.path().join("history");
    fs::create_dir(&history).unwrap();
    let mut sequence = 0;
    let mut write = |seconds: std::ops::Range<i64>| {
        let begun_us = snapshot_at(seconds.start, Vec::new()).captured_at_us;
        let mut rows = SegmentRows::new(0, 1_700_000_000, sequence + 1, begun_us);
        for second in seconds.step_by(10) {
            for host in ["own-1", "other-1"] {
                sequence += 1;
                let text = |what: &str| Some(format!("{what}-of-{host}"));
                let worker = Process {
                    command_line: text("command"),
                    user_name: text("user"),
                    ..process(7, 1, "worker")
                };
                let snapshot = snapshot_at(second, vec![process(1, 0, "init"), worker]);
                let snapshot = Snapshot { boot_id: format!("boot-of-{host}"), ..snapshot };
                rows.push(sequence, snapshot.captured_at_us, &host.parse().unwrap(), &snapshot);
            }
        }
        seal(&history, &mut rows).unwrap();
    };
    write(0..100);
    write(7_200..7_300);
    merge_folder(&history).unwrap();
    write(7_300..7_400);
    (data, history)
}

fn ask(history: &std::path::Path, scope: &Scope, sql: &str) -> Result<Answer, AskError> {
    sql_client(history).ask(sql, scope, &CancellationToken::new())
}

fn only(hosts: &[&str]) -> Hosts {
    hosts.iter().map(|host| host.parse().unwrap()).collect()
}

/// All values of all rows, or what was said instead.
fn everything(answer: Result<Answer, AskError>) -> String {
    match answer {
        Ok(answer) => answer.rows.into_iter().flatten().flatten().collect::<Vec<_>>().join(" "),
        Err(error) => error.to_string(),
    }
}

/// These hosts and a thousand that are not there.
fn with_many(hosts: &[&str]) -> Hosts {
    let many: Vec<String> = (0..1_000).map(|number| format!("absent-{number}")).collect();
    let all = hosts.iter().copied().chain(many.iter().map(String::as_str));
    only(&all.collect::<Vec<_>>())
}

#[test]
fn a_scope_of_many_hosts_shows_the_same_and_nothing_of_itself() {
    let (_data, history) = history();
    let few = Scope::new(only(&["own-1"]), only(&["other-1"]));
    let many = Scope::new(with_many(&["own-1"]), with_many(&["other-1"]));
    for table in TABLES {
        let [few, many] = [&few, &many].map(|scope| {
            let mut seen = ask(&history, scope, &format!("FROM {table}")).unwrap().rows;
            seen.sort();
            seen
        });
        assert_eq!(many, few, "{table}");
    }
    let left = everything(ask(&history, &many, "SELECT table_name FROM duckdb_tables() WHERE temporary"));
    assert_eq!(left, "");
}

const TABLES: [&str; 10] = [
    "segment",
    "gap",
    "host_info",
    "host_sample",
    "filesystem_sample",
    "interface_sample",
    "process",
    "process_span",
    "process_sample",
    "process_hour",
];

#[test]
fn rows_are_those_of_the_hosts_that_may_be_seen() {
    let (_data, history) = history();
    let scope = Scope::new(only(&["own-1"]), Hosts::All);
    for table in TABLES {
        let seen = everything(ask(&history, &scope, &format!("FROM {table}")));
        assert!(!seen.contains("other"), "{table}: {seen}");
        let is_of_hosts = !["segment", "gap", "filesystem_sample", "interface_sample"].contains(&table);
        assert_eq!(seen.contains("own-1"), is_of_hosts, "{table}: {seen}");
    }
    let count = |scope: &Scope, table: &str| {
        everything(ask(&history, scope, &format!("SELECT count(*) FROM {table}")))
    };
    for (table, own, all) in
        [("process_sample", "60", "120"), ("process_hour", "4", "8"), ("process", "2", "4")]
    {
        assert_eq!(
            (count(&scope, table), count(&Scope::everything(), table)),
            (own.to_owned(), all.to_owned())
        );
    }
    let answer = ask(&history, &scope, "FROM process").unwrap();
    assert!(answer.is_scoped && answer.history_from_us.is_none() && answer.history_to_us.is_some());
    assert!(!ask(&history, &Scope::everything(), "FROM process").unwrap().is_scoped);
    let columns =
        |scope: &Scope, table: &str| ask(&history, scope, &format!("FROM {table}")).unwrap().columns;
    for table in TABLES {
        assert_eq!(columns(&scope, table), columns(&Scope::everything(), table), "{table}");
    }
}

#[test]
fn command_lines_are_those_that_may_be_seen() {
    let (_data, history) = history();
    let lines = "SELECT string_agg(command_line, ' ' ORDER BY host) FROM process WHERE name = 'worker'";
    let of = |hosts: Hosts| everything(ask(&history, &Scope::new(Hosts::All, hosts), lines));
    assert_eq!(of(Hosts::All), "command-of-other-1 command-of-own-1");
    assert_eq!(of(only(&["own-1"])), "command-of-own-1");
    assert_eq!(of(Hosts::none()), "");
    let moment = "FROM processes_at('own-1', '2026-11-20 10:02:00')";
    assert!(
        everything(ask(&history, &Scope::new(only(&["own-1"]), Hosts::All), moment))
            .contains("command-of-own-1")
    );
    let blind = everything(ask(&history, &Scope::new(Hosts::All, Hosts::none()), moment));
    assert!(blind.contains("worker") && !blind.contains("command-of"), "{blind}");
}

#[test]
fn nothing_that_is_not_to_be_seen_can_be_reached_another_way() {
    let (_data, history) = history();
    let scope = Scope::new(only(&["own-1"]), Hosts::none());
    let file = fs::read_dir(&history).unwrap().map(|entry| entry.unwrap().path());
    let file = file.filter(|path| path.extension().is_some_and(|kind| kind == "duckdb")).min().unwrap();
    let (path, alias) = (file.display(), file.file_stem().unwrap().to_string_lossy().into_owned());
    for probe in [
        "SELECT * FROM duckdb_databases()".to_owned(),
        "SELECT * FROM duckdb_tables()".to_owned(),
        "SELECT * FROM duckdb_views()".to_owned(),
        "SELECT * FROM duckdb_columns()".to_owned(),
        "SELECT * FROM duckdb_settings()".to_owned(),
        "SELECT * FROM information_schema.tables".to_owned(),
        "SELECT * FROM information_schema.schemata".to_owned(),
        "SELECT * FROM pragma_database_list()".to_owned(),
        "SELECT * FROM pragma_storage_info('seen.process')".to_owned(),
        "SELECT * FROM pragma_metadata_info('seen')".to_owned(),
        "SELECT * FROM seen.process".to_owned(),
        "SELECT * FROM fleetps_empty.process".to_owned(),
        format!("SELECT * FROM \"{alias}\".process"),
        format!("SELECT * FROM '{path}'"),
        format!("SELECT * FROM glob('{}/*')", history.display()),
        format!("SELECT * FROM read_text('{path}')"),
        format!("SELECT * FROM read_blob('{path}')"),
        format!("SELECT * FROM read_duckdb('{path}', table_name = 'process')"),
        format!("ATTACH '{path}' AS again (READ_ONLY)"),
        "SELECT * FROM query('FROM process')".to_owned(),
        "SELECT * FROM query_table('process')".to_owned(),
        "SELECT * FROM process WHERE host = 'other-1' OR command_line LIKE 'c%'".to_owned(),
    ] {
        let seen = everything(ask(&history, &scope, &probe));
        for hidden in ["other-1", "command-of"] {
            // A refusal repeats the question.
            assert!(!seen.replace(&probe, "").contains(hidden), "{probe}: {seen}");
        }
    }
    let attached =
        everything(ask(&history, &scope, "SELECT path FROM duckdb_databases() WHERE path IS NOT NULL"));
    assert_eq!(attached, "", "a file is still attached");
}

#[test]
fn what_does_not_fit_is_left_out_from_the_oldest_on_and_the_answer_says_since_when() {
    let data = tempfile::tempdir().unwrap();
    // A host that says it has a million processes: what it says is what is counted.
    let mut rows = SegmentRows::new(0, 1_700_000_000, 1, snapshot_at(0, Vec::new()).captured_at_us);
    for minute in 0..4 {
        let mut snapshot = snapshot_at(minute * 60, vec![process(1, 0, "init")]);
        snapshot.host.process_count = Some(900_000);
        rows.push(minute.unsigned_abs() + 1, snapshot.captured_at_us, &"own-1".parse().unwrap(), &snapshot);
    }
    seal(data.path(), &mut rows).unwrap();
    let scope = Scope::new(only(&["own-1"]), Hosts::All);
    let answer = ask(data.path(), &scope, "SELECT count(*) FROM process_sample").unwrap();
    assert_eq!(answer.history_from_us, Some(snapshot_at(120, Vec::new()).captured_at_us));
    assert_eq!(answer.rows[0][0].as_deref(), Some("2"));

    let mut rows = SegmentRows::new(0, 1_700_000_000, 5, snapshot_at(300, Vec::new()).captured_at_us);
    let mut snapshot = snapshot_at(300, vec![process(1, 0, "init")]);
    snapshot.host.process_count = Some(u32::MAX);
    rows.push(5, snapshot.captured_at_us, &"own-1".parse().unwrap(), &snapshot);
    seal(data.path(), &mut rows).unwrap();
    let refused = ask(data.path(), &scope, "SELECT 1").unwrap_err().to_string();
    assert!(refused.contains("too many to ask about in SQL"), "{refused}");
    assert!(ask(data.path(), &Scope::everything(), "SELECT 1").is_ok());
}
