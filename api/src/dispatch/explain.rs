//! What a message says beyond its transitions: who a process belongs to, what it was like an hour before, and the measure until
//! that moment.
//!
//! All of it may be missing: an alert is not held up by a history that is busy.

use std::{collections::HashMap, sync::Arc, time::Duration};

use fleetps_ingestor::history::{HostPoint, Scope, SnapshotLookup, Span};
use fleetps_nats::{
    HostName,
    model::{Unit, derived},
    snapshot::Process,
};

use super::{World, burst::Read, ledger::Outgoing};
use crate::{
    display,
    history_service::AskedFor,
    live::{Fleet, Moment},
    notify::{Culprit, Kind, Notification, Point, Subject},
    view::alerts::with_unit,
};

/// Hosts of a burst whose snapshots are decoded: one takes a millisecond. Where more fail at once, no single process
/// explains it.
const MAX_LOOKED_AT: usize = 50;
/// Messages of a burst for which the history is asked.
const MAX_EXPLAINED: usize = 10;
/// How long the history may take for all of them.
const EXPLAIN_TIMEOUT: Duration = Duration::from_secs(3);
/// A process is compared with what it was this long before …
const BEFORE_US: i64 = 3600 * 1_000_000;
/// … where the host was heard of within this before that.
const HEARD_WITHIN_US: i64 = 600 * 1_000_000;
/// How far back a chart goes.
const CHART_US: i64 = 3600 * 1_000_000;
/// The measure that follows from two figures of the model: memory in use, in percent.
const MEMORY: &str = "memory";
/// One for each half minute.
const CHART_POINTS: usize = 120;

/// The hosts as they are now on which processes are named.
pub(super) async fn moments(fleet: &Arc<Fleet>, reads: &[Read]) -> HashMap<HostName, Moment> {
    let mut hosts: Vec<HostName> = Vec::new();
    for change in reads.iter().map(|read| &read.transition.change) {
        if !change.culprits.is_empty() && !hosts.contains(&change.alert.host) && hosts.len() < MAX_LOOKED_AT {
            hosts.push(change.alert.host.clone());
        }
    }
    if hosts.is_empty() {
        return HashMap::new();
    }
    let fleet = Arc::clone(fleet);
    let decoding = tokio::task::spawn_blocking(move || {
        // Only names of users are taken from it.
        let moment = |host: HostName| Some((host.clone(), fleet.moment(&Scope::everything(), &host)?));
        hosts.into_iter().filter_map(moment).collect()
    });
    decoding.await.unwrap_or_default()
}

/// What the history knows of a message.
#[derive(Default, Clone)]
struct Explained {
    points: Vec<Point>,
    changes: Vec<String>,
}

/// Adds what the history knows, as far as it says so soon; charts that cannot be drawn are left out.
pub(super) async fn explain(world: &World, outgoing: &mut [Outgoing]) {
    let _in_time = tokio::time::timeout(EXPLAIN_TIMEOUT, async {
        let mut explained: HashMap<String, Explained> = HashMap::new();
        for message in outgoing.iter_mut() {
            let id = message.notification.id.clone();
            if !explained.contains_key(&id) && explained.len() < MAX_EXPLAINED {
                explained.insert(id.clone(), of_message(world, message).await);
            }
            let Some(Explained { points, changes }) = explained.get(&id) else { continue };
            let notification = &mut message.notification;
            if let Some(chart) = &mut notification.chart {
                chart.points.clone_from(points);
            }
            for (culprit, change) in notification.culprits.iter_mut().zip(changes) {
                culprit.change.clone_from(change);
            }
        }
    })
    .await;
    for message in outgoing {
        message.notification.chart.take_if(|chart| chart.points.len() < 2);
    }
}

async fn of_message(world: &World, message: &Outgoing) -> Explained {
    let notification = &message.notification;
    if !matches!(notification.kind, Kind::Raised | Kind::Escalated) {
        return Explained::default();
    }
    let points = match &notification.chart {
        Some(_) => points(world, message).await.unwrap_or_default(),
        None => Vec::new(),
    };
    let changes = match notification.culprits.is_empty() {
        true => Vec::new(),
        false => changes(world, notification).await.unwrap_or_default(),
    };
    Explained { points, changes }
}

