//! A managed server in a temporary folder, and ingestors that run in this process or in one of their own.

use std::{
    future::Future,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use async_nats::jetstream;
use duckdb::{Connection, Row, types::FromSql};
use fleetps_ingestor::{
    IngestError, IngestorSettings,
    catalog::{SegmentFolder, attach_sql},
    history::History,
    segment::SegmentName,
};
use fleetps_nats::{
    server::{ManagedServer, Part, ServerSettings},
    stream,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// No step of these tests takes a tenth of this on a slow machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The bound of the stream, far above what the tests publish.
const STREAM_BYTES: u64 = 256 << 20;

/// The units in which Linux counts, and segments keep, what processes use: samples made up of others would be cut down.
pub const TICK_MS: u64 = 10;
pub const PAGE_BYTES: u64 = 4096;
pub const SECTOR_BYTES: u64 = 512;

/// A server with its streams, in a folder of its own.
pub struct Fixture {
    pub server: Option<ManagedServer>,
    pub folder: tempfile::TempDir,
    /// The rows of a merged segment; merges divide where it is low.
    pub merge_rows: u64,
    pub merge_fresh_count: usize,
    pub seal_interval: Duration,
}

fn server_settings(folder: &Path) -> ServerSettings {
    ServerSettings {
        data: folder.to_owned(),
        program: None,
        public: None,
        simulator: true,
        max_file_store_bytes: 1 << 30,
    }
}

impl Fixture {
    pub async fn start() -> Self {
        // Shown for a test that fails, or with --nocapture.
        let _ = tracing_subscriber::fmt().with_test_writer().try_init();
        let folder = tempfile::tempdir().unwrap();
        let merge_rows = IngestorSettings::default().merge_rows;
        let mut fixture = Self {
            server: None,
            folder,
            merge_rows,
            merge_fresh_count: 5,
            seal_interval: Duration::from_millis(100),
        };
        fixture.start_server().await;
        stream::ensure(&fixture.jetstream().await, STREAM_BYTES as i64).await.unwrap();
        fixture
    }

    pub async fn start_server(&mut self) {
        self.server = Some(ManagedServer::start(server_settings(self.folder.path())).await.unwrap());
    }

    pub async fn stop_server(&mut self) {
        self.server.take().unwrap().stop().await;
    }

    pub fn server(&self) -> &ManagedServer {
        self.server.as_ref().unwrap()
    }

    pub async fn client(&self, part: Part) -> async_nats::Client {
        self.server().broker(part).connect("test").await.unwrap()
    }

    /// JetStream as simulated hosts see it: acknowledgements, and nothing else.
    pub async fn hosts(&self) -> jetstream::Context {
        let broker = self.server().broker(Part::Simulator);
        jetstream::new(broker.connect_later("test", "_INBOX_simulator").await.unwrap())
    }

    /// JetStream as the ingestor sees it.
    pub async fn jetstream(&self) -> jetstream::Context {
        jetstream::new(self.client(Part::Ingestor).await)
    }

    pub fn history(&self) -> PathBuf {
        self.folder.path().join("history")
    }

    /// Everything soon, so that tests see seals, merges and removals.
    pub fn settings(&self) -> IngestorSettings {
        IngestorSettings {
            history: self.history(),
            seal_interval: self.seal_interval,
            merge_fresh_count: self.merge_fresh_count,
            merge_rows: self.merge_rows,
            upkeep_interval: Duration::from_millis(20),
            unlink_delay: Duration::from_secs(1),
            quarantine_after: Duration::from_millis(100),
            // Some tests begin with a history that is years old.
            keep_hours: Duration::from_secs(10_000 * 86_400),
            max_stream_bytes: STREAM_BYTES,
            ..IngestorSettings::default()
        }
    }

    /// Runs an ingestor in this process.
    pub async fn ingestor(&self, settings: IngestorSettings) -> Ingestor {
        let (client, cancel) = (self.client(Part::Ingestor).await, CancellationToken::new());
        let running = tokio::spawn(fleetps_ingestor::run(client, settings, cancel.clone()));
        Ingestor { cancel, running }
    }

    /// Runs an ingestor in a process of its own.
    pub fn process(&self) -> Child {
        self.command().spawn().unwrap()
    }

    pub fn command(&self) -> Command {
        let settings = IngestorSettings { history: PathBuf::new(), ..self.settings() };
        let config = self.folder.path().join("ingestor.toml");
        std::fs::write(&config, format!("[history]\n{}", toml::to_string(&settings).unwrap())).unwrap();
        let broker = self.server().broker(Part::Ingestor);
        let mut command = Command::new(env!("CARGO_BIN_EXE_fleetps-ingestor"));
        command
            .args(["--nats", &broker.url, "--nkey"])
            .arg(broker.nkey_file.unwrap())
            .arg("--data")
            .arg(self.folder.path())
            .arg("--config")
            .arg(config)
            .env("FLEETPS_LOG", "warn")
            .stdin(Stdio::null());
        command
    }

    /// The one value that `sql` finds over the history.
    pub fn value<T: FromSql>(&self, sql: &str) -> T {
        value(&self.history(), sql)
    }

    /// Waits until `sql` finds `expected`.
    pub async fn until_count(&self, sql: &str, expected: u64) {
        let (mut found, mut asked) = (None, Vec::new());
        let waiting = async {
            loop {
                // Until the first segment, there may be no folder. Segments never change, so the same ones say the same.
                let names = segment_names(&self.history()).unwrap_or_default();
                if names != asked {
                    let database = database(&self.history(), &names);
                    found = database.and_then(|database| database.query_row(sql, [], |row| row.get(0)).ok());
                    if found == Some(expected) {
                        return;
                    }
                    asked = if found.is_some() { names } else { Vec::new() };
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(waited.is_ok(), "{sql} found {found:?}, not {expected}");
    }
}

/// An ingestor in this process.
pub struct Ingestor {
    cancel: CancellationToken,
    running: JoinHandle<Result<(), IngestError>>,
}

impl Ingestor {
    /// Stops it, which seals what is buffered.
    pub async fn stop(self) {
        self.cancel.cancel();
        within(self.running).await.unwrap().unwrap();
    }
}

fn segment_names(folder: &Path) -> Option<Vec<SegmentName>> {
    Some(SegmentFolder::scan(folder).ok()?.current.iter().map(|segment| segment.name).collect())
}

/// These segments as one database, in the least work; `None` where one of them is gone.
fn database(folder: &Path, names: &[SegmentName]) -> Option<Connection> {
    let database = Connection::open_in_memory().ok()?;
    database.execute_batch(&attach_sql(folder, names)).ok()?;
    Some(database)
}

/// The one value that `sql` finds over the history in `folder`.
pub fn value<T: FromSql>(folder: &Path, sql: &str) -> T {
    rows(folder, sql, |row| row.get(0).unwrap()).into_iter().next().unwrap()
}

/// What `sql` finds over the history in `folder`, which must be readable whole.
pub fn rows<T>(folder: &Path, sql: &str, read: impl Fn(&Row<'_>) -> T) -> Vec<T> {
    let history = History::open(folder).unwrap();
    assert_eq!(history.missing_segments(), []);
    let database = history.database().unwrap();
    let mut statement = database.prepare(sql).unwrap();
    let found = statement.query_map([], |row| Ok(read(row))).unwrap();
    found.map(Result::unwrap).collect()
}

/// Ends a process as a crash would.
pub fn kill(process: &mut Child) {
    process.kill().unwrap();
    process.wait().unwrap();
}

/// Asks a process to end, and waits for it.
pub fn terminate(process: &mut Child) -> std::process::ExitStatus {
    let pid = rustix::process::Pid::from_child(process);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    process.wait().unwrap()
}

/// The future's value, which must come in time.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("this takes far too long")
}

/// Waits until the condition holds.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what} did not come true"));
}
