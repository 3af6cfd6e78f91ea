//! Alerts: those that are open, what became of others, and the rules.

use std::{collections::BTreeSet, time::Duration};

use askama::Template;
use axum::{
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
};
use fleetps_ingestor::{
    alerts::{Rule, RuleEntry, Severity},
    history::Span,
};
use fleetps_nats::{HostName, hosts::read_groups, units};
use serde::{Deserialize, Serialize};

use super::{
    alert_tabs::Tabs,
    page::{self, Layout},
    push::{self, Live},
};
use crate::{
    display,
    extract::{Form, Query, RuleId},
    live::now_us,
    query::{
        parameter::{self, Count, Value, is_default},
        parameters,
    },
    refusal::Refusal,
    scoped_fleet::{AlertFilter, NewRule, ScopedFleet, bad_rule, no_such_rule},
    url::Url,
    view::{
        View,
        alert_on::{NewRuleQuery, proposed_id},
        alerts::{self, Tried},
        table::Table,
    },
};

/// Changes on a page or in an answer by default: about ten screens.
const DEFAULT_CHANGES: usize = 200;
/// The most changes at once: all that are kept.
const MAX_CHANGES: usize = 50_000;

/// How far back a rule is tried where nothing is said.
pub(crate) const USUAL_RANGE: Duration = Duration::from_secs(86_400);
/// The longest time that a rule is tried on: as long as every sample is kept.
const MOST_RANGE: Duration = Duration::from_secs(7 * 86_400);

/// The query of open alerts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct AlertsQuery {
    /// Only of the rule of this id.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub rule: String,
    /// Only of this host.
    #[serde(with = "parameter::optional", skip_serializing_if = "is_default")]
    pub host: Option<HostName>,
}

parameters! {
    AlertsQuery {
        rule: "Only of the rule of this id.",
        host: "Only of this host.",
    }
}

/// The query of changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ChangesQuery {
    /// Which alerts.
    #[serde(flatten)]
    pub alerts: AlertsQuery,
    /// The most changes.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub limit: Count<DEFAULT_CHANGES, MAX_CHANGES, 1>,
}

parameters! {
    ChangesQuery {
        limit: "The most changes.",
        ..alerts,
    }
}

impl AlertsQuery {
    /// Which alerts it asks for.
    pub(crate) fn filter(&self) -> AlertFilter {
        AlertFilter { host: self.host.clone(), rule: self.rule.clone(), ..AlertFilter::default() }
    }
}

/// The page of open alerts.
#[derive(Template)]
#[template(path = "alerts.html")]
struct AlertsPage {
    layout: Layout,
    tabs: Tabs,
    query: AlertsQuery,
    view: View,
    live_url: Url,
    /// Whether all that the broker keeps was read.
    is_complete: bool,
}

fn view_of(scoped: &ScopedFleet, query: &AlertsQuery) -> View {
    let version = *scoped.watch_alerts().borrow();
    alerts::view(&scoped.open_alerts(&query.filter()), version, |open| scoped.may_acknowledge(open))
}

/// The page.
pub(crate) async fn page(
    layout: Layout,
    scoped: ScopedFleet,
    Query(query): Query<AlertsQuery>,
) -> Result<Response, Refusal> {
    page::render(&AlertsPage {
        layout,
        tabs: Tabs { current: "Now" },
        view: view_of(&scoped, &query),
        live_url: Url::alerts_live().with(&query),
        is_complete: scoped.knows_alerts(),
        query,
    })
}

/// Its live updates.
pub(crate) async fn live(
    scoped: ScopedFleet,
    Query(Live { query, since }): Query<Live<AlertsQuery>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (asked, changed) = (scoped.clone(), scoped.watch_alerts());
    let render = Box::new(move || {
        let view = view_of(&asked, &query);
        Box::pin(async move { Some(view) }) as _
    });
    push::stream(&scoped, &headers, since, changed, render)
}

/// The page of what became of alerts.
#[derive(Template)]
#[template(path = "alert_history.html")]
struct HistoryPage {
    layout: Layout,
    tabs: Tabs,
    query: ChangesQuery,
    table: Table,
    total: String,
    more: Option<Url>,
}

/// The page of what became of alerts.
pub(crate) async fn history(
    layout: Layout,
    scoped: ScopedFleet,
    Query(query): Query<ChangesQuery>,
) -> Result<Response, Refusal> {
    let (changes, total) = scoped.alert_changes(&query.alerts.filter(), query.limit.get());
    let more = ChangesQuery { limit: Count::near(query.limit.get() * 10), ..query.clone() };
    let is_more = total > changes.len() && more != query;
    page::render_aside(move || HistoryPage {
        layout,
        tabs: Tabs { current: "History" },
        table: alerts::history_table(&changes),
        total: display::count(total as u64),
        more: is_more.then(|| Url::alert_history().with(&more)),
        query,
    })
    .await
}

