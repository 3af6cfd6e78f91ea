//! The agent of this machine, and a simulated fleet.

use std::time::Duration;

use fleetps_agent::{
    publish::{Outbox, RING_BYTES},
    run_controlled,
    settings::RemoteSettings,
    simulate::{self, SimulatedPast, SimulationSettings},
};
use fleetps_nats::{
    HostName,
    connection::Broker,
    error_chain,
    hosts::{self, HostRecord},
    now_us,
    server::Part,
};

use super::{broker::Brokers, parts::Parts};
use crate::config::Config;

/// Processes on each host of a demonstration.
const DEMO_PROCESSES: usize = 200;
/// The past of a demonstration: enough for a chart of some hours, and little enough for forty hosts to have it in some
/// seconds.
const DEMO_PAST: Duration = Duration::from_secs(6 * 3600);
const DEMO_PAST_INTERVAL: Duration = Duration::from_secs(60);
/// Hosts of a demonstration that have a past. It takes a minute or two to make theirs; thousands of hosts would wait for it
/// for an hour.
pub(super) const DEMO_HOSTS_WITH_PAST: usize = 200;
/// How long the agent beside the server is left alone after it failed: what keeps it from running is mended by hand.
const AGENT_AGAIN: Duration = Duration::from_secs(10);

/// `config` without this machine's agent where the agent's key cannot be read: everything else runs.
pub(super) fn without_broken_agent(mut config: Config, brokers: &Brokers) -> Config {
    if config.local.sample_this_host
        && let Err(error) = brokers.of(Part::Agent).check_key()
    {
        tracing::error!("this machine is not sampled: {}", error_chain(&error));
        config.local.sample_this_host = false;
    }
    config
}

/// Samples this machine as `host`; tries again where that fails.
pub(super) fn start(parts: &mut Parts, config: &Config, brokers: &Brokers, host: &HostName) {
    let (settings, broker) = (config.sample.clone(), brokers.of(Part::Agent));
    let (host, stop) = (host.clone(), parts.stop_token());
    let control_key = config.remote.control_key.clone().or_else(|| brokers.public_control_key());
    let remote = RemoteSettings { control_key, ..config.remote.clone() };
    parts.spawn("the agent", async move {
        let run = || {
            let (settings, remote, outbox) = (settings.clone(), remote.clone(), Outbox::new(RING_BYTES));
            run_controlled(settings, remote, broker.clone(), host.clone(), outbox, stop.clone())
        };
        while let Err(error) = run().await {
            let error = anyhow::Error::from(error);
            tracing::error!("this machine is not sampled: {error:#}; trying again");
            if stop.run_until_cancelled(tokio::time::sleep(AGENT_AGAIN)).await.is_none() {
                break;
            }
        }
        Ok(())
    });
}

/// The past that a demonstration has when it begins now.
pub(super) fn demo_past() -> SimulatedPast {
    SimulatedPast {
        hosts: DEMO_HOSTS_WITH_PAST,
        ..SimulatedPast::before(now_us(), DEMO_PAST, DEMO_PAST_INTERVAL)
    }
}

/// Publishes the hosts of a demonstration. They have a past where there is no history yet: nobody can have two.
pub(super) fn start_simulated(
    parts: &mut Parts,
    config: &Config,
    brokers: &Brokers,
    past: Option<SimulatedPast>,
) {
    let has_past = past.is_some();
    let broker = brokers.of(Part::Simulator);
    let settings = SimulationSettings {
        hosts: config.local.demo_hosts,
        processes: DEMO_PROCESSES,
        interval: config.sample.interval,
        past,
        ..SimulationSettings::default()
    };
    let (stop, of_records) = (parts.stop_token(), brokers.of(Part::Ingestor));
    parts.spawn("the simulated fleet", async move {
        if has_past
            && let Some(Err(error)) =
                stop.run_until_cancelled(put_into_groups(&of_records, settings.hosts)).await
        {
            tracing::warn!("the simulated hosts are in no groups: {error:#}");
        }
        fleetps_agent::simulate::run(settings, broker, stop).await?;
        Ok(())
    });
}

/// Puts simulated hosts into groups, where nobody has put them into others.
async fn put_into_groups(broker: &Broker, hosts: usize) -> anyhow::Result<()> {
    let client = broker.connect("fleetps demonstration").await?;
    let records = hosts::open(&client).await?;
    for (name, groups) in simulate::groups(hosts) {
        records.create(name.as_str(), &HostRecord::in_groups(groups)).await?;
    }
    Ok(())
}
