//! `/api/v1/suggest`: what is called like a text that somebody is typing, a few of each kind, the best first. Pages show it below
//! the box of their head.
//!
//! Parameters: `q` (the text; it may end with a time, as in `xz at 16:28`), `at` (the moment that the page shows). Names are
//! those of now, also where the links lead to a moment: going through the past takes too long for each letter. Where `q` is more
//! than words, nothing is suggested but its search.

use axum::http::HeaderMap;
use fleetps_ingestor::filter::{Filter, FilterError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    answer::{Answer, Time, shape},
    extract::Query,
    live::{Named, NamedProcess, Suggested, Summary, Wanted, now_us},
    query::{
        parameter::{self, is_default},
        parameters,
    },
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    url::Url,
    view::{query::FilterText, search, time_field::ReaderZone, when::TimeParam},
};

/// The query.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SuggestQuery {
    /// The text.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub q: FilterText,
    /// The moment of the page; absent for the present.
    #[serde(with = "parameter::optional", skip_serializing_if = "Option::is_none")]
    pub at: Option<TimeParam>,
}

parameters! {
    SuggestQuery {
        q: "The text: words, or a filter over processes. It may end with a time, as in xz at 16:28.",
        at: "The moment that the page shows: the search at it is offered beside that of now.",
    }
}

/// A host, program, user or unit; `page` is the address of what is known of it.
#[derive(Serialize, JsonSchema)]
struct Suggestion {
    name: String,
    page: String,
    /// Of a host: up, silent, down or paused; null for others.
    state: Option<&'static str>,
    /// Its processes on hosts that are up; null for a host.
    processes: Option<u64>,
    /// The hosts that are up and have some.
    hosts: Option<u64>,
}

/// A process.
#[derive(Serialize, JsonSchema)]
struct SuggestedProcess {
    name: String,
    page: String,
    host: String,
    pid: u32,
    /// In percent of one core.
    cpu_percent: Option<f32>,
}

/// A search that the text leads to.
#[derive(Serialize, JsonSchema)]
struct SuggestedSearch {
    /// What is searched.
    q: String,
    page: String,
    /// The moment that is searched; null for the present.
    at: Option<Time>,
}

/// What is wrong with the text, where it is no filter.
#[derive(Serialize, JsonSchema)]
struct FilterProblem {
    /// The column of the text, from 1.
    column: usize,
    message: String,
}

/// What is called like a text, now.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Suggestions {
    /// The text without its time.
    q: String,
    /// The moment that the suggestions lead to; null for the present. Their names are those of now.
    at: Option<Time>,
    hosts: Vec<Suggestion>,
    programs: Vec<Suggestion>,
    users: Vec<Suggestion>,
    units: Vec<Suggestion>,
    processes: Vec<SuggestedProcess>,
    /// Where the text leads to by itself, the first without anything being chosen; none where it is no filter.
    results: Vec<SuggestedSearch>,
    problem: Option<FilterProblem>,
}

shape!(Suggestions);

/// The suggestions.
pub(crate) async fn list(
    scoped: ScopedFleet,
    headers: HeaderMap,
    Query(query): Query<SuggestQuery>,
) -> Result<Answer<Suggestions>, Refusal> {
    let now_us = now_us();
    let typed = search::split_time(&query.q.text, &ReaderZone::of_browser(&headers).now(now_us));
    let (q, at) = match typed {
        Some((text, at)) => (FilterText::of(&text), Some(at).filter(|at| *at != TimeParam::Now)),
        None => (query.q, None),
    };
    let of_page = query.at.filter(|of_page| at.is_none() && *of_page != TimeParam::Now);
    let words = q.filter.as_ref().ok().and_then(Filter::words);
    let suggested = match words {
        Some(words) => scoped.suggest(Wanted::of(words)).await?,
        None => Suggested::default(),
    };
    Ok(Answer::of(&Suggestions::of(q, at, of_page, &suggested, now_us)))
}

impl Suggestions {
    fn of(
        q: FilterText,
        at: Option<TimeParam>,
        of_page: Option<TimeParam>,
        suggested: &Suggested,
        now_us: i64,
    ) -> Self {
        let time = |at: TimeParam| Time(at.resolve(now_us));
        let named = |field: &'static str, named: &[Named]| {
            named.iter().map(|named| Suggestion::of_named(field, named, at)).collect()
        };
        // A process of now may not have been there then.
        let processes = suggested.processes.iter().filter(|_| at.is_none()).map(SuggestedProcess::of);
        Self {
            at: at.map(time),
            hosts: suggested.hosts.iter().map(|host| Suggestion::of_host(host, at, now_us)).collect(),
            programs: named("name", &suggested.programs),
            users: named("user", &suggested.users),
            units: named("unit", &suggested.units),
            processes: processes.collect(),
            results: results(&q, at, of_page, now_us),
            problem: q.filter.err().map(|FilterError { column, message }| FilterProblem { column, message }),
            q: q.text,
        }
    }
}

/// The searches that a text leads to. A number may be a process id.
fn results(
    q: &FilterText,
    at: Option<TimeParam>,
    of_page: Option<TimeParam>,
    now_us: i64,
) -> Vec<SuggestedSearch> {
    if !q.filter.as_ref().is_ok_and(|filter| !filter.is_empty()) {
        return Vec::new();
    }
    let of = |text: &str, at: Option<TimeParam>| SuggestedSearch {
        q: text.to_owned(),
        page: search::of_text(text, at).to_string(),
        at: at.map(|at| Time(at.resolve(now_us))),
    };
    let mut results = vec![of(&q.text, at)];
    results.extend(of_page.map(|of_page| of(&q.text, Some(of_page))));
    results.extend(q.text.parse::<u32>().ok().map(|pid| of(&format!("pid = {pid}"), at)));
    results
}

impl Suggestion {
    fn of_host(host: &Summary, at: Option<TimeParam>, now_us: i64) -> Self {
        Self {
            name: host.host.to_string(),
            page: search::host(host, at.map(|at| at.resolve(now_us))).to_string(),
            state: Some(host.state.word()),
            processes: None,
            hosts: None,
        }
    }

    fn of_named(field: &str, named: &Named, at: Option<TimeParam>) -> Self {
        Self {
            name: named.name.to_string(),
            page: search::of_field(field, &named.name, at).to_string(),
            state: None,
            processes: Some(named.processes),
            hosts: Some(named.hosts),
        }
    }
}

impl SuggestedProcess {
    fn of(process: &NamedProcess) -> Self {
        Self {
            name: process.name.clone(),
            page: Url::of_process(&process.identity).to_string(),
            host: process.identity.host.to_string(),
            pid: process.identity.pid,
            cpu_percent: process.cpu_percent,
        }
    }
}
