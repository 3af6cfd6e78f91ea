//! What grew in memory over a time, on the whole fleet or one host: as a page, as JSON and as CSV.

use askama::Template;
use axum::response::Response;
use fleetps_ingestor::history::{History, MemoryBetween, MissingSegment, Resolution, TopGroup};
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    json::AboutPast,
    listing::{self, List},
    page::{self, Layout},
    top::{self, GroupLink, NARROW, TopPageQuery, TopRequest},
    unanswered::Unanswered,
};
use crate::{
    answer::{Answer, Time, shape},
    csv::{self, InFormat},
    display,
    extract::Query,
    history_service::AskedFor,
    query::parameter::Count,
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    url::{HostTab, Url},
    view::{
        growth::{self, Grown, GrowthQuery},
        span::{PageSpan, RangeLink, Stamp},
        table::Table,
        time_field::SpanForm,
        top::{GROUPS, TopQuery, TopShow, id},
        when::SpanQuery,
    },
};

/// The hosts of a fleet whose history begins come within this time.
const ALL_THERE_US: i64 = 60_000_000;
/// Hosts that are named on the page: the rest is a number.
const NAMED: usize = 8;

/// What grew, and which hosts are not compared.
struct Growth {
    /// The two moments that are compared.
    ends_us: [i64; 2],
    /// What changed, in the order that was asked for; as much as was asked for.
    lines: Vec<Grown>,
    /// How many groups changed in all.
    total: usize,
    /// Hosts that are known of the later moment only, and of the earlier one only.
    apart: [Vec<String>; 2],
    resolution: Resolution,
}

/// Asks what grew. It ends with the last snapshot that is stored: what is newer is there within a minute.
async fn ask(
    scoped: &ScopedFleet,
    query: &GrowthQuery,
    span: &PageSpan,
    asked_for: AskedFor,
) -> Result<Growth, Refusal> {
    scoped.expect_known(query.host.as_ref())?;
    let kept = scoped.history().map(|history| history.kept()).unwrap_or_default();
    let to_us = kept.last_us.map_or(span.span.to_us, |last_us| last_us.min(span.span.to_us));
    // Of a time before the history begins, nothing is known of any host: it is compared from its beginning on.
    let begins_us = kept.hours_from_us.filter(|begins_us| *begins_us > span.span.from_us);
    let from_us = begins_us.map_or(span.span.from_us, |begins_us| begins_us.saturating_add(ALL_THERE_US));
    let from_us = from_us.min(to_us);
    let (group, host) = (query.group, query.host.clone());
    let question = move |history: &History| history.memory_between((from_us, to_us), group, host.as_ref());
    let MemoryBetween { before, after, came, went, resolution } = scoped.ask_for(asked_for, question).await?;
    let mut lines = growth::grown(before, after);
    growth::sort(&mut lines, query.order);
    let total = lines.len();
    lines.truncate(query.limit.get());
    Ok(Growth { ends_us: [from_us, to_us], lines, total, apart: [came, went], resolution })
}

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
    /// Hosts that came or went meanwhile: what is said of them, how many, and the first of them.
    apart: Vec<HostsApart>,
    unanswered: Option<Unanswered>,
}

/// Hosts that are known of one moment only.
struct HostsApart {
    id: &'static str,
    words: String,
    first: Vec<(String, Url)>,
    more: usize,
}

impl HostsApart {
    fn of(id: &'static str, what: &str, hosts: &[String]) -> Option<Self> {
        let count = display::count(hosts.len() as u64);
        let words = match hosts.len() {
            0 => return None,
            1 => format!("1 host {what}"),
            _ => format!("{count} hosts {what}"),
        };
        let link = |host: &String| (host.clone(), Url::host(host, HostTab::Processes));
        let first = hosts.iter().take(NAMED).map(link).collect();
        Some(Self { id, words, first, more: hosts.len().saturating_sub(NAMED) })
    }
}

impl GrowthPage {
    fn timeless(&self) -> Url {
        timeless(&self.query)
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
            .then(|| Url::top().with(&TopPageQuery { top, ..self.query.clone() }))
    }

    /// The same of all hosts.
    fn of_all_hosts(&self) -> Url {
        let top = TopQuery { host: None, ..self.query.top.clone() };
        Url::top().with(&TopPageQuery { top, ..self.query.clone() })
    }

    fn json(&self) -> Url {
        Url::growth_json().with(&GrowthQuery::of(&self.query.top, self.query.order))
    }

    fn csv(&self) -> Url {
        csv::url(Url::growth_json(), GrowthQuery::of(&self.query.top, self.query.order))
    }
}

/// The page without its span.
fn timeless(query: &TopPageQuery) -> Url {
    let top = TopQuery { span: SpanQuery::default(), ..query.top.clone() };
    Url::top().with(&TopPageQuery { top, ..query.clone() })
}

