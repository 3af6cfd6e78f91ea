//! One host's processes.

use askama::Template;
use axum::{
    extract::{Path, RawQuery},
    http::HeaderMap,
    response::Response,
};

use fleetps_ingestor::filter::{Deadline, Stopped};
use futures_util::FutureExt;

use super::{
    host_head::{self, HostHead, Tab, Visit, visit},
    nothing,
    page::{self, Layout},
    push,
};
use crate::{
    display,
    live::{Moment, now_us},
    refusal::Refusal,
    sight::Sight,
    view::{
        Column, View, processes,
        query::{Arrangement, ProcessQuery},
        system,
        table::Cell,
    },
};

/// The page of a host's processes.
#[derive(Template)]
#[template(path = "host.html")]
struct HostPage {
    layout: Layout,
    head: HostHead,
    path: String,
    query: ProcessQuery,
    view: View,
    live_url: String,
}

/// A place in the switch between arrangements.
struct Switch {
    label: &'static str,
    url: String,
    current: bool,
}

impl HostPage {
    fn switches(&self) -> Vec<Switch> {
        let switch = |arrangement: Arrangement| Switch {
            label: arrangement.label(),
            url: self.query.arranged(arrangement).url(&self.path),
            current: arrangement == self.query.view,
        };
        Arrangement::ALL.map(switch).into()
    }

    /// The columns that can be chosen; the name is always shown.
    fn choices(&self) -> Vec<(&'static str, &'static str, bool)> {
        let choosable = Column::ALL.into_iter().filter(|column| *column != Column::Name);
        choosable.map(|column| (column.id(), column.label(), self.query.columns.contains(&column))).collect()
    }

    /// What a form has to carry along so that the page stays as it is.
    fn carried(&self, except: &str) -> Vec<(&'static str, String)> {
        let parameters = self.query.parameters().into_iter();
        parameters.filter(|(name, _)| *name != except && *name != "rows").collect()
    }

    /// The address without what `except` says.
    fn without(&self, except: &str) -> String {
        crate::view::query::url(&self.path, &self.carried(except))
    }

    fn folds(&self) -> bool {
        !matches!(self.query.view, Arrangement::Tree | Arrangement::Flat)
    }
}

/// What the page shows of `moment`.
async fn filtered(sight: &Sight, moment: Moment, path: &str, query: &ProcessQuery) -> Result<View, Refusal> {
    let (path, of_page) = (path.to_owned(), query.clone());
    let filter = query.filter.as_ref().ok();
    sight.filter(filter, move |deadline| view(&moment, &path, &of_page, deadline)).await
}

fn view(moment: &Moment, path: &str, query: &ProcessQuery, deadline: &Deadline) -> Result<View, Stopped> {
    let processes = processes::table(moment, path, query, deadline)?;
    let mut fields = system::head_fields(moment, now_us());
    let matching = display::count(processes.matching as u64);
    let matching = if query.q.is_empty() { String::new() } else { format!("{matching} match") };
    fields.push(("matching", Cell::field(matching)));
    fields.push(host_head::earlier(moment, &query.links(path)));
    Ok(View { version: moment.summary.version(), fields, tables: vec![processes.table] })
}

/// The page.
pub async fn page(
    layout: Layout,
    sight: Sight,
    Path(host): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let query = ProcessQuery::parse(&query.unwrap_or_default())?;
    let path = format!("/hosts/{host}");
    let (head, moment) = match visit(&sight, &host, Tab::Processes, query.links(&path)).await? {
        Visit::Moment(head, moment) => (head, moment),
        Visit::Nothing(head, why) => return nothing::page(layout, head, &why),
        Visit::Elsewhere(response) => return Ok(response),
    };
    page::render(&HostPage {
        layout,
        view: filtered(&sight, *moment, &path, &query).await?,
        live_url: query.url(&format!("{path}/live")),
        head,
        path,
        query,
    })
}

/// Its live updates.
pub async fn live(
    sight: Sight,
    Path(host): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let text = query.unwrap_or_default();
    let query = ProcessQuery::parse(&text)?;
    let name = page::moment_of(&sight, &host)?.summary.host.clone();
    let changed = sight.watch_host(&name)?;
    let (looking, path) = (sight.clone(), format!("/hosts/{host}"));
    let render = move || {
        let (looking, moment) = (looking.clone(), looking.moment(&name));
        let (path, query) = (path.clone(), query.clone());
        async move { filtered(&looking, moment?, &path, &query).await.ok() }.boxed()
    };
    push::stream(&sight, &headers, &text, changed, Box::new(render))
}
