//! The dead man's switch: while alerts are evaluated and told, an outside watcher hears of it, and it is silent otherwise.

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

use fleetps_nats::{bucket::WatchedBucket, now_us};
use tokio::time::Instant;

use super::{Dispatching, Now, World};
use crate::{
    live::BELIEVED_FOR,
    notify::{Channel, Means, Sender},
};

/// The stream of alerts is looked at every few seconds; where it was not for this long, alerts are not told.
const LOOKED_WITHIN: Duration = Duration::from_secs(60);
/// A transition that waits for this long to be decided is stuck: a burst lasts for one minute. So is a message for which the outbox
/// has no room.
const DECIDED_WITHIN: Duration = Duration::from_secs(300);

/// The last sequence that each partition had evaluated.
type Positions = BTreeMap<u32, u64>;

/// Tells the watchers every `every`, as long as alerts are evaluated and told.
pub(super) async fn beat(
    dispatching: Dispatching,
    world: World,
    channels: WatchedBucket<Channel>,
    sender: Sender,
    every: Duration,
) {
    let mut clock = tokio::time::interval(every);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut before = Positions::new();
    loop {
        clock.tick().await;
        let (now, is_alive) = evaluated(&world, &before);
        before = now;
        if !is_alive || !dispatching.is_alive(Instant::now()) {
            dispatching.0.beats_withheld.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        for (id, channel) in channels.all() {
            let Means::Heartbeat(watcher) = &channel.means else { continue };
            match sender.beat(watcher.url.reveal(), false).await {
                Ok(_) => dispatching.0.now.write().beat_us = Some(now_us()),
                Err(error) => {
                    dispatching.0.beats_failed.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(channel = id, %error, "a watcher does not hear that alerts are evaluated");
                }
            }
        }
    }
}

/// How far alerts are evaluated, and whether that goes on everywhere: each partition says that it can, and has advanced since
/// `before` or has nothing to read.
fn evaluated(world: &World, before: &Positions) -> (Positions, bool) {
    let reports = world.ingestors.all(std::time::Instant::now());
    let now = reports.iter().map(|(status, _)| (status.partition, status.alerts.read_sequence)).collect();
    let goes_on = reports.iter().all(|(status, age)| {
        let alerts = &status.alerts;
        let has_advanced = before.get(&status.partition).is_none_or(|before| *before != alerts.read_sequence);
        *age <= BELIEVED_FOR && alerts.error.is_none() && (has_advanced || alerts.pending == 0)
    });
    (now, goes_on && !reports.is_empty())
}

impl Dispatching {
    /// Whether alerts are told.
    fn is_alive(&self, at: Instant) -> bool {
        let now = self.0.now.read();
        let looked = now.looked.is_some_and(|looked| at.duration_since(looked) <= LOOKED_WITHIN);
        let waits =
            |since: Option<Instant>| since.is_some_and(|since| at.duration_since(since) > DECIDED_WITHIN);
        looked && !waits(now.pending_since.map(|(_, since)| since)) && !waits(now.refused_since)
    }
}

impl Now {
    /// Notes the first transition that is not decided, by its sequence, and when it was read. One that is read again, because
    /// deciding it failed, waits since it was read first.
    pub(super) fn note_first(&mut self, first: Option<(u64, Instant)>) {
        let sequence = |of: Option<(u64, Instant)>| of.map(|(sequence, _)| sequence);
        if sequence(self.pending_since) != sequence(first) {
            self.pending_since = first;
        }
    }

    /// Notes whether the outbox has no room for a message.
    pub(super) fn note_refused(&mut self, is_refused: bool) {
        self.refused_since = is_refused.then(|| self.refused_since.unwrap_or_else(Instant::now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watcher_hears_nothing_while_the_same_transition_fails_again_and_again() {
        let (dispatching, start) = (Dispatching::default(), Instant::now());
        for (at_s, first, expected) in [
            (0, None, true),
            (10, Some(7), true),
            (200, Some(7), true),
            (310, Some(7), true),
            (311, Some(7), false),
            (320, Some(8), true),
            (620, Some(8), true),
            (621, Some(8), false),
            (630, None, true),
        ] {
            let at = start + Duration::from_secs(at_s);
            let mut now = dispatching.0.now.write();
            now.looked = Some(at);
            // It is read anew each time.
            now.note_first(first.map(|sequence| (sequence, at)));
            drop(now);
            assert_eq!(dispatching.is_alive(at), expected, "{at_s} s, {first:?}");
        }
    }

    #[test]
    fn the_watcher_hears_nothing_while_the_outbox_has_no_room_or_nobody_looks() {
        let (dispatching, start) = (Dispatching::default(), Instant::now());
        let later = start + Duration::from_secs(600);
        assert!(!dispatching.is_alive(start), "nobody has looked yet");
        let look = |at| dispatching.0.now.write().looked = Some(at);
        look(start);
        assert!(dispatching.is_alive(start) && !dispatching.is_alive(later));
        look(later);
        dispatching.0.now.write().refused_since = Some(start);
        dispatching.0.now.write().note_refused(true);
        assert!(!dispatching.is_alive(later));
        dispatching.0.now.write().note_refused(false);
        assert!(dispatching.is_alive(later));
    }
}
