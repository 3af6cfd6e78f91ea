//! Real processes with hostile names, from the kernel to everything that shows them: page, JSON, CSV, terminal, log and
//! SQL.
#![cfg(target_os = "linux")]

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::{ffi::OsStrExt, fs::symlink, process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
};

use fleetps::testing::display::is_treacherous;
use scraper::Html;
use serde_json::Value;

use crate::{
    console::until,
    described::got,
    hostile_corpus::corpus,
    program::{Running, fleetps},
    support::texts,
};

/// The names, and a process of each; ended when dropped.
struct Corpus {
    names: Vec<Vec<u8>>,
    children: Vec<Child>,
}

impl Corpus {
    fn start(folder: &Path) -> Self {
        let names = corpus();
        let children = names.iter().enumerate().map(|(number, name)| {
            // The kernel takes the name from the file's name, which cannot have a slash, and cuts it to 15 bytes.
            let file: Vec<u8> = name.iter().copied().filter(|byte| *byte != b'/').take(200).collect();
            let folder = folder.join(number.to_string());
            fs::create_dir(&folder).unwrap();
            let is_folder = matches!(file.as_slice(), b"." | b"..");
            let program = folder.join(OsStr::from_bytes(if is_folder { b"dots" } else { &file }));
            symlink("/bin/sleep", &program).unwrap();
            Command::new(&program).arg0(OsStr::from_bytes(name)).arg("1000").spawn().unwrap()
        });
        Self { children: children.collect(), names }
    }

    fn pids(&self) -> Vec<u64> {
        self.children.iter().map(|child| u64::from(child.id())).collect()
    }
}

