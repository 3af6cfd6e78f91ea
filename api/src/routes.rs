//! Which address leads where.

use axum::{
    Router,
    middleware::from_fn,
    routing::{get, post},
};
use tower_http::compression::CompressionLayer;

use crate::{
    handlers::{
        assets, diff, diff_json, events, events_json, fleet, health, history, host, hosts_json, metrics_json,
        process, process_json, processes_json, search, search_json, sql, system, timeline, top, top_json,
    },
    middleware::{faces, guard},
    people::identify,
    refusal::Refusal,
    web::Shared,
};

/// The whole web server.
pub fn router(shared: Shared) -> Router {
    Router::new()
        .route("/", get(fleet::page))
        .route("/live", get(fleet::live))
        .route("/hosts/{host}", get(host::page))
        .route("/hosts/{host}/live", get(host::live))
        .route("/hosts/{host}/system", get(system::page))
        .route("/hosts/{host}/system/live", get(system::live))
        .route("/hosts/{host}/history", get(history::page))
        .route("/hosts/{host}/timeline.svg", get(timeline::picture))
        .route("/sql", get(sql::page).post(sql::ask))
        .route("/sql/cancel", post(sql::cancel))
        .route("/api/v1/sql", post(sql::answer))
        .route("/hosts/{host}/events", get(events::host_page))
        .route("/hosts/{host}/diff", get(diff::page))
        .route("/hosts/{host}/processes/{pid}", get(process::page))
        .route("/events", get(events::fleet_page))
        .route("/top", get(top::page))
        .route("/search", get(search::page))
        .route("/api/v1/hosts", get(hosts_json::list))
        .route("/api/v1/hosts/{host}", get(hosts_json::one))
        .route("/api/v1/hosts/{host}/processes", get(processes_json::list))
        .route("/api/v1/hosts/{host}/snapshots", get(metrics_json::snapshots))
        .route("/api/v1/hosts/{host}/metrics", get(metrics_json::metrics))
        .route("/api/v1/hosts/{host}/breakdown", get(metrics_json::breakdown))
        .route("/api/v1/hosts/{host}/live", get(processes_json::live))
        .route("/api/v1/hosts/{host}/events", get(events_json::host))
        .route("/api/v1/hosts/{host}/diff", get(diff_json::list))
        .route("/api/v1/hosts/{host}/processes/{pid}", get(process_json::one))
        .route("/api/v1/hosts/{host}/processes/{pid}/metrics", get(process_json::metrics))
        .route("/api/v1/events", get(events_json::fleet))
        .route("/api/v1/top", get(top_json::list))
        .route("/api/v1/search", get(search_json::list))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/assets/{version}/{file}", get(assets::file))
        .route("/favicon.ico", get(assets::icon))
        .fallback(async |uri: axum::http::Uri| Refusal::no_such_path(uri.path()))
        .with_state(shared)
        .layer(from_fn(guard::check_origin))
        .layer(from_fn(faces::dress))
        .layer(from_fn(identify::identify))
        .layer(CompressionLayer::new())
        .layer(from_fn(guard::check_host))
        .layer(from_fn(guard::secure))
}
