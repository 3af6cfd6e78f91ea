//! Which host a post is of: by its key and the name that it says, never by the name alone.
//!
//! A host of an older system is a record in the bucket of hosts with a [`LegacyAgent`]. A post is that host's when system, name
//! and key are those of the record. Where each host has a key of its own, that is as good as the key of an agent of fleetps.
//! Where several have one in common, or none, they are **unverified**: each can speak for another of them, but for no host
//! besides, because (system, key, name) is a name space of its own. In it the host gets the name that it says if nobody has
//! that, and else one with a suffix.
//!
//! An agent of fleetps takes a name from an older one by an enrolment token. Older posts are then answered as before, and not
//! stored ([`HostRecord::is_superseded`]).

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::Client;
use fleetps_nats::{
    HostName,
    audit::Outcome,
    bucket::{Bucket, BucketError, Entry, WatchedBucket},
    host::MAX_HOST_BYTES,
    hosts::{self, Admission, HostRecord, LegacyAgent},
};
use parking_lot::{Mutex, RwLock};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{
    KeyHash, System,
    index::{Index, LegacyHost},
    windows::{Window, Windows},
};
use crate::{
    audit_log::AuditLog,
    auth::{Grant, Person},
    broker::{self, Away},
    counts::Counts,
    live::Fleet,
};

/// Longest name that a host of an older system may have, in characters: what system 001 takes.
pub(super) const MAX_NAME_CHARACTERS: usize = 255;
/// How many names are tried for a new host whose own is taken.
const MAX_SUFFIXES: usize = 30;
/// The longest suffix, in bytes: `-000-30`.
const MAX_SUFFIX_BYTES: usize = 8;
/// New hosts at once, and then one each time this long: a rollout is not slowed down, and 10,000 invented names in a minute
/// are some 350 writes to the broker's disk.
const NEW_AT_ONCE: f64 = 50.0;
const NEW_EVERY: Duration = Duration::from_millis(200);

/// How often a change of a host's address is put on record: a machine behind two addresses changes with every post.
const ADDRESS_EVERY: Duration = Duration::from_secs(60);

/// Who posts.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    /// The older system.
    pub system: System,
    /// The hash of its key; absent where the system has none.
    pub key: Option<KeyHash>,
    /// What it calls itself: host name, machine id or agent id.
    pub name: String,
    /// The host name that it would have, where the name is none.
    pub host_name: Option<String>,
    /// Its address.
    pub from: IpAddr,
}

/// Why a post is of no host.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotAdmitted {
    /// Another key belongs to this name.
    #[error("another key belongs to this name")]
    OtherKey,
    /// The key belongs to a host of another name.
    #[error("the key belongs to a host of another name")]
    OtherName,
    /// The host was revoked.
    #[error("the host was revoked")]
    Revoked,
    /// The host is unknown, and no window is open.
    #[error("the host is unknown; on the server, `fleetps legacy allow {0}` lets new hosts in")]
    Closed(System),
    /// The key is in public copies of the older system.
    #[error(
        "everybody has this key; on the server, `fleetps legacy allow {0} --accept-known-keys` takes it all the same"
    )]
    KnownKey(System),
    /// The name is empty or too long.
    #[error("the name is empty or too long")]
    BadName,
    /// Every name for it is taken.
    #[error("the name and those with a suffix are taken")]
    NoName,
    /// Too many new hosts came within this time.
    #[error("too many new hosts came at once")]
    TooFast,
    /// The broker does not answer.
    #[error("the broker's buckets cannot be used")]
    Bucket(#[from] BucketError),
    /// The broker is away, or answers too slowly.
    #[error(transparent)]
    Away(#[from] Away),
}

impl NotAdmitted {
    /// A short name to count by.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::OtherKey => "other-key",
            Self::OtherName => "other-name",
            Self::Revoked => "revoked",
            Self::Closed(_) => "unknown-host",
            Self::KnownKey(_) => "known-key",
            Self::BadName => "bad-name",
            Self::NoName => "no-name",
            Self::TooFast => "too-fast",
            Self::Bucket(_) => "bucket",
            Self::Away(_) => "unavailable",
        }
    }
}

