//! One process: who it is, what it does, its charts, its relatives, its earlier lives, and its likes on other hosts.

use askama::Template;
use axum::{
    extract::{Path, RawQuery},
    response::{IntoResponse, Redirect, Response},
};
use fleetps_ingestor::history::{Listing, ProcessLife, ProcessMetrics, Resolution, SetAside, Span};
use fleetps_nats::snapshot::Process;

use super::page::{self, Layout};
use crate::{
    display::{self, time_exact},
    live::now_us,
    refusal::Refusal,
    sight::Sight,
    sight::process::{Subject, find},
    view::{
        chart::processes::{self as charts, Panel},
        links, process,
        query::{self, BadParameter},
        span::{RangeLink, SpanQuery, Stamp},
        subject,
        table::{Cell, Link, Table},
        when,
    },
};

/// Points of a chart: about one for every pixel of its width.
const POINTS: usize = 400;
/// Earlier lives and likes elsewhere in a table.
const MAX_LIVES: usize = 20;

/// A request about a process, resolved.
pub enum Visit {
    /// This one.
    Subject(Box<Subject>),
    /// The full address: without the start, a pid means another process tomorrow.
    Elsewhere(Response),
}

/// Finds the process that the address `path` of `host` and `pid` means.
///
/// # Errors
/// When there is none, or `started` cannot be read.
pub async fn visit(sight: &Sight, host: &str, pid: &str, path: &str, text: &str) -> Result<Visit, Refusal> {
    let name = page::host_name(host)?;
    let pid = pid.parse().map_err(|_| BadParameter::new("pid", pid, "a process id, a whole number"))?;
    let given =
        form_urlencoded::parse(text.as_bytes()).find(|(name, value)| name == "started" && !value.is_empty());
    let started_at_us = given.map(|(_, value)| started(&value)).transpose()?;
    let subject = find(sight, &name, pid, started_at_us).await?;
    if started_at_us.is_some() {
        return Ok(Visit::Subject(Box::new(subject)));
    }
    let mut parameters = vec![("started".to_owned(), time_exact(subject.identity.started_at_us))];
    let others = form_urlencoded::parse(text.as_bytes()).into_owned().filter(|(name, _)| name != "started");
    parameters.extend(others);
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    Ok(Visit::Elsewhere(Redirect::temporary(&format!("{path}?{query}")).into_response()))
}

/// Reads a start: a time, or µs since 1970 UTC.
fn started(text: &str) -> Result<i64, BadParameter> {
    text.parse().or_else(|_| when::moment("started", text, now_us()))
}

/// What the history knows of a process and its likes.
#[derive(Debug)]
pub struct Known {
    /// It over time.
    pub metrics: ProcessMetrics,
    /// Others of the same program on its host, the latest first.
    pub incarnations: Listing<ProcessLife>,
    /// The last of the same program on each other host.
    pub elsewhere: Listing<ProcessLife>,
}

impl Known {
    /// Asks for it, over `span`; nothing where there is no history.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub async fn of(sight: &Sight, subject: &Subject, span: Span) -> Result<Self, Refusal> {
        if sight.history().is_none() {
            return Ok(Self::nothing());
        }
        let (identity, name) = (subject.identity.clone(), subject.process.name.clone());
        sight
            .ask(move |history| {
                let metrics = history.process_metrics(&identity, span, POINTS)?;
                let mut incarnations = history.incarnations(&identity.host, &name, MAX_LIVES + 1)?;
                incarnations.items.retain(|life| life.identity != identity);
                incarnations.items.truncate(MAX_LIVES);
                let elsewhere = history.elsewhere(&identity.host, &name, MAX_LIVES)?;
                Ok(Self { metrics, incarnations, elsewhere })
            })
            .await
    }

    fn nothing() -> Self {
        let resolution = Resolution::Samples;
        let none = || Listing { items: Vec::new(), total: 0, resolution };
        Self {
            metrics: ProcessMetrics { resolution, points: Vec::new(), gaps: Vec::new() },
            incarnations: none(),
            elsewhere: none(),
        }
    }
}

