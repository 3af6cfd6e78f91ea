//! One host at a past moment: what the history has, joined with what still lies in the stream only.

use std::sync::Arc;

use axum::http::StatusCode;
use fleetps_ingestor::history::{NoSnapshot, PastSnapshot, Resolution, SnapshotLookup};
use fleetps_nats::{
    HostName, Snapshot,
    model::{HostState, SnapshotPair, Spacing},
};

use super::ScopedFleet;
use crate::{
    live::{Moment, Summary},
    refusal::Refusal,
};

/// One host at a past moment, and where to go from there.
#[derive(Debug, Clone)]
pub struct PastMoment {
    /// The last snapshot at or before the moment.
    pub moment: Moment,
    /// When the snapshot before it was captured.
    pub earlier_us: Option<i64>,
    /// When the snapshot after it was captured; absent for the newest.
    pub later_us: Option<i64>,
    /// How finely that time is kept.
    pub resolution: Resolution,
}

/// A host at a past moment.
#[derive(Debug, Clone)]
pub enum PastLookup {
    /// How it was.
    PastMoment(Box<PastMoment>),
    /// Why there is no snapshot.
    Nothing(NoSnapshot),
}

/// `host` at `at_us`.
///
/// # Errors
/// When the history cannot be read, or the broker does not answer for snapshots that are not in it yet.
pub async fn to(scoped: &ScopedFleet, host: &HostName, at_us: i64) -> Result<PastLookup, Refusal> {
    let sealed = sealed(scoped, host, at_us).await?;
    // Only behind the end of the history can there be more in the stream.
    let at_the_end = match &sealed {
        SnapshotLookup::Snapshot(past) => past.later_us.is_none(),
        SnapshotLookup::Nothing(nothing) => {
            matches!(nothing, NoSnapshot::UnknownHost | NoSnapshot::AfterLast { .. })
        }
    };
    let recent = if at_the_end { recent(scoped, host, at_us).await? } else { Vec::new() };
    Ok(join(host, sealed, recent, at_us))
}

async fn sealed(scoped: &ScopedFleet, host: &HostName, at_us: i64) -> Result<SnapshotLookup, Refusal> {
    let asked = host.clone();
    match scoped.history() {
        // A server without a history still has the stream.
        None if scoped.summary(host).is_some() => Ok(SnapshotLookup::Nothing(NoSnapshot::UnknownHost)),
        _ => scoped.ask(move |history| history.snapshot_at(&asked, at_us)).await,
    }
}

async fn recent(scoped: &ScopedFleet, host: &HostName, at_us: i64) -> Result<Vec<Snapshot>, Refusal> {
    scoped.recent(host, at_us).await.map_err(|error| {
        tracing::warn!(%error, %host, "cannot read the newest snapshots");
        Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the broker does not answer, and the snapshots of the last minute are only there",
            "moments more than a minute ago can be shown; trying again may help",
        )
    })
}

/// Joins the answer of the history with the snapshots of the stream around the moment, in order of capture.
fn join(host: &HostName, sealed: SnapshotLookup, mut recent: Vec<Snapshot>, at_us: i64) -> PastLookup {
    let sealed_us = match &sealed {
        SnapshotLookup::Snapshot(past) => Some(past.pair.latest().captured_at_us),
        SnapshotLookup::Nothing(NoSnapshot::AfterLast { last_us }) => Some(*last_us),
        SnapshotLookup::Nothing(_) => None,
    };
    let later_us = match recent.last() {
        Some(last) if last.captured_at_us > at_us => recent.pop().map(|later| later.captured_at_us),
        _ => None,
    };
    match recent.pop() {
        Some(newer) if sealed_us.is_none_or(|sealed_us| newer.captured_at_us > sealed_us) => {
            let earlier = recent.pop();
            let earlier_us = earlier.as_ref().map(|earlier| earlier.captured_at_us).max(sealed_us);
            from_stream(host, newer, earlier, (earlier_us, later_us), at_us)
        }
        _ => from_history(sealed, later_us),
    }
}

fn from_stream(
    host: &HostName,
    snapshot: Snapshot,
    earlier: Option<Snapshot>,
    (earlier_us, later_us): (Option<i64>, Option<i64>),
    at_us: i64,
) -> PastLookup {
    let age_us = at_us.saturating_sub(snapshot.captured_at_us);
    if HostState::after(age_us, snapshot.interval_ms, Spacing::EverySample) != HostState::Up {
        let before_us = snapshot.captured_at_us;
        return PastLookup::Nothing(match later_us {
            Some(after_us) => NoSnapshot::Gap { before_us, after_us },
            None => NoSnapshot::AfterLast { last_us: before_us },
        });
    }
    let moment = moment(SnapshotPair::new(host.clone(), Arc::new(snapshot), earlier.map(Arc::new)));
    PastLookup::PastMoment(Box::new(PastMoment {
        moment,
        earlier_us,
        later_us,
        resolution: Resolution::Samples,
    }))
}

fn from_history(sealed: SnapshotLookup, later_us: Option<i64>) -> PastLookup {
    match (sealed, later_us) {
        (SnapshotLookup::Snapshot(past), _) => {
            let PastSnapshot { pair, earlier_us, resolution, .. } = *past;
            let later_us = past.later_us.or(later_us);
            let moment = moment(pair);
            PastLookup::PastMoment(Box::new(PastMoment { moment, earlier_us, later_us, resolution }))
        }
        (SnapshotLookup::Nothing(NoSnapshot::AfterLast { last_us }), Some(after_us)) => {
            PastLookup::Nothing(NoSnapshot::Gap { before_us: last_us, after_us })
        }
        (SnapshotLookup::Nothing(NoSnapshot::UnknownHost), Some(first_us)) => {
            PastLookup::Nothing(NoSnapshot::BeforeFirst { first_us })
        }
        (SnapshotLookup::Nothing(nothing), _) => PastLookup::Nothing(nothing),
    }
}

fn moment(pair: SnapshotPair) -> Moment {
    let captured_at_us = pair.latest().captured_at_us;
    let summary = Summary::new(pair.host().clone(), pair.latest(), captured_at_us, captured_at_us);
    Moment { summary: Arc::new(summary), pair }
}

#[cfg(test)]
#[path = "travel_tests.rs"]
mod tests;
