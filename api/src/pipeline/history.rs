//! The ingestor of the pipeline.

use fleetps_nats::{HostName, patience::patiently, server::Part};

use super::{broker::Brokers, losses::find_losses, parts::Parts};
use crate::{config::Config, recovery::Found};

/// Brings back the broker's records from a backup where one was restored, starts the ingestor, and returns what the broker
/// lost. Waits for the broker.
pub(super) async fn start(
    parts: &mut Parts,
    config: &Config,
    brokers: &Brokers,
    host: &HostName,
) -> anyhow::Result<Found> {
    let ingestors = brokers.of(Part::Ingestor);
    let client = patiently("the ingestor", || ingestors.connect("fleetps-ingestor")).await?;
    if let Brokers::Managed(server) = brokers {
        patiently("the start", || server.mend_buckets()).await?;
    }
    patiently("restoring", || async {
        fleetps_ingestor::backup::bring_back_state(&client, &config.data).await
    })
    .await?;
    let own = Some(host).filter(|_| config.broker.nats.is_none());
    let found = find_losses(&client, config, own).await?;
    let settings = config.history.clone();
    // Makes the streams, which the other parts wait for.
    parts.spawn_storing("the ingestor", |stop| async move {
        Ok(fleetps_ingestor::run(client, settings, stop).await?)
    });
    Ok(found)
}
