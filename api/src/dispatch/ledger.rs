//! What is decided: the position in the stream of alerts, and all that goes with it, as one value of the broker.
//!
//! The value is the last message of a stream. It is written on the condition that nobody wrote another since, so of two
//! servers that decide the same burst one is heard. What is to be sent is a part of it: after a crash the next one puts that
//! into the outbox and decides nothing again.

use std::collections::{BTreeMap, BTreeSet};

use async_nats::{
    Client,
    jetstream::{
        self, Context,
        context::PublishErrorKind,
        message::PublishMessage,
        stream::{Config, DiscardPolicy, LastRawMessageErrorKind, StorageType},
    },
};
use serde::{Deserialize, Serialize};

use super::Failure;
use crate::notify::{Notification, Threads};

/// The stream that has the value.
pub(super) const STREAM: &str = "DISPATCH";
/// Its subject. Another version of the value is another subject.
const SUBJECT: &str = "fleetps-dispatch.1";
/// The largest value, compressed: what any broker takes in one message.
const MAX_BYTES: usize = 900 << 10;
/// The largest value that is read, in memory.
const MAX_UNPACKED_BYTES: usize = 16 << 20;
/// Room for the value and those that it replaces.
const MAX_STREAM_BYTES: i64 = 8 << 20;
/// Names repeat; more effort saves little.
const LEVEL: i32 = 3;
/// What a silence kept back lately, of each.
const MAX_MUTED: usize = 5;

/// What is decided.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Ledger {
    /// When the stream of alerts was made that `position` is of, as the broker writes it.
    pub(super) made: String,
    /// The last sequence of the stream of alerts that is decided.
    pub(super) position: u64,
    /// The open alerts that each channel was told of.
    pub(super) threads: BTreeMap<String, Threads>,
    /// Alerts that are escalated unless somebody acknowledges them.
    pub(super) escalations: Vec<Waiting>,
    /// What the outbox may not have yet.
    pub(super) outgoing: Vec<Outgoing>,
    /// What each silence kept back.
    pub(super) muted: BTreeMap<String, Muted>,
}

/// An alert that is escalated unless somebody acknowledges it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Waiting {
    /// Its id.
    pub(super) alert: String,
    /// Where the stream of alerts has its beginning.
    pub(super) sequence: u64,
    /// In µs since 1970 UTC.
    pub(super) due_us: i64,
    /// The ids of the channels that are told.
    pub(super) channels: Vec<String>,
}

/// A message that the outbox may not have yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Outgoing {
    /// The channel's id.
    pub(super) channel: String,
    pub(super) notification: Notification,
    /// Quiet hours: not before, in µs since 1970 UTC.
    pub(super) not_before_us: Option<i64>,
}

/// What a silence kept back.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Muted {
    /// How many alerts.
    pub count: u64,
    /// The latest, each in one line with its moment in µs since 1970 UTC; the newest last.
    pub latest: Vec<(i64, String)>,
}

impl Muted {
    pub(super) fn note(&mut self, at_us: i64, headline: String) {
        self.count = self.count.saturating_add(1);
        self.latest.push((at_us, headline));
        let surplus = self.latest.len().saturating_sub(MAX_MUTED);
        self.latest.drain(..surplus);
    }
}

impl Ledger {
    /// One that begins behind `position` of a stream.
    pub(super) fn beginning(made: String, position: u64) -> Self {
        Self { made, position, ..Self::default() }
    }

    /// The message that carries it; `None` where it is too large.
    fn to_message(&self) -> Result<Option<Vec<u8>>, Failure> {
        let unpacked = serde_json::to_vec(self)?;
        // What compresses well may be small enough to be written and too large to be read.
        if unpacked.len() > MAX_UNPACKED_BYTES {
            return Ok(None);
        }
        let packed = zstd::bulk::compress(&unpacked, LEVEL)?;
        Ok((packed.len() <= MAX_BYTES).then_some(packed))
    }

    fn from_message(message: &[u8]) -> Result<Self, Failure> {
        let unpacked = zstd::bulk::decompress(message, MAX_UNPACKED_BYTES)?;
        Ok(serde_json::from_slice(&unpacked)?)
    }

