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
}

/// What a metric is by.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source {
    /// Whether the host was up.
    Up,
    /// What happened to hosts and their processes.
    Events,
    /// A number of the host, by its name in the model.
    Host(&'static str),
    /// A figure of programs.
    Program(ProgramFigure),
}

impl Metric {
    const fn new(name: &'static str, unit: &'static str, source: Source, help: &'static str) -> Self {
        Self { name, help, unit, source, scale: 1.0 }
    }

    const fn from_ms(self) -> Self {
        Self { scale: FROM_MS, ..self }
    }

    /// Whether it only grows.
    pub(crate) fn is_counter(&self) -> bool {
        match self.source {
            Source::Up => false,
            Source::Events => true,
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
pub(crate) const METRICS: [Metric; 27] = [
    Metric::new(
        "fleetps_events_total",
        "",
        Source::Events,
        "What happened to hosts and processes, by kind and program; take increase.",
    ),
    host(
        "fleetps_host_cpu_idle_seconds_total",
        "cpu_idle_ms",
        "seconds",
        "Time in which cores had nothing to do, since boot, of all cores together.",
    )
    .from_ms(),
    host(
        "fleetps_host_cpu_iowait_seconds_total",
        "cpu_iowait_ms",
        "seconds",
        "The part of the idle time in which a process waited for a disk, since boot.",
    )
    .from_ms(),
    host(
        "fleetps_host_cpu_percent",
        "cpu_percent",
        "percent",
        "CPU use over the last interval, in percent of all cores together.",
    ),
    host(
        "fleetps_host_cpu_seconds_total",
        "cpu_time_ms",
        "seconds",
        "Time in which cores were busy, since boot, of all cores together.",
    )
    .from_ms(),
    host(
        "fleetps_host_disk_read_bytes_total",
        "disk_read_bytes",
        "bytes",
        "Bytes read from disks since boot.",
    ),
    host(
        "fleetps_host_disk_written_bytes_total",
        "disk_written_bytes",
        "bytes",
        "Bytes written to disks since boot.",
    ),
    host("fleetps_host_interfaces", "interface_count", "", "Network interfaces."),
    host("fleetps_host_load1", "load_1", "", "Load average over 1 minute."),
    host("fleetps_host_load15", "load_15", "", "Load average over 15 minutes."),
    host("fleetps_host_load5", "load_5", "", "Load average over 5 minutes."),
    host(
        "fleetps_host_memory_available_bytes",
        "memory_available_bytes",
        "bytes",
        "Memory that new processes can have without swapping.",
    ),
    host("fleetps_host_memory_bytes", "memory_total_bytes", "bytes", "Installed memory."),
    host(
        "fleetps_host_memory_used_bytes",
        "memory_used_bytes",
        "bytes",
        "Memory in use: installed less available.",
    ),
    host(
        "fleetps_host_network_receive_bytes_total",
        "network_received_bytes",
        "bytes",
        "Bytes received by the interfaces that count, since boot.",
    ),
    host(
        "fleetps_host_network_transmit_bytes_total",
        "network_sent_bytes",
        "bytes",
        "Bytes sent by the interfaces that count, since boot.",
    ),
    host("fleetps_host_processes", "process_count", "", "Processes."),
    host("fleetps_host_swap_bytes", "swap_total_bytes", "bytes", "Swap space."),
    host("fleetps_host_swap_used_bytes", "swap_used_bytes", "bytes", "Swap space in use."),
    host("fleetps_host_threads", "thread_count", "", "Threads."),
    Metric::new(
        "fleetps_host_up",
        "",
        Source::Up,
        "1 while the host's snapshots arrive, 0 while it is silent.",
    ),
    host("fleetps_host_uptime_seconds", "uptime_s", "seconds", "Time since boot."),
    program(
        "fleetps_program_cpu_seconds_total",
        ProgramFigure::CpuTime,
        "seconds",
        "CPU time of a program's processes, with that of their ended children.",
    )
    .from_ms(),
    program("fleetps_program_processes", ProgramFigure::Processes, "", "Processes of a program."),
    program(
        "fleetps_program_read_bytes_total",
        ProgramFigure::Read,
        "bytes",
        "Bytes that a program's processes read from storage.",
    ),
    program(
        "fleetps_program_resident_bytes",
        ProgramFigure::Resident,
        "bytes",
        "Resident memory of a program's processes; what they share counts once.",
    ),
    program(
        "fleetps_program_written_bytes_total",
        ProgramFigure::Written,
        "bytes",
        "Bytes that a program's processes wrote to storage.",
    ),
];
