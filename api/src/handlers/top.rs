//! The top users of CPU, memory and disk, over any time, of the whole fleet or one host.

use std::time::Duration;

use askama::Template;
use axum::response::Response;
use fleetps_ingestor::history::{self, CpuUse, Listing, MissingSegment, Resolution, Top, TopGroup, TopRow};
use serde::{Deserialize, Serialize};

use super::{
    alert_link,
    json::resolution_word,
    page::{self, Layout},
    unanswered::Unanswered,
};
use crate::{
    csv, display,
    history_service::AskedFor,
    live::now_us,
    query::{
        order::Order,
        parameter::{self, BadParameter, Count, is_default},
    },
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    url::Url,
    view::{
        alert_on,
        growth::GrowthBy,
        span::{PageSpan, RangeLink},
        table::Table,
        time_field::SpanForm,
        top::{self, GROUPS, MAX_LINES, TopQuery, TopShow, TopTable},
        when::SpanQuery,
    },
};

/// What can be narrowed on the page.
pub(super) const NARROW: &str = "choose a shorter range, or one host";
/// The span unless one is given.
const DEFAULT_SPAN: Duration = Duration::from_secs(3_600);

/// A requested top.
#[derive(Debug, Clone)]
pub(crate) struct TopRequest {
    /// The query.
    pub query: TopQuery,
    /// Over which time.
    pub span: PageSpan,
}

impl TopRequest {
    /// The request that `query` means now.
    ///
    /// # Errors
    /// When its span ends before it begins.
    pub(crate) fn of(query: TopQuery) -> Result<Self, BadParameter> {
        let now_us = now_us();
        let span = PageSpan::of(query.span.clone(), now_us, now_us, DEFAULT_SPAN)?;
        Ok(Self { query, span })
    }

    /// Asks for more lines than are shown, so that shares are of everything.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub(crate) async fn ask(&self, scoped: &ScopedFleet, asked_for: AskedFor) -> Result<Answer, Refusal> {
        scoped.expect_known(self.query.host.as_ref())?;
        let question = history::TopQuery {
            by: self.query.by,
            group: self.query.group,
            span: self.span.span,
            host: self.query.host.clone(),
            limit: MAX_LINES,
        };
        let Top { lines, cpu } = scoped.ask_for(asked_for, move |history| history.top(&question)).await?;
        let Listing { mut items, total, resolution } = lines;
        let is_whole = total <= items.len() as u64;
        let sum = if is_whole { top::sum(&items, self.query.by) } else { None };
        items.truncate(self.query.limit.get());
        Ok(Answer { rows: items, sum, cpu, total, resolution })
    }
}

/// The first lines of a top.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The lines.
    pub rows: Vec<TopRow>,
    /// The sum of all lines, where it is known.
    pub sum: Option<f64>,
    /// The CPU time of all processes and machines, where it is known.
    pub cpu: Option<CpuUse>,
    /// How many lines there are in all.
    pub total: u64,
    /// How finely the past was kept.
    pub resolution: Resolution,
}

/// The page of a top.
#[derive(Template)]
#[template(path = "top.html")]
struct TopPage {
    layout: Layout,
    set_aside: Vec<MissingSegment>,
    query: TopQuery,
    span: PageSpan,
    table: Table,
    total: String,
    is_cut: bool,
    /// The CPU time of all processes beside the machines', in words.
    cpu: Option<String>,
    resolution: &'static str,
    alert: Option<Url>,
    unanswered: Option<Unanswered>,
}

/// A place in the switch between groups.
pub(crate) struct GroupLink {
    /// What it is called.
    pub label: &'static str,
    /// Where it leads.
    pub href: Url,
    /// Whether it is the page's.
    pub current: bool,
}

/// The query of the page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct TopPageQuery {
    /// The top.
    #[serde(flatten)]
    pub top: TopQuery,
    /// What is shown of it.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub show: TopShow,
    /// What grew is sorted by this.
    #[serde(flatten)]
    pub order: Order<GrowthBy>,
}

