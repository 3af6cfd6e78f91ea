//! Gives every request an id, which its log lines and its answer have, and counts how long the answer took.
//!
//! The id is the client's `x-request-id` where that is short and plain, so that a proxy's log and this one go together; else
//! one of its own. Log lines of a request say its route and never its address: that may have a link that signs somebody in.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use tracing::Instrument;

use crate::metrics::RequestTimes;

/// The id of a request, and of its answer.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id of a client that is taken: a UUID has 36 characters.
const MAX_ID: usize = 64;
/// The target of the line that each answer gets at the level debug, as in `FLEETPS_LOG=warn,fleetps::access=debug`.
const ACCESS: &str = "fleetps::access";

/// Gives the request its id, and notes its answer.
pub(crate) async fn observe(
    State(times): State<Arc<RequestTimes>>,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let id = id_of(request.headers()).unwrap_or_else(new_id);
    let (method, matched) = (request.method().clone(), request.extensions().get::<MatchedPath>().cloned());
    let route = matched.as_ref().map(MatchedPath::as_str);
    // Of the highest level, so that it is there whatever is logged.
    let span = tracing::error_span!("request", id = id.as_str(), route = route.unwrap_or("none"));
    let mut response = next.run(request).instrument(span.clone()).await;
    let (status, took) = (response.status(), began.elapsed());
    times.note(route, &method, status, took);
    span.in_scope(|| {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        tracing::debug!(target: ACCESS, %method, status = status.as_u16(), took_us, "answered");
    });
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// The client's id, where it is one that can stand anywhere.
fn id_of(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    ((1..=MAX_ID).contains(&id.len()) && id.bytes().all(is_plain)).then(|| id.to_owned())
}

/// An id that no other request has: at random, or counted where the system has no random numbers.
fn new_id() -> String {
    static COUNTED: AtomicU64 = AtomicU64::new(1);
    let id = getrandom::u64().unwrap_or_else(|_| COUNTED.fetch_add(1, Relaxed));
    format!("{id:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_id_is_taken_only_where_it_is_short_and_plain() {
        let of = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_bytes(value).unwrap());
            id_of(&headers)
        };
        assert_eq!(of(b"3f2a-Z_9.x").as_deref(), Some("3f2a-Z_9.x"));
        assert_eq!(of("a".repeat(MAX_ID).as_bytes()).map(|id| id.len()), Some(MAX_ID));
        for bad in [&b""[..], b"a b", b"a\"b", b"a\\nb", "é".as_bytes(), "a".repeat(MAX_ID + 1).as_bytes()] {
            assert_eq!(of(bad), None, "{bad:?}");
        }
        let (one, other) = (new_id(), new_id());
        assert!(one != other && one.len() == 16, "{one} {other}");
    }
}
