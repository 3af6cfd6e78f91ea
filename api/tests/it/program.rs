//! The whole pipeline as a user starts it: the real program, a real broker, real processes.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::described::got;

/// Starting takes under a second, a sample two; this is for a machine that does ten other things.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `fleetps`, killed when dropped.
pub struct Running {
    child: Child,
    pub address: String,
}

impl Running {
    /// Starts it on `data` and waits until it says where to look.
    pub fn start(data: &Path, arguments: &[&str]) -> Self {
        Self::start_command(fleetps(data).args(arguments))
    }

    /// Starts it as `command` says.
    pub fn start_command(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines
            .find_map(|line| line.unwrap().trim().strip_prefix("look ").map(|rest| rest.trim().to_owned()))
            .expect("fleetps ended without saying where to look");
        // What it prints later must have somewhere to go.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    fn get(&self, path: &str) -> Option<Value> {
        let (status, body) = got(&self.address, path)?;
        serde_json::from_str(&body).ok().filter(|_| status < 400)
    }

    /// The value that `find` finds in the JSON at `path`, as soon as it does.
    pub fn until<T>(&self, what: &str, path: &str, find: impl Fn(&Value) -> Option<T>) -> T {
        until(what, || self.get(path).and_then(|value| find(&value)))
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(name).arg(self.child.id().to_string()).status().unwrap();
        assert!(status.success());
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end and waits for its answer.
    pub fn stop(mut self) {
        self.signal("-TERM");
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn fleetps(data: &Path) -> Command {
    fleetps_on(data, "127.0.0.1:0")
}

/// The same, serving this address.
pub fn fleetps_on(data: &Path, listen: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleetps"));
    command.arg("--data").arg(data).args(["--listen", listen, "--interval", "500ms", "--host", "here"]);
    // A test overrides this by a flag.
    command.env("FLEETPS_AUTH", "off");
    command
}

pub fn until<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not come true");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn process(processes: &Value, pid: u32) -> Option<Value> {
    processes["processes"].as_array()?.iter().find(|process| process["pid"] == pid).cloned()
}

/// When the one host was sampled last.
fn captured_at(hosts: &Value) -> Option<String> {
    hosts["hosts"][0]["captured_at"].as_str().map(str::to_owned)
}

/// The process ids of the nats-servers that keep their store in `data`.
pub fn brokers_of(data: &Path) -> Vec<String> {
    let output = Command::new("pgrep").arg("-f").arg(data.join("nats")).output().unwrap();
    String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect()
}

/// Asks the history, as an analyst would, through attach.sql.
pub fn ask(data: &Path, sql: &str) -> i64 {
    let attach = std::fs::read_to_string(data.join("history/attach.sql")).unwrap();
    let history = duckdb::Connection::open_in_memory().unwrap();
    history.execute_batch(&attach).unwrap();
    history.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_process_appears_with_its_parent_and_is_gone_after_its_exit_and_the_history_knows_it() {
    let data = tempfile::tempdir().unwrap();
    let running = Running::start(data.path(), &[]);
    let mut child = Command::new("sleep").arg("86399").spawn().unwrap();
    let path = "/api/v1/hosts/here/processes?q=86399";
    let seen = running.until("the child is seen", path, |processes| process(processes, child.id()));
    assert_eq!(seen["parent_pid"], std::process::id());
    assert_eq!(seen["name"], "sleep");
    assert_eq!(seen["command_line"], "sleep 86399");
    child.kill().unwrap();
    child.wait().unwrap();
    running
        .until("the child is gone", path, |processes| process(processes, child.id()).is_none().then_some(()));
    running.until("everything is ready", "/readyz", |answer| (answer["ready"] == true).then_some(()));
    running.stop();
    assert_eq!(brokers_of(data.path()), Vec::<String>::new());
    let stored = format!("SELECT count(*) FROM process WHERE pid = {} AND name = 'sleep'", child.id());
    assert!(ask(data.path(), &stored) >= 1);
}

#[cfg(target_os = "linux")]
#[test]
fn after_a_kill_the_broker_ends_and_the_next_start_goes_on_where_it_was() {
    let data = tempfile::tempdir().unwrap();
    let mut first = Running::start(data.path(), &[]);
    first
        .until("a first sample", "/api/v1/hosts", |hosts| hosts.to_string().contains("\"up\"").then_some(()));
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    until("the broker ended", || brokers_of(data.path()).is_empty().then_some(()));
    let second = Running::start(data.path(), &[]);
    // The last sample before the kill is there at once; the second agent's first is a later one, and when its second
    // is on a page the ingestor has read the first.
    let mut last = second.until("a sample", "/api/v1/hosts", captured_at);
    for _ in 0..2 {
        last = second
            .until("a later sample", "/api/v1/hosts", |hosts| captured_at(hosts).filter(|at| *at > last));
    }
    second.stop();
    let twice =
        "SELECT count(*) FROM (SELECT run_id, sequence FROM host_sample GROUP BY ALL HAVING count(*) > 1)";
    assert_eq!(ask(data.path(), twice), 0);
    // Both runs of the agent, the first from its first sample on.
    assert_eq!(ask(data.path(), "SELECT count(DISTINCT run_id) FROM host_sample WHERE sequence = 1"), 2);
    assert_eq!(ask(data.path(), "SELECT count(*) FROM gap"), 0);
}

#[test]
fn a_second_one_on_the_same_data_says_which_process_has_it() {
    let data = tempfile::tempdir().unwrap();
    let running = Running::start(data.path(), &[]);
    let output = fleetps(data.path()).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(&format!("process {}", running.child.id())), "{said}");
}

#[test]
fn an_address_that_others_could_reach_is_refused_with_the_reason() {
    let data = tempfile::tempdir().unwrap();
    let mut child = fleetps(data.path())
        .env("FLEETPS_LISTEN", "127.0.0.1:0")
        .args(["config"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut printed = String::new();
    child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(printed.contains("listen = \"127.0.0.1:0\""), "{printed}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleetps"));
    let output = command
        .arg("--data")
        .arg(data.path())
        .args(["--auth", "off", "--listen", "0.0.0.0:0"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("Leave out --auth off"), "{said}");
}

#[test]
fn commands_on_this_machine_are_let_in_and_users_are_made_without_a_browser() {
    let data = tempfile::tempdir().unwrap();
    let running = Running::start(data.path(), &["--auth", "on"]);
    let command = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_fleetps"))
            .arg("--data")
            .arg(data.path())
            .args(arguments)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text.into_owned())
    };
    let refused = ureq::get(format!("{}/api/v1/hosts", running.address)).call().unwrap_err().to_string();
    assert!(refused.contains("401"), "{refused}");
    until("this host is listed", || command(&["hosts"]).1.contains("here ").then_some(()));

    // Without the data folder there is no token.
    let elsewhere = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_fleetps"))
        .arg("--data")
        .arg(elsewhere.path())
        .args(["hosts", "--server", &running.address])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("nobody is signed in"), "{said}");
    // The token of the data folder is for that server alone.
    let (done, said) = command(&["hosts", "--server", &running.address.replace("127.0.0.1", "localhost")]);
    assert!(!done && said.contains("nobody is signed in"), "{said}");

    let (done, said) = command(&["user", "add", "bert", "viewer:web"]);
    assert!(done && said.starts_with(&format!("{}/welcome/", running.address)), "{said}");
    let (done, said) = command(&["user", "grant", "bert", "operator:env=prod:no-command-lines"]);
    assert!(done, "{said}");
    command(&["user", "disable", "bert"]);
    let listed = command(&["user", "list"]).1;
    let row = "bert  disabled  viewer:web operator:env=prod:no-command-lines";
    assert!(listed.lines().any(|line| line.starts_with(row)), "{listed}");
    for wrong in [
        &["user", "add", "Bert", "viewer"][..],
        &["user", "password", "nobody"],
        &["user", "add", "b", "root"],
    ] {
        assert!(!command(wrong).0, "{wrong:?}");
    }
    running.stop();
}

#[cfg(target_os = "linux")]
#[test]
fn the_program_starts_by_itself_and_with_its_library_in_another_folder() {
    let program = Path::new(env!("CARGO_BIN_EXE_fleetps"));
    let version = |program: &Path| Command::new(program).arg("--version").env_clear().output().unwrap();
    assert!(version(program).status.success());
    let folder = tempfile::tempdir().unwrap();
    let copied = folder.path().join("fleetps");
    std::fs::copy(program, &copied).unwrap();
    // With `--features bundled` DuckDB is within the program.
    if !cfg!(feature = "bundled") {
        let library = folder.path().join("libduckdb.so");
        std::fs::copy(program.with_file_name("libduckdb.so"), &library).unwrap();
        let traced = Command::new(&copied).env_clear().env("LD_TRACE_LOADED_OBJECTS", "1").output().unwrap();
        let loaded = String::from_utf8_lossy(&traced.stdout).into_owned();
        assert!(loaded.contains(&format!("libduckdb.so => {}", library.display())), "{loaded}");
    }
    assert!(version(&copied).status.success());
}
