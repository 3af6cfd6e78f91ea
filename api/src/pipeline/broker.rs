//! The broker of the pipeline: one that this process runs, or one that was named.

use fleetps_nats::{
    HostName,
    admission::AdmissionService,
    agent_settings::ControlKey,
    connection::{Broker, reconnect_delay},
    patience::patiently,
    server::{ManagedServer, Part, ServerError, ServerHealth, ServerSettings},
};
use tokio_util::sync::CancellationToken;

use crate::config::Config;

/// The broker's space besides the snapshots: refused messages and its own files.
const BESIDE_THE_STREAM_BYTES: u64 = 1 << 30;

/// The broker, as each part reaches it.
pub(super) enum Brokers {
    Managed(ManagedServer),
    Given(Broker),
}

impl Brokers {
    /// Starts the managed broker, and waits for whatever is missing: a program, a port, room on the disk. `None` when
    /// the program is to end instead.
    pub(super) async fn open(
        config: &Config,
        health: &ServerHealth,
        ended: &CancellationToken,
    ) -> anyhow::Result<Option<Self>> {
        if let Some(broker) = config.given_broker() {
            return Ok(Some(Self::Given(broker)));
        }
        let settings = ServerSettings {
            data: config.data.clone(),
            public: config.public_broker()?,
            program: config.managed.nats_server.clone(),
            simulator: config.local.demo_hosts > 0,
            max_file_store_bytes: config.history.max_stream_bytes.saturating_add(BESIDE_THE_STREAM_BYTES),
        };
        let mut failures = 0;
        loop {
            let trying = async {
                match start_server(settings.clone(), health.clone()).await {
                    Ok(server) => return Ok(Some(server)),
                    // It is mended by hand, and nothing runs without it.
                    Err(error @ ServerError::Key(_)) => return Err(error),
                    Err(error) => {
                        let problem =
                            format!("{:#}; it is tried again and again", anyhow::Error::from(error));
                        health.set_problem(Some(problem));
                    }
                }
                tokio::time::sleep(reconnect_delay(failures)).await;
                Ok(None)
            };
            match ended.run_until_cancelled(trying).await {
                Some(Ok(Some(server))) => {
                    health.set_problem(None);
                    return Ok(Some(Self::Managed(server)));
                }
                Some(Ok(None)) => failures += 1,
                Some(Err(error)) => return Err(error.into()),
                None => return Ok(None),
            }
        }
    }

    pub(super) fn of(&self, part: Part) -> Broker {
        match self {
            Self::Managed(server) => server.broker(part),
            Self::Given(broker) => broker.clone(),
        }
    }

    /// Begins to answer the broker's questions about hosts that connect, where this process is to.
    pub(super) async fn admission(
        &self,
        config: &Config,
        host: &HostName,
    ) -> anyhow::Result<Option<AdmissionService>> {
        match self {
            Self::Managed(server) => {
                let admission = patiently("admission", || server.admission(host, config.admission.clone()));
                Ok(Some(admission.await?))
            }
            Self::Given(broker) => {
                let admission = patiently("admission", || async {
                    let fleet = broker.connect("fleetps admission").await?;
                    AdmissionService::of_settings(broker, fleet, config.admission.clone()).await
                });
                Ok(admission.await?)
            }
        }
    }

    /// The key that signs what is asked of agents: the managed broker's, or the one that the settings name.
    pub(super) fn control_key(&self, config: &Config) -> anyhow::Result<Option<ControlKey>> {
        match self {
            Self::Managed(server) => Ok(Some(server.control_key()?)),
            Self::Given(_) => config.control_key(),
        }
    }

    /// Its public half, which the agent beside the managed broker pins; `None` for another broker.
    pub(super) fn public_control_key(&self) -> Option<String> {
        match self {
            Self::Managed(server) => Some(server.control_key().ok()?.public()),
            Self::Given(_) => None,
        }
    }

    /// How the managed broker is; nothing of another.
    pub(super) fn health(&self) -> ServerHealth {
        match self {
            Self::Managed(server) => server.health(),
            Self::Given(_) => ServerHealth::default(),
        }
    }

    pub(super) async fn stop(self) {
        if let Self::Managed(server) = self {
            server.stop().await;
        }
    }
}

/// Starts it on a thread where it may block. When this is dropped, the start is given up.
async fn start_server(settings: ServerSettings, health: ServerHealth) -> Result<ManagedServer, ServerError> {
    let stop = CancellationToken::new();
    let given_up = stop.clone().drop_guard();
    let starting = tokio::task::spawn_blocking(move || {
        ManagedServer::start_blocking(&settings, health, stop, &|message| {
            fleetps_nats::errln!("fleetps: {message}")
        })
    });
    let started = starting.await.unwrap_or_else(|panic| Err(ServerError::Panicked(panic.to_string())));
    given_up.disarm();
    started
}
