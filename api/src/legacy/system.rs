//! The older systems, by their numbers.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// An older system. [`docs/legacy.md`](../../../docs/legacy.md) says what the agents of each send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum System {
    /// One key for the whole fleet; `POST /api/processes/`.
    #[serde(rename = "000")]
    S000,
    /// A key for each host; `POST /api/v1/ingest`.
    #[serde(rename = "001")]
    S001,
    /// No keys; `POST /api/snapshot-batch/`.
    #[serde(rename = "002")]
    S002,
    /// A token for each agent; `POST /agents/{id}/metrics`.
    #[serde(rename = "003")]
    S003,
}

/// The text is no system.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no older system: expected 000, 001, 002 or 003")]
pub struct NotASystem(String);

impl System {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::S000, Self::S001, Self::S002, Self::S003];

    /// Its number.
    pub fn number(self) -> &'static str {
        match self {
            Self::S000 => "000",
            Self::S001 => "001",
            Self::S002 => "002",
            Self::S003 => "003",
        }
    }

    /// Whether its agents send a key.
    pub fn has_keys(self) -> bool {
        self != Self::S002
    }

    /// How often its agents post where nothing else is known, in ms.
    pub fn interval_ms(self) -> u32 {
        match self {
            Self::S000 | Self::S003 => 10_000,
            Self::S001 => 2_000,
            Self::S002 => 5_000,
        }
    }

    /// What its agents do not send, in words that follow "the agent".
    pub fn limited_view(self) -> &'static str {
        match self {
            Self::S000 => {
                "sends no CPU time, so that its processes are in no sums of it, and memory only in percent; starts are when a \
                 process was first seen"
            }
            Self::S001 | Self::S002 => {
                "sends no CPU time, so that its processes are in no sums of it; starts are when a process was first seen"
            }
            Self::S003 => {
                "sends no CPU time, so that its processes are in no sums of it, and no parents; starts are when a process was \
                 first seen"
            }
        }
    }
}

impl fmt::Display for System {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.number())
    }
}

impl FromStr for System {
    type Err = NotASystem;

    fn from_str(text: &str) -> Result<Self, NotASystem> {
        let found = Self::ALL.into_iter().find(|system| system.number() == text);
        found.ok_or_else(|| NotASystem(text.chars().take(20).collect()))
    }
}
