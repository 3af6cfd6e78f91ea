//! System 002: no keys; machines register, ask for their settings and post batches, and a page reads them as trees.
//!
//! `machines` has registration and settings, `batches` takes snapshots, `lists` has them in pages, `tree` makes the
//! trees.

mod batches;
mod lists;
mod machines;
mod tree;

use std::{net::IpAddr, sync::Arc};

use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;

use super::{Fault, Legacy, Sender, System, fault::answer};

pub(crate) use lists::message;
pub(crate) use machines::Machine;

const SYSTEM: System = System::S002;

/// The routes of this system.
pub(super) fn routes() -> Router<Arc<Legacy>> {
    Router::new()
        .route("/api/", get(addresses))
        .route("/api/machine/", get(machines::list).post(machines::register))
        .route("/api/machine", get(moved).post(machines::register))
        .route(
            "/api/machine/{id}/",
            get(machines::one).patch(machines::change).put(machines::replace).delete(machines::forget),
        )
        .route("/api/machine/{id}", get(moved))
        .route("/api/snapshot-batch/", get(lists::list).post(batches::take))
        .route("/api/snapshot-batch", get(moved).post(batches::take))
        .route("/api/snapshot-batch/{id}/", get(lists::one))
        .route("/api/snapshot-batch/{id}", get(moved))
}

/// The same address with a slash at its end.
async fn moved(uri: axum::http::Uri) -> Response {
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let to = format!("{}/{query}", uri.path());
    (StatusCode::MOVED_PERMANENTLY, [(axum::http::header::LOCATION, to)]).into_response()
}

/// The address that this listener was called by, as in `http://127.0.0.1:8000`.
fn own_address(headers: &HeaderMap) -> String {
    let host = headers.get(axum::http::header::HOST).and_then(|host| host.to_str().ok());
    format!("http://{}", host.unwrap_or("localhost"))
}

async fn addresses(headers: HeaderMap) -> Response {
    let own = own_address(&headers);
    let all = json!({ "machine": format!("{own}/api/machine/"), "snapshot-batch": format!("{own}/api/snapshot-batch/") });
    answer(StatusCode::OK, &all)
}

/// Whether agents without a key may post from there.
fn is_allowed_from(legacy: &Legacy, from: IpAddr) -> bool {
    legacy.settings.allowed_from.iter().any(|network| network.contains(&from))
}

/// The same, or why not.
fn check_from(legacy: &Legacy, from: IpAddr) -> Result<(), Fault> {
    if is_allowed_from(legacy, from) {
        return Ok(());
    }
    let detail = "agents without keys may not post from this address; the server's setting allowed_from in [legacy] lists networks";
    Err(Fault::new(StatusCode::FORBIDDEN, "not-allowed-from", detail))
}

fn sender(machine_id: String, host_name: Option<String>, from: IpAddr) -> Sender {
    Sender { system: SYSTEM, key: None, name: machine_id, host_name, from }
}
