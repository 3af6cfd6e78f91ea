//! Starts the parts of an ingestor, and stops them in an order that loses nothing.

use std::{
    io,
    path::Path,
    sync::{Arc, mpsc::sync_channel},
    thread::JoinHandle,
    time::Duration,
};

use async_nats::{Client, jetstream};
use fleetps_nats::{
    Standing,
    decode::MessageDecoder,
    error_chain,
    lock::{FolderLock, LockError},
    own_figures,
    patience::patiently,
    stream::StreamError,
};
use tokio_util::sync::CancellationToken;

use crate::{
    alert_keeper::{AlertKeeper, CHECKPOINT_EVERY},
    audit_keeper,
    catalog::SegmentCatalog,
    compaction::{Compactor, Interrupt},
    error::IngestError,
    events::Detector,
    intake::{
        Collector, Consuming, Duplicates, KnownRun, StartPosition, StreamState, Ticker, WAITING_DEAD_LETTERS,
        WAITING_DELIVERIES, WAITING_EVENTS, WAITING_SEGMENTS, consume, known_runs, publish_dead_letters,
        publish_events, read_stream, restore_detector, seal_all,
    },
    retention_clock::RetentionClock,
    segment::SegmentName,
    settings::IngestorSettings,
    status::{self, DEAD_LETTERS, EVENTS, Progress, publish_status},
    streams,
};

/// How far back snapshots may be published again: the stream keeps them for 72 hours, and an agent's buffer is shorter.
const REPEAT_WINDOW_S: i64 = 72 * 3600;
/// How long stopping waits for the broker to take the last refused messages.
const LAST_LETTERS_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a history folder that cannot be used is tried again.
const OPEN_RETRY: Duration = Duration::from_secs(5);
/// How often stopping looks whether the compactor has ended.
const STOP_TICK: Duration = Duration::from_millis(20);

/// Runs an ingestor until `cancel`; then seals the collected rows and returns. Makes the streams if they are missing.
/// Where the history folder cannot be used, its status says so and it waits until it can.
///
/// # Errors
/// Where it cannot start: another process has the folder, or the broker cannot be used. What goes wrong later is retried
/// and said in the status.
pub async fn run(
    client: Client,
    settings: IngestorSettings,
    cancel: CancellationToken,
) -> Result<(), IngestError> {
    let settings = settings.with_history_that_fits();
    let (jetstream, progress) = (jetstream::new(client.clone()), Arc::new(Progress::default()));
    let stop = cancel.child_token();
    let _stop_status = stop.clone().drop_guard();
    // Before the folder is opened: live pages need the streams, and not the history.
    let lock = lock(&settings).await?;
    let making = patiently("the ingestor", || streams::ensure(&jetstream, settings.max_stream_bytes));
    let Some(made) = cancel.run_until_cancelled(making).await else { return Ok(()) };
    made?;
    let status =
        tokio::spawn(publish_status(client.clone(), settings.partition, Arc::clone(&progress), stop.clone()));
    let opened = open_when_possible(&settings, lock, &progress, &cancel).await?;
    let Some(Opened { _lock, catalog, clock, duplicates, detector }) = opened else { return Ok(()) };
    let finding = patiently("the ingestor", || find_start(&jetstream, &settings, &catalog));
    let Some(found) = cancel.run_until_cancelled(finding).await else { return Ok(()) };
    let start = found?;
    let following = patiently("the ingestor", || Standing::follow(&client));
    let Some(followed) = cancel.run_until_cancelled(following).await else { return Ok(()) };
    let standing = followed?;
    tracing::info!(folder = %catalog.folder().display(), sequence = start.sequence, "storing snapshots");
    progress.set_sealed(start.sequence - 1, 0);
    let parts = Parts { catalog, progress, clock, start, duplicates, detector, standing, stop };
    run_parts(client, jetstream, settings, parts).await?;
    let _ = status.await;
    Ok(())
}

/// The history folder, ready for use.
struct Opened {
    _lock: FolderLock,
    catalog: Arc<SegmentCatalog>,
    clock: Arc<RetentionClock>,
    duplicates: Duplicates,
    detector: Detector,
}

/// Locks the history folder, and says why that fails where the folder is to blame.
///
/// # Errors
/// Where another process has it.
async fn lock(settings: &IngestorSettings) -> Result<Result<FolderLock, LockError>, IngestError> {
    let folder = settings.history.clone();
    let lock = blocking("locking", move || Ok(FolderLock::take(&folder))).await?;
    match lock {
        Err(held @ LockError::Held { .. }) => Err(held.into()),
        lock => Ok(lock),
    }
}

