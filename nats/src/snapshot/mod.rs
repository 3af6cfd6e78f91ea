//! The snapshot: one message that is the whole state of one machine at one moment.
//!
//! On the wire it is MessagePack, compressed by zstd. Structures are maps with named fields, so an older reader skips
//! what it does not know and a newer one fills in what is missing; the processes are columns (see `columns`), which
//! pack, compress and decode several times better than rows. In memory they are rows.
//!
//! Facts, not rates: where the operating system counts, the counter travels, and the reader takes differences. What
//! could not be read is absent (`None`), never zero. Every string is hostile.

mod codec;
mod columns;
mod refusal;

use serde::{Deserialize, Serialize};

pub use codec::{Decoder, EncodeError, Encoder};
pub use refusal::Refusal;

/// The wire format this code writes.
pub const FORMAT: u32 = 1;
/// Longest message: NATS' default largest payload.
pub const MAX_COMPRESSED_BYTES: usize = 1 << 20;
/// Longest headers of a message: six times those of an agent, which has the sequence and, in earlier versions, a
/// message id.
pub const MAX_HEADER_BYTES: usize = 1 << 10;
/// Longest MessagePack after decompression; 20,000 processes with ordinary command lines take about 5 MB.
pub const MAX_DECOMPRESSED_BYTES: usize = 16 << 20;
/// Most processes in a snapshot.
pub const MAX_PROCESSES: usize = 20_000;
/// Most mounted file systems in a snapshot: a container host with many overlay mounts has hundreds.
pub const MAX_FILESYSTEMS: usize = 2_000;
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
    /// When the sample was taken, in µs since 1970 UTC, by the host's clock.
    pub captured_at_us: i64,
    /// The time between two samples, in ms.
    pub interval_ms: u32,
    /// Time since the machine booted that no clock change moves, in ms.
    pub monotonic_ms: u64,
    /// What the agent itself costs.
    pub agent: AgentCost,
    /// The machine's load and counters.
    pub host: HostSample,
    /// What hardly changes. It travels every time (about 150 bytes compressed), so that the last message of a host is
    /// all that a web server needs after a restart.
    pub host_info: HostInfo,
    /// The mounted file systems.
    #[serde(deserialize_with = "codec::bounded_list::<_, _, MAX_FILESYSTEMS>")]
    pub filesystems: Vec<FilesystemSample>,
    /// Processes left out: excluded by settings, beyond the limits, or beyond what one message holds.
    pub processes_left_out: u32,
    /// The processes, in any order, each pid once.
    #[serde(with = "columns")]
    pub processes: Vec<Process>,
}

impl Snapshot {
    /// Whether it is the same as the one with this run and sequence.
    pub fn is_repeat_of(&self, run_id: &str, sequence: u64) -> bool {
        (self.run_id.as_str(), self.sequence) == (run_id, sequence)
    }
}

/// What the agent itself costs, and what it lost.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentCost {
    /// CPU time of the agent since it started, in ms.
    pub cpu_time_ms: Option<u64>,
    /// Resident set of the agent.
    pub resident_bytes: Option<u64>,
    /// How long taking the sample before this one took, in µs.
    pub pass_us: Option<u64>,
    /// Snapshots of this run that were dropped because the broker was away for too long.
    pub dropped_snapshots: u64,
}

/// The machine's load and counters at the moment of the snapshot.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HostSample {
    /// CPU use over the last interval, in percent of all cores together (0 to 100).
    pub cpu_percent: Option<f32>,
    /// Load average over 1 minute; absent on Windows.
    pub load_1: Option<f32>,
    /// Load average over 5 minutes.
    pub load_5: Option<f32>,
    /// Load average over 15 minutes.
    pub load_15: Option<f32>,
    /// Installed memory.
    pub memory_total_bytes: Option<u64>,
    /// Memory in use.
    pub memory_used_bytes: Option<u64>,
    /// Memory that new processes can have without swapping.
    pub memory_available_bytes: Option<u64>,
    /// Swap space.
    pub swap_total_bytes: Option<u64>,
    /// Swap space in use.
    pub swap_used_bytes: Option<u64>,
    /// Bytes read from disks since boot (counter).
    pub disk_read_bytes: Option<u64>,
    /// Bytes written to disks since boot (counter).
    pub disk_written_bytes: Option<u64>,
    /// Bytes received by network interfaces, without loopback (counter).
    pub network_received_bytes: Option<u64>,
    /// Bytes sent by network interfaces, without loopback (counter).
    pub network_sent_bytes: Option<u64>,
    /// Processes on the machine, including those left out of the snapshot.
    pub process_count: Option<u32>,
    /// Threads on the machine.
    pub thread_count: Option<u32>,
    /// Time since boot, in s.
    pub uptime_s: Option<u64>,
}

/// What a machine is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HostInfo {
    /// Operating system with version, as in "Debian GNU/Linux 12".
    pub os: Option<String>,
    /// Kernel with version, as in "Linux 6.8.0".
    pub kernel: Option<String>,
    /// Processor architecture, as in "x86_64".
    pub architecture: Option<String>,
    /// Processor model, as it names itself.
    pub cpu_model: Option<String>,
    /// Physical cores.
    pub cores: Option<u32>,
    /// Hardware threads.
    pub threads: Option<u32>,
    /// Processor frequency, in MHz.
    pub frequency_mhz: Option<u64>,
    /// Installed memory.
    pub memory_bytes: Option<u64>,
    /// When the machine booted, in µs since 1970 UTC.
    pub boot_at_us: Option<i64>,
}

/// One mounted file system.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FilesystemSample {
    /// Where it is mounted.
    pub mount: String,
    /// What is mounted, as in "/dev/sda1".
    pub device: Option<String>,
    /// Kind, as in "ext4".
    pub kind: Option<String>,
    /// Size.
    pub total_bytes: u64,
    /// Bytes in use.
    pub used_bytes: u64,
}

/// One process. Its identity is (host, boot id, pid, start time); a pid alone is none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// Parent's process id; `None` for the first process and orphans of the kernel.
    pub parent_pid: Option<u32>,
    /// When it started, in µs since 1970 UTC; the same value in every snapshot of this boot.
    pub started_at_us: i64,
    /// Name, as the kernel has it.
    pub name: String,
    /// Path of the executable.
    pub executable: Option<String>,
    /// Command line, arguments joined by spaces, scrubbed on the host; absent when withheld.
    pub command_line: Option<String>,
    /// User's name, or the id where there is none.
    pub user_name: Option<String>,
    /// State as `ps` letters: R running, S sleeping, D waiting for disk, I idle, T stopped, Z zombie, X dead, ? unknown.
    pub state: char,
    /// Threads.
    pub threads: Option<u32>,
    /// CPU use over the last interval, in percent of one core, as in `top`.
    pub cpu_percent: Option<f32>,
    /// CPU time, in ms (counter).
    pub cpu_time_ms: Option<u64>,
    /// Resident set.
    pub resident_bytes: Option<u64>,
    /// Virtual size.
    pub virtual_bytes: Option<u64>,
    /// Bytes read from storage (counter).
    pub read_bytes: Option<u64>,
    /// Bytes written to storage (counter).
    pub written_bytes: Option<u64>,
    /// systemd unit, as in "nginx.service".
    pub unit: Option<String>,
    /// Container id, the first 12 hexadecimal digits.
    pub container: Option<String>,
}
