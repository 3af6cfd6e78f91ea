//! The tables of alerts and of rules.

use std::sync::Arc;

use fleetps_ingestor::alerts::{AlertChange, Change, Culprit, Rule, RuleEntry, Severity, Transition};
use fleetps_nats::model::Unit;
use serde_json::Value as Json;

use super::{
    View, cells,
    table::{Cell, Head, Row, Table},
    travel::host_at,
};
use crate::{
    display,
    live::OpenAlert,
    query::parameter::{Value, choice, words},
    url::{HostTab, Url},
};

/// Culprits named in a row; the others are in the JSON.
const SHOWN_CULPRITS: usize = 3;

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

/// The open alerts as of `now_us`.
pub fn view(open: &[OpenAlert], version: u64) -> View {
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
        tables: vec![open_table(open)],
    }
}

fn heads(columns: &[(&'static str, &'static str)]) -> Vec<Head> {
    columns.iter().map(|(column, text)| Head { column, text, ..Head::default() }).collect()
}

fn open_table(open: &[OpenAlert]) -> Table {
    let columns = [
        ("status", "Severity"),
        ("host", "Host"),
        ("name", "Rule"),
        ("unit", "What"),
        ("value", "Value"),
        ("when", "Since"),
        ("detail", "Most by"),
    ];
    let row = |open: &OpenAlert| {
        let alert = &open.last.change.alert;
        let host = alert.host.as_str();
        let mut severity = severity(alert.severity);
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
            cells::path("detail", Some(&culprits(&open.raised.change))),
        ];
        Row { id: format!("a-{}", alert.id), cells, ..Row::default() }
    };
    Table { id: "alerts", heads: heads(&columns), rows: open.iter().map(row).collect(), ..Table::default() }
}

/// The changes of alerts.
pub fn history_table(changes: &[Arc<Transition>]) -> Table {
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
            severity(alert.severity),
            Cell::new("what", word(*change)).shaded(dot(*change)),
            Cell::new("host", host).linked(Url::host(host, HostTab::Processes)),
            rule_cell(&alert.rule, &alert.sentence),
            cells::name("unit", Some(&alert.instance())),
            Cell::new("value", value_of(&transition.change)),
            cells::path("detail", Some(&culprits(&transition.change))),
        ];
        Row { id: format!("t-{number}"), cells, ..Row::default() }
    };
    let rows = changes.iter().enumerate().map(row).collect();
    Table { id: "changes", heads: heads(&columns), rows, ..Table::default() }
}

/// The rules, each with how many alerts of it are open and how often it raised one.
pub fn rules_table(rules: &[RuleEntry], counts: impl Fn(&str) -> (usize, usize)) -> Table {
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
        let hosts = rule.groups().map_or_else(|| "every host".to_owned(), super::fleet::words);
        let by = rule.saved.as_ref().map_or("built in", |saved| saved.value.changed_by.as_str());
        let sentence = match &rule.rule {
            Ok(_) => rule.sentence().to_owned(),
            Err(error) => format!("{} (not evaluated: {error})", rule.sentence()),
        };
        let cells = vec![
            rule_cell(&rule.id, rule.note()).noted(is_on),
            severity(rule.severity()),
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

fn rule_cell(id: &str, title: &str) -> Cell {
    let cell = cells::name("name", Some(id)).linked(Url::alert_rule(id));
    Cell { title: (!title.is_empty()).then(|| display::visible(title).into_owned()), ..cell }
}

fn severity(severity: Severity) -> Cell {
    let shade = match severity {
        Severity::Critical => "down",
        Severity::Warning => "silent",
        Severity::Info => "",
    };
    Cell::new("status", severity.word()).shaded(shade)
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

/// The value of a change with its unit; empty where there is none.
fn value_of(change: &AlertChange) -> String {
    let Some(value) = change.value else { return String::new() };
    let alert = &change.alert;
    let is_count = matches!(change.change, Change::TooMany);
    let unit = Rule::parse(&alert.rule, 0, alert.severity, &alert.sentence).map(|rule| rule.measure.unit());
    match unit {
        Ok(unit) if !is_count => with_unit(value, unit),
        _ => number(value),
    }
}

/// A value with its unit in words.
pub fn with_unit(value: f64, (unit, is_rate): (Unit, bool)) -> String {
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

fn culprits(change: &AlertChange) -> String {
    let name = |culprit: &Culprit| format!("{} ({})", culprit.name, culprit.pid);
    let mut named: Vec<String> = change.culprits.iter().take(SHOWN_CULPRITS).map(name).collect();
    if change.culprits.len() > named.len() {
        named.push(format!("and {} more", change.culprits.len() - named.len()));
    }
    named.join(", ")
}
