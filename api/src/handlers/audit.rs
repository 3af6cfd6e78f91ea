//! Who did what: the page for administrators. Newest first; older ones by `to`.

use askama::Template;
use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use fleetps_ingestor::audit::AuditQuery;

use super::page::{self, Layout};
use crate::{
    display,
    live::now_us,
    people::Person,
    refusal::Refusal,
    state::AppState,
    view::{
        audit, links,
        query::{self, BadParameter},
        span::{RangeLink, SpanQuery},
        table::Table,
    },
};

/// Entries on a page or in an answer unless more are asked for: about ten screens.
const USUAL_ENTRIES: usize = 200;
/// The most entries at once.
const MAX_ENTRIES: usize = 20_000;

/// Which entries.
#[derive(Debug, Clone)]
pub struct AuditFilter {
    /// When.
    pub span: SpanQuery,
    who: String,
    action: String,
    host: String,
    limit: usize,
}

impl AuditFilter {
    /// Reads it from the part of the URL behind the question mark.
    pub fn parse(text: &str) -> Result<Self, BadParameter> {
        let now_us = now_us();
        let mut parsed = Self {
            // What was written down just now is in it, by whichever clock.
            span: SpanQuery::parse(text, now_us.saturating_add(60_000_000), now_us, "7d")?,
            who: String::new(),
            action: String::new(),
            host: String::new(),
            limit: USUAL_ENTRIES,
        };
        for (name, value) in form_urlencoded::parse(text.as_bytes()).filter(|(_, value)| !value.is_empty()) {
            match name.as_ref() {
                "who" => parsed.who = value.into_owned(),
                "action" => parsed.action = value.into_owned(),
                "host" => parsed.host = value.into_owned(),
                "limit" => parsed.limit = query::number("limit", &value, MAX_ENTRIES)?.max(1),
                _ => {}
            }
        }
        Ok(parsed)
    }

    /// The same as a question.
    pub fn question(&self) -> AuditQuery {
        let given = |text: &String| (!text.is_empty()).then(|| text.clone());
        AuditQuery {
            from_us: self.span.span.from_us,
            to_us: self.span.span.to_us,
            who: given(&self.who),
            action: given(&self.action),
            host: given(&self.host),
            limit: self.limit,
        }
    }

    /// What the URL says beside the span.
    fn parameters(&self) -> Vec<(&'static str, String)> {
        let texts = [("who", &self.who), ("action", &self.action), ("host", &self.host)];
        let given = texts.into_iter().filter(|(_, text)| !text.is_empty());
        let mut parameters: Vec<_> = given.map(|(name, text)| (name, text.clone())).collect();
        if self.limit != USUAL_ENTRIES {
            parameters.push(("limit", self.limit.to_string()));
        }
        parameters
    }

    /// All that the URL says.
    fn all_parameters(&self) -> Vec<(&'static str, String)> {
        self.span.behind(self.parameters())
    }

    /// The address of the entries until `at_us` of the one shown last; it is shown again with those of the same moment.
    pub fn older(&self, path: &str, at_us: i64) -> String {
        let older = Self { span: self.span.until(at_us.saturating_add(1)), ..self.clone() };
        query::url(path, &older.all_parameters())
    }
}

/// The page.
#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    layout: Layout,
    filter: AuditFilter,
    table: Table,
    total: String,
    older: Option<String>,
    unreadable: Vec<String>,
}

impl AuditPage {
    fn ranges(&self) -> Vec<RangeLink> {
        self.filter.span.ranges("/audit", &self.filter.parameters())
    }

    fn csv(&self) -> String {
        links::csv("/api/v1/audit", self.filter.all_parameters())
    }
}

/// Who did what, as a page.
pub async fn page(
    layout: Layout,
    State(shared): State<AppState>,
    person: Person,
    RawQuery(text): RawQuery,
) -> Result<Response, Refusal> {
    let filter = AuditFilter::parse(&text.unwrap_or_default())?;
    let found = shared.records.search(&person, filter.question()).await?;
    let last_us = found.entries.last().map(|last| last.entry.at_us);
    let is_more = found.total > found.entries.len() as u64;
    page::render(&AuditPage {
        layout,
        table: audit::table(&found.entries),
        total: display::count(found.total),
        older: last_us.filter(|_| is_more).map(|last_us| filter.older("/audit", last_us)),
        unreadable: found.unreadable.iter().map(ToString::to_string).collect(),
        filter,
    })
}
