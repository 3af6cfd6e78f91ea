//! What became of a notification for a channel.

use serde::{Deserialize, Serialize};

use super::Parcel;
use crate::notify::notification::Notification;

/// A record of the bucket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The channel's id.
    pub channel: String,
    /// The notification in one line.
    pub headline: String,
    /// What became of it.
    pub state: State,
    /// Attempts so far.
    pub attempts: u32,
    /// Which time it was put into the outbox on purpose.
    #[serde(default)]
    pub round: u32,
    /// The last failure's reason; empty where there was none.
    #[serde(default)]
    pub reason: String,
    /// The last change, in µs since 1970 UTC.
    pub at_us: i64,
}

/// What became of a notification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A courier sends it, or was killed while it did.
    Sending {
        /// The end of its lease, in µs since 1970 UTC.
        until_us: i64,
    },
    /// It is tried again.
    Waiting {
        /// Not before, in µs since 1970 UTC.
        not_before_us: i64,
    },
    /// The receiver has it.
    Sent {
        /// What the receiver calls it.
        receipt: Option<String>,
    },
    /// The receiver never took it.
    Undeliverable {
        /// All of it but its chart, to be sent again.
        notification: Box<Notification>,
    },
}

impl State {
    /// Whether nothing more happens by itself.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Sent { .. } | Self::Undeliverable { .. })
    }
}

impl Record {
    /// The record of a first attempt.
    pub(super) fn sending(channel: &str, parcel: &Parcel, now_us: i64, until_us: i64) -> Self {
        Self {
            channel: channel.to_owned(),
            headline: parcel.notification.headline(),
            state: State::Sending { until_us },
            attempts: 1,
            round: parcel.round,
            reason: String::new(),
            at_us: now_us,
        }
    }
}