/// The hosts of older systems.
pub(super) struct Registry {
    client: Client,
    hosts: Bucket<HostRecord>,
    windows: Windows,
    fleet: Arc<Fleet>,
    audit_log: AuditLog,
    counts: Counts,
    index: RwLock<Index>,
    /// Held while a new host is let in, so that two posts of it make one.
    enrolling: tokio::sync::Mutex<()>,
    pace: Mutex<Pace>,
    /// The last addresses of hosts without keys, and when a change of them was last put on record.
    addresses: Mutex<HashMap<HostName, (IpAddr, Option<Instant>)>>,
}

impl Registry {
    /// Opens the buckets, and follows them until `shutdown`.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub(super) async fn open(
        client: &Client,
        fleet: Arc<Fleet>,
        audit_log: AuditLog,
        counts: Counts,
        shutdown: CancellationToken,
    ) -> Result<Arc<Self>, BucketError> {
        let hosts = hosts::open(client).await?;
        let windows = Windows::open(client).await?;
        let records = hosts.follow().await?;
        let registry = Arc::new(Self {
            client: client.clone(),
            hosts,
            windows,
            fleet,
            audit_log,
            counts,
            index: RwLock::new(Index::of(&records)),
            enrolling: tokio::sync::Mutex::default(),
            pace: Mutex::new(Pace { left: NEW_AT_ONCE, at: Instant::now() }),
            addresses: Mutex::default(),
        });
        let following = Arc::clone(&registry).follow(records);
        tokio::spawn(async move { shutdown.run_until_cancelled(following).await });
        Ok(registry)
    }

    async fn follow(self: Arc<Self>, mut records: WatchedBucket<HostRecord>) {
        loop {
            records.changed().await;
            let copy = records.clone();
            match tokio::task::spawn_blocking(move || Index::of(&copy)).await {
                Ok(index) => *self.index.write() = index,
                Err(error) => return tracing::error!(%error, "cannot follow the hosts any longer"),
            }
        }
    }

    /// Whether a post with this key may be of some host: of a known one, or of a new one while a window is open. Known before
    /// the body is read.
    pub(super) fn may_be_known(&self, system: System, key: &KeyHash) -> bool {
        let is_key_of_a_host = || self.index.read().one_with(system, Some(key)).is_some();
        let opens = |window: Window| match (system, window.shared_key) {
            // One key for the whole fleet: no other is a key at all.
            (System::S000, shared) => {
                shared.as_ref() == Some(key) || (window.accepts_known_keys && key.is_known())
            }
            _ => true,
        };
        is_key_of_a_host() || self.windows.of(system).is_some_and(opens)
    }

    /// The host of `sender`, if it is known.
    ///
    /// # Errors
    /// When it is revoked, or its name or key belongs to another.
    pub(super) fn find(&self, sender: &Sender) -> Result<Option<LegacyHost>, NotAdmitted> {
        let index = self.index.read();
        let named = index.named(sender.system, &sender.name);
        let own = named.iter().find(|known| known.key() == sender.key);
        if let Some(known) = own {
            return match known.record.admission {
                Admission::Revoked => Err(NotAdmitted::Revoked),
                Admission::Admitted | Admission::Waiting => Ok(Some(known.clone())),
            };
        }
        if self.is_shared(&index, sender) {
            return Ok(None);
        }
        if named.iter().any(|known| known.agent().is_some_and(|agent| agent.verified)) {
            return Err(NotAdmitted::OtherKey);
        }
        match index.one_with(sender.system, sender.key.as_ref()).is_some() {
            true => Err(NotAdmitted::OtherName),
            false => Ok(None),
        }
    }

    /// Whether several hosts have the sender's key in common, or none.
    fn is_shared(&self, index: &Index, sender: &Sender) -> bool {
        let Some(key) = &sender.key else { return true };
        let is_of_unverified = || {
            let hosts = index.one_with(sender.system, sender.key.as_ref());
            hosts.is_some_and(|host| !host.agent().is_some_and(|agent| agent.verified))
        };
        key.is_known() || self.windows.is_shared(sender.system, key) || is_of_unverified()
    }

    /// The host of `sender`, which is let in where it is new and a window is open.
    ///
    /// # Errors
    /// When it is of no host.
    pub(super) async fn admit(
        &self,
        sender: &Sender,
        machine: Option<Value>,
    ) -> Result<LegacyHost, NotAdmitted> {
        if let Some(known) = self.find(sender)? {
            self.note_address(&known, sender);
            return Ok(known);
        }
        let length = sender.name.chars().count();
        if length == 0 || length > MAX_NAME_CHARACTERS {
            return Err(NotAdmitted::BadName);
        }
        let window = self.windows.of(sender.system).ok_or(NotAdmitted::Closed(sender.system))?;
        if sender.key.as_ref().is_some_and(KeyHash::is_known) && !window.accepts_known_keys {
            return Err(NotAdmitted::KnownKey(sender.system));
        }
        if !self.pace.lock().may(Instant::now()) {
            return Err(NotAdmitted::TooFast);
        }
        broker::ask(&self.client, self.admit_new(sender, machine)).await?
    }

    async fn admit_new(&self, sender: &Sender, machine: Option<Value>) -> Result<LegacyHost, NotAdmitted> {
        let _alone = self.enrolling.lock().await;
        // Another post may have let it in meanwhile.
        if let Some(known) = self.find(sender)? {
            return Ok(known);
        }
        let is_shared = self.is_shared(&self.index.read(), sender);
        let window = self.windows.use_up(sender.system).await?.ok_or(NotAdmitted::Closed(sender.system))?;
        let known = self.enrol(sender, !is_shared, window, machine).await?;
        self.index.write().add(known.clone());
        self.note(sender, "legacy.enrol", Some(&known.host), format!("as {:?}", sender.name));
        Ok(known)
    }

    /// Makes the record of a new host under the first name that is free.
    async fn enrol(
        &self,
        sender: &Sender,
        verified: bool,
        window: Window,
        machine: Option<Value>,
    ) -> Result<LegacyHost, NotAdmitted> {
        let agent = LegacyAgent {
            system: sender.system.number().to_owned(),
            key: sender.key.clone().map(|key| key.0),
            name: sender.name.clone(),
            verified,
            first_from: Some(sender.from),
            machine,
        };
        for host in names(sender.system, &host_name(sender)) {
            if let Some(record) = self.take_name(&host, &agent, &window).await? {
                return Ok(LegacyHost { host, record: Arc::new(record) });
            }
        }
        Err(NotAdmitted::NoName)
    }

    /// The record of `agent` under the name `host`; `None` where another has that name or one that looks like it.
    async fn take_name(
        &self,
        host: &HostName,
        agent: &LegacyAgent,
        window: &Window,
    ) -> Result<Option<HostRecord>, NotAdmitted> {
        let is_like_another = self.index.read().looks_like(host);
        if !host.is_plain() || is_like_another {
            return Ok(None);
        }
        let mut record = HostRecord::of_legacy(agent.clone(), window.groups.clone());
        match self.hosts.get(host.as_str()).await? {
            // A host that the broker's own configuration admits has no record.
            None if self.fleet.summary(host).is_some() => Ok(None),
            None => Ok(self.hosts.create(host.as_str(), &record).await?.then_some(record)),
            // Another server let it in in this moment.
            Some(Entry { value, .. }) if value.legacy.as_ref().is_some_and(|other| other.is_same(agent)) => {
                Ok(Some(value))
            }
            // An administrator has put it into groups before it came: groups that only a key of its own can claim.
            Some(Entry { value, revision })
                if agent.verified
                    && value.admission == Admission::Admitted
                    && !value.has_key()
                    && value.legacy.is_none()
                    && self.fleet.summary(host).is_none() =>
            {
                record.groups.extend(value.groups);
                Ok(self.hosts.update(host.as_str(), &record, revision).await?.then_some(record))
            }
            Some(_) => Ok(None),
        }
    }

    /// Keeps on record that a host without a key speaks from another address.
    fn note_address(&self, known: &LegacyHost, sender: &Sender) {
        if sender.key.is_some() {
            return;
        }
        let first = known.agent().and_then(|agent| agent.first_from);
        let mut addresses = self.addresses.lock();
        let last = addresses.entry(known.host.clone()).or_insert((first.unwrap_or(sender.from), None));
        let before = std::mem::replace(&mut last.0, sender.from);
        if before != sender.from && last.1.is_none_or(|noted| noted.elapsed() >= ADDRESS_EVERY) {
            last.1 = Some(Instant::now());
            self.note(sender, "legacy.address", Some(&known.host), format!("{before} → {}", sender.from));
        }
    }

    /// Audits something that a sender did.
    pub(super) fn note(&self, sender: &Sender, action: &str, host: Option<&HostName>, what: String) {
        let person = agent_person(sender.system, sender.from);
        self.audit_log.note(&person, action, host.cloned(), what, Outcome::Done);
    }

    /// Changes what is kept of a host's machine.
    ///
    /// # Errors
    /// When the broker does not answer, or others change it all the time.
    pub(super) async fn set_machine(&self, known: &LegacyHost, machine: Value) -> Result<(), BucketError> {
        for _ in 0..3 {
            let Some(Entry { value, revision }) = self.hosts.get(known.host.as_str()).await? else { break };
            let Some(agent) = value.legacy.clone() else { break };
            let agent = LegacyAgent { machine: Some(machine.clone()), ..agent };
            let record = HostRecord { legacy: Some(agent), ..value };
            if self.hosts.update(known.host.as_str(), &record, revision).await? {
                self.index.write().add(LegacyHost { host: known.host.clone(), record: Arc::new(record) });
                break;
            }
        }
        Ok(())
    }

    /// Forgets a host.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub(super) async fn forget(&self, host: &HostName) -> Result<(), BucketError> {
        hosts::forget(&self.hosts, host).await?;
        self.index.write().remove(host);
        Ok(())
    }

    /// The hosts of `system` that call themselves `name`.
    pub(super) fn named(&self, system: System, name: &str) -> Vec<LegacyHost> {
        self.index.read().named(system, name).to_vec()
    }

    /// The hosts of all older systems that call themselves `name`.
    pub(super) fn of_any_system(&self, name: &str) -> Vec<LegacyHost> {
        let index = self.index.read();
        System::ALL.iter().flat_map(|system| index.named(*system, name).to_vec()).collect()
    }

    /// Every host of `system`, by name.
    pub(super) fn all(&self, system: System) -> Vec<LegacyHost> {
        let index = self.index.read();
        let mut all: Vec<LegacyHost> = index.of_system(system).cloned().collect();
        all.sort_by(|a, b| a.host.cmp(&b.host));
        all
    }

    /// Counts a post that was not stored because an agent of fleetps has taken its place.
    pub(super) fn count_superseded(&self) {
        self.counts.count("superseded");
    }
}

