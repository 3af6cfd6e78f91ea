//! Why settings cannot be used.

use std::{io, path::PathBuf};

use super::origin::Origin;
use crate::bounds::OutOfRange;

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read the settings file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("the settings file {path} is not TOML")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// No setting or section has this name.
    #[error("{origin}: there is no setting {name}{meant}")]
    Unknown {
        /// Where it is given.
        origin: Origin,
        /// The name as given.
        name: String,
        /// The setting that may be meant, in words; empty where none is like it.
        meant: String,
    },
    /// The value cannot be read.
    #[error("{origin}: {name} cannot be {value}: {problem}")]
    Value {
        /// Where it is given.
        origin: Origin,
        /// The setting's name.
        name: String,
        /// The value as given.
        value: String,
        /// The expected form.
        problem: String,
    },
    /// The value is outside its range.
    #[error("{origin}{section}: {problem}")]
    Range {
        /// Where it is given.
        origin: Origin,
        /// The section, as `, under [history]`; empty for a key without one.
        section: String,
        /// Key, value, range and reason.
        problem: Box<OutOfRange>,
    },
}

impl SettingsError {
    /// An unknown name, with the one that may be meant.
    pub(super) fn unknown(origin: Origin, name: String, meant: Option<String>) -> Self {
        let meant = meant.map_or_else(String::new, |meant| format!(" (did you mean {meant}?)"));
        Self::Unknown { origin, name, meant }
    }
}
