//! The settings of the agent. `fleetps-agent config` prints those in force as a file.

mod commands;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use fleetps_nats::{
    HostName, TlsOptions,
    agent_settings::Setting,
    bounds,
    connection::{BrokerSettings, DEFAULT_BROKER},
    log_settings::LogSettings,
    settings::{Flag, Layers, Printed, Program, RoomInfo, SettingsError},
    snapshot::MAX_PROCESSES,
    units,
};

use crate::{scrub::CommandLineMode, server::Server, uplink::Uplink};

pub use commands::CommandSettings;

/// More often than this a pass would cost more than it tells: the kernel counts CPU time in steps of 10 ms.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// Readers refuse more.
const MAX_INTERVAL: Duration = Duration::from_secs(24 * 3600);
/// Names that are not sent, at most.
const MAX_EXCLUDED: usize = 1000;

fleetps_nats::settings! {
    /// How a host is sampled, and how often.
    pub struct AgentSettings in "sample" was "agent" {
        /// Time between two snapshots of this host.
        #[serde(with = "units::duration")]
        #[flag(Flag::takes("interval", "TIME"))]
        // Short-lived processes of half a minute are seen, and a host costs 2,600 rows a minute at 300 processes.
        pub interval: Duration = Duration::from_secs(10), in bounds::duration(MIN_INTERVAL..=MAX_INTERVAL, STEPS);
        /// How command lines leave the host: scrubbed, off or full.
        pub command_line: CommandLineMode = CommandLineMode::default();
        /// Number of processes sent, the busiest first; all where this is left out.
        pub top: Option<usize> = None, in bounds::number(1..=MAX_PROCESSES, MOST);
        /// Largest number of processes sent; it also limits `top`.
        pub max_processes: usize = MAX_PROCESSES, in bounds::number(1..=MAX_PROCESSES, MOST);
        /// Processes with these names are not sent.
        pub exclude_names: Vec<String> = Vec::new(), in bounds::length(0..=MAX_EXCLUDED, LENGTH);
        /// Processes of these users are not sent.
        pub exclude_users: Vec<String> = Vec::new(), in bounds::length(0..=MAX_EXCLUDED, LENGTH);
        /// Folder where the boot time and counters of devices that are gone are kept.
        #[flag(Flag::takes("state", "DIR"))]
        pub state: PathBuf = default_state_folder();
    }
}

const STEPS: &str = "the kernel counts CPU time in steps of 10 ms, and readers refuse more than a day";
const MOST: &str = "readers accept at most this many processes of a host; leave it out for all of them";
const LENGTH: &str = "each is compared with every process";

fleetps_nats::settings! {
    /// What the fleet may change on this host.
    #[derive(Eq)]
    pub struct RemoteSettings in "remote" {
        /// Public half of the fleet's control key, which `join` writes here; without it nothing is changed from elsewhere.
        #[flag(Flag::takes("control-key", "KEY"))]
        pub control_key: Option<String> = None;
        /// Settings that only this file changes: interval, enabled, command_line, top, max_processes, exclude_names, exclude_users.
        pub pinned: Vec<Setting> = Vec::new(), in bounds::length(0..=Setting::ALL.len(), EACH);
        /// Shortest time between two samples while somebody watches this host; nothing is sampled more often for that where it
        /// is not below the usual interval.
        #[serde(with = "units::duration")]
        pub watched_interval: Duration = Duration::from_secs(1), in bounds::duration(MIN_WATCHED..=MAX_WATCHED, WATCHED);
    }
}

const MIN_WATCHED: Duration = Duration::from_millis(100);
const MAX_WATCHED: Duration = Duration::from_secs(24 * 3600);
const WATCHED: &str =
    "the kernel counts CPU time in steps of 10 ms, and nobody is sampled more rarely than once a day";
const EACH: &str = "each setting is named once";

fleetps_nats::settings! {
    /// This host's name.
    #[derive(Eq)]
    pub struct HostSettings in "" {
        /// This host's name in the fleet; the machine's own where it is left out.
        #[flag(Flag::takes("host", "NAME"))]
        pub host: Option<HostName> = None;
    }
}

fleetps_nats::settings! {
    /// The web server that takes the snapshots of a host that cannot reach the broker.
    #[derive(Eq)]
    pub struct ServerSettings in "" {
        /// Address of a web server of fleetps, as in https://fleet.example.com: snapshots go there over HTTP, and not to a broker.
        #[flag(Flag::takes("server", "URL"))]
        pub server: Option<String> = None;
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
}

/// The program `fleetps-agent`, as far as its settings go.
#[derive(Debug)]
pub struct AgentProgram;

impl Program for AgentProgram {
    const ROOMS: &'static [RoomInfo] = &[
        RoomInfo::of::<BrokerSettings>(),
        RoomInfo::of::<ServerSettings>(),
        RoomInfo::of::<TlsOptions>(),
        RoomInfo::of::<HostSettings>(),
        RoomInfo::of::<AgentSettings>(),
        RoomInfo::of::<RemoteSettings>(),
        RoomInfo::of::<CommandSettings>(),
        RoomInfo::of::<LogSettings>(),
    ];
    const DEFAULTS: &'static [(&'static str, &'static str, &'static str)] = &[("", "nats", DEFAULT_BROKER)];
    // `join` and `simulate` have their own.
    const LOCAL_FLAGS: &'static [&'static str] = &["host", "interval"];
    const OTHER_VARIABLES: &'static [&'static str] = &["FLEETPS_ENROL_TOKEN"];
}

