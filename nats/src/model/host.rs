//! The fields of a host: what it does, what it is, and what its agent costs.

use serde::{Deserialize, Serialize};

use super::{
    Field, Rate, Unit,
    places::{Selection, count, places},
    record::record,
};

record! {
    /// The agent's own cost, and its dropped snapshots.
    #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
    #[serde(default)]
    AgentCost, AGENT {
        /// CPU time of the agent since it started, in ms.
        cpu_time_ms: Option<u64> => Field::counter(Unit::Milliseconds).column("agent_cpu_time_ms");
        /// Resident set of the agent.
        resident_bytes: Option<u64> => Field::level(Unit::Bytes, "BIGINT").column("agent_resident_bytes");
        /// How long taking the sample before this one took, in µs.
        pass_us: Option<u64> => Field::level(Unit::Microseconds, "BIGINT").column("agent_pass_us");
        /// Snapshots of this run that were dropped because the broker was away for too long.
        dropped_snapshots: u64 => Field::counter(Unit::Count).column("agent_dropped_snapshots");
    }
}

record! {
    /// The machine's load and counters at the moment of the snapshot.
    #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
    #[serde(default)]
    HostSample, HOST {
        /// CPU use over the last interval, in percent of all cores together (0 to 100).
        cpu_percent: Option<f32> => Field::level(Unit::Percent, "FLOAT").over_time();
        /// Load average over 1 minute; absent on Windows.
        load_1: Option<f32> => Field::level(Unit::Count, "FLOAT").over_time();
        /// Load average over 5 minutes.
        load_5: Option<f32> => Field::level(Unit::Count, "FLOAT").over_time();
        /// Load average over 15 minutes.
        load_15: Option<f32> => Field::level(Unit::Count, "FLOAT").over_time();
        /// Installed memory.
        memory_total_bytes: Option<u64> => Field::level(Unit::Bytes, "BIGINT").over_time();
        /// Memory in use, as `free` has it: installed less available.
        memory_used_bytes: Option<u64> => Field::level(Unit::Bytes, "BIGINT").over_time();
        /// Memory that new processes can have without swapping.
        memory_available_bytes: Option<u64> => Field::level(Unit::Bytes, "BIGINT");
        /// Swap space.
        swap_total_bytes: Option<u64> => Field::level(Unit::Bytes, "BIGINT");
        /// Swap space in use.
        swap_used_bytes: Option<u64> => Field::level(Unit::Bytes, "BIGINT").over_time();
        /// Bytes read from disks since boot (counter): each once, whatever is stacked on the disk.
        disk_read_bytes: Option<u64> => Field::counter(Unit::Bytes)
            .rate(Rate::new("disk_read_bytes_per_s", "disk_read_per_s")).over_time();
        /// Bytes written to disks since boot (counter).
        disk_written_bytes: Option<u64> => Field::counter(Unit::Bytes)
            .rate(Rate::new("disk_written_bytes_per_s", "disk_written_per_s")).over_time();
        /// Bytes received by the machine's physical network interfaces, each once (counter); where there is none, as in a
        /// container, by those of the default route. Bridges, bonds, VLANs and containers on top of them are not in it.
        /// [`INTERFACE`](super::interface::INTERFACE) says which interfaces count.
        network_received_bytes: Option<u64> => Field::counter(Unit::Bytes)
            .rate(Rate::new("network_received_bytes_per_s", "network_received_per_s")).over_time();
        /// Bytes sent by the same interfaces (counter).
        network_sent_bytes: Option<u64> => Field::counter(Unit::Bytes)
            .rate(Rate::new("network_sent_bytes_per_s", "network_sent_per_s")).over_time();
        /// Processes on the machine, including those left out of the snapshot.
        process_count: Option<u32> => Field::level(Unit::Count, "UINTEGER").over_time();
        /// Threads on the machine.
        thread_count: Option<u32> => Field::level(Unit::Count, "UINTEGER").over_time();
        /// Time since boot, in s.
        uptime_s: Option<u64> => Field::counter(Unit::Seconds);
        /// Time since boot in which cores were busy, of all cores together, in ms (counter): user, nice, system, interrupts
        /// and what the hypervisor gave to others. Linux only, in steps of 10 ms.
        cpu_time_ms: Option<u64> => Field::counter(Unit::Milliseconds).since(7);
        /// Time since boot in which cores had nothing to do, waiting for disks included, in ms (counter). With
        /// `cpu_time_ms` it is all the time that the cores had.
        cpu_idle_ms: Option<u64> => Field::counter(Unit::Milliseconds).since(7);
        /// The part of `cpu_idle_ms` in which a process waited for a disk, in ms (counter).
        cpu_iowait_ms: Option<u64> => Field::counter(Unit::Milliseconds).since(7);
        /// Network interfaces of the machine, including those that are not in the snapshot.
        interface_count: Option<u32> => Field::level(Unit::Count, "UINTEGER").since(7);
        /// Processes that the kernel has killed since boot because the machine or a control group was out of memory
        /// (counter). An agent in a container counts the whole machine. Linux only, since 4.13.
        oom_kills: Option<u64> => Field::counter(Unit::Count).since(10);
    }
}