impl Drop for Corpus {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Whether a command line is as a snapshot has it: as far as Unicode can, and of more than 4 KiB without a part in the middle,
/// whose bytes are counted.
fn is_as_sampled(name: &[u8], sampled: &str) -> bool {
    let text = format!("{} 1000", String::from_utf8_lossy(name));
    if text.len() <= 4_096 {
        return text == sampled;
    }
    let parts = sampled.split_once("…[").and_then(|(head, rest)| Some((head, rest.split_once(" bytes]…")?)));
    parts.is_some_and(|(head, (count, tail))| {
        let left_out: usize = count.replace(',', "").parse().unwrap();
        text.starts_with(head)
            && text.ends_with(tail)
            && tail.ends_with(" 1000")
            && head.len() + left_out + tail.len() == text.len()
            && sampled.len() <= 4_096
    })
}

/// What would drive a terminal, or could not be seen, but for line ends.
fn treacherous(text: &str) -> Option<char> {
    text.chars().find(|character| is_treacherous(*character) && *character != '\n')
}

fn try_get(running: &Running, path: &str) -> Option<String> {
    got(&running.address, path).filter(|(status, _)| *status < 400).map(|(_, body)| body)
}

fn get(running: &Running, path: &str) -> String {
    try_get(running, path).unwrap()
}

fn run(data: &Path, arguments: &[&str]) -> String {
    let output = fleetps(data).args(arguments).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert_eq!(treacherous(&said), None, "{said:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn hostile_processes_are_only_text_wherever_they_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let settings = folder.path().join("settings.toml");
    fs::write(&settings, "[agent]\ncommand_line = \"full\"\n[history]\nseal_interval = \"200ms\"\n").unwrap();
    let corpus = Corpus::start(folder.path());
    let mut command = fleetps(&data);
    command.arg("--config").arg(&settings).env("FLEETPS_LOG", "debug").env("NO_COLOR", "1");
    let running = Running::start_command(command.stderr(Stdio::from(File::create(&log).unwrap())));

    let pids = corpus.pids();
    let ours = |value: &Value| -> Vec<Value> {
        let processes = value["processes"].as_array().cloned().unwrap_or_default();
        processes.into_iter().filter(|one| pids.contains(&one["pid"].as_u64().unwrap())).collect()
    };
    let listed = || {
        // Before the first sample there is no such host.
        let text = try_get(&running, "/api/v1/hosts/here/processes?include=executable&limit=20000");
        ours(&serde_json::from_str(&text.unwrap_or_default()).unwrap_or_default())
    };
    assert!(pids.len() >= 200, "only {} of them", pids.len());
    until("all of them are seen", || listed().len() == pids.len());

    // JSON has them exactly.
    for process in listed() {
        let number = pids.iter().position(|pid| *pid == process["pid"].as_u64().unwrap()).unwrap();
        let sampled = process["command_line"].as_str().unwrap();
        assert!(is_as_sampled(&corpus.names[number], sampled), "{sampled:?}");
    }
    page_and_csv(&running, &pids);
    terminal_and_sql(&data, &running, &pids);
    running.stop();
    let log = String::from_utf8(fs::read(log).unwrap()).unwrap();
    assert!(log.lines().count() > 5, "{log}");
    assert_eq!(treacherous(&log), None, "{log:?}");
    let forged = log.lines().find(|line| line.starts_with("root 1 0.0") || line.starts_with("level=ERROR"));
    assert_eq!(forged, None, "{log}");
}

fn page_and_csv(running: &Running, pids: &[u64]) {
    let path = "/hosts/here?view=flat&sort=pid&rows=20000&cols=pid,executable,command,unit,user";
    let (page, calm) = (get(running, path), get(running, "/hosts/here?view=flat&q=nothing-is-called-that"));
    assert_eq!(page.chars().find(|character| is_treacherous(*character) && *character != '\n'), None);
    let (html, calm) = (Html::parse_document(&page), Html::parse_document(&calm));
    for element in [
        "script", "img", "svg", "style", "base", "iframe", "details", "table", "title", "textarea", "body",
        "b", "i",
    ] {
        assert_eq!(texts(&html, element).len(), texts(&calm, element).len(), "{element}");
    }
    let handlers = scraper::Selector::parse(
        "[onerror], [onload], [onmouseover], [ontoggle], [onfocus], [href^='java' i], [src^='java' i]",
    )
    .unwrap();
    assert!(html.select(&handlers).next().is_none());
    let shown: Vec<u64> =
        texts(&html, "#processes td.pid").iter().map(|pid| pid.replace(',', "").parse().unwrap()).collect();
    assert!(pids.iter().all(|pid| shown.contains(pid)), "not all of them are on the page");

    let table = get(running, "/api/v1/hosts/here/processes?format=csv&include=executable&limit=20000");
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let pid_column = reader.headers().unwrap().iter().position(|name| name == "pid").unwrap();
    let mut found = 0;
    for row in reader.records().map(Result::unwrap) {
        let pid: u64 = row[pid_column].parse().unwrap();
        found += usize::from(pids.contains(&pid));
        let formula = row
            .iter()
            .find(|cell| cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && cell.parse::<f64>().is_err());
        assert_eq!(formula, None);
    }
    assert_eq!(found, pids.len());
}

fn terminal_and_sql(data: &Path, running: &Running, pids: &[u64]) {
    let server = ["--server", &running.address];
    for arguments in [vec!["ps", "here"], vec!["ps", "here", "--tree"], vec!["ps", "here", "--json"]] {
        let shown = run(data, &[&arguments[..], &server[..]].concat());
        assert_eq!(treacherous(&shown), None, "{arguments:?}: {shown:?}");
        assert!(!shown.lines().any(|line| line.starts_with("root 1 0.0")), "{shown}");
    }
    let pids: Vec<String> = pids.iter().map(u64::to_string).collect();
    let question = format!("SELECT count(DISTINCT pid) FROM process WHERE pid IN ({})", pids.join(", "));
    let count = || run(data, &["sql", &question, "--format", "csv"]).lines().nth(1).map(str::to_owned);
    until("all of them are sealed", || count() == Some(pids.len().to_string()));
    let question =
        format!("SELECT pid, name, executable, command_line FROM process WHERE pid IN ({})", pids.join(", "));
    for format in ["table", "json"] {
        let shown = run(data, &["sql", &question, "--format", format]);
        assert_eq!(treacherous(&shown), None, "{format}: {shown:?}");
    }
    let table = run(data, &["sql", &question, "--format", "csv"]);
    for row in csv::Reader::from_reader(table.as_bytes()).records().map(Result::unwrap) {
        assert!(!row.iter().any(|cell| cell.starts_with(['=', '+', '-', '@', '\t', '\r'])), "{row:?}");
    }
}
