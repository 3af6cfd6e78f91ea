//! Silences and maintenance windows: what nobody is told of for a while.

use askama::Template;
use axum::{
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use serde::{Deserialize, Serialize};

use super::{
    alert_tabs::Tabs,
    labelled::{Label, MATCHER, label_in, labelled},
    page::{self, Layout},
};
use crate::{
    extract::{Form, Query},
    live::now_us,
    notify::{Day, Severity},
    query::parameter::{self, is_default},
    refusal::Refusal,
    scoped_fleet::{NewSilence, ScopedFleet},
    url::Url,
    view::silences::{SilenceLine, read_matcher, read_when},
};

/// The query of the page: what its form begins with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SilencesQuery {
    /// A rule.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub rule: String,
    /// A host.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub host: String,
    /// A group.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub group: String,
}

/// What a form about alerts has in it.
#[derive(Debug, Clone, Default)]
struct SilenceForm {
    rules: String,
    hosts: String,
    groups: String,
    severity: String,
    length: String,
    repeat: String,
    zone: String,
    days: Vec<Day>,
    from: String,
    until: String,
    why: String,
}

impl SilenceForm {
    fn of(query: SilencesQuery) -> Self {
        let SilencesQuery { rule, host, group } = query;
        let (length, zone) = ("2h".to_owned(), "UTC".to_owned());
        Self { rules: rule, hosts: host, groups: group, length, zone, ..Self::default() }
    }

    fn filled_in(form: &Form) -> Self {
        let is_ticked = |day: &Day| form.is_ticked(&format!("day_{}", day.word()));
        Self {
            rules: form.field("rules"),
            hosts: form.field("hosts"),
            groups: form.field("groups"),
            severity: form.field("severity"),
            length: form.field("for"),
            repeat: form.field("repeat"),
            zone: form.field("zone"),
            days: Day::ALL.into_iter().filter(is_ticked).collect(),
            from: form.field("from"),
            until: form.field("until"),
            why: form.field("why"),
        }
    }
}

/// What the page calls further fields of a silence.
const LABELS: [Label; 1] = [("for", "For")];

/// The page.
#[derive(Template)]
#[template(path = "silences.html")]
struct SilencesPage {
    layout: Layout,
    tabs: Tabs,
    lines: Vec<SilenceLine>,
    form: SilenceForm,
    /// Whether the person may silence anything.
    may_add: bool,
    /// The groups that a silence of the person is limited to; empty for none.
    within: String,
    problem: Option<Refusal>,
}

impl SilencesPage {
    async fn of(layout: Layout, scoped: &ScopedFleet, form: SilenceForm) -> Result<Self, Refusal> {
        let now_us = now_us();
        let lines = scoped.silences().await?;
        let within = scoped.groups_of_new_rule(None);
        Ok(Self {
            layout,
            tabs: Tabs { current: "Silences" },
            lines: lines.iter().map(|entry| SilenceLine::of(entry, now_us)).collect(),
            form,
            may_add: within.is_some(),
            within: within.as_ref().map(crate::view::host_filter::words).unwrap_or_default(),
            problem: None,
        })
    }
}

/// The page.
pub(crate) async fn page(
    layout: Layout,
    scoped: ScopedFleet,
    Query(query): Query<SilencesQuery>,
) -> Result<Response, Refusal> {
    let zone = layout.times.zone.name.clone();
    let form = SilenceForm { zone, ..SilenceForm::of(query) };
    page::render(&SilencesPage::of(layout, &scoped, form).await?)
}

/// Adds the silence of the form, or ends the one that the button names; one that is none stays in the form.
pub(crate) async fn change(layout: Layout, scoped: ScopedFleet, form: Form) -> Result<Response, Refusal> {
    let done = match form.is_ticked("end") {
        true => scoped.end_silence(&form.field("end")).await,
        false => add(&scoped, &form).await,
    };
    match done {
        Ok(()) => Ok(Redirect::to(&Url::silences().to_string()).into_response()),
        Err(problem) if matches!(problem.status, StatusCode::BAD_REQUEST | StatusCode::CONFLICT) => {
            let problem = labelled(problem, |field| label_in(&[&MATCHER, &LABELS], field));
            let status = problem.status;
            let page = SilencesPage::of(layout, &scoped, SilenceForm::filled_in(&form)).await?;
            Ok((status, page::render(&SilencesPage { problem: Some(problem), ..page })?).into_response())
        }
        Err(problem) => Err(problem),
    }
}

async fn add(scoped: &ScopedFleet, form: &Form) -> Result<(), Refusal> {
    let typed = |name: &str| form.field(name);
    let read = || Ok((read_matcher(&typed)?, read_when(&typed, now_us())?));
    let (matcher, when) = read().map_err(|problem: String| {
        Refusal::new(StatusCode::BAD_REQUEST, problem, "docs/notifications.md has every field")
    })?;
    let why = form.field("why").trim().to_owned();
    scoped.add_silence(NewSilence { matcher, when, why }).await.map(|_| ())
}
