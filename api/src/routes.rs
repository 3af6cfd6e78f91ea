//! Which address leads where, and what it takes to get there. Every route is made with its rule.

use axum::{
    Router,
    handler::Handler,
    http::Method,
    middleware::{from_fn, from_fn_with_state},
    routing::{self, MethodRouter},
};
use tower_http::compression::CompressionLayer;

use crate::{
    handlers::{
        account, assets, audit, audit_json, diff, diff_json, events, events_json, fleet, groups, health,
        history, host, hosts_json, metrics_json, process, process_json, processes_json, search, search_json,
        sign_in, sql, system, timeline, top, top_json, users, welcome,
    },
    middleware::{admit::admit, authenticate::authenticate, authorize::authorize, faces, guard},
    refusal::Refusal,
    rules::Action::{self, Anything, ManageHosts, ManageUsers, OwnAccount, ReadAudit, SeeHosts, Sql},
    state::AppState,
};

/// A handler at an address, and what it does.
#[derive(Clone)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The address, with places to fill in.
    pub path: &'static str,
    /// What whoever asks has to be allowed.
    pub action: Action,
    handler: MethodRouter<AppState>,
}

fn get<T: 'static>(path: &'static str, action: Action, handler: impl Handler<T, AppState>) -> Route {
    Route { method: Method::GET, path, action, handler: routing::get(handler) }
}

fn post<T: 'static>(path: &'static str, action: Action, handler: impl Handler<T, AppState>) -> Route {
    Route { method: Method::POST, path, action, handler: routing::post(handler) }
}

/// Every route.
pub fn table() -> Vec<Route> {
    vec![
        get("/", SeeHosts, fleet::page),
        get("/live", SeeHosts, fleet::live),
        get("/hosts/{host}", SeeHosts, host::page),
        get("/hosts/{host}/live", SeeHosts, host::live),
        get("/hosts/{host}/system", SeeHosts, system::page),
        get("/hosts/{host}/system/live", SeeHosts, system::live),
        post("/hosts/{host}/groups", ManageHosts, groups::change),
        get("/hosts/{host}/history", SeeHosts, history::page),
        get("/hosts/{host}/timeline.svg", SeeHosts, timeline::picture),
        get("/hosts/{host}/events", SeeHosts, events::host_page),
        get("/hosts/{host}/diff", SeeHosts, diff::page),
        get("/hosts/{host}/processes/{pid}", SeeHosts, process::page),
        get("/events", SeeHosts, events::fleet_page),
        get("/top", SeeHosts, top::page),
        get("/search", SeeHosts, search::page),
        get("/sql", Sql, sql::page),
        post("/sql", Sql, sql::ask),
        post("/sql/cancel", Sql, sql::cancel),
        post("/api/v1/sql", Sql, sql::answer),
        get("/api/v1/sql", Sql, sql::list),
        post("/api/v1/sql/cancel", Sql, sql::cancel_by_program),
        get("/api/v1/hosts", SeeHosts, hosts_json::list),
        get("/api/v1/hosts/{host}", SeeHosts, hosts_json::one),
        get("/api/v1/hosts/{host}/processes", SeeHosts, processes_json::list),
        get("/api/v1/hosts/{host}/snapshots", SeeHosts, metrics_json::snapshots),
        get("/api/v1/hosts/{host}/metrics", SeeHosts, metrics_json::metrics),
        get("/api/v1/hosts/{host}/breakdown", SeeHosts, metrics_json::breakdown),
        get("/api/v1/hosts/{host}/live", SeeHosts, processes_json::live),
        get("/api/v1/hosts/{host}/events", SeeHosts, events_json::host),
        get("/api/v1/hosts/{host}/diff", SeeHosts, diff_json::list),
        get("/api/v1/hosts/{host}/processes/{pid}", SeeHosts, process_json::one),
        get("/api/v1/hosts/{host}/processes/{pid}/metrics", SeeHosts, process_json::metrics),
        get("/api/v1/events", SeeHosts, events_json::fleet),
        get("/api/v1/top", SeeHosts, top_json::list),
        get("/api/v1/search", SeeHosts, search_json::list),
        get("/audit", ReadAudit, audit::page),
        get("/api/v1/audit", ReadAudit, audit_json::list),
        get("/sign-in", Anything, sign_in::page),
        post("/sign-in", Anything, sign_in::sign_in),
        get("/welcome/{link}", Anything, welcome::page),
        post("/welcome/{link}", Anything, welcome::follow),
        post("/sign-out", OwnAccount, sign_in::sign_out),
        get("/confirm", OwnAccount, sign_in::confirm_page),
        post("/confirm", OwnAccount, sign_in::confirm),
        get("/account", OwnAccount, account::page),
        post("/account/password", OwnAccount, account::change_password),
        post("/account/sessions/end", OwnAccount, account::end_session),
        post("/account/tokens", OwnAccount, account::make_token),
        post("/account/tokens/revoke", OwnAccount, account::revoke_token),
        get("/users", ManageUsers, users::page),
        post("/users", ManageUsers, users::add),
        get("/users/{name}", ManageUsers, users::user),
        post("/users/{name}", ManageUsers, users::change),
        get("/healthz", Anything, health::alive),
        get("/readyz", Anything, health::ready),
        get("/assets/{version}/{file}", Anything, assets::file),
        get("/favicon.ico", Anything, assets::icon),
    ]
}

/// Every route behind its rule, for requests of which it is known who asks.
pub fn addresses(shared: AppState) -> Router {
    let guarded = |router: Router<AppState>, route: Route| {
        let check = from_fn_with_state((route.action, shared.clone()), authorize);
        router.route(route.path, route.handler.route_layer(check))
    };
    table()
        .into_iter()
        .fold(Router::new(), guarded)
        .fallback(async |uri: axum::http::Uri| Refusal::no_such_path(uri.path()))
        .with_state(shared.clone())
}

/// The whole web server.
pub fn router(shared: AppState) -> Router {
    let people = shared.people.clone();
    addresses(shared)
        .layer(from_fn_with_state(people.clone(), admit))
        .layer(from_fn(guard::check_origin))
        .layer(from_fn(faces::dress))
        .layer(from_fn_with_state(people.clone(), authenticate))
        .layer(CompressionLayer::new())
        .layer(from_fn_with_state(people, guard::check_host))
        .layer(from_fn(guard::secure))
}
