//! The fleet: every host in one table, and the busiest programs of all.

use askama::Template;
use axum::{extract::RawQuery, http::HeaderMap, response::Response};
use futures_util::{FutureExt, future::ready};

use super::{
    page::{self, Layout},
    push,
};
use crate::{
    live::{FleetView, now_us},
    refusal::Refusal,
    sight::Sight,
    view::{
        View,
        fleet::{self, BUSIEST_PROGRAMS, FleetQuery},
    },
};

/// The fleet page.
#[derive(Template)]
#[template(path = "fleet.html")]
struct FleetPage {
    layout: Layout,
    query: FleetQuery,
    view: View,
    live_url: String,
    is_empty: bool,
    /// Whether whoever looks may see every host.
    sees_all: bool,
}

impl FleetPage {
    /// What the filter has to carry along so that the page stays as it is.
    fn carried(&self) -> Vec<(&'static str, String)> {
        let parameters = self.query.parameters().into_iter();
        parameters.filter(|(name, _)| *name != "q" && *name != "rows").collect()
    }
}

fn view(sight: &Sight, known: &FleetView, query: &FleetQuery) -> View {
    fleet::view(known, query, &|host| sight.groups(host), now_us())
}

/// The page.
pub async fn page(layout: Layout, sight: Sight, RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    let query = FleetQuery::parse(&query.unwrap_or_default())?;
    let known = sight.fleet(BUSIEST_PROGRAMS);
    page::render(&FleetPage {
        layout,
        view: view(&sight, &known, &query),
        live_url: query.url("/live"),
        is_empty: known.hosts.is_empty(),
        sees_all: sight.scope().has_every_host(),
        query,
    })
}

/// Its live updates.
pub async fn live(sight: Sight, RawQuery(query): RawQuery, headers: HeaderMap) -> Result<Response, Refusal> {
    let text = query.unwrap_or_default();
    let query = FleetQuery::parse(&text)?;
    let changed = sight.watch();
    let looking = sight.clone();
    push::stream(
        &sight,
        &headers,
        &text,
        changed,
        Box::new(move || ready(Some(view(&looking, &looking.fleet(BUSIEST_PROGRAMS), &query))).boxed()),
    )
}
