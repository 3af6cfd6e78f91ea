//! The flags, variables and settings file of `fleetps-ingestor`. A flag goes before its variable, a variable before the
//! file, the file before the default.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use clap::Parser;
use fleetps_ingestor::IngestorSettings;
use fleetps_nats::{
    Wire,
    admission::AdmissionSettings,
    bounds::nearest_name,
    connection::Broker,
    file,
    units::{parse_bytes, parse_duration},
};
use serde::Deserialize;

/// Where a broker that was set up by hand listens, unless it was told otherwise.
const DEFAULT_NATS: &str = "nats://127.0.0.1:4222";

/// Stores the snapshots of a fleet as DuckDB files.
#[derive(Debug, Default, Parser)]
#[command(version)]
pub(crate) struct Cli {
    /// The broker [default: nats://127.0.0.1:4222]
    #[arg(long, env = "FLEETPS_NATS", value_name = "URL")]
    nats: Option<String>,
    /// The file with this ingestor's broker key (an nkey seed)
    #[arg(long, env = "FLEETPS_NKEY", value_name = "FILE")]
    nkey: Option<PathBuf>,
    /// The authority that the broker's certificate is signed by, as PEM; nothing is said without TLS then
    #[arg(long, env = "FLEETPS_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Reach a broker on another machine without TLS all the same
    #[arg(long, env = "FLEETPS_PLAINTEXT")]
    plaintext: bool,
    /// The folder with the keys to admit hosts to that broker: auth.nk, issuer.nk, system.nk
    #[arg(long, env = "FLEETPS_ADMISSION_KEYS", value_name = "DIR")]
    admission_keys: Option<PathBuf>,
    /// Let hosts without an enrolment token wait until somebody approves them
    #[arg(long, env = "FLEETPS_APPROVE")]
    approve: bool,
    /// The data folder; segments go to `history` in it [default: the platform's data folder]
    #[arg(long, env = "FLEETPS_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// A settings file (TOML)
    #[arg(long, env = "FLEETPS_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Keep every sample for this long [default: 7d]
    #[arg(long, env = "FLEETPS_KEEP_SAMPLES", value_name = "DURATION", value_parser = parse_duration)]
    keep_samples: Option<Duration>,
    /// Then keep one sample a minute, until it is this old [default: 30d]
    #[arg(long, env = "FLEETPS_KEEP_MINUTES", value_name = "DURATION", value_parser = parse_duration)]
    keep_minutes: Option<Duration>,
    /// Then keep sums of every hour, until they are this old [default: 400d]
    #[arg(long, env = "FLEETPS_KEEP_HOURS", value_name = "DURATION", value_parser = parse_duration)]
    keep_hours: Option<Duration>,
    /// The clock is right up to the end of this day (UTC), as in 2026-12-24, although it is more than a day past the newest
    /// snapshot
    #[arg(long, env = "FLEETPS_TRUST_CLOCK_UNTIL", value_name = "DAY")]
    trust_clock_until: Option<jiff::civil::Date>,
    /// Keep less of the oldest where all together take more, as in "20 GiB" [default: 20 GiB]
    #[arg(long, env = "FLEETPS_MAX_HISTORY", value_name = "SIZE", value_parser = parse_bytes)]
    max_history: Option<u64>,
}

/// What a settings file may hold.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    nats: Option<String>,
    nkey: Option<PathBuf>,
    wire: Wire,
    data: Option<PathBuf>,
    admission: AdmissionSettings,
    ingestor: IngestorSettings,
}