/// Who an agent of an older system is in the audit.
pub(super) fn agent_person(system: System, from: IpAddr) -> Person {
    let grants: Vec<Grant> = Vec::new();
    Person { name: format!("agent of system {system}"), grants, session: None, from, may_command: false }
}

/// The name in the fleet that a new host has first choice of.
fn host_name(sender: &Sender) -> String {
    let wanted = sender.host_name.as_ref().unwrap_or(&sender.name);
    HostName::from_os_name(wanted).as_str().to_owned()
}

/// The names that a new host can have, its own first.
pub(super) fn names(system: System, name: &str) -> impl Iterator<Item = HostName> {
    let short = &name[..name.floor_char_boundary(MAX_HOST_BYTES - MAX_SUFFIX_BYTES)];
    let short = short.trim_end_matches('.').to_owned();
    let with_suffix = move |number: usize| match number {
        1 => format!("{short}-{system}"),
        number => format!("{short}-{system}-{number}"),
    };
    let own = name.parse().ok();
    own.into_iter().chain((1..=MAX_SUFFIXES).filter_map(move |number| with_suffix(number).parse().ok()))
}

/// How fast new hosts may come.
#[derive(Debug)]
struct Pace {
    left: f64,
    at: Instant,
}

impl Pace {
    fn may(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64() / NEW_EVERY.as_secs_f64();
        (self.left, self.at) = ((self.left + passed).min(NEW_AT_ONCE), now);
        let is_allowed = self.left >= 1.0;
        if is_allowed {
            self.left -= 1.0;
        }
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_taken_gets_a_suffix_and_stays_a_host_name() {
        let names: Vec<String> =
            names(System::S001, "db.example.com").take(3).map(|name| name.to_string()).collect();
        assert_eq!(names, ["db.example.com", "db.example.com-001", "db.example.com-001-2"]);
        let long = "x".repeat(MAX_HOST_BYTES);
        assert_eq!(super::names(System::S000, &long).count(), 1 + MAX_SUFFIXES);
    }

    #[test]
    fn invented_names_are_slowed_down() {
        let start = Instant::now();
        let mut pace = Pace { left: NEW_AT_ONCE, at: start };
        let in_a_minute =
            (0..10_000u64).filter(|number| pace.may(start + Duration::from_millis(number * 6))).count();
        assert!((300..=360).contains(&in_a_minute), "{in_a_minute}");
    }
}
