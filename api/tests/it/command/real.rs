//! A real agent with its real control helper, and a real process that ends: by JSON, and in a browser the whole way.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use fleetps::testing::live::{self, Intake, Shown};
use fleetps_nats::admission::EnrolmentTokens;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::scene::{Scene, Web, last_words, states};
use crate::{
    browser::Browser,
    ingest::{blocking, until},
    settings::agent_program,
    support::PATIENCE,
};

/// A program that runs until it is dropped.
pub struct Program(Child);

impl Program {
    pub fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// A process that does nothing for long.
    fn sleeping() -> Self {
        Self::start(Command::new("sleep").arg("86400"))
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A host with an agent and a helper.
struct RealHost {
    config: PathBuf,
    _helper: Program,
    _agent: Program,
}

impl RealHost {
    /// Has `host` join, with these lines in `[control]`, and starts both programs.
    async fn start(scene: &Scene, host: &str, rules: &str) -> Self {
        let config = join(scene, &scene.server.url(), host, &[("signals = []", rules)]).await;
        let no_bus = format!("unix:path={}", config.with_file_name("no-bus").display());
        let helper = Program::start(&mut helper(&config, &no_bus));
        let agent = Program::start(&mut agent(&config));
        Self { config, _helper: helper, _agent: agent }
    }
}

/// The control helper of the host that is configured so, with this bus as the system's.
pub fn helper(config: &Path, bus: &str) -> Command {
    let mut helper = Command::new(agent_program());
    helper.env("DBUS_SYSTEM_BUS_ADDRESS", bus).arg("--config").arg(config).args(["control", "run"]);
    helper
}

/// Its agent.
pub fn agent(config: &Path) -> Command {
    let mut agent = Command::new(agent_program());
    agent.arg("--config").arg(config);
    agent
}

/// Has `host` join the broker at `url`, with commands on and these lines of its settings in the place of usual ones. Returns
/// the file of settings.
pub async fn join(scene: &Scene, url: &str, host: &str, more: &[(&str, &str)]) -> PathBuf {
    let folder = scene.folder.path().join(host);
    let tokens = EnrolmentTokens::open(&scene.client).await.unwrap();
    let token = tokens.make(PATIENCE, 1, ["web".parse().unwrap()]).await.unwrap();
    let mut join = Command::new(agent_program());
    join.args(["join", url, "--token", &token, "--host", host, "--no-service", "--folder"]).arg(&folder);
    let joined = blocking(move || join.output().unwrap()).await;
    assert!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
    let config = folder.join("agent.toml");
    let socket_line = format!("socket = {:?}", folder.join("socket"));
    let usual = [
        ("enabled = false", "enabled = true"),
        ("socket = \"/run/fleetps-control/socket\"", &socket_line),
        ("interval = \"10s\"", "interval = \"300ms\""),
    ];
    let text = std::fs::read_to_string(&config).unwrap();
    let text = usual.iter().chain(more).fold(text, |text, (usual, own)| {
        assert!(text.contains(usual), "{usual}: {text}");
        text.replacen(usual, own, 1)
    });
    std::fs::write(&config, text).unwrap();
    config
}

/// A line that lets the fleet signal the processes of whoever runs the tests.
pub fn own_processes() -> String {
    let user = Command::new("id").arg("-u").output().unwrap().stdout;
    format!("signals = [\"* user:{}\"]", String::from_utf8(user).unwrap().trim())
}

/// A web server that shows what hosts send.
async fn web(scene: &Scene) -> (Web, CancellationToken) {
    let web = scene.web(true).await;
    let (client, fleet, shutdown) =
        (scene.client.clone(), web.site.shared.fleet.clone(), CancellationToken::new());
    let until = shutdown.clone();
    tokio::spawn(async move {
        let progress = watch::channel(Intake::default()).0;
        let shown = Shown { host_bytes_per_s: 10 << 20, down_for: std::time::Duration::from_secs(86_400) };
        live::follow(client, &fleet, shown, &progress, until).await;
    });
    (web, shutdown)
}

/// The identity of a process, as soon as the host has sent it.
async fn identity(web: &Web, pid: u32) -> Value {
    let mut process = Value::Null;
    until("the process is sent", async || {
        let found =
            web.ask("GET", &format!("/api/v1/hosts/web-01/processes?q=pid+%3D+{pid}"), &Value::Null).await.1;
        let Some(started) = found["processes"][0]["started_at"].as_str() else { return false };
        let url = format!("/api/v1/hosts/web-01/processes/{pid}?started={started}");
        process = web.ask("GET", &url, &Value::Null).await.1;
        process["start_ticks"].is_u64()
    })
    .await;
    json!({"boot_id": process["boot_id"], "pid": pid, "start_ticks": process["start_ticks"]})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_process_is_signalled_and_gone_and_another_one_is_not_touched() {
    let scene = Scene::start().await;
    let (web, shutdown) = web(&scene).await;
    let host = RealHost::start(&scene, "web-01", &own_processes()).await;
    let (mut victim, mut other) = (Program::sleeping(), Program::sleeping());
    let process = identity(&web, victim.pid()).await;
    let ask = async |process: &Value, signal: &str| {
        let body = json!({"signal": signal, "process": process, "why": "a test"});
        web.ask("POST", "/api/v1/hosts/web-01/commands?wait=30s", &body).await.1
    };
    let answer = ask(&process, "TERM").await;
    let command = &answer["commands"][0];
    assert_eq!(command["state"], "done", "{answer}");
    assert!(last_words(command).starts_with("The process is gone."), "{answer}");
    assert_eq!(command["process"]["name"], "sleep");
    until("it has ended", async || victim.has_ended()).await;
    // The same pid with another start is another process.
    let mut stale = identity(&web, other.pid()).await;
    stale["start_ticks"] = json!(stale["start_ticks"].as_u64().unwrap() + 1);
    let answer = ask(&stale, "KILL").await;
    assert_eq!(answer["commands"][0]["state"], "refused", "{answer}");
    assert_eq!(answer["commands"][0]["steps"].as_array().unwrap().last().unwrap()["reason"], "other_process");
    // The host's own file decides, and a unit is not in it.
    let (_, answer) = web
        .ask(
            "POST",
            "/api/v1/hosts/web-01/commands?wait=30s",
            &json!({"action": "restart", "unit": "nginx.service"}),
        )
        .await;
    assert_eq!(answer["commands"][0]["state"], "refused", "{answer}");
    assert_eq!(states(&answer["commands"][0]).last(), Some(&"refused"));
    let text = std::fs::read_to_string(&host.config).unwrap();
    std::fs::write(&host.config, text.replace("enabled = true", "enabled = false")).unwrap();
    let answer = ask(&identity(&web, other.pid()).await, "TERM").await;
    assert_eq!(answer["commands"][0]["state"], "refused", "{answer}");
    assert!(!other.has_ended());
    shutdown.cancel();
    drop(host);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_browser_a_process_of_the_tree_is_signalled_seen_to_vanish_and_in_the_audit() {
    let scene = Scene::start().await;
    let (web, shutdown) = web(&scene).await;
    let host = RealHost::start(&scene, "web-01", &own_processes()).await;
    let mut victim = Program::sleeping();
    let pid = victim.pid();
    identity(&web, pid).await;
    let Web { site, .. } = web;
    // With a history, though an empty one.
    let Some(browser) = Browser::open(site.reopened(), true).await else { return };
    browser.go(&format!("/hosts/web-01?q=pid+%3D+{pid}")).await;
    browser.until_live().await;
    let row = format!("document.querySelector('#processes a[href*=\"/processes/{pid}?\"]').closest('tr')");
    browser
        .until(
            &format!(
                "const row = {row}; row.tabIndex = -1; row.focus(); return document.activeElement === row"
            ),
            json!(true),
        )
        .await;
    browser.press("s").await;
    browser
        .until(
            "return location.pathname + location.search",
            json!(format!("/commands/new?host=web-01&pid={pid}")),
        )
        .await;
    browser.until("return document.querySelector('#targets').textContent.trim()", json!("web-01")).await;
    browser.until("return document.querySelector('dl.target dd').textContent", json!(pid.to_string())).await;
    browser.run("document.querySelector('[name=why]').value = 'seen in a browser'").await;
    browser.click("form.command button.main").await;
    browser.until("return document.querySelector('[data-f=state]').textContent", json!("done")).await;
    let said =
        browser.run("return document.querySelector('#steps tbody tr:last-child td.said').textContent").await;
    assert!(said.as_str().unwrap().starts_with("The process is gone."), "{said}");
    until("it has ended", async || victim.has_ended()).await;
    browser.go(&format!("/hosts/web-01?q=pid+%3D+{pid}")).await;
    // Gone, or struck through while the pointer is in the table, which keeps its rows where they are.
    let link = row.replace(".closest('tr')", "");
    let vanished =
        format!("const link = {link}; return !link || link.closest('tr').classList.contains('gone')");
    browser.until(&vanished, json!(true)).await;
    let entries = scene.audited_until("command.done").await;
    for (page, place) in [
        ("/hosts/web-01/events", "#commands tbody"),
        ("/hosts/web-01/history", "#commands-then tbody"),
        ("/audit?action=command", "main"),
    ] {
        browser.go(page).await;
        let text = format!("document.querySelector('{place}').textContent");
        let is_told = format!(
            "return ['seen in a browser', 'TERM', 'done'].filter(word => !{text}.includes(word)).join()"
        );
        browser.until(&is_told, json!("")).await;
    }
    drop(browser);
    assert_eq!(entries.first().map(String::as_str), Some("command.ask"));
    let asked = &scene.audited().await[0];
    assert!(
        asked.what.contains("why: seen in a browser") && asked.what.contains("process: sleep"),
        "{asked:?}"
    );
    shutdown.cancel();
    drop(host);
    scene.stop().await;
}
