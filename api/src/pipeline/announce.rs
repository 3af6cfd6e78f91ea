//! The messages printed once everything runs.

use fleetps_nats::{HostName, units};

use super::agent::DEMO_HOSTS_WITH_PAST;
use crate::config::Config;

/// The block that says where to look.
pub(super) fn started(config: &Config, address: &str, host: &HostName, is_new: bool) -> String {
    let broker = config.broker.nats.as_deref().unwrap_or("a local nats-server, managed");
    let samples = if config.local.sample_this_host {
        format!("this machine as {host}, every {}", units::format_duration(config.sample.interval))
    } else {
        "not this machine".to_owned()
    };
    let demo = match config.local.demo_hosts {
        0 => String::new(),
        hosts if !is_new => format!("; {hosts} simulated hosts"),
        // Their history is filled while everything runs already.
        hosts if hosts <= DEMO_HOSTS_WITH_PAST => {
            format!("; {hosts} simulated hosts, each as soon as it has a past of six hours")
        }
        hosts => format!(
            "; {hosts} simulated hosts, the first {DEMO_HOSTS_WITH_PAST} as soon as they have a past of six hours"
        ),
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
