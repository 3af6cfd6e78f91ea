//! The programs apart, as a fleet runs them: a host that joins over TLS, and a broker that was set up by hand.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use fleetps_nats::server::find_or_install;

use crate::{
    described::got,
    program::{Running, ask, fleetps, fleetps_on, until},
};

/// A program that ends with the test.
struct Started(Child);

impl Started {
    fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    /// Asks it to end, and waits.
    fn stop(mut self) {
        let asked = Command::new("kill").arg(self.0.id().to_string()).status().unwrap();
        assert!(asked.success() && self.0.wait().unwrap().success());
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Another program of the workspace, which the build of all tests puts beside this one.
fn program(name: &str) -> Command {
    let path = Path::new(env!("CARGO_BIN_EXE_fleetps")).with_file_name(name);
    assert!(path.exists(), "{} is not built; run the tests of the whole workspace", path.display());
    Command::new(path)
}

/// The output of a command, which must have succeeded.
fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn enrolment_token(command: &mut Command) -> String {
    said(command.arg("enrol-token")).lines().next().unwrap().to_owned()
}

/// Has `web-01` join; its settings go to `folder`.
fn join(url: &str, token: &str, folder: &Path) -> Command {
    let mut command = program("fleetps-agent");
    command.args(["join", url, "--token", token, "--host", "web-01", "--no-service", "--folder"]).arg(folder);
    command
}

/// Starts the agent that has joined.
fn agent(folder: &Path) -> Started {
    let config = folder.join("agent.toml");
    Started::start(program("fleetps-agent").arg("--config").arg(config).args(["--interval", "500ms"]))
}

#[test]
fn a_host_joins_over_tls_with_one_command_and_trusts_nobody_else() {
    let [data, elsewhere, folder] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    for data in [&data, &elsewhere] {
        said(fleetps(data.path()).args(["tls", "init"]));
    }
    let running = Running::start(data.path(), &["--broker-listen", "127.0.0.1:0", "--no-agent"]);
    let port = fs::read_to_string(data.path().join("nats/ports/client")).unwrap();
    let url = format!("nats://127.0.0.1:{}", port.trim());
    let token = enrolment_token(&mut fleetps(data.path()));
    let authority = |data: &Path| data.join("tls/ca.pem");

    let refused =
        join(&url, &token, folder.path()).arg("--ca").arg(authority(elsewhere.path())).output().unwrap();
    assert!(!refused.status.success());
    assert!(!folder.path().join("agent.toml").exists());
    let joined = said(join(&url, &token, folder.path()).arg("--ca").arg(authority(data.path())));
    assert!(joined.contains("web-01 is admitted"), "{joined}");
    let _agent = agent(folder.path());
    until("the host is listed", || said(fleetps(data.path()).arg("hosts")).contains("web-01").then_some(()));
    running.stop();
}

/// A proxy that lets connections through; how many it has let through.
fn proxy() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    thread::spawn(move || {
        for inner in listener.incoming() {
            counted.fetch_add(1, Ordering::SeqCst);
            thread::spawn(move || let_through(inner.unwrap()));
        }
    });
    (address, count)
}

fn let_through(inner: TcpStream) {
    let mut lines = BufReader::new(inner.try_clone().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
    let target = first.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).unwrap();
    let outer = TcpStream::connect(target).unwrap();
    let (mut to_outer, mut from_outer) = (outer.try_clone().unwrap(), outer);
    let (mut to_inner, mut from_inner) = (inner.try_clone().unwrap(), inner);
    to_inner.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    thread::spawn(move || io::copy(&mut from_inner, &mut to_outer));
    let _ = io::copy(&mut from_outer, &mut to_inner);
}

#[test]
fn a_host_joins_and_sends_over_https_through_the_proxy_that_the_environment_names() {
    let [data, folder] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    said(fleetps(data.path()).args(["tls", "init"]));
    let running = Running::start(data.path(), &["--no-agent", "--auth", "on"]);
    let token = enrolment_token(&mut fleetps(data.path()));
    let (proxy, count) = proxy();
    let joining = || {
        let mut command = join(&running.address, &token, folder.path());
        command.env("HTTPS_PROXY", &proxy).env_remove("NO_PROXY").env_remove("no_proxy");
        command
    };
    let stranger = joining().output().unwrap();
    assert!(!stranger.status.success(), "it trusts an authority that nobody named");
    let authority = data.path().join("tls/ca.pem");
    let joined = said(joining().arg("--ca").arg(&authority));
    assert!(joined.contains("web-01 is admitted"), "{joined}");
    let proxied = count.load(Ordering::SeqCst);
    assert!(proxied >= 2, "{proxied}");
    let settings = fs::read_to_string(folder.path().join("agent.toml")).unwrap();
    assert!(settings.contains(&format!("server = \"{}\"", running.address)), "{settings}");
    assert!(!settings.contains(&token));
    // Again, past the proxy.
    said(joining().env("NO_PROXY", "127.0.0.1"));
    assert_eq!(count.load(Ordering::SeqCst), proxied);

    let config = folder.path().join("agent.toml");
    let mut agent = program("fleetps-agent");
    agent.arg("--config").arg(config).args(["--interval", "500ms"]).env("HTTPS_PROXY", &proxy);
    let _agent = Started::start(agent.env_remove("NO_PROXY").env_remove("no_proxy"));
    until("the host is up", || {
        Some(said(fleetps(data.path()).arg("hosts")))
            .filter(|hosts| hosts.contains("web-01") && hosts.contains("up"))
    });
    assert!(count.load(Ordering::SeqCst) > proxied);
    running.stop();
}

/// A nats-server with the configuration that `fleetps broker-keys` prints, on a free port and with its store in `folder`.
fn broker_by_hand(folder: &Path, keys: &Path) -> (Started, String) {
    broker_by_hand_on("-1", folder, keys)
}

/// The same on this port.
fn broker_by_hand_on(port: &str, folder: &Path, keys: &Path) -> (Started, String) {
    let printed = said(Command::new(env!("CARGO_BIN_EXE_fleetps")).arg("broker-keys").arg(keys));
    let store = folder.join("store").display().to_string();
    let config = printed.replace("/var/lib/nats", &store).replace("127.0.0.1:8222", "127.0.0.1:-1");
    assert!(config.contains(&store) && config.contains("127.0.0.1:-1"), "{config}");
    let file = folder.join("nats-server.conf");
    fs::write(&file, config).unwrap();
    let ports = folder.join("ports");
    let _ = fs::remove_dir_all(&ports);
    fs::create_dir(&ports).unwrap();
    let server = Started::start(
        Command::new(find_or_install(None, &|_| {}).unwrap())
            .args(["--addr", "127.0.0.1", "--port", port, "--ports_file_dir"])
            .arg(&ports)
            .arg("--config")
            .arg(file)
            .stderr(Stdio::null()),
    );
    let url = until("the broker listens", || {
        let file: PathBuf = fs::read_dir(&ports).unwrap().next()?.unwrap().path();
        let said: serde_json::Value = serde_json::from_str(&fs::read_to_string(file).ok()?).ok()?;
        said["nats"][0].as_str().map(str::to_owned)
    });
    (server, url)
}

#[test]
fn a_broker_by_hand_an_ingestor_a_web_server_and_a_host_that_joined_are_a_fleet() {
    let [folder, data, joined] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let keys = folder.path().join("keys");
    let (broker, url) = broker_by_hand(folder.path(), &keys);
    let ingestor = Started::start(
        program("fleetps-ingestor")
            .args(["--nats", &url, "--nkey"])
            .arg(keys.join("ingestor.nk"))
            .args(["--set", "history.seal_interval=1h", "--data"])
            .arg(data.path()),
    );
    let with_key = |command: &mut Command| {
        command.args(["--nats", &url, "--nkey"]).arg(keys.join("api.nk")).arg("--admission-keys").arg(&keys);
    };
    let mut serve = fleetps(data.path());
    with_key(&mut serve);
    let mut serving = Started::start(serve.arg("serve").stdout(Stdio::piped()));
    let mut lines = BufReader::new(serving.0.stdout.take().unwrap()).lines();
    let address =
        lines.find_map(|line| Some(line.unwrap().strip_prefix("fleetps serves ")?.trim().to_owned()));
    let address = address.expect("the web server ended");

    let mut command = fleetps(data.path());
    with_key(&mut command);
    let token = enrolment_token(&mut command);
    assert!(said(&mut join(&url, &token, joined.path())).contains("web-01 is admitted"));
    let agent = agent(joined.path());
    let get = |path: &str| got(&address, path).map(|(_, body)| body);
    until("the host is up", || get("/api/v1/hosts").filter(|hosts| hosts.contains("\"up\"")));
    until("everything is ready", || get("/readyz").filter(|answer| answer.contains("\"ready\":true")));
    // Told long before the segment is sealed, when the ingestor ends.
    let _sleeping = Started::start(Command::new("sleep").arg("7311.5"));
    until("the start is told", || get("/api/v1/events?text=7311.5").filter(|told| told.contains("started")));
    for started in [agent, serving, ingestor, broker] {
        started.stop();
    }
    assert!(ask(data.path(), "SELECT count(*) FROM host_sample WHERE host = 'web-01'") > 0);
    let started = "SELECT count(*) FROM event WHERE kind = 'started' AND command_line = 'sleep 7311.5'";
    assert_eq!(ask(data.path(), started), 1);
}

/// The separate parts of a fleet; each has to wait for the broker.
struct Parts {
    _ingestor: Started,
    _serving: Started,
    _agent: Started,
    address: String,
}

impl Parts {
    fn start(url: &str, data: &Path, keys: &Path, joined: &Path) -> Self {
        let mut ingestor = program("fleetps-ingestor");
        ingestor.args(["--nats", url, "--nkey"]).arg(keys.join("ingestor.nk")).arg("--data").arg(data);
        let listen = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let mut serve = fleetps_on(data, &listen);
        serve.args(["--nats", url, "--nkey"]).arg(keys.join("api.nk")).arg("--admission-keys").arg(keys);
        serve.arg("serve").stdout(Stdio::null());
        Self {
            _ingestor: Started::start(&mut ingestor),
            _serving: Started::start(&mut serve),
            _agent: agent(joined),
            address: format!("http://{listen}"),
        }
    }

