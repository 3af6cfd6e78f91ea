//! The commands in a terminal, asked of a real server.

use std::process::{Command, Output, Stdio};

use fleetps::testing::history_service::HistoryService;
use fleetps_ingestor::history::History;
use fleetps_nats::snapshot::Process;
use tokio::net::TcpListener;

use crate::{
    console::{HOSTILE, history, until, workers},
    support::{Site, family, process},
};

/// Serves a site with one host; returns its address.
async fn serve(processes: Vec<Process>) -> String {
    serve_site(Site::with("web-1", processes)).await
}

pub async fn serve_site(site: Site) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, site.router).await });
    address
}

pub async fn fleetps(arguments: &[&str]) -> Output {
    let arguments: Vec<_> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    let running = move || Command::new(env!("CARGO_BIN_EXE_fleetps")).args(arguments).output().unwrap();
    tokio::task::spawn_blocking(running).await.unwrap()
}

/// The output of a command that succeeds.
pub async fn said(arguments: &[&str]) -> String {
    let output = fleetps(arguments).await;
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_past_is_listed_as_the_present_is() {
    let (_data, history) = history();
    let mut site = Site::new();
    site.shared.past = HistoryService::of(History::open(&history).unwrap());
    site.router = crate::described::router(site.shared.clone());
    let server = serve_site(site).await;
    let ps = ["ps", "web-1", "--columns", "pid,started_at", "--server", &server, "--at"];
    let output = fleetps(&[&ps[..], &["2025-11-21T08:30:25Z"]].concat()).await;
    let [listed, aside] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(listed.contains("  1  0 s  /usr/bin/init --serve"), "{listed}{aside}");
    assert!(aside.contains("As of 2025-11-21 08:30:20 UTC"), "{aside}");
    let refused = complaint(&[&ps[..], &["2025-11-21T07:00:00Z"]].concat()).await;
    assert!(refused.contains("08:30:10"), "{refused}");
    let day = ["--from", "2025-11-21T00:00:00Z", "--to", "2025-11-22T00:00:00Z"];
    let top = said(
        &[&["top", "web-1", "--group", "process", "--by", "memory", "--server", &server], &day[..]].concat(),
    )
    .await;
    let lines: Vec<_> = top.lines().collect();
    assert!(lines[0].starts_with("HOST ") && lines[0].ends_with("NAME") && lines.len() == 3, "{top}");
    assert!(lines[1..].iter().any(|line| line.starts_with("web-1") && line.ends_with("init")), "{top}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_is_answered_in_three_forms_and_read_from_the_input() {
    let (data, _) = history();
    let data = data.path().to_str().unwrap();
    let sql = ["sql", "SELECT pid, NULL AS nothing, name FROM process ORDER BY pid", "--data", data];
    let table = said(&sql).await;
    assert!(table.starts_with("pid  nothing  name\n  1  NULL     init\n  2  NULL     =1+1<img"), "{table}");
    let csv = said(&[&sql[..], &["--format", "csv"]].concat()).await;
    assert!(csv.starts_with("pid,nothing,name\n1,,init\n2,,'=1+1<img"), "{csv}");
    let json = said(&[&sql[..], &["--format", "json"]].concat()).await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["rows"], serde_json::json!([[1, null, "init"], [2, null, HOSTILE]]));
    assert_eq!((&json["row_count"], &json["limits"]["rows"]), (&2.into(), &10_000.into()));
    let refused = complaint(&["sql", "SELECT nosuch FROM process", "--data", data]).await;
    assert!(refused.contains("\"nosuch\" not found") && refused.contains("column 8"), "{refused}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleetps"));
    command
        .args(["sql", "-", "--data", data])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut asking = command.spawn().unwrap();
    std::io::Write::write_all(&mut asking.stdin.take().unwrap(), b"SELECT 6 * 7 AS answer").unwrap();
    assert_eq!(String::from_utf8(asking.wait_with_output().unwrap().stdout).unwrap(), "answer\n    42\n");
}

