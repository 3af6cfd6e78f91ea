//! The SQL and Python of README.md is run, and every file and test that documents name exists.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::console::history;

const README: &str = include_str!("../../../README.md");
const RELIABILITY: &str = include_str!("../../../docs/reliability.md");

/// The content of the blocks of one language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    README.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// Each question of the README by itself.
fn questions() -> Vec<&'static str> {
    let questions = blocks("sql").into_iter().flat_map(|block| block.split(";\n"));
    questions.map(str::trim).filter(|sql| !sql.is_empty()).collect()
}

/// Writes what an ingestor would put beside the segments.
fn write_attach_sql(history: &Path) {
    let catalog = fleetps_ingestor::catalog::SegmentFolder::scan(history).unwrap();
    let names: Vec<_> = catalog.current.iter().map(|segment| segment.name).collect();
    let sql = fleetps_ingestor::catalog::attach_sql(history, &names);
    std::fs::write(history.join(fleetps_ingestor::ATTACH_SQL), sql).unwrap();
}

#[test]
fn every_question_of_the_readme_is_answered_through_attach_sql_and_by_the_console() {
    let (_data, history) = history();
    write_attach_sql(&history);
    let duckdb = duckdb::Connection::open_in_memory().unwrap();
    duckdb
        .execute_batch(&std::fs::read_to_string(history.join(fleetps_ingestor::ATTACH_SQL)).unwrap())
        .unwrap();
    let sql_client = crate::console::sql_client(&history);
    let questions = questions();
    assert_eq!(questions.len(), 5);
    for question in questions {
        duckdb.execute_batch(question).unwrap_or_else(|error| panic!("{question}: {error}"));
        let answer = sql_client.ask(
            question,
            &fleetps_ingestor::history::Scope::everything(),
            &tokio_util::sync::CancellationToken::new(),
        );
        answer.unwrap_or_else(|error| panic!("{question}: {error}"));
    }
}

#[test]
fn the_readmes_python_makes_frames_of_every_question() {
    let has_pandas = Command::new("python3").args(["-c", "import duckdb, pandas"]).output();
    if !has_pandas.is_ok_and(|output| output.status.success()) {
        eprintln!(
            "skipped: python3 has no duckdb and pandas; install them with `python3 -m pip install duckdb pandas`"
        );
        return;
    }
    let (_data, history) = history();
    write_attach_sql(&history);
    let shown = blocks("python").concat();
    let here = history.join(fleetps_ingestor::ATTACH_SQL);
    let mut script = shown.replace("~/.local/share/fleetps/history/attach.sql", here.to_str().unwrap());
    assert_ne!(script, shown);
    for question in questions() {
        script += &format!("assert history.sql({question:?}).df().columns.size > 0\n");
    }
    script += "print(len(history.sql('FROM process_sample').df()))";
    let python = Command::new("python3").args(["-c", &script]).output().unwrap();
    let complained = String::from_utf8_lossy(&python.stderr);
    assert_eq!(String::from_utf8_lossy(&python.stdout).trim(), "8", "{complained}");
}

/// Names of tests are long; what else stands in such quotes there is short or no name.
#[test]
fn every_test_that_the_reliability_page_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let sources: String =
        ["agent", "api", "ingestor", "nats"].iter().map(|part| text_of(&root.join(part))).collect();
    let quoted = RELIABILITY.split('`').skip(1).step_by(2);
    let is_name = |text: &&str| {
        text.len() >= 18 && text.chars().all(|letter| letter == '_' || letter.is_ascii_lowercase())
    };
    let names: Vec<_> = quoted.filter(is_name).collect();
    assert!(names.len() > 60, "{}", names.len());
    let missing: Vec<_> =
        names.into_iter().filter(|name| !sources.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// All Rust in a folder.
fn text_of(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter_map(|path| match path.is_dir() {
            true => Some(text_of(&path)),
            false => path
                .extension()
                .is_some_and(|kind| kind == "rs")
                .then(|| std::fs::read_to_string(path).unwrap()),
        })
        .collect()
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every document of the workspace, with its text.
fn documents() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for folder in [workspace(), workspace().join("docs"), workspace().join("docs/decisions")] {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    found
}

/// What stands between `open` and the next `close`, each time.
fn between<'a>(text: &'a str, open: &'a str, close: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(open).skip(1).filter_map(move |rest| Some(rest.split_once(close)?.0))
}

#[test]
fn every_file_that_a_document_links_to_or_names_exists() {
    let folders = ["nats/", "agent/", "ingestor/", "api/", "templates/", "docs/", ".ci/"];
    let mut missing = Vec::new();
    for (document, text) in documents() {
        let beside = document.parent().unwrap();
        let links =
            between(&text, "](", ")").filter(|link| !link.starts_with("http") && !link.starts_with('#'));
        let links = links.map(|link| beside.join(link.split('#').next().unwrap()));
        let is_path = |name: &&str| {
            folders.iter().any(|folder| name.starts_with(folder)) && !name.contains(['*', '<', ' ', '{', '…'])
        };
        let named = between(&text, "`", "`").filter(is_path).map(|name| workspace().join(name));
        let all = links.chain(named).filter(|path| !path.exists());
        missing.extend(all.map(|path| format!("{}: {}", document.display(), path.display())));
    }
    assert!(missing.is_empty(), "documents name files that are not there:\n{}", missing.join("\n"));
}
