//! What an agent can be told: defaults in code, a TOML file over them, FLEETPS_… variables and flags over that.
//!
//! `fleetps-agent config` prints the result as a file.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use fleetps_nats::{
    Wire,
    bounds::{self, OutOfRange, nearest_name},
    connection::Broker,
    file,
    snapshot::MAX_PROCESSES,
    units,
};
use serde::{Deserialize, Serialize};

use crate::scrub::CommandLineMode;

/// More often than this a pass would cost more than it tells: the kernel counts CPU time in steps of 10 ms.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// Readers refuse more.
const MAX_INTERVAL: Duration = Duration::from_secs(24 * 3600);
/// Names that are not sent, at most.
const MAX_EXCLUDED: usize = 1000;

/// What an agent samples, and how often.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentSettings {
    /// Time between two snapshots.
    #[serde(with = "units::duration")]
    pub interval: Duration,
    /// What of command lines leaves the host: scrubbed, off or full.
    pub command_line: CommandLineMode,
    /// Only so many processes are sent, the busiest; `None` for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top: Option<usize>,
    /// Never more than these are sent; at most 20,000.
    pub max_processes: usize,
    /// Processes with these names are not sent.
    pub exclude_names: Vec<String>,
    /// Processes of these users are not sent.
    pub exclude_users: Vec<String>,
    /// Where the boot time is kept.
    pub state: PathBuf,
}

impl Default for AgentSettings {
    fn default() -> Self {
        Self {
            // Short-lived processes of half a minute are seen, and a host costs 2,600 rows a minute at 300 processes.
            interval: Duration::from_secs(10),
            command_line: CommandLineMode::default(),
            top: None,
            max_processes: MAX_PROCESSES,
            exclude_names: Vec::new(),
            exclude_users: Vec::new(),
            state: default_state_folder(),
        }
    }
}

impl AgentSettings {
    /// The most processes that one snapshot may have.
    pub fn most_processes(&self) -> usize {
        self.top.unwrap_or(usize::MAX).min(self.max_processes)
    }

    /// The interval as a snapshot has it.
    pub fn interval_ms(&self) -> u32 {
        u32::try_from(self.interval.as_millis()).unwrap_or(u32::MAX).max(1)
    }

    /// Whether every value can be used.
    ///
    /// # Errors
    /// Names the first setting that is outside of its range.
    pub fn check(&self) -> Result<(), OutOfRange> {
        // Matched as a whole, so that no new setting is left out.
        let Self { interval, command_line: _, top, max_processes, exclude_names, exclude_users, state: _ } =
            self;
        let steps = "the kernel counts CPU time in steps of 10 ms, and readers refuse more than a day";
        bounds::duration("interval", *interval, MIN_INTERVAL..=MAX_INTERVAL, steps)?;
        let most = "readers take so many processes of a host; leave it out for all of them";
        bounds::number("max_processes", *max_processes, 1..=MAX_PROCESSES, most)?;
        bounds::number("top", top.unwrap_or(1), 1..=MAX_PROCESSES, most)?;
        let names = "each is compared with every process; this is the number of names in the list";
        bounds::number("exclude_names", exclude_names.len(), 0..=MAX_EXCLUDED, names)?;
        bounds::number("exclude_users", exclude_users.len(), 0..=MAX_EXCLUDED, names)
    }
}

/// The whole settings file of `fleetps-agent`: how to reach the broker, and what to sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentFile {
    /// Address of the broker.
    pub nats: String,
    /// File with this host's key for the broker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nkey: Option<PathBuf>,
    /// This host's name; `None` for the machine's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// How the way to the broker is kept safe.
    pub wire: Wire,
    /// What to sample.
    pub sample: AgentSettings,
}

impl AgentFile {
    /// How the broker is reached.
    pub fn broker(&self) -> Broker {
        Broker { url: self.nats.clone(), nkey_file: self.nkey.clone(), wire: self.wire.clone() }
    }
}

