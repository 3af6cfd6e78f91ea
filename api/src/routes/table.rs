//! Every route, with its policy.

use axum::http::Method;

use super::{
    alerts,
    route::{Route, asks, change_json, get, json, post, post_json},
};
use crate::{
    audit_log::AuditClass::{ByHandler, FailedChanges, Searches},
    authz::Permission::{
        AdmitHosts, Anything, Command, ControlHosts, ManageHosts, ManageUsers, OwnAccount, ReadAudit,
        ReadHostMetrics, ReadMetrics, SeeHosts, Sql,
    },
    handlers::{
        account, add_host, api, assets, audit, audit_json, commands, commands_json, diff, diff_json, events,
        events_json, fleet, glossary, groups, health, history, host, hosts_json, ingest, ingest_admission,
        ingest_exchange, metrics, metrics_json, new_command, process, process_json, processes_json,
        prometheus, search, search_json, settings, settings_json, sign_in, sql, suggest_json, system,
        timeline, top_growth, top_json, users, welcome,
    },
    websocket,
};

/// Every route.
pub fn table() -> Vec<Route> {
    [
        pages(),
        alerts::of_alerts(),
        alerts::of_channels(),
        alerts::of_silences(),
        json_of_hosts(),
        json_of_settings(),
        of_commands(),
        json_of_fleet(),
        for_monitoring(),
        of_people(),
        from_hosts(),
        of_the_server(),
    ]
    .concat()
}

/// Figures for monitoring systems.
fn for_monitoring() -> Vec<Route> {
    let mut routes = vec![
        get("/metrics", ReadMetrics, metrics::own),
        get("/metrics/hosts", ReadHostMetrics, metrics::hosts),
        get("/prometheus/api/v1/label/{label}/values", SeeHosts, prometheus::label_values),
        get("/prometheus/api/v1/metadata", SeeHosts, prometheus::metadata),
        get("/prometheus/api/v1/status/buildinfo", SeeHosts, prometheus::build_info),
        get("/prometheus/api/v1/rules", SeeHosts, prometheus::rules),
        get("/prometheus/api/v1/alerts", SeeHosts, prometheus::alerts),
    ];
    routes.extend(asks("/prometheus/api/v1/query", prometheus::query));
    routes.extend(asks("/prometheus/api/v1/query_range", prometheus::query_range));
    routes.extend(asks("/prometheus/api/v1/series", prometheus::series));
    routes.extend(asks("/prometheus/api/v1/labels", prometheus::labels));
    routes.extend(asks("/prometheus/api/v1/query_exemplars", prometheus::exemplars));
    routes
}

/// What hosts send that speak HTTP.
fn from_hosts() -> Vec<Route> {
    let packed = serde_json::json!({
        "description": "A snapshot: MessagePack, compressed by zstd. docs/hosts.md says how a host signs it.",
    });
    vec![
        post_json("/api/v1/ingest", Anything, "Takes a snapshot of the host that signed it", ingest::post)
            .open_to_hosts()
            .with_body("application/octet-stream", packed.clone()),
        post_json(
            "/api/v1/hello",
            Anything,
            "Takes the next key of the host that signed it",
            ingest_admission::hello,
        )
        .open_to_hosts()
        .with_body("application/json", serde_json::json!({"type": "object"})),
        post_json(
            "/api/v1/exchange",
            Anything,
            "What is asked of the host that signed it, as soon as there is something; takes its answers",
            ingest_exchange::exchange,
        )
        .open_to_hosts()
        .with_body("application/json", serde_json::json!({"type": "object"})),
        post_json(
            "/api/v1/sharp",
            Anything,
            "Takes a sample of the host that signed it for those who watch it; nothing keeps it",
            ingest_exchange::sharp,
        )
        .open_to_hosts()
        .with_body("application/octet-stream", packed),
        post_json(
            "/api/v1/enrol",
            Anything,
            "Whether the host that signed it is admitted; with a token, lets it in",
            ingest_admission::enrol,
        )
        .open_to_all()
        .with_body("application/json", serde_json::json!({"type": "object"})),
    ]
}

