//! The messages printed once everything runs.

use fleetps_nats::{HostName, units};

use crate::config::Config;

/// A new demonstration fills a history while everything runs already.
const PAST: &str = ", each as soon as it has a past of six hours";

/// The block that says where to look.
pub(super) fn started(config: &Config, address: &str, host: &HostName, is_new: bool) -> String {
    let broker = config.broker.nats.as_deref().unwrap_or("a local nats-server, managed");
    let samples = if config.local.sample_this_host {
        format!("this machine as {host}, every {}", units::format_duration(config.sample.interval))
    } else {
        "not this machine".to_owned()
    };
    let demo = if config.local.demo_hosts > 0 {
        format!("; {} simulated hosts{}", config.local.demo_hosts, if is_new { PAST } else { "" })
    } else {
        String::new()
    };
    format!(
        "\n  fleetps {version} is running\n\n    look      {address}\n    data      {data}\n    \
         broker    {broker}\n    samples   {samples}{demo}\n    query     duckdb -init {attach}\n    \
         stop      Ctrl-C\n\n",
        version = env!("CARGO_PKG_VERSION"),
        data = config.data.display(),
        attach = config.history.history.join(fleetps_ingestor::ATTACH_SQL).display(),
    )
}
