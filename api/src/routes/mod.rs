//! The routes: `table` has each address with its handler and its policy (principals, action, audit class, command lines), those
//! of alerts in `alerts`; `route` is how one is written. Here they become a server.
//!
//! A route that looks at one host counts as showing its command lines, whichever part of the host it shows.

mod alerts;
mod route;
mod table;

use std::sync::Arc;

use axum::{
    Extension, Router,
    middleware::{from_fn, from_fn_with_state},
};
use tower_http::compression::CompressionLayer;

pub use route::Route;
pub use table::table;

use crate::{
    middleware::{
        absence::say_absence,
        admit::admit,
        authenticate::{authenticate, let_read_metrics},
        authenticate_host::authenticate_host,
        authorize::{RoutePolicy, authorize},
        error_pages, guard,
        observe::observe,
        typed_times::typed_times,
    },
    openapi::{Interface, Listed},
    refusal::Refusal,
    state::AppState,
};

/// The routes that are described.
pub fn interface() -> Interface {
    let listed = |Route { method, path, policy, operation, .. }: Route| {
        let RoutePolicy { open_to, action, .. } = policy;
        operation.map(|operation| Listed { method, path, open_to, action, operation })
    };
    Interface(table().into_iter().filter_map(listed).collect())
}

/// Every route behind its policy, for authenticated requests.
pub fn addresses(shared: AppState) -> Router {
    guarded(table(), shared)
}

/// Metrics alone, for everybody on this machine.
pub(crate) fn metrics_router(shared: AppState) -> Router {
    let times = Arc::clone(&shared.request_times);
    let routes = table().into_iter().filter(|route| route.path.starts_with("/metrics")).collect();
    guarded(routes, shared)
        .layer(from_fn(error_pages::render_errors))
        .layer(from_fn(let_read_metrics))
        .layer(CompressionLayer::new())
        .layer(from_fn(guard::check_loopback_name))
        .layer(from_fn(guard::secure))
        .layer(from_fn_with_state(times, observe))
}

fn guarded(routes: Vec<Route>, shared: AppState) -> Router {
    let guarded = |router: Router<AppState>, route: Route| {
        let check = from_fn_with_state((route.policy, shared.clone()), authorize);
        router.route(route.path, route.handler.route_layer(check))
    };
    routes
        .into_iter()
        .fold(Router::new(), guarded)
        .fallback(async |uri: axum::http::Uri| Refusal::no_such_path(uri.path()))
        .with_state(shared.clone())
        .layer(Extension(Arc::new(interface())))
}

/// The whole web server.
pub fn router(shared: AppState) -> Router {
    let (people, times) = (shared.people.clone(), Arc::clone(&shared.request_times));
    addresses(shared.clone())
        .layer(from_fn(typed_times))
        .layer(from_fn_with_state(people.clone(), admit))
        .layer(from_fn(guard::check_origin))
        .layer(from_fn(error_pages::render_errors))
        .layer(from_fn_with_state(shared.clone(), say_absence))
        .layer(from_fn_with_state(people.clone(), authenticate))
        .layer(from_fn_with_state(shared, authenticate_host))
        .layer(CompressionLayer::new())
        .layer(from_fn_with_state(people, guard::check_host))
        .layer(from_fn(guard::secure))
        .layer(from_fn_with_state(times, observe))
}
