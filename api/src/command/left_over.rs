//! Commands of servers that have ended: each is looked after by another one, so that none stays open for ever.
//!
//! A server says every two seconds that it looks after commands, while it does. One that was not heard of for ten has ended.
//! What it had not sent is cancelled; of the rest it is found out what became of it, and nothing is sent.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt;

use tokio::sync::OwnedSemaphorePermit;

use super::{
    Open,
    record::{CommandRecord, State, Step},
};

/// Where servers say that they look after commands; nothing stores it.
const ALL_BEATS: &str = "fleetps-status.commands.*";
/// How often a server says so. Two that are lost are no end.
const BEAT_EVERY: Duration = Duration::from_secs(2);
/// A server that was not heard of for this long has ended.
const ENDED_AFTER: Duration = Duration::from_secs(10);
/// Servers that are remembered: far more than there are.
const MAX_SERVERS: usize = 1_000;

fn beat(server: &str) -> String {
    format!("fleetps-status.commands.{server}")
}

impl Open {
    /// Says that this server looks after commands, while it does.
    pub(super) async fn beat(&self) {
        let subject = beat(&self.server);
        loop {
            if self.under_way() > 0
                && let Err(error) = self.driver.client.publish(subject.clone(), "".into()).await
            {
                tracing::debug!(%error, "cannot say that this server looks after commands");
            }
            tokio::time::sleep(BEAT_EVERY).await;
        }
    }

    /// Takes over what other servers have left.
    pub(super) async fn take_over(&self) {
        let mut heard: HashMap<String, Instant> = HashMap::new();
        let began = Instant::now();
        let mut beats = loop {
            match self.driver.client.subscribe(ALL_BEATS).await {
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
                        let server = message.subject.rsplit('.').next().unwrap_or_default().to_owned();
                        if heard.len() < MAX_SERVERS || heard.contains_key(&server) {
                            heard.insert(server, Instant::now());
                        }
                    }
                    None => return,
                },
                _ = look.tick() => {
                    let since = |server: &str| heard.get(server).copied().unwrap_or(began);
                    for record in self.driver.store.all().iter().filter(|record| !record.is_over) {
                        if record.server != self.server && since(&record.server).elapsed() > ENDED_AFTER {
                            self.adopt(record).await;
                        }
                    }
                    heard.retain(|_, last| last.elapsed() < 10 * ENDED_AFTER);
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
