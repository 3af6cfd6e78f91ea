//! The tables of alerts and of rules.

use std::{sync::Arc, time::Duration};

use fleetps_ingestor::{
    alerts::{AlertChange, Change, Culprit, Lasting, Measure, Rule, RuleEntry, Severity, Transition},
    history::{BackTest, Episode, Resolution, Span},
};
use fleetps_nats::{model::Unit, units};
use serde_json::Value as Json;

use super::{
    View, cells, severity,
    table::{Cell, Head, Row, Table},
    travel::host_at,
};
use crate::{
    display,
    live::OpenAlert,
    query::parameter::{Value, choice, words},
    url::{HostTab, Url},
};

/// What a rule would have said.
#[derive(Debug, Clone)]
pub(crate) struct Tried {
    /// What it would have said, and how often others would have told somebody.
    pub test: BackTest,
    /// How long it must last: of the rule, and of those that were tried beside it.
    pub lastings: Vec<Lasting>,
    /// When.
    pub span: Span,
}

/// Culprits named in a row; the others are in the JSON.
const SHOWN_CULPRITS: usize = 3;
/// Open alerts on a page: the worst, and of these the newest; more are a storm.
const SHOWN_ALERTS: usize = 500;
/// Episodes on a page.
const SHOWN_EPISODES: usize = 200;

impl Value for Severity {
    fn read(given: &str) -> Result<Self, String> {
        choice(Self::ALL, Self::word, given)
    }

    fn written(&self) -> String {
        self.word().to_owned()
    }

    fn schema() -> Json {
        words(Self::ALL.map(Self::word))
    }
}

/// The open alerts; `may_acknowledge` says whether the person may acknowledge one.
pub(crate) fn view(open: &[OpenAlert], version: u64, may_acknowledge: impl Fn(&OpenAlert) -> bool) -> View {
    let worst = |severity| open.iter().filter(|open| open.last.change.alert.severity == severity).count();
    let count = |severity: Severity, shade| {
        let count = worst(severity);
        let text = format!("{} {severity}", display::count(count as u64));
        Cell::field(text).shaded(if count == 0 { "none" } else { shade })
    };
    let firing = match open.len() {
        0 => "No alert".to_owned(),
        1 => "1 alert".to_owned(),
        count => format!("{} alerts", display::count(count as u64)),
    };
    View {
        version: version.to_string(),
        fields: vec![
            ("firing", Cell::field(firing)),
            ("critical", count(Severity::Critical, "down")),
            ("warning", count(Severity::Warning, "silent")),
            ("info", count(Severity::Info, "")),
        ],
        tables: vec![open_table(open, may_acknowledge)],
    }
}

fn heads(columns: &[(&'static str, &'static str)]) -> Vec<Head> {
    columns.iter().map(|(column, text)| Head { column, text, ..Head::default() }).collect()
}

/// The table of open alerts; `may_acknowledge` says whether the person may acknowledge one.
pub(crate) fn open_table(open: &[OpenAlert], may_acknowledge: impl Fn(&OpenAlert) -> bool) -> Table {
    let columns = [
        ("status", "Severity"),
        ("host", "Host"),
        ("name", "Rule"),
        ("unit", "What"),
        ("value", "Value"),
        ("when", "Since"),
        ("detail", "Most by"),
        ("user", "Acknowledged"),
    ];
    let row = |open: &OpenAlert| {
        let alert = &open.last.change.alert;
        let host = alert.host.as_str();
        // On a narrow screen it is the way to everything else.
        let mut severity = severity_cell(alert.severity).linked(Url::alert(&alert.id));
        if open.last.change.change == Change::Flapping {
            severity = severity.noted("flapping");
        }
        let cells = vec![
            severity,
            Cell::new("host", host).linked(Url::host(host, HostTab::Processes)),
            rule_cell(&alert.rule, &alert.sentence),
            cells::name("unit", Some(&alert.instance())),
            Cell::new("value", value_of(&open.raised.change)),
            Cell::moment("when", alert.raised_at_us).linked(host_at(host, alert.raised_at_us)),
            cells::path("detail", Some(&culprits(&open.raised.change.culprits))),
            acknowledged(open, &may_acknowledge),
        ];
        Row { id: format!("a-{}", alert.id), cells, ..Row::default() }
    };
    Table {
        id: "alerts",
        heads: heads(&columns),
        rows: open.iter().take(SHOWN_ALERTS).map(row).collect(),
        ..Table::default()
    }
}

/// Who looks after an alert, or the way to the form that says so.
fn acknowledged(open: &OpenAlert, may_acknowledge: &impl Fn(&OpenAlert) -> bool) -> Cell {
    let url = Url::alert(&open.last.change.alert.id);
    match &open.acknowledged {
        Some(by) => {
            let why =
                if by.why.is_empty() { String::new() } else { format!(": {}", display::visible(&by.why)) };
            let title = Some(format!("{}{why}", display::time(by.at_us)));
            Cell { title, ..cells::name("user", Some(&by.who)).linked(url) }
        }
        None if may_acknowledge(open) => Cell::new("user", "Acknowledge").linked(url.at("acknowledge")),
        None => Cell::new("user", "nobody").linked(url),
    }
}

