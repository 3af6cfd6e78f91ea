//! How fleetps itself is: what its parts count anyway, and what the ingestors say every few seconds.

use std::time::{Duration, Instant};

use fleetps_ingestor::alerts::Severity;
use fleetps_nats::status::IngestorStatus;

use super::{bounded, process};
use crate::{
    dispatch::DispatchFigures,
    gate::Gate,
    handlers::health::Parts,
    live::{BELIEVED_FOR, OpenAlert, now_us},
    metrics::{Exposition, Family, RequestTimes, Value, names},
    sockets::SocketFigures,
    state::AppState,
};

/// Writes all of it.
pub(super) fn write(shared: &AppState, exposition: &mut Exposition) {
    let now = Instant::now();
    exposition.family(&names::BUILD).add(&[env!("CARGO_PKG_VERSION")], true);
    let Parts { broker, intake, history, state } = Parts::now(shared, now);
    let mut ready = exposition.family(&names::READY);
    for (part, check) in [("broker", broker), ("intake", intake), ("history", history), ("state", state)] {
        ready.add(&[part], check.is_ok());
    }
    let warnings = shared.health.warnings().len() + shared.ingestors.warnings(now, now_us()).len();
    exposition.one(&names::WARNINGS, warnings);
    let ends_s = shared.certificate.as_ref().and_then(|certificate| certificate.ends_s());
    process::optional(exposition, &names::CERTIFICATE_EXPIRY, ends_s.map(|ends_s| ends_s as f64));
    hosts(shared, exposition);
    notifications(&shared.dispatching.figures(), exposition);
    ingestors(&shared.ingestors.all(now), exposition);
    exposition.one(&names::SEGMENTS_UNREADABLE, shared.ingestors.set_aside(now).len());
    refusals(shared, exposition);
    shared.request_times.write(exposition.family(RequestTimes::FAMILY));
    sockets(&shared.sockets.figures(), exposition);
    bounded::write(shared, now, exposition);
    process::write(exposition);
}

fn hosts(shared: &AppState, exposition: &mut Exposition) {
    let view = shared.fleet.view(&fleetps_ingestor::history::Scope::everything(), 0);
    let counts = view.counts;
    let mut hosts = exposition.family(&names::HOSTS);
    for (state, count) in
        [("up", counts.up), ("paused", counts.paused), ("silent", counts.silent), ("down", counts.down)]
    {
        hosts.add(&[state], count);
    }
    exposition.one(&names::HOSTS_LEFT_OUT, view.left_out);
    let open = shared.alerts.open(|_| true);
    let mut alerts = exposition.family(&names::ALERTS);
    for severity in Severity::ALL {
        let is_such = |open: &&OpenAlert| open.last.change.alert.severity == severity;
        alerts.add(&[severity.word()], open.iter().filter(is_such).count());
    }
    exposition.one(&names::PROCESSES, counts.processes);
}

fn notifications(figures: &DispatchFigures, exposition: &mut Exposition) {
    exposition.one(&names::NOTIFICATIONS_DISPATCHED, figures.dispatched);
    let mut kept_back = exposition.family(&names::NOTIFICATIONS_KEPT_BACK);
    for (reason, count) in &figures.kept_back {
        kept_back.add(&[reason], *count);
    }
    let mut outbox = exposition.family(&names::NOTIFICATIONS);
    for (what, count) in &figures.outbox {
        outbox.add(&[what], *count);
    }
    exposition.one(&names::NOTIFICATIONS_WAITING, figures.waiting);
    exposition.one(&names::NOTIFICATIONS_OLDEST, figures.oldest_waiting_s);
    process::optional(exposition, &names::HEARTBEAT, figures.beat_s);
    exposition.one(&names::HEARTBEATS_FAILED, figures.beats_failed);
    exposition.one(&names::HEARTBEATS_WITHHELD, figures.beats_withheld);
}

