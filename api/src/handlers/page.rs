//! What all pages have in common.

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use fleetps_nats::HostName;

use crate::{live::Moment, refusal::Refusal, web::Shared};

/// The frame of every page.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Where the assets of this build are.
    pub assets: String,
    /// The server's clock, against which a page corrects its own, in ms since 1970 UTC.
    pub now_ms: i64,
}

impl Layout {
    /// The frame, now.
    pub fn new() -> Self {
        Self { assets: super::assets::prefix(), now_ms: crate::live::now_us() / 1000 }
    }
}

/// Renders a page.
pub fn render(page: &impl Template) -> Result<Response, Refusal> {
    let html = page.render().map_err(|error| Refusal::fault("could not write the page", &error))?;
    Ok(Html(html).into_response())
}

/// The host that a URL names, now.
pub fn moment_of(shared: &Shared, host: &str) -> Result<Moment, Refusal> {
    let name: HostName = host.parse().map_err(|_| Refusal::no_such_host(host))?;
    shared.fleet.moment(&name).ok_or_else(|| Refusal::no_such_host(host))
}
