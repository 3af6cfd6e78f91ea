//! One alert: what it is about, what became of it, and who looks after it. The links of messages lead here.

use std::{collections::BTreeSet, sync::Arc};

use askama::Template;
use axum::{
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use fleetps_ingestor::alerts::Transition;
use serde::{Deserialize, Serialize};

use super::{
    alert_tabs::Tabs,
    alerts::AlertsQuery,
    page::{self, Layout},
    silences::SilencesQuery,
};
use crate::{
    display,
    extract::{AlertId, Form, Query},
    live::OpenAlert,
    notify::Acknowledgement,
    query::parameter::{self, is_default},
    refusal::Refusal,
    scoped_fleet::{AlertFilter, ScopedFleet},
    url::{HostTab, Url},
    view::{alerts, span::Stamp, table::Table, travel::host_at},
};

/// Alerts that one press of the button acknowledges: a message stands for as many at most that somebody looks at.
const MAX_AT_ONCE: usize = 500;

/// The page of one alert.
#[derive(Template)]
#[template(path = "alert.html")]
struct AlertPage {
    layout: Layout,
    tabs: Tabs,
    id: String,
    rule: String,
    host: String,
    severity: &'static str,
    shade: &'static str,
    raised: Stamp,
    then: Url,
    is_open: bool,
    acknowledged: Option<Arc<Acknowledgement>>,
    may_acknowledge: bool,
    /// Where its rule is silenced on its host, for who may.
    silence: Option<Url>,
    /// What the rule's author says to whom it wakes.
    note: String,
    facts: Vec<(&'static str, String)>,
    table: Table,
}

/// The page of one alert.
pub(crate) async fn page(
    layout: Layout,
    scoped: ScopedFleet,
    AlertId(id): AlertId,
) -> Result<Response, Refusal> {
    let (open, changes) = scoped.alert(&id)?;
    let first: Option<&Arc<Transition>> = open.as_ref().map(|open| &open.raised).or(changes.last());
    let Some(first) = first else { return Err(Refusal::no_such_path(Url::alert(&id).path())) };
    let alert = &first.change.alert;
    let may_acknowledge = open.as_ref().is_some_and(|open| scoped.may_acknowledge(open));
    let query =
        SilencesQuery { rule: alert.rule.clone(), host: alert.host.to_string(), ..SilencesQuery::default() };
    let rules = scoped.alert_rules().await.unwrap_or_default();
    let note = rules.iter().find(|rule| rule.id == alert.rule).map(|rule| rule.note().to_owned());
    page::render(&AlertPage {
        layout,
        tabs: Tabs { current: "" },
        rule: alert.rule.clone(),
        host: alert.host.to_string(),
        severity: alert.severity.word(),
        shade: alerts::shade(alert.severity),
        raised: Stamp::of(alert.raised_at_us),
        then: host_at(alert.host.as_str(), alert.raised_at_us),
        is_open: open.is_some(),
        acknowledged: open.as_ref().and_then(|open| open.acknowledged.clone()),
        may_acknowledge,
        silence: may_acknowledge.then(|| Url::silences().with(&query)),
        note: display::visible(&note.unwrap_or_default()).into_owned(),
        facts: alerts::facts(&first.change),
        table: alerts::changes_table(&changes),
        id,
    })
}

/// Acknowledges the alert, or takes that back, as the button says.
pub(crate) async fn acknowledge(
    scoped: ScopedFleet,
    AlertId(id): AlertId,
    form: Form,
) -> Result<Response, Refusal> {
    scoped.acknowledge(&id, &form.field("why"), form.is_ticked("withdraw")).await?;
    Ok(Redirect::to(&Url::alert(&id).to_string()).into_response())
}

/// The query of the form that acknowledges alerts, as the links of messages have it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct AcknowledgeQuery {
    /// Only this alert.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub alert: String,
    /// Only of a rule or a host.
    #[serde(flatten)]
    pub alerts: AlertsQuery,
}

impl AcknowledgeQuery {
    fn filter(&self) -> AlertFilter {
        AlertFilter { id: self.alert.clone(), ..self.alerts.filter() }
    }

    /// Whether it says which alerts: nobody means all of the fleet.
    fn says_which(&self) -> bool {
        *self != Self::default()
    }
}

/// The form that acknowledges alerts.
#[derive(Template)]
#[template(path = "acknowledge.html")]
struct AcknowledgePage {
    layout: Layout,
    tabs: Tabs,
    query: AcknowledgeQuery,
    /// Those that nobody looks after and the person may acknowledge.
    waiting: usize,
    /// The ids of the first of these, at most as many as the button acknowledges: no others.
    shown: Vec<String>,
    table: Table,
}

impl AcknowledgePage {
    /// The button: as many as it acknowledges at once.
    fn button(&self) -> String {
        let count = |count: usize| display::count(count as u64);
        match self.waiting > MAX_AT_ONCE {
            true => format!("Acknowledge {} of {}", count(MAX_AT_ONCE), count(self.waiting)),
            false => format!("Acknowledge {}", count(self.waiting)),
        }
    }
}

/// The alerts of these that nobody looks after and the person may acknowledge.
fn waiting<'a>(scoped: &ScopedFleet, open: &'a [OpenAlert]) -> Vec<&'a OpenAlert> {
    open.iter().filter(|open| open.acknowledged.is_none() && scoped.may_acknowledge(open)).collect()
}

