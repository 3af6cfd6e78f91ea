//! Brings the hosts and the history of systems 001 and 002 into fleetps, from the databases that they kept.
//!
//! Hosts get a record as if they had posted while a window was open, so their agents go on without one; those of 002 with what
//! they registered and their settings. Snapshots become the same as if they had been posted, with their own times.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    KeyHash, LegacyHost, System,
    intake::State,
    making::{Making, Post, cut},
    registry::names,
    s002::Machine,
    sqlite::{OldDatabase, OldHost, OldProcess, OldSnapshot, Registered, SqliteError},
    time::read_time,
};
use async_nats::{
    Client,
    jetstream::{self, stream::DirectGetErrorKind},
};
use fleetps_agent::sample::scrubbed_line;
use fleetps_ingestor::import::{self, ImportError, ImportSource};
use fleetps_nats::{
    HostName, Snapshot,
    agent_settings::AgentSettingsBucket,
    bucket::{Bucket, BucketError, Entry},
    hosts::{self, HostRecord, LegacyAgent},
    now_us,
    snapshot::{FilesystemSample, HostInfo, HostSample, Process},
    stream, subject,
};

/// A snapshot that is said to be of later than this from now is not believed: clocks are off by seconds.
const AHEAD_US: i64 = 24 * 3_600_000_000;

/// What is imported.
#[derive(Debug, Clone)]
pub struct Import {
    /// The database.
    pub file: PathBuf,
    /// The folder of the history.
    pub history: PathBuf,
    /// What is older goes with the next upkeep, and is left out.
    pub keep: Duration,
    /// Groups of hosts that are new.
    pub groups: BTreeSet<String>,
    /// Whether snapshots keep their command lines, scrubbed.
    pub command_lines: bool,
}

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The system whose database it is, as in `001`.
    pub system: &'static str,
    /// Hosts that were let in.
    pub new_hosts: Vec<String>,
    /// Machines of which nothing could be imported: each name for them is taken.
    pub without_name: Vec<String>,
    /// Snapshots that were added.
    pub snapshots: u64,
    /// Snapshots that the history had.
    pub known: u64,
    /// Snapshots that are too old to be kept.
    pub too_old: u64,
    /// Snapshots with a time that is more than a day ahead, or of no machine.
    pub unusable: u64,
}

