//! Where a value was given.

use std::{fmt, path::Path, sync::Arc};

/// Where a value was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In the code.
    Default,
    /// In a settings file.
    File {
        /// The file.
        path: Arc<Path>,
        /// The line, from 1.
        line: usize,
    },
    /// In this environment variable.
    Variable(String),
    /// On the command line, with this flag.
    Flag(String),
}

impl Origin {
    /// Whether a value that was given here counts over one that was given at `other`. Two places in files are alike.
    pub fn is_stronger_than(&self, other: &Self) -> bool {
        self.strength() > other.strength()
    }

    fn strength(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File { .. } => 1,
            Self::Variable(_) => 2,
            Self::Flag(_) => 3,
        }
    }

    /// The same without a line.
    pub(super) fn source(&self) -> String {
        match self {
            Self::File { path, .. } => format!("the settings file {}", path.display()),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => write!(formatter, "the default"),
            Self::File { path, line } => {
                write!(formatter, "line {line} of the settings file {}", path.display())
            }
            Self::Variable(name) => write!(formatter, "the variable {name}"),
            Self::Flag(name) => write!(formatter, "the flag {name}"),
        }
    }
}
