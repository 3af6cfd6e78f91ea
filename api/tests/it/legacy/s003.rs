//! System 003: a token for each agent; pages read servers, listen, and queue actions.

use fleetps::testing::{config::LegacySettings, legacy::System};
use fleetps_nats::{audit::Audit, now_us};
use serde_json::{Value, json};

use super::{Answer, Scene, ws::Socket};

const TOKEN: (&str, &str) = ("x-agent-token", "token of srv 1");
const PATH: &str = "/agents/srv-01/metrics";

fn metrics(agent: &str, back_s: i64) -> Value {
    json!({
        "agentId": agent, "ts": now_us() / 1_000_000 - back_s,
        "procs": [{"name": "nginx", "pid": 71, "cpu": 2.3, "memMB": 51.5, "status": "sleeping"}],
        "load": {"cpu": 17.3, "memUsedMB": 2048.5, "memTotalMB": 8192}, "uptimeSec": 3600, "alerts": ["disk"],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_registers_and_posts_and_pages_read_and_listen() {
    let scene = Scene::with_operators().await;
    scene.allow(System::S003, 2).await;
    let registration = json!({"agentId": "srv-01", "os": "Linux"});
    assert_eq!(scene.post("/agents/register", None, &registration).await.status, 401);
    let new = scene.enrol("/agents/register", Some(TOKEN), &registration).await;
    assert_eq!((new.status, new.json()), (201, json!({"agentId": "srv-01"})));
    assert_eq!(scene.post("/agents/register", Some(TOKEN), &registration).await.status, 200);
    let mut page = Socket::open(scene.legacy, "/ws", "http://localhost:5173").await.unwrap();
    let posted = scene.post(PATH, Some(TOKEN), &metrics("srv-01", 5)).await;
    assert_eq!(posted.status, 200, "{posted:?}");
    let heard = page.hear().await.unwrap();
    assert_eq!((&heard["type"], &heard["agentId"]), (&json!("metrics"), &json!("srv-01")));
    assert_eq!(heard["procs"], metrics("", 0)["procs"]);
    assert_eq!(scene.post(PATH, Some(TOKEN), &metrics("srv-01", 0)).await.status, 200);

    let servers = scene.get("/servers").await.json();
    let expected = metrics("srv-01", 0);
    assert_eq!((&servers[0]["agentId"], &servers[0]["uptimeSec"]), (&json!("srv-01"), &json!(3600)));
    assert_eq!(servers[0]["load"]["cpu"], expected["load"]["cpu"]);
    assert_eq!(servers[0]["load"]["memUsedMB"], 2048.5);
    assert!(servers[0].get("procs").is_none() && servers[0]["ts"].is_i64());
    let one = scene.get("/servers/srv-01").await.json();
    assert_eq!((&one["procs"], one["history"].as_array().unwrap().len()), (&expected["procs"], 2));
    assert_eq!(scene.get("/servers/nobody").await.json(), json!({"detail": "Not Found"}));

    let host = scene.fleet("/api/v1/hosts/srv-01").await;
    let boot = host["host_info"]["boot_at"].clone();
    assert!(boot.is_string() && host["host_sample"]["uptime_s"] == 3600, "{host}");
    let process = &scene.fleet("/api/v1/hosts/srv-01/processes").await["processes"][0];
    assert_eq!((&process["state"], &process["parent_pid"]), (&json!("S"), &Value::Null));
    refusals(&scene).await;
    scene.close().await;
}

async fn refusals(scene: &Scene) {
    let status = |answer: &Answer| answer.status;
    assert_eq!(status(&scene.post(PATH, None, &metrics("srv-01", 0)).await), 401);
    assert_eq!(status(&scene.post(PATH, Some(("x-agent-token", "wrong")), &metrics("srv-01", 0)).await), 401);
    assert_eq!(status(&scene.post(PATH, Some(TOKEN), &metrics("srv-02", 0)).await), 403);
    assert_eq!(status(&scene.post("/agents/srv-02/metrics", Some(TOKEN), &metrics("srv-02", 0)).await), 403);
    for wrong in
        [json!({}), json!({"ts": "x", "procs": []}), json!({"ts": 1, "procs": [{"pid": -1}]}), json!([])]
    {
        let answer = scene.post(PATH, Some(TOKEN), &wrong).await;
        let detail = answer.json()["detail"].clone();
        assert!(
            answer.status == 422 && detail[0]["loc"][0] == "body" && detail[0]["msg"].is_string(),
            "{answer:?}"
        );
    }
    let nested = scene.post(PATH, Some(TOKEN), &json!({"ts": 1, "procs": [{"pid": -1, "name": "x"}]})).await;
    assert_eq!(nested.json()["detail"][0]["loc"], json!(["body", "procs", 0, "pid"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_is_answered_once_and_audited() {
    let scene = Scene::with_operators().await;
    scene.allow(System::S003, 2).await;
    assert_eq!(scene.enrol("/agents/register", Some(TOKEN), &json!({"agentId": "srv-01"})).await.status, 201);
    let mut page = Socket::open(scene.legacy, "/ws", "http://localhost:5173").await.unwrap();
    let restart = json!({"cmd": "restart", "target": "nginx"});
    for (path, body, status) in [
        ("/actions/nobody", &restart, 404),
        ("/actions/srv-01", &json!({"cmd": "rm", "target": "nginx"}), 422),
        ("/actions/srv-01", &json!({"cmd": "stop", "target": "a; reboot"}), 422),
        ("/actions/srv-01", &json!({"cmd": "stop", "target": "--help"}), 422),
        ("/actions/srv-01", &json!({"cmd": "stop"}), 422),
    ] {
        assert_eq!(scene.post(path, None, body).await.status, status, "{path} {body}");
    }
    let queue = "/actions/queue/srv-01";
    assert_eq!(scene.get(queue).await.status, 401);
    let waiting = async { scene.ask("GET", queue, &[TOKEN], None).await };
    let queueing = async { scene.post("/actions/srv-01", None, &restart).await };
    let (taken, queued) = tokio::join!(waiting, queueing);
    assert_eq!(queued.status, 202, "{queued:?}");
    assert_eq!(
        (taken.status, &taken.json()[0]["cmd"], &taken.json()[0]["target"]),
        (200, &json!("restart"), &json!("nginx"))
    );
    assert_eq!(taken.json().as_array().unwrap().len(), 1);
    let heard = page.hear().await.unwrap();
    assert_eq!((&heard["type"], &heard["cmd"]), (&json!("action_enqueued"), &json!("restart")));
    // Two who ask at once for one more: one gets it.
    let both = async {
        tokio::join!(scene.ask("GET", queue, &[TOKEN], None), scene.ask("GET", queue, &[TOKEN], None))
    };
    let queueing = async {
        let first = scene.post("/actions/srv-01", None, &restart).await;
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        (first, scene.post("/actions/srv-01", None, &json!({"cmd": "stop", "target": "shop"})).await)
    };
    let ((one, other), _) = tokio::join!(both, queueing);
    let mut ids: Vec<i64> = [&one, &other]
        .iter()
        .filter(|answer| answer.status == 200)
        .flat_map(|answer| answer.json().as_array().unwrap().clone())
        .map(|action| action["id"].as_i64().unwrap())
        .collect();
    ids.sort_unstable();
    let count = ids.len();
    ids.dedup();
    assert!(count == 2 && ids.len() == 2, "{one:?} {other:?}");
    let actions = || async {
        let audited = Audit::open(&scene.client).await.unwrap().read(1).await.unwrap();
        audited.iter().filter(|chained| chained.entry.action.starts_with("legacy.action")).count()
    };
    let waiting = async { while actions().await < 4 {} };
    tokio::time::timeout(crate::support::PATIENCE, waiting).await.expect("actions are not in the audit");
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_change_nothing_and_see_only_their_groups() {
    let scene = Scene::open(LegacySettings {
        readers: Some("viewer:other:no-command-lines".parse().unwrap()),
        ..LegacySettings::default()
    })
    .await;
    scene.allow(System::S003, 2).await;
    assert_eq!(scene.enrol(PATH, Some(TOKEN), &metrics("srv-01", 0)).await.status, 200);
    assert_eq!(scene.get("/servers").await.json(), json!([]));
    assert_eq!(scene.get("/servers/srv-01").await.status, 404);
    let action = scene.post("/actions/srv-01", None, &json!({"cmd": "stop", "target": "x"})).await;
    assert_eq!(action.status, 403);
    scene.close().await;
}