#[cfg(target_os = "linux")]
#[test]
fn a_question_ends_with_whoever_asked_it() {
    let (data, history) = history();
    let slow = "SELECT count(*) FROM range(1000000000) a, range(1000) b";
    let mut asking = Command::new(env!("CARGO_BIN_EXE_fleetps"));
    let mut asking = asking.args(["sql", slow, "--data"]).arg(data.path()).spawn().unwrap();
    until("the process that answers runs", || !workers(&history).is_empty());
    asking.kill().unwrap();
    asking.wait().unwrap();
    until("the process that answers is gone", || workers(&history).is_empty());
}

/// The complaint of a command.
async fn complaint(arguments: &[&str]) -> String {
    let output = fleetps(arguments).await;
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_and_processes_are_listed_as_ps_does_it() {
    let server = serve(family()).await;
    let hosts = said(&["hosts", "--server", &server]).await;
    let line = hosts.lines().nth(1).unwrap();
    assert!(line.starts_with("web-1") && line.contains("up") && line.contains("8.00 G"), "{hosts}");

    let columns = "pid,cpu_percent";
    let flat = said(&["ps", "web-1", "--server", &server, "--columns", columns, "--sort", "pid"]).await;
    let lines: Vec<_> =
        flat.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(lines[0], "PID %CPU COMMAND");
    assert_eq!(lines[3], "11 14.2 /usr/bin/worker --serve");
    let tree =
        said(&["ps", "web-1", "--server", &server, "--tree", "--sort", "pid", "--columns", "pid"]).await;
    let drawn = [
        "PID  COMMAND",
        "  1  /usr/bin/init --serve",
        " 10   \\_ /usr/bin/nginx --serve",
        " 11   |   \\_ /usr/bin/worker --serve",
        " 12   |   \\_ /usr/bin/worker --serve",
        " 20   \\_ /usr/bin/sshd --serve",
    ];
    assert_eq!(tree.lines().collect::<Vec<_>>(), drawn);
    let filtered = said(&["ps", "web-1", "--server", &server, "-q", "sshd", "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&filtered).unwrap();
    assert_eq!((&json["total"], &json["processes"][0]["pid"]), (&1.into(), &20.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_host_says_drives_the_terminal() {
    let hostile = Process { command_line: Some(HOSTILE.to_owned()), ..process(7, 0, HOSTILE) };
    let server = serve(vec![hostile]).await;
    let (data, _) = history();
    let data = data.path().to_str().unwrap();
    let sql = ["sql", "SELECT name, name AS \"\u{1b}[31m\" FROM process", "--data", data];
    let ps = ["ps", "web-1", "--server", &server];
    for arguments in [
        ps.to_vec(),
        [&ps[..], &["--tree"]].concat(),
        [&ps[..], &["--json"]].concat(),
        sql.to_vec(),
        [&sql[..], &["--format", "json"]].concat(),
    ] {
        let text = said(&arguments).await;
        assert!(text.contains("onerror=alert(1)"), "{text}");
        let drives =
            |character: char| character != '\n' && (character.is_control() || character == '\u{202e}');
        assert!(!text.chars().any(drives), "{text:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_said_with_what_to_do() {
    let server = serve(family()).await;
    for (arguments, expected) in [
        (vec!["ps", "nobody", "--server", &server], "no host is called \"nobody\""),
        (vec!["ps", "../etc", "--server", &server], "no host is called"),
        (vec!["ps", "web-1", "--server", &server, "--columns", "colour"], "there is no column \"colour\""),
        (vec!["ps", "web-1", "--server", &server, "--sort", "colour"], "`sort`"),
        (vec!["hosts", "--server", "http://127.0.0.1:1"], "start it with `fleetps`"),
        (
            vec!["sql", "SELECT 1", "--data", "/nowhere"],
            "name the data folder of the ingestor with --data DIR",
        ),
    ] {
        let said = complaint(&arguments).await;
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}
