//! Rooms of settings whose parts only use them: pages, the managed broker, hosts of this process, backups.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use fleetps_nats::{bounds, settings::Flag, units};
use serde::{Deserialize, Serialize};

use ipnet::IpNet;

use crate::auth::{Auth, Grant};

/// Simulated hosts at most: ten times what a fleet of one server has.
const MAX_DEMO_HOSTS: usize = 100_000;
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

fleetps_nats::settings! {
    /// How pages are served.
    #[derive(Eq)]
    pub struct WebSettings in "" {
        /// Address where pages are served; port 0 takes a free one.
        #[flag(Flag::takes("listen", "ADDR"))]
        pub listen: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
        /// Loopback address where this machine reads metrics without signing in, as in 127.0.0.1:9464; without it, nowhere.
        #[flag(Flag::takes("metrics-listen", "ADDR"))]
        pub metrics_listen: Option<SocketAddr> = None;
        /// Whether users have to sign in: on or off; off lets everybody on this machine do everything.
        #[flag(Flag::takes("auth", "ON|OFF"))]
        pub auth: Auth = Auth::On;
    }
}

fleetps_nats::settings! {
    /// How long questions about the past may take.
    #[derive(Copy, Eq)]
    pub struct QuestionSettings in "questions" {
        /// A page about the past, or its JSON, is given up after this time. No page waits longer for its turn, either.
        // A hundred times what a page about one host takes; who waits longer has gone or asked again.
        #[serde(with = "units::duration")]
        pub page_within: Duration = Duration::from_secs(5),
            in bounds::duration(SECOND..=10 * MINUTE, "shorter refuses what a busy machine answers, and longer keeps others waiting");
        /// A CSV file about the past is given up after this time.
        #[serde(with = "units::duration")]
        pub export_within: Duration = MINUTE,
            in bounds::duration(SECOND..=60 * MINUTE, "shorter refuses what a busy machine answers, and longer keeps others waiting");
    }
}

fleetps_nats::settings! {
    /// The broker that fleetps runs where no other is named.
    #[derive(Eq)]
    pub struct ManagedBroker in "" {
        /// Address where agents on other machines reach the managed broker, as in 0.0.0.0:4222; without it, only this machine
        /// does.
        #[flag(Flag::takes("broker-listen", "ADDR"))]
        pub broker_listen: Option<SocketAddr> = None;
        /// The nats-server to run; without it, the one beside this program or on PATH, else one installed in the cache folder.
        #[flag(Flag::takes("nats-server", "PATH"))]
        pub nats_server: Option<PathBuf> = None;
    }
}

fleetps_nats::settings! {
    /// How what is asked of agents is signed.
    #[derive(Eq)]
    pub struct ControlSettings in "control" {
        /// File of the fleet's control key, for a broker set up by hand; without it, control.nk in the folder of the admission
        /// keys. Without either, nothing is asked of agents.
        #[flag(Flag::takes("control-key-file", "FILE"))]
        pub key_file: Option<PathBuf> = None;
        /// Whether a person must give a reason for a command to a host: optional or required. It goes to the audit.
        pub reason: Reason = Reason::Optional;
    }
}

/// Whether a command needs a reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Reason {
    /// It may have one.
    #[default]
    Optional,
    /// It is refused without one.
    Required,
}

impl ControlSettings {
    /// Whether a command needs a reason.
    pub(crate) fn needs_reason(&self) -> bool {
        self.reason == Reason::Required
    }
}

fleetps_nats::settings! {
    /// Which hosts this process samples.
    #[derive(Eq)]
    pub struct LocalHosts in "" {
        /// Whether this host is sampled.
        #[flag(Flag::clears("no-agent", "Do not sample this host"))]
        pub sample_this_host: bool = true;
        /// Hosts of a simulated fleet beside the real one.
        #[flag(Flag::takes("demo", "HOSTS"))]
        pub demo_hosts: usize = 0,
            in bounds::number(0..=MAX_DEMO_HOSTS, "a simulated host takes kilobytes of memory and its own processor time");
    }
}

