//! A broker with admission, a web server that commands, and fake hosts.

use async_nats::Client;
use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use fleetps::testing::audit_log::AuditLog;
use fleetps_nats::{
    Snapshot,
    admission::{AdmissionService, AdmissionSettings, EnrolmentTokens},
    audit::{Audit, AuditEntry},
    key,
    server::{ManagedServer, Part},
    snapshot::Process,
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::helper::FakeHost;
use crate::{
    ingest::until,
    pipeline::broker,
    support::{PATIENCE, Site, process, snapshot},
};

pub struct Scene {
    pub server: ManagedServer,
    pub client: Client,
    pub audit: Audit,
    pub folder: tempfile::TempDir,
    admission: JoinHandle<()>,
}

/// One web server; when it is killed it says nothing more.
pub struct Web {
    pub site: Site,
    following: JoinHandle<()>,
    shutdown: CancellationToken,
}

impl Scene {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (server, _) = broker(folder.path()).await;
        std::fs::create_dir(folder.path().join("history")).unwrap();
        let admission =
            server.admission(&"here".parse().unwrap(), AdmissionSettings::default()).await.unwrap();
        let admission = tokio::spawn(AdmissionService::run(admission));
        let client = server.broker(Part::Api).connect("test").await.unwrap();
        let audit = Audit::open(&client).await.unwrap();
        Self { server, client, audit, folder, admission }
    }

    /// A web server in front of the broker, which has the control key where it is asked to.
    pub async fn web(&self, has_key: bool) -> Web {
        let client = self.server.broker(Part::Api).connect("web").await.unwrap();
        self.web_over(client, has_key).await
    }

    /// The same over this connection.
    pub async fn web_over(&self, client: Client, has_key: bool) -> Web {
        let shutdown = CancellationToken::new();
        let history = self.folder.path().join("history");
        let records = AuditLog::open(&client, history, shutdown.clone()).await.unwrap();
        let mut site = Site::with_records(records.clone());
        site.shared.broker = Some(client.clone());
        site.router = crate::described::router(site.shared.clone());
        let key = has_key.then(|| self.server.control_key().unwrap());
        let following = site.shared.commands.clone().follow(client, key, records, shutdown.clone());
        let web = Web { site, following: tokio::spawn(following), shutdown };
        until("commands are known", async || web.site.shared.commands.can_sign().is_some()).await;
        web
    }

    /// The connection of a host's agent that was let in.
    pub async fn agent(&self, host: &str) -> Client {
        let file = self.folder.path().join(format!("{host}.nk"));
        let is_new = !file.exists();
        if is_new {
            key::make(&file).unwrap();
        }
        let broker = self.server.broker(Part::Agent).with_key(file);
        let tokens = EnrolmentTokens::open(&self.client).await.unwrap();
        let token = match is_new {
            true => Some(tokens.make(PATIENCE, 1, ["web".parse().unwrap()]).await.unwrap()),
            false => None,
        };
        broker.enrol(&host.parse().unwrap(), token.as_deref()).await.unwrap()
    }

    /// A host whose helper does what it is told.
    pub async fn host(&self, host: &str) -> FakeHost {
        let pinned = self.server.control_key().unwrap().public();
        FakeHost::listen(self.agent(host).await, host, &pinned).await
    }

    /// The audit's entries about commands, the first first.
    pub async fn audited(&self) -> Vec<AuditEntry> {
        let (mut entries, mut next) = (Vec::new(), 1);
        loop {
            let more = self.audit.read(next).await.unwrap();
            let Some(last) = more.last() else { break };
            next = last.sequence + 1;
            entries.extend(more.into_iter().map(|chained| chained.entry));
        }
        entries.retain(|entry: &AuditEntry| entry.action.starts_with("command."));
        entries
    }

    /// The actions of the audit about commands, when the last of them is this one.
    pub async fn audited_until(&self, last: &str) -> Vec<String> {
        let mut actions: Vec<String> = Vec::new();
        until(last, async || {
            actions = self.audited().await.into_iter().map(|entry| entry.action).collect();
            actions.last().is_some_and(|action| action == last)
        })
        .await;
        actions
    }

    pub async fn stop(self) {
        self.admission.abort();
        self.server.stop().await;
    }
}

/// A process that can be signalled.
pub fn victim(pid: u32) -> Process {
    let command_line = Some("java -jar leaky.jar --port 80".to_owned());
    let facts = process(pid, 1, "java");
    Process {
        start_ticks: Some(u64::from(pid) * 100),
        command_line,
        unit: Some("leaky.service".to_owned()),
        ..facts
    }
}

impl Web {
    /// The server knows this host, with a process that can be signalled.
    pub fn knows(&self, host: &str) {
        let now = snapshot(1, vec![process(1, 0, "init"), victim(10)]);
        let now = Snapshot { boot_id: "boot".to_owned(), ..now };
        self.site.tell_snapshot(host, now, fleetps::testing::live::now_us());
    }

    pub async fn ask(&self, method: &str, path: &str, body: &Value) -> (StatusCode, Value) {
        let request = Request::builder().method(method).uri(path).header("host", "localhost");
        let answer = self.site.send(request.body(Body::from(body.to_string())).unwrap()).await;
        let value = serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{path}: {}", answer.body));
        (answer.status, value)
    }

    /// Has `host` restart a unit, and returns the id of the command.
    pub async fn restart(&self, host: &str) -> String {
        let body = json!({"action": "restart", "unit": "nginx.service", "why": "a test"});
        let (status, answer) = self.ask("POST", &format!("/api/v1/hosts/{host}/commands"), &body).await;
        // 202, or 200 where it is over already.
        assert!(status.is_success(), "{answer}");
        answer["id"].as_str().unwrap().to_owned()
    }

    pub async fn command(&self, id: &str) -> Value {
        let (_, answer) = self.ask("GET", &format!("/api/v1/commands/{id}"), &Value::Null).await;
        answer
    }

    /// The command when it is over.
    pub async fn when_over(&self, id: &str) -> Value {
        let mut command = Value::Null;
        until("the command is over", async || {
            command = self.command(id).await;
            command["is_over"] == true
        })
        .await;
        command
    }

    /// Waits until the first command of `id` is in this state.
    pub async fn until_state(&self, id: &str, state: &str) {
        until(state, async || self.command(id).await["commands"][0]["state"] == state).await;
    }

    /// Ends in the middle of everything, as a process that is killed.
    pub async fn kill(self) {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.following).await.expect("it goes on").unwrap();
    }
}

/// The states that a command was in.
pub fn states(command: &Value) -> Vec<&str> {
    let steps = command["steps"].as_array().unwrap();
    steps.iter().map(|step| step["state"].as_str().unwrap()).collect()
}

pub fn last_words(command: &Value) -> &str {
    command["steps"].as_array().unwrap().last().unwrap()["words"].as_str().unwrap()
}
