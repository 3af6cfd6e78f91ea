//! The settings of `fleetps`, all in one place: each room is declared where its part is, or in `rooms`.

mod rooms;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use fleetps_agent::{
    AgentSettings,
    settings::{HostSettings, RemoteSettings},
};
use fleetps_ingestor::{DataSettings, IngestorSettings};
use fleetps_nats::{
    HostName, TlsOptions,
    admission::AdmissionSettings,
    agent_settings::ControlKey,
    connection::{Broker, BrokerSettings},
    log_settings::LogSettings,
    server::{self, Part, PublicServer},
    settings::{Layers, Printed, Program, RoomInfo},
};

use crate::{
    auth::{Auth, SignInSettings},
    notify::is_link,
    tls::TlsSettings,
};

pub(crate) use rooms::{
    BackupSettings, ControlSettings, LocalHosts, ManagedBroker, NotifySettings, WebSettings,
};
pub use rooms::{LegacySettings, QuestionSettings};

/// The program `fleetps`, as far as its settings go.
#[derive(Debug)]
pub(crate) struct FleetpsProgram;

impl Program for FleetpsProgram {
    const ROOMS: &'static [RoomInfo] = &[
        RoomInfo::of::<DataSettings>(),
        RoomInfo::of::<WebSettings>(),
        // Before `TlsOptions`: `--plaintext` is of both, and its help is this one's.
        RoomInfo::of::<TlsSettings>(),
        RoomInfo::of::<SignInSettings>(),
        RoomInfo::of::<ManagedBroker>(),
        RoomInfo::of::<BrokerSettings>(),
        RoomInfo::of::<TlsOptions>(),
        RoomInfo::of::<AdmissionSettings>(),
        RoomInfo::of::<ControlSettings>(),
        RoomInfo::of::<HostSettings>(),
        RoomInfo::of::<AgentSettings>(),
        RoomInfo::of::<RemoteSettings>(),
        RoomInfo::of::<LocalHosts>(),
        RoomInfo::of::<IngestorSettings>(),
        RoomInfo::of::<QuestionSettings>(),
        RoomInfo::of::<LegacySettings>(),
        RoomInfo::of::<NotifySettings>(),
        RoomInfo::of::<BackupSettings>(),
        RoomInfo::of::<LogSettings>(),
    ];
    const COMPUTED_DEFAULTS: &'static [(&'static str, &'static str, &'static str)] =
        &[("sample", "state", "`agent` in the data folder")];
    const OTHER_VARIABLES: &'static [&'static str] = &["FLEETPS_SERVER", "FLEETPS_TOKEN"];

    /// `fleetps.toml` in the platform's configuration folder, if it is there.
    fn default_file() -> Option<PathBuf> {
        dirs::config_dir().map(|folder| folder.join("fleetps.toml")).filter(|path| path.exists())
    }
}

/// The settings in force.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Where everything is kept.
    pub data: PathBuf,
    /// How pages are served.
    pub web: WebSettings,
    /// How browsers and agents reach this machine.
    pub tls: TlsSettings,
    /// How people sign in.
    pub sign_in: SignInSettings,
    /// The broker that fleetps runs itself.
    pub managed: ManagedBroker,
    /// Another broker than that.
    pub broker: BrokerSettings,
    /// How the connection to a broker that was named is protected.
    pub wire: TlsOptions,
    /// How hosts are admitted to the broker.
    pub admission: AdmissionSettings,
    /// How what is asked of agents is signed.
    pub control: ControlSettings,
    /// This host's name in the fleet; the machine's own where it is left out.
    pub host: Option<HostName>,
    /// How this host is sampled.
    pub sample: AgentSettings,
    /// What the fleet may change on this host.
    pub remote: RemoteSettings,
    /// Which hosts are sampled by this process.
    pub local: LocalHosts,
    /// How the history is stored.
    pub history: IngestorSettings,
    /// How long questions about the past may take.
    pub questions: QuestionSettings,
    /// The listener for older systems.
    pub legacy: LegacySettings,
    /// What channels of notifications may do.
    pub notify: NotifySettings,
    /// Backups that are taken by themselves.
    pub backup: BackupSettings,
    /// How events are logged.
    pub log: LogSettings,
    /// Whether this start brings back what the broker lost; a flag only, because it is not for every start.
    pub recover: bool,
    /// The file that these were read from, for backups.
    pub settings_file: Option<PathBuf>,
}

impl Config {
    /// The settings in force.
    ///
    /// # Errors
    /// When a value is outside its range, or pages would be served to other machines without sign-in or TLS.
    pub(crate) fn of(layers: &Layers, settings_file: Option<PathBuf>, recover: bool) -> anyhow::Result<Self> {
        let config = Self {
            data: layers.room::<DataSettings>()?.data,
            web: layers.room()?,
            tls: layers.room()?,
            sign_in: layers.room()?,
            managed: layers.room()?,
            broker: layers.room()?,
            wire: layers.room()?,
            admission: layers.room()?,
            control: layers.room()?,
            host: layers.room::<HostSettings>()?.host,
            sample: layers.room()?,
            remote: layers.room()?,
            local: layers.room()?,
            history: layers.room()?,
            questions: layers.room()?,
            legacy: layers.room()?,
            notify: layers.room()?,
            backup: layers.room()?,
            log: layers.room()?,
            recover,
            settings_file,
        };
        let config = config.with_folders();
        config.check_listen()?;
        config.check_address()?;
        Ok(config)
    }

