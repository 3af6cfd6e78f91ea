//! One alert: what it is about, what became of it, and who looks after it. The links of messages lead here.

use std::sync::Arc;

use askama::Template;
use axum::response::{IntoResponse, Redirect, Response};
use fleetps_ingestor::alerts::Transition;

use super::{
    alert_tabs::Tabs,
    page::{self, Layout},
    silences::SilencesQuery,
};
use crate::{
    display,
    extract::{AlertId, Form},
    notify::Acknowledgement,
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    url::{HostTab, Url},
    view::{alerts, span::Stamp, table::Table, travel::host_at},
};

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
pub async fn page(layout: Layout, scoped: ScopedFleet, AlertId(id): AlertId) -> Result<Response, Refusal> {
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
        table: alerts::history_table(&changes),
        id,
    })
}

/// Acknowledges the alert, or takes that back, as the button says.
pub async fn acknowledge(scoped: ScopedFleet, AlertId(id): AlertId, form: Form) -> Result<Response, Refusal> {
    scoped.acknowledge(&id, &form.field("why"), form.is_ticked("withdraw")).await?;
    Ok(Redirect::to(&Url::alert(&id).to_string()).into_response())
}
