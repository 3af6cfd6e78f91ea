//! One host's processes.

use askama::Template;
use axum::{
    http::HeaderMap,
    response::{self, Response},
};
use fleetps_ingestor::filter::{Deadline, Stopped};
use fleetps_nats::{HostName, model::sums::HostSums};
use futures_util::FutureExt;

use super::{
    alert_link,
    host_head::{self, HostHead},
    new_command::NewCommandQuery,
    page::{self, Layout},
    push::{self, Live},
    unanswered::Unanswered,
    visit::visit,
};
use crate::{
    authz::Permission,
    display,
    extract::{Host, Query},
    live::{Moment, now_us},
    query::parameter::{BadParameter, Count},
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    url::{HostTab, Url},
    view::{
        Arrangement, Column, View, alert_on, omitted, processes,
        query::{FilterText, ProcessQuery},
        sums, system,
        table::Cell,
        travel::{Links, TimeQuery},
    },
};

/// What can be narrowed on the page.
const NARROW: &str =
    "plain words are quicker than regular expressions, above all than those with large repetitions";

/// The page of a host's processes.
#[derive(Template)]
#[template(path = "host.html")]
struct HostPage {
    layout: Layout,
    head: HostHead,
    page: Url,
    query: ProcessQuery,
    view: View,
    live_url: Url,
    alert: Option<Url>,
    /// Where processes of the table are signalled; absent where the person may not.
    signal_url: Option<Url>,
    /// Why the table is empty.
    unanswered: Option<Unanswered>,
}

/// A place in the switch between arrangements.
struct Switch {
    label: &'static str,
    url: Url,
    current: bool,
}

impl HostPage {
    fn switches(&self) -> Vec<Switch> {
        let switch = |arrangement: Arrangement| Switch {
            label: arrangement.label(),
            url: self.page.clone().with(&self.query.arranged(arrangement)),
            current: arrangement == self.query.view,
        };
        Arrangement::ALL.map(switch).into()
    }

    /// The columns that can be chosen; the name is always shown.
    fn choices(&self) -> Vec<(&'static str, &'static str, bool)> {
        let choosable = Column::ALL.into_iter().filter(|column| *column != Column::Name);
        choosable.map(|column| (column.id(), column.label(), self.query.columns.contains(&column))).collect()
    }

    /// The page without its filter.
    fn without_filter(&self) -> Url {
        let (q, rows) = (FilterText::default(), Count::default());
        self.page.clone().with(&ProcessQuery { q, rows, ..self.query.clone() })
    }

    /// The page with the usual columns.
    fn with_usual_columns(&self) -> Url {
        let (columns, rows) = (ProcessQuery::default().columns, Count::default());
        self.page.clone().with(&ProcessQuery { columns, rows, ..self.query.clone() })
    }

    fn folds(&self) -> bool {
        !matches!(self.query.view, Arrangement::Tree | Arrangement::Flat)
    }
}

/// The part of `moment` that the page shows.
async fn filtered(
    scoped: &ScopedFleet,
    moment: Moment,
    query: &ProcessQuery,
    links: &Links,
) -> Result<View, Refusal> {
    let (of_page, links) = (query.clone(), links.clone());
    let filter = query.q.filter.as_ref().ok();
    scoped.filter(filter, move |deadline| view(&moment, &of_page, &links, deadline)).await
}

fn view(moment: &Moment, query: &ProcessQuery, links: &Links, deadline: &Deadline) -> Result<View, Stopped> {
    let processes = processes::table(moment, query, deadline)?;
    let mut fields = system::head_fields(moment, now_us());
    let matching = display::count(processes.matching as u64);
    let matching = match processes.matching {
        _ if query.q.text.is_empty() => String::new(),
        0 => "no matches".to_owned(),
        1 => "1 match".to_owned(),
        _ => format!("{matching} matches"),
    };
    fields.push(("matching", Cell::field(matching)));
    let is_filtered = !query.q.text.is_empty();
    fields.push(("omitted", Cell::field(omitted::of_snapshot(moment.snapshot(), is_filtered))));
    fields.push(("sums", Cell::field(sums::line(&HostSums::of(&moment.pair), moment.snapshot()))));
    fields.push(host_head::earlier(moment, links));
    Ok(View { version: moment.summary.version(), fields, tables: vec![processes.table] })
}

/// The query with its times made absolute, so that a shared link means the same later; and the links through time.
fn fixed(host: &HostName, mut query: ProcessQuery) -> Result<(ProcessQuery, Links), BadParameter> {
    let when = query.when.resolve(now_us())?;
    query.when = TimeQuery::from(&when);
    let timeless = ProcessQuery { when: TimeQuery::default(), ..query.clone() };
    let page = Url::host(host.as_str(), HostTab::Processes).with(&timeless);
    Ok((query, Links { page, when }))
}

/// The page.
pub(crate) async fn page(
    layout: Layout,
    scoped: ScopedFleet,
    Query(query): Query<ProcessQuery>,
    Host(host): Host,
) -> response::Result<Response> {
    let (query, links) = fixed(&host, query)?;
    let visited = visit(&scoped, &host, HostTab::Processes, links.clone()).await?;
    let (head, moment) = visited.moment(&layout)?;
    let fields = system::head_fields(&moment, now_us());
    let filtered = filtered(&scoped, *moment, &query, &links).await;
    let (view, unanswered) = match Unanswered::or(filtered, NARROW, || None)? {
        Ok(view) => (view, None),
        Err(why) => (View { fields, ..View::default() }, Some(why)),
    };
    let page = HostPage {
        layout,
        view,
        live_url: Url::host_live(host.as_str()).with(&query),
        alert: alert_link::link(&scoped, alert_on::processes(&host, &query), Some(&host)),
        signal_url: signal_url(&scoped, &host).filter(|_| head.is_live()),
        head,
        page: Url::host(host.as_str(), HostTab::Processes),
        query,
        unanswered: unanswered.clone(),
    };
    Ok(Unanswered::dress(unanswered.as_ref(), page::render(&page)?))
}

fn signal_url(scoped: &ScopedFleet, host: &HostName) -> Option<Url> {
    let query = NewCommandQuery { host: host.to_string(), ..NewCommandQuery::default() };
    scoped.permission_of(Permission::Command, host).then(|| Url::new_command().with(&query))
}

/// Its live updates.
pub(crate) async fn live(
    scoped: ScopedFleet,
    Query(Live { query, since }): Query<Live<ProcessQuery>>,
    Host(host): Host,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (query, links) = fixed(&host, query)?;
    page::moment_of(&scoped, &host)?;
    let changed = scoped.watch_host(&host)?;
    let looking = scoped.clone();
    let render = move || {
        let (looking, moment) = (looking.clone(), looking.moment(&host));
        let (query, links) = (query.clone(), links.clone());
        async move { filtered(&looking, moment?, &query, &links).await.ok() }.boxed()
    };
    push::stream(&scoped, &headers, since, changed, Box::new(render))
}
