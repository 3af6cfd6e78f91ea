//! A message that is no snapshot is counted, logged now and then, and published as a dead letter.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use async_nats::Client;
use fleetps_nats::{
    HostName, dead_letter::DeadLetter, reader::Delivered, snapshot::BadSnapshot, subject::host_of_snapshot,
};
use tokio::sync::mpsc;

use crate::status::Progress;

/// One log line per host and reason in this time: a host that sends rubbish ten times a second must not fill the log.
const LOG_EVERY: Duration = Duration::from_secs(60);
/// Hosts and reasons remembered for that. When it is full of recent ones, further ones are not logged, only counted.
const MAX_LOGGED: usize = 1000;

/// Decides what becomes of refused messages.
pub(crate) struct Refusals {
    letters: mpsc::Sender<DeadLetter>,
    logged: HashMap<(String, &'static str), Instant>,
}

impl Refusals {
    pub(crate) fn new(letters: mpsc::Sender<DeadLetter>) -> Self {
        Self { letters, logged: HashMap::new() }
    }

    /// Takes note of a refused message.
    pub(crate) fn refuse(&mut self, delivered: &Delivered, refusal: &BadSnapshot, progress: &Progress) {
        progress.count_refused(refusal.reason());
        // A name that is not allowed could be anything, and long; the header says it.
        let host = host_of_snapshot(&delivered.subject);
        let name = host.as_ref().map_or("unknown", HostName::as_str);
        if self.may_log(name, refusal.reason(), Instant::now()) {
            tracing::warn!(host = name, sequence = delivered.sequence, refusal = ?refusal.to_string(),
                "refused a message");
        }
        // Nothing of a flood is kept: it would push out the dead letters of others. A revoked host's are not kept
        // either.
        if matches!(refusal, BadSnapshot::Flood | BadSnapshot::Revoked) {
            return;
        }
        let letter = DeadLetter::new(host.as_ref(), &delivered.payload, Some(delivered.sequence), refusal);
        if self.letters.try_send(letter).is_err() {
            progress.count_lost_dead_letter();
        }
    }

    fn may_log(&mut self, host: &str, reason: &'static str, now: Instant) -> bool {
        let is_recent = |logged: &Instant| now.duration_since(*logged) < LOG_EVERY;
        let key = (host.to_owned(), reason);
        if self.logged.get(&key).is_some_and(is_recent) {
            return false;
        }
        if self.logged.len() >= MAX_LOGGED {
            self.logged.retain(|_, logged| is_recent(logged));
        }
        if self.logged.len() >= MAX_LOGGED {
            return false;
        }
        self.logged.insert(key, now);
        true
    }
}

/// Publishes refused messages as they come, until the channel closes.
pub(crate) async fn publish_dead_letters(client: Client, mut letters: mpsc::Receiver<DeadLetter>) {
    while let Some(letter) = letters.recv().await {
        if let Err(error) = letter.publish(&client).await {
            tracing::warn!(error = %error, "a refused message could not be put into the stream DEAD");
        }
    }
    // Published messages are in the client's buffer; they must leave before the client goes.
    let _ = client.flush().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivered(subject: &str, payload: Vec<u8>) -> Delivered {
        Delivered {
            sequence: 7,
            subject: subject.to_owned(),
            payload: payload.into(),
            header_bytes: 0,
            stored_at_us: 0,
            age_us: None,
            pending: 0,
        }
    }

    #[test]
    fn each_host_and_reason_is_logged_once_a_minute() {
        let mut refusals = Refusals::new(mpsc::channel(1).0);
        let start = Instant::now();
        assert!(refusals.may_log("a", "not_zstd", start));
        assert!(!refusals.may_log("a", "not_zstd", start + LOG_EVERY / 2));
        assert!(refusals.may_log("a", "too_deep", start));
        assert!(refusals.may_log("b", "not_zstd", start));
        assert!(refusals.may_log("a", "not_zstd", start + LOG_EVERY));
    }

    #[test]
    fn what_is_remembered_for_logging_is_bounded() {
        let mut refusals = Refusals::new(mpsc::channel(1).0);
        let start = Instant::now();
        for number in 0..2 * MAX_LOGGED {
            refusals.may_log(&number.to_string(), "not_zstd", start);
        }
        assert_eq!(refusals.logged.len(), MAX_LOGGED);
        assert!(refusals.may_log("later", "not_zstd", start + LOG_EVERY));
    }

    #[test]
    fn a_full_queue_is_counted() {
        let (letters, _waiting) = mpsc::channel(1);
        let (mut refusals, progress) = (Refusals::new(letters), Progress::default());
        for _ in 0..3 {
            refusals.refuse(&delivered("fleetps.a.snapshot", vec![]), &BadSnapshot::TooLongInside, &progress);
        }
        assert_eq!(progress.status(0).lost_dead_letters, 2);
    }
}