/// The changes of alerts.
pub(crate) fn history_table(changes: &[Arc<Transition>]) -> Table {
    let columns = [
        ("when", "When"),
        ("status", "Severity"),
        ("what", "Change"),
        ("host", "Host"),
        ("name", "Rule"),
        ("unit", "What"),
        ("value", "Value"),
        ("detail", "Most by"),
    ];
    let row = |(number, transition): (usize, &Arc<Transition>)| {
        let AlertChange { alert, change, at_us, .. } = &transition.change;
        let host = alert.host.as_str();
        let cells = vec![
            Cell::moment("when", *at_us).linked(host_at(host, *at_us)),
            severity_cell(alert.severity),
            Cell::new("what", word(*change)).shaded(dot(*change)),
            Cell::new("host", host).linked(Url::host(host, HostTab::Processes)),
            rule_cell(&alert.rule, &alert.sentence),
            cells::name("unit", Some(&alert.instance())),
            Cell::new("value", value_of(&transition.change)),
            cells::path("detail", Some(&culprits(&transition.change.culprits))),
        ];
        Row { id: format!("t-{number}"), cells, ..Row::default() }
    };
    let rows = changes.iter().enumerate().map(row).collect();
    Table { id: "changes", heads: heads(&columns), rows, ..Table::default() }
}

/// What became of one alert: the changes without what they have in common.
pub(crate) fn changes_table(changes: &[Arc<Transition>]) -> Table {
    let is_own = |column: &str| !matches!(column, "host" | "name" | "unit" | "status");
    let mut table = history_table(changes);
    table.heads.retain(|head| is_own(head.column));
    table.rows.iter_mut().for_each(|row| row.cells.retain(|cell| is_own(cell.column)));
    table
}

/// The rules, each with how many alerts of it are open and how often it raised one.
pub(crate) fn rules_table(rules: &[RuleEntry], counts: impl Fn(&str) -> (usize, usize)) -> Table {
    let columns = [
        ("name", "Rule"),
        ("status", "Severity"),
        ("detail", "Sentence"),
        ("unit", "For"),
        ("count", "Open"),
        ("procs", "Raised"),
        ("user", "By"),
    ];
    let row = |rule: &RuleEntry| {
        let (open, raised) = counts(&rule.id);
        let is_on = if rule.is_on() { "" } else { "off" };
        let hosts = rule.groups().map_or_else(|| "every host".to_owned(), super::host_filter::words);
        let by = rule.saved.as_ref().map_or("built in", |saved| saved.value.changed_by.as_str());
        let sentence = match &rule.rule {
            Ok(_) => rule.sentence().to_owned(),
            Err(error) => format!("{} (not evaluated: {error})", rule.sentence()),
        };
        let cells = vec![
            rule_cell(&rule.id, rule.note()).noted(is_on),
            severity_cell(rule.severity()),
            cells::path("detail", Some(&sentence)),
            cells::name("unit", Some(&hosts)),
            Cell::new("count", display::count(open as u64)),
            Cell::new("procs", display::count(raised as u64)),
            cells::name("user", Some(by)),
        ];
        Row { id: format!("r-{}", rule.id), cells, ..Row::default() }
    };
    let rows = rules.iter().map(row).collect();
    Table { id: "rules", heads: heads(&columns), rows, ..Table::default() }
}

/// The times in which an alert of a rule that was tried would have been open.
pub(crate) fn episodes_table(tried: &Tried, sentence: &str) -> Table {
    let columns = [
        ("when", "From"),
        ("seen", "For"),
        ("what", "End"),
        ("host", "Host"),
        ("unit", "What"),
        ("value", "Value"),
        ("detail", "Most by"),
    ];
    let unit = Rule::parse("test", 0, Severity::Info, sentence).map(|rule| rule.measure.unit()).ok();
    let row = |(number, episode): (usize, &Episode)| {
        let host = episode.host.as_str();
        let to_us = episode.end.map_or(tried.span.to_us, |(to_us, _)| to_us);
        let (end, shade) = episode.end.map_or(("open", "silent"), |(_, end)| (word(end), dot(end)));
        let value = episode.value.zip(unit).map(|(value, unit)| with_unit(value, unit));
        let cells = vec![
            Cell::moment("when", episode.from_us).linked(host_at(host, episode.from_us)),
            Cell::new("seen", display::duration(to_us.saturating_sub(episode.from_us) / 1_000_000)),
            Cell::new("what", end).shaded(shade),
            Cell::new("host", host).linked(Url::host(host, HostTab::Processes)),
            cells::name("unit", Some(&episode.key.to_string())),
            Cell::new("value", value.unwrap_or_default()),
            cells::path("detail", Some(&culprits(&episode.culprits))),
        ];
        Row { id: format!("e-{number}"), cells, ..Row::default() }
    };
    let shown = tried.test.episodes.iter().take(SHOWN_EPISODES).enumerate();
    Table { id: "episodes", heads: heads(&columns), rows: shown.map(row).collect(), ..Table::default() }
}