impl TopPage {
    fn groups(&self) -> Vec<GroupLink> {
        let link = |(group, _, label): (TopGroup, &str, &'static str)| {
            let query = TopQuery { group, limit: Count::default(), ..self.query.clone() };
            GroupLink { label, href: Url::top().with(&query), current: group == self.query.group }
        };
        GROUPS.map(link).into()
    }

    fn timeless(&self) -> Url {
        timeless(&self.query)
    }

    fn ranges(&self) -> Vec<RangeLink> {
        self.span.ranges(&self.timeless())
    }

    fn span_form(&self) -> SpanForm {
        SpanForm::of(&self.layout.times, &self.timeless(), self.span.span)
    }

    fn json(&self) -> Url {
        Url::top().api().with(&self.query)
    }

    fn csv(&self) -> Url {
        csv::url(Url::top().api(), self.query.clone())
    }

    /// The link to all lines, when not all are shown.
    fn more(&self) -> Option<Url> {
        let query = TopQuery { limit: Count::MOST, ..self.query.clone() };
        (self.is_cut && self.query != query).then(|| Url::top().with(&query))
    }

    /// What grew in memory in the same time.
    fn grown(&self) -> Url {
        let top = TopQuery { limit: Count::default(), ..self.query.clone() };
        Url::top().with(&TopPageQuery { top, show: TopShow::Growth, order: Order::default() })
    }

    /// The same top of all hosts.
    fn of_all_hosts(&self) -> Url {
        Url::top().with(&TopQuery { host: None, ..self.query.clone() })
    }
}

/// The page without its span.
fn timeless(query: &TopQuery) -> Url {
    Url::top().with(&TopQuery { span: SpanQuery::default(), ..query.clone() })
}

/// "Processes used 61 s of CPU; the machines counted 64 s, so 3 s (4.7 %) were in no process that was seen"
fn in_words(cpu: CpuUse) -> String {
    let [processes, machines, elsewhere] =
        [cpu.processes_ms, cpu.machines_ms, cpu.elsewhere_ms()].map(|ms| display::cpu_time(Some(ms)));
    let share = 100.0 * cpu.elsewhere_ms() as f64 / cpu.machines_ms.max(1) as f64;
    let share = display::percent(Some(share));
    format!(
        "All processes used {processes} of CPU. The machines counted {machines}, so {elsewhere} ({share} %) was in no process \
         that was seen"
    )
}

/// The page of who used most.
pub(crate) async fn page(layout: Layout, scoped: ScopedFleet, query: TopQuery) -> Result<Response, Refusal> {
    let request = TopRequest::of(query)?;
    let asked = request.ask(&scoped, AskedFor::Page).await;
    let asked = Unanswered::or(asked, NARROW, || request.span.shorter(&timeless(&request.query)))?;
    let (answer, unanswered) = match asked {
        Ok(answer) => (Some(answer), None),
        Err(why) => (None, Some(why)),
    };
    let answer = answer.as_ref();
    let sum = answer.and_then(|answer| answer.sum);
    let table = TopTable { query: &request.query, span: request.span.span, sum };
    let response = page::render(&TopPage {
        layout,
        set_aside: scoped.set_aside(),
        table: answer.map(|answer| table.table(&answer.rows)).unwrap_or_default(),
        is_cut: answer.is_some_and(|answer| answer.total > answer.rows.len() as u64),
        total: answer.map(|answer| display::count(answer.total)).unwrap_or_default(),
        cpu: answer.and_then(|answer| answer.cpu).filter(|cpu| cpu.machines_ms > 0).map(in_words),
        resolution: answer.map(|answer| resolution_word(answer.resolution)).unwrap_or_default(),
        unanswered: unanswered.clone(),
        alert: alert_link::link(&scoped, alert_on::top(&request.query), request.query.host.as_ref()),
        query: request.query,
        span: request.span,
    })?;
    Ok(Unanswered::dress(unanswered.as_ref(), response))
}
