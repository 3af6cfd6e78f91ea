//! All parts in one process.

use std::{fs, path::Path, time::Duration};

use fleetps_agent::{own_name, simulate::SimulatedPast};
use fleetps_nats::{HostName, lock::FolderLock, output, server::ServerHealth, service_manager};
use tokio_util::sync::CancellationToken;

use super::{
    agent,
    announce::started,
    broker::Brokers,
    history,
    parts::Parts,
    web::{self, Entrance},
};
use crate::{config::Config, demonstration::Demonstration, server::Doors, starting::listen};

/// The time limit for stopping: sealing the collected rows takes seconds. Rows that are not stored then are still in
/// the stream.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs the whole pipeline until `ended` or until a part of it fails.
///
/// # Errors
/// When a part cannot be started or fails, for another reason than a broker that is not there.
pub(crate) async fn run_everything(mut config: Config, ended: CancellationToken) -> anyhow::Result<()> {
    fleetps_ingestor::check_library()?;
    let is_new = is_new(&config.data);
    let _lock = FolderLock::take(&config.data)?;
    let host = own_name(config.host.clone(), &config.sample.state);
    if config.broker.nats.is_none() {
        config.history = config.history.with_broker_in(config.data.join("nats"));
    }
    let Some(listening) = ended.run_until_cancelled(listen(&config)).await else { return Ok(()) };
    let (doors, address) = listening?;
    let health = ServerHealth::default();
    let metrics = doors.metrics_line();
    let (doors, starting) = doors.open(&config, health.clone());
    service_manager::ready();
    let Some(brokers) = Brokers::open(&config, &health, &ended).await? else { return Ok(()) };
    let config = agent::without_broken_agent(config, &brokers);
    let mut parts = Parts::default();
    let demo_hosts = config.local.demo_hosts;
    let past = (is_new && demo_hosts > 0).then(agent::demo_past);
    let demo = (demo_hosts > 0).then(|| Demonstration::of(demo_hosts, past.as_ref()));
    let doors = Doors { demo, ..doors };
    let entrance = Entrance { doors, starting, address: address.clone() };
    let start = start(&mut parts, &config, &brokers, &host, (entrance, past));
    let outcome = match ended.run_until_cancelled(start).await {
        Some(Ok(sign_in)) => {
            let address = address + &sign_in + &metrics;
            output::announce(format_args!("{}", started(&config, &address, &host, is_new)));
            parts.until(&ended).await
        }
        Some(Err(error)) => Err(error),
        None => Ok(()),
    };
    let sealed = tokio::time::timeout(STOP_TIMEOUT, parts.stop()).await.unwrap_or_else(|_| {
        tracing::error!("some parts did not stop within {} s and are cut off", STOP_TIMEOUT.as_secs());
        Ok(())
    });
    brokers.stop().await;
    outcome.and(sealed)
}

/// Starts the parts; returns how a first administrator comes in, empty where there is one.
async fn start(
    parts: &mut Parts,
    config: &Config,
    brokers: &Brokers,
    host: &HostName,
    (entrance, past): (Entrance, Option<SimulatedPast>),
) -> anyhow::Result<String> {
    let found = history::start(parts, config, brokers, host).await?;
    if let Some(admission) = brokers.admission(config, host).await? {
        let stop = parts.stop_token();
        parts.spawn("admission", async move {
            stop.run_until_cancelled(admission.run()).await;
            Ok(())
        });
    }
    let sign_in = web::start(parts, config, brokers, &found, entrance).await?;
    if config.local.sample_this_host {
        agent::start(parts, config, brokers, host);
    }
    if config.local.demo_hosts > 0 {
        agent::start_simulated(parts, config, brokers, past);
    }
    Ok(sign_in)
}

/// Whether nothing was ever kept in this folder.
fn is_new(data: &Path) -> bool {
    fs::read_dir(data).map_or(true, |mut entries| entries.next().is_none())
}
