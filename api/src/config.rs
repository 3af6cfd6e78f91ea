//! The settings of `fleetps`: default in code, then the file, then variables and flags.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::Context;
use fleetps_agent::AgentSettings;
use fleetps_ingestor::IngestorSettings;
use fleetps_nats::{
    HostName, Wire,
    admission::AdmissionSettings,
    bounds::{self, nearest_name},
    connection::Broker,
    file,
    server::{Part, PublicServer},
};
use serde::{Deserialize, Serialize};

use crate::{
    backups::BackupSettings,
    cli::Overrides,
    people::{Auth, SignInSettings},
    tls::TlsSettings,
};

/// What stands above the printed settings.
const HEADER: &str = "\
# Settings of fleetps. Every key may be left out; what is here is what is in force.
# A flag (--listen) wins over a variable (FLEETPS_LISTEN), a variable over this file.

";

/// Simulated hosts at most: ten times what a fleet of one server has.
const MAX_DEMO_HOSTS: usize = 100_000;

/// The settings in force.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where everything is kept.
    pub data: PathBuf,
    /// Where the pages are served.
    pub listen: SocketAddr,
    /// Whether people have to sign in.
    pub auth: Auth,
    /// Where the managed broker is reached by other machines; by this one only where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_listen: Option<SocketAddr>,
    /// Another broker than a managed local one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nats: Option<String>,
    /// The key for that broker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nkey: Option<PathBuf>,
    /// The nats-server to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nats_server: Option<PathBuf>,
    /// This host's name in the fleet; the machine's own where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostName>,
    /// Whether this start brings back what the broker lost; a flag only, because it is not for every start.
    #[serde(skip)]
    pub recover: bool,
    /// How hosts are admitted to the broker.
    pub admission: AdmissionSettings,
    /// Whether this host is sampled.
    pub sample_this_host: bool,
    /// Hosts of a simulated fleet beside the real one.
    pub demo_hosts: usize,
    /// How the way to a broker that was named is kept safe.
    pub wire: Wire,
    /// How browsers and agents reach this machine.
    pub tls: TlsSettings,
    /// How people sign in.
    pub sign_in: SignInSettings,
    /// How this host is sampled.
    pub agent: AgentSettings,
    /// How the history is kept.
    pub history: IngestorSettings,
    /// Backups that are taken by themselves.
    pub backup: BackupSettings,
    /// The file that these were read from, for backups.
    #[serde(skip)]
    pub settings_file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: dirs::data_local_dir().unwrap_or_else(|| PathBuf::from(".")).join("fleetps"),
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
            auth: Auth::default(),
            broker_listen: None,
            nats: None,
            nkey: None,
            nats_server: None,
            host: None,
            recover: false,
            admission: AdmissionSettings::default(),
            sample_this_host: true,
            demo_hosts: 0,
            wire: Wire::default(),
            tls: TlsSettings::default(),
            sign_in: SignInSettings::default(),
            agent: AgentSettings::default(),
            history: IngestorSettings::default(),
            backup: BackupSettings::default(),
            settings_file: None,
        }
    }
}

impl Config {
    /// The settings in force, from the file and what overrides it.
    ///
    /// # Errors
    /// When the file that was named cannot be read, or a key or value in it is not what was expected, or the pages
    /// would be served to other machines.
    pub fn load(overrides: Overrides) -> anyhow::Result<Self> {
        let file = settings_file(&overrides);
        let mut config = file.as_deref().map_or_else(|| Ok(Self::default()), Self::read)?;
        config.settings_file = file;
        config.apply(overrides);
        config.history.history = config.data.join("history");
        if config.agent.state == AgentSettings::default().state {
            config.agent.state = config.data.join("agent");
        }
        config.check()?;
        anyhow::ensure!(
            config.auth == Auth::On || config.listen.ip().is_loopback(),
            "cannot serve on {} without a sign-in: anybody who reaches that address would see every command line. Leave \
             out --auth off, or listen on 127.0.0.1 or [::1] and reach it from elsewhere through an SSH tunnel: \
             ssh -L 8080:127.0.0.1:8080 <this machine>",
            config.listen
        );
        config.tls.check(config.listen, &config.data)?;
        Ok(config)
    }