impl Default for AgentFile {
    fn default() -> Self {
        Self {
            nats: "nats://127.0.0.1:4222".to_owned(),
            nkey: None,
            host: None,
            wire: Wire::default(),
            sample: AgentSettings::default(),
        }
    }
}

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read the settings file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("the settings file {path} is wrong{meant}; `fleetps-agent config` prints one that is right")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where a name is unknown, the one that may have been meant, in words.
        meant: String,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
}

impl AgentFile {
    /// Reads the file; without one, the defaults.
    pub fn read(path: Option<&Path>) -> Result<Self, SettingsError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text =
            file::read_text(path).map_err(|source| SettingsError::Read { path: path.to_owned(), source })?;
        toml::from_str(&text).map_err(|source: toml::de::Error| {
            let meant = nearest_name(source.message())
                .map_or_else(String::new, |name| format!(" (did you mean {name}?)"));
            SettingsError::Parse { path: path.to_owned(), meant, source: Box::new(source) }
        })
    }
}

fn default_state_folder() -> PathBuf {
    let folder =
        |variable: &str| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || std::env::home_dir().unwrap_or_default();
    let base = match std::env::consts::OS {
        "windows" => folder("LOCALAPPDATA").unwrap_or_else(home),
        "macos" => home().join("Library/Application Support"),
        // systemd names the folder it made for the service.
        _ => match folder("STATE_DIRECTORY") {
            Some(made) => return made,
            None => folder("XDG_STATE_HOME").unwrap_or_else(|| home().join(".local/state")),
        },
    };
    base.join("fleetps-agent")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_again() {
        let mut file = AgentFile::default();
        assert_eq!(toml::from_str::<AgentFile>(&toml::to_string(&file).unwrap()).unwrap(), file);
        file.sample.top = Some(5);
        file.sample.interval = Duration::from_millis(1500);
        file.host = Some("web-01".to_owned());
        assert_eq!(toml::from_str::<AgentFile>(&toml::to_string(&file).unwrap()).unwrap(), file);
    }

    #[test]
    fn a_wrong_file_is_refused_with_key_and_place() {
        for (text, named) in [
            ("[sample]\nintervall = 3", "did you mean interval?"),
            ("[sample]\ninterval = \"10 apples\"", "10 apples"),
            ("[sample]\ncommand_line = \"none\"", "scrubbed"),
            ("nats = 3", "line 1"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("agent.toml");
            std::fs::write(&path, text).unwrap();
            let error = AgentFile::read(Some(&path)).unwrap_err();
            let message = fleetps_nats::with_causes(&error);
            assert!(message.contains(named) && message.contains("agent.toml"), "{message}");
        }
    }

    #[test]
    fn absurd_values_of_every_setting_are_refused() {
        let mut all = AgentSettings { top: Some(5), ..AgentSettings::default() };
        all.exclude_names.push("x".to_owned());
        for (key, value) in &toml::Table::try_from(&all).unwrap() {
            let absurd: &[&str] = match value {
                toml::Value::Integer(_) => &["-1", "0", "9223372036854775807", "1.5", "\"1\""],
                _ => &["0", "-1", "true", "1.5"],
            };
            let times: &[&str] = &["\"0s\"", "\"1ns\"", "\"10000000d\"", "\"\""];
            let times = if key == "interval" { times } else { &[] };
            for value in absurd.iter().chain(times) {
                let read = toml::from_str::<AgentSettings>(&format!("{key} = {value}"));
                assert!(read.is_err() || read.unwrap().check().is_err(), "{key} = {value}");
            }
        }
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        let with = |change: fn(&mut AgentSettings)| {
            let mut settings = AgentSettings::default();
            change(&mut settings);
            settings.check().map_err(|error| error.to_string())
        };
        assert_eq!(with(|_| {}), Ok(()));
        assert_eq!(
            with(|settings| settings.interval = Duration::from_millis(5)),
            Err("interval is 5ms; expected 100ms to 1d: the kernel counts CPU time in steps of 10 ms, and readers refuse \
                 more than a day"
                .to_owned())
        );
        assert!(with(|settings| settings.max_processes = 20_001).unwrap_err().contains("max_processes"));
        assert!(with(|settings| settings.top = Some(0)).unwrap_err().contains("top"));
    }
}