/// An import failed; what had arrived stays, and another goes on behind it.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The database cannot be read.
    #[error(transparent)]
    Database(#[from] SqliteError),
    /// The broker's records of hosts cannot be used.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// The stream of snapshots cannot be asked which names are in use.
    #[error("the broker does not say which host names are in use")]
    Stream(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The history cannot be written.
    #[error(transparent)]
    History(#[from] ImportError),
    /// A part of it panicked.
    #[error("the import ended unexpectedly; please report this")]
    Panicked,
}

impl Import {
    /// Does it: lets hosts in by `client`, and writes the history.
    ///
    /// # Errors
    /// When the database, the broker's records or the history cannot be used.
    pub async fn run(self, client: &Client) -> Result<Report, Failed> {
        let file = self.file.clone();
        let (system, hosts) = blocking(move || {
            let database = OldDatabase::open(&file)?;
            Ok((database.system(), database.hosts()?))
        })
        .await?;
        let mut report = Report { system: system.number(), ..Report::default() };
        let known = self.admit(client, system, hosts, &mut report).await?;
        blocking(move || self.import(&known, report)).await
    }

    /// Finds or makes the records of all hosts, by their numbers in the database.
    async fn admit(
        &self,
        client: &Client,
        system: System,
        old: Vec<OldHost>,
        report: &mut Report,
    ) -> Result<HashMap<i64, LegacyHost>, Failed> {
        let bucket = hosts::open(client).await?;
        let settings = AgentSettingsBucket::open(client).await?;
        let mut records: HashMap<String, HostRecord> =
            bucket.all().await?.into_iter().map(|(name, Entry { value, .. })| (name, value)).collect();
        let mut known = HashMap::new();
        for host in old {
            let agent = agent_of(system, &host);
            let found = find(&records, &agent);
            let is_new = found.is_none();
            let admitted = match found {
                Some(found) => Some(found),
                None => self.make(client, &bucket, &mut records, system, &host, agent).await?,
            };
            let Some(admitted) = admitted else {
                report.without_name.push(host.name.clone());
                continue;
            };
            if is_new {
                report.new_hosts.push(admitted.host.to_string());
                set_asked(&settings, &admitted.host, &host).await?;
            }
            known.insert(host.id, admitted);
        }
        Ok(known)
    }

    /// Makes the record of a new host under the first name that is free and looks like no other.
    async fn make(
        &self,
        client: &Client,
        bucket: &Bucket<HostRecord>,
        records: &mut HashMap<String, HostRecord>,
        system: System,
        host: &OldHost,
        agent: LegacyAgent,
    ) -> Result<Option<LegacyHost>, Failed> {
        let looks: BTreeSet<String> =
            records.keys().filter_map(|name| Some(name.parse::<HostName>().ok()?.look())).collect();
        let record = HostRecord::of_legacy(agent, self.groups.clone());
        let own = HostName::from_os_name(&host.name);
        for name in names(system, own.as_str()).filter(|name| name.is_plain()) {
            if looks.contains(&name.look())
                || has_sent(client, &name).await?
                || !bucket.create(name.as_str(), &record).await?
            {
                continue;
            }
            records.insert(name.to_string(), record.clone());
            return Ok(Some(LegacyHost { host: name, record: Arc::new(record) }));
        }
        Ok(None)
    }

    /// Brings the snapshots of `known` hosts into the history.
    fn import(self, known: &HashMap<i64, LegacyHost>, mut report: Report) -> Result<Report, Failed> {
        let database = OldDatabase::open(&self.file)?;
        let Some((fingerprint, first_us)) = database.origin()? else { return Ok(report) };
        let source = ImportSource { fingerprint, begun_s: first_us.div_euclid(1_000_000) };
        let mut import = import::Import::begin(&self.history, source)?;
        let stored = i64::try_from(import.stored_sequence()).unwrap_or(i64::MAX);
        let oldest_us = now_us().saturating_sub(i64::try_from(self.keep.as_micros()).unwrap_or(i64::MAX));
        let newest_us = now_us().saturating_add(AHEAD_US);
        let mut translator = Translator::new(database.system(), &self.file, self.command_lines);
        database.each_snapshot(0, |old| {
            match known.get(&old.host_id) {
                _ if old.id <= stored => report.known += 1,
                Some(_) if old.captured_at_us < oldest_us => report.too_old += 1,
                Some(host) if old.captured_at_us <= newest_us && old.id > 0 => {
                    let (sequence, name) = (old.id.unsigned_abs(), host.host.clone());
                    import.take(sequence, &name, &translator.snapshot(host, old))?;
                    report.snapshots += 1;
                }
                _ => report.unusable += 1,
            }
            Ok::<_, Failed>(true)
        })?;
        import.finish()?;
        Ok(report)
    }
}

/// Whether the stream has something of `host`: one that the broker's own configuration admits has no record.
async fn has_sent(client: &Client, host: &HostName) -> Result<bool, Failed> {
    let stream = match jetstream::new(client.clone()).get_stream(stream::SNAPSHOTS).await {
        Ok(stream) => stream,
        // No server has begun yet.
        Err(error) if stream::is_missing(&error) => return Ok(false),
        Err(error) => return Err(Failed::Stream(Box::new(error))),
    };
    match stream.direct_get_last_for_subject(subject::snapshot(host)).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(false),
        Err(error) => Err(Failed::Stream(Box::new(error))),
    }
}

/// The host that `agent` posts as, if it is known.
fn find(records: &HashMap<String, HostRecord>, agent: &LegacyAgent) -> Option<LegacyHost> {
    let is_its = |record: &HostRecord| record.legacy.as_ref().is_some_and(|known| known.is_same(agent));
    let (name, record) = records.iter().filter(|(_, record)| is_its(record)).min_by_key(|(name, _)| *name)?;
    Some(LegacyHost { host: name.parse().ok()?, record: Arc::new(record.clone()) })
}

fn agent_of(system: System, host: &OldHost) -> LegacyAgent {
    let key = host.key.as_ref().map(|key| KeyHash::of(key.as_bytes()));
    let verified = key.as_ref().is_some_and(|key| !key.is_known());
    let machine = host.registered.as_ref().map(|registered| machine_of(host, registered).kept());
    let name = host.registered.as_ref().map_or(&host.name, |registered| &registered.machine_id);
    LegacyAgent {
        system: system.number().to_owned(),
        key: key.map(|key| key.0),
        name: name.clone(),
        verified,
        first_from: None,
        machine,
    }
}

fn machine_of(host: &OldHost, registered: &Registered) -> Machine {
    let text = |text: &Option<String>| text.clone().map(cut).unwrap_or_default();
    let bytes = |bytes: Option<u64>| bytes.and_then(|bytes| i64::try_from(bytes).ok());
    Machine {
        hostname: cut(host.name.clone()),
        os_name: text(&registered.os_name),
        architecture: text(&registered.architecture),
        processor: text(&registered.processor),
        cpu_cores: registered.cpu_cores.map(i64::from),
        cpu_threads: registered.cpu_threads.map(i64::from),
        total_ram: bytes(registered.total_ram),
        total_storage: bytes(registered.total_storage),
        created_at_us: registered.created_at.as_deref().and_then(read_time).unwrap_or_else(now_us),
    }
}

/// Takes over the settings of an agent of 002.
async fn set_asked(settings: &AgentSettingsBucket, host: &HostName, old: &OldHost) -> Result<(), Failed> {
    let Some(registered) = &old.registered else { return Ok(()) };
    let (interval_s, enabled) = (registered.polling_interval, registered.enabled);
    let change = |asked: &mut fleetps_nats::agent_settings::AskedOfAgent| {
        asked.interval_ms =
            interval_s.filter(|seconds| (1..=3600).contains(seconds)).map(|seconds| seconds * 1000);
        asked.enabled = enabled;
    };
    settings.change(host, change).await?;
    Ok(())
}

/// Makes snapshots of what a database has, one after the other.
struct Translator {
    system: System,
    run_id: String,
    command_lines: bool,
    hosts: HashMap<HostName, (State, Option<Snapshot>)>,
}

impl Translator {
    fn new(system: System, file: &Path, command_lines: bool) -> Self {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let run_id = cut(format!("imported from {name}"));
        Self { system, run_id, command_lines, hosts: HashMap::new() }
    }

    fn snapshot(&mut self, known: &LegacyHost, old: OldSnapshot) -> Snapshot {
        let (state, before) = self.hosts.entry(known.host.clone()).or_default();
        let captured_at_us = old.captured_at_us;
        let making = Making {
            system: self.system,
            known: known.clone(),
            captured_at_us,
            interval_ms: state.interval_ms(self.system, captured_at_us),
            run_id: self.run_id.clone(),
            sequence: old.id.unsigned_abs(),
            post: post_of(known, old, self.command_lines),
        };
        let snapshot = making.snapshot(before.as_ref());
        state.took(captured_at_us);
        *before = Some(snapshot.clone());
        snapshot
    }
}

fn post_of(known: &LegacyHost, old: OldSnapshot, keeps_command_lines: bool) -> Post {
    let mut post = Post {
        os_host_name: host_name(known),
        captured_at_us: Some(old.captured_at_us),
        left_out: old.left_out,
        info: HostInfo {
            os: old.os.map(cut),
            cpu_model: old.processor.map(cut),
            architecture: old.architecture.map(cut),
            cores: old.cores,
            threads: old.threads,
            frequency_mhz: old.frequency_mhz,
            ..HostInfo::default()
        },
        ..Post::default()
    };
    if let Some([memory, memory_used, memory_available, total, used, available]) = old.sizes {
        post.info.memory_bytes = Some(memory);
        post.host = HostSample {
            memory_total_bytes: Some(memory),
            memory_used_bytes: Some(memory_used),
            memory_available_bytes: Some(memory_available),
            ..HostSample::default()
        };
        post.filesystems.push(FilesystemSample {
            mount: "/".to_owned(),
            total_bytes: Some(total),
            used_bytes: Some(used),
            available_bytes: Some(available),
            ..FilesystemSample::default()
        });
    }
    for process in old.processes {
        let line = process.command_line.as_deref().filter(|_| keeps_command_lines).and_then(scrubbed_line);
        post.texts_shortened += u32::from(line.as_ref().is_some_and(|(_, is_shortened)| *is_shortened));
        post.processes.push(process_of(process, line.map(|(line, _)| line)));
    }
    post
}

fn process_of(old: OldProcess, command_line: Option<String>) -> Process {
    Process {
        pid: old.pid,
        parent_pid: Some(old.parent_pid).filter(|parent| *parent > 0),
        name: cut(old.name),
        state: '?',
        cpu_percent: old.cpu_percent,
        resident_bytes: old.resident_bytes,
        command_line,
        ..Process::default()
    }
}

/// What the machine calls itself.
fn host_name(known: &LegacyHost) -> String {
    let agent = known.agent();
    let registered = Some(Machine::of(known).hostname).filter(|name| !name.is_empty());
    cut(registered.or(agent.map(|agent| agent.name.clone())).unwrap_or_default())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failed> + Send + 'static,
) -> Result<T, Failed> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Failed::Panicked)?
}