    /// Whether every value is within its range.
    fn check(&self) -> anyhow::Result<()> {
        let hosts = "a simulated host takes some kilobytes of memory, and of its own processor time";
        bounds::number("demo_hosts", self.demo_hosts, 0..=MAX_DEMO_HOSTS, hosts)?;
        self.sign_in.check().context("under [sign_in]")?;
        self.agent.check().context("under [agent]")?;
        self.backup.check().context("under [backup]")?;
        self.history.check().context("under [history]")
    }

    /// The broker at `url`, which was named.
    pub fn given_broker(&self, url: &str) -> Broker {
        let wire = Wire { plaintext: self.tls.plaintext, ..self.wire.clone() };
        Broker { url: url.to_owned(), nkey_file: self.nkey.clone(), wire }
    }

    /// How other machines reach the managed broker, where they do.
    ///
    /// # Errors
    /// When they could without TLS, and nobody asked for that by name.
    pub fn public_broker(&self) -> anyhow::Result<Option<PublicServer>> {
        let Some(listen) = self.broker_listen else { return Ok(None) };
        Ok(Some(PublicServer { listen, tls: self.tls.of_broker(listen, &self.data)? }))
    }

    /// How a command reaches the broker: the one that was named, else the one that fleetps runs in the data folder.
    ///
    /// # Errors
    /// When none was named and none was ever run there.
    pub fn broker(&self) -> anyhow::Result<Broker> {
        match &self.nats {
            Some(url) => Ok(self.given_broker(url)),
            None => Ok(fleetps_nats::server::broker_in(&self.data, Part::Api)?),
        }
    }

    fn read(path: &Path) -> anyhow::Result<Self> {
        let text = file::read_text(path)
            .with_context(|| format!("cannot read the settings file {}", path.display()))?;
        toml::from_str(&text).map_err(|error: toml::de::Error| {
            let meant = nearest_name(error.message())
                .map_or_else(String::new, |name| format!(" (did you mean {name}?)"));
            let told = format!("the settings file {} is not as expected{meant}", path.display());
            anyhow::Error::new(error).context(told)
        })
    }

    fn apply(&mut self, overrides: Overrides) {
        let Overrides {
            config: _,
            data,
            listen,
            tls_cert,
            tls_key,
            plaintext,
            broker_listen,
            ca,
            auth,
            nats,
            nkey,
            nats_server,
            admission_keys,
            approve,
            host,
            interval,
            no_agent,
            recover,
            demo,
        } = overrides;
        self.recover = recover;
        set(&mut self.data, data);
        set(&mut self.listen, listen);
        set(&mut self.auth, auth);
        set(&mut self.agent.interval, interval);
        set(&mut self.demo_hosts, demo);
        self.nats = nats.or(self.nats.take());
        self.nkey = nkey.or(self.nkey.take());
        self.nats_server = nats_server.or(self.nats_server.take());
        self.host = host.or(self.host.take());
        self.broker_listen = broker_listen.or(self.broker_listen);
        self.wire.ca = ca.or(self.wire.ca.take());
        self.tls.certificate = tls_cert.or(self.tls.certificate.take());
        self.tls.key = tls_key.or(self.tls.key.take());
        self.tls.plaintext |= plaintext;
        self.admission.keys = admission_keys.or(self.admission.keys.take());
        self.admission.approve |= approve;
        self.sample_this_host &= !no_agent;
    }

    /// The settings file that says the same.
    ///
    /// # Errors
    /// When a value cannot be written as TOML, such as a path that is not Unicode.
    pub fn to_toml(&self) -> anyhow::Result<String> {
        Ok(format!("{HEADER}{}", toml::to_string_pretty(self)?))
    }
}

/// The settings file that counts: the one that was named, else the platform's, if it is there.
pub fn settings_file(overrides: &Overrides) -> Option<PathBuf> {
    let platforms =
        || dirs::config_dir().map(|folder| folder.join("fleetps.toml")).filter(|path| path.exists());
    overrides.config.clone().or_else(platforms)
}

fn set<T>(value: &mut T, override_value: Option<T>) {
    if let Some(new) = override_value {
        *value = new;
    }
}

