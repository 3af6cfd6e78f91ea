//! Settings that the fleet asks for, from the request to a real agent and back, over the broker and over HTTP.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use async_nats::Client;
use fleetps::testing::{
    auth::{Addresses, People},
    config::QuestionSettings,
    server::{self, Doors, Health},
    tls::TlsListener,
};
use fleetps_ingestor::IngestorSettings;
use fleetps_nats::{
    admission::{AdmissionService, AdmissionSettings, EnrolmentTokens},
    agent_settings::{self, ControlKey, Kind},
    exchange::{Brought, Heard},
    hosts::{self, Group},
    now_us,
    server::{ManagedServer, Part},
    signed::{self, SignedRequest},
    snapshot::Decoder,
    subject,
};
use futures_util::StreamExt;
use nkeys::KeyPair;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    command::real::own_processes,
    ingest::{blocking, until},
    pipeline::broker,
    support::PATIENCE,
};

/// A broker, its admission, and a web server that signs what is asked of agents.
struct Scene {
    server: ManagedServer,
    client: Client,
    address: SocketAddr,
    folder: tempfile::TempDir,
    admission: JoinHandle<()>,
    serving: (CancellationToken, JoinHandle<()>),
}

impl Scene {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (server, _) = broker(folder.path()).await;
        let admission =
            server.admission(&"here".parse().unwrap(), AdmissionSettings::default()).await.unwrap();
        let admission = tokio::spawn(AdmissionService::run(admission));
        let client = server.broker(Part::Api).connect("test").await.unwrap();
        let (address, serving) = Self::serve(&server, &client, folder.path()).await;
        Self { server, client, address, folder, admission, serving }
    }

    /// Starts a web server with the control key that there is now.
    async fn serve(
        server: &ManagedServer,
        client: &Client,
        folder: &Path,
    ) -> (SocketAddr, (CancellationToken, JoinHandle<()>)) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let control_key = Some(server.control_key().unwrap());
        let doors = Doors { control_key, ..TlsListener::plaintext(listener).into() };
        let (token, web) = (CancellationToken::new(), client.clone());
        let history = folder.join("no-history");
        let settings = IngestorSettings { history, ..IngestorSettings::default() };
        let people = People::anybody(Addresses::default());
        let (health, questions) = (Health::default(), QuestionSettings::default());
        let serving = server::run(doors, web, health, settings, questions, people, token.clone());
        (address, (token, tokio::spawn(async move { serving.await.unwrap() })))
    }

    /// Ends the web server and starts another.
    async fn serve_anew(&mut self) {
        self.serving.0.cancel();
        tokio::time::timeout(PATIENCE, &mut self.serving.1).await.expect("the server goes on").unwrap();
        (self.address, self.serving) = Self::serve(&self.server, &self.client, self.folder.path()).await;
    }

    async fn stop(self) {
        self.serving.0.cancel();
        tokio::time::timeout(PATIENCE, self.serving.1).await.expect("the server goes on").unwrap();
        self.admission.abort();
        self.server.stop().await;
    }

    /// Has `host` join at `url`, and starts its agent; `more` goes to its settings file.
    async fn agent(&self, host: &str, url: &str, more: &str) -> Agent {
        let tokens = EnrolmentTokens::open(&self.client).await.unwrap();
        let groups = ["web".parse::<Group>().unwrap()];
        let token = tokens.make(Duration::from_secs(600), 1, groups).await.unwrap();
        let folder = self.folder.path().join(host);
        let mut join = Command::new(agent_program());
        join.args(["join", url, "--token", &token, "--host", host, "--no-service", "--folder"]).arg(&folder);
        let joined = blocking(move || join.output().unwrap()).await;
        assert!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
        let config = folder.join("agent.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        assert!(text.contains(&self.server.control_key().unwrap().public()), "{text}");
        if !more.is_empty() {
            std::fs::write(&config, text.replace("pinned = []", more)).unwrap();
        }
        let agent = Agent::start(config);
        until("the host is up", async || self.json("/api/v1/hosts").await.1.to_string().contains(host)).await;
        until("it has reported", async || self.settings(host).await["settings"][0]["in_force"] == 10_000)
            .await;
        agent
    }

    async fn ask(&self, method: &'static str, path: &str, body: &Value) -> (u16, Value) {
        let (url, body) = (format!("http://{}{path}", self.address), body.to_string());
        blocking(move || {
            let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
            let mut answer = match method {
                "PATCH" => agent.patch(url).send(body).unwrap(),
                "POST" => agent.post(url).send(body).unwrap(),
                _ => agent.get(url).call().unwrap(),
            };
            let status = answer.status().as_u16();
            let text = answer.body_mut().read_to_string().unwrap();
            (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
        })
        .await
    }

    async fn json(&self, path: &str) -> (u16, Value) {
        self.ask("GET", path, &Value::Null).await
    }

    async fn settings(&self, host: &str) -> Value {
        self.json(&format!("/api/v1/hosts/{host}/settings")).await.1
    }

    async fn change(&self, host: &str, body: Value) -> (u16, Value) {
        self.ask("PATCH", &format!("/api/v1/hosts/{host}/settings"), &body).await
    }

    /// Waits until a setting has this value, which was decided so.
    async fn until_in_force(&self, host: &str, name: &str, value: &Value, decided: &str) {
        until(&format!("{host}: {name} is {value}, {decided}"), async || {
            let known = self.settings(host).await;
            let one = known["settings"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
            one["in_force"] == *value && one["decided_by"] == decided && known["is_applied"] == true
        })
        .await;
    }

    async fn until_state(&self, host: &str, state: &str) {
        until(&format!("{host} is {state}"), async || {
            let hosts = self.json("/api/v1/hosts").await.1;
            let found = hosts["hosts"].as_array().unwrap().iter().find(|one| one["host"] == host).cloned();
            found.is_some_and(|host| host["state"] == state)
        })
        .await;
    }
}

/// The agent's program, which the build of all tests puts beside the one that is tested.
pub fn agent_program() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_fleetps")).with_file_name("fleetps-agent")
}

/// A running agent, killed when dropped.
struct Agent(Child);

impl Agent {
    fn start(config: PathBuf) -> Self {
        let mut command = Command::new(agent_program());
        Self(command.arg("--config").arg(config).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const OF_HOST: &str = "asked of this host";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_of_a_host_or_its_group_is_applied_reported_and_shown_with_who_decided() {
    let scene = Scene::start().await;
    let agent = scene.agent("web-01", &scene.server.url(), "").await;
    assert_eq!(scene.settings("web-01").await["settings"][0]["decided_by"], "default");

    let (status, _) = scene.change("web-01", json!({"interval_ms": 300, "why": "a test"})).await;
    assert_eq!(status, 200);
    scene.until_in_force("web-01", "interval_ms", &json!(300), OF_HOST).await;
    until("it sends as often", async || scene.json("/api/v1/hosts/web-01").await.1["interval_ms"] == 300)
        .await;

    let group = json!({"interval_ms": 700, "top": 5, "exclude_names": ["none"]});
    assert_eq!(scene.ask("PATCH", "/api/v1/groups/web/settings", &group).await.0, 200);
    scene.until_in_force("web-01", "top", &json!(5), "asked of the group web").await;
    scene.until_in_force("web-01", "interval_ms", &json!(300), OF_HOST).await;
    until("it sends so many", async || {
        let listed = scene.json("/api/v1/hosts/web-01/processes").await.1;
        listed["processes"].as_array().is_some_and(|processes| processes.len() == 5)
    })
    .await;
    scene.change("web-01", json!({"interval_ms": null})).await;
    scene.until_in_force("web-01", "interval_ms", &json!(700), "asked of the group web").await;

    let page = scene.json("/hosts/web-01/system").await.1;
    let page = page.as_str().unwrap();
    for text in
        ["Sampling settings", "asked of the group web", "Change for web-01", "Change for every host of web"]
    {
        assert!(page.contains(text), "{text}: {page}");
    }
    // A host that leaves the group does what it did before.
    let records = hosts::open(&scene.client).await.unwrap();
    let mut entry = records.get("web-01").await.unwrap().unwrap();
    entry.value.groups.clear();
    assert!(records.update("web-01", &entry.value, entry.revision).await.unwrap());
    scene.until_in_force("web-01", "interval_ms", &json!(10_000), "default").await;
    drop(agent);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_to_be_sampled_is_paused_and_goes_on_when_it_is_over_either_way() {
    let scene = Scene::start().await;
    let url = format!("http://{}", scene.address);
    let agents =
        [scene.agent("web-01", &scene.server.url(), "").await, scene.agent("web-02", &url, "").await];
    for host in ["web-01", "web-02"] {
        scene.change(host, json!({"interval_ms": 200})).await;
        scene.until_in_force(host, "interval_ms", &json!(200), OF_HOST).await;
        scene.change(host, json!({"enabled": false})).await;
        scene.until_state(host, "paused").await;
        scene.until_in_force(host, "enabled", &json!(false), OF_HOST).await;
    }
    // Ten intervals after its last snapshot, a host that is not paused is down.
    let paused = Instant::now();
    while paused.elapsed() < Duration::from_millis(2500) {
        scene.until_state("web-01", "paused").await;
    }
    assert!(scene.json("/?q=paused").await.1.as_str().unwrap().contains("/hosts/web-02"));
    for host in ["web-01", "web-02"] {
        scene.change(host, json!({"enabled": null})).await;
        scene.until_state(host, "up").await;
    }
    drop(agents);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_kept_what_the_fleet_has_no_more_is_asked_anew() {
    let scene = Scene::start().await;
    let agent = scene.agent("web-01", &scene.server.url(), "").await;
    assert_eq!(scene.change("web-01", json!({"enabled": false})).await.0, 200);
    scene.until_state("web-01", "paused").await;
    drop(agent);
    // As after it was forgotten: nothing is asked of it, and it does not know.
    agent_settings::forget(&scene.client, &"web-01".parse().unwrap()).await.unwrap();
    let agent = Agent::start(scene.folder.path().join("web-01/agent.toml"));
    scene.until_in_force("web-01", "enabled", &json!(true), "default").await;
    scene.until_state("web-01", "up").await;
    drop(agent);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_pins_what_is_out_of_range_and_what_is_unknown_is_refused_by_name() {
    let scene = Scene::start().await;
    let agent = scene.agent("web-01", &scene.server.url(), r#"pinned = ["interval"]"#).await;
    let (status, answer) = scene.change("web-01", json!({"interval_ms": 500})).await;
    assert!(status == 409 && answer["error"].as_str().unwrap().contains("pins interval_ms"), "{answer}");
    scene.ask("PATCH", "/api/v1/groups/web/settings", &json!({"interval_ms": 500, "top": 3})).await;
    scene.until_in_force("web-01", "top", &json!(3), "asked of the group web").await;
    scene.until_in_force("web-01", "interval_ms", &json!(10_000), "pinned by the host's own file").await;
    for (body, says) in [
        (json!({"interval_ms": 1}), "100 to 86400000"),
        (json!({"command_line": "full"}), "scrubbed"),
        (json!({"max_processes": 0}), "1 to 20000"),
        (json!({"exclude_names": "x"}), "a list of at most 100"),
        (json!({"intervall_ms": 500}), "there is no setting"),
        (json!({"why": 1, "top": 1}), "why"),
        (json!({}), "nothing is asked"),
        (json!([]), "cannot be read"),
    ] {
        let (status, answer) = scene.change("web-01", body.clone()).await;
        assert!(status == 400 && answer["error"].as_str().unwrap().contains(says), "{body}: {answer}");
    }
    assert_eq!(scene.change("nosuch", json!({"top": 1})).await.0, 404);
    assert_eq!(scene.json("/api/v1/hosts/nosuch/settings").await.0, 404);
    drop(agent);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_is_forged_replayed_or_for_another_host_is_refused_and_said() {
    let scene = Scene::start().await;
    let agent = scene.agent("web-01", &scene.server.url(), "").await;
    let host = "web-01".parse().unwrap();
    let mut frames = scene.client.subscribe(subject::settings(&host)).await.unwrap();
    scene.client.flush().await.unwrap();
    scene.change("web-01", json!({"top": 4})).await;
    let told = tokio::time::timeout(PATIENCE, frames.next()).await;
    let replayed = told.unwrap().unwrap().payload;
    scene.until_in_force("web-01", "top", &json!(4), OF_HOST).await;
    scene.change("web-01", json!({"top": 7})).await;
    scene.until_in_force("web-01", "top", &json!(7), OF_HOST).await;

    let key = scene.server.control_key().unwrap();
    let sign = |host: &str, key: &ControlKey| {
        let body = r#"{"enabled":false}"#.to_owned();
        key.sign(Kind::Settings, &host.parse().unwrap(), 0, body).unwrap().to_bytes()
    };
    let forged = [
        (replayed.to_vec(), "older than the one in force"),
        (sign("web-02", &key), "for another host"),
        (sign("web-01", &KeyPair::new_operator().into()), "another key"),
        (b"{}".to_vec(), "no frame"),
    ];
    for (frame, problem) in forged {
        scene.client.publish(subject::settings(&host), frame.into()).await.unwrap();
        until(problem, async || {
            scene.settings("web-01").await["problem"].as_str().is_some_and(|said| said.contains(problem))
        })
        .await;
        assert_eq!(scene.settings("web-01").await["settings"][1]["in_force"], true, "{problem}");
    }
    drop(agent);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_control_key_is_trusted_by_the_hosts_that_pinned_the_old_one_also_those_that_were_away() {
    let mut scene = Scene::start().await;
    let asked = scene.agent("web-01", &scene.server.url(), "").await;
    let unasked = scene.agent("web-02", &scene.server.url(), "").await;
    let away = scene.agent("web-03", &scene.server.url(), "").await;
    scene.change("web-01", json!({"top": 4})).await;
    scene.until_in_force("web-01", "top", &json!(4), OF_HOST).await;
    let config = scene.folder.path().join("web-03/agent.toml");
    drop(away);
    let old = scene.server.control_key().unwrap();
    let file = fleetps_nats::server::key_file(scene.folder.path(), Part::Control);
    let new = ControlKey::rotate(&file).unwrap();
    scene.serve_anew().await;
    let away = Agent::start(config);
    let frames = agent_settings::frames(&scene.client).await.unwrap();
    let applied = agent_settings::applied_bucket(&scene.client).await.unwrap();
    for host in ["web-01", "web-02", "web-03"] {
        until(host, async || {
            let frame = frames.get(host).await.unwrap().map(|frame| frame.value);
            let applied = applied.get(host).await.unwrap().and_then(|applied| applied.value.revision);
            frame.is_some_and(|frame| frame.key() == new.public() && applied == Some(frame.revision()))
        })
        .await;
    }
    scene.change("web-02", json!({"top": 9})).await;
    scene.until_in_force("web-02", "top", &json!(9), OF_HOST).await;
    // Whoever has the old key has no say any more, also of the host of which nothing was asked.
    let host = "web-03".parse().unwrap();
    let stolen = old.sign(Kind::Settings, &host, now_us() + 1_000_000, r#"{"enabled":false}"#.to_owned());
    scene.client.publish(subject::settings(&host), stolen.unwrap().to_bytes().into()).await.unwrap();
    until("the old key is refused", async || {
        scene.settings("web-03").await["problem"].as_str().is_some_and(|said| said.contains("another key"))
    })
    .await;
    drop((asked, unasked, away));
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_over_http_hears_of_settings_while_it_sends_nothing_and_a_recorded_question_takes_nothing_away()
 {
    let scene = Scene::start().await;
    let agent = scene.agent("web-01", &format!("http://{}", scene.address), "").await;
    // A day until its next post.
    scene.change("web-01", json!({"interval_ms": 86_400_000})).await;
    scene.until_in_force("web-01", "interval_ms", &json!(86_400_000), OF_HOST).await;
    for top in 1..=3 {
        scene.change("web-01", json!({"top": top})).await;
        scene.until_in_force("web-01", "top", &json!(top), OF_HOST).await;
    }
    // Somebody asks the host over the broker, as if it was there; the agent's helper is not.
    let host = "web-01".parse().unwrap();
    let ask = fleetps_nats::command::Ask::Ticket.to_bytes();
    let answer = scene.client.request(subject::commands(&host), ask.into()).await.unwrap();
    let answer = fleetps_nats::command::Answer::read(&answer.payload).unwrap();
    assert!(matches!(answer, fleetps_nats::command::Answer::Refused { .. }), "{answer:?}");
    // One that names another line hears nothing but the line.
    let key = fleetps_nats::key::read(&scene.folder.path().join("web-01/host.nk")).unwrap();
    let brought = Brought { line: Some(7), answers: Vec::new(), waits: true };
    let body = serde_json::to_vec(&brought).unwrap();
    let headers = SignedRequest::new(signed::EXCHANGE, &host, &key, None, &body).sign(&key).unwrap();
    let url = format!("http://{}{}", scene.address, signed::EXCHANGE);
    let heard = blocking(move || {
        let request =
            headers.iter().fold(ureq::post(url), |request, (name, value)| request.header(*name, value));
        let answer = request.send(&body).unwrap().body_mut().read_to_vec().unwrap();
        serde_json::from_slice::<Heard>(&answer).unwrap()
    });
    let heard = heard.await;
    assert!(heard.line != 7 && heard.questions.is_empty() && heard.frames.is_empty(), "{heard:?}");
    drop(agent);
    // Nobody listens for it any longer.
    until("it is gone", async || {
        let ask = fleetps_nats::command::Ask::Ticket.to_bytes();
        scene.client.request(subject::commands(&host), ask.into()).await.is_err()
    })
    .await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_over_http_takes_commands() {
    let scene = Scene::start().await;
    drop(scene.agent("web-01", &format!("http://{}", scene.address), "").await);
    let folder = scene.folder.path().join("web-01");
    let config = folder.join("agent.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let socket_line = format!("socket = {:?}", folder.join("socket"));
    let text = text
        .replacen("enabled = false", "enabled = true", 1)
        .replacen("socket = \"/run/fleetps-control/socket\"", &socket_line, 1)
        .replacen("signals = []", &own_processes(), 1);
    assert!(text.contains(&socket_line) && text.contains(&own_processes()), "{text}");
    std::fs::write(&config, text).unwrap();
    let mut helper = Command::new(agent_program());
    let helper = helper.arg("--config").arg(&config).args(["control", "run"]).stderr(Stdio::null());
    let helper = Agent(helper.spawn().unwrap());
    let mut victim = Agent(Command::new("sleep").arg("86400").spawn().unwrap());
    let agent = Agent::start(config);
    let (pid, mut identity) = (victim.0.id(), Value::Null);
    until("the process is sent", async || {
        let (_, found) = scene.json(&format!("/api/v1/hosts/web-01/processes?q=pid+%3D+{pid}")).await;
        let Some(started) = found["processes"][0]["started_at"].as_str() else { return false };
        let (_, process) =
            scene.json(&format!("/api/v1/hosts/web-01/processes/{pid}?started={started}")).await;
        identity = json!({"boot_id": process["boot_id"], "pid": pid, "start_ticks": process["start_ticks"]});
        process["start_ticks"].is_u64()
    })
    .await;
    let asked = json!({"signal": "TERM", "process": identity, "why": "a test"});
    // The host listens as soon as its first request waits.
    until("it is done", async || {
        let (_, answer) = scene.ask("POST", "/api/v1/hosts/web-01/commands?wait=10s", &asked).await;
        answer["commands"][0]["state"] == "done"
    })
    .await;
    until("it has ended", async || victim.0.try_wait().unwrap().is_some()).await;
    drop((agent, helper));
    scene.stop().await;
}

/// Watches `host` until this many samples have come, and leaves.
async fn watch(address: SocketAddr, host: &str, samples: usize) {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /api/v1/hosts/{host}/live HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let (mut came, mut buffer) = (String::new(), vec![0; 64 << 10]);
    while came.matches("event: snapshot").count() < samples {
        let read =
            tokio::time::timeout(PATIENCE, socket.read(&mut buffer)).await.expect("no more samples").unwrap();
        assert!(read > 0, "the server ends the stream: {came}");
        came.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_somebody_watches_a_host_it_samples_every_second_and_the_history_has_none_of_it() {
    let scene = Scene::start().await;
    let url = scene.server.url();
    is_sampled_sharply(scene, url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_over_http_is_sampled_every_second_too_while_somebody_watches() {
    let scene = Scene::start().await;
    let url = format!("http://{}", scene.address);
    is_sampled_sharply(scene, url).await;
}

/// Watches an agent that sends to `url`, and leaves.
async fn is_sampled_sharply(scene: Scene, url: String) {
    let agent = scene.agent("web-01", &url, "").await;
    let mut sharp = scene.client.subscribe(subject::ALL_SHARP).await.unwrap();
    // Of the usual interval of ten seconds, six samples would take longer than anybody waits.
    tokio::join!(watch(scene.address, "web-01", 6), watch(scene.address, "web-01", 6));
    // Nobody watches any longer: the lease ends by itself.
    let (mut decoder, mut captured_us, mut sequence) = (Decoder::new().unwrap(), Vec::new(), 0);
    let until_quiet = async {
        while let Ok(message) = tokio::time::timeout(Duration::from_secs(5), sharp.next()).await {
            let message = message.unwrap();
            assert_eq!(message.subject.as_str(), "fleetps.web-01.sharp");
            let snapshot = decoder.decode(&message.payload, now_us()).unwrap();
            assert!(snapshot.interval_ms == 10_000 && !snapshot.processes.is_empty());
            captured_us.push(snapshot.captured_at_us);
            sequence = snapshot.sequence;
        }
    };
    tokio::time::timeout(PATIENCE, until_quiet).await.expect("it goes on although nobody watches");
    assert!(captured_us.len() > 6 && captured_us.is_sorted(), "{captured_us:?}");
    // Those of the stream are counted as if nobody had looked.
    let stream = async_nats::jetstream::new(scene.client.clone()).get_stream("SNAP").await.unwrap();
    let stored = stream.cached_info().state.messages;
    assert!((sequence..=sequence + 2).contains(&stored), "{stored} stored, {sequence} by the last");
    drop(agent);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures, and asserts nothing about time"]
async fn measures_how_long_a_change_takes_to_be_applied_and_known() {
    let scene = Scene::start().await;
    let agent = scene.agent("web-01", &scene.server.url(), "").await;
    let mut took: Vec<Duration> = Vec::new();
    for number in 1..=200 {
        let asked = Instant::now();
        scene.change("web-01", json!({"top": number})).await;
        while scene.settings("web-01").await["settings"][3]["in_force"] != number {}
        took.push(asked.elapsed());
        // A host says hello, and so what it applied, four times a second at most.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    took.sort_unstable();
    eprintln!("asked → applied and reported, of {}: p50 {:?}, p99 {:?}", took.len(), took[100], took[198]);
    drop(agent);
    scene.stop().await;
}
