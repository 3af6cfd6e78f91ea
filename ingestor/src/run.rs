//! Starts the parts of an ingestor, and stops them in an order that loses nothing.

use std::{
    io,
    sync::{Arc, mpsc::sync_channel},
    thread::JoinHandle,
    time::Duration,
};

use async_nats::{Client, jetstream};
use fleetps_nats::{lock::FolderLock, stream, unpack::Unpacker};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    audit,
    error::IngestError,
    history::{HistoryError, known_runs},
    intake::{
        Beginning, Collector, Duplicates, Numbers, WAITING_DEAD_LETTERS, WAITING_DELIVERIES,
        WAITING_SEGMENTS, publish_dead_letters, read_stream, seal_all,
    },
    segment::SegmentName,
    settings::IngestorSettings,
    shelf::Shelf,
    status::{Progress, publish_status},
    upkeep::{Interrupt, Upkeep},
};

/// How far back snapshots may be published again: the stream keeps them for 72 hours, and an agent's buffer is shorter.
const REPEAT_WINDOW_S: i64 = 72 * 3600;
/// How long stopping waits for the broker to take the last refused messages.
const LAST_LETTERS_PATIENCE: Duration = Duration::from_secs(2);
/// How often stopping looks whether upkeep has ended.
const STOP_TICK: Duration = Duration::from_millis(20);

/// Runs an ingestor until `cancel`; then seals what is buffered and returns. Makes the streams if they are missing.
///
/// # Errors
/// Where it cannot start: somebody else has the folder, or the history or the broker cannot be used. What goes wrong
/// later is retried and said in the status.
pub async fn run(
    client: Client,
    settings: IngestorSettings,
    cancel: CancellationToken,
) -> Result<(), IngestError> {
    let folder = settings.history.clone();
    let locking = blocking("locking", move || Ok(FolderLock::take(&folder)?));
    let _lock = locking.await?;
    let jetstream = jetstream::new(client.clone());
    // Before a long history is looked at: live pages need the streams, and not the history.
    stream::ensure(&jetstream, i64::try_from(settings.max_stream_bytes).unwrap_or(i64::MAX)).await?;
    let folder = settings.history.clone();
    let opening = blocking("opening", move || {
        let shelf = Shelf::open(&folder)?;
        shelf.publish()?;
        Ok(Arc::new(shelf))
    });
    let shelf = opening.await?;
    let beginning = find_beginning(&jetstream, &settings, &shelf).await?;
    tracing::info!(folder = %shelf.folder().display(), sequence = beginning.sequence, "storing snapshots");
    let duplicates = {
        let shelf = Arc::clone(&shelf);
        blocking("reading", move || Ok(remember_stored(&shelf)?)).await?
    };
    let progress = Arc::new(Progress::default());
    progress.set_sealed(beginning.sequence - 1, 0);
    run_parts(client, jetstream, settings, Parts { shelf, progress, beginning, duplicates }, cancel).await
}

/// What the parts share, and where they begin.
struct Parts {
    shelf: Arc<Shelf>,
    progress: Arc<Progress>,
    beginning: Beginning,
    duplicates: Duplicates,
}

async fn run_parts(
    client: Client,
    jetstream: jetstream::Context,
    settings: IngestorSettings,
    parts: Parts,
    cancel: CancellationToken,
) -> Result<(), IngestError> {
    let Parts { shelf, progress, beginning, duplicates } = parts;
    let (events_in, events) = mpsc::channel(WAITING_DELIVERIES);
    let (segments_in, segments) = sync_channel(WAITING_SEGMENTS);
    let (letters_in, letters) = mpsc::channel(WAITING_DEAD_LETTERS);
    let stop = cancel.child_token();
    let interrupt = Arc::new(Interrupt::default());

    let numbering = (settings.partition, beginning.epoch_s);
    let unpacker = Unpacker::new(settings.host_bytes_per_s)
        .map_err(|source| IngestError::Start { what: "unpacking", source })?;
    let collector = Collector::new(
        numbering,
        settings.seal_rows,
        unpacker,
        duplicates,
        letters_in,
        Arc::clone(&progress),
        segments_in,
    );
    let collecting = thread("collect", move || collector.run(events))?;
    let sealing = {
        let (shelf, progress, stop) = (Arc::clone(&shelf), Arc::clone(&progress), stop.clone());
        thread("seal", move || seal_all(&segments, &shelf, &progress, &stop))?
    };
    let audited = Arc::clone(&shelf);
    let upkeep = Upkeep {
        settings: settings.clone(),
        shelf,
        progress: Arc::clone(&progress),
        interrupt: Arc::clone(&interrupt),
        cancel: stop.clone(),
    };
    let upkeep = thread("upkeep", move || upkeep.run())?;
    let letters = tokio::spawn(publish_dead_letters(client.clone(), letters));
    // One of the ingestors keeps the audit, which is not divided.
    let auditing = (settings.partition == 0)
        .then(|| tokio::spawn(audit::keep(client.clone(), settings.clone(), audited, stop.clone())));
    let status = tokio::spawn(publish_status(client, settings.partition, progress, stop.clone()));

    read_stream(jetstream, beginning, settings.seal_interval, events_in, stop.clone()).await;
    // The end of reading lets collecting end, which lets sealing end.
    stop.cancel();
    blocking("stopping", move || {
        join("collect", collecting)?;
        join("seal", sealing)?;
        while !upkeep.is_finished() {
            // Again and again: a merge may only just have begun.
            interrupt.interrupt();
            std::thread::sleep(STOP_TICK);
        }
        join("upkeep", upkeep)
    })
    .await?;
    let _ = tokio::time::timeout(LAST_LETTERS_PATIENCE, letters).await;
    if let Some(auditing) = auditing {
        let _ = auditing.await;
    }
    let _ = status.await;
    Ok(())
}

async fn find_beginning(
    jetstream: &jetstream::Context,
    settings: &IngestorSettings,
    shelf: &Shelf,
) -> Result<Beginning, IngestError> {
    let numbers = Numbers::ask(jetstream).await?;
    let now_s = jiff::Timestamp::now().as_second();
    Ok(Beginning::find(&numbers, shelf.highest(settings.partition), now_s))
}

/// Which snapshots are stored already, as far as they may come again.
fn remember_stored(shelf: &Shelf) -> Result<Duplicates, HistoryError> {
    let oldest_s = jiff::Timestamp::now().as_second() - REPEAT_WINDOW_S;
    let names = shelf.segments().into_iter().map(|shelved| shelved.name);
    let recent: Vec<SegmentName> = names.filter(|name| name.latest_stored_s() >= oldest_s).collect();
    let mut duplicates = Duplicates::default();
    for run in known_runs(shelf.folder(), &recent)? {
        duplicates.take(&run.host, &run.run_id, run.sequence);
    }
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
    spawned.map_err(|source| IngestError::Start { what, source })
}

fn join(what: &'static str, thread: JoinHandle<()>) -> Result<(), IngestError> {
    thread.join().map_err(|_| IngestError::Panicked(what))
}