/// "In the last 1d it would have told somebody 14 times; 3 of 5: 2 times. 20 hosts, …"
pub(crate) fn tried_words(tried: &Tried, range: Duration) -> String {
    let times = |count: u64| match count {
        1 => "once".to_owned(),
        count => format!("{} times", display::count(count)),
    };
    let test = &tried.test;
    let mut told = tried.lastings.iter().zip(&test.told);
    let own = told.next().map_or(0, |(_, told)| *told);
    let others: Vec<String> = told.map(|(lasting, told)| format!("“{lasting}”: {}", times(*told))).collect();
    let others = if others.is_empty() { String::new() } else { format!("; with {}", others.join(", ")) };
    let kept = match test.resolution {
        Resolution::Samples => "every sample that was taken",
        Resolution::Minutes => "one a minute, because no more is kept",
        Resolution::Hours => "and none of a part of which only hours are kept",
    };
    format!(
        "In the last {} it would have told somebody {}{others}. Looked at {} snapshots of {} hosts, {kept}.",
        units::format_duration(range),
        times(own),
        display::count(test.snapshots),
        display::count(test.hosts)
    )
}

fn rule_cell(id: &str, title: &str) -> Cell {
    let cell = cells::name("name", Some(id)).linked(Url::alert_rule(id));
    Cell { title: (!title.is_empty()).then(|| display::visible(title).into_owned()), ..cell }
}

/// The colour of a severity.
pub(crate) fn shade(severity: Severity) -> &'static str {
    severity::shade(severity)
}

fn severity_cell(severity: Severity) -> Cell {
    Cell::new("status", severity.word()).shaded(severity::shade(severity))
}

/// The word for a change on pages.
fn word(change: Change) -> &'static str {
    match change {
        Change::Raised => "raised",
        Change::Flapping => "flapping",
        Change::Steady => "steady again",
        Change::Cleared => "cleared",
        Change::Exited => "exited",
        Change::Gone => "gone",
        Change::RuleChanged => "rule changed",
        Change::TooMany => "too many",
    }
}

fn dot(change: Change) -> &'static str {
    match change {
        Change::Raised | Change::Flapping | Change::Steady | Change::TooMany => "silent",
        Change::Cleared => "up",
        Change::Exited | Change::Gone | Change::RuleChanged => "",
    }
}

/// The facts of an alert: what they are called, and their texts.
pub(crate) fn facts(change: &AlertChange) -> Vec<(&'static str, String)> {
    let alert = &change.alert;
    let all = [
        ("Sentence", display::visible(&alert.sentence).into_owned()),
        ("What", display::visible(&alert.instance()).into_owned()),
        ("Value", value_of(change)),
        ("Last seen", change.last_seen_us().map(display::time).unwrap_or_default()),
        ("Most by", display::visible(&culprits(&change.culprits)).into_owned()),
    ];
    all.into_iter().filter(|(_, text)| !text.is_empty()).collect()
}

/// The value of a change with its unit; empty where there is none.
pub(super) fn value_of(change: &AlertChange) -> String {
    let Some(value) = change.value else { return String::new() };
    let alert = &change.alert;
    let is_count = matches!(change.change, Change::TooMany);
    let rule = Rule::parse(&alert.rule, 0, alert.severity, &alert.sentence);
    match rule.map(|rule| rule.measure) {
        Ok(Measure::RestartLoop) if !is_count => format!("{} starts", number(value)),
        Ok(measure) if !is_count => with_unit(value, measure.unit()),
        _ => number(value),
    }
}

/// A value with its unit in words.
pub(crate) fn with_unit(value: f64, (unit, is_rate): (Unit, bool)) -> String {
    let per_second = if is_rate { "/s" } else { "" };
    match unit {
        Unit::Percent => format!("{} %", display::percent(Some(value))),
        Unit::Bytes => format!("{}B{per_second}", display::size(Some(value))),
        Unit::Seconds => display::duration(value as i64),
        Unit::Milliseconds | Unit::Microseconds | Unit::Count => format!("{}{per_second}", number(value)),
    }
}

fn number(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

fn culprits(culprits: &[Culprit]) -> String {
    let name = |culprit: &Culprit| format!("{} ({})", culprit.name, culprit.pid);
    let mut named: Vec<String> = culprits.iter().take(SHOWN_CULPRITS).map(name).collect();
    if culprits.len() > named.len() {
        named.push(format!("and {} more", culprits.len() - named.len()));
    }
    named.join(", ")
}
