//! A whole agent on this machine.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use fleetps_agent::{AgentSettings, publish::Outbox, run_with};
use fleetps_nats::{Snapshot, connection::Broker, now_us, server::Part, snapshot::Process};
use tokio_util::sync::CancellationToken;

use crate::support::{Stored, admit, host, jetstream, start_server, until, within};

fn settings(folder: &Path) -> AgentSettings {
    AgentSettings {
        interval: Duration::from_millis(200),
        state: folder.join("state"),
        ..AgentSettings::default()
    }
}

fn find(snapshot: &Snapshot, pid: u32) -> Option<&Process> {
    snapshot.processes.iter().find(|process| process.pid == pid)
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn a_process_is_there_with_its_parent_and_start_and_gone_after_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let server = start_server(folder.path()).await;
    let _admission = admit(&server).await;
    let mut stored = Stored::new(jetstream(&server).await);
    let shutdown = CancellationToken::new();
    let run =
        fleetps_agent::run(settings(folder.path()), server.broker(Part::Agent), host(), shutdown.clone());
    let agent = tokio::spawn(run);
    let before_us = now_us();
    // It waits for a line that never comes, and leaves nothing behind when it is killed.
    let mut shell = Command::new("sh");
    shell.args(["-c", "read line; true", "sh", "--password=hunter2"]).stdin(Stdio::piped());
    let child = shell.spawn().unwrap();
    let mut sequence = 0;
    let row = loop {
        let snapshot = stored.next_snapshot().await;
        sequence += 1;
        assert_eq!(snapshot.sequence, sequence);
        if let Some(row) = find(&snapshot, child.id()).filter(|row| row.name == "sh") {
            assert!(snapshot.host.cpu_percent.is_some() && snapshot.host_info.os.is_some());
            assert!(find(&snapshot, std::process::id()).unwrap().cpu_percent.is_some());
            break row.clone();
        }
    };
    assert_eq!(row.parent_pid, Some(std::process::id()));
    // The kernel counts starts in steps of 10 ms.
    assert!(
        (before_us - 50_000..=now_us()).contains(&row.started_at_us),
        "{} {before_us}",
        row.started_at_us
    );
    let command_line = row.command_line.unwrap();
    assert!(command_line.starts_with("sh -c") && !command_line.contains("hunter2"), "{command_line}");
    let pid = child.id();
    end(child);
    while find(&stored.next_snapshot().await, pid).is_some() {}
    shutdown.cancel();
    within(agent).await.unwrap().unwrap();
    within(server.stop()).await;
}

#[tokio::test]
async fn it_samples_before_the_broker_is_there_and_its_processes_stay_the_same_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = start_server(folder.path()).await;
    let broker: Broker = server.broker(Part::Agent);
    jetstream(&server).await;
    within(server.stop()).await;
    let mut runs = Vec::new();
    for _ in 0..2 {
        let shutdown = CancellationToken::new();
        let (settings, outbox) = (settings(folder.path()), Outbox::new(16 << 20));
        let run = run_with(settings, broker.clone(), host(), outbox.clone(), shutdown.clone());
        let agent = tokio::spawn(run);
        until("samples were taken without a broker", || outbox.waiting() >= 5).await;
        let broker_started_us = now_us();
        let server = start_server(folder.path()).await;
        let _admission = admit(&server).await;
        let mut stored = Stored::new(jetstream(&server).await);
        let snapshot = loop {
            let snapshot = stored.next_snapshot().await;
            let is_new = runs.iter().all(|known: &Snapshot| known.run_id != snapshot.run_id);
            if is_new {
                break snapshot;
            }
        };
        assert_eq!(snapshot.sequence, 1);
        assert!(snapshot.captured_at_us < broker_started_us);
        for expected in 2..=5 {
            let next = stored.next_snapshot().await;
            assert_eq!(next.sequence, expected);
            assert!(next.captured_at_us < broker_started_us);
        }
        runs.push(snapshot);
        shutdown.cancel();
        within(agent).await.unwrap().unwrap();
        within(server.stop()).await;
    }
    let starts = |snapshot: &Snapshot| find(snapshot, std::process::id()).unwrap().started_at_us;
    assert_eq!(starts(&runs[0]), starts(&runs[1]));
    assert_eq!(runs[0].boot_id, runs[1].boot_id);
}

#[tokio::test]
async fn it_listens_to_nothing_but_answers_to_its_own_questions() {
    let folder = tempfile::tempdir().unwrap();
    let server = start_server(folder.path()).await;
    let _admission = admit(&server).await;
    let mut stored = Stored::new(jetstream(&server).await);
    let shutdown = CancellationToken::new();
    let run =
        fleetps_agent::run(settings(folder.path()), server.broker(Part::Agent), host(), shutdown.clone());
    let agent = tokio::spawn(run);
    within(stored.next()).await;
    let system = server.broker(Part::System).connect("test").await.unwrap();
    let wanted = serde_json::json!({"acc": "AGENTS", "user": "here", "auth": true, "subscriptions": true});
    let asked = system.request("$SYS.REQ.SERVER.PING.CONNZ", wanted.to_string().into());
    let answer: serde_json::Value = serde_json::from_slice(&within(asked).await.unwrap().payload).unwrap();
    let connections = answer["data"]["connections"].as_array().unwrap();
    assert_eq!(connections.len(), 1, "{answer}");
    // Other hosts can have replies sent to any subject that it listens to. An inbox has a name that cannot be guessed.
    for subject in connections[0]["subscriptions_list"].as_array().unwrap() {
        let inbox = subject.as_str().unwrap().strip_prefix("_INBOX_here.");
        assert!(inbox.is_some_and(|inbox| inbox.len() >= 22), "{subject}");
    }
    shutdown.cancel();
    within(agent).await.unwrap().unwrap();
    within(server.stop()).await;
}
