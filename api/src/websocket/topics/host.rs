//! One host: every sample as it comes, with its processes. A client that goes on behind a position first gets what the
//! stream has behind it, sample by sample; after that a slow one gets the newest and how many it missed.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use axum::{body::Bytes, http::StatusCode};
use fleetps_nats::{HostName, error_chain};
use tokio::{sync::watch, time::Instant};

use super::{Step, place_for};
use crate::{
    broker::Away,
    handlers::sample::Sample,
    live::{
        Moment, Position, Summary,
        recent::RecentError,
        replay::{Replay, Replayed},
    },
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    shares::{NoShare, Share},
    sockets::{Feed, FeedKey, Mark, Prepared},
    websocket::{
        message::{Outgoing, Type},
        request::Topic,
    },
};

/// A process in JSON takes about as much.
const PROCESS_BYTES: usize = 700;

/// A host, for one client.
pub(in crate::websocket) struct HostTopic {
    host: HostName,
    topic: Topic,
    changed: watch::Receiver<()>,
    groups: watch::Receiver<()>,
    is_due: bool,
    feed: Option<(FeedKey, Arc<Feed>)>,
    /// What is still to be told from the stream.
    replay: Option<Box<Replay>>,
    seen: Option<Seen>,
}

/// What the client has seen.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// How many snapshots had come by then.
    taken: u64,
    /// The present that it was sent; absent while it has only been told of a gap before the present.
    mark: Option<Mark>,
}

/// Why there is no present to send.
#[derive(Debug)]
enum NotPrepared {
    /// There is no such host.
    Gone,
    /// Command lines may be seen that could not be a moment ago, or the other way round.
    OtherRights,
}

impl HostTopic {
    /// A host for a client that has seen it until `since`, or nothing.
    ///
    /// # Errors
    /// When there is no such host.
    pub(in crate::websocket) fn new(
        scoped: &ScopedFleet,
        host: &str,
        since: Option<Position>,
    ) -> Result<Self, Refusal> {
        let topic = Topic::Host(host.to_owned());
        let host: HostName = host.parse().map_err(|_| Refusal::no_such_host(host))?;
        let changed = scoped.watch_host(&host)?;
        let replay = since.map(|since| Box::new(Replay::new(host.clone(), since)));
        let groups = scoped.watch_groups();
        Ok(Self { host, topic, changed, groups, is_due: true, feed: None, replay, seen: None })
    }

    /// The host.
    pub(in crate::websocket) fn host(&self) -> &HostName {
        &self.host
    }

    pub(super) async fn ready(&mut self) {
        if !self.is_due {
            tokio::select! {
                // Also when the host is gone.
                _ = self.changed.changed() => {}
                changed = self.groups.changed() => if changed.is_err() { return std::future::pending().await },
            }
            self.is_due = true;
        }
    }

    pub(super) async fn step(&mut self, scoped: &ScopedFleet) -> Step {
        let Some(summary) = scoped.summary(&self.host) else {
            return Step::end(Refusal::no_such_host(self.host.as_str()));
        };
        if self.changed.has_changed().is_err() {
            // It was forgotten, and is back as another one.
            match scoped.watch_host(&self.host) {
                Ok(changed) => self.changed = changed,
                Err(gone) => return Step::end(gone),
            }
        }
        match self.replay.is_some() {
            true => self.replayed(scoped, &summary).await,
            false => self.newest(scoped, &summary).await,
        }
    }

    /// The present sample, unless the client has it.
    async fn newest(&mut self, scoped: &ScopedFleet, summary: &Summary) -> Step {
        self.changed.mark_unchanged();
        let now = mark(scoped, summary);
        if self.seen.is_some_and(|seen| seen.mark == Some(now)) {
            self.is_due = false;
            return Step::Nothing;
        }
        let Ok(place) = place(scoped, summary).await else { return Step::Nothing };
        let sees_command_lines = scoped.sees_command_lines(&self.host);
        let key = FeedKey::Host(self.host.clone(), sees_command_lines);
        let feed = match &self.feed {
            Some((known, feed)) if *known == key => Arc::clone(feed),
            _ => scoped.sockets().feed(&key),
        };
        self.feed = Some((key, Arc::clone(&feed)));
        let preparing = prepare(scoped, &self.host, sees_command_lines);
        let prepared = match feed.prepared(None, now, Duration::ZERO, preparing).await {
            Ok(prepared) if scoped.sees_command_lines(&self.host) == sees_command_lines => prepared,
            // Rights changed while others prepared it: the next step takes the other feed.
            Ok(_) | Err(NotPrepared::OtherRights) => return Step::Nothing,
            Err(NotPrepared::Gone) => return Step::end(Refusal::no_such_host(self.host.as_str())),
        };
        self.is_due = false;
        let (taken, position) = (prepared.taken.0, prepared.position);
        let before = self.seen.replace(Seen { taken, mark: Some(prepared.to) });
        let skipped = before.map_or(0, |seen| taken.saturating_sub(seen.taken + 1));
        scoped.sockets().count_skipped(skipped);
        let message = Outgoing::data(&self.topic, Type::Snapshot, position, prepared.data.clone());
        Step::send(message.skipping(skipped).at(place))
    }

