//! The fields of a network interface.

use serde::{Deserialize, Serialize};

use super::{Field, Unit, record::record};

record! {
    /// One network interface. Its counters count since boot and never fall: where an interface is made anew under the same
    /// name, or its driver is loaded again, the agent goes on adding.
    #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
    #[serde(default)]
    InterfaceSample, INTERFACE {
        /// Name, as in "eth0".
        name: String => Field::text().since(7);
        /// Kind: physical, loopback, bridge, bond, vlan, veth, tunnel, wlan and so on; absent where it is unknown.
        #[serde(skip_serializing_if = "Option::is_none")]
        kind: Option<String> => Field::text().since(7);
        /// Why its bytes are part of the host's totals: "physical", or, on a machine without a physical interface,
        /// "default route" or "uplink". Absent where they are not: its traffic is on another interface as well, or never
        /// leaves the machine.
        #[serde(skip_serializing_if = "Option::is_none")]
        counted_as: Option<String> => Field::text().since(7);
        /// The bridge or bond that it belongs to.
        #[serde(skip_serializing_if = "Option::is_none")]
        master: Option<String> => Field::text().since(7);
        /// Bytes received (counter).
        received_bytes: Option<u64> => Field::counter(Unit::Bytes).since(7);
        /// Bytes sent (counter).
        sent_bytes: Option<u64> => Field::counter(Unit::Bytes).since(7);
        /// Packets received (counter).
        received_packets: Option<u64> => Field::counter(Unit::Count).since(7);
        /// Packets sent (counter).
        sent_packets: Option<u64> => Field::counter(Unit::Count).since(7);
        /// Received packets that were damaged (counter).
        received_errors: Option<u64> => Field::counter(Unit::Count).since(7);
        /// Packets that could not be sent (counter).
        sent_errors: Option<u64> => Field::counter(Unit::Count).since(7);
        /// Received packets that were dropped, for want of room or of anybody to take them (counter).
        received_drops: Option<u64> => Field::counter(Unit::Count).since(7);
        /// Packets that were dropped before they were sent (counter).
        sent_drops: Option<u64> => Field::counter(Unit::Count).since(7);
    }
}
