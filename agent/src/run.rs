//! A whole agent: a thread of its own samples, the caller's runtime publishes.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use fleetps_nats::{HostName, bounds::OutOfRange, connection::ConnectionError, settings::Room};
use tokio::{
    sync::{Notify, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    host_key::HostKey,
    publish::{Outbox, Publisher, RING_BYTES},
    sample::{Boot, FIRST_WAIT, Packer, Sampler, UnknownSystem},
    server::{ServerError, Session},
    settings::AgentSettings,
    uplink::Uplink,
};

/// How long the sampling thread has to end. It waits for nothing that may hang, but a kernel may stop it anywhere; the
/// process can end without it.
const LAST_SAMPLE: Duration = Duration::from_millis(250);

/// The agent cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The settings cannot be used.
    #[error(transparent)]
    Settings(#[from] OutOfRange),
    /// The broker's settings are wrong.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The server's settings are wrong.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// This system cannot be sampled.
    #[error(transparent)]
    System(#[from] UnknownSystem),
    /// A thread or a compressor could not be made.
    #[error("cannot start sampling; is the machine out of memory or threads?")]
    Start(#[source] io::Error),
    /// The sampling thread panicked.
    #[error("the sampling thread ended unexpectedly; please report this")]
    Thread,
}

/// An [`Uplink`] in use.
enum Link {
    Broker(async_nats::Client, JoinHandle<()>),
    Server(Session),
}

impl Link {
    /// Begins to connect, without waiting for it.
    async fn open(uplink: Uplink, host: &HostName) -> Result<Self, AgentError> {
        let broker = match uplink {
            Uplink::Broker(broker) => broker,
            Uplink::Server(server) => return Ok(Self::Server(server.session(host)?)),
        };
        let connected = Arc::new(Notify::new());
        let client = broker.connect_agent(host, Arc::clone(&connected)).await?;
        let key = HostKey { client: client.clone(), host: host.clone(), file: broker.nkey_file };
        Ok(Self::Broker(client, tokio::spawn(key.keep(connected))))
    }

    fn publisher(&self, host: &HostName, run_id: String, outbox: Outbox) -> Publisher {
        match self {
            Self::Broker(client, _) => Publisher::new(client.clone(), host, outbox),
            Self::Server(session) => Publisher::through_server(session.clone(), run_id, outbox),
        }
    }

    fn close(self) {
        if let Self::Broker(_, keeping_the_key) = self {
            keeping_the_key.abort();
        }
    }
}

/// Samples this machine as `host` and publishes until `shutdown`; waiting snapshots then have half a second. The
/// broker may be absent at the start and later: sampling goes on. It ends within a second, whatever hangs.
pub async fn run(
    settings: AgentSettings,
    uplink: impl Into<Uplink>,
    host: HostName,
    shutdown: CancellationToken,
) -> Result<(), AgentError> {
    run_with(settings, uplink, host, Outbox::new(RING_BYTES), shutdown).await
}

/// [`run`] through `outbox`, which tells how many snapshots wait.
pub async fn run_with(
    settings: AgentSettings,
    uplink: impl Into<Uplink>,
    host: HostName,
    outbox: Outbox,
    shutdown: CancellationToken,
) -> Result<(), AgentError> {
    settings.check()?;
    let link = Link::open(uplink.into(), &host).await?;
    let (stop, stopped) = mpsc::channel();
    let (announce, announced) = oneshot::channel();
    let (done, ended) = oneshot::channel();
    let sampling = outbox.clone();
    thread::Builder::new()
        .name("sample".to_owned())
        .spawn(move || _ = done.send(sample(&settings, &sampling, announce, &stopped)))
        .map_err(AgentError::Start)?;
    let announced = tokio::select! {
        announced = announced => announced,
        // The first look at the machine hangs.
        () = shutdown.cancelled() => return Ok(()),
    };
    let mut ended = ended;
    let Ok(run_id) = announced else {
        return ended.await.unwrap_or(Err(AgentError::Thread));
    };
    tracing::info!(host = %host, run = run_id, "sampling this machine");
    let stop_publishing = CancellationToken::new();
    let publisher = link.publisher(&host, run_id, outbox);
    let publisher = tokio::spawn(publisher.run(stop_publishing.clone()));
    let outcome = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        outcome = &mut ended => outcome.unwrap_or(Err(AgentError::Thread)),
    };
    // Ends the thread's wait for the next sample.
    drop(stop);
    if outcome.is_ok() && tokio::time::timeout(LAST_SAMPLE, ended).await.is_err() {
        tracing::warn!("the sampling thread does not end; ending without it");
    }
    stop_publishing.cancel();
    publisher.await.map_err(|_| AgentError::Thread)?;
    link.close();
    outcome
}

/// Samples until the channel closes.
fn sample(
    settings: &AgentSettings,
    outbox: &Outbox,
    announce: oneshot::Sender<String>,
    stopped: &mpsc::Receiver<()>,
) -> Result<(), AgentError> {
    let boot = Boot::current(&settings.state);
    let mut sampler = Sampler::new(settings, boot)?;
    let mut packer = Packer::new().map_err(AgentError::Start)?;
    let _ = announce.send(sampler.run_id().to_owned());
    let mut due = Instant::now() + settings.interval.min(FIRST_WAIT);
    loop {
        let wait = due.saturating_duration_since(Instant::now());
        match stopped.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        let started = Instant::now();
        let mut snapshot = sampler.sample(outbox.dropped());
        match sampler.pack(&mut snapshot, &mut packer) {
            Ok(message) => {
                let sampled_at = Some(Duration::from_millis(snapshot.monotonic_ms));
                outbox.push_sampled(snapshot.sequence, message, snapshot.processes.len(), sampled_at);
            }
            Err(error) => tracing::error!(error = %error, "a snapshot cannot be packed and is left out"),
        }
        due = next_due(due, settings.interval, started.elapsed());
    }
}

/// The next moment on the grid of intervals; moments that went by while sampling took too long are left out.
fn next_due(due: Instant, interval: Duration, took: Duration) -> Instant {
    if took > interval {
        tracing::warn!(
            took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "taking a sample took longer than the interval; make the interval longer"
        );
    }
    let next = due + interval;
    let now = Instant::now();
    if next >= now { next } else { now + interval }
}
