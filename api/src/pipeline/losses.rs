//! Records that the broker lost since the last start.

use fleetps_nats::{
    HostName,
    audit::AuditError,
    bucket::BucketError,
    patience::{Passing, patiently},
    stream::StreamError,
};

use crate::{
    auth::AuthError,
    config::Config,
    recovery::{self, Found},
};

/// Finds the broker's lost records. Waits for the broker.
pub(super) async fn find_losses(
    client: &async_nats::Client,
    config: &Config,
    this_host: Option<&HostName>,
) -> anyhow::Result<Found> {
    let finding = || async {
        recovery::at_start(client, &config.data, config.recover, this_host).await.map_err(StartError)
    };
    Ok(patiently("the start", finding).await?)
}

/// A step of the start failed.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub(super) struct StartError(pub(super) anyhow::Error);

impl Passing for StartError {
    /// Where it was the broker that failed, and not a file or a setting.
    fn is_passing(&self) -> bool {
        self.0.chain().any(|cause| {
            cause.is::<BucketError>()
                || cause.is::<StreamError>()
                || cause.is::<AuditError>()
                || cause.downcast_ref::<AuthError>().is_some_and(Passing::is_passing)
        })
    }
}
