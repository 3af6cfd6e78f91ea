//! Metrics, for Prometheus and others that read its formats.
//!
//! `own` collects how fleetps itself is, with `bounded` (everything that is bounded) and `process` (what the system says of
//! this process); `hosts` writes what hosts say.

mod bounded;
mod hosts;
mod own;
mod process;

use axum::{
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};

use serde::Deserialize;

use crate::{
    auth::Person,
    extract::Query,
    metrics::{Exposition, TextFormat},
    query::parameter::{self, Count},
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    state::AppState,
};

/// Programs of a host that can be asked for.
const MAX_PROGRAMS: usize = 100;

/// How fleetps itself is.
pub(crate) async fn own(State(shared): State<AppState>, headers: HeaderMap) -> Result<Response, Refusal> {
    let format = accepted(&headers);
    // Reads what the system says, and all summaries of hosts.
    let views = shared.fleet_views.clone();
    let writing = views.aside(move || {
        let mut exposition = Exposition::new(format);
        own::write(&shared, &mut exposition);
        exposition
    });
    let exposition =
        writing.await.map_err(|error| Refusal::fault("could not collect the metrics", &error))?;
    Ok(answer(format, exposition))
}

/// What to read of hosts: `group` is a tag that they have, `programs` how many of each by CPU and by memory.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct HostsQuery {
    #[serde(with = "parameter")]
    group: String,
    #[serde(with = "parameter")]
    programs: Count<0, MAX_PROGRAMS>,
}

/// The hosts that one may see, or those of a group, with their busiest programs.
pub(crate) async fn hosts(
    State(shared): State<AppState>,
    person: Person,
    headers: HeaderMap,
    Query(HostsQuery { group, programs }): Query<HostsQuery>,
) -> Result<Response, Refusal> {
    let format = accepted(&headers);
    let scoped = ScopedFleet::for_metrics(shared, person).await?;
    let group = Some(group).filter(|group| !group.is_empty());
    let writing = scoped.metrics(group, move |hosts| {
        let mut exposition = Exposition::new(format);
        hosts::write(&hosts, programs.get(), &mut exposition);
        exposition
    });
    Ok(answer(format, writing.await?))
}

fn accepted(headers: &HeaderMap) -> TextFormat {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    TextFormat::accepted(accept.unwrap_or_default())
}

fn answer(format: TextFormat, exposition: Exposition) -> Response {
    let headers = [(header::CONTENT_TYPE, format.content_type()), (header::VARY, header::ACCEPT.as_str())];
    (headers, exposition.finish()).into_response()
}