    /// The folders that are in the data folder.
    fn with_folders(mut self) -> Self {
        self.history.history = self.data.join("history");
        if self.sample.state == AgentSettings::default().state {
            self.sample.state = self.data.join("agent");
        }
        self
    }

    /// Whether links can be made of the address that people are told.
    fn check_address(&self) -> anyhow::Result<()> {
        match &self.notify.address {
            Some(address) if !is_link(address) => anyhow::bail!(
                "notify.address is {address:?}, which is no address of a page; expected one as in https://ps.example.com"
            ),
            _ => Ok(()),
        }
    }

    /// Whether pages may be served on the address.
    fn check_listen(&self) -> anyhow::Result<()> {
        let listen = self.web.listen;
        anyhow::ensure!(
            self.web.auth == Auth::On || listen.ip().is_loopback(),
            "cannot serve on {listen} without a sign-in: anybody who reaches that address would see every command line. \
             Leave out --auth off, or listen on 127.0.0.1 or [::1] and reach it from elsewhere through an SSH tunnel: \
             ssh -L 8080:127.0.0.1:8080 <this machine>",
        );
        if let Some(metrics) = self.web.metrics_listen {
            anyhow::ensure!(
                metrics.ip().is_loopback(),
                "cannot serve metrics on {metrics}: everybody who reaches that address could read them. Listen on 127.0.0.1 or \
                 [::1]; on other addresses the pages have /metrics, for an API token with the role metrics",
            );
        }
        self.tls.check(listen, &self.data)?;
        self.check_legacy_listen()
    }

    /// Whether older systems may be answered on their address.
    fn check_legacy_listen(&self) -> anyhow::Result<()> {
        let Some(listen) = self.legacy.listen else { return Ok(()) };
        let is_safe =
            listen.ip().is_loopback() || self.legacy.plaintext || self.tls.files(&self.data)?.is_some();
        anyhow::ensure!(
            is_safe,
            "cannot answer older systems on {listen} without TLS: keys and command lines would cross the network as they are. \
             Agents of older systems speak plaintext; if this network may see it, say --legacy-plaintext",
        );
        Ok(())
    }

    /// The key that signs what is asked of agents, for a broker that was set up by hand: the one that is named, or the one beside
    /// the keys of admission. `None` where there is none, so that nothing can be asked.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn control_key(&self) -> anyhow::Result<Option<ControlKey>> {
        Ok(self.given_control_key_file().map(|file| ControlKey::read(&file)).transpose()?)
    }

    fn given_control_key_file(&self) -> Option<PathBuf> {
        let beside = self.admission.keys.as_ref().map(|folder| folder.join("control.nk"));
        self.control.key_file.clone().or(beside.filter(|file| file.exists()))
    }

    /// The file of the control key: the one that the settings name, or that of the managed broker.
    pub(crate) fn control_key_file(&self) -> PathBuf {
        let managed = || server::key_file(&self.data, Part::Control);
        self.given_control_key_file().unwrap_or_else(managed)
    }

    /// The broker that was named; `None` where fleetps runs its own.
    pub(crate) fn given_broker(&self) -> Option<Broker> {
        let wire = TlsOptions { plaintext: self.tls.plaintext || self.wire.plaintext, ..self.wire.clone() };
        self.broker.nats.is_some().then(|| self.broker.broker(&wire))
    }

    /// How other machines reach the managed broker, where they do.
    ///
    /// # Errors
    /// When they could without TLS, and `plaintext` is not set.
    pub(crate) fn public_broker(&self) -> anyhow::Result<Option<PublicServer>> {
        let Some(listen) = self.managed.broker_listen else { return Ok(None) };
        Ok(Some(PublicServer { listen, tls: self.tls.of_broker(listen, &self.data)? }))
    }

    /// How a command reaches the broker: the one that was named, else the one that fleetps runs in the data folder.
    ///
    /// # Errors
    /// When none was named and none was ever run there.
    pub(crate) fn broker(&self) -> anyhow::Result<Broker> {
        match self.given_broker() {
            Some(broker) => Ok(broker),
            None => Ok(fleetps_nats::server::broker_in(&self.data, Part::Api)?),
        }
    }

    /// The settings file that says the same.
    ///
    /// # Errors
    /// When a value cannot be written as TOML, such as a path that is not Unicode.
    pub(crate) fn to_toml(&self) -> anyhow::Result<String> {
        let rooms = [
            Printed::of(&DataSettings { data: self.data.clone() })?,
            Printed::of(&self.web)?,
            Printed::of(&self.log)?,
            Printed::of(&self.managed)?,
            Printed::of(&self.broker)?,
            Printed::of(&HostSettings { host: self.host.clone() })?,
            Printed::of(&self.local)?,
            Printed::of(&self.tls)?,
            Printed::of(&self.wire)?,
            Printed::of(&self.admission)?,
            Printed::of(&self.control)?,
            Printed::of(&self.sign_in)?,
            Printed::of(&self.sample)?,
            Printed::of(&self.remote)?,
            Printed::of(&self.history)?,
            Printed::of(&self.questions)?,
            Printed::of(&self.legacy)?,
            Printed::of(&self.backup)?,
        ];
        Ok(Printed::settings_file("fleetps", &rooms))
    }
}
