//! What a message says beyond its transitions: who a process belongs to, and the measure before that moment.
//!
//! All of it may be missing: an alert is not held up by a history that is busy.

use std::{collections::HashMap, sync::Arc, time::Duration};

use fleetps_ingestor::history::{HostPoint, Scope, Span};
use fleetps_nats::HostName;

use super::{World, burst::Read, ledger::Outgoing};
use crate::{
    history_service::AskedFor,
    live::{Fleet, Moment},
    notify::{Kind, Point, Subject},
};

/// Hosts of a burst whose snapshots are decoded: one takes a millisecond. Where more fail at once, no single process explains it.
const MAX_LOOKED_AT: usize = 50;
/// Messages of a burst that get a chart.
const MAX_CHARTS: usize = 10;
/// How long all charts of a burst may take.
const CHARTS_WITHIN: Duration = Duration::from_secs(3);
/// How far back a chart goes.
const CHART_US: i64 = 3600 * 1_000_000;
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

/// Draws the charts of messages that want one, and leaves out those that cannot be drawn.
pub(super) async fn draw_charts(world: &World, outgoing: &mut [Outgoing]) {
    let _in_time = tokio::time::timeout(CHARTS_WITHIN, async {
        let mut drawn: HashMap<String, Vec<Point>> = HashMap::new();
        for message in outgoing.iter_mut().filter(|message| message.notification.chart.is_some()) {
            let id = message.notification.id.clone();
            if !drawn.contains_key(&id) && drawn.len() < MAX_CHARTS {
                drawn.insert(id.clone(), points(world, message).await.unwrap_or_default());
            }
            if let (Some(chart), Some(points)) = (&mut message.notification.chart, drawn.get(&id)) {
                chart.points.clone_from(points);
            }
        }
    })
    .await;
    for message in outgoing {
        message.notification.chart.take_if(|chart| chart.points.len() < 2);
    }
}

/// The measure of a message's host in the hour before; `None` where it is not kept.
async fn points(world: &World, message: &Outgoing) -> Option<Vec<Point>> {
    let notification = &message.notification;
    let Subject::Host(host) = &notification.subject else { return None };
    if !matches!(notification.kind, Kind::Raised | Kind::Escalated) {
        return None;
    }
    let (host, at_us): (HostName, i64) = (host.parse().ok()?, notification.at_us);
    let of_point = drawn(&notification.facts.measure)?;
    let span = Span { from_us: at_us.saturating_sub(CHART_US), to_us: at_us };
    let asking =
        world.past.ask("notifications", AskedFor::Page, Arc::new(Scope::everything()), move |past| {
            past.host_metrics(&host, span, CHART_POINTS, &[])
        });
    let metrics = asking.await.ok()?;
    let gaps = metrics.gaps.iter().map(|gap| Point { at_us: gap.from_us, value: None });
    let known = metrics.points.iter().map(|point| Point { at_us: point.to_us, value: of_point(point) });
    let mut points: Vec<Point> = known.chain(gaps).collect();
    // What raised it is in no segment yet.
    points.push(Point { at_us, value: notification.facts.value.number });
    points.sort_by_key(|point| point.at_us);
    Some(points)
}

type OfPoint = fn(&HostPoint) -> Option<f64>;

/// The figure of a point that a measure of a host is about; `None` where none is kept of it.
fn drawn(measure: &str) -> Option<OfPoint> {
    Some(match measure {
        "cpu_percent" => |point| point.cpu_percent.map(|cpu| cpu.mean),
        "load_1" => |point| point.load_1.map(|load| load.mean),
        "load_5" => |point| point.load_5.map(|load| load.mean),
        "load_15" => |point| point.load_15.map(|load| load.mean),
        "memory" => |point| {
            let total = point.memory_total_bytes.filter(|total| *total > 0)?;
            point.memory_used_bytes.map(|used| used.mean / total as f64 * 100.0)
        },
        _ => return None,
    })
}
