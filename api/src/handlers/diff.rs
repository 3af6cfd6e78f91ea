//! The differences of a host between two moments.

use askama::Template;
use axum::response::{self, Response};
use fleetps_ingestor::history::{self, Diff, NoSnapshot, Resolution, Span};
use fleetps_nats::HostName;
use serde::{Deserialize, Serialize};

use super::{
    host_head::HostHead,
    no_snapshot,
    page::{self, Layout},
    unanswered::Unanswered,
    visit::visit_span,
};
use crate::{
    csv,
    extract::{Host, Query},
    live::{Moment, now_us},
    query::{
        order::{Direction, Order},
        parameter::{self, Count, is_default},
    },
    refusal::Refusal,
    scoped_fleet::{
        ScopedFleet,
        travel::{self, PastLookup, PastMoment},
    },
    url::{HostTab, Url},
    view::{
        View,
        diff::{self, DiffBy, Section, Sorting},
        query::MAX_ROWS,
        span::Stamp,
        system,
        time_field::{SpanForm, TimeField},
        travel::{Links, TimeQuery, When, host_at},
        when::SpanQuery,
    },
};

/// Changes of one kind by default.
const DEFAULT_ROWS: usize = 50;

/// The differences, or which of the two moments is unknown.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The differences, and the resolution of that time.
    Changed(Box<Diff>, Resolution),
    /// There is no snapshot of this end.
    Nothing(End, NoSnapshot),
}

/// An end of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
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
/// When the history cannot be read, or the broker does not answer for snapshots that are not in it yet.
pub(crate) async fn compare(
    scoped: &ScopedFleet,
    host: &HostName,
    span: Span,
    given: bool,
) -> Result<Answer, Refusal> {
    let mut found = at(scoped, host, span.from_us).await?;
    if let (PastLookup::Nothing(NoSnapshot::BeforeFirst { first_us }), false) = (&found, given) {
        found = at(scoped, host, *first_us).await?;
    }
    let before = match found {
        PastLookup::PastMoment(then) => then,
        PastLookup::Nothing(nothing) => return Ok(Answer::Nothing(End::From, nothing)),
    };
    let after = match at(scoped, host, span.to_us).await? {
        PastLookup::PastMoment(then) => then,
        PastLookup::Nothing(nothing) => return Ok(Answer::Nothing(End::To, nothing)),
    };
    let diff = history::diff(before.moment.snapshot(), after.moment.snapshot());
    Ok(Answer::Changed(Box::new(diff), before.resolution.max(after.resolution)))
}

/// `host` at a moment. The newest snapshot is at hand, whether it is in the history yet or not.
async fn at(scoped: &ScopedFleet, host: &HostName, at_us: i64) -> Result<PastLookup, Refusal> {
    let is_it =
        |moment: &Moment| moment.summary.state.is_current() && moment.snapshot().captured_at_us <= at_us;
    match scoped.moment(host).filter(is_it) {
        Some(moment) => {
            let resolution = Resolution::Samples;
            Ok(PastLookup::PastMoment(Box::new(PastMoment {
                moment,
                earlier_us: None,
                later_us: None,
                resolution,
                away: None,
            })))
        }
        None => travel::to(scoped, host, at_us).await,
    }
}

/// The query of the page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct DiffQuery {
    /// The most changes of each kind.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub rows: Count<DEFAULT_ROWS, MAX_ROWS>,
    /// By what each kind is sorted that has such a column; without it by what matters most.
    #[serde(with = "parameter::optional", skip_serializing_if = "Option::is_none")]
    pub sort: Option<DiffBy>,
    /// Which way.
    #[serde(with = "parameter::optional", skip_serializing_if = "Option::is_none")]
    pub dir: Option<Direction>,
    /// The span, or the moment at its end.
    #[serde(flatten)]
    pub when: TimeQuery,
}

/// The page of what changed.
#[derive(Template)]
#[template(path = "diff.html")]
struct DiffPage {
    layout: Layout,
    head: HostHead,
    view: View,
    answer: Result<Answer, Unanswered>,
    sections: Vec<Section>,
    span: Span,
    links: Links,
    query: DiffQuery,
}

impl DiffPage {
    /// The nearest snapshots: what they are, the same page from or to them, and when they were captured.
    fn nearest(&self, end: &End, nothing: &NoSnapshot) -> Vec<(&'static str, Url, Stamp)> {
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
    fn ends(&self, diff: &Diff) -> [(Url, Stamp); 2] {
        let host = self.head.host.as_str();
        [diff.from_us, diff.to_us].map(|at_us| (host_at(host, at_us), Stamp::of(at_us)))
    }

    /// The two fields, with the moments that the page compares: on a page at a moment, it ends there.
    fn ends_of(&self, form: &SpanForm) -> [TimeField; 2] {
        let [from, to] = form.fields.clone();
        match to.problem {
            Some(_) => [from, to],
            None => [from, self.layout.times.field("to", "To", Some(self.span.to_us))],
        }
    }

    /// The page with every change.
    fn more(&self) -> Option<Url> {
        let is_cut = self.sections.iter().any(|section| section.is_cut);
        let when = TimeQuery::from(&self.links.when);
        let query = DiffQuery { rows: Count::MOST, when, ..self.query.clone() };
        is_cut.then(|| self.url().with(&query))
    }

    fn json(&self) -> Url {
        self.url().api().with(&SpanQuery::of(self.span))
    }

    fn csv(&self) -> Url {
        csv::url(self.url().api(), SpanQuery::of(self.span))
    }

    fn url(&self) -> Url {
        Url::host(self.head.host.as_str(), HostTab::Diff)
    }
}

/// The page: between the ends of the timeline, or from its beginning to the moment that the page shows.
pub(crate) async fn page(
    layout: Layout,
    scoped: ScopedFleet,
    Query(query): Query<DiffQuery>,
    Host(host): Host,
) -> response::Result<Response> {
    let timeless = DiffQuery { when: TimeQuery::default(), ..query.clone() };
    let page = Url::host(host.as_str(), HostTab::Diff).with(&timeless);
    let by = query.sort.map(|sort| Order::by(sort, query.dir));
    let links = Links { page, when: query.when.resolve(now_us())? };
    let timeline = links.when.span(now_us());
    let span = Span { to_us: links.when.at_us.unwrap_or(timeline.to_us), ..timeline };
    let visited = visit_span(&scoped, &host, HostTab::Diff, links.clone()).await?;
    let (head, moment) = visited.moment(&layout)?;
    let answer = compare(&scoped, &host, span, links.when.span.is_some()).await;
    let answer =
        Unanswered::or(answer, "compare moments that are closer together", || links.shorter(now_us()))?;
    let rows = query.rows.get();
    let sections = match &answer {
        Ok(Answer::Changed(diff, _)) => {
            let sorted_by = |sort, dir| {
                let query = DiffQuery { sort: Some(sort), dir, ..query.clone() };
                Url::host(host.as_str(), HostTab::Diff).with(&query)
            };
            diff::sections(diff, host.as_str(), rows, &Sorting { by, sorted_by: &sorted_by })
        }
        Ok(Answer::Nothing(..)) | Err(_) => Vec::new(),
    };
    let view = View { fields: system::head_fields(&moment, now_us()), ..View::default() };
    let why = answer.as_ref().err().cloned();
    let response = page::render(&DiffPage { layout, head, view, answer, sections, span, links, query })?;
    Ok(Unanswered::dress(why.as_ref(), response))
}