/// The page of a process.
#[derive(Template)]
#[template(path = "process.html")]
struct ProcessPage {
    layout: Layout,
    set_aside: Vec<SetAside>,
    host: String,
    path: String,
    name: String,
    subject: Subject,
    facts: Vec<(&'static str, Cell)>,
    figures: Vec<(&'static str, Cell)>,
    ancestry: Vec<Link>,
    relatives: Vec<Relatives>,
    span: SpanQuery,
    panels: Vec<Panel>,
}

/// A table of other processes.
struct Relatives {
    title: &'static str,
    table: Table,
    count: usize,
}

impl Relatives {
    /// How many of them are shown, when not all are.
    fn cut(&self) -> Option<String> {
        let shown = self.table.rows.len();
        let text = || format!("the first {shown} of {}", display::count(self.count as u64));
        (self.count > shown).then(text)
    }
}

impl ProcessPage {
    fn ranges(&self) -> Vec<RangeLink> {
        let started = ("started", time_exact(self.subject.identity.started_at_us));
        self.span.ranges(&self.path, &[started])
    }

    fn csv(&self) -> String {
        let started = vec![("started", time_exact(self.subject.identity.started_at_us))];
        links::csv(&format!("/api/v1{}/metrics", self.path), self.span.behind(started))
    }

    /// When it was last seen.
    fn seen_us(&self) -> Option<i64> {
        let captured = self.subject.moment.as_ref().map(|moment| moment.snapshot().captured_at_us);
        captured.or(self.subject.life.as_ref().map(|life| life.last_seen_us))
    }

    fn seen(&self) -> Option<Stamp> {
        self.seen_us().map(Stamp::of)
    }

    /// Its host as it was when it was last seen.
    fn host_then(&self) -> String {
        match self.seen_us() {
            Some(seen_us) if !self.subject.is_live => links::host_at(&self.host, seen_us),
            _ => format!("/hosts/{}", self.host),
        }
    }

    /// A search for the same program everywhere.
    fn likes(&self) -> String {
        query::url("/search", &[("q", format!("name = {}", links::quoted(&self.subject.process.name)))])
    }
}

/// The page.
pub async fn page(
    layout: Layout,
    sight: Sight,
    Path((host, pid)): Path<(String, String)>,
    RawQuery(text): RawQuery,
) -> Result<Response, Refusal> {
    let text = text.unwrap_or_default();
    let path = format!("/hosts/{host}/processes/{pid}");
    let found = match visit(&sight, &host, &pid, &path, &text).await? {
        Visit::Subject(subject) => *subject,
        Visit::Elsewhere(response) => return Ok(response),
    };
    let span = span(&found, &text)?;
    let known = Known::of(&sight, &found, span.span).await?;
    let ancestors =
        found.moment.as_ref().map(|moment| process::ancestors(&moment.snapshot().processes, &found.process));
    let host_path = format!("/hosts/{host}");
    page::render(&ProcessPage {
        layout,
        set_aside: sight.set_aside(),
        facts: subject::facts(&found),
        figures: subject::figures(&found),
        ancestry: process::ancestry(&ancestors.unwrap_or_default(), &host_path),
        relatives: relatives(&found, &known, &host_path),
        panels: charts::panels(&known.metrics, span.span),
        name: display::visible(&found.process.name).into_owned(),
        host,
        path,
        subject: found,
        span,
    })
}

/// The span of its charts: the last hour, or of a process that is gone its last one.
pub fn span(subject: &Subject, text: &str) -> Result<SpanQuery, BadParameter> {
    let now_us = now_us();
    let gone_us = subject
        .life
        .as_ref()
        .filter(|_| !subject.is_live)
        .map(|life| life.last_seen_us.saturating_add(1_000));
    SpanQuery::parse(text, gone_us.unwrap_or(now_us), now_us, "1h")
}

fn relatives(subject: &Subject, known: &Known, path: &str) -> Vec<Relatives> {
    let mut all = Vec::new();
    if let Some(moment) = &subject.moment {
        let at_us = moment.snapshot().captured_at_us;
        let processes = &moment.snapshot().processes;
        let mut add = |title, id, found: Vec<&Process>| {
            let table = process::relatives(id, &found, path, at_us);
            all.push(Relatives { title, count: found.len(), table });
        };
        add("Children", "children", process::children(processes, &subject.process));
        add("Siblings", "siblings", process::siblings(processes, &subject.process));
    }
    let lives = |title, id, lives: &Listing<ProcessLife>, with_host| Relatives {
        title,
        count: lives.items.len(),
        table: process::lives(id, &lives.items, with_host),
    };
    all.push(lives("The same program on this host before", "incarnations", &known.incarnations, false));
    all.push(lives("The same program on other hosts", "elsewhere", &known.elsewhere, true));
    all.retain(|relatives| relatives.count > 0);
    all
}