fleetps_nats::settings! {
    /// When backups are taken, and where to.
    #[derive(Eq)]
    pub struct BackupSettings in "backup" {
        /// Folder that gets a folder for each backup; none is taken where this is left out. On another disk, best on
        /// another machine.
        pub to: Option<PathBuf> = None;
        /// A backup is taken when the newest is this old.
        #[serde(with = "units::duration")]
        pub every: Duration = DAY,
            in bounds::duration(MINUTE..=366 * DAY, "each reads the whole history, and one that is a year old mends little");
        /// Number of backups kept. Files that did not change are in the folder once.
        // A week of days: a loss that is noticed late can still be repaired.
        pub keep: usize = 7, in bounds::number(1..=1000, "none would be no backup, and each takes some room");
    }
}

/// Origins, names and networks in a list, at most: each request is compared with all of them.
const MAX_LISTED: usize = 100;
const LISTED: &str = "each request is compared with all of them";

fleetps_nats::settings! {
    /// The listener for agents and pages of older systems, which post and read JSON over HTTP (docs/legacy.md).
    #[derive(Eq)]
    pub struct LegacySettings in "legacy" {
        /// Address where agents and pages of older systems are answered, as in 127.0.0.1:8000; without it, nowhere.
        #[flag(Flag::takes("legacy-listen", "ADDR"))]
        pub listen: Option<SocketAddr> = None;
        /// What everybody who reaches that address may see, without a sign-in, as in viewer:legacy:no-command-lines; without
        /// it, nothing. An operator may also change settings of agents and queue actions.
        #[serde(with = "grant")]
        #[flag(Flag::takes("legacy-readers", "GRANT"))]
        pub readers: Option<Grant> = None;
        /// Origins of pages that may ask, as in http://localhost:5173; null is a page opened from a file.
        pub origins: Vec<String> = Vec::new(), in bounds::length(0..=MAX_LISTED, LISTED);
        /// Names by which agents and pages call this listener, besides addresses and localhost.
        pub names: Vec<String> = Vec::new(), in bounds::length(0..=MAX_LISTED, LISTED);
        /// Networks from which agents of system 002, which have no keys, may post.
        pub allowed_from: Vec<IpNet> = Vec::new(), in bounds::length(0..=MAX_LISTED, LISTED);
        /// Folder whose files are served there, such as the page of system 001.
        pub pages: Option<PathBuf> = None;
        /// Whether command lines are kept, with secrets replaced.
        pub command_lines: bool = true;
        /// Answer other machines there without TLS, as agents of older systems speak.
        #[flag(Flag::sets("legacy-plaintext"))]
        pub plaintext: bool = false;
    }
}

fleetps_nats::settings! {
    /// What channels of notifications may do on this machine and in its networks (docs/notifications.md). Channels are records
    /// of the broker, and cannot widen this.
    #[derive(Eq)]
    pub struct NotifySettings in "notify" {
        /// Where people reach this server, for links in messages, as in https://ps.example.com; without it, where it listens.
        pub address: Option<String> = None;
        /// Networks that webhooks may reach although they are not public, as in 10.0.0.0/8.
        pub networks: Vec<IpNet> = Vec::new(), in bounds::length(0..=MAX_LISTED, "each address of a receiver is compared with all of them");
        /// Programs that channels may run, by absolute path.
        pub programs: Vec<PathBuf> = Vec::new(), in bounds::length(0..=MAX_LISTED, "each is one that an administrator may run as fleetps");
    }
}

/// A grant as text, as people write it.
mod grant {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::auth::Grant;

    pub(super) fn serialize<S: Serializer>(grant: &Option<Grant>, serializer: S) -> Result<S::Ok, S::Error> {
        match grant {
            Some(grant) => serializer.collect_str(grant),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Grant>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}
