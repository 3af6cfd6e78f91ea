//! The managed server: who may do what, restarts, and the end of it.

use std::process::{Command, Stdio};

use fleetps_nats::{
    server::{ManagedServer, Part, broker_in},
    subject,
};
use futures_util::StreamExt;

use crate::support::{Fixture, host, settings, start, until, within};

/// Whether the ingestor's account hears what `part` publishes to `subject`; it may publish to `allowed`.
async fn is_heard(fixture: &Fixture, part: Part, subject: &str, allowed: &str) -> bool {
    let listener = fixture.client(Part::Ingestor).await;
    let mut heard = listener.subscribe(">").await.unwrap();
    // Heard by itself, so subscribed.
    listener.publish("begin", "".into()).await.unwrap();
    within(heard.next()).await.unwrap();
    let client = fixture.client(part).await;
    client.publish(subject.to_owned(), "x".into()).await.unwrap();
    // What was refused does not come; what is sent after it on the same connection does.
    client.publish(allowed.to_owned(), "end".into()).await.unwrap();
    loop {
        let message = within(heard.next()).await.unwrap();
        match (message.subject.as_str(), message.payload.as_ref()) {
            (_, b"end") => return false,
            (found, b"x") if found == subject => return true,
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_publishes_for_its_own_host_only() {
    let fixture = start().await;
    let own = subject::snapshot(&host("here"));
    assert!(is_heard(&fixture, Part::Agent, &own, &own).await);
    for refused in [
        subject::snapshot(&host("there")),
        "fleetps.there.cmd".to_owned(),
        "fleetps.here.cmd".to_owned(),
        "fleetps-audit.here.x".to_owned(),
        "$JS.API.STREAM.PURGE.SNAP".to_owned(),
        "$KV.settings.here".to_owned(),
        "anything".to_owned(),
    ] {
        assert!(!is_heard(&fixture, Part::Agent, &refused, &own).await, "{refused} got through");
    }
    let other = subject::snapshot(&host("web-01"));
    assert!(is_heard(&fixture, Part::Simulator, &other, &other).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_connects_without_a_key() {
    let fixture = start().await;
    let refusal = async_nats::connect(fixture.server.url()).await.unwrap_err();
    assert!(format!("{refusal:?}").to_lowercase().contains("auth"), "{refusal:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_port_and_the_keys_are_the_same_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let first = ManagedServer::start(settings(folder.path())).await.unwrap();
    let url = first.url();
    let pid = first.pid();
    first.stop().await;
    until("the stopped server is gone", || async { !is_running(pid) }).await;
    let second = ManagedServer::start(settings(folder.path())).await.unwrap();
    assert_eq!(second.url(), url);
    second.broker(Part::Api).connect("test").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_finds_the_broker_of_a_data_folder() {
    let fixture = start().await;
    let broker = broker_in(fixture.folder.path(), Part::Api).unwrap();
    assert_eq!(broker.url, fixture.server.url());
    broker.connect("test").await.unwrap();
    let refusal = broker_in(&fixture.folder.path().join("other"), Part::Api).unwrap_err().to_string();
    assert!(refusal.contains("--data") && refusal.contains("other"), "{refusal}");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn the_keys_are_readable_by_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = start().await;
    let keys = fixture.folder.path().join("nats/keys");
    assert_eq!(keys.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    for entry in std::fs::read_dir(keys).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

/// Set for the child of the next test: the folder it runs a server in.
const CHILD_FOLDER: &str = "FLEETPS_TEST_SERVER_FOLDER";

/// Not a test of its own: the child that the next test kills.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_runs_a_server() {
    let Some(folder) = std::env::var_os(CHILD_FOLDER) else { return };
    let server = ManagedServer::start(settings(folder.as_ref())).await.unwrap();
    std::fs::write(std::path::Path::new(&folder).join("pid"), server.pid().to_string()).unwrap();
    std::future::pending::<()>().await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn the_server_ends_when_its_parent_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "server::child_that_runs_a_server"])
        .env(CHILD_FOLDER, folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let pid_file = folder.path().join("pid");
    until("the child's server runs", || async {
        std::fs::read_to_string(&pid_file).is_ok_and(|pid| !pid.is_empty())
    })
    .await;
    let pid: u32 = std::fs::read_to_string(&pid_file).unwrap().parse().unwrap();
    assert!(is_running(pid));
    child.kill().unwrap();
    child.wait().unwrap();
    until("the server is gone", || async { !is_running(pid) }).await;
}

/// Whether a process with this id runs and is no zombie.
fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
