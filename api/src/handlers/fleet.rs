//! The fleet: every host in one table, and the busiest programs of all.

use askama::Template;
use axum::{http::HeaderMap, response::Response};
use futures_util::{FutureExt, future::ready};

use super::{
    page::{self, Layout},
    push::{self, Live},
};
use crate::{
    extract::Query,
    live::{FleetView, now_us},
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    url::Url,
    view::{
        View,
        fleet::{self, BUSIEST_PROGRAMS, FleetQuery, HostFilterText},
    },
};

/// The fleet page.
#[derive(Template)]
#[template(path = "fleet.html")]
struct FleetPage {
    layout: Layout,
    query: FleetQuery,
    view: View,
    live_url: Url,
    is_empty: bool,
    /// Whether the person may see every host.
    sees_all: bool,
}

impl FleetPage {
    /// The hidden fields of the filter's form, so that the page keeps its view.
    fn carried(&self) -> Vec<(String, String)> {
        Url::fleet().with(&FleetQuery { order: self.query.order, ..FleetQuery::default() }).parameters()
    }

    /// The hosts that are in this state.
    fn state_url(state: &str) -> Url {
        let q = HostFilterText(state.to_owned());
        Url::fleet().with(&FleetQuery { q, ..FleetQuery::default() })
    }
}

fn view(scoped: &ScopedFleet, known: &FleetView, query: &FleetQuery) -> View {
    fleet::view(known, query, &|host| scoped.groups(host), now_us())
}

/// The page.
pub async fn page(
    layout: Layout,
    scoped: ScopedFleet,
    Query(query): Query<FleetQuery>,
) -> Result<Response, Refusal> {
    let known = scoped.fleet(BUSIEST_PROGRAMS);
    page::render(&FleetPage {
        layout,
        view: view(&scoped, &known, &query),
        live_url: Url::fleet_live().with(&query),
        is_empty: known.hosts.is_empty(),
        sees_all: scoped.scope().has_every_host(),
        query,
    })
}

/// Its live updates.
pub async fn live(
    scoped: ScopedFleet,
    Query(Live { query, since }): Query<Live<FleetQuery>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let changed = scoped.watch();
    let looking = scoped.clone();
    push::stream(
        &scoped,
        &headers,
        since,
        changed,
        Box::new(move || ready(Some(view(&looking, &looking.fleet(BUSIEST_PROGRAMS), &query))).boxed()),
    )
}