/// The page of the rules.
#[derive(Template)]
#[template(path = "alert_rules.html")]
struct RulesPage {
    layout: Layout,
    tabs: Tabs,
    table: Table,
}

/// The page of the rules.
pub(crate) async fn rules(layout: Layout, scoped: ScopedFleet) -> Result<Response, Refusal> {
    let rules = scoped.alert_rules().await?;
    let table = alerts::rules_table(&rules, |id| scoped.alert_counts(id));
    page::render(&RulesPage { layout, tabs: Tabs { current: "Rules" }, table })
}

/// A rule as its form has it.
#[derive(Debug, Clone, Default)]
struct RuleForm {
    id: String,
    sentence: String,
    severity: Severity,
    enabled: bool,
    groups: String,
    note: String,
    revision: u64,
}

/// The page of one rule, or of a new one.
#[derive(Template)]
#[template(path = "alert_rule.html")]
struct RulePage {
    layout: Layout,
    tabs: Tabs,
    is_new: bool,
    form: RuleForm,
    rule: Option<RuleEntry>,
    /// Why it was not saved.
    problem: Option<Refusal>,
    /// Whether somebody is asked if it is to be removed.
    asks_removal: bool,
    may_change: bool,
    /// Alerts of it that are open, and how often it raised one.
    counts: (usize, usize),
    /// What it would have said in the past, if that was asked.
    tried: Option<TriedRule>,
}

/// What a rule would have said, as the page shows it.
struct TriedRule {
    words: String,
    table: Table,
}

impl RulePage {
    fn of(layout: Layout, scoped: &ScopedFleet, rule: RuleEntry) -> Self {
        let form = RuleForm {
            id: rule.id.clone(),
            sentence: rule.sentence().to_owned(),
            severity: rule.severity(),
            enabled: rule.saved.as_ref().is_none_or(|saved| saved.value.enabled),
            groups: rule.groups().map(crate::view::host_filter::words).unwrap_or_default(),
            note: rule.note().to_owned(),
            revision: rule.saved.as_ref().map_or(0, |saved| saved.revision),
        };
        let may_change = scoped.may_change_rules(rule.groups());
        let counts = scoped.alert_counts(&rule.id);
        Self { rule: Some(rule), may_change, counts, ..edited(layout, form, false, None, None) }
    }

    /// Where a saved rule can be removed, the word for that.
    fn removal(&self) -> Option<&'static str> {
        let rule = self.rule.as_ref().filter(|rule| rule.saved.is_some())?;
        Some(if rule.built_in.is_some() { "Restore the built-in rule" } else { "Remove" })
    }

    /// The alerts of the rule.
    fn links(&self) -> [Url; 2] {
        let query = AlertsQuery { rule: self.form.id.clone(), ..AlertsQuery::default() };
        [Url::alerts().with(&query), Url::alert_history().with(&query)]
    }
}

/// The form for a new rule.
pub(crate) async fn new_rule(
    layout: Layout,
    scoped: ScopedFleet,
    Query(query): Query<NewRuleQuery>,
) -> Result<Response, Refusal> {
    let NewRuleQuery { sentence, groups } = query;
    let rules = scoped.alert_rules().await?;
    let id = proposed_id(&sentence, &rules.iter().map(|rule| rule.id.as_str()).collect());
    let form = RuleForm { id, sentence, groups, enabled: true, ..RuleForm::default() };
    let may_change = scoped.may_change_some_rules();
    page::render(&RulePage { may_change, ..edited(layout, form, true, None, None) })
}

/// The page of one rule.
pub(crate) async fn rule(
    layout: Layout,
    scoped: ScopedFleet,
    RuleId(id): RuleId,
) -> Result<Response, Refusal> {
    let rule = scoped.alert_rules().await?.into_iter().find(|rule| rule.id == id);
    page::render(&RulePage::of(layout, &scoped, rule.ok_or_else(|| no_such_rule(&id))?))
}

/// Saves the rule of the form, or removes it where the button says so; a rule that is none stays in the form.
pub(crate) async fn change(layout: Layout, scoped: ScopedFleet, form: Form) -> Result<Response, Refusal> {
    let filled = RuleForm {
        id: form.field("id"),
        sentence: form.field("sentence"),
        severity: Severity::read(&form.field("severity")).unwrap_or_default(),
        enabled: form.is_ticked("enabled"),
        groups: form.field("groups"),
        note: form.field("note").replace("\r\n", "\n"),
        revision: form.field("revision").parse().unwrap_or_default(),
    };
    let is_new = filled.revision == 0 && form.is_ticked("new");
    if form.is_ticked("try") {
        return try_on_page(layout, &scoped, filled, is_new, &form.field("range")).await;
    }
    if form.is_ticked("remove") && !form.is_ticked("sure") {
        let rule = scoped.alert_rules().await?.into_iter().find(|rule| rule.id == filled.id);
        let page = RulePage::of(layout, &scoped, rule.ok_or_else(|| no_such_rule(&filled.id))?);
        return page::render(&RulePage { asks_removal: true, ..page });
    }
    let done = match form.is_ticked("remove") {
        true => scoped.remove_rule(&filled.id, Some(filled.revision)).await.map(|()| Url::alert_rules()),
        false => save(&scoped, &filled, is_new).await.map(|()| Url::alert_rule(&filled.id)),
    };
    match done {
        Ok(url) => Ok(Redirect::to(&url.to_string()).into_response()),
        Err(problem) if stays_in_form(problem.status) => {
            let status = problem.status;
            let page = edited(layout, filled, is_new, Some(problem), None);
            Ok((status, page::render(&page)?).into_response())
        }
        Err(problem) => Err(problem),
    }
}

