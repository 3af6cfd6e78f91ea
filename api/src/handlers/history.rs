//! One host over time: its charts, and the breakdown of its CPU and memory by program.

use askama::Template;
use axum::response::Response;
use fleetps_ingestor::history::{
    Breakdown, BreakdownOf, HistoryError, HostMetrics, KeptSince, Resolution, Span,
};
use fleetps_nats::{HostName, Snapshot};

use super::{
    host_head::{self, HostHead},
    page::{self, Layout},
    timeline::with_the_last_gap,
    unanswered::Unanswered,
    visit::{Visit, visit},
};
use crate::{
    csv,
    extract::{Host, Query},
    live::now_us,
    refusal::Refusal,
    scoped_fleet::{Newer, ScopedFleet},
    url::{HostTab, Url},
    view::{
        Arrangement, View,
        chart::{
            bands::{self, BandLine},
            panel::{self, Panel, ValueRow},
        },
        commands,
        query::{FilterText, ProcessQuery, quoted},
        span::Stamp,
        system,
        table::Table,
        timeline,
        travel::{Links, TimeQuery, When},
        when::SpanQuery,
    },
};

/// Points of a line: about one for every two pixels.
const POINTS: usize = 400;
/// Parts of a breakdown: it is read by programs, not by seconds.
const PARTS: usize = 120;
/// Programs of a breakdown: more cannot be told apart.
const LAYERS: usize = 6;

/// The latest commands of the time that is shown; the others are on the page of commands.
const SHOWN_COMMANDS: usize = 20;

