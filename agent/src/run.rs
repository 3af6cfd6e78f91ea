//! A whole agent: a thread of its own samples, the caller's runtime publishes.

use std::{
    io,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use async_nats::connection::State;
use bytes::Bytes;
use fleetps_nats::{
    HostName, bounds::OutOfRange, connection::ConnectionError, service_manager, settings::Room, subject,
};
use futures_util::StreamExt;
use tokio::{
    sync::{Notify, oneshot, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    exchange::{self, Exchange},
    forward::Forward,
    host_key::HostKey,
    publish::{Outbox, Publisher, RING_BYTES},
    remote::{Order, Remote},
    sample::UnknownSystem,
    sampling::{self, SamplingError},
    server::{ServerError, Session},
    settings::{AgentSettings, CommandSettings, RemoteSettings},
    settings_in_force::SettingsInForce,
    uplink::Uplink,
};

/// How long the sampling thread has to end. It waits for nothing that may hang, but a kernel may stop it anywhere; the
/// process can end without it.
const LAST_SAMPLE_TIMEOUT: Duration = Duration::from_millis(250);

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

impl From<SamplingError> for AgentError {
    fn from(error: SamplingError) -> Self {
        match error {
            SamplingError::System(error) => Self::System(error),
            SamplingError::Start(error) => Self::Start(error),
        }
    }
}

/// An [`Uplink`] in use.
enum Link {
    Broker(async_nats::Client, Vec<JoinHandle<()>>),
    Server(Session, Vec<JoinHandle<()>>),
}

impl Link {
    /// Begins to connect, without waiting for it.
    async fn open(
        uplink: Uplink,
        host: &HostName,
        remote: &Remote,
        forward: Forward,
    ) -> Result<Self, AgentError> {
        let broker = match uplink {
            Uplink::Broker(broker) => broker,
            Uplink::Server(server) => {
                let session = server.session(host)?.with_remote(Arc::new(remote.clone()));
                let reporting = tokio::spawn(session.clone().exchange_settings());
                let exchange = Exchange { session: session.clone(), remote: remote.clone(), forward };
                return Ok(Self::Server(session, vec![reporting, tokio::spawn(exchange.run())]));
            }
        };
        let connected = Arc::new(Notify::new());
        let client = broker.connect_agent(host, Arc::clone(&connected)).await?;
        let (host, file) = (host.clone(), broker.nkey_file);
        let listening = listen(client.clone(), host.clone(), remote.clone());
        let commanded = obey(client.clone(), host.clone(), remote.clone(), forward);
        let remote = Arc::new(remote.clone());
        let key = HostKey { client: client.clone(), host, file, remote };
        let tasks = vec![tokio::spawn(listening), tokio::spawn(commanded), tokio::spawn(key.keep(connected))];
        Ok(Self::Broker(client, tasks))
    }

    /// Publishes what is sampled for those who watch, the newest only.
    fn publish_sharp(&mut self, host: &HostName, mut sharp: watch::Receiver<Bytes>) {
        let (client, tasks) = match self {
            Self::Broker(client, tasks) => (client.clone(), tasks),
            Self::Server(session, tasks) => {
                tasks.push(tokio::spawn(exchange::post_sharp(session.clone(), sharp)));
                return;
            }
        };
        let subject = subject::sharp(host);
        tasks.push(tokio::spawn(async move {
            while sharp.changed().await.is_ok() {
                let message = sharp.borrow_and_update().clone();
                // The client would keep it while it is away, and send it much later.
                if client.connection_state() == State::Connected {
                    let _ = client.publish(subject.clone(), message).await;
                }
            }
        }));
    }

    fn publisher(&self, host: &HostName, run_id: String, outbox: Outbox) -> Publisher {
        match self {
            Self::Broker(client, _) => Publisher::new(client.clone(), host, outbox),
            Self::Server(session, _) => Publisher::through_server(session.clone(), run_id, outbox),
        }
    }

    fn close(self) {
        match self {
            Self::Broker(_, tasks) | Self::Server(_, tasks) => tasks.iter().for_each(JoinHandle::abort),
        }
    }
}

/// Hears on this host's own subject what is asked of it, for as long as it is let. A host that pinned no control key does not
/// listen.
async fn listen(client: async_nats::Client, host: HostName, remote: Remote) {
    if !remote.is_controlled() {
        return;
    }
    match client.subscribe(subject::settings(&host)).await {
        Ok(mut frames) => {
            while let Some(message) = frames.next().await {
                remote.take(&message.payload);
            }
        }
        Err(error) => tracing::warn!(%error, "cannot listen for settings; they come with the next hello"),
    }
}

/// Passes on what is asked about commands; a host that pinned no control key does not listen.
async fn obey(client: async_nats::Client, host: HostName, remote: Remote, forward: Forward) {
    if remote.is_controlled() {
        forward.run(client, host).await;
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
    run_controlled(settings, RemoteSettings::default(), uplink, host, outbox, shutdown).await
}

/// [`run_with`], where the fleet may change what `remote` lets it.
pub async fn run_controlled(
    settings: AgentSettings,
    remote: RemoteSettings,
    uplink: impl Into<Uplink>,
    host: HostName,
    outbox: Outbox,
    shutdown: CancellationToken,
) -> Result<(), AgentError> {
    let commands = CommandSettings::default();
    run_commanded(settings, (remote, commands), uplink, host, outbox, shutdown).await
}

/// [`run_controlled`], where what the fleet asks about `commands` is passed on to the control helper.
pub async fn run_commanded(
    settings: AgentSettings,
    (remote, commands): (RemoteSettings, CommandSettings),
    uplink: impl Into<Uplink>,
    host: HostName,
    outbox: Outbox,
    shutdown: CancellationToken,
) -> Result<(), AgentError> {
    settings.check()?;
    remote.check()?;
    commands.check()?;
    let remote = Remote::new(host.clone(), settings, remote);
    let forward = Forward::new(&commands, remote.clone());
    let mut link = Link::open(uplink.into(), &host, &remote, forward).await?;
    let (sharp_out, sharp) = watch::channel(Bytes::new());
    link.publish_sharp(&host, sharp);
    let (orders, told) = mpsc::channel();
    let stop = StopOnDrop(orders.clone());
    let (announce, announced) = oneshot::channel();
    let (done, ended) = oneshot::channel();
    let leaving = outbox.clone();
    thread::Builder::new()
        .name("sample".to_owned())
        .spawn(move || {
            let outcome = sampling::run(&remote, orders, leaving, sharp_out, announce, &told);
            let _ = done.send(outcome.map_err(AgentError::from));
        })
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
    // A broker that is away keeps nobody from starting.
    service_manager::ready();
    let stop_publishing = CancellationToken::new();
    let publisher = link.publisher(&host, run_id, outbox);
    let publisher = tokio::spawn(publisher.run(stop_publishing.clone()));
    let outcome = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        outcome = &mut ended => outcome.unwrap_or(Err(AgentError::Thread)),
    };
    // Ends the thread's wait for the next sample.
    drop(stop);
    if outcome.is_ok() && tokio::time::timeout(LAST_SAMPLE_TIMEOUT, ended).await.is_err() {
        tracing::warn!("the sampling thread does not end; ending without it");
    }
    stop_publishing.cancel();
    publisher.await.map_err(|_| AgentError::Thread)?;
    link.close();
    outcome
}

/// Tells the sampling thread to stop when it is dropped, wherever this run ends.
struct StopOnDrop(mpsc::Sender<Order>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        // A thread that has ended hears nothing.
        let _ = self.0.send(Order::Stop);
    }
}
