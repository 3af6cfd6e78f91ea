//! Changes of alerts as messages of the stream `ALERT`.
//!
//! The changes of one instance (a rule on a host, process, program, …) have one subject, and follow one another: raised,
//! then cleared, then raised. [`Transition::behind`] keeps that so, whoever evaluates and however often.

use serde::{Deserialize, Serialize};

use super::alert::{AlertChange, Change};
use crate::events::EventPlace;

/// A change of an alert, and the message of the stream that decided it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    /// Where that message stands, and which of its changes this is. No two have the same.
    pub place: EventPlace,
    /// When the broker took that message, in µs since 1970 UTC. A snapshot that was sent late was captured long before.
    pub decided_at_us: i64,
    /// The change.
    #[serde(flatten)]
    pub change: AlertChange,
}

impl Transition {
    /// Whether the alert is open after it: a person may have to look.
    pub fn is_open(&self) -> bool {
        !self.change.change.is_end() && self.change.change != Change::TooMany
    }

    /// Its id: the same whoever publishes it.
    pub fn id(&self) -> String {
        let EventPlace { epoch_s, sequence, number, .. } = self.place;
        format!("{}-{epoch_s}-{sequence}-{number}", self.change.alert.id)
    }

    /// The transition as it is to be appended behind `last`, the last one of its instance; `None` where nothing is to be told
    /// of it. It was appended before where its place is not behind `last`. An alert that is raised twice is the first one,
    /// and what ends an instance ends the alert that people know of.
    pub fn behind(mut self, last: Option<&Self>) -> Option<Self> {
        let Some(last) = last else { return (!self.change.change.is_end()).then_some(self) };
        if self.place <= last.place {
            return None;
        }
        match (last.is_open(), self.change.change) {
            (true, Change::Raised) => return None,
            (false, change) if change.is_end() => return None,
            (true, change) if change != Change::TooMany => self.change.alert = last.change.alert.clone(),
            _ => {}
        }
        Some(self)
    }

    /// The message that carries it: MessagePack with named fields.
    pub fn to_message(&self) -> Vec<u8> {
        // Writing into memory does not fail.
        rmp_serde::to_vec_named(self).unwrap_or_default()
    }

    /// Reads a message; `None` where it is none, or one of a later version.
    pub fn from_message(message: &[u8]) -> Option<Self> {
        rmp_serde::from_slice(message).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::{Alert, Culprit, Key, Severity};

    fn transition(id: &str, sequence: u64, change: Change) -> Transition {
        let alert = Alert {
            id: id.to_owned(),
            rule: "rule".to_owned(),
            revision: 1,
            sentence: "cpu > 1".to_owned(),
            severity: Severity::Warning,
            host: "web-01".parse().unwrap(),
            key: Key::Process { pid: 7, start: -5, name: "<b>\n".to_owned() },
            raised_at_us: 1,
            raised_by: 1,
        };
        let culprit = Culprit { pid: 7, start: -5, name: "x".to_owned(), value: 1.5 };
        let change = AlertChange { alert, change, at_us: 3, value: Some(0.1), culprits: vec![culprit] };
        let place = EventPlace { partition: 2, epoch_s: 9, sequence, number: 0 };
        Transition { place, decided_at_us: 4, change }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let written = transition("a", 5, Change::RuleChanged);
        assert_eq!(Transition::from_message(&written.to_message()), Some(written));
        assert_eq!(Transition::from_message(b"no transition"), None);
    }

    #[test]
    fn an_instance_is_raised_and_cleared_in_turn_whoever_evaluates_it() {
        let behind = |last: Option<(&str, u64, Change)>, id: &str, sequence, change| {
            let last = last.map(|(id, sequence, change)| transition(id, sequence, change));
            let next = transition(id, sequence, change).behind(last.as_ref())?;
            Some(next.change.alert.id)
        };
        let (raised, cleared) = (Change::Raised, Change::Cleared);
        assert_eq!(behind(None, "a", 5, raised).as_deref(), Some("a"));
        assert_eq!(behind(None, "a", 5, cleared), None);
        let open = Some(("a", 5, raised));
        assert_eq!(behind(open, "a", 5, raised), None, "again");
        assert_eq!(behind(open, "b", 4, cleared), None, "from before");
        assert_eq!(behind(open, "b", 6, raised), None, "it is raised already");
        assert_eq!(behind(open, "b", 7, cleared).as_deref(), Some("a"));
        assert_eq!(behind(open, "a", 7, Change::Flapping).as_deref(), Some("a"));
        let ended = Some(("a", 8, Change::Exited));
        assert_eq!(behind(ended, "b", 9, cleared), None);
        assert_eq!(behind(ended, "b", 9, raised).as_deref(), Some("b"));
        assert_eq!(behind(Some(("a", 8, Change::TooMany)), "b", 9, Change::TooMany).as_deref(), Some("b"));
    }
}
