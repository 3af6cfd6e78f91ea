//! Commands of servers that have ended: each is looked after by another one, so that none stays open for ever.
//!
//! A server says every two seconds that it runs. One that was not heard of for ten has ended.
//! What it had not sent is cancelled; of the rest it is found out what became of it, and nothing is sent.
//!
//! A command of its own that it does not look after was left over as well: it was written down, or taken over, by a write whose answer
//! was lost and that the broker had later than it was asked about.
//!
//! A server hears itself too. While it does not, the broker is away and nobody can be heard: no server counts as ended.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use fleetps_nats::subject;
use futures_util::StreamExt;

use super::{
    Open,
    record::CommandRecord,
    room::Place,
    step::{State, Step},
};

/// How often a server says so. Two that are lost are no end.
const BEAT_EVERY: Duration = Duration::from_secs(2);
/// A server that was not heard of for this long has ended.
const ENDED_AFTER: Duration = Duration::from_secs(10);
/// A server that has not heard itself for this long, three beats, hears nobody.
const DEAF_AFTER: Duration = Duration::from_secs(6);
/// Servers that are remembered: far more than there are.
const MAX_SERVERS: usize = 1_000;

/// The other servers, and when each was heard of last.
#[derive(Debug)]
struct Others {
    /// The run of this server, which hears itself too.
    own: String,
    own_heard: Option<Instant>,
    last: HashMap<String, Instant>,
}

impl Others {
    fn of(own: &str) -> Self {
        Self { own: own.to_owned(), own_heard: None, last: HashMap::new() }
    }

    fn heard(&mut self, server: &str, now: Instant) {
        if server == self.own {
            // The others were not heard either, so each is given its time anew.
            if !self.hears(now) {
                self.last.clear();
            }
            self.own_heard = Some(now);
        } else if self.last.len() < MAX_SERVERS || self.last.contains_key(server) {
            self.last.insert(server.to_owned(), now);
        }
    }

    /// Whether anybody could be heard lately.
    fn hears(&self, now: Instant) -> bool {
        self.own_heard.is_some_and(|heard| now.duration_since(heard) <= DEAF_AFTER)
    }

    /// Whether a server has not been heard of for long, while it could be; one that never was may have begun just now.
    fn has_ended(&mut self, server: &str, now: Instant) -> bool {
        if !self.hears(now) {
            return false;
        }
        let last = self.last.entry(server.to_owned()).or_insert(now);
        now.duration_since(*last) > ENDED_AFTER
    }

    fn forget(&mut self, now: Instant) {
        self.last.retain(|_, last| now.duration_since(*last) < 10 * ENDED_AFTER);
    }
}

impl Open {
    /// Says that this server looks after commands, also while there are none: one that begins with the next would be taken for
    /// ended until it says so.
    pub(super) async fn beat(&self) {
        let subject = subject::commander(&self.server);
        loop {
            if let Err(error) = self.driver.client.publish(subject.clone(), "".into()).await {
                tracing::debug!(%error, "cannot say that this server looks after commands");
            }
            tokio::time::sleep(BEAT_EVERY).await;
        }
    }

    /// Takes over what other servers have left.
    pub(super) async fn take_over(&self) {
        let mut others = Others::of(&self.server);
        let mut beats = loop {
            match self.driver.client.subscribe(subject::ALL_COMMANDERS).await {
                Ok(beats) => break beats,
                Err(error) => {
                    tracing::warn!(%error, "cannot hear which servers look after commands; trying again")
                }
            }
            tokio::time::sleep(BEAT_EVERY).await;
        };
        let mut look = tokio::time::interval(BEAT_EVERY);
        loop {
            tokio::select! {
                beat = beats.next() => match beat {
                    Some(message) => {
                        others.heard(message.subject.rsplit('.').next().unwrap_or_default(), Instant::now());
                    }
                    None => return,
                },
                _ = look.tick() => {
                    let all = self.driver.store.all();
                    for record in all.iter().filter(|record| !record.is_over && !self.room.has(&record.id)) {
                        if record.server == self.server || others.has_ended(&record.server, Instant::now()) {
                            self.adopt(record).await;
                        }
                    }
                    others.forget(Instant::now());
                }
            }
        }
    }

    /// Looks after a command that nobody looks after.
    async fn adopt(&self, record: &CommandRecord) {
        let Some(place) = self.room.take_one_left(&record.who, &record.id) else { return };
        let former = record.server.clone();
        let claim = |record: &mut CommandRecord| {
            let is_left = !record.is_over && record.server == former;
            if is_left {
                record.server.clone_from(&self.server);
            }
            is_left
        };
        match self.driver.store.change(&record.id, claim).await {
            Ok(Some(record)) => self.settle_in_background(record, place),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(command = %record.id, %error, "a command that was left over is tried again")
            }
        }
    }

    fn settle_in_background(&self, record: CommandRecord, place: Place) {
        let driver = self.driver.clone();
        self.in_background(async move {
            let _until_it_is_over = place;
            if record.state().is_unsent() {
                let said = "It was not sent: the server that looked after it has ended, or was away from the broker.";
                driver.cancel(&record, Step::now(State::Cancelled).saying(said)).await;
            }
            // Sent before, or meanwhile: a server that was only not heard of goes on.
            if !driver.is_over(&record.id) {
                driver.settle(&record).await;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_ended_that_was_silent_for_long_and_not_one_that_was_never_heard_of() {
        let (mut others, began) = (Others::of("own"), Instant::now());
        let after = |times: u32| began + ENDED_AFTER * times / 2;
        let hears_itself = |others: &mut Others, times: std::ops::RangeInclusive<u32>| {
            times.for_each(|times| others.heard("own", after(times)));
        };
        hears_itself(&mut others, 0..=1);
        assert!(!others.has_ended("new", began) && !others.has_ended("new", after(1)));
        hears_itself(&mut others, 2..=3);
        assert!(others.has_ended("new", after(3)));
        others.heard("idle", after(3));
        hears_itself(&mut others, 4..=20);
        others.heard("idle", after(20));
        hears_itself(&mut others, 21..=23);
        assert!(!others.has_ended("idle", after(21)) && others.has_ended("idle", after(23)));
        others.forget(after(50));
        assert!(others.last.is_empty());
        hears_itself(&mut others, 24..=50);
        assert!(!others.has_ended("idle", after(50)), "it is looked at anew");
    }

    #[test]
    fn nobody_has_ended_while_the_broker_is_away_and_after_that_each_has_its_time_anew() {
        let (mut others, began) = (Others::of("own"), Instant::now());
        let after = |times: u32| began + ENDED_AFTER * times / 2;
        assert!(!others.has_ended("lives", began), "nobody is judged before this server has heard itself");
        others.heard("own", began);
        others.heard("lives", began);
        assert!(!others.has_ended("lives", after(20)), "the broker was away");
        others.heard("own", after(20));
        assert!(!others.has_ended("lives", after(20)) && !others.has_ended("ended", after(20)));
        for times in 21..=23 {
            others.heard("own", after(times));
            others.heard("lives", after(times));
        }
        assert!(!others.has_ended("lives", after(23)) && others.has_ended("ended", after(23)));
    }
}