/// All settings of `fleetps-agent`: how to reach the broker, and what to sample.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentFile {
    /// The broker, and the key for it.
    pub broker: BrokerSettings,
    /// The web server in place of a broker, where there is one; `None` where a stronger layer names a broker.
    pub server: Option<String>,
    /// How the connection to it is protected.
    pub wire: TlsOptions,
    /// This host's name; `None` for the machine's own.
    pub host: Option<HostName>,
    /// The sampling settings.
    pub sample: AgentSettings,
    /// What the fleet may change on this host.
    pub remote: RemoteSettings,
    /// What the fleet may do on this host.
    pub commands: CommandSettings,
    /// How events are logged.
    pub log: LogSettings,
}

impl AgentFile {
    /// The settings in force.
    ///
    /// # Errors
    /// When a value is outside its range.
    pub fn of(layers: &Layers) -> Result<Self, SettingsError> {
        // `--nats` means that broker, although the file names a server.
        let is_to_broker = layers.origin("", "nats").is_stronger_than(&layers.origin("", "server"));
        let server = layers.room::<ServerSettings>()?.server;
        Ok(Self {
            broker: layers.room()?,
            server: server.filter(|_| !is_to_broker),
            wire: layers.room()?,
            host: layers.room::<HostSettings>()?.host,
            sample: layers.room()?,
            remote: layers.room()?,
            commands: layers.room()?,
            log: layers.room()?,
        })
    }

    /// Where the snapshots go.
    pub fn uplink(&self) -> Uplink {
        match &self.server {
            Some(url) => Uplink::Server(self.server_at(url)),
            None => Uplink::Broker(self.broker.broker(&self.wire)),
        }
    }

    /// The web server at `url`, reached as these settings say.
    pub(crate) fn server_at(&self, url: &str) -> Server {
        Server { url: url.to_owned(), nkey_file: self.broker.nkey.clone(), wire: self.wire.clone() }
    }

    /// The settings of the file alone; without one, the defaults.
    ///
    /// # Errors
    /// When it cannot be read, or a name or value in it is wrong.
    pub fn read(path: Option<&Path>) -> Result<Self, SettingsError> {
        let mut layers = Layers::of::<AgentProgram>()?;
        path.map_or(Ok(()), |path| layers.read_file(path))?;
        Self::of(&layers)
    }

    /// The settings file that says the same.
    ///
    /// # Errors
    /// When a value cannot be written as TOML, such as a path that is not Unicode.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        let host = HostSettings { host: self.host.clone() };
        let rooms = [
            Printed::of(&self.broker)?,
            Printed::of(&ServerSettings { server: self.server.clone() })?,
            Printed::of(&host)?,
            Printed::of(&self.log)?,
            Printed::of(&self.wire)?,
            Printed::of(&self.sample)?,
            Printed::of(&self.remote)?,
            Printed::of(&self.commands)?,
        ];
        Ok(Printed::settings_file("fleetps-agent", &rooms))
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
    use fleetps_nats::settings::{Given, Origin, Room};

    use super::*;

    #[test]
    fn what_is_printed_is_read_again() {
        let mut file = AgentFile::read(None).unwrap();
        assert_eq!(read(&file.to_toml().unwrap()).unwrap(), file);
        file.sample.top = Some(5);
        file.sample.interval = Duration::from_millis(1500);
        file.host = Some("web-01".parse().unwrap());
        file.commands.units.push("restart,reload nginx.service".parse().unwrap());
        file.commands.signals.push("TERM user:www-data unit:app-*.service".parse().unwrap());
        assert_eq!(read(&file.to_toml().unwrap()).unwrap(), file);
    }

    fn read(text: &str) -> Result<AgentFile, SettingsError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.toml");
        std::fs::write(&path, text).unwrap();
        AgentFile::read(Some(&path))
    }

    #[test]
    fn a_broker_on_the_command_line_counts_over_a_server_in_the_file_and_the_other_way_round() {
        let flag = || Origin::Flag("--x".to_owned());
        let variable = || Origin::Variable("FLEETPS_X".to_owned());
        let file = |line| Origin::File { path: std::path::Path::new("agent.toml").into(), line };
        for (nats, server, is_to_server) in [
            (None, Some(file(1)), true),
            (Some(file(1)), Some(file(2)), true),
            (Some(file(2)), Some(file(1)), true),
            (Some(file(1)), Some(flag()), true),
            (Some(variable()), Some(flag()), true),
            (Some(flag()), Some(flag()), true),
            (Some(variable()), Some(file(1)), false),
            (Some(flag()), Some(file(1)), false),
            (Some(flag()), Some(variable()), false),
            (Some(flag()), None, false),
        ] {
            let mut layers = Layers::of::<AgentProgram>().unwrap();
            let given = [("nats", "nats://a", nats.clone()), ("server", "https://b", server.clone())];
            for (key, url, origin) in
                given.into_iter().filter_map(|(key, url, origin)| Some((key, url, origin?)))
            {
                layers.set("", key, Given::Text(url), origin).unwrap();
            }
            let uplink = AgentFile::of(&layers).unwrap().uplink();
            assert_eq!(matches!(uplink, Uplink::Server(_)), is_to_server, "{nats:?} {server:?}");
        }
    }

    #[test]
    fn the_section_may_have_its_name_in_the_server_of_before() {
        let file = read("[agent]\ninterval = \"3s\"").unwrap();
        assert_eq!(file.sample.interval, Duration::from_secs(3));
    }

    #[test]
    fn a_wrong_file_is_refused_with_key_and_place() {
        for (text, named) in [
            ("[sample]\nintervall = 3", "did you mean interval?"),
            ("[sample]\ninterval = \"10 apples\"", "10 apples"),
            ("[sample]\ncommand_line = \"none\"", "scrubbed"),
            ("[control]\nunits = [\"restart nginx\"]", "column 9"),
            ("nats = 3", "line 1"),
        ] {
            let error = read(text).unwrap_err();
            let message = fleetps_nats::error_chain(&error);
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
