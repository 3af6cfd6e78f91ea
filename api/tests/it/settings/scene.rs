//! A broker, its admission, a web server, and agents, as programs of their own.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
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
    hosts::Group,
    server::{ManagedServer, Part},
};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    ingest::{blocking, until},
    pipeline::broker,
    support::PATIENCE,
};

/// A broker, its admission, and a web server that signs what is asked of agents.
pub struct Scene {
    pub server: ManagedServer,
    pub client: Client,
    pub address: SocketAddr,
    pub folder: tempfile::TempDir,
    pub admission: JoinHandle<()>,
    pub serving: (CancellationToken, JoinHandle<()>),
}

impl Scene {
    pub async fn start() -> Self {
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
    pub async fn serve_anew(&mut self) {
        self.serving.0.cancel();
        tokio::time::timeout(PATIENCE, &mut self.serving.1).await.expect("the server goes on").unwrap();
        (self.address, self.serving) = Self::serve(&self.server, &self.client, self.folder.path()).await;
    }

    /// Starts a second web server, with a connection of its own, which is asked from now on. Hosts stay at the first.
    pub async fn ask_another(&mut self) -> (CancellationToken, JoinHandle<()>) {
        let client = self.server.broker(Part::Api).connect("another").await.unwrap();
        let (address, serving) = Self::serve(&self.server, &client, self.folder.path()).await;
        self.address = address;
        serving
    }

    pub async fn stop(self) {
        self.serving.0.cancel();
        tokio::time::timeout(PATIENCE, self.serving.1).await.expect("the server goes on").unwrap();
        self.admission.abort();
        self.server.stop().await;
    }

    /// Has `host` join at `url`, and starts its agent; `more` goes to its settings file.
    pub async fn agent(&self, host: &str, url: &str, more: &str) -> Agent {
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

    pub async fn ask(&self, method: &'static str, path: &str, body: &Value) -> (u16, Value) {
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

    pub async fn json(&self, path: &str) -> (u16, Value) {
        self.ask("GET", path, &Value::Null).await
    }

    pub async fn settings(&self, host: &str) -> Value {
        self.json(&format!("/api/v1/hosts/{host}/settings")).await.1
    }

    pub async fn change(&self, host: &str, body: Value) -> (u16, Value) {
        self.ask("PATCH", &format!("/api/v1/hosts/{host}/settings"), &body).await
    }

    /// Waits until a setting has this value, which was decided so.
    pub async fn until_in_force(&self, host: &str, name: &str, value: &Value, decided: &str) {
        until(&format!("{host}: {name} is {value}, {decided}"), async || {
            let known = self.settings(host).await;
            let one = known["settings"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
            one["in_force"] == *value && one["decided_by"] == decided && known["is_applied"] == true
        })
        .await;
    }

    pub async fn until_state(&self, host: &str, state: &str) {
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
pub struct Agent(pub Child);

impl Agent {
    pub fn start(config: PathBuf) -> Self {
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

/// Who decided what is asked of a host itself.
pub const OF_HOST: &str = "asked of this host";
