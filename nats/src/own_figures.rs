//! What parts of fleetps say of themselves between the snapshots of the stream, so that alerts can be about them: how far the
//! history is behind, how full its disk is, how long a certificate lasts.
//!
//! They are the payload of a tick ([`crate::subject::TICK`]), as JSON. Whoever reads the stream for something else, and every
//! earlier version, takes such a message for the tick that it also is.

use std::{collections::BTreeMap, time::Duration};

use async_nats::{Client, connection::State};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{HostName, model::Unit, subject};

/// How often each part tells: often enough for rules that count minutes.
pub const TELL_EVERY: Duration = Duration::from_secs(30);
/// A message that is longer is none: four figures take a tenth of it.
const MAX_BYTES: usize = 2_048;
/// The longest name of a part: an address with a port has at most 47 bytes.
const MAX_PART_BYTES: usize = 64;

/// A figure of fleetps's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OwnFigure {
    /// Since when snapshots wait to be stored, in s. It is up to a minute and a half while all is well.
    HistoryBehind,
    /// Used space of the disk that the history is on, in percent of what fleetps can have.
    HistoryDisk,
    /// How old the oldest fresh segment is, in s: segments are merged when their hour has passed.
    MergesBehind,
    /// How long the certificate of the pages is still valid, in s; 0 when it has expired.
    CertificateEndsIn,
}

/// What one part says at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OwnFigures {
    /// The host that it runs on.
    pub host: HostName,
    /// Names it on its host: `history`, or the address of a web server.
    pub part: String,
    /// The figures by their words. One that is not known is left out, as is one that this version does not know.
    #[serde(flatten)]
    values: BTreeMap<String, f64>,
}

impl OwnFigure {
    /// All.
    pub const ALL: [Self; 4] =
        [Self::HistoryBehind, Self::HistoryDisk, Self::MergesBehind, Self::CertificateEndsIn];

    /// Its word, in rules and messages.
    pub fn word(self) -> &'static str {
        match self {
            Self::HistoryBehind => "history_behind",
            Self::HistoryDisk => "history_disk",
            Self::MergesBehind => "merges_behind",
            Self::CertificateEndsIn => "certificate_ends_in",
        }
    }

    /// The figure of this word.
    pub fn find(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|figure| figure.word() == word)
    }

    /// Its unit.
    pub fn unit(self) -> Unit {
        match self {
            Self::HistoryDisk => Unit::Percent,
            Self::HistoryBehind | Self::MergesBehind | Self::CertificateEndsIn => Unit::Seconds,
        }
    }
}

impl OwnFigures {
    /// What `part` on this machine says: `known` are the figures that it knows.
    pub fn of(part: &str, known: impl IntoIterator<Item = (OwnFigure, Option<f64>)>) -> Self {
        let value = |(figure, value): (OwnFigure, Option<f64>)| {
            Some((figure.word().to_owned(), value.filter(|value| value.is_finite())?))
        };
        let end = part.floor_char_boundary(MAX_PART_BYTES);
        Self {
            host: HostName::from_os_name(&machine_name()),
            part: part[..end].to_owned(),
            values: known.into_iter().filter_map(value).collect(),
        }
    }

    /// The value of a figure, where it is told.
    pub fn value(&self, figure: OwnFigure) -> Option<f64> {
        self.values.get(figure.word()).copied()
    }

    /// As a message.
    pub fn to_message(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a message; `None` of a tick that says nothing, and of anything else.
    pub fn from_message(message: &[u8]) -> Option<Self> {
        if message.is_empty() || message.len() > MAX_BYTES {
            return None;
        }
        let told: Self = serde_json::from_slice(message).ok()?;
        (told.part.len() <= MAX_PART_BYTES).then_some(told)
    }
}

/// Tells `figures` again and again until `cancel`. While the broker is away nothing is told: what waits would be of another time.
pub async fn tell(client: Client, figures: impl Fn() -> OwnFigures, cancel: CancellationToken) {
    // Not at once, when nothing is settled yet.
    let mut ticks = tokio::time::interval_at(Instant::now() + TELL_EVERY, TELL_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while cancel.run_until_cancelled(ticks.tick()).await.is_some() {
        if client.connection_state() != State::Connected {
            continue;
        }
        if let Err(error) = client.publish(subject::TICK, figures().to_message().into()).await {
            tracing::debug!(%error, "figures for alerts could not be published");
        }
    }
}

/// This machine's own name, which its agent has in the fleet unless its settings say another.
fn machine_name() -> String {
    let of_linux = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name =
        of_linux.or_else(|| std::env::var("COMPUTERNAME").ok()).or_else(|| std::env::var("HOSTNAME").ok());
    name.unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_read_and_what_is_not_known_is_absent() {
        let told = OwnFigures::of(
            "history",
            [
                (OwnFigure::HistoryBehind, Some(12.5)),
                (OwnFigure::HistoryDisk, None),
                (OwnFigure::MergesBehind, Some(f64::NAN)),
            ],
        );
        let read = OwnFigures::from_message(&told.to_message()).unwrap();
        assert_eq!(read, told);
        assert_eq!(read.value(OwnFigure::HistoryBehind), Some(12.5));
        assert_eq!(read.value(OwnFigure::HistoryDisk), None);
        assert_eq!(read.value(OwnFigure::MergesBehind), None);
        let later = br#"{"host":"a","part":"p","history_disk":3,"of_a_later_version":7}"#;
        assert_eq!(OwnFigures::from_message(later).unwrap().value(OwnFigure::HistoryDisk), Some(3.0));
    }

    #[test]
    fn nothing_else_is_taken() {
        let long = format!(r#"{{"host":"a","part":"{}"}}"#, "x".repeat(65));
        let longer = format!(r#"{{"host":"a","part":"p"}}{}"#, " ".repeat(MAX_BYTES));
        let none: [&[u8]; 7] = [
            b"",
            b"{}",
            b"7",
            b"\xff\xfe",
            br#"{"host":"a b","part":"p"}"#,
            long.as_bytes(),
            longer.as_bytes(),
        ];
        for message in none {
            assert_eq!(OwnFigures::from_message(message), None, "{}", String::from_utf8_lossy(message));
        }
        assert!(OwnFigures::of(&"ü".repeat(100), []).part.len() <= MAX_PART_BYTES);
    }
}