/// Opens the history folder, again and again where that fails; `None` when it is cancelled.
async fn open_when_possible(
    settings: &IngestorSettings,
    mut locked: Result<FolderLock, LockError>,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Option<Opened>, IngestError> {
    loop {
        let (folder, partition) = (settings.history.clone(), settings.partition);
        let trust_clock_until_s = settings.trust_clock_until_s();
        let opened = match locked {
            Ok(lock) => {
                blocking("opening", move || open(&folder, partition, trust_clock_until_s, lock)).await
            }
            Err(error) => Err(error.into()),
        };
        let error = match opened {
            Ok(opened) => {
                progress.set_write_error(None);
                return Ok(Some(opened));
            }
            Err(error) => format!(
                "{}. Make {} a folder that this user may read and write; it is tried again every {OPEN_RETRY:?}",
                error_chain(&error),
                settings.history.display()
            ),
        };
        tracing::error!("{error}");
        progress.set_write_error(Some(error));
        tokio::select! {
            () = cancel.cancelled() => return Ok(None),
            () = tokio::time::sleep(OPEN_RETRY) => {}
        }
        locked = lock(settings).await?;
    }
}

fn open(
    folder: &Path,
    partition: u32,
    trust_clock_until_s: i64,
    lock: FolderLock,
) -> Result<Opened, IngestError> {
    let catalog = SegmentCatalog::open(folder)?;
    let newest_s = catalog.segments().iter().map(|segment| segment.name.first_stored_s).max();
    let clock = RetentionClock::open(catalog.folder(), newest_s, trust_clock_until_s);
    let duplicates = remember_stored(&catalog, &clock)?;
    // Others are of another ingestor, or were imported.
    let names: Vec<SegmentName> = catalog
        .segments()
        .into_iter()
        .map(|segment| segment.name)
        .filter(|name| name.partition == partition)
        .collect();
    let detector = restore_detector(catalog.folder(), &names);
    if let Err(error) = catalog.publish() {
        // The compactor does it again; the segments that could be listed can be read meanwhile.
        tracing::error!("{}", error_chain(&error));
    }
    Ok(Opened { _lock: lock, catalog: Arc::new(catalog), clock: Arc::new(clock), duplicates, detector })
}

/// The state that the parts share, and where they begin.
struct Parts {
    catalog: Arc<SegmentCatalog>,
    progress: Arc<Progress>,
    clock: Arc<RetentionClock>,
    start: StartPosition,
    duplicates: Duplicates,
    detector: Detector,
    standing: Standing,
    stop: CancellationToken,
}

async fn run_parts(
    client: Client,
    jetstream: jetstream::Context,
    settings: IngestorSettings,
    parts: Parts,
) -> Result<(), IngestError> {
    let Parts { catalog, progress, clock, start, duplicates, detector, standing, stop } = parts;
    let (incoming_in, incoming) = progress.channel("deliveries", WAITING_DELIVERIES);
    let (segments_in, segments) = sync_channel(WAITING_SEGMENTS);
    let (letters_in, letters) = progress.channel(DEAD_LETTERS, WAITING_DEAD_LETTERS);
    let interrupt = Arc::new(Interrupt::default());

    let numbering = (settings.partition, start.epoch_s);
    let message_decoder =
        MessageDecoder::new(settings.host_bytes_per_s).map_err(failed("unpacking"))?.with_standing(standing);
    let (published_in, published) = progress.channel(EVENTS, WAITING_EVENTS);
    let Consuming { consumers, threads, decided, awaited } = consume(
        (numbering, (settings.seal_rows, settings.seal_interval)),
        detector,
        segments_in,
        published_in,
        &progress,
    )
    .map_err(failed("a consumer of the stream"))?;
    let shared = (Arc::clone(&progress), Arc::clone(&clock));
    let collector =
        Collector::new((settings.partition, message_decoder), duplicates, letters_in, shared, consumers);
    let collecting = thread("collect", move || collector.run(incoming))?;
    let sealing = {
        let (catalog, progress, stop) = (Arc::clone(&catalog), Arc::clone(&progress), stop.clone());
        thread("seal", move || seal_all((&segments, &decided), &catalog, &progress, &stop))?
    };
    let alerts = tokio::spawn(alert_keeper(&client, &settings, &progress).keep(stop.clone()));
    let (audited, audit_clock) = (Arc::clone(&catalog), Arc::clone(&clock));
    let compactor = Compactor {
        settings: settings.clone(),
        catalog,
        progress: Arc::clone(&progress),
        clock,
        interrupt: Arc::clone(&interrupt),
        cancel: stop.clone(),
    };
    let compacting = thread("compact", move || compactor.run())?;
    let letters = tokio::spawn(publish_dead_letters(client.clone(), letters));
    let publishing = tokio::spawn(publish_events(client.clone(), published));
    let shared = (Arc::clone(&progress), audit_clock);
    let auditing = keep_audit(client.clone(), &settings, audited, shared, &stop);
    let streams = tokio::spawn(streams::keep(jetstream.clone(), settings.clone(), stop.clone()));
    let telling = tokio::spawn(tell_figures(&client, &settings, progress, &stop));

    read_stream(
        (jetstream, Ticker::new(client, awaited)),
        start,
        settings.seal_interval,
        incoming_in,
        stop.clone(),
    )
    .await;
    stop.cancel();
    let threads = Threads { collecting, consuming: threads, sealing, compacting, interrupt };
    blocking("stopping", move || threads.join()).await?;
    let _ = tokio::time::timeout(LAST_LETTERS_TIMEOUT, async { tokio::join!(letters, publishing) }).await;
    if let Some(auditing) = auditing {
        let _ = auditing.await;
    }
    let _ = tokio::join!(streams, alerts, telling);
    Ok(())
}

/// The threads of an ingestor.
struct Threads {
    collecting: JoinHandle<()>,
    /// Of the consumers, with their names.
    consuming: [(&'static str, JoinHandle<()>); 2],
    sealing: JoinHandle<()>,
    compacting: JoinHandle<()>,
    interrupt: Arc<Interrupt>,
}

impl Threads {
    /// Waits until all have ended. The end of reading lets collecting end, which lets sealing end.
    fn join(self) -> Result<(), IngestError> {
        join("collect", self.collecting)?;
        self.consuming.into_iter().try_for_each(|(name, thread)| join(name, thread))?;
        join("seal", self.sealing)?;
        while !self.compacting.is_finished() {
            // Again and again: a merge may only just have begun.
            self.interrupt.interrupt();
            std::thread::sleep(STOP_TICK);
        }
        join("compact", self.compacting)
    }
}

/// Tells the figures that rules about fleetps itself measure.
fn tell_figures(
    client: &Client,
    settings: &IngestorSettings,
    progress: Arc<Progress>,
    stop: &CancellationToken,
) -> impl Future<Output = ()> + use<> {
    let (folder, partition) = (settings.history.clone(), settings.partition);
    let figures = move || status::own_figures(&progress, partition, &folder);
    own_figures::tell(client.clone(), figures, stop.clone())
}

/// The evaluation of alerts of this ingestor's partition.
fn alert_keeper(client: &Client, settings: &IngestorSettings, progress: &Arc<Progress>) -> AlertKeeper {
    AlertKeeper {
        client: client.clone(),
        partition: settings.partition,
        host_bytes_per_s: settings.host_bytes_per_s,
        folder: settings.history.clone(),
        progress: Arc::clone(progress),
        checkpoint_every: settings.seal_interval.min(CHECKPOINT_EVERY),
    }
}

/// Keeps the audit, which is not divided: one of the ingestors does it.
fn keep_audit(
    client: Client,
    settings: &IngestorSettings,
    catalog: Arc<SegmentCatalog>,
    shared: (Arc<Progress>, Arc<RetentionClock>),
    stop: &CancellationToken,
) -> Option<tokio::task::JoinHandle<()>> {
    let keep = || audit_keeper::keep(client, settings.clone(), catalog, shared, stop.clone());
    (settings.partition == 0).then(|| tokio::spawn(keep()))
}

async fn find_start(
    jetstream: &jetstream::Context,
    settings: &IngestorSettings,
    catalog: &SegmentCatalog,
) -> Result<StartPosition, StreamError> {
    let numbers = StreamState::ask(jetstream).await?;
    let now_s = jiff::Timestamp::now().as_second();
    Ok(StartPosition::find(&numbers, catalog.highest(settings.partition), now_s))
}

/// The stored snapshots that may come again: counted back from when the newest was stored, because this machine's clock
/// may have been set since. Segments that cannot be read for it are left out: repeats of their snapshots may be stored
/// twice, which costs less than storing nothing.
fn remember_stored(catalog: &SegmentCatalog, clock: &RetentionClock) -> Result<Duplicates, IngestError> {
    let oldest_s = clock.newest_s().map_or(i64::MIN, |newest_s| newest_s.saturating_sub(REPEAT_WINDOW_S));
    let names = catalog.segments().into_iter().map(|segment| segment.name);
    let recent: Vec<SegmentName> = names.filter(|name| name.latest_stored_s() >= oldest_s).collect();
    let (runs, faults) = known_runs(catalog.folder(), &recent)?;
    for (name, fault) in faults {
        if let Err(error) = catalog.doubt(name, fault) {
            // It is out of use all the same; the compactor writes attach.sql again.
            tracing::error!("{}", error_chain(&error));
        }
    }
    let mut duplicates = Duplicates::default();
    for KnownRun { host, run_id, sequence, stored_at_us } in runs {
        match run_id {
            Some(run_id) => _ = duplicates.take(&host, &run_id, sequence, stored_at_us),
            None => duplicates.forget_runs(&host, stored_at_us),
        }
    }
    // Where the stream lost its end while nothing read it.
    duplicates.read_again();
    Ok(duplicates)
}

async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> Result<T, IngestError> + Send + 'static,
) -> Result<T, IngestError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(IngestError::Panicked(what)))
}

fn thread(what: &'static str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, IngestError> {
    let spawned: io::Result<_> = std::thread::Builder::new().name(what.to_owned()).spawn(work);
    spawned.map_err(failed(what))
}

/// The error of a part that cannot start.
fn failed(what: &'static str) -> impl FnOnce(io::Error) -> IngestError {
    move |source| IngestError::Start { what, source }
}

fn join(what: &'static str, thread: JoinHandle<()>) -> Result<(), IngestError> {
    thread.join().map_err(|_| IngestError::Panicked(what))
}