/// The page.
#[derive(Template)]
#[template(path = "history.html")]
struct HistoryPage {
    layout: Layout,
    head: HostHead,
    view: View,
    span: Span,
    /// The times below each chart.
    labels: Vec<(String, String)>,
    metrics_url: Url,
    csv: Url,
    panels: Vec<Panel>,
    values: Vec<ValueRow>,
    values_at_us: i64,
    /// The alerts that were open meanwhile.
    alerts: Vec<BandLine>,
    /// The commands that were asked for meanwhile.
    commands: Table,
    resolution: &'static str,
    kept: Vec<(&'static str, i64)>,
    /// Since when the broker is away, where the charts end earlier for that.
    away: Option<Stamp>,
    /// Why there are no charts.
    unanswered: Option<Unanswered>,
}

/// The answers of the history for one page.
#[derive(Default)]
struct Answers {
    metrics: HostMetrics,
    cpu: Breakdown,
    memory: Breakdown,
    kept: KeptSince,
}

/// The page.
pub(crate) async fn page(
    layout: Layout,
    scoped: ScopedFleet,
    Query(query): Query<TimeQuery>,
    Host(host): Host,
) -> Result<Response, Refusal> {
    let now_us = now_us();
    let when = query.resolve(now_us)?;
    let links = Links { page: Url::host(host.as_str(), HostTab::History), when: when.clone() };
    let (head, view) = match visit(&scoped, &host, HostTab::History, links.clone()).await? {
        Visit::Moment(head, moment) => {
            let mut fields = system::head_fields(&moment, now_us);
            fields.push(host_head::earlier(&moment, &links));
            (head, View { fields, ..View::default() })
        }
        // There are charts of times that have no process table.
        Visit::Nothing(head, _) | Visit::Unanswered(head, _) => (head, View::default()),
        Visit::Elsewhere(response) => return Ok(response),
    };
    let span = when.span(now_us);
    let Newer { snapshots, away } = scoped.newer(&host, span).await;
    let bands = scoped.alert_bands(&host, span, |_| true);
    let silent_since_us = scoped.silent_since(&host);
    let asked = scoped.ask(move |history| ask(history, &host, span, &snapshots)).await;
    let narrow = "choose a shorter range";
    let (answers, unanswered) = match Unanswered::or(asked, narrow, || links.shorter(now_us))? {
        Ok(answers) => (answers, None),
        Err(why) => (Answers::default(), Some(why)),
    };
    let metrics = with_the_last_gap(answers.metrics, span, now_us, silent_since_us);
    let values_at_us =
        when.at_us.unwrap_or_else(|| metrics.points.last().map_or(span.to_us, |point| point.to_us));
    // A chart of the past leads to the moment of its values.
    let shown = When { at_us: when.at_us.or((!head.follows()).then_some(values_at_us)), ..when.clone() };
    let href = |program: &str| program_url(&head.host, &shown, program);
    let mut panels = panel::panels(&metrics, (span, values_at_us), [&answers.cpu, &answers.memory], href);
    panels.iter_mut().for_each(|panel| bands::draw(&mut panel.chart, &bands, span));
    let response = page::render(&HistoryPage {
        layout,
        alerts: bands::lines(&bands),
        commands: commands_in(&scoped, &head.host, span),
        metrics_url: head.timeline.metrics.clone(),
        csv: csv::url(Url::host_metrics(head.host.as_str()), SpanQuery::of(span)),
        head,
        view,
        span,
        labels: timeline::labels(span),
        panels,
        values: panel::values(&metrics, values_at_us),
        values_at_us,
        resolution: in_words(metrics.resolution),
        kept: kept_in_words(&answers.kept),
        away: away.map(|since| Stamp::of(since.0)),
        unanswered: unanswered.clone(),
    })?;
    Ok(Unanswered::dress(unanswered.as_ref(), response))
}

/// The commands to `host` that were asked for in a time, the latest first.
fn commands_in(scoped: &ScopedFleet, host: &HostName, span: Span) -> Table {
    let (mut records, _) = scoped.commands(Some(host), usize::MAX);
    records.retain(|record| (span.from_us..=span.to_us).contains(&record.asked_at_us));
    records.truncate(SHOWN_COMMANDS);
    commands::table(&records, false)
}

/// The processes of a program at the moment of the page.
fn program_url(host: &HostName, when: &When, program: &str) -> Url {
    let (view, when) = (Arrangement::Flat, TimeQuery::from(when));
    let q = FilterText::of(&format!("name = {}", quoted(program)));
    Url::host(host.as_str(), HostTab::Processes).with(&ProcessQuery {
        view,
        q,
        when,
        ..ProcessQuery::default()
    })
}

fn ask(
    history: &fleetps_ingestor::history::History,
    host: &HostName,
    span: Span,
    newer: &[Snapshot],
) -> Result<Answers, HistoryError> {
    Ok(Answers {
        metrics: history.host_metrics(host, span, POINTS, newer)?,
        cpu: history.breakdown(host, span, BreakdownOf::Cpu, PARTS, LAYERS)?,
        memory: history.breakdown(host, span, BreakdownOf::Memory, PARTS, LAYERS)?,
        kept: history.kept(),
    })
}

/// How finely the past was kept, in words.
fn in_words(resolution: Resolution) -> &'static str {
    match resolution {
        Resolution::Samples => "Drawn from every sample.",
        Resolution::Minutes => {
            "Drawn, in part, from one sample a minute: that is all that is kept of this span."
        }
        Resolution::Hours => {
            "Drawn, in part, from the sums of every hour: that is all that is kept of this span."
        }
    }
}

/// Since when the past is kept at which resolution; coarser ones are listed only where they go back further.
fn kept_in_words(kept: &KeptSince) -> Vec<(&'static str, i64)> {
    let all = [
        ("full resolution since", kept.samples_from_us),
        ("one sample per minute since", kept.minutes_from_us),
        ("hourly sums since", kept.hours_from_us),
    ];
    let mut known: Vec<(&'static str, i64)> = Vec::new();
    for (what, since_us) in all.into_iter().filter_map(|(what, since)| Some((what, since?))) {
        if known.last().is_none_or(|(_, finer_us)| since_us < *finer_us) {
            known.push((what, since_us));
        }
    }
    known
}