impl Cli {
    /// What to connect to, and what to do.
    pub(crate) fn resolve(self) -> anyhow::Result<(Broker, AdmissionSettings, IngestorSettings)> {
        let file = self.config.as_deref().map(read).transpose()?.unwrap_or_default();
        let data = self.data.or(file.data).or_else(|| Some(dirs::data_local_dir()?.join("fleetps")));
        let data = data.context("this system names no data folder; give one with --data DIR")?;
        let broker = Broker {
            url: self.nats.or(file.nats).unwrap_or_else(|| DEFAULT_NATS.to_owned()),
            nkey_file: self.nkey.or(file.nkey),
            wire: Wire {
                ca: self.ca.or(file.wire.ca),
                plaintext: self.plaintext || file.wire.plaintext,
                ..file.wire
            },
        };
        let mut settings = IngestorSettings { history: data.join("history"), ..file.ingestor };
        settings.keep_samples = self.keep_samples.unwrap_or(settings.keep_samples);
        settings.keep_minutes = self.keep_minutes.unwrap_or(settings.keep_minutes);
        settings.keep_hours = self.keep_hours.unwrap_or(settings.keep_hours);
        settings.trust_clock_until = self.trust_clock_until.or(settings.trust_clock_until);
        settings.max_history_bytes = self.max_history.unwrap_or(settings.max_history_bytes);
        settings.check().context("under [ingestor], or as a flag or variable")?;
        let admission = AdmissionSettings {
            keys: self.admission_keys.or(file.admission.keys),
            approve: self.approve || file.admission.approve,
        };
        Ok((broker, admission, settings))
    }
}

fn read(path: &Path) -> anyhow::Result<File> {
    let text =
        file::read_text(path).with_context(|| format!("cannot read the settings file {}", path.display()))?;
    toml::from_str(&text).with_context(|| unusable(path, &text))
}

/// That the file cannot be used; where a name is unknown, the one that may have been meant.
fn unusable(path: &Path, text: &str) -> String {
    let error = toml::from_str::<File>(text).err();
    let meant = error.as_ref().and_then(|error| nearest_name(error.message()));
    let meant = meant.map_or_else(String::new, |name| format!(" (did you mean {name}?)"));
    format!("the settings file {} cannot be used{meant}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_values_are_refused_by_name_wherever_they_come_from() {
        let defaults = toml::Table::try_from(IngestorSettings::default()).unwrap();
        for (key, value) in &defaults {
            let absurd: &[&str] = match value {
                // Without one, it is no day.
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
                let file = settings_file(&format!("[ingestor]\n{key} = {value}\n"));
                let cli = Cli { config: Some(file.path().to_owned()), ..Cli::default() };
                let refusal = cli.resolve().map(|_| ()).expect_err(&format!("{key} = {value}"));
                assert!(format!("{refusal:#}").contains(key.as_str()), "{key} = {value}: {refusal:#}");
            }
        }
        for arguments in [["--max-history", "0"], ["--keep-samples", "10000000d"], ["--keep-hours", "1s"]] {
            let cli = Cli::try_parse_from(["fleetps-ingestor"].iter().chain(&arguments));
            assert!(cli.unwrap().resolve().is_err(), "{arguments:?}");
        }
    }

    fn settings_file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn a_flag_goes_before_the_file_and_the_file_before_the_default() {
        let file = settings_file("data = \"/from-file\"\n[ingestor]\nkeep_samples = \"3d\"\nseal_rows = 7\n");
        let config = file.path().to_str().unwrap();
        let cli = Cli::parse_from(["fleetps-ingestor", "--config", config, "--keep-samples", "2d"]);
        let (broker, _, settings) = cli.resolve().unwrap();
        assert_eq!(broker.url, DEFAULT_NATS);
        assert_eq!(settings.history, Path::new("/from-file/history"));
        assert_eq!(settings.keep_samples, Duration::from_secs(2 * 24 * 3600));
        assert_eq!((settings.seal_rows, settings.merge_fresh_count), (7, 30));
    }

    #[test]
    fn what_is_wrong_in_the_file_is_named() {
        for (text, named) in
            [("datta = \"/x\"", "did you mean data?"), ("[ingestor]\nkeep_samples = \"soon\"", "soon")]
        {
            let file = settings_file(text);
            let cli = Cli { config: Some(file.path().to_owned()), ..Cli::default() };
            let refusal = format!("{:#}", cli.resolve().unwrap_err());
            assert!(refusal.contains(named) && refusal.contains(file.path().to_str().unwrap()), "{refusal}");
        }
    }
}