/// One number of an ingestor.
type Number = (&'static Family, fn(&IngestorStatus) -> Value);

/// The numbers that every ingestor says of itself.
const OF_INGESTORS: [Number; 21] = [
    (&names::READ_SEQUENCE, |status| status.read_sequence.into()),
    (&names::SEALED_SEQUENCE, |status| status.sealed_sequence.into()),
    (&names::PENDING, |status| status.pending.into()),
    (&names::READ_LAG, |status| match status.pending {
        0 => 0_u64.into(),
        _ => age_s(status.read_stored_us).into(),
    }),
    (&names::SEAL_LAG, |status| match status.unsealed_since_us {
        0 => 0_u64.into(),
        since_us => age_s(since_us).into(),
    }),
    (&names::STORED, |status| status.stored.into()),
    (&names::DUPLICATES, |status| status.duplicates.into()),
    (&names::UNPUBLISHED_EVENTS, |status| status.unpublished_events.into()),
    (&names::ALERT_LAG, |status| match status.alerts.pending {
        0 => 0_u64.into(),
        _ => age_s(status.alerts.read_stored_us).into(),
    }),
    (&names::ALERT_RULES, |status| status.alerts.rules.into()),
    (&names::ALERT_INSTANCES, |status| status.alerts.instances.into()),
    (&names::ALERT_CHANGES, |status| status.alerts.published.into()),
    (&names::ALERT_REPEATS, |status| status.alerts.repeated.into()),
    (&names::ALERTS_BEYOND, |status| status.alerts.beyond.into()),
    (&names::ALERTS_WORK, |status| status.alerts.error.is_none().into()),
    (&names::SEALS, |status| status.seals.into()),
    (&names::SEAL_SECONDS, |status| seconds(status.seal_ms).into()),
    (&names::MERGE_LAG, |status| match status.unmerged_since_s {
        0 => 0_u64.into(),
        since_s => age_s(since_s.saturating_mul(1_000_000)).into(),
    }),
    (&names::MERGES, |status| status.merges.into()),
    (&names::MERGE_SECONDS, |status| seconds(status.merge_ms).into()),
    (&names::MERGE_FAILURES, |status| status.merge_failures.into()),
];

/// What every ingestor says of itself; of one that was not heard of for long, only since when.
fn ingestors(reports: &[(IngestorStatus, Duration)], exposition: &mut Exposition) {
    let mut ages = exposition.family(&names::REPORT_AGE);
    for (status, age) in reports {
        ages.add(&[&status.partition.to_string()], age.as_secs_f64());
    }
    let fresh = reports.iter().filter(|(_, age)| *age <= BELIEVED_FOR);
    let fresh: Vec<_> = fresh.map(|(status, _)| (status.partition.to_string(), status)).collect();
    for (family, of) in OF_INGESTORS {
        let mut samples = exposition.family(family);
        for (partition, status) in &fresh {
            samples.add(&[partition], of(status));
        }
    }
    for (family, of) in [
        (&names::REFUSED, (|status| &status.refused) as fn(&IngestorStatus) -> &Vec<(String, u64)>),
        (&names::WAITS, |status| &status.waits_for),
    ] {
        let mut samples = exposition.family(family);
        for (partition, status) in &fresh {
            of(status).iter().for_each(|(label, count)| samples.add(&[partition, label], *count));
        }
    }
    for (family, place) in [(&names::SEGMENTS, 0), (&names::SEGMENT_BYTES, 1)] {
        let mut samples = exposition.family(family);
        for (partition, status) in &fresh {
            for (level, count, bytes) in &status.segments {
                samples.add(&[partition, level], [*count, *bytes][place]);
            }
        }
    }
}

fn refusals(shared: &AppState, exposition: &mut Exposition) {
    let mut refused = exposition.family(&names::ADMISSION_REFUSED);
    for (reason, count) in shared.admission.refused() {
        refused.add(&[&reason], count);
    }
    let intake = *shared.intake.borrow();
    let mut left_alone = exposition.family(&names::LIVE_IGNORED);
    for (reason, count) in intake.refused() {
        left_alone.add(&[reason], count);
    }
    exposition.one(&names::LIVE_RESTARTS, intake.restarts);
    let mut connections = exposition.family(&names::CONNECTIONS_REFUSED);
    for (reason, count) in shared.connections.refused() {
        connections.add(&[reason], count);
    }
    let mut posts = exposition.family(&names::POSTS_REFUSED);
    for (reason, count) in shared.gate.iter().flat_map(Gate::refused) {
        posts.add(&[reason], count);
    }
    let mut legacy = exposition.family(&names::LEGACY_REQUESTS);
    for (outcome, count) in shared.legacy_requests.all() {
        legacy.add(&[outcome], count);
    }
}

fn sockets(figures: &SocketFigures, exposition: &mut Exposition) {
    exposition.one(&names::WEBSOCKET_TOPICS, figures.topics);
    exposition.one(&names::WEBSOCKET_OPENED, figures.opened);
    exposition.one(&names::WEBSOCKET_MESSAGES, figures.messages);
    exposition.one(&names::WEBSOCKET_BYTES, figures.bytes);
    exposition.one(&names::WEBSOCKET_SKIPPED, figures.skipped);
    exposition.one(&names::WEBSOCKET_GAPS, figures.gaps);
    let mut closed = exposition.family(&names::WEBSOCKET_CLOSED);
    for (reason, count) in &figures.closed {
        closed.add(&[reason], *count);
    }
}

/// How long ago that was by this machine's clock, in seconds; nothing where it is in the future.
fn age_s(at_us: i64) -> f64 {
    now_us().saturating_sub(at_us).max(0) as f64 / 1e6
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}