    /// What comes next from the stream.
    async fn replayed(&mut self, scoped: &ScopedFleet, summary: &Summary) -> Step {
        self.changed.mark_unchanged();
        let Ok(place) = place(scoped, summary).await else { return Step::Nothing };
        let Some(replay) = &mut self.replay else { return Step::Nothing };
        let Ok(_turn) = scoped.sockets().replay(scoped.who()).await else { return Step::Nothing };
        let next = scoped.replay(replay).await;
        let until = replay.position();
        match next {
            Ok(Some(Replayed::Moment(moment))) => Step::send(self.past(scoped, &moment).at(place)),
            Ok(Some(Replayed::Gap(from, to))) => {
                scoped.sockets().count_gap();
                if !summary.position.is_behind(to) {
                    // The stream has no sample of the host any longer, so the present is next. What comes meanwhile is
                    // counted as skipped.
                    self.replay = None;
                    self.seen = Some(Seen { taken: summary.taken.saturating_sub(1), mark: None });
                }
                Step::send(Outgoing::gap(&self.topic, (from, to)))
            }
            Ok(Some(Replayed::End)) => {
                // Where this server has taken in more, the stream has it; where it has taken in less, it will.
                self.is_due = summary.position.is_behind(until);
                if summary.position == until {
                    self.replay = None;
                    self.seen = Some(Seen { taken: summary.taken, mark: Some(mark(scoped, summary)) });
                }
                Step::Nothing
            }
            Ok(None) => {
                self.replay = None;
                scoped.sockets().count_gap();
                Step::send(Outgoing::gap(&self.topic, (until, summary.position)))
            }
            Err(error) => Step::end(broker_away(&error)),
        }
    }

    fn past(&self, scoped: &ScopedFleet, moment: &Moment) -> Outgoing {
        let sample = Sample::of(moment, scoped.groups(&self.host));
        let data = Bytes::from(serde_json::to_vec(&sample).unwrap_or_default());
        Outgoing::data(&self.topic, Type::Snapshot, moment.summary.position, data).skipping(0)
    }
}

/// The end of a topic whose past cannot be read just now.
pub(super) fn broker_away(error: &RecentError) -> Refusal {
    tracing::debug!(error = error_chain(error), "cannot read what a client missed");
    let hint = "watch it again in a few seconds, with the last position that you have";
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, Away.to_string(), hint)
}

/// A place for the message of a host.
async fn place(scoped: &ScopedFleet, summary: &Summary) -> Result<Option<Share>, NoShare> {
    let processes = usize::try_from(summary.process_count).unwrap_or(usize::MAX);
    place_for(scoped, processes.saturating_mul(PROCESS_BYTES)).await
}

fn mark(scoped: &ScopedFleet, summary: &Summary) -> Mark {
    let mut version = DefaultHasher::new();
    (summary.taken, summary.version()).hash(&mut version);
    Mark { fleet: version.finish(), groups: scoped.versions().1 }
}

/// The present sample, for everybody who sees command lines of the host, or for everybody who does not.
async fn prepare(
    scoped: &ScopedFleet,
    host: &HostName,
    with_command_lines: bool,
) -> Result<Prepared, NotPrepared> {
    let begun = Instant::now();
    let (moment, has_command_lines) = scoped.moment_as_seen(host).ok_or(NotPrepared::Gone)?;
    if has_command_lines != with_command_lines {
        return Err(NotPrepared::OtherRights);
    }
    let sample = Sample::of(&moment, scoped.groups(host));
    let data = Bytes::from(serde_json::to_vec(&sample).unwrap_or_default());
    Ok(Prepared {
        from: None,
        to: mark(scoped, &moment.summary),
        made: (Instant::now(), begun.elapsed()),
        position: moment.summary.position,
        is_whole: true,
        taken: (moment.summary.taken, 1),
        data,
    })
}
