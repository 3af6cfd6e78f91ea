//! Where a host's snapshots go: to the broker, or to a web server that puts them into the stream.

use fleetps_nats::connection::Broker;

use crate::server::Server;

/// Where the snapshots go.
#[derive(Debug, Clone)]
pub enum Uplink {
    /// To a broker.
    Broker(Broker),
    /// To a web server, which puts them into the stream.
    Server(Server),
}

impl From<Broker> for Uplink {
    fn from(broker: Broker) -> Self {
        Self::Broker(broker)
    }
}