/// Pages about the fleet, and their live updates.
fn pages() -> Vec<Route> {
    vec![
        get("/", SeeHosts, fleet::page),
        get("/live", SeeHosts, fleet::live),
        get("/hosts/{host}", SeeHosts, host::page).shows_command_lines(),
        get("/hosts/{host}/live", SeeHosts, host::live).shows_command_lines(),
        get("/hosts/{host}/system", SeeHosts, system::page).shows_command_lines(),
        get("/hosts/{host}/system/live", SeeHosts, system::live).shows_command_lines(),
        get("/add-host", AdmitHosts, add_host::page),
        post("/add-host", AdmitHosts, add_host::make).audited(FailedChanges),
        post("/add-host/waiting", AdmitHosts, add_host::decide).audited(FailedChanges),
        post("/hosts/{host}/groups", ManageHosts, groups::change).audited(FailedChanges),
        post("/hosts/{host}/settings", ControlHosts, settings::change).audited(FailedChanges),
        get("/hosts/{host}/history", SeeHosts, history::page).shows_command_lines(),
        get("/hosts/{host}/timeline.svg", SeeHosts, timeline::picture).shows_command_lines(),
        get("/hosts/{host}/events", SeeHosts, events::host_page).shows_command_lines(),
        get("/hosts/{host}/diff", SeeHosts, diff::page).shows_command_lines(),
        get("/hosts/{host}/processes/{pid}", SeeHosts, process::page).shows_command_lines(),
        get("/events", SeeHosts, events::fleet_page).shows_command_lines(),
        get("/top", SeeHosts, top_growth::either).shows_command_lines(),
        get("/search", SeeHosts, search::page).shows_command_lines().audited(Searches),
        get("/sql", Sql, sql::page),
        post("/sql", Sql, sql::ask).shows_command_lines().audited(ByHandler),
        post("/sql/cancel", Sql, sql::cancel).audited(ByHandler),
        get("/api", OwnAccount, api::page),
        get("/audit", ReadAudit, audit::page),
    ]
}

/// JSON about hosts.
fn json_of_hosts() -> Vec<Route> {
    vec![
        json("/api/v1/hosts", SeeHosts, "Every host, by name", hosts_json::list),
        json("/api/v1/hosts/{host}", SeeHosts, "One host in full, now or at a moment", hosts_json::one)
            .shows_command_lines(),
        json(
            "/api/v1/hosts/{host}/processes",
            SeeHosts,
            "A host's processes, now or at a moment",
            processes_json::list,
        )
        .shows_command_lines(),
        json(
            "/api/v1/hosts/{host}/snapshots",
            SeeHosts,
            "When a host's snapshots were taken",
            metrics_json::snapshots,
        )
        .shows_command_lines(),
        json("/api/v1/hosts/{host}/metrics", SeeHosts, "A host's load over time", metrics_json::metrics)
            .shows_command_lines(),
        json(
            "/api/v1/hosts/{host}/breakdown",
            SeeHosts,
            "What made up a host's CPU or memory, by program",
            metrics_json::breakdown,
        )
        .shows_command_lines(),
        json(
            "/api/v1/hosts/{host}/live",
            SeeHosts,
            "Each snapshot of a host as it comes",
            processes_json::live,
        )
        .shows_command_lines(),
        json("/api/v1/hosts/{host}/events", SeeHosts, "What happened on a host", events_json::host)
            .shows_command_lines(),
        json(
            "/api/v1/hosts/{host}/diff",
            SeeHosts,
            "What changed on a host between two moments",
            diff_json::list,
        )
        .shows_command_lines(),
        json(
            "/api/v1/hosts/{host}/processes/{pid}",
            SeeHosts,
            "One process, its relatives and its earlier lives",
            process_json::one,
        )
        .shows_command_lines(),
        json(
            "/api/v1/hosts/{host}/processes/{pid}/metrics",
            SeeHosts,
            "A process over time",
            process_json::metrics,
        )
        .shows_command_lines(),
    ]
}

/// JSON about how hosts are sampled.
fn json_of_settings() -> Vec<Route> {
    let change = || settings_json::body();
    vec![
        json(
            "/api/v1/hosts/{host}/settings",
            SeeHosts,
            "How a host is sampled, and who decided that",
            settings_json::of_host,
        ),
        change_json(
            Method::PATCH,
            "/api/v1/hosts/{host}/settings",
            ControlHosts,
            "Asks a host for other settings",
            settings_json::change_host,
        )
        .with_body("application/json", change()),
        json(
            "/api/v1/groups/{group}/settings",
            ControlHosts,
            "What is asked of the hosts of a group",
            settings_json::of_group,
        ),
        change_json(
            Method::PATCH,
            "/api/v1/groups/{group}/settings",
            ControlHosts,
            "Asks the hosts of a group for other settings",
            settings_json::change_group,
        )
        .with_body("application/json", change()),
    ]
}

