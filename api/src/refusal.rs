//! Every answer that is not a yes: one type with two faces, a page and JSON.
//!
//! A handler returns a [`Refusal`]; `middleware::faces` turns it into the face that suits the address. Faults of this
//! program go to the log, not into the answer; why the history cannot be read is in both. An error of another room that
//! becomes a refusal says so beside its own type.

use std::time::Duration;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use fleetps_nats::host::MAX_HOST_BYTES;

/// A request that is refused, or cannot be answered now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// What happened, to what, in words.
    pub error: String,
    /// What to do next, in words.
    pub hint: String,
    /// When the same may be answered otherwise, where that is known.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// Any refusal.
    pub fn new(status: StatusCode, error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status, error: error.into(), hint: hint.into(), retry_after: None }
    }

    /// The same, which may be answered otherwise after a while.
    pub fn for_now(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// When to ask again, as the header `Retry-After` has it: in whole seconds; less is none.
    pub fn retry_after_s(&self) -> Option<HeaderValue> {
        self.retry_after.map(|wait| HeaderValue::from(wait.as_secs().saturating_add(1)))
    }

    /// No such address.
    pub fn no_such_path(path: &str) -> Self {
        let shown = crate::display::cut(path, 200);
        let (error, hint) = match path.starts_with("/api/") {
            true => {
                (format!("there is nothing at {shown}"), "all of the JSON interface is described at /api")
            }
            false => {
                (format!("page not found: {shown}"), "the box above finds hosts, programs and processes")
            }
        };
        Self::new(StatusCode::NOT_FOUND, error, hint)
    }

    /// No such host.
    pub fn no_such_host(host: &str) -> Self {
        let host = crate::display::cut(host, MAX_HOST_BYTES);
        let hint = "the hosts that have sent a snapshot are listed at / and /api/v1/hosts";
        Self::new(StatusCode::NOT_FOUND, format!("no host is called {host:?}"), hint)
    }

    /// No such command.
    pub fn no_such_command(id: &str) -> Self {
        let id = crate::display::cut(id, 64);
        let hint = "the commands of the last 30 days are listed at /commands and /api/v1/commands";
        Self::new(StatusCode::NOT_FOUND, format!("no command has the id {id:?}"), hint)
    }

    /// The request is not authenticated.
    pub fn not_signed_in() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "nobody is signed in", "sign in, or send an API token")
    }

    /// This server has no history to look at, for this reason if one is known.
    pub fn no_history(problem: Option<&str>) -> Self {
        let hint = "make it a folder that this server may read, and it is there within a second; `fleetps serve` needs \
            --data DIR, the data folder of the ingestor";
        let error = match problem {
            Some(problem) => format!("there is no history here to look at: {problem}"),
            None => "there is no history here to look at".to_owned(),
        };
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error, hint)
    }

    /// A post is longer than the longest snapshot.
    pub fn too_long_post() -> Self {
        let hint = "send at most 1 MiB; the agent's setting `top` limits the processes";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "this post is too long", hint)
    }

    /// A host's request is not signed as it must be.
    pub fn unsigned(status: StatusCode, error: impl Into<String>) -> Self {
        Self::new(status, error, "fleetps-agent signs what it sends; docs/hosts.md says how")
    }

    /// This server has no broker.
    pub fn no_broker() -> Self {
        let hint = "send this to a server that has one";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "this server has no broker", hint)
    }

    /// A fault of this program.
    pub fn fault(what: &str, error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "{what}");
        let hint = "its log says why; trying again may help";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the web server {what}"), hint)
    }

    /// As JSON.
    pub fn into_json(self) -> Response {
        let body = serde_json::json!({"error": self.error, "hint": self.hint}).to_string();
        (self.status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
