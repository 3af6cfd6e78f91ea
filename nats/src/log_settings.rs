//! The settings of the log, the same in every program.

use serde::{Deserialize, Serialize};

use crate::{log, settings::Flag};

/// How events are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: a line of JSON for each event.
    Json,
}

crate::settings! {
    /// How events are logged.
    #[derive(Copy, Eq)]
    pub struct LogSettings in "" {
        /// How the log on standard error is written: text, or json for one line of JSON for each event.
        #[flag(Flag::takes("log-format", "TEXT|JSON"))]
        pub log_format: LogFormat = LogFormat::Text;
    }
}

impl LogSettings {
    /// Writes the log like this from now on.
    pub fn apply(self) {
        log::set_json(self.log_format == LogFormat::Json);
    }
}
