//! One host at a past moment: what the history has, joined with what still lies in the stream only.
//!
//! A moment that the history has whole never needs the broker. For one at its end the stream is asked; while the broker is
//! away, the two last snapshots that this server holds stand in for it, or the last one that is stored, and the answer says
//! since when nothing newer could be known.

use std::sync::Arc;

use fleetps_ingestor::history::{NoSnapshot, PastSnapshot, Resolution, SnapshotLookup};
use fleetps_nats::{
    HostName, Snapshot,
    model::{HostState, SnapshotPair, Spacing},
};

use super::ScopedFleet;
use crate::{
    broker::AwaySince,
    live::{Moment, Summary, now_us},
    refusal::Refusal,
};

/// By then a snapshot is in the history: a large fleet is sealed every minute and a half, and a machine that is behind may take
/// as long again and some seconds.
pub(crate) const SEALED_WITHIN_US: i64 = 240_000_000;

/// One host at a past moment, and where to go from there.
#[derive(Debug, Clone)]
pub(crate) struct PastMoment {
    /// The last snapshot at or before the moment.
    pub moment: Moment,
    /// When the snapshot before it was captured.
    pub earlier_us: Option<i64>,
    /// When the snapshot after it was captured; absent for the newest.
    pub later_us: Option<i64>,
    /// How finely that time is kept.
    pub resolution: Resolution,
    /// Since when the broker is away, where there may be a later snapshot before the moment for that.
    pub away: Option<AwaySince>,
}

/// A host at a past moment.
#[derive(Debug, Clone)]
pub(crate) enum PastLookup {
    /// How it was.
    PastMoment(Box<PastMoment>),
    /// Why there is no snapshot.
    Nothing(NoSnapshot),
}

/// `host` at `at_us`.
///
/// # Errors
/// When the history cannot be read.
pub(crate) async fn to(scoped: &ScopedFleet, host: &HostName, at_us: i64) -> Result<PastLookup, Refusal> {
    let sealed = sealed(scoped, host, at_us).await?;
    // Only behind the end of the history can there be more in the stream.
    let at_the_end = match &sealed {
        SnapshotLookup::Snapshot(past) => past.later_us.is_none(),
        SnapshotLookup::Nothing(nothing) => {
            matches!(nothing, NoSnapshot::UnknownHost | NoSnapshot::AfterLast { .. })
        }
    };
    if !at_the_end {
        return Ok(join(host, sealed, Vec::new(), at_us));
    }
    match scoped.recent(host, at_us).await {
        Ok(recent) => Ok(join(host, sealed, recent, at_us)),
        Err(error) => {
            tracing::debug!(%error, %host, "cannot read the newest snapshots");
            without_stream(scoped, host, sealed, at_us).await
        }
    }
}

/// The same while the stream cannot be asked: by the snapshots that this server holds, or else the last one that is stored.
async fn without_stream(
    scoped: &ScopedFleet,
    host: &HostName,
    sealed: SnapshotLookup,
    at_us: i64,
) -> Result<PastLookup, Refusal> {
    let away = scoped.broker_away().unwrap_or_else(|| AwaySince(now_us()));
    let held = scoped.moment(host).map(|moment| moment.pair);
    let known = held.as_ref().and_then(|held| by_held(&sealed, held, (at_us, scoped.heard_until_us()), away));
    if let Some(known) = known {
        return Ok(known);
    }
    let sealed = match sealed {
        // How long the host has been silent is not known; this is the last that is.
        SnapshotLookup::Nothing(NoSnapshot::AfterLast { last_us }) => {
            self::sealed(scoped, host, last_us).await?
        }
        sealed => sealed,
    };
    let later_us = held.as_ref().map(first_us).filter(|first_us| *first_us > at_us);
    Ok(last_stored(from_history(sealed, later_us), away))
}