    /// Makes it smaller, where it does not fit: first what messages show beside their words, then the open alerts of the
    /// channel that has most, then messages, what silences kept back, and escalations. How many alerts, messages or escalations
    /// that forgot.
    pub(super) fn shrink(&mut self) -> u64 {
        let mut has_more = false;
        for Outgoing { notification, .. } in &mut self.outgoing {
            has_more |= notification.chart.take().is_some() || !notification.culprits.is_empty();
            has_more |= !notification.also.is_empty();
            (notification.culprits, notification.also) = (Vec::new(), Vec::new());
        }
        if has_more {
            return 0;
        }
        let most = self.threads.values_mut().max_by_key(|threads| threads.len());
        let forgotten = match most.filter(|threads| !threads.is_empty()) {
            Some(threads) => threads.shrink_to(threads.len() / 2),
            None if !self.outgoing.is_empty() => halve(&mut self.outgoing),
            None if !self.muted.is_empty() => {
                self.muted.clear();
                0
            }
            None => halve(&mut self.escalations),
        };
        forgotten as u64
    }

    /// Forgets alerts that channels were told of: nothing more is said of them.
    pub(super) fn forget<'a>(&mut self, alerts: impl IntoIterator<Item = &'a String>) {
        for alert in alerts {
            self.threads.values_mut().for_each(|threads| threads.forget(alert));
        }
    }

    /// The alerts that a channel was told of and that are not among `open`.
    pub(super) fn not_open(&self, open: &BTreeSet<String>) -> BTreeSet<String> {
        let told = self.threads.values().flat_map(Threads::alerts);
        told.filter(|alert| !open.contains(*alert)).map(str::to_owned).collect()
    }

    /// The ids of alerts that somebody was told of, or that wait to be escalated.
    #[cfg(test)]
    pub(super) fn alerts(&self) -> BTreeSet<&str> {
        let of_threads = self.threads.values().flat_map(Threads::alerts);
        of_threads.chain(self.escalations.iter().map(|waiting| waiting.alert.as_str())).collect()
    }
}

/// Leaves the first half; how many that removed.
fn halve<T>(list: &mut Vec<T>) -> usize {
    let before = list.len();
    list.truncate(before / 2);
    before - before / 2
}

/// A ledger with the revision that it was read at or written as; 0 where there is none.
#[derive(Debug, Clone, Default)]
pub(super) struct Held {
    pub(super) ledger: Ledger,
    pub(super) revision: u64,
}

/// What came of writing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Saved {
    /// It is the broker's, under this revision.
    As(u64),
    /// Somebody else wrote one since.
    Raced,
    /// It does not fit.
    TooLarge,
}

/// Where the ledger is kept.
#[derive(Debug, Clone)]
pub(super) struct LedgerStore {
    jetstream: Context,
}

impl LedgerStore {
    /// Makes the stream where it is missing.
    pub(super) async fn open(client: &Client) -> Result<Self, Failure> {
        let jetstream = jetstream::new(client.clone());
        jetstream.create_or_update_stream(config()).await?;
        Ok(Self { jetstream })
    }

    /// The revision of the ledger, 0 where there is none or the broker does not say. Makes no stream.
    pub(super) async fn revision(client: Client) -> u64 {
        let stream = jetstream::new(client).get_stream(STREAM).await;
        stream.map(|stream| stream.cached_info().state.last_sequence).unwrap_or_default()
    }