/// The places in [`HOST`] of the levels that answers about a span have.
pub const LEVELS_OVER_TIME: [usize; count(&HOST, Selection::LevelsOverTime)] =
    places(&HOST, Selection::LevelsOverTime);
/// The places in [`HOST`] of the counters that answers about a span have, as rates.
pub const COUNTERS_OVER_TIME: [usize; count(&HOST, Selection::CountersOverTime)] =
    places(&HOST, Selection::CountersOverTime);

record! {
    /// The description of a machine.
    #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
    #[serde(default)]
    HostInfo, HOST_INFO {
        /// Operating system with version, as in "Debian GNU/Linux 12".
        os: Option<String> => Field::text();
        /// Kernel with version, as in "Linux 6.8.0".
        kernel: Option<String> => Field::text();
        /// Processor architecture, as in "x86_64".
        architecture: Option<String> => Field::text();
        /// Processor model, as it names itself.
        cpu_model: Option<String> => Field::text();
        /// Physical cores.
        cores: Option<u32> => Field::fact(Unit::Count, "UINTEGER");
        /// Hardware threads.
        threads: Option<u32> => Field::fact(Unit::Count, "UINTEGER");
        /// Processor frequency, in MHz.
        frequency_mhz: Option<u64> => Field::fact(Unit::Count, "BIGINT");
        /// Installed memory.
        memory_bytes: Option<u64> => Field::fact(Unit::Bytes, "BIGINT");
        /// When the machine booted, in µs since 1970 UTC.
        boot_at_us: Option<i64> => Field::time("boot_at");
        /// What keeps the agent from seeing all processes, or all of them whole, in words; absent where nothing does.
        limited_view: Option<String> => Field::text().since(7);
        /// The container that the agent runs in, and what it therefore sees, as in "docker: memory of the whole machine,
        /// network of the container"; absent outside containers.
        seen_from: Option<String> => Field::text().since(7);
        /// Where its snapshots come from, as in "legacy 001" for an agent of the older system 001 and "legacy 001, unverified"
        /// where its key is no proof of its name; absent for an agent of fleetps.
        source: Option<String> => Field::text().since(8);
        /// Whether this is the last snapshot until sampling goes on: the fleet has asked the agent to pause. Absent otherwise.
        paused: Option<bool> => Field::flag().since(9);
    }
}

impl HostInfo {
    /// Whether sampling pauses after this snapshot.
    pub fn is_paused(&self) -> bool {
        self.paused == Some(true)
    }

    /// Whether the machine has processes that its agent does not see. Others may be seen in part.
    pub fn hides_processes(&self) -> bool {
        self.limited_view.as_deref().is_some_and(says_processes_are_hidden)
    }
}

/// Whether a [`HostInfo::limited_view`] is that of an agent which sees only some of the machine's processes.
pub fn says_processes_are_hidden(limited_view: &str) -> bool {
    limited_view.contains("sees only")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Kind;

    #[test]
    fn a_counter_over_time_has_a_rate_of_its_own_name() {
        for field in HOST.iter().filter(|field| field.is_over_time) {
            assert_eq!(field.rate.is_some(), field.kind == Kind::Counter, "{}", field.name);
        }
        let mut names: Vec<_> = HOST.iter().map(Field::name_over_time).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), HOST.len());
    }
}
