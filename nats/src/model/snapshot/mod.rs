//! The snapshot: one message that is the whole state of one machine at one moment.
//!
//! On the wire it is MessagePack, compressed by zstd. Structures are maps with named fields, so an older reader skips
//! unknown fields and a newer one fills in missing ones. The processes are columns (see `model`), which pack, compress
//! and decode several times better than rows. In memory they are rows.
//!
//! Facts, not rates: where the operating system counts, the counter travels, and the reader takes differences. What
//! could not be read is absent (`None`), never zero. Every string is hostile.

mod bad_snapshot;
mod codec;
mod columns_of;
mod sent;

use serde::{Deserialize, Serialize};

pub use bad_snapshot::BadSnapshot;
pub use codec::{Decoder, EncodeError, Encoder};
pub use columns_of::Columns;
pub use sent::{MAX_OFFSET_US, Sent};

pub use super::bounded::MAX_PROCESSES;
use super::{bounded::bounded_list, process};
pub use crate::model::{
    filesystem::FilesystemSample,
    host::{AgentCost, HostInfo, HostSample},
    interface::InterfaceSample,
    process::Process,
};

/// The wire format this code writes.
pub const FORMAT: u32 = 1;
/// Longest message: NATS' default largest payload.
pub const MAX_COMPRESSED_BYTES: usize = 1 << 20;
/// Longest headers of a message: six times an agent's, which has the sequence and, in earlier versions, a message id.
pub const MAX_HEADER_BYTES: usize = 1 << 10;
/// Longest MessagePack after decompression; 20,000 processes with ordinary command lines take about 5 MB.
pub const MAX_DECOMPRESSED_BYTES: usize = 16 << 20;
/// Most mounted file systems in a snapshot: a container host with many overlay mounts has hundreds.
pub const MAX_FILESYSTEMS: usize = 2_000;
/// Most network interfaces in a snapshot.
pub const MAX_INTERFACES: usize = 200;
/// Longest string, in bytes; the agent cuts longer ones.
pub const MAX_STRING_BYTES: usize = 4096;

/// The whole state of one machine at one moment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    /// The wire format, [`FORMAT`].
    pub format: u32,
    /// The agent's version, as in its `Cargo.toml`.
    pub agent_version: String,
    /// The machine's own name, as its operating system says it. Shown, never used as identity.
    pub os_host_name: String,
    /// Identifies this boot of the machine.
    pub boot_id: String,
    /// Identifies this run of the agent.
    pub run_id: String,
    /// Counts this run's snapshots from 1.
    pub sequence: u64,
    /// When the sample was taken, in µs since 1970 UTC, by the host's clock unless that is off by more than
    /// [`MAX_OFFSET_US`].
    pub captured_at_us: i64,
    /// By how much the host's clock was ahead of the broker's then, in µs; negative behind. Not part of the message: who
    /// receives it works it out ([`Sent`]). Where it is more than [`MAX_OFFSET_US`], `captured_at_us` is on the broker's clock.
    #[serde(skip)]
    pub clock_offset_us: Option<i64>,
    /// The time between two samples, in ms.
    pub interval_ms: u32,
    /// Time since the machine booted that no clock change moves, in ms.
    pub monotonic_ms: u64,
    /// The agent's own cost.
    pub agent: AgentCost,
    /// The machine's load and counters.
    pub host: HostSample,
    /// The description of the machine, which hardly changes. It travels every time (about 150 bytes compressed), so
    /// that a web server needs only the last message of a host after a restart.
    pub host_info: HostInfo,
    /// The mounted file systems.
    #[serde(deserialize_with = "bounded_list::<_, _, MAX_FILESYSTEMS>")]
    pub filesystems: Vec<FilesystemSample>,
    /// The network interfaces; where there are many, those that count and the busiest
    /// ([`HostSample::interface_count`] says how many there are).
    #[serde(deserialize_with = "bounded_list::<_, _, MAX_INTERFACES>")]
    pub interfaces: Vec<InterfaceSample>,
    /// Processes left out: excluded by settings, beyond the limits, or beyond what one message holds.
    pub processes_left_out: u32,
    /// Processes with a text (command line, executable, unit) that was shortened. The text has a mark such as
    /// `…[5,812 bytes]…` in the place of what was left out.
    pub texts_shortened: u32,
    /// The processes, in any order, each pid once.
    #[serde(with = "process")]
    pub processes: Vec<Process>,
}

impl Snapshot {
    /// Whether it is the same as the one with this run and sequence.
    pub fn is_repeat_of(&self, run_id: &str, sequence: u64) -> bool {
        (self.run_id.as_str(), self.sequence) == (run_id, sequence)
    }
}