    /// The ledger; `None` where none was ever written. One that cannot be read counts as none: what follows it is decided
    /// anew from the end of the stream.
    pub(super) async fn load(&self) -> Result<Option<Held>, Failure> {
        let stream = self.jetstream.get_stream_no_info(STREAM).await?;
        let message = match stream.get_last_raw_message_by_subject(SUBJECT).await {
            Ok(message) => message,
            Err(error) if matches!(error.kind(), LastRawMessageErrorKind::NoMessageFound) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let revision = message.sequence;
        match Ledger::from_message(&message.payload) {
            Ok(ledger) => Ok(Some(Held { ledger, revision })),
            Err(error) => {
                tracing::error!("what was sent of alerts cannot be read and is begun anew: {error}");
                Ok(Some(Held { ledger: Ledger::default(), revision }))
            }
        }
    }

    /// Writes a ledger in the place of the one of `revision`.
    pub(super) async fn save(&self, ledger: &Ledger, revision: u64) -> Result<Saved, Failure> {
        let Some(message) = ledger.to_message()? else { return Ok(Saved::TooLarge) };
        let message =
            PublishMessage::build().expected_last_subject_sequence(revision).payload(message.into());
        match self.jetstream.send_publish(SUBJECT, message).await?.await {
            Ok(ack) => Ok(Saved::As(ack.sequence)),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(Saved::Raced),
            Err(error) => Err(error.into()),
        }
    }
}

fn config() -> Config {
    Config {
        name: STREAM.to_owned(),
        subjects: vec!["fleetps-dispatch.*".to_owned()],
        discard: DiscardPolicy::Old,
        max_bytes: MAX_STREAM_BYTES,
        max_messages_per_subject: 1,
        storage: StorageType::File,
        ..Config::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::{MAX_OPEN, Message, Threads};

    #[test]
    fn a_ledger_is_read_as_it_was_written_and_one_of_a_large_fleet_fits() {
        let mut threads = Threads::default();
        let alerts = (0..MAX_OPEN as u64).map(|_| format!("{:016x}", fastrand::u64(..))).collect();
        let mut notification = Notification::test("0f3a-1-2-3".to_owned(), "anna", String::new(), 5);
        notification.kind = crate::notify::Kind::Raised;
        assert_eq!(threads.sent(&Message { notification: notification.clone(), alerts }), 0);
        let mut ledger = Ledger::beginning("2026-11-28T14:00:00Z".to_owned(), 9);
        ledger.threads.insert("mail".to_owned(), threads);
        ledger.outgoing.push(Outgoing { channel: "mail".to_owned(), notification, not_before_us: Some(3) });
        let message = ledger.to_message().unwrap().expect("it does not fit");
        assert_eq!(Ledger::from_message(&message).unwrap(), ledger);
        assert!(Ledger::from_message(b"x").is_err());
        assert_eq!(ledger.alerts().len(), MAX_OPEN);
    }

    #[test]
    fn one_that_does_not_fit_becomes_smaller_until_it_is_empty() {
        let mut ledger = Ledger::default();
        let notification = Notification {
            also: vec!["x".to_owned()],
            ..Notification::test(String::new(), "", String::new(), 5)
        };
        let outgoing =
            |_| Outgoing { channel: String::new(), notification: notification.clone(), not_before_us: None };
        ledger.outgoing = (0..3).map(outgoing).collect();
        let steps: Vec<u64> = (0..4).map(|_| ledger.shrink()).collect();
        assert_eq!((steps, ledger.outgoing.len()), (vec![0, 2, 1, 0], 0));
        ledger.muted.insert("s1".to_owned(), Muted::default());
        let waiting =
            Waiting { alert: "aa".to_owned(), sequence: 1, due_us: 2, channels: vec!["mail".to_owned()] };
        ledger.escalations = vec![waiting; 3];
        let steps: Vec<u64> = (0..4).map(|_| ledger.shrink()).collect();
        assert_eq!((steps, ledger), (vec![0, 2, 1, 0], Ledger::default()), "at last escalations");
    }

    #[test]
    fn one_that_would_be_too_large_to_be_read_is_not_written() {
        // It compresses to almost nothing.
        let made = |bytes: usize| Ledger::beginning("x".repeat(bytes), 1);
        let largest = MAX_UNPACKED_BYTES - serde_json::to_vec(&made(0)).unwrap().len();
        let message = made(largest).to_message().unwrap().expect("it fits");
        assert_eq!(Ledger::from_message(&message).unwrap(), made(largest));
        assert_eq!(made(largest + 1).to_message().unwrap(), None);
    }

    #[test]
    fn alerts_that_are_not_open_any_more_are_found_and_forgotten() {
        let mut notification = Notification::test("n".to_owned(), "anna", String::new(), 5);
        notification.kind = crate::notify::Kind::Raised;
        let mut ledger = Ledger::default();
        for (channel, alerts) in [("mail", ["aa", "bb"]), ("chat", ["bb", "cc"])] {
            let alerts = alerts.map(str::to_owned).to_vec();
            let mut threads = Threads::default();
            assert_eq!(threads.sent(&Message { notification: notification.clone(), alerts }), 0);
            ledger.threads.insert(channel.to_owned(), threads);
        }
        let gone = ledger.not_open(&BTreeSet::from(["aa".to_owned()]));
        assert_eq!(gone, BTreeSet::from(["bb".to_owned(), "cc".to_owned()]));
        ledger.forget(&gone);
        assert_eq!(ledger.alerts(), BTreeSet::from(["aa"]));
    }

    #[test]
    fn what_a_silence_kept_back_is_counted_and_the_latest_is_named() {
        let mut muted = Muted::default();
        (0..9).for_each(|at| muted.note(at, at.to_string()));
        assert_eq!((muted.count, muted.latest.len(), muted.latest[4].0), (9, MAX_MUTED, 8));
    }
}
