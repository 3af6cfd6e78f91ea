//! The fleet: every host in one table, and the busiest programs of all.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::HeaderMap, response::Response};
use tokio::task::JoinError;

use super::{
    page::{self, Layout},
    push::{self, Live},
    top::TopPageQuery,
};
use crate::{
    demonstration::Trial,
    extract::Query,
    query::order::Order,
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    state::AppState,
    url::Url,
    view::{
        View,
        fleet::{FleetQuery, HostColumn, HostFilterText},
        host_filter::GroupChip,
        top::TopShow,
    },
};

/// The fleet page.
#[derive(Template)]
#[template(path = "fleet.html")]
struct FleetPage {
    layout: Layout,
    query: FleetQuery,
    view: Arc<View>,
    live_url: Url,
    groups: Vec<GroupChip>,
    is_empty: bool,
    /// Whether the person may see every host.
    sees_all: bool,
    /// How many hosts are simulated, and what there is to try on them.
    demo: Option<(usize, Vec<Trial>)>,
}

impl FleetPage {
    /// The hidden fields of the filter's form, so that the page keeps its view.
    fn carried(&self) -> Vec<(String, String)> {
        Url::fleet().with(&FleetQuery { order: self.query.order, ..FleetQuery::default() }).parameters()
    }

    /// The hosts with the worst open alerts first, and whether that is what is shown.
    fn trouble_first(&self) -> (Url, bool) {
        let order = Order { column: HostColumn::Alerts, descending: true };
        (Url::fleet().with(&self.query.ordered(order)), self.query.order == order)
    }

    /// The groups: each with its hosts, where these are, and whether they are what is shown.
    fn chips(&self) -> Vec<(&GroupChip, Url, bool)> {
        let mut chips = Vec::new();
        for chip in &self.groups {
            let is_shown = self.query.q.0 == chip.q;
            let q = if is_shown { String::new() } else { chip.q.clone() };
            chips.push((chip, Url::fleet().with(&self.query.filtered(q)), is_shown));
        }
        chips
    }

    /// What grew in memory on all hosts.
    fn grown() -> Url {
        Url::top().with(&TopPageQuery { show: TopShow::Growth, ..TopPageQuery::default() })
    }

    /// The hosts that are in this state.
    fn state_url(state: &str) -> Url {
        let q = HostFilterText(format!("state = {state}"));
        Url::fleet().with(&FleetQuery { q, ..FleetQuery::default() })
    }
}

/// The page.
pub(crate) async fn page(
    layout: Layout,
    scoped: ScopedFleet,
    State(shared): State<AppState>,
    Query(query): Query<FleetQuery>,
) -> Result<Response, Refusal> {
    let rendering = scoped.fleet_page(&query).now().await.map_err(failed)?;
    let scope = scoped.scope();
    let sees_all = scope.has_every_host();
    let demo = shared.demo.map(|demo| (demo.hosts, demo.trials(|host| scope.sees(host))));
    page::render_aside(move || FleetPage {
        layout,
        view: Arc::clone(&rendering.view),
        live_url: Url::fleet_live().with(&query),
        groups: rendering.groups.clone(),
        is_empty: rendering.is_empty,
        sees_all,
        demo,
        query,
    })
    .await
}

fn failed(error: JoinError) -> Refusal {
    Refusal::fault("could not render the fleet", &error)
}

/// Its live updates.
pub(crate) async fn live(
    scoped: ScopedFleet,
    Query(Live { query, since }): Query<Live<FleetQuery>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    push::fleet_stream(&scoped, &headers, since, scoped.fleet_page(&query).open())
}