    /// The status of the answer, and its body.
    fn get(&self, path: &str) -> Option<(u16, String)> {
        got(&self.address, path)
    }

    fn until_ready(&self) {
        until("everything is ready", || self.get("/readyz").filter(|(status, _)| *status == 200));
        until("the host is up", || self.get("/api/v1/hosts").filter(|(_, hosts)| hosts.contains("\"up\"")));
    }
}

#[test]
fn every_part_waits_for_a_broker_that_comes_later_and_for_one_that_is_killed() {
    let [folder, data, joined] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let keys = folder.path().join("keys");
    // A host that has joined before: with a whole fleet on the same port and the same store.
    let (broker, url) = broker_by_hand(folder.path(), &keys);
    let port = url.rsplit(':').next().unwrap().to_owned();
    let mut serve = fleetps(data.path());
    serve.args(["--nats", &url, "--nkey"]).arg(keys.join("api.nk")).arg("--admission-keys").arg(&keys);
    let serving = Started::start(serve.arg("serve").stdout(Stdio::null()));
    let mut command = fleetps(data.path());
    command.args(["--nats", &url, "--nkey"]).arg(keys.join("api.nk"));
    let token = enrolment_token(&mut command);
    until("the host has joined", || {
        join(&url, &token, joined.path()).output().unwrap().status.success().then_some(())
    });
    serving.stop();
    broker.stop();

    let parts = Parts::start(&url, data.path(), &keys, joined.path());
    until("the process is up", || parts.get("/healthz").filter(|(status, _)| *status == 200));
    let (status, body) = parts.get("/readyz").unwrap();
    assert!(status == 503 && body.contains("broker"), "{status}: {body}");
    let (mut broker, _) = broker_by_hand_on(&port, folder.path(), &keys);
    parts.until_ready();
    // Every write of it fails: it goes on taking what is published, and stores nothing.
    let limited =
        Command::new("prlimit").args(["--pid", &broker.0.id().to_string(), "--fsize=1000:"]).status();
    if limited.is_ok_and(|status| status.success()) {
        until("it is said", || parts.get("/readyz").filter(|(_, body)| body.contains("stores none")));
    }
    broker.0.kill().unwrap();
    broker.0.wait().unwrap();
    until("nothing is ready", || parts.get("/readyz").filter(|(status, _)| *status == 503));
    let (_broker, _) = broker_by_hand_on(&port, folder.path(), &keys);
    parts.until_ready();
}