/// What each process was like an hour before: "was 8.1 GB at 13:00 UTC". `None` where that is not known.
async fn changes(world: &World, notification: &Notification) -> Option<Vec<String>> {
    let Subject::Host(host) = &notification.subject else { return None };
    let value = before(&notification.facts.measure)?;
    let (host, wanted_us): (HostName, i64) =
        (host.parse().ok()?, measured_us(notification).saturating_sub(BEFORE_US));
    let asking =
        world.past.ask("notifications", AskedFor::Page, Arc::new(Scope::everything()), move |past| {
            past.snapshot_at(&host, wanted_us)
        });
    let SnapshotLookup::Snapshot(past) = asking.await.ok()? else { return None };
    let snapshot = past.pair.latest();
    let heard_us = snapshot.captured_at_us;
    if wanted_us.saturating_sub(heard_us) > HEARD_WITHIN_US {
        return None;
    }
    let at = display::clock(heard_us);
    let of = |culprit: &Culprit| {
        let is_it = |process: &&Process| process.pid == culprit.pid && process.name == culprit.name;
        match snapshot.processes.iter().find(is_it) {
            Some(process) => value(process).map(|value| format!("was {value} at {at}")).unwrap_or_default(),
            None => format!("not there at {at}"),
        }
    };
    Some(notification.culprits.iter().map(of).collect())
}

/// When the figures of a message were measured: those of an escalation when the alert was raised.
fn measured_us(notification: &Notification) -> i64 {
    match notification.kind {
        Kind::Escalated => notification.facts.since_us.unwrap_or(notification.at_us),
        _ => notification.at_us,
    }
}

type ValueOf = fn(&Process) -> Option<String>;

/// The part of a process in what is measured, as culprits have it; `None` where it is another one, or is not kept.
fn before(measure: &str) -> Option<ValueOf> {
    match measure {
        "memory" | "swap" | "mem" => {
            Some(|process| process.resident_bytes.map(|bytes| with_unit(bytes as f64, (Unit::Bytes, false))))
        }
        "cpu" | "cpu_percent" | "load_1" | "load_5" | "load_15" => Some(|process| {
            process.cpu_percent.map(|percent| with_unit(f64::from(percent), (Unit::Percent, false)))
        }),
        _ => None,
    }
}

/// The measure of a message's host in the hour before; `None` where it is not kept.
async fn points(world: &World, message: &Outgoing) -> Option<Vec<Point>> {
    let notification = &message.notification;
    let Subject::Host(host) = &notification.subject else { return None };
    let (host, at_us): (HostName, i64) = (host.parse().ok()?, notification.at_us);
    let measure = Some(&notification.facts.measure).filter(|measure| is_drawn(measure))?;
    let span = Span { from_us: at_us.saturating_sub(CHART_US), to_us: at_us };
    let asking =
        world.past.ask("notifications", AskedFor::Page, Arc::new(Scope::everything()), move |past| {
            past.host_metrics(&host, span, CHART_POINTS, &[])
        });
    let metrics = asking.await.ok()?;
    let gaps = metrics.gaps.iter().map(|gap| Point { at_us: gap.from_us, value: None });
    let known =
        metrics.points.iter().map(|point| Point { at_us: point.to_us, value: measured(measure, point) });
    let mut points: Vec<Point> = known.chain(gaps).collect();
    points.extend(last_point(notification));
    points.sort_by_key(|point| point.at_us);
    Some(points)
}

/// What raised an alert is in no segment yet. At the time of an escalation the measure may be another.
fn last_point(notification: &Notification) -> Option<Point> {
    let Notification { kind, at_us, facts, .. } = notification;
    (*kind == Kind::Raised).then_some(Point { at_us: *at_us, value: facts.value.number })
}

/// Whether a measure of a host can be drawn over time.
fn is_drawn(measure: &str) -> bool {
    measure == MEMORY || HostPoint::names().any(|name| name == measure)
}

/// What a measure was in one part of a span; `None` where it is unknown.
fn measured(measure: &str, point: &HostPoint) -> Option<f64> {
    if measure == MEMORY {
        let used = point.extent("memory_used_bytes")?;
        return derived::memory_percent(Some(used.mean as u64), point.memory_total_bytes());
    }
    point.extent(measure).map(|extent| extent.mean)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use fleetps_ingestor::alerts::Change;

    use super::*;
    use crate::dispatch::{
        examples::{AT_US, transition},
        translate::{Beside, told},
    };

    #[test]
    fn an_escalation_has_the_figures_of_when_its_alert_was_raised() {
        let groups = BTreeSet::new();
        let beside = Beside { groups: &groups, note: "", moment: None, is_over: false };
        let raised = told(9, &transition("web-1", "memory", Change::Raised), &beside).notification;
        assert_eq!(measured_us(&raised), AT_US);
        assert_eq!(last_point(&raised), Some(Point { at_us: AT_US, value: Some(97.0) }));
        let escalated = Notification { kind: Kind::Escalated, at_us: AT_US + 900_000_000, ..raised };
        assert_eq!(measured_us(&escalated), AT_US);
        assert_eq!(last_point(&escalated), None);
    }
}
