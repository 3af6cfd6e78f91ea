//! JSON, by value.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use serde_json::json;

use crate::support::{Site, family};

#[tokio::test]
async fn hosts_are_listed_with_their_state_and_figures() {
    let site = Site::with("web-1", family());
    let listed = site.json("/api/v1/hosts").await;
    let host = &listed["hosts"][0];
    for (field, value) in [
        ("host", json!("web-1")),
        ("state", json!("up")),
        ("memory_used_bytes", json!(8_u64 << 30)),
        ("memory_total_bytes", json!(32_u64 << 30)),
        ("process_count", json!(5)),
    ] {
        assert_eq!(host[field], value, "{field}");
    }
    let last_seen = host["last_seen"].as_str().unwrap();
    assert!(last_seen.len() == 27 && last_seen.ends_with('Z'), "{last_seen}");
    let one = site.json("/api/v1/hosts/web-1").await;
    assert_eq!(one["host_info"]["os"], "Debian GNU/Linux 12");
    assert_eq!(one["host_sample"]["uptime_s"], 3600);
}

#[tokio::test]
async fn processes_are_listed_filtered_sorted_and_paged() {
    let site = Site::with("web-1", family());
    let all = site.json("/api/v1/hosts/web-1/processes").await;
    assert_eq!((&all["host"], &all["total"]), (&json!("web-1"), &json!(5)));
    let busiest = &all["processes"][0];
    assert_eq!(busiest["pid"], 11);
    assert_eq!(busiest["parent_pid"], 10);
    assert_eq!(busiest["started_at"], "2026-09-21T14:13:20.000000Z");
    assert_eq!(busiest["command_line"], "/usr/bin/worker --serve");
    assert_eq!(
        (&busiest["user_name"], &busiest["state"], &busiest["threads"]),
        (&json!("root"), &json!("S"), &json!(1))
    );
    assert!(busiest["read_bytes_per_s"].is_null() && busiest.get("unit").is_none());

    let pids = async |query: &str| -> Vec<u64> {
        let listed = site.json(&format!("/api/v1/hosts/web-1/processes?{query}")).await;
        listed["processes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|process| process["pid"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(pids("sort=pid").await, [1, 10, 11, 12, 20]);
    assert_eq!(pids("sort=-pid&limit=2&offset=1").await, [12, 11]);
    assert_eq!(pids("sort=pid&dir=desc&limit=1").await, [20]);
    assert_eq!(pids("q=nginx").await, [10]);
    assert_eq!(pids("limit=0").await, [0_u64; 0]);
    let included = site.json("/api/v1/hosts/web-1/processes?include=unit,command_line").await;
    assert!(included["processes"][0].get("unit").is_some());
}

#[tokio::test]
async fn errors_are_json_with_a_hint_and_the_right_status() {
    let site = Site::with("web-1", family());
    for (url, status, error) in [
        ("/api/v1/hosts/nobody", 404, "no host is called \"nobody\""),
        ("/api/v1/hosts/nobody/live", 404, "no host"),
        ("/api/v1/top?host=nobody", 404, "no host"),
        ("/api/v1/events?host=nobody", 404, "no host"),
        ("/api/v1/top?format=xml", 400, "`format`"),
        ("/api/v1/nowhere", 404, "nothing at /api/v1/nowhere"),
        ("/api/v1/hosts/web-1/processes?limit=x", 400, "`limit`"),
        ("/api/v1/hosts/web-1/processes?offset=-1", 400, "`offset`"),
        ("/api/v1/hosts/web-1/processes?sort=colour", 400, "`sort`"),
        ("/api/v1/hosts/web-1/processes?include=environment", 400, "`include`"),
        ("/api/v1/hosts/web-1/processes?lmit=1", 400, "`lmit`"),
    ] {
        let answer = site.get(url).await;
        assert_eq!(answer.status.as_u16(), status, "{url}");
        let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert!(body["error"].as_str().unwrap().contains(error), "{url}: {body}");
        assert!(!body["hint"].as_str().unwrap().is_empty(), "{url}");
    }
    let post = Request::post("/api/v1/hosts").header("host", "[::1]:1").body(Body::empty()).unwrap();
    let answer = site.send(post).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(answer.body.contains("hint") && answer.headers.contains_key("allow"));
}

#[tokio::test]
async fn health_is_always_there_and_readiness_names_what_is_missing() {
    let site = Site::new();
    assert_eq!(site.json("/healthz").await["alive"], true);
    let answer = site.get("/readyz").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let ready: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(ready["ready"], false);
    for part in ["broker", "intake", "history"] {
        assert!(ready[part]["problem"].is_string(), "{ready}");
    }
}
