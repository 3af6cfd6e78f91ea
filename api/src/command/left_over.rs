//! Commands of servers that have ended: each is looked after by another one, so that none stays open for ever.
//!
//! A server says every two seconds that it runs. One that was not heard of for ten has ended.
//! What it had not sent is cancelled; of the rest it is found out what became of it, and nothing is sent.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use fleetps_nats::subject;
use futures_util::StreamExt;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    Open,
    record::{CommandRecord, State, Step},
};

/// How often a server says so. Two that are lost are no end.
const BEAT_EVERY: Duration = Duration::from_secs(2);
/// A server that was not heard of for this long has ended.
const ENDED_AFTER: Duration = Duration::from_secs(10);
/// Servers that are remembered: far more than there are.
const MAX_SERVERS: usize = 1_000;

/// The other servers, and when each was heard of last.
#[derive(Debug, Default)]
struct Others(HashMap<String, Instant>);

impl Others {
    fn heard(&mut self, server: &str, now: Instant) {
        if self.0.len() < MAX_SERVERS || self.0.contains_key(server) {
            self.0.insert(server.to_owned(), now);
        }
    }

    /// Whether a server has not been heard of for long; one that never was may have begun just now.
    fn has_ended(&mut self, server: &str, now: Instant) -> bool {
        let last = self.0.entry(server.to_owned()).or_insert(now);
        now.duration_since(*last) > ENDED_AFTER
    }

    fn forget(&mut self, now: Instant) {
        self.0.retain(|_, last| now.duration_since(*last) < 10 * ENDED_AFTER);
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
        let mut others = Others::default();
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
                    for record in all.iter().filter(|record| !record.is_over && record.server != self.server) {
                        if others.has_ended(&record.server, Instant::now()) {
                            self.adopt(record).await;
                        }
                    }
                    others.forget(Instant::now());
                }
            }
        }
    }

    /// Looks after a command of a server that has ended.
    async fn adopt(&self, record: &CommandRecord) {
        let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() else { return };
        let former = record.server.clone();
        let claim = |record: &mut CommandRecord| {
            let is_left = !record.is_over && record.server == former;
            if is_left {
                record.server.clone_from(&self.server);
            }
            is_left
        };
        match self.driver.store.change(&record.id, claim).await {
            Ok(Some(record)) => self.settle_in_background(record, permit),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(command = %record.id, %error, "a command that was left over is tried again")
            }
        }
    }

    fn settle_in_background(&self, record: CommandRecord, permit: OwnedSemaphorePermit) {
        let driver = self.driver.clone();
        self.in_background(permit, async move {
            if record.state().is_unsent() {
                let said = "It was not sent: the server that looked after it has ended.";
                driver.enter_surely(&record, Step::now(State::Cancelled).saying(said)).await;
            } else {
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
        let (mut others, began) = (Others::default(), Instant::now());
        let after = |times: u32| began + ENDED_AFTER * times / 2;
        assert!(!others.has_ended("new", began) && !others.has_ended("new", after(1)));
        assert!(others.has_ended("new", after(3)));
        others.heard("idle", after(3));
        others.heard("idle", after(20));
        assert!(!others.has_ended("idle", after(21)) && others.has_ended("idle", after(23)));
        others.forget(after(50));
        assert!(others.0.is_empty() && !others.has_ended("idle", after(50)), "it is looked at anew");
    }
}
