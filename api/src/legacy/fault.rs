//! Answers to requests that cannot be met, in the words of the older systems.

use std::time::Duration;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use fleetps_nats::{bucket::BucketError, error_chain};
use serde_json::{Map, Value, json};

use super::registry::NotAdmitted;
use crate::gate::NotStored;

/// How long an agent is to wait when too many new hosts came at once: 50 more may come within that time.
const TOO_FAST_FOR: Duration = Duration::from_secs(10);
/// How long an agent is to wait when the stream does not acknowledge: a broker that was restarted is back by then.
const UNAVAILABLE_FOR: Duration = Duration::from_secs(5);

/// A request that cannot be met.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fault {
    status: StatusCode,
    body: Value,
    retry_after: Option<Duration>,
    /// A short name, for counts.
    reason: &'static str,
}

impl Fault {
    /// `{"detail": detail}`.
    pub(crate) fn new(status: StatusCode, reason: &'static str, detail: impl Into<String>) -> Self {
        Self::with_body(status, reason, json!({ "detail": detail.into() }))
    }

    /// The same with any body.
    pub(crate) fn with_body(status: StatusCode, reason: &'static str, body: Value) -> Self {
        Self { status, body, retry_after: None, reason }
    }

    /// A field's faults: 400 `{field: [sentence]}`.
    pub(crate) fn of_fields(fields: Map<String, Value>) -> Self {
        Self::with_body(StatusCode::BAD_REQUEST, "bad-field", Value::Object(fields))
    }

    /// The same for one field.
    pub(crate) fn of_field(field: &str, sentence: &str) -> Self {
        Self::of_fields(Map::from_iter([(field.to_owned(), json!([sentence]))]))
    }

    /// The body is not JSON.
    pub(crate) fn not_json(why: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "not-json", format!("JSON parse error - {why}"))
    }

    /// The body is too long, or has too many processes.
    pub(crate) fn too_large(what: &str) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", what)
    }

    /// The same may be answered otherwise after a while.
    pub(crate) fn for_now(status: StatusCode, reason: &'static str, detail: &str, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..Self::new(status, reason, detail) }
    }

    /// The broker is away.
    pub(crate) fn unavailable() -> Self {
        let detail = "the server cannot store anything just now";
        Self::for_now(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail, UNAVAILABLE_FOR)
    }

    /// A bucket of the broker cannot be used.
    pub(crate) fn of_bucket(error: &BucketError) -> Self {
        tracing::warn!(error = error_chain(error), "the broker's records of older hosts cannot be used");
        Self::unavailable()
    }

    /// The short name of its reason.
    pub(crate) fn reason(&self) -> &'static str {
        self.reason
    }

    /// Its status.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }
}

impl From<NotStored> for Fault {
    fn from(not_stored: NotStored) -> Self {
        match not_stored {
            NotStored::TooMuch { retry_after } => {
                let detail = "this host sends more than one host may";
                Self::for_now(StatusCode::TOO_MANY_REQUESTS, "flood", detail, retry_after)
            }
            NotStored::AtOnce => {
                let detail = "too many posts of this host are under way";
                Self::for_now(StatusCode::TOO_MANY_REQUESTS, "at-once", detail, Duration::from_secs(1))
            }
            NotStored::Busy => {
                let detail = "too many posts are under way";
                Self::for_now(StatusCode::SERVICE_UNAVAILABLE, "busy", detail, UNAVAILABLE_FOR)
            }
            NotStored::Unavailable | NotStored::Mislabelled | NotStored::Unproven { .. } => {
                Self::unavailable()
            }
            NotStored::Invalid(bad) => Self::new(StatusCode::BAD_REQUEST, bad.reason(), bad.to_string()),
        }
    }
}

/// What every system says alike.
impl From<NotAdmitted> for Fault {
    fn from(why: NotAdmitted) -> Self {
        let (reason, text) = (why.reason(), why.to_string());
        match why {
            NotAdmitted::BadName => Self::of_field("hostname", "This name is empty or too long."),
            NotAdmitted::TooFast => Self::for_now(StatusCode::TOO_MANY_REQUESTS, reason, &text, TOO_FAST_FOR),
            NotAdmitted::Bucket(error) => Self::of_bucket(&error),
            NotAdmitted::Away(_) => Self::unavailable(),
            NotAdmitted::NoName => Self::new(StatusCode::CONFLICT, reason, text),
            _ => Self::new(StatusCode::FORBIDDEN, reason, text),
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut response = answer(self.status, &self.body);
        if let Some(wait) = self.retry_after {
            let seconds = HeaderValue::from(wait.as_secs().max(1));
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        // Another middleware counts it.
        response.extensions_mut().insert(Reason(self.reason));
        response
    }
}

/// The reason of a fault, as an extension of its answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reason(pub &'static str);

/// An answer in JSON.
pub(super) fn answer(status: StatusCode, value: &impl serde::Serialize) -> Response {
    let body = serde_json::to_vec(value).unwrap_or_default();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
