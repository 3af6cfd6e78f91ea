//! One process: who it is, what it does, its charts, its relatives, its earlier lives, and its likes on other hosts.

use std::time::Duration;

use askama::Template;
use axum::response::{self, Redirect, Response};
use fleetps_ingestor::alerts::{Alert, Key, Over, Rule};
use fleetps_ingestor::history::{Listing, MissingSegment, ProcessLife, ProcessMetrics, Resolution, Span};
use fleetps_nats::{HostName, command::UnitName, snapshot::Process};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{
    alert_link,
    events::EventsQuery,
    new_command::NewCommandQuery,
    page::{self, Layout},
};
use crate::{
    authz::Permission,
    csv,
    display::{self, time_exact},
    extract::{ProcessPath, Query},
    live::now_us,
    query::parameter::{self, BadParameter, Value},
    refusal::Refusal,
    scoped_fleet::{ScopedFleet, process::find},
    url::{HostTab, Url},
    view::{
        alert_on,
        chart::{
            bands::{self, BandLine},
            processes::{self as charts, Panel},
        },
        process,
        query::{FilterText, quoted},
        search::SearchQuery,
        span::{PageSpan, RangeLink, Stamp},
        subject::{self, Subject},
        table::{Cell, Link, Table},
        time_field::SpanForm,
        timeline,
        travel::host_at,
        when::{SpanQuery, TimeParam},
    },
};

/// Points of a chart: about one for every pixel of its width.
const POINTS: usize = 400;
/// Earlier lives and likes elsewhere in a table.
const MAX_LIVES: usize = 20;

/// The span of its charts unless one is given.
const DEFAULT_SPAN: Duration = Duration::from_secs(3_600);
/// The expected form of a start.
const EXPECTED_START: &str =
    "a time with its zone as in 2026-11-21T03:12:00Z, or microseconds since 1970 in UTC";

/// When a process started, in µs since 1970 UTC: with the pid it names a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Started(pub i64);

impl Value for Started {
    fn read(given: &str) -> Result<Self, String> {
        if let Ok(started_at_us) = given.parse() {
            return Ok(Self(started_at_us));
        }
        match TimeParam::exact(given) {
            Some(TimeParam::At(started_at_us)) => Ok(Self(started_at_us)),
            _ => Err(EXPECTED_START.to_owned()),
        }
    }

    fn written(&self) -> String {
        time_exact(self.0)
    }

    fn schema() -> Json {
        let microseconds = json!({"type": "string", "pattern": "^[1-9][0-9]{0,15}$"});
        json!({"anyOf": [{"type": "string", "format": "date-time"}, microseconds]})
    }
}

/// The query of the page of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ProcessPageQuery {
    /// When it started; without it, the page of the process that is meant now is elsewhere.
    #[serde(with = "parameter::optional", skip_serializing_if = "Option::is_none")]
    pub started: Option<Started>,
    /// The span of its charts.
    #[serde(flatten)]
    pub span: SpanQuery,
}

/// Finds the process with this pid that `started` then. Without that, the answer is the way to `full`, the URL with the
/// start of the process that is meant: without it, a pid means another process tomorrow.
///
/// # Errors
/// When there is none; or with the redirect.
pub(crate) async fn visit(
    scoped: &ScopedFleet,
    path: &ProcessPath,
    started: Option<Started>,
    full: impl FnOnce(Started) -> Url,
) -> response::Result<Subject> {
    let subject =
        find(scoped, &path.host, path.pid, started.map(|Started(started_at_us)| started_at_us)).await?;
    if started.is_some() {
        return Ok(subject);
    }
    let full = full(Started(subject.identity.started_at_us));
    Err(Redirect::temporary(&full.to_string()).into())
}

/// The history's answers about a process and others like it.
#[derive(Debug)]
pub(crate) struct Known {
    /// It over time.
    pub metrics: ProcessMetrics,
    /// Runs of the same program on its host that began before it and have ended, the latest first.
    pub incarnations: Listing<ProcessLife>,
    /// The last of the same program on each other host.
    pub elsewhere: Listing<ProcessLife>,
}