/// Commands to hosts.
fn of_commands() -> Vec<Route> {
    vec![
        get("/commands", SeeHosts, commands::list).shows_command_lines(),
        get("/commands/live", SeeHosts, commands::list_live).shows_command_lines(),
        get("/commands/new", Command, new_command::new).shows_command_lines(),
        get("/commands/{id}", SeeHosts, commands::one).shows_command_lines(),
        get("/commands/{id}/live", SeeHosts, commands::one_live).shows_command_lines(),
        post("/commands", Command, new_command::send).shows_command_lines().audited(FailedChanges),
        post("/commands/{id}/cancel", Command, commands::cancel).audited(FailedChanges),
        json("/api/v1/commands", SeeHosts, "Commands to hosts, the latest first", commands_json::list)
            .shows_command_lines(),
        json("/api/v1/commands/{id}", SeeHosts, "What became of a command, or of a plan", commands_json::one)
            .shows_command_lines(),
        json("/api/v1/hosts/{host}/units/{unit}", Command, "How a unit of a host is", commands_json::unit),
        post_json(
            "/api/v1/hosts/{host}/commands",
            Command,
            "Commands a host: a unit, or a signal to a process",
            commands_json::ask_host,
        )
        .shows_command_lines()
        .audited(FailedChanges)
        .with_body("application/json", commands_json::body()),
        post_json("/api/v1/commands", Command, "Commands several hosts", commands_json::ask_several)
            .shows_command_lines()
            .audited(FailedChanges)
            .with_body("application/json", commands_json::body_of_several()),
        change_json(
            Method::DELETE,
            "/api/v1/commands/{id}",
            Command,
            "Cancels what was not sent yet of a command",
            commands_json::cancel,
        )
        .shows_command_lines(),
    ]
}

/// JSON about the whole fleet.
fn json_of_fleet() -> Vec<Route> {
    vec![
        post_json("/api/v1/sql", Sql, "The answer to a question in SQL", sql::answer)
            .shows_command_lines()
            .audited(ByHandler),
        json("/api/v1/sql", Sql, "The questions that are answered or wait", sql::list),
        post_json(
            "/api/v1/sql/cancel",
            Sql,
            "Cancels questions, and answers with the others",
            sql::cancel_by_program,
        )
        .audited(ByHandler),
        json("/api/v1/events", SeeHosts, "What happened on all hosts", events_json::fleet)
            .shows_command_lines(),
        json("/api/v1/top", SeeHosts, "What used most over a time", top_json::list).shows_command_lines(),
        json("/api/v1/growth", SeeHosts, "What grew in memory between two moments", top_growth::list)
            .shows_command_lines(),
        json(
            "/api/v1/search",
            SeeHosts,
            "The processes of all hosts that a filter lets through",
            search_json::list,
        )
        .shows_command_lines()
        .audited(Searches),
        // What is being typed is no search yet.
        json(
            "/api/v1/suggest",
            SeeHosts,
            "What is called like a text that is being typed",
            suggest_json::list,
        ),
        // Each topic that is watched there is audited as the route that it mirrors.
        json("/api/v1/ws", SeeHosts, "Live topics on a WebSocket (docs/websocket.md)", websocket::open)
            .shows_command_lines()
            .audited(ByHandler),
        json("/api/v1/openapi.json", OwnAccount, "This document, as far as one may use it", api::document),
        json("/api/v1/audit", ReadAudit, "Who did what", audit_json::list),
    ]
}

/// Signing in, accounts and users.
fn of_people() -> Vec<Route> {
    vec![
        get("/sign-in", Anything, sign_in::page),
        post("/sign-in", Anything, sign_in::sign_in).audited(ByHandler),
        get("/welcome/{link}", Anything, welcome::page),
        post("/welcome/{link}", Anything, welcome::follow).audited(ByHandler),
        post("/sign-out", OwnAccount, sign_in::sign_out).audited(ByHandler),
        get("/account", OwnAccount, account::page),
        post("/account/password", OwnAccount, account::change_password).audited(ByHandler),
        post("/account/sessions/end", OwnAccount, account::end_session).audited(ByHandler),
        post("/account/tokens", OwnAccount, account::make_token).audited(ByHandler),
        post("/account/tokens/revoke", OwnAccount, account::revoke_token).audited(ByHandler),
        get("/users", ManageUsers, users::page),
        post("/users", ManageUsers, users::add).audited(ByHandler),
        get("/users/{name}", ManageUsers, users::user),
        post("/users/{name}", ManageUsers, users::change).audited(ByHandler),
    ]
}

/// Health, and the files of pages.
fn of_the_server() -> Vec<Route> {
    vec![
        json("/healthz", Anything, "Whether the process is up", health::alive).open_to_all(),
        json("/readyz", Anything, "Whether the pipeline works", health::ready).open_to_all(),
        get("/assets/{version}/{file}", Anything, assets::file),
        get("/favicon.ico", Anything, assets::icon),
        get("/glossary", Anything, glossary::page),
    ]
}
