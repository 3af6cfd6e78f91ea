//! What grew in memory over a time, on the whole fleet or one host.

use askama::Template;
use axum::response::Response;
use fleetps_ingestor::history::{History, MissingSegment, TopGroup};

use super::{
    page::{self, Layout},
    top::{self, GroupLink, TopPageQuery, TopRequest},
};
use crate::{
    display,
    extract::Query,
    history_service::AskedFor,
    query::parameter::Count,
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    url::Url,
    view::{
        growth,
        span::{PageSpan, RangeLink, Stamp},
        table::Table,
        time_field::SpanForm,
        top::{GROUPS, TopQuery, TopShow},
        when::SpanQuery,
    },
};

/// The page of what grew.
#[derive(Template)]
#[template(path = "top_growth.html")]
struct GrowthPage {
    layout: Layout,
    set_aside: Vec<MissingSegment>,
    query: TopPageQuery,
    span: PageSpan,
    /// The two moments that are compared.
    ends: [Stamp; 2],
    table: Table,
    total: String,
    is_cut: bool,
}

impl GrowthPage {
    fn timeless(&self) -> Url {
        let top = TopQuery { span: SpanQuery::default(), ..self.query.top.clone() };
        Url::top().with(&TopPageQuery { top, ..self.query.clone() })
    }

    fn ranges(&self) -> Vec<RangeLink> {
        self.span.ranges(&self.timeless())
    }

    fn span_form(&self) -> SpanForm {
        SpanForm::of(&self.layout.times, &self.timeless(), self.span.span)
    }

    /// Processes by themselves are on the page of a host.
    fn groups(&self) -> Vec<GroupLink> {
        let groups = GROUPS.into_iter().filter(|(group, ..)| *group != TopGroup::Process);
        let link = |(group, _, label)| {
            let top = TopQuery { group, limit: Count::default(), ..self.query.top.clone() };
            let href = Url::top().with(&TopPageQuery { top, ..self.query.clone() });
            GroupLink { label, href, current: group == self.query.top.group }
        };
        groups.map(link).collect()
    }

    /// The page of who used most, in the same time.
    fn used(&self) -> Url {
        Url::top().with(&self.query.top)
    }

    fn more(&self) -> Option<Url> {
        let top = TopQuery { limit: Count::MOST, ..self.query.top.clone() };
        (self.is_cut && self.query.top != top)
            .then(|| Url::top().with(&TopPageQuery { top, show: TopShow::Growth }))
    }
}

/// The page of the top: who used most, or what grew.
pub async fn either(
    layout: Layout,
    scoped: ScopedFleet,
    Query(query): Query<TopPageQuery>,
) -> Result<Response, Refusal> {
    match query.show {
        TopShow::Use => top::page(layout, scoped, query.top).await,
        TopShow::Growth => page(layout, scoped, query).await,
    }
}

/// The page of what grew. It ends with the last snapshot that is stored: what is newer is there within a minute.
async fn page(layout: Layout, scoped: ScopedFleet, mut query: TopPageQuery) -> Result<Response, Refusal> {
    if query.top.group == TopGroup::Process {
        query.top.group = TopGroup::Name;
    }
    let TopRequest { query: top, span } = TopRequest::of(query.top.clone())?;
    let last_us = scoped.history().and_then(|history| history.kept().last_us);
    let to_us = last_us.map_or(span.span.to_us, |last_us| last_us.min(span.span.to_us));
    let (from_us, group, host) = (span.span.from_us.min(to_us), top.group, top.host.clone());
    let ask = move |history: &History| {
        let (before, _) = history.memory_at(from_us, group, host.as_ref())?;
        let (after, _) = history.memory_at(to_us, group, host.as_ref())?;
        Ok(growth::grown(before, after))
    };
    let mut grown = scoped.ask_for(AskedFor::Page, ask).await?;
    let total = grown.len();
    grown.truncate(top.limit.get());
    // A process of a past span is searched for at its end; one of a span that goes on is searched for now.
    let at_us = top.span.to.filter(|to| !to.is_relative()).map(|_| to_us);
    page::render(&GrowthPage {
        layout,
        set_aside: scoped.set_aside(),
        table: growth::table(&grown, group, at_us),
        total: display::count(total as u64),
        is_cut: total > grown.len(),
        ends: [from_us, to_us].map(Stamp::of),
        query,
        span,
    })
}
