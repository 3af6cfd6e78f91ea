//! The command line of `fleetps-ingestor`.

use clap::{Parser, Subcommand};
use fleetps_ingestor::{DataSettings, IngestorSettings};
use fleetps_nats::{
    TlsOptions,
    admission::AdmissionSettings,
    connection::{Broker, BrokerSettings, DEFAULT_BROKER},
    log_settings::LogSettings,
    settings::{Flags, Layers, Printed, Program, RoomInfo, SettingsError},
};

/// Stores the snapshots of a fleet as DuckDB files. Without a subcommand it runs until Ctrl-C or SIGTERM.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) flags: Flags<IngestorProgram>,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the settings in force as a file
    Config,
}

/// The program `fleetps-ingestor`, as far as its settings go.
#[derive(Debug)]
pub(crate) struct IngestorProgram;

impl Program for IngestorProgram {
    const ROOMS: &'static [RoomInfo] = &[
        RoomInfo::of::<BrokerSettings>(),
        RoomInfo::of::<TlsOptions>(),
        RoomInfo::of::<AdmissionSettings>(),
        RoomInfo::of::<DataSettings>(),
        RoomInfo::of::<IngestorSettings>(),
        RoomInfo::of::<LogSettings>(),
    ];
    const DEFAULTS: &'static [(&'static str, &'static str, &'static str)] = &[("", "nats", DEFAULT_BROKER)];
}

/// The settings of `fleetps-ingestor`.
#[derive(Debug)]
pub(crate) struct Settings {
    broker: BrokerSettings,
    wire: TlsOptions,
    pub(crate) admission: AdmissionSettings,
    data: DataSettings,
    pub(crate) history: IngestorSettings,
    pub(crate) log: LogSettings,
}

impl Settings {
    /// The settings in force.
    ///
    /// # Errors
    /// When a value is outside its range.
    pub(crate) fn of(layers: &Layers) -> Result<Self, SettingsError> {
        let (data, history) = (layers.room::<DataSettings>()?, layers.room()?);
        Ok(Self {
            broker: layers.room()?,
            wire: layers.room()?,
            admission: layers.room()?,
            log: layers.room()?,
            history: IngestorSettings { history: data.data.join("history"), ..history },
            data,
        })
    }

    /// The broker to read from.
    pub(crate) fn broker(&self) -> Broker {
        self.broker.broker(&self.wire)
    }

    /// The settings file that says the same.
    ///
    /// # Errors
    /// When a value cannot be written as TOML, such as a path that is not Unicode.
    pub(crate) fn to_toml(&self) -> anyhow::Result<String> {
        let rooms = [
            Printed::of(&self.data)?,
            Printed::of(&self.log)?,
            Printed::of(&self.broker)?,
            Printed::of(&self.wire)?,
            Printed::of(&self.admission)?,
            Printed::of(&self.history)?,
        ];
        Ok(Printed::settings_file("fleetps-ingestor", &rooms))
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use super::*;

    /// The settings of these arguments alone; or why there are none.
    fn settings(arguments: &[&str]) -> anyhow::Result<Settings> {
        let cli = Cli::try_parse_from(["fleetps-ingestor"].iter().chain(arguments))?;
        Ok(Settings::of(&cli.flags.layers_with([])?)?)
    }

    #[test]
    fn absurd_values_are_refused_by_name_wherever_they_come_from() {
        let defaults = toml::Table::try_from(IngestorSettings::default()).unwrap();
        for (key, value) in &defaults {
            let absurd: &[&str] = match value {
                // The setting with an empty default is a day.
                toml::Value::String(text) if text.is_empty() => &["\"0\"", "\"2026-13-01\"", "0"],
                toml::Value::Integer(_) => &["-1", "9223372036854775807", "1.5", "\"1\""],
                _ => &[
                    "\"0\"",
                    "\"0s\"",
                    "\"1ns\"",
                    "\"10000000d\"",
                    "\"16 EiB\"",
                    "\"1 B\"",
                    "\"-1s\"",
                    "0",
                    "\"\"",
                ],
            };
            for value in absurd {
                let file = settings_file(&format!("[history]\n{key} = {value}\n"));
                let refusal = settings(&["--config", file.path().to_str().unwrap()]);
                let refusal = refusal.map(|_| ()).expect_err(&format!("{key} = {value}"));
                assert!(format!("{refusal:#}").contains(key.as_str()), "{key} = {value}: {refusal:#}");
            }
        }
        for arguments in [["--max-history", "0"], ["--keep-samples", "10000000d"], ["--keep-hours", "1s"]] {
            assert!(settings(&arguments).is_err(), "{arguments:?}");
        }
    }

    fn settings_file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn a_flag_goes_before_the_file_also_under_its_section_of_before_and_the_file_before_the_default() {
        let file = settings_file("data = \"/from-file\"\n[ingestor]\nkeep_samples = \"3d\"\nseal_rows = 7\n");
        let config = file.path().to_str().unwrap();
        let settings = settings(&["--config", config, "--keep-samples", "2d"]).unwrap();
        assert_eq!(settings.broker().url, DEFAULT_BROKER);
        assert_eq!(settings.history.history, Path::new("/from-file/history"));
        assert_eq!(settings.history.keep_samples, Duration::from_secs(2 * 24 * 3600));
        assert_eq!((settings.history.seal_rows, settings.history.merge_fresh_count), (7, 30));
    }

    #[test]
    fn what_is_printed_is_read_again_and_says_the_same() {
        let text = settings(&["--set", "history.seal_rows=7"]).unwrap().to_toml().unwrap();
        let file = settings_file(&text);
        let read = settings(&["--config", file.path().to_str().unwrap()]).unwrap();
        assert_eq!((read.to_toml().unwrap(), read.history.seal_rows), (text, 7));
    }

    #[test]
    fn what_is_wrong_in_the_file_is_named() {
        for (text, named) in
            [("datta = \"/x\"", "did you mean data?"), ("[history]\nkeep_samples = \"soon\"", "soon")]
        {
            let file = settings_file(text);
            let refusal = settings(&["--config", file.path().to_str().unwrap()]).unwrap_err();
            let refusal = format!("{refusal:#}");
            assert!(refusal.contains(named) && refusal.contains(file.path().to_str().unwrap()), "{refusal}");
        }
    }
}
