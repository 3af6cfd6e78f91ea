//! The agent's own program beside a mount that never answers: FUSE without a server, as a network mount whose server is
//! gone. Needs root and Python; where they are missing, these tests say so and pass.
#![cfg(target_os = "linux")]

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// No step of these tests takes a tenth of this on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// What `dead_mount.py` ends with where mounting is not allowed.
const NOT_ALLOWED: i32 = 77;

/// The agent with these arguments, where `point` is a dead mount.
fn agent(point: &Path, arguments: &[&str]) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/dead_mount.py");
    let mut command = Command::new("python3");
    command.arg(script).arg(point).arg(env!("CARGO_BIN_EXE_fleetps-agent")).args(arguments);
    command
}

fn is_missing(code: Option<i32>) -> bool {
    let is_missing = code == Some(NOT_ALLOWED);
    if is_missing {
        eprintln!("not tested: mounting FUSE is not allowed here");
    }
    is_missing
}

fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_true() {
        assert!(began.elapsed() < PATIENCE, "{what} did not come true");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a thread of this name waits in FUSE.
fn hangs(agent: &Child, thread: &str) -> bool {
    let tasks = fs::read_dir(format!("/proc/{}/task", agent.id())).into_iter().flatten().flatten();
    tasks.map(|task| task.path()).any(|task| {
        let text = |name: &str| fs::read_to_string(task.join(name)).unwrap_or_default();
        text("comm").trim() == thread && text("wchan").contains("fuse")
    })
}

#[test]
fn a_mount_that_never_answers_is_in_the_first_snapshot_without_sizes_and_the_others_have_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let (point, state) = (folder.path().join("dead"), folder.path().join("state"));
    fs::create_dir_all(&point).unwrap();
    let output = agent(&point, &["once", "--state", state.to_str().unwrap()]).output();
    let Ok(output) = output else { return eprintln!("not tested: there is no python3") };
    if is_missing(output.status.code()) {
        return;
    }
    let snapshot: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let filesystems = snapshot["filesystems"].as_array().unwrap();
    let at = |mount: &Path| filesystems.iter().find(|it| it["mount"] == mount.to_str().unwrap()).unwrap();
    let dead = at(&point);
    assert_eq!((dead["device"].as_str(), dead["kind"].as_str()), (Some("dead:/srv"), Some("fuse.sshfs")));
    assert!(dead["unanswered_since_us"].as_i64().unwrap() > 0, "{dead}");
    assert!(dead.get("total_bytes").is_none() && dead.get("used_bytes").is_none(), "{dead}");
    assert!(at(Path::new("/"))["used_bytes"].as_u64().unwrap() > 0);
    assert!(snapshot["host_info"]["os"].is_string());
}

#[test]
fn sigterm_ends_the_agent_where_even_its_sampling_thread_hangs() {
    // The sampling thread reads its state folder first.
    check_sigterm(&["--host", "dead-mount"], "sample");
}

#[test]
fn sigterm_ends_the_agent_where_its_name_cannot_be_read() {
    check_sigterm(&[], "own-name");
}

/// Ends an agent of which `thread` hangs because its state folder is on a dead mount.
fn check_sigterm(settings: &[&str], thread: &str) {
    let folder = tempfile::tempdir().unwrap();
    let point = folder.path().join("dead");
    fs::create_dir_all(&point).unwrap();
    let state = point.join("state");
    let arguments =
        [&["--state", state.to_str().unwrap(), "--nats", "nats://127.0.0.1:9"], settings].concat();
    let mut command = agent(&point, &arguments);
    let Ok(mut agent) = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
        return eprintln!("not tested: there is no python3");
    };
    until("a thread hangs, or the mount is refused", || {
        hangs(&agent, thread) || agent.try_wait().unwrap().is_some()
    });
    if let Some(status) = agent.try_wait().unwrap() {
        assert!(is_missing(status.code()), "{status}");
        return;
    }
    let pid = agent.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    until("the end of the agent", || agent.try_wait().unwrap().is_some());
    let status = agent.wait().unwrap();
    assert_eq!((status.code(), status.signal()), (Some(0), None));
}
