//! What needs a person, above the table of hosts: open alerts and hosts that are not heard of, each with since when.

use std::{collections::HashSet, sync::Arc};

use fleetps_ingestor::alerts::{Alert, Severity};

use super::{
    alerts::value_of,
    cells, severity,
    table::{Cell, Head, Link, Row, Table},
    travel::host_at,
};
use crate::{
    display,
    live::{HostState, OpenAlert, Summary},
    url::{HostTab, Url},
};

/// Rows: what fits above the first hosts on a screen. The page of alerts has all.
const SHOWN: usize = 8;

/// Something that needs a person.
struct Trouble<'a> {
    /// Whether nobody looks after it yet.
    is_unacknowledged: bool,
    severity: Severity,
    since_us: i64,
    what: What<'a>,
}

enum What<'a> {
    Alert(&'a OpenAlert),
    Silent(&'a Summary),
}

/// The table; without rows when all is well. What nobody looks after comes first, then the worst, then the newest.
pub(super) fn table(open: &[OpenAlert], hosts: &[Arc<Summary>]) -> Table {
    let columns = [
        ("status", "Severity"),
        ("name", "Trouble"),
        ("host", "Host"),
        ("unit", "Where"),
        ("value", "Value"),
        ("when", "Since"),
    ];
    let mut all = troubles(open, hosts);
    let order = |trouble: &Trouble<'_>| (trouble.is_unacknowledged, trouble.severity, trouble.since_us);
    all.sort_by_key(|trouble| std::cmp::Reverse(order(trouble)));
    let more = (all.len() > SHOWN).then(|| Link {
        href: Url::alerts(),
        text: format!("{} more", display::count((all.len() - SHOWN) as u64)),
    });
    Table {
        id: "troubles",
        heads: columns.map(|(column, text)| Head { column, text, ..Head::default() }).into(),
        rows: all.iter().take(SHOWN).map(row).collect(),
        more,
        ..Table::default()
    }
}

/// When the host of an alert about silence sent its last snapshot: the alert came a while later.
fn silent_since(alert: &Alert, hosts: &[Arc<Summary>]) -> Option<i64> {
    let is_it = |host: &&Arc<Summary>| alert.is_of_silence() && host.host == alert.host;
    let host = hosts.iter().find(is_it).filter(|host| host.state != HostState::Up)?;
    Some(host.last_seen_us.min(alert.raised_at_us))
}

/// A host that is not heard of is told once: by its alert, where that is raised already.
fn troubles<'a>(open: &'a [OpenAlert], hosts: &'a [Arc<Summary>]) -> Vec<Trouble<'a>> {
    let alerts = open.iter().map(|open| {
        let alert = &open.last.change.alert;
        Trouble {
            is_unacknowledged: open.acknowledged.is_none(),
            severity: alert.severity,
            since_us: silent_since(alert, hosts).unwrap_or(alert.raised_at_us),
            what: What::Alert(open),
        }
    });
    let is_told: HashSet<&str> = open
        .iter()
        .map(|open| &open.last.change.alert)
        .filter(|alert| alert.is_of_silence())
        .map(|alert| alert.host.as_str())
        .collect();
    let is_silent = |host: &&Arc<Summary>| {
        matches!(host.state, HostState::Silent | HostState::Down) && !is_told.contains(host.host.as_str())
    };
    let silent = hosts.iter().filter(is_silent).map(|host| {
        let severity = if host.state == HostState::Down { Severity::Critical } else { Severity::Warning };
        let since_us = host.last_seen_us;
        Trouble { is_unacknowledged: true, severity, since_us, what: What::Silent(host) }
    });
    alerts.chain(silent).collect()
}

fn row(trouble: &Trouble<'_>) -> Row {
    let (id, host, status, name, place, value) = match trouble.what {
        What::Alert(open) => {
            let alert = &open.last.change.alert;
            let status = Cell::new("status", alert.severity.word()).shaded(severity::shade(alert.severity));
            let name = cells::name("name", Some(&words(&alert.rule))).linked(Url::alert(&alert.id));
            let name = name.noted(if open.acknowledged.is_some() { "acknowledged" } else { "" });
            let place = cells::name("unit", Some(&alert.instance()));
            (alert.id.as_str(), alert.host.as_str(), status, name, place, value_of(&open.raised.change))
        }
        What::Silent(host) => {
            let status = Cell::new("status", host.state.word()).shaded(host.state.word());
            let name = Cell::new("name", "No snapshot");
            (host.host.as_str(), host.host.as_str(), status, name, Cell::new("unit", ""), String::new())
        }
    };
    let cells = vec![
        status,
        name,
        Cell::new("host", host).linked(Url::host(host, HostTab::Processes)),
        place,
        Cell::new("value", value),
        Cell::moment("when", trouble.since_us).linked(host_at(host, trouble.since_us)),
    ];
    Row { id: format!("w-{id}"), cells, ..Row::default() }
}

/// The id of a rule in words: "Disk full soon" of `disk-full-soon`.
fn words(rule: &str) -> String {
    let words = rule.replace('-', " ");
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