/// Whether what was refused so can be mended in the form.
fn stays_in_form(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN | StatusCode::CONFLICT)
}

/// The page of a rule that is not saved yet.
fn edited(
    layout: Layout,
    form: RuleForm,
    is_new: bool,
    problem: Option<Refusal>,
    tried: Option<TriedRule>,
) -> RulePage {
    let (tabs, rule, may_change, counts) = (Tabs { current: "Rules" }, None, true, (0, 0));
    RulePage { layout, tabs, is_new, form, rule, problem, asks_removal: false, may_change, counts, tried }
}

/// The page with what the rule of the form would have said; nothing is saved.
async fn try_on_page(
    layout: Layout,
    scoped: &ScopedFleet,
    form: RuleForm,
    is_new: bool,
    range: &str,
) -> Result<Response, Refusal> {
    let range = units::parse_duration(range).unwrap_or(USUAL_RANGE);
    let groups = groups_of(&form.groups);
    let tried = match groups {
        Ok(groups) => try_rule(scoped, &form.sentence, groups, range).await,
        Err(problem) => Err(problem),
    };
    let (problem, tried) = match tried {
        Ok(tried) => (None, Some(tried)),
        Err(problem) => (Some(problem), None),
    };
    let status = problem.as_ref().map_or(StatusCode::OK, |problem| problem.status);
    let sentence = form.sentence.clone();
    let tried = tried.map(|tried| TriedRule {
        words: alerts::tried_words(&tried, range),
        table: alerts::episodes_table(&tried, &sentence),
    });
    let page = edited(layout, form, is_new, problem, tried);
    Ok((status, page::render(&page)?).into_response())
}

/// The groups of a form; none for every host.
fn groups_of(text: &str) -> Result<Option<BTreeSet<String>>, Refusal> {
    let groups = read_groups(text).map_err(|error| {
        Refusal::new(StatusCode::BAD_REQUEST, error.to_string(), "write groups as in: web env=prod")
    })?;
    Ok((!groups.is_empty()).then_some(groups))
}

/// What a rule would have said within `range` until now.
///
/// # Errors
/// When it is no rule, the range is too long, or the history cannot be read in time.
pub(crate) async fn try_rule(
    scoped: &ScopedFleet,
    sentence: &str,
    groups: Option<BTreeSet<String>>,
    range: Duration,
) -> Result<Tried, Refusal> {
    if range > MOST_RANGE || range.is_zero() {
        let error = format!("{} is no time to try a rule on", units::format_duration(range));
        return Err(Refusal::new(StatusCode::BAD_REQUEST, error, "take up to 7d"));
    }
    let rule = Rule::parse("test", 0, Severity::default(), sentence);
    let rule = rule.map_err(|error| bad_rule(error.into()))?;
    if !rule.measure.is_in_the_past() {
        let error =
            "what fleetps says of itself is not in the history, so the rule cannot be tried on the past";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, error, "save it; it is evaluated from now on"));
    }
    let to_us = now_us();
    let from_us = to_us.saturating_sub(i64::try_from(range.as_micros()).unwrap_or(i64::MAX));
    scoped.back_test(rule, groups, Span { from_us, to_us }).await
}

async fn save(scoped: &ScopedFleet, form: &RuleForm, is_new: bool) -> Result<(), Refusal> {
    // Whoever makes a new rule does not mean to take the place of a built-in one.
    if is_new && scoped.alert_rules().await?.iter().any(|rule| rule.id == form.id) {
        let error = format!("there is a rule {} already", display::cut(&form.id, 64));
        return Err(Refusal::new(
            StatusCode::CONFLICT,
            error,
            "take another id, or change that rule on its own page",
        ));
    }
    let new = NewRule {
        sentence: form.sentence.clone(),
        severity: form.severity,
        enabled: form.enabled,
        groups: groups_of(&form.groups)?,
        note: form.note.clone(),
        replaces: Some(form.revision),
    };
    scoped.save_rule(&form.id, new).await.map(|_| ())
}
