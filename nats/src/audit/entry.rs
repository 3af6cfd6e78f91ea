//! One entry of the audit.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::HostName;

/// The longest name of a person or an action, in bytes.
const MAX_NAME_BYTES: usize = 256;
/// The longest description, in bytes; an SQL question is cut to it.
const MAX_WHAT_BYTES: usize = 4096;
/// The end of a text that was cut.
const CUT: &str = "…";

/// Who did what, when, from where, to which host, and whether it was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When, in µs since 1970 UTC, by the clock of the program that writes the entry.
    pub at_us: i64,
    /// The user's name, or the part of fleetps that did it. Up to 256 bytes, the rest is cut.
    pub who: String,
    /// The address that it was asked from; absent for commands on the machine itself.
    pub from: Option<IpAddr>,
    /// The kind of action, as in `sign-in` or `command-lines.view`. Up to 256 bytes.
    pub action: String,
    /// The host that it was about, if it was about one.
    pub host: Option<HostName>,
    /// The rest, for people: a changed setting, the text of an SQL question. Up to 4 KiB.
    pub what: String,
    /// The outcome.
    pub outcome: Outcome,
}

/// The outcome of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was not allowed.
    Refused,
    /// It was allowed and did not work.
    Failed,
}

/// The text is not the word of an outcome.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no outcome: expected done, refused or failed")]
pub struct NotAnOutcome(String);

impl AuditEntry {
    /// The same, with texts that are too long cut.
    pub(super) fn within_limits(mut self) -> Self {
        cut(&mut self.who, MAX_NAME_BYTES);
        cut(&mut self.action, MAX_NAME_BYTES);
        cut(&mut self.what, MAX_WHAT_BYTES);
        self
    }
}

fn cut(text: &mut String, max_bytes: usize) {
    if text.len() > max_bytes {
        text.truncate(text.floor_char_boundary(max_bytes - CUT.len()));
        text.push_str(CUT);
    }
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Done, Self::Refused, Self::Failed];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Outcome {
    type Err = NotAnOutcome;

    fn from_str(text: &str) -> Result<Self, NotAnOutcome> {
        let found = Self::ALL.into_iter().find(|outcome| outcome.as_str() == text);
        found.ok_or_else(|| NotAnOutcome(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        let mut text = "ä".repeat(10);
        cut(&mut text, 20);
        assert_eq!(text.len(), 20);
        cut(&mut text, 19);
        assert_eq!(text, format!("{}…", "ä".repeat(8)));
    }

    #[test]
    fn an_outcome_is_read_from_its_word_alone() {
        for outcome in Outcome::ALL {
            assert_eq!(outcome.as_str().parse::<Outcome>().unwrap(), outcome);
        }
        assert!("Done".parse::<Outcome>().is_err());
    }
}