/// The answer from the two last snapshots that this server holds, which knows what hosts said until `heard_until_us`; `None`
/// where the moment lies before them, so that the stream may have a later one.
fn by_held(
    sealed: &SnapshotLookup,
    held: &SnapshotPair,
    (at_us, heard_until_us): (i64, i64),
    away: AwaySince,
) -> Option<PastLookup> {
    let (latest, previous) = (held.latest(), held.previous());
    let sealed_us = last_sealed_us(sealed);
    if sealed_us.is_some_and(|sealed_us| sealed_us >= latest.captured_at_us) {
        return None;
    }
    if latest.captured_at_us <= at_us {
        let last_us = latest.captured_at_us;
        // It was silent already when others were still heard of.
        if state_after(at_us.min(heard_until_us), latest) != HostState::Up {
            return Some(PastLookup::Nothing(NoSnapshot::AfterLast { last_us }));
        }
        let earlier_us = previous.map(|previous| previous.captured_at_us).max(sealed_us);
        return Some(past(moment(held.clone()), (earlier_us, None), Some(away)));
    }
    match previous {
        Some(previous) if previous.captured_at_us <= at_us => {
            let later_us = Some(latest.captured_at_us);
            Some(match state_after(at_us, previous) {
                HostState::Up => {
                    let pair = SnapshotPair::new(held.host().clone(), Arc::new(previous.clone()), None);
                    past(moment(pair), (sealed_us, later_us), None)
                }
                HostState::Paused | HostState::Silent | HostState::Down => {
                    PastLookup::Nothing(NoSnapshot::Gap {
                        before_us: previous.captured_at_us,
                        after_us: latest.captured_at_us,
                    })
                }
            })
        }
        // A host that is so new that nothing of it is stored.
        _ if sealed_us.is_none() && first_us(held).saturating_sub(at_us) <= SEALED_WITHIN_US => {
            let later_us = previous.map(|_| latest.captured_at_us);
            let first = previous.unwrap_or(latest).clone();
            let pair = SnapshotPair::new(held.host().clone(), Arc::new(first), None);
            Some(past(moment(pair), (None, later_us), Some(away)))
        }
        _ => None,
    }
}

fn first_us(held: &SnapshotPair) -> i64 {
    held.previous().unwrap_or(held.latest()).captured_at_us
}

fn state_after(at_us: i64, snapshot: &Snapshot) -> HostState {
    let age_us = at_us.saturating_sub(snapshot.captured_at_us);
    HostState::after(age_us, snapshot.interval_ms, Spacing::EverySample)
}

fn past(
    moment: Moment,
    (earlier_us, later_us): (Option<i64>, Option<i64>),
    away: Option<AwaySince>,
) -> PastLookup {
    let resolution = Resolution::Samples;
    PastLookup::PastMoment(Box::new(PastMoment { moment, earlier_us, later_us, resolution, away }))
}

/// The same, as the last one that is stored.
fn last_stored(lookup: PastLookup, away: AwaySince) -> PastLookup {
    match lookup {
        PastLookup::PastMoment(past) => {
            PastLookup::PastMoment(Box::new(PastMoment { away: Some(away), ..*past }))
        }
        nothing @ PastLookup::Nothing(_) => nothing,
    }
}

fn last_sealed_us(sealed: &SnapshotLookup) -> Option<i64> {
    match sealed {
        SnapshotLookup::Snapshot(past) => Some(past.pair.latest().captured_at_us),
        SnapshotLookup::Nothing(NoSnapshot::AfterLast { last_us }) => Some(*last_us),
        SnapshotLookup::Nothing(_) => None,
    }
}

async fn sealed(scoped: &ScopedFleet, host: &HostName, at_us: i64) -> Result<SnapshotLookup, Refusal> {
    let asked = host.clone();
    match scoped.history() {
        // A server without a history still has the stream.
        None if scoped.summary(host).is_some() => Ok(SnapshotLookup::Nothing(NoSnapshot::UnknownHost)),
        _ => scoped.ask(move |history| history.snapshot_at(&asked, at_us)).await,
    }
}

/// Joins the answer of the history with the snapshots of the stream around the moment, in order of capture.
fn join(host: &HostName, sealed: SnapshotLookup, mut recent: Vec<Snapshot>, at_us: i64) -> PastLookup {
    let sealed_us = last_sealed_us(&sealed);
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
    if state_after(at_us, &snapshot) != HostState::Up {
        let before_us = snapshot.captured_at_us;
        return PastLookup::Nothing(match later_us {
            Some(after_us) => NoSnapshot::Gap { before_us, after_us },
            None => NoSnapshot::AfterLast { last_us: before_us },
        });
    }
    let moment = moment(SnapshotPair::new(host.clone(), Arc::new(snapshot), earlier.map(Arc::new)));
    past(moment, (earlier_us, later_us), None)
}

fn from_history(sealed: SnapshotLookup, later_us: Option<i64>) -> PastLookup {
    match (sealed, later_us) {
        (SnapshotLookup::Snapshot(past), _) => {
            let PastSnapshot { pair, earlier_us, resolution, .. } = *past;
            let later_us = past.later_us.or(later_us);
            let moment = moment(pair);
            let away = None;
            PastLookup::PastMoment(Box::new(PastMoment { moment, earlier_us, later_us, resolution, away }))
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
