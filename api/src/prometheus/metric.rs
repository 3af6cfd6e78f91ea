//! The metrics: each with its name, its meaning, and the figure of the model that it is.
//!
//! A metric has its unit in its name, as Prometheus wants it: bytes, seconds, percent. What a counter of milliseconds counts is
//! divided by a thousand.

use fleetps_ingestor::history::{HostFigure, ProgramFigure};

/// Labels of hosts, and of programs on them.
pub(crate) const HOST: &str = "host";
/// The name of a program.
pub(crate) const PROGRAM: &str = "program";
/// The user of a program; absent where that is unknown.
pub(crate) const USER: &str = "user";
/// The systemd unit of a program; absent where there is none.
pub(crate) const UNIT: &str = "unit";
/// Over how many minutes a load average is.
pub(crate) const MINUTES: &str = "minutes";
/// What cores did: `busy`, `idle`, or `iowait`, idle while a process waits for a disk.
pub(crate) const MODE: &str = "mode";
/// The kind of an event.
pub(crate) const KIND: &str = "kind";
/// Selects hosts by a group that they are in. No series has it: a host may be in several.
pub(crate) const GROUP: &str = "group";

/// Milliseconds as seconds.
const FROM_MS: f64 = 0.001;

/// A metric.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Metric {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it says.
    pub(crate) help: &'static str,
    /// Its unit, as metadata have it.
    pub(crate) unit: &'static str,
    /// What it is by.
    pub(crate) source: Source,
    /// What a value is multiplied by.
    pub(crate) scale: f64,
    /// A label of its series that is always the same: metrics of one name differ by it.
    pub(crate) label: Option<(&'static str, &'static str)>,
}

/// What a metric is by.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source {
    /// Whether the host was up.
    Up,
    /// What happened to hosts and their processes.
    Events,
    /// Time in which cores were idle without a process that waits for a disk.
    Idle,
    /// A number of the host, by its name in the model.
    Host(&'static str),
    /// A figure of programs.
    Program(ProgramFigure),
}

impl Metric {
    const fn new(name: &'static str, unit: &'static str, source: Source, help: &'static str) -> Self {
        Self { name, help, unit, source, scale: 1.0, label: None }
    }

    /// The same, of a figure in milliseconds.
    const fn in_ms(self) -> Self {
        Self { scale: FROM_MS, ..self }
    }

    const fn with(self, label: &'static str, value: &'static str) -> Self {
        Self { label: Some((label, value)), ..self }
    }

    /// Whether it only grows.
    pub(crate) fn is_counter(&self) -> bool {
        match self.source {
            Source::Up => false,
            Source::Events | Source::Idle => true,
            Source::Host(field) => HostFigure::of(field).is_some_and(HostFigure::is_counter),
            Source::Program(figure) => figure.is_counter(),
        }
    }

    /// Its type, as metadata have it.
    pub(crate) fn kind(&self) -> &'static str {
        if self.is_counter() && self.name.ends_with("_total") { "counter" } else { "gauge" }
    }
}

const fn host(name: &'static str, field: &'static str, unit: &'static str, help: &'static str) -> Metric {
    Metric::new(name, unit, Source::Host(field), help)
}

const fn program(
    name: &'static str,
    figure: ProgramFigure,
    unit: &'static str,
    help: &'static str,
) -> Metric {
    Metric::new(name, unit, Source::Program(figure), help)
}

/// Every metric, by name.
pub(crate) const METRICS: [Metric; 28] = [
    Metric::new("fleetps_events_total", "", Source::Events, "What happened to hosts and processes, by kind and program; take increase."),
    host("fleetps_host_cpu_percent", "cpu_percent", "percent", "CPU use over the last interval, in percent of all cores together."),
    host("fleetps_host_cpu_seconds_total", "cpu_time_ms", "seconds", "Time of all cores together since boot: busy, idle, or idle while a process waits for a disk (iowait).").in_ms().with(MODE, "busy"),
    Metric::new("fleetps_host_cpu_seconds_total", "seconds", Source::Idle, "Time of all cores together since boot: busy, idle, or idle while a process waits for a disk (iowait).").in_ms().with(MODE, "idle"),
    host("fleetps_host_cpu_seconds_total", "cpu_iowait_ms", "seconds", "Time of all cores together since boot: busy, idle, or idle while a process waits for a disk (iowait).").in_ms().with(MODE, "iowait"),
    host("fleetps_host_disk_read_bytes_total", "disk_read_bytes", "bytes", "Bytes read from disks since boot."),
    host("fleetps_host_disk_written_bytes_total", "disk_written_bytes", "bytes", "Bytes written to disks since boot."),
    host("fleetps_host_interfaces", "interface_count", "", "Network interfaces."),
    host("fleetps_host_load", "load_1", "", "Load average over 1, 5 and 15 minutes.").with(MINUTES, "1"),
    host("fleetps_host_load", "load_5", "", "Load average over 1, 5 and 15 minutes.").with(MINUTES, "5"),
    host("fleetps_host_load", "load_15", "", "Load average over 1, 5 and 15 minutes.").with(MINUTES, "15"),
    host("fleetps_host_memory_available_bytes", "memory_available_bytes", "bytes", "Memory that new processes can have without swapping."),
    host("fleetps_host_memory_total_bytes", "memory_total_bytes", "bytes", "Installed memory."),
    host("fleetps_host_memory_used_bytes", "memory_used_bytes", "bytes", "Memory in use: installed less available."),
    host("fleetps_host_network_received_bytes_total", "network_received_bytes", "bytes", "Bytes received by the machine's own interfaces since boot, each once."),
    host("fleetps_host_network_sent_bytes_total", "network_sent_bytes", "bytes", "Bytes sent by them since boot."),
    host("fleetps_host_oom_kills_total", "oom_kills", "", "Processes that the kernel has ended since boot for want of memory."),
    host("fleetps_host_processes", "process_count", "", "Processes on the machine, including those that its agent leaves out."),
    host("fleetps_host_swap_total_bytes", "swap_total_bytes", "bytes", "Swap space."),
    host("fleetps_host_swap_used_bytes", "swap_used_bytes", "bytes", "Swap space in use."),
    host("fleetps_host_threads", "thread_count", "", "Threads on the machine."),
    Metric::new("fleetps_host_up", "", Source::Up, "1 while the host's snapshots arrive, 0 while it is silent."),
    host("fleetps_host_uptime_seconds", "uptime_s", "seconds", "Time since boot."),
    program("fleetps_program_cpu_seconds_total", ProgramFigure::CpuTime, "seconds", "CPU time of a program's processes and their ended children.").in_ms(),
    program("fleetps_program_memory_bytes", ProgramFigure::Resident, "bytes", "Memory of a program's processes. What they share is counted once."),
    program("fleetps_program_processes", ProgramFigure::Processes, "", "A program's processes."),
    program("fleetps_program_read_bytes_total", ProgramFigure::Read, "bytes", "Bytes that a program's processes read from storage."),
    program("fleetps_program_written_bytes_total", ProgramFigure::Written, "bytes", "Bytes that a program's processes wrote to storage."),
];
