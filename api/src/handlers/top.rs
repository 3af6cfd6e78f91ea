//! Who used most, over any time, of the whole fleet or one host.

use askama::Template;
use axum::{extract::RawQuery, response::Response};
use fleetps_ingestor::history::{Listing, Resolution, SetAside, TopBy, TopGroup, TopQuery, TopRow};
use fleetps_nats::HostName;

use super::{
    json::resolution_word,
    page::{self, Layout},
};
use crate::{
    display,
    live::now_us,
    refusal::Refusal,
    sight::Sight,
    view::{
        links,
        query::{self, BadParameter},
        span::{RangeLink, SpanQuery},
        table::Table,
        top::{self, GROUPS, ORDERS, TopTable},
    },
};

/// Lines unless more are asked for: two screens.
const USUAL_LINES: usize = 50;
/// The most lines, and what the sum for shares is made of: more programs than a large fleet runs.
const MAX_LINES: usize = 10_000;
/// Which top.
#[derive(Debug, Clone)]
pub struct TopRequest {
    /// By what it is ordered.
    pub by: TopBy,
    /// What is put together.
    pub group: TopGroup,
    /// Over which time.
    pub span: SpanQuery,
    host: Option<HostName>,
    limit: usize,
}

impl TopRequest {
    /// Reads it from the part of the URL behind the question mark.
    pub fn parse(text: &str) -> Result<Self, BadParameter> {
        let now_us = now_us();
        let mut parsed = Self {
            by: TopBy::Cpu,
            group: TopGroup::Name,
            host: None,
            span: SpanQuery::parse(text, now_us, now_us, "1h")?,
            limit: USUAL_LINES,
        };
        for (name, value) in form_urlencoded::parse(text.as_bytes()).filter(|(_, value)| !value.is_empty()) {
            match name.as_ref() {
                "by" => parsed.by = one_of("by", &value, &ORDERS)?,
                "group" => parsed.group = one_of("group", &value, &GROUPS)?,
                "host" => {
                    let bad = |_| {
                        BadParameter::new("host", &value, "the name of a host, as the fleet page lists them")
                    };
                    parsed.host = Some(value.parse().map_err(bad)?);
                }
                "limit" => parsed.limit = query::number("limit", &value, MAX_LINES)?,
                _ => {}
            }
        }
        Ok(parsed)
    }

    /// Name and value of everything but the span.
    fn parameters(&self) -> Vec<(&'static str, String)> {
        let mut parameters = Vec::new();
        if self.by != TopBy::Cpu {
            parameters.push(("by", id(self.by, &ORDERS).to_owned()));
        }
        if self.group != TopGroup::Name {
            parameters.push(("group", id(self.group, &GROUPS).to_owned()));
        }
        if let Some(host) = &self.host {
            parameters.push(("host", host.to_string()));
        }
        if self.limit != USUAL_LINES {
            parameters.push(("limit", self.limit.to_string()));
        }
        parameters
    }

    fn all_parameters(&self) -> Vec<(&'static str, String)> {
        self.span.behind(self.parameters())
    }

    /// Asks for more lines than are shown, so that shares are of everything.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub async fn ask(&self, sight: &Sight) -> Result<Answer, Refusal> {
        let question = TopQuery {
            by: self.by,
            group: self.group,
            span: self.span.span,
            host: self.host.clone(),
            limit: MAX_LINES,
        };
        let Listing { mut items, total, resolution } =
            sight.ask(move |history| history.top(&question)).await?;
        let is_whole = total <= items.len() as u64;
        let sum = if is_whole { top::sum(&items, self.by) } else { None };
        items.truncate(self.limit);
        Ok(Answer { rows: items, sum, total, resolution })
    }
}

/// The first lines of a top.
pub struct Answer {
    /// The lines.
    pub rows: Vec<TopRow>,
    /// What all lines add up to, where that is known.
    pub sum: Option<f64>,
    /// How many lines there are in all.
    pub total: u64,
    /// How finely the past was kept.
    pub resolution: Resolution,
}

fn one_of<T: Copy>(parameter: &str, given: &str, known: &[(T, &str, &str)]) -> Result<T, BadParameter> {
    let found = known.iter().find(|(_, id, _)| *id == given).map(|(value, ..)| *value);
    found.ok_or_else(|| {
        let ids: Vec<&str> = known.iter().map(|(_, id, _)| *id).collect();
        BadParameter::new(parameter, given, format!("one of {}", ids.join(", ")))
    })
}

/// The name of a value in URLs and in JSON.
pub fn id<T: Copy + PartialEq>(value: T, known: &[(T, &'static str, &'static str)]) -> &'static str {
    known.iter().find(|(candidate, ..)| *candidate == value).map_or("", |(_, id, _)| id)
}

/// The page of a top.
#[derive(Template)]
#[template(path = "top.html")]
struct TopPage {
    layout: Layout,
    set_aside: Vec<SetAside>,
    request: TopRequest,
    table: Table,
    total: String,
    is_cut: bool,
    resolution: &'static str,
}

/// A place in the switch between groups.
struct GroupLink {
    label: &'static str,
    href: String,
    current: bool,
}

impl TopPage {
    fn groups(&self) -> Vec<GroupLink> {
        let link = |(group, _, label): (TopGroup, &str, &'static str)| {
            let request = TopRequest { group, limit: USUAL_LINES, ..self.request.clone() };
            GroupLink {
                label,
                href: query::url("/top", &request.all_parameters()),
                current: group == self.request.group,
            }
        };
        GROUPS.map(link).into()
    }

    fn ranges(&self) -> Vec<RangeLink> {
        self.request.span.ranges("/top", &self.request.parameters())
    }

    fn csv(&self) -> String {
        links::csv("/api/v1/top", self.request.all_parameters())
    }

    /// The link to all lines, when not all are shown.
    fn more(&self) -> Option<String> {
        let request = TopRequest { limit: MAX_LINES, ..self.request.clone() };
        (self.is_cut && self.request.limit < MAX_LINES).then(|| query::url("/top", &request.all_parameters()))
    }

    /// The same top of all hosts.
    fn of_all_hosts(&self) -> String {
        query::url("/top", &TopRequest { host: None, ..self.request.clone() }.all_parameters())
    }
}

/// The page.
pub async fn page(layout: Layout, sight: Sight, RawQuery(text): RawQuery) -> Result<Response, Refusal> {
    let request = TopRequest::parse(&text.unwrap_or_default())?;
    let answer = request.ask(&sight).await?;
    let table = TopTable {
        by: request.by,
        group: request.group,
        span: request.span.span,
        host: request.host.as_ref().map(HostName::as_str),
        sum: answer.sum,
        carried: request.all_parameters(),
    };
    page::render(&TopPage {
        layout,
        set_aside: sight.set_aside(),
        table: table.table(&answer.rows),
        is_cut: answer.total > answer.rows.len() as u64,
        total: display::count(answer.total),
        resolution: resolution_word(answer.resolution),
        request,
    })
}
