//! Says on every answer that the broker is away, and since when: pages have a notice, JSON and CSV a header. What they show
//! is then what is stored, or was known when it went.

use axum::{
    extract::{Request, State},
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};

use crate::{broker::AwaySince, display::time_exact, state::AppState};

/// The time at which the broker went away (RFC 3339).
const AWAY_SINCE: HeaderName = HeaderName::from_static("fleetps-broker-away-since");

/// Adds the notice for [`Layout`](crate::handlers::page::Layout), and the header.
pub(crate) async fn say_absence(
    State(shared): State<AppState>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(since) = shared.broker_away() {
        request.extensions_mut().insert(since);
    }
    let mut response = next.run(request).await;
    // It may be noticed by the request itself.
    if let Some(AwaySince(since_us)) = shared.broker_away()
        && let Ok(value) = HeaderValue::from_str(&time_exact(since_us))
    {
        response.headers_mut().insert(AWAY_SINCE, value);
    }
    response
}