/// The form that acknowledges alerts; one alert has a page of its own. Looking at it changes nothing.
pub(crate) async fn acknowledge_page(
    layout: Layout,
    scoped: ScopedFleet,
    Query(query): Query<AcknowledgeQuery>,
) -> Result<Response, Refusal> {
    if !query.alert.is_empty() {
        let url = Url::alert(&query.alert).at("acknowledge");
        return Ok(Redirect::to(&url.to_string()).into_response());
    }
    let open = match query.says_which() {
        true => scoped.open_alerts(&query.filter()),
        false => Vec::new(),
    };
    let waiting = waiting(&scoped, &open);
    page::render(&AcknowledgePage {
        layout,
        tabs: Tabs { current: "" },
        waiting: waiting.len(),
        shown: waiting.iter().take(MAX_AT_ONCE).map(|open| open.last.change.alert.id.clone()).collect(),
        table: alerts::open_table(&open, |open| scoped.may_acknowledge(open)),
        query,
    })
}

/// Acknowledges the open alerts that the form says and that the person may acknowledge. It names those that its page had; without
/// any it means all that are open now.
pub(crate) async fn acknowledge_all(scoped: ScopedFleet, form: Form) -> Result<Response, Refusal> {
    let host = match form.field("host") {
        text if text.is_empty() => None,
        text => Some(text.parse().map_err(|_| Refusal::no_such_host(&text))?),
    };
    let alerts = AlertsQuery { rule: form.field("rule"), host };
    let query = AcknowledgeQuery { alert: String::new(), alerts };
    let named: BTreeSet<String> = form.fields("alert").into_iter().filter(|id| !id.is_empty()).collect();
    let open = match query.says_which() || !named.is_empty() {
        true => scoped.open_alerts(&query.filter()),
        false => Vec::new(),
    };
    let waiting = waiting(&scoped, &open).into_iter().map(|open| &open.last.change.alert.id);
    let meant = waiting.filter(|id| named.is_empty() || named.contains(*id));
    let ids: Vec<&String> = meant.take(MAX_AT_ONCE).collect();
    for id in ids {
        match scoped.acknowledge(id, &form.field("why"), false).await {
            // Somebody was faster, or it is over by now: then there is nothing left to do.
            Ok(_) => {}
            Err(problem) if problem.status == StatusCode::CONFLICT => {}
            Err(problem) => return Err(problem),
        }
    }
    Ok(Redirect::to(&Url::alerts().with(&query.alerts).to_string()).into_response())
}