/// The page of the top: who used most, or what grew.
pub(crate) async fn either(
    layout: Layout,
    scoped: ScopedFleet,
    Query(query): Query<TopPageQuery>,
) -> Result<Response, Refusal> {
    match query.show {
        TopShow::Use => top::page(layout, scoped, query.top).await,
        TopShow::Growth => page(layout, scoped, query).await,
    }
}

/// The page of what grew.
async fn page(layout: Layout, scoped: ScopedFleet, mut query: TopPageQuery) -> Result<Response, Refusal> {
    if query.top.group == TopGroup::Process {
        query.top.group = TopGroup::Name;
    }
    let TopRequest { span, .. } = TopRequest::of(query.top.clone())?;
    let asked = ask(&scoped, &GrowthQuery::of(&query.top, query.order), &span, AskedFor::Page).await;
    let (grown, unanswered) = match Unanswered::or(asked, NARROW, || span.shorter(&timeless(&query)))? {
        Ok(grown) => (Some(grown), None),
        Err(why) => (None, Some(why)),
    };
    let ends_us = grown.as_ref().map_or([span.span.from_us, span.span.to_us], |grown| grown.ends_us);
    // A process of a past span is searched for at its end; one of a span that goes on is searched for now.
    let at_us = query.top.span.to.filter(|to| !to.is_relative()).map(|_| ends_us[1]);
    let (lines, total, [came, went]) =
        grown.map(|grown| (grown.lines, grown.total, grown.apart)).unwrap_or_default();
    let sorted_by = |order| Url::top().with(&TopPageQuery { order, ..query.clone() });
    let apart = [
        HostsApart::of("came", "came since the first moment: what runs there is not compared", &came),
        HostsApart::of("went", "sent nothing at the last moment: what ran there is not compared", &went),
    ];
    let response = page::render(&GrowthPage {
        layout,
        set_aside: scoped.set_aside(),
        table: growth::table(&lines, query.top.group, at_us, (query.order, sorted_by)),
        total: display::count(total as u64),
        is_cut: total > lines.len(),
        ends: ends_us.map(Stamp::of),
        apart: apart.into_iter().flatten().collect(),
        unanswered: unanswered.clone(),
        query,
        span,
    })?;
    Ok(Unanswered::dress(unanswered.as_ref(), response))
}

/// The columns of the CSV form.
const COLUMNS: [&str; 6] =
    ["key", "hosts", "processes", "memory_bytes_before", "memory_bytes", "change_bytes"];

/// What grew in memory between two moments.
#[derive(Serialize, JsonSchema)]
pub(crate) struct GrowthList<'a> {
    #[schemars(extend("enum" = GROUPS.map(|(_, id, _)| id)))]
    group: &'static str,
    from: Time,
    to: Time,
    /// How many lines there are, without `limit`.
    total: u64,
    /// Hosts that are known of `to` only: what runs there is not compared.
    hosts_came: &'a [String],
    /// Hosts that are known of `from` only.
    hosts_went: &'a [String],
    growth: Vec<Line<'a>>,
}

/// A program, a user, a unit or a host.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "GrowthLine")]
struct Line<'a> {
    /// Its name; null for what has none.
    key: Option<&'a str>,
    /// Its hosts at `to`.
    hosts: u64,
    /// Its processes at `to`.
    processes: u64,
    /// Its memory at `from`, what processes of one host share counted once; 0 where it was not there.
    memory_bytes_before: u64,
    /// Its memory at `to`.
    memory_bytes: u64,
    change_bytes: i64,
}

shape!(GrowthList<'_>);

fn line(grown: &Grown) -> Line<'_> {
    let (hosts, processes) = grown.counts;
    Line {
        key: grown.key.as_deref(),
        hosts,
        processes,
        memory_bytes_before: grown.before_bytes as u64,
        memory_bytes: grown.after_bytes as u64,
        change_bytes: grown.change_bytes(),
    }
}

/// What grew, as JSON or CSV.
pub(crate) async fn list(
    scoped: ScopedFleet,
    Query(InFormat { query, format }): Query<InFormat<GrowthQuery>>,
) -> Result<Answer<AboutPast<GrowthList<'static>>>, Refusal> {
    let query = query.put_together();
    let TopRequest { span, .. } =
        TopRequest::of(TopQuery { span: query.span.clone(), ..TopQuery::default() })?;
    let grown = ask(&scoped, &query, &span, format.into()).await?;
    let [came, went] = &grown.apart;
    let answer = GrowthList {
        group: id(query.group, &GROUPS),
        from: Time(grown.ends_us[0]),
        to: Time(grown.ends_us[1]),
        total: grown.total as u64,
        hosts_came: came,
        hosts_went: went,
        growth: grown.lines.iter().map(line).collect(),
    };
    let rows = |answer: &GrowthList<'_>| listing::objects(&answer.growth);
    let list = List { name: "growth", columns: &COLUMNS, rows, resolution: grown.resolution, answer };
    Ok(listing::answer(&scoped, format, list))
}
