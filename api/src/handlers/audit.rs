//! The audit (who did what): the page for administrators. Newest first; older ones by `to`.

use std::time::Duration;

use askama::Template;
use axum::{extract::State, response::Response};
use fleetps_ingestor::audit;
use fleetps_nats::audit::Chained;
use serde::{Deserialize, Serialize};

use super::page::{self, Layout};
use crate::{
    auth::Person,
    authz::{Decision, Permission, permission_of},
    command::without_command_line,
    csv, display,
    extract::Query,
    live::now_us,
    query::{
        parameter::{self, BadParameter, Count, is_default},
        parameters,
    },
    refusal::Refusal,
    state::AppState,
    url::Url,
    view::{
        audit as audit_table,
        span::{PageSpan, RangeLink},
        table::Table,
        time_field::SpanForm,
        when::SpanQuery,
    },
};

/// Entries on a page or in an answer by default: about ten screens.
const DEFAULT_ENTRIES: usize = 200;
/// The most entries at once.
const MAX_ENTRIES: usize = 20_000;

/// The span unless one is given.
const DEFAULT_SPAN: Duration = Duration::from_secs(7 * 86_400);

/// The query of the audit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct AuditQuery {
    /// A part of a name.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub who: String,
    /// The description.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub action: String,
    /// To which host.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub host: String,
    /// The most entries.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub limit: Count<DEFAULT_ENTRIES, MAX_ENTRIES, 1>,
    /// The span.
    #[serde(flatten)]
    pub span: SpanQuery,
}

parameters! {
    AuditQuery {
        who: "A part of the person's name.",
        action: "The action, as in sign-in; token is all that begin so.",
        host: "Only about this host.",
        limit: "The most entries.",
        ..span,
    }
}

/// The requested entries.
#[derive(Debug, Clone)]
pub(crate) struct AuditRequest {
    /// The query.
    pub query: AuditQuery,
    /// The span.
    pub span: PageSpan,
}

impl AuditRequest {
    /// The request that `query` means now.
    ///
    /// # Errors
    /// When its span ends before it begins.
    pub(crate) fn of(query: AuditQuery) -> Result<Self, BadParameter> {
        let now_us = now_us();
        let span = PageSpan::of(query.span.clone(), now_us, now_us, DEFAULT_SPAN)?;
        Ok(Self { query, span })
    }

    /// The same as a question.
    pub(crate) fn question(&self) -> audit::AuditQuery {
        let given = |text: &String| (!text.is_empty()).then(|| text.clone());
        // Entries of this moment are included, by any program's clock.
        let ahead_us = if self.span.follows_ms().is_some() { 60_000_000 } else { 0 };
        audit::AuditQuery {
            from_us: self.span.span.from_us,
            to_us: self.span.span.to_us.saturating_add(ahead_us),
            who: given(&self.query.who),
            action: given(&self.query.action),
            host: given(&self.query.host),
            limit: self.query.limit.get(),
        }
    }

    /// The query for older entries, up to `at_us` of the last one shown; entries of that moment are shown again.
    pub(crate) fn older(&self, at_us: i64) -> AuditQuery {
        AuditQuery { span: self.span.until(at_us.saturating_add(1)), ..self.query.clone() }
    }
}

/// The page.
#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    layout: Layout,
    query: AuditQuery,
    span: PageSpan,
    table: Table,
    total: String,
    older: Option<Url>,
    unreadable: Vec<String>,
}

impl AuditPage {
    fn timeless(&self) -> Url {
        Url::audit().with(&AuditQuery { span: SpanQuery::default(), ..self.query.clone() })
    }

    fn ranges(&self) -> Vec<RangeLink> {
        self.span.ranges(&self.timeless())
    }

    fn span_form(&self) -> SpanForm {
        SpanForm::of(&self.layout.times, &self.timeless(), self.span.span)
    }

    fn json(&self) -> Url {
        Url::audit().api().with(&self.query)
    }

    fn csv(&self) -> Url {
        csv::url(Url::audit().api(), self.query.clone())
    }

    /// The hidden fields of the form: the span.
    fn carried(&self) -> Vec<(String, String)> {
        Url::audit().with(&self.query.span).parameters()
    }
}

/// Takes the command lines of signalled processes off, where the person may not see them.
pub(crate) fn withhold_command_lines(shared: &AppState, person: &Person, entries: &mut [Chained]) {
    for Chained { entry, .. } in
        entries.iter_mut().filter(|chained| chained.entry.action.starts_with("command."))
    {
        let groups = entry.host.as_ref().map(|host| shared.groups.of(host));
        if permission_of(person, Permission::SeeCommandLines, groups.as_ref()) != Decision::Allowed {
            entry.what = without_command_line(&entry.what).to_owned();
        }
    }
}

/// The audit as a page.
pub(crate) async fn page(
    layout: Layout,
    State(shared): State<AppState>,
    person: Person,
    Query(query): Query<AuditQuery>,
) -> Result<Response, Refusal> {
    let request = AuditRequest::of(query)?;
    let mut found = shared.audit_log.search(&person, request.question()).await?;
    withhold_command_lines(&shared, &person, &mut found.entries);
    let last_us = found.entries.last().map(|last| last.entry.at_us);
    let is_more = found.total > found.entries.len() as u64;
    page::render(&AuditPage {
        layout,
        table: audit_table::table(&found.entries),
        total: display::count(found.total),
        older: last_us.filter(|_| is_more).map(|last_us| Url::audit().with(&request.older(last_us))),
        unreadable: found.unreadable.iter().map(ToString::to_string).collect(),
        query: request.query,
        span: request.span,
    })
}
