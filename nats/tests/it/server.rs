//! The managed server: its keys, restarts, and the end of it.

use std::process::{Command, Stdio};

use fleetps_nats::server::{ManagedServer, Part, broker_in};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{settings, start, until, within};

#[tokio::test(flavor = "multi_thread")]
async fn nobody_connects_without_a_key() {
    let fixture = start().await;
    let refusal = async_nats::connect(fixture.server.url()).await.unwrap_err();
    assert!(format!("{refusal:?}").to_lowercase().contains("auth"), "{refusal:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_nothing_end_and_keep_nobody_out() {
    let fixture = start().await;
    let address = fixture.server.url().trim_start_matches("nats://").to_owned();
    let mut silent = Vec::new();
    for count in 0..500 {
        let mut socket = TcpStream::connect(&address).await.unwrap();
        if count % 2 == 0 {
            socket.write_all(b"CONN").await.unwrap();
        }
        silent.push(socket);
    }
    within(fixture.client(Part::Api)).await;
    for socket in &mut silent {
        let mut said = String::new();
        let _ = within(socket.read_to_string(&mut said)).await;
        assert!(said.contains("Authentication Timeout"), "{said}");
    }
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
