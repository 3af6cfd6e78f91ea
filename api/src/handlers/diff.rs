//! What changed on a host between two moments.

use askama::Template;
use axum::{
    extract::{Path, RawQuery},
    response::Response,
};
use fleetps_ingestor::history::{self, Diff, NoSnapshot, Resolution, Span};
use fleetps_nats::HostName;

use super::{
    host_head::{HostHead, Tab, Visit, visit_span},
    no_snapshot, nothing,
    page::{self, Layout},
};
use crate::{
    live::{HostState, Moment, now_us},
    refusal::Refusal,
    sight::{
        Sight,
        travel::{self, Then, Travelled},
    },
    view::{
        View,
        diff::{self, Section},
        links,
        query::{self, BadParameter},
        span::Stamp,
        system,
        travel::{Links, When},
    },
};

/// Changes of one kind unless more are asked for.
const USUAL_ROWS: usize = 50;

/// What changed, or which of the two moments is not known.
#[derive(Debug)]
pub enum Answer {
    /// What changed, and how finely that time is kept.
    Changed(Box<Diff>, Resolution),
    /// There is no snapshot of this end.
    Nothing(End, NoSnapshot),
}

/// An end of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The earlier one.
    From,
    /// The later one.
    To,
}

impl End {
    /// The word for it.
    fn word(self) -> &'static str {
        match self {
            Self::From => "beginning",
            Self::To => "end",
        }
    }
}

/// Compares `host` at the ends of `span`. Where its beginning was not `given`, the first snapshot that is kept will do.
///
/// # Errors
/// When the history cannot be read, or the broker does not answer for what is not in it yet.
pub async fn compare(sight: &Sight, host: &HostName, span: Span, given: bool) -> Result<Answer, Refusal> {
    let mut found = at(sight, host, span.from_us).await?;
    if let (Travelled::Nothing(NoSnapshot::BeforeFirst { first_us }), false) = (&found, given) {
        found = at(sight, host, *first_us).await?;
    }
    let before = match found {
        Travelled::Then(then) => then,
        Travelled::Nothing(nothing) => return Ok(Answer::Nothing(End::From, nothing)),
    };
    let after = match at(sight, host, span.to_us).await? {
        Travelled::Then(then) => then,
        Travelled::Nothing(nothing) => return Ok(Answer::Nothing(End::To, nothing)),
    };
    let diff = history::diff(before.moment.snapshot(), after.moment.snapshot());
    Ok(Answer::Changed(Box::new(diff), before.resolution.max(after.resolution)))
}

/// `host` at a moment. The newest snapshot is at hand, whether it is in the history yet or not.
async fn at(sight: &Sight, host: &HostName, at_us: i64) -> Result<Travelled, Refusal> {
    let is_it = |moment: &Moment| {
        moment.summary.state != HostState::Down && moment.snapshot().captured_at_us <= at_us
    };
    match sight.moment(host).filter(is_it) {
        Some(moment) => {
            let resolution = Resolution::Samples;
            Ok(Travelled::Then(Box::new(Then { moment, earlier_us: None, later_us: None, resolution })))
        }
        None => travel::to(sight, host, at_us).await,
    }
}

/// Reads how many changes of each kind to show.
pub fn rows(text: &str) -> Result<usize, BadParameter> {
    let given =
        form_urlencoded::parse(text.as_bytes()).find(|(name, value)| name == "rows" && !value.is_empty());
    given.map_or(Ok(USUAL_ROWS), |(_, value)| query::number("rows", &value, query::MAX_ROWS))
}

/// The page of what changed.
#[derive(Template)]
#[template(path = "diff.html")]
struct DiffPage {
    layout: Layout,
    head: HostHead,
    view: View,
    answer: Answer,
    sections: Vec<Section>,
    span: Span,
    links: Links,
    rows: usize,
}

impl DiffPage {
    /// The nearest snapshots: what they are, the same page from or to them, and when they were captured.
    fn nearest(&self, end: &End, nothing: &NoSnapshot) -> Vec<(&'static str, String, Stamp)> {
        let there = |(label, at_us): (&'static str, i64)| {
            let span = match end {
                End::From => Span { from_us: at_us, ..self.span },
                End::To => Span { to_us: at_us, ..self.span },
            };
            let when = When { at_us: None, span: Some(span), ..self.links.when.clone() };
            (label, self.links.to(&when), Stamp::of(at_us))
        };
        no_snapshot::nearest(nothing).into_iter().map(there).collect()
    }

    /// The two snapshots: the host as it was, and when.
    fn ends(&self, diff: &Diff) -> [(String, Stamp); 2] {
        [diff.from_us, diff.to_us].map(|at_us| (links::host_at(&self.head.host, at_us), Stamp::of(at_us)))
    }

    /// The page with every change.
    fn more(&self) -> Option<String> {
        let is_cut = self.sections.iter().any(|section| section.count > self.rows);
        let parameters = vec![("rows", query::MAX_ROWS.to_string())];
        is_cut.then(|| Links { parameters, ..self.links.clone() }.to(&self.links.when))
    }

    fn csv(&self) -> String {
        let parameters =
            When { at_us: None, span: Some(self.span), range: None, is_relative: false }.parameters();
        links::csv(&format!("/api/v1{}", self.links.path), parameters)
    }
}

/// The page: between the ends of the timeline, or from its beginning to the moment that the page shows.
pub async fn page(
    layout: Layout,
    sight: Sight,
    Path(host): Path<String>,
    RawQuery(text): RawQuery,
) -> Result<Response, Refusal> {
    let text = text.unwrap_or_default();
    let (when, rows) = (When::parse(&text, now_us())?, rows(&text)?);
    let parameters = if rows == USUAL_ROWS { Vec::new() } else { vec![("rows", rows.to_string())] };
    let links = Links { parameters, ..Tab::Diff.links(&host, when) };
    let timeline = links.when.span(now_us());
    let span = Span { to_us: links.when.at_us.unwrap_or(timeline.to_us), ..timeline };
    let (head, moment) = match visit_span(&sight, &host, Tab::Diff, links.clone()).await? {
        Visit::Moment(head, moment) => (head, moment),
        Visit::Nothing(head, why) => return nothing::page(layout, head, &why),
        Visit::Elsewhere(response) => return Ok(response),
    };
    let answer = compare(&sight, &moment.summary.host, span, links.when.span.is_some()).await?;
    let sections = match &answer {
        Answer::Changed(diff, _) => diff::sections(diff, &format!("/hosts/{host}"), rows),
        Answer::Nothing(..) => Vec::new(),
    };
    let view = View { fields: system::head_fields(&moment, now_us()), ..View::default() };
    page::render(&DiffPage { layout, head, view, answer, sections, span, links, rows })
}
