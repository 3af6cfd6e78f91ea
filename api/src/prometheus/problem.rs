//! Why a question gets no answer, as Prometheus says it.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::refusal::Refusal;

/// A question that cannot be answered, with the place in its text where that is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}{}", column.map(|column| format!(" at column {column}")).unwrap_or_default())]
pub(crate) struct Problem {
    /// What is wrong, and what is possible instead.
    pub(crate) error: String,
    /// The character of the question that it is about, from 1.
    pub(crate) column: Option<usize>,
}

impl Problem {
    /// About the character at `column`.
    pub(crate) fn at(column: usize, error: impl Into<String>) -> Self {
        Self { error: error.into(), column: Some(column) }
    }

    /// About the question as a whole.
    pub(crate) fn of_all(error: impl Into<String>) -> Self {
        Self { error: error.into(), column: None }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        answer(StatusCode::UNPROCESSABLE_ENTITY, "bad_data", &self.to_string())
    }
}

/// A refusal in the words of Prometheus.
pub(crate) fn refuse(refusal: &Refusal) -> Response {
    let (status, kind) = match refusal.status {
        // Prometheus has the same for a question that took too long.
        StatusCode::GATEWAY_TIMEOUT => (StatusCode::SERVICE_UNAVAILABLE, "timeout"),
        StatusCode::SERVICE_UNAVAILABLE => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        StatusCode::BAD_REQUEST => (StatusCode::BAD_REQUEST, "bad_data"),
        StatusCode::UNPROCESSABLE_ENTITY => (StatusCode::UNPROCESSABLE_ENTITY, "execution"),
        StatusCode::NOT_FOUND => (StatusCode::NOT_FOUND, "not_found"),
        StatusCode::UNAUTHORIZED => (StatusCode::UNAUTHORIZED, "unauthorized"),
        StatusCode::FORBIDDEN => (StatusCode::FORBIDDEN, "forbidden"),
        StatusCode::TOO_MANY_REQUESTS => (StatusCode::TOO_MANY_REQUESTS, "too_many_requests"),
        status => (status, "internal"),
    };
    answer(status, kind, &format!("{}; {}", refusal.error, refusal.hint))
}

fn answer(status: StatusCode, kind: &str, error: &str) -> Response {
    let body = json!({"status": "error", "errorType": kind, "error": error}).to_string();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
