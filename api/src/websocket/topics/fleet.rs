//! The fleet: every host at first, then those that changed.

use std::sync::Arc;

use axum::body::Bytes;
use fleetps_nats::HostName;
use serde::Serialize;
use tokio::{sync::watch, time::Instant};

use super::{Step, host::broker_away, place_for};
use crate::{
    handlers::{hosts_json::Hosts, json},
    live::Position,
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    sockets::{Feed, FeedKey, Mark, Prepared},
    view::patch::{MIN_BETWEEN, PAUSE},
    websocket::{
        message::{Outgoing, Type},
        request::Topic,
    },
};

/// A host in the list takes about as much.
const HOST_BYTES: usize = 450;

/// The fleet, for one client.
pub(in crate::websocket) struct FleetTopic {
    changed: watch::Receiver<u64>,
    groups: watch::Receiver<()>,
    is_due: bool,
    next_at: Instant,
    feed: (FeedKey, Arc<Feed>),
    /// What the client has seen, and how many snapshots had come by then.
    seen: Option<(Mark, u64)>,
    /// From where the client goes on.
    since: Option<Position>,
}

/// What changed in the list of hosts.
#[derive(Serialize)]
struct Changes<'a> {
    #[serde(flatten)]
    hosts: Hosts<'a>,
    gone: &'a [HostName],
}

impl FleetTopic {
    /// The fleet for a client that has seen it until `since`, or nothing.
    pub(in crate::websocket) fn new(scoped: &ScopedFleet, since: Option<Position>) -> Self {
        Self {
            changed: scoped.watch_fleet(),
            groups: scoped.watch_groups(),
            is_due: true,
            next_at: Instant::now(),
            feed: feed(scoped),
            seen: None,
            since,
        }
    }

    pub(super) async fn ready(&mut self) {
        if !self.is_due {
            tokio::select! {
                changed = self.changed.changed() => if changed.is_err() { return std::future::pending().await },
                changed = self.groups.changed() => if changed.is_err() { return std::future::pending().await },
            }
            self.is_due = true;
        }
        tokio::time::sleep_until(self.next_at).await;
    }

    pub(super) async fn step(&mut self, scoped: &ScopedFleet) -> Step {
        if let Some(step) = self.gap(scoped).await {
            return step;
        }
        let begun = Instant::now();
        self.changed.mark_unchanged();
        let (fleet, groups) = scoped.versions();
        let now = Mark { fleet, groups };
        // With other tags, other hosts may be seen, and lines are others.
        let from = self.seen.map(|(seen, _)| seen).filter(|seen| seen.groups == groups);
        if self.feed.0 != key(scoped) {
            self.feed = feed(scoped);
        }
        // Each version is one host's, most often.
        let changed = from.map_or(u64::MAX, |from| fleet.saturating_sub(from.fleet));
        let changed = usize::try_from(changed).unwrap_or(usize::MAX).min(scoped.host_count());
        let Ok(place) = place_for(scoped, changed.saturating_mul(HOST_BYTES)).await else {
            return Step::Nothing;
        };
        let prepared = match self.feed.1.prepared(from, now, MIN_BETWEEN, prepare(scoped, from, groups)).await
        {
            Ok(prepared) => prepared,
            Err(fault) => return Step::end(fault),
        };
        let (made_at, took) = prepared.made;
        self.next_at = begun.max(made_at) + MIN_BETWEEN.max(took * PAUSE);
        let (seen, (taken, sampled)) = (self.seen.replace((prepared.to, prepared.taken.0)), prepared.taken);
        self.is_due = prepared.to != now;
        if prepared.data.is_empty() {
            return Step::Nothing;
        }
        let type_ = if prepared.is_whole { Type::Snapshot } else { Type::Patch };
        let message =
            Outgoing::data(&Topic::Fleet, type_, prepared.position, prepared.data.clone()).at(place);
        // Of what came since the client's last message, each host's last snapshot is in this one.
        let skipped =
            seen.filter(|_| !prepared.is_whole).map(|(_, before)| taken.saturating_sub(before + sampled));
        scoped.sockets().count_skipped(skipped.unwrap_or_default());
        Step::send(message.skipping(skipped.unwrap_or_default()))
    }

    /// Tells a client that goes on which part of what came meanwhile the stream no longer has. The list itself is whole.
    async fn gap(&mut self, scoped: &ScopedFleet) -> Option<Step> {
        let since = self.since?;
        let found = scoped.gap_after(since).await;
        self.since = None;
        match found {
            Ok(Some(begin)) => {
                scoped.sockets().count_gap();
                Some(Step::send(Outgoing::gap(&Topic::Fleet, (since, begin))))
            }
            Ok(None) => None,
            Err(error) => Some(Step::end(broker_away(&error))),
        }
    }
}

fn key(scoped: &ScopedFleet) -> FeedKey {
    FeedKey::Fleet(scoped.shared_grants())
}

fn feed(scoped: &ScopedFleet) -> (FeedKey, Arc<Feed>) {
    let key = key(scoped);
    let feed = scoped.sockets().feed(&key);
    (key, feed)
}

/// The message for everybody who has seen `from`.
async fn prepare(scoped: &ScopedFleet, from: Option<Mark>, groups: u64) -> Result<Prepared, Refusal> {
    let begun = Instant::now();
    let since = from.map(|from| from.fleet);
    scoped
        .over_changes(since, move |changes, tagged| {
            let lines = changes.hosts.iter().map(|host| json::Host::of(host, tagged.of(&host.host).clone()));
            let hosts = Hosts { hosts: lines.collect(), hosts_left_out: changes.left_out };
            let is_nothing = !changes.is_whole && changes.hosts.is_empty() && changes.gone.is_empty();
            let data = match changes.is_whole {
                _ if is_nothing => Vec::new(),
                true => serde_json::to_vec(&hosts).unwrap_or_default(),
                false => serde_json::to_vec(&Changes { hosts, gone: &changes.gone }).unwrap_or_default(),
            };
            Prepared {
                from,
                to: Mark { fleet: changes.version, groups },
                made: (Instant::now(), begun.elapsed()),
                position: changes.position,
                is_whole: changes.is_whole,
                taken: (changes.taken, changes.sampled),
                data: Bytes::from(data),
            }
        })
        .await
}
