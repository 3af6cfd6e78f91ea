//! What becomes of alerts is told: this room joins the stream of alerts to the outbox of notifications.
//!
//! * `run` follows the stream (`alert_stream`), `burst` says where a burst of it ends, `translate` makes a notification of a transition,
//!   `explain` adds what the fleet and the history know, `decide` plans a burst by what `people` say, `links` leads back here.
//! * `ledger` is what is decided, one value of the broker: the position in the stream, which channel was told of which open
//!   alert, what is escalated when, and what the outbox may not have yet; `hand_over` puts that there.
//!   `strays` finds alerts in it whose end the stream lost.
//! * `acknowledged` is who looks after which alert, `heartbeat` tells an outside watcher that alerts are evaluated.
//!
//! **Once.** A burst is decided by writing the ledger, on the condition that nobody wrote it since it was read. What is to be
//! sent is in it. It then goes to the outbox, which recognises a message that it has, and the ledger is written without it. So
//! after a kill anywhere the next server sends what was decided, under the same ids, and decides nothing twice. Without the
//! write before, a burst that is read again with one transition more would be the same message with another content.
//!
//! **Nothing where nobody is to be told.** Until there is a channel, this asks the broker whether there is one, and makes
//! neither streams nor buckets. With the first channel it begins at the end of the stream of alerts: nobody wants to hear
//! what happened before.

mod acknowledged;
mod alert_stream;
mod burst;
mod decide;
#[cfg(test)]
mod examples;
mod explain;
mod hand_over;
mod heartbeat;
mod ledger;
mod links;
mod people;
mod run;
mod strays;
mod translate;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use fleetps_nats::now_us;
use parking_lot::RwLock;
use tokio::time::Instant;

use crate::{
    authz::Groups,
    counts::Counts,
    history_service::HistoryService,
    live::{Alerts, Fleet, IngestorReports},
    metrics::Bounded,
    notify::{Allowed, Grouping, KeptBack, Outbox, Pace},
};

pub use acknowledged::Acknowledged;
pub use ledger::Muted;
pub use run::run;

/// Why dispatching broke off.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How notifications are made and sent here.
#[derive(Debug, Clone)]
pub struct DispatchSettings {
    /// What channels may do on this machine.
    pub allowed: Allowed,
    /// Where people reach this server, for links.
    pub address: String,
    /// How bursts become messages.
    pub grouping: Grouping,
    /// How fast couriers go.
    pub pace: Pace,
    /// How often an outside watcher hears of this.
    pub beat_every: std::time::Duration,
}

/// How often an outside watcher hears that alerts are evaluated: such watchers count in minutes.
const BEAT_EVERY: std::time::Duration = std::time::Duration::from_secs(60);

impl DispatchSettings {
    /// As usual.
    pub fn new(allowed: Allowed, address: String) -> Self {
        let (grouping, pace) = (Grouping::default(), Pace::default());
        Self { allowed, address, grouping, pace, beat_every: BEAT_EVERY }
    }
}

/// What is known of alerts, hosts and the past.
#[derive(Clone)]
pub struct World {
    /// The alerts, which tell of every change.
    pub alerts: Arc<Alerts>,
    /// The present.
    pub fleet: Arc<Fleet>,
    /// The groups of hosts.
    pub groups: Groups,
    /// The past.
    pub past: HistoryService,
    /// How the ingestors are, which evaluate alerts.
    pub ingestors: Arc<IngestorReports>,
}

/// How dispatching is doing, for pages and metrics; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Dispatching(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    dispatched: AtomicU64,
    not_escalated: AtomicU64,
    forgotten: AtomicU64,
    beats_failed: AtomicU64,
    beats_withheld: AtomicU64,
    kept_back: Counts,
    now: RwLock<Now>,
}

#[derive(Debug, Default)]
struct Now {
    outbox: Option<Outbox>,
    /// Transitions that are read and not decided.
    pending: usize,
    /// The first of them, by its sequence, and since when it waits: also over errors, after which it is read again.
    pending_since: Option<(u64, Instant)>,
    /// Since when the outbox has no room for a message.
    refused_since: Option<Instant>,
    /// When all that was there to decide was decided last.
    looked: Option<Instant>,
    /// Alerts that wait to be acknowledged.
    escalations: usize,
    muted: BTreeMap<String, Muted>,
    /// Messages in the outbox, and when the oldest was put there, in µs since 1970 UTC.
    waiting: u64,
    oldest_us: i64,
    /// When an outside watcher last took a beat, in µs since 1970 UTC.
    beat_us: Option<i64>,
}

/// How dispatching is doing, in numbers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DispatchFigures {
    /// Messages that were decided here since the start.
    pub dispatched: u64,
    /// Transitions that nobody is told of, by why.
    pub kept_back: BTreeMap<&'static str, u64>,
    /// What the outbox counted since the start, by name; empty where there is none.
    pub outbox: Vec<(&'static str, u64)>,
    /// Messages that wait in the outbox.
    pub waiting: u64,
    /// How old the oldest of them is, in s; 0 where none waits.
    pub oldest_waiting_s: f64,
    /// When an outside watcher last took a beat, in s since 1970 UTC.
    pub beat_s: Option<f64>,
    /// Beats that no watcher took since the start.
    pub beats_failed: u64,
    /// Beats that were not sent since the start, because alerts are not evaluated or not told.
    pub beats_withheld: u64,
}

impl Dispatching {
    /// Everything in numbers.
    pub fn figures(&self) -> DispatchFigures {
        let Shared { dispatched, beats_failed, beats_withheld, kept_back, now, .. } = &*self.0;
        let now = now.read();
        let age_us = if now.waiting > 0 { now_us().saturating_sub(now.oldest_us).max(0) } else { 0 };
        DispatchFigures {
            dispatched: dispatched.load(Ordering::Relaxed),
            kept_back: kept_back.all(),
            outbox: now.outbox.as_ref().map(|outbox| outbox.counts().all().to_vec()).unwrap_or_default(),
            waiting: now.waiting,
            oldest_waiting_s: age_us as f64 / 1e6,
            beat_s: now.beat_us.map(|at_us| at_us as f64 / 1e6),
            beats_failed: beats_failed.load(Ordering::Relaxed),
            beats_withheld: beats_withheld.load(Ordering::Relaxed),
        }
    }

    /// What is bounded here.
    pub fn bounded(&self) -> [Bounded; 2] {
        let now = self.0.now.read();
        let (pending, escalations) = (now.pending as u64, now.escalations as u64);
        let not_escalated = self.0.not_escalated.load(Ordering::Relaxed);
        let forgotten = self.0.forgotten.load(Ordering::Relaxed);
        [
            Bounded {
                of: "alerts-to-dispatch",
                in_use: pending,
                limit: burst::MAX_PENDING as u64,
                refused: forgotten,
            },
            Bounded {
                of: "alerts-to-escalate",
                in_use: escalations,
                limit: decide::MAX_WAITING as u64,
                refused: not_escalated,
            },
        ]
    }

    /// What each silence kept back, by its id.
    pub fn muted(&self) -> BTreeMap<String, Muted> {
        self.0.now.read().muted.clone()
    }

    /// The outbox; `None` until there is a channel.
    pub fn outbox(&self) -> Option<Outbox> {
        self.0.now.read().outbox.clone()
    }

    fn count_kept_back(&self, kept_back: &[KeptBack]) {
        kept_back.iter().for_each(|it| self.0.kept_back.count(it.why.word()));
    }
}