impl Known {
    /// Asks for it, over `span`; nothing where there is no history.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub(crate) async fn of(scoped: &ScopedFleet, subject: &Subject, span: Span) -> Result<Self, Refusal> {
        if scoped.history().is_none() {
            return Ok(Self::nothing());
        }
        let (identity, process) = (subject.identity.clone(), subject.process.clone());
        scoped
            .ask(move |history| {
                let (host, name) = (&identity.host, &process.name);
                let command_line = process.command_line.as_deref();
                let metrics = history.process_metrics(&identity, span, POINTS)?;
                let mut incarnations = history.incarnations(host, name, identity.started_at_us, MAX_LIVES)?;
                let mut elsewhere = history.elsewhere(host, name, command_line, MAX_LIVES)?;
                keep_alike(&mut incarnations, command_line);
                keep_alike(&mut elsewhere, command_line);
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

/// Keeps the lives with this command line, where there are any: several programs may have one name, as workers and the cache
/// manager of nginx have.
fn keep_alike(lives: &mut Listing<ProcessLife>, command_line: Option<&str>) {
    let is_alike = |life: &ProcessLife| life.process.command_line.as_deref() == command_line;
    if lives.items.iter().any(is_alike) {
        lives.items.retain(is_alike);
    }
}

/// The page of a process.
#[derive(Template)]
#[template(path = "process.html")]
struct ProcessPage {
    layout: Layout,
    set_aside: Vec<MissingSegment>,
    host: HostName,
    name: String,
    subject: Subject,
    facts: Vec<(&'static str, Cell)>,
    figures: Vec<(&'static str, Cell)>,
    ancestry: Vec<Link>,
    relatives: Vec<Relatives>,
    span: PageSpan,
    /// The times below each chart.
    labels: Vec<(String, String)>,
    panels: Vec<Panel>,
    /// Rules about its program: what of it, and the form.
    new_rules: Vec<(&'static str, Url)>,
    /// The alerts about it or its program that were open meanwhile.
    alerts: Vec<BandLine>,
    /// The commands that the person may send from here: what they are called, and where their form is.
    commands: Vec<Link>,
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
        self.span.ranges(&Url::of_process(&self.subject.identity))
    }

    fn span_form(&self) -> SpanForm {
        SpanForm::of(&self.layout.times, &Url::of_process(&self.subject.identity), self.span.span)
    }

    fn json(&self) -> Url {
        let (page, query) = self.metrics_query(self.span.given.clone());
        page.with(&query)
    }

    fn csv(&self) -> Url {
        let (page, query) = self.metrics_query(self.span.given.clone());
        csv::url(page, query)
    }

    /// The values of the charts, for the crosshair.
    fn metrics(&self) -> Url {
        let (page, query) = self.metrics_query(SpanQuery::of(self.span.span));
        page.with(&query)
    }

    fn metrics_query(&self, span: SpanQuery) -> (Url, ProcessPageQuery) {
        let started = Some(Started(self.subject.identity.started_at_us));
        let page = Url::pid_metrics(self.host.as_str(), self.subject.identity.pid);
        (page, ProcessPageQuery { started, span })
    }

    fn host_url(&self) -> Url {
        Url::host(self.host.as_str(), HostTab::Processes)
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
    fn host_then(&self) -> Url {
        match self.seen_us() {
            Some(seen_us) if !self.subject.is_live => host_at(self.host.as_str(), seen_us),
            _ => self.host_url(),
        }
    }

    /// The events of the same program on its host.
    fn events(&self) -> Url {
        let program = self.subject.process.name.clone();
        Url::host(self.host.as_str(), HostTab::Events)
            .with(&EventsQuery { program, ..EventsQuery::default() })
    }

    /// A search for the same program everywhere.
    fn likes(&self) -> Url {
        let q = FilterText::of(&format!("name = {}", quoted(&self.subject.process.name)));
        Url::search().with(&SearchQuery { q, ..SearchQuery::default() })
    }
}

/// The page.
pub(crate) async fn page(
    layout: Layout,
    scoped: ScopedFleet,
    path: ProcessPath,
    Query(query): Query<ProcessPageQuery>,
) -> response::Result<Response> {
    let full = |started| {
        let query = ProcessPageQuery { started: Some(started), span: query.span.clone() };
        Url::pid(path.host.as_str(), path.pid).with(&query)
    };
    let found = visit(&scoped, &path, query.started, full).await?;
    let span = span(&found, query.span)?;
    let known = Known::of(&scoped, &found, span.span).await?;
    let ancestors =
        found.moment.as_ref().map(|moment| process::ancestors(&moment.snapshot().processes, &found.process));
    let host = path.host;
    let bands = scoped.alert_bands(&host, span.span, |alert| is_about(alert, &found.process));
    let mut panels = charts::panels(&known.metrics, span.span);
    panels.iter_mut().for_each(|panel| bands::draw(&mut panel.chart, &bands, span.span));
    let page = ProcessPage {
        layout,
        set_aside: scoped.set_aside(),
        facts: subject::facts(&found),
        figures: subject::figures(&found),
        ancestry: process::ancestry(&ancestors.unwrap_or_default(), host.as_str()),
        relatives: relatives(&found, &known, host.as_str()),
        labels: timeline::labels(span.span),
        panels,
        alerts: bands::lines(&bands),
        new_rules: new_rules(&scoped, &host, &found.process.name),
        commands: commands(&scoped, &found),
        name: display::visible(&found.process.name).into_owned(),
        host,
        subject: found,
        span,
    };
    Ok(page::render(&page)?)
}

/// Whether an alert is about a process, or all of its program.
fn is_about(alert: &Alert, process: &Process) -> bool {
    // A user, a unit or a file system may have the name of a program.
    let is_over_programs = || {
        let rule = Rule::parse(&alert.rule, 0, alert.severity, &alert.sentence);
        rule.is_ok_and(|rule| rule.over == Over::Program)
    };
    match &alert.key {
        Key::Process { pid, start, .. } => (*pid, *start) == process.key(),
        Key::Named(name) => *name == process.name && is_over_programs(),
        Key::Host | Key::Others => false,
    }
}

/// Where rules about the program `name` are made.
fn new_rules(scoped: &ScopedFleet, host: &HostName, name: &str) -> Vec<(&'static str, Url)> {
    let link = |(label, proposal)| Some((label, alert_link::link(scoped, Some(proposal), Some(host))?));
    alert_on::program(host, name).into_iter().filter_map(link).collect()
}

/// The commands that may be sent from the page of a process that runs: a signal, and a restart of its unit.
fn commands(scoped: &ScopedFleet, subject: &Subject) -> Vec<Link> {
    let (host, process) = (&subject.identity.host, &subject.process);
    if !subject.is_live || !scoped.permission_of(Permission::Command, host) {
        return Vec::new();
    }
    let link = |text: String, query: NewCommandQuery| {
        let query = NewCommandQuery { host: host.to_string(), ..query };
        Link { text, href: Url::new_command().with(&query) }
    };
    let signal = process.start_ticks.map(|_| {
        let query = NewCommandQuery { pids: vec![process.pid], ..NewCommandQuery::default() };
        link("Signal…".to_owned(), query)
    });
    let unit: Option<UnitName> = process.unit.as_ref().and_then(|unit| unit.parse().ok());
    let restart = unit.map(|unit| {
        let query = NewCommandQuery { unit: unit.to_string(), ..NewCommandQuery::default() };
        link(format!("Restart {unit}…"), query)
    });
    signal.into_iter().chain(restart).collect()
}

/// The span of its charts: the last hour, or of a process that is gone its last one.
pub(crate) fn span(subject: &Subject, given: SpanQuery) -> Result<PageSpan, BadParameter> {
    let now_us = now_us();
    let gone_us = subject
        .life
        .as_ref()
        .filter(|_| !subject.is_live)
        .map(|life| life.last_seen_us.saturating_add(1_000));
    PageSpan::of(given, gone_us.unwrap_or(now_us), now_us, DEFAULT_SPAN)
}

fn relatives(subject: &Subject, known: &Known, host: &str) -> Vec<Relatives> {
    let mut all = Vec::new();
    if let Some(moment) = &subject.moment {
        let at_us = moment.snapshot().captured_at_us;
        let processes = &moment.snapshot().processes;
        let mut add = |title, id, found: Vec<&Process>| {
            let table = process::relatives(id, &found, host, at_us);
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
    all.push(lives("Earlier runs on this host", "incarnations", &known.incarnations, false));
    all.push(lives("Same program on other hosts", "elsewhere", &known.elsewhere, true));
    all.retain(|relatives| relatives.count > 0);
    all
}