#[cfg(test)]
mod tests {
    use fleetps_nats::units::{parse_bytes, parse_duration};

    use super::*;

    #[test]
    fn what_is_printed_is_read_again_and_says_the_same() {
        let config = Config { demo_hosts: 7, host: Some("web-01".parse().unwrap()), ..Config::default() };
        let text = config.to_toml().unwrap();
        let read: Config = toml::from_str(&text).unwrap();
        assert_eq!(read.to_toml().unwrap(), text);
    }

    #[test]
    fn an_unknown_key_and_a_bad_value_are_named() {
        let unknown = toml::from_str::<Config>("lisen = \"127.0.0.1:1\"").unwrap_err().to_string();
        assert!(unknown.contains("lisen") && unknown.contains("listen"), "{unknown}");
        let bad = toml::from_str::<Config>("[agent]\ninterval = \"soon\"").unwrap_err().to_string();
        assert!(bad.contains("soon") && bad.contains("10s"), "{bad}");
    }

    #[test]
    fn absurd_values_of_every_setting_never_start_silently() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleetps.toml");
        let refused = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let refusal = Config::load(Overrides { config: Some(path.clone()), ..Overrides::default() });
            format!("{:#}", refusal.map(|_| ()).expect_err(text))
        };
        let all = Config { demo_hosts: 7, ..Config::default() };
        let all: toml::Table = toml::from_str(&all.to_toml().unwrap()).unwrap();
        let mut tried = 0;
        for (section, key, value) in leaves(&all) {
            // Partition 0 and no simulated host are what is usual; what is a word, a path or a list is read as such.
            let absurd: &[&str] = match &value {
                toml::Value::Integer(_) => &["-1", "9223372036854775807", "1.5", "\"1\""],
                toml::Value::String(text) if parse_duration(text).is_ok() || parse_bytes(text).is_ok() => &[
                    "\"0\"",
                    "\"0s\"",
                    "\"1ns\"",
                    "\"10000000d\"",
                    "\"16 EiB\"",
                    "\"1 B\"",
                    "0",
                    "-1",
                    "\"\"",
                ],
                _ => &["0", "-1", "1.5"],
            };
            for value in absurd {
                let refusal = refused(&format!("{section}{key} = {value}\n"));
                assert!(refusal.contains(&key), "{section}{key} = {value}: {refusal}");
                tried += 1;
            }
        }
        assert!(tried > 100, "{tried}");
        for (text, meant) in [
            ("lisen = 1", "listen"),
            ("[history]\nseal_row = 1", "seal_rows"),
            ("[sign_in]\nidle_limits = 1", "idle_limit"),
        ] {
            assert!(refused(text).contains(&format!("did you mean {meant}?")), "{}", refused(text));
        }
        let demo = Config::load(Overrides { demo: Some(10_000_000), ..Overrides::default() });
        assert!(demo.unwrap_err().to_string().contains("demo_hosts"));
    }

    /// Every setting that is no table: the head of its section, its name, its value.
    fn leaves(table: &toml::Table) -> Vec<(String, String, toml::Value)> {
        let mut leaves = Vec::new();
        for (key, value) in table {
            match value {
                toml::Value::Table(inner) => leaves.extend(
                    leaves_of(inner).into_iter().map(|(inner, value)| (format!("[{key}]\n"), inner, value)),
                ),
                value => leaves.push((String::new(), key.clone(), value.clone())),
            }
        }
        leaves
    }

    fn leaves_of(table: &toml::Table) -> Vec<(String, toml::Value)> {
        table.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    #[test]
    fn without_a_sign_in_pages_are_not_served_to_other_machines() {
        for (listen, is_served) in [("0.0.0.0:8080", false), ("192.0.2.1:80", false), ("[::1]:8080", true)] {
            let (listen, auth) = (Some(listen.parse().unwrap()), Some(Auth::Off));
            let loaded = Config::load(Overrides { listen, auth, ..Overrides::default() });
            assert_eq!(loaded.is_ok(), is_served, "{listen:?}");
            if let Err(refusal) = loaded {
                assert!(refusal.to_string().contains("Leave out --auth off"), "{refusal}");
            }
        }
    }
}
