//! What questions to the history are answered with.
//!
//! Times are µs since 1970 UTC, by the host's clock, kept to the millisecond. What is not known is absent, never zero.

use fleetps_nats::{
    HostName,
    snapshot::{Process, Snapshot},
};

/// From `from_us` up to but not including `to_us`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first moment.
    pub from_us: i64,
    /// The moment after the last.
    pub to_us: i64,
}

/// Which process: a pid alone is used again and again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// Its host.
    pub host: HostName,
    /// The boot of its host.
    pub boot_id: String,
    /// Its process id.
    pub pid: u32,
    /// When it started.
    pub started_at_us: i64,
}

/// How finely the past was kept where an answer comes from; of several, the coarsest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resolution {
    /// Every sample.
    Samples,
    /// The last sample of every minute.
    Minutes,
    /// Sums of every hour; no process tables.
    Hours,
}

/// Since when the past is kept at which resolution; absent where nothing is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept {
    /// Since when there is every sample.
    pub samples_from_us: Option<i64>,
    /// Since when there is at least one sample a minute.
    pub minutes_from_us: Option<i64>,
    /// Since when there are at least the sums of every hour.
    pub hours_from_us: Option<i64>,
    /// The last snapshot of any host.
    pub last_us: Option<i64>,
}

/// A segment that cannot be read. What it holds is missing in every answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// The name of the file.
    pub segment: String,
    /// About which time it held, by the broker's clock.
    pub span: Span,
    /// Why it is missing, in words.
    pub reason: String,
}

/// The process table at a moment, or why there is none.
#[derive(Debug, Clone, PartialEq)]
pub enum AtMoment {
    /// The last snapshot at or before it.
    Snapshot(Box<PastSnapshot>),
    /// None that would say how it was then.
    Nothing(NoSnapshot),
}

/// A snapshot of the past.
#[derive(Debug, Clone, PartialEq)]
pub struct PastSnapshot {
    /// The snapshot, as it was published, as far as segments keep it.
    pub snapshot: Snapshot,
    /// The one before it, where that is of the same boot, for rates.
    pub previous: Option<Snapshot>,
    /// When the snapshot before it was captured, of whichever boot.
    pub earlier_us: Option<i64>,
    /// When the snapshot after it was captured.
    pub later_us: Option<i64>,
    /// How finely that time is kept.
    pub resolution: Resolution,
}

/// Why a moment has no snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoSnapshot {
    /// The history has never heard of that host.
    UnknownHost,
    /// It was before the first that is kept.
    BeforeFirst {
        /// The first.
        first_us: i64,
    },
    /// It was after the last, by more than three intervals.
    AfterLast {
        /// The last.
        last_us: i64,
    },
    /// Nothing came from the host around then.
    Gap {
        /// The last before.
        before_us: i64,
        /// The first after.
        after_us: i64,
    },
    /// Of that time only the sums of every hour are kept.
    OnlyHours {
        /// The first moment after it that has a process table.
        after_us: Option<i64>,
    },
}

/// Smallest, mean and greatest of what was sampled; all the same for one sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extent {
    /// The smallest.
    pub min: f64,
    /// The mean: of levels over the samples, of rates over the time.
    pub mean: f64,
    /// The greatest.
    pub max: f64,
}

/// The greatest CPU use of a host in one minute.
#[derive(Debug, Clone, PartialEq)]
pub struct CpuPeak {
    /// The host.
    pub host: HostName,
    /// When the minute began, in µs since 1970 UTC, by the host's clock.
    pub minute_us: i64,
    /// In percent of all cores together.
    pub cpu_percent: f32,
}

/// One host over time.
#[derive(Debug, Clone, PartialEq)]
pub struct HostMetrics {
    /// How finely it was kept.
    pub resolution: Resolution,
    /// At most as many as were asked for, in order; each stands for the samples of an equal part of the span.
    pub points: Vec<HostPoint>,
    /// Where nothing came from the host, for longer than three intervals, within the span.
    pub gaps: Vec<Span>,
}

/// A host in one part of a span. Rates come from counters: exact over lost samples, absent over a reset or reboot.
#[derive(Debug, Clone, PartialEq)]
pub struct HostPoint {
    /// When the first sample of this part was captured.
    pub from_us: i64,
    /// When the last one was.
    pub to_us: i64,
    /// Samples in this part.
    pub samples: u32,
    /// CPU use, in percent of all cores together.
    pub cpu_percent: Option<Extent>,
    /// Load average over 1 minute.
    pub load_1: Option<Extent>,
    /// Load average over 5 minutes.
    pub load_5: Option<Extent>,
    /// Load average over 15 minutes.
    pub load_15: Option<Extent>,
    /// Memory in use.
    pub memory_used_bytes: Option<Extent>,
    /// Installed memory.
    pub memory_total_bytes: Option<u64>,
    /// Swap space in use.
    pub swap_used_bytes: Option<Extent>,
    /// Bytes read from disks per second.
    pub disk_read_per_s: Option<Extent>,
    /// Bytes written to disks per second.
    pub disk_written_per_s: Option<Extent>,
    /// Bytes received per second.
    pub network_received_per_s: Option<Extent>,
    /// Bytes sent per second.
    pub network_sent_per_s: Option<Extent>,
    /// Processes.
    pub process_count: Option<Extent>,
    /// Threads.
    pub thread_count: Option<Extent>,
}

/// One process over time.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessMetrics {
    /// How finely it was kept.
    pub resolution: Resolution,
    /// At most as many as were asked for, in order.
    pub points: Vec<ProcessPoint>,
    /// Where nothing came from the host, while the process lived.
    pub gaps: Vec<Span>,
}

/// A process in one part of a span.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessPoint {
    /// When the first sample of this part was captured.
    pub from_us: i64,
    /// When the last one was.
    pub to_us: i64,
    /// Samples in this part.
    pub samples: u32,
    /// CPU use, in percent of one core, from its CPU time.
    pub cpu_percent: Option<Extent>,
    /// Resident set.
    pub resident_bytes: Option<Extent>,
    /// Virtual size.
    pub virtual_bytes: Option<Extent>,
    /// Threads.
    pub threads: Option<Extent>,
    /// Bytes read per second.
    pub read_per_s: Option<Extent>,
    /// Bytes written per second.
    pub written_per_s: Option<Extent>,
}

/// What a breakdown divides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakdownOf {
    /// CPU use, in percent of one core.
    Cpu,
    /// Resident memory, in bytes.
    Memory,
}

/// Which programs made up the use of a host over time, the greatest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Breakdown {
    /// How finely it was kept.
    pub resolution: Resolution,
    /// The bounds of the parts: one more than each layer has values.
    pub bounds_us: Vec<i64>,
    /// The programs that used most.
    pub layers: Vec<Layer>,
    /// All others together.
    pub other: Vec<Option<f64>>,
}

/// One program in a breakdown.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// The program.
    pub name: String,
    /// Its mean use in each part, all its processes together; absent where nothing came from the host.
    pub values: Vec<Option<f64>>,
}

/// What happened to a process or host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventKind {
    /// A process started.
    Started,
    /// A process exited; the time is that of the first snapshot without it.
    Exited,
    /// A program was started again and again: three times or more within ten minutes.
    RestartLoop,
    /// Nothing came from the host for longer than three intervals; the time is that of the last snapshot before.
    Silent,
    /// The first snapshot after that.
    Back,
    /// The host was booted.
    Booted,
    /// The agent runs another version.
    AgentChanged,
    /// The operating system, its kernel or the machine are others.
    HostChanged,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at_us: i64,
    /// What.
    pub kind: EventKind,
    /// Where.
    pub host: HostName,
    /// To which process, if to one.
    pub process: Option<Identity>,
    /// The name of the process or program; hostile.
    pub name: Option<String>,
    /// More about it, in words; may contain hostile text.
    pub detail: String,
}

/// A list that may have been cut off.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing<T> {
    /// The first ones.
    pub items: Vec<T>,
    /// How many there are in all.
    pub total: u64,
    /// How finely the past was kept that it comes from.
    pub resolution: Resolution,
}

/// What is different between two snapshots of one host.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Diff {
    /// When the earlier snapshot was captured.
    pub from_us: i64,
    /// When the later one was.
    pub to_us: i64,
    /// Whether the host was booted in between: then every process is another.
    pub rebooted: bool,
    /// In the later one only, without being one that was restarted; by pid.
    pub started: Vec<Process>,
    /// In the earlier one only, without being one that was restarted; by pid.
    pub gone: Vec<Process>,
    /// Gone, and started again under the same name and command line; by the new pid.
    pub restarted: Vec<Changed>,
    /// In both, with a resident set that is another by 10 % and 1 MiB or more; those that grew most first.
    pub resized: Vec<Changed>,
    /// In both, with CPU time spent meanwhile; those that used most first.
    pub busy: Vec<Changed>,
}

/// A process before and after.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// As it was.
    pub before: Process,
    /// As it is.
    pub after: Process,
}

/// By what the top is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopBy {
    /// CPU time.
    Cpu,
    /// Greatest resident set.
    Memory,
    /// Bytes read.
    Read,
    /// Bytes written.
    Written,
}

/// What the top puts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopGroup {
    /// Nothing: every process by itself.
    Process,
    /// Processes of one name.
    Name,
    /// Processes of one user.
    User,
    /// Processes of one systemd unit.
    Unit,
    /// Processes of one host.
    Host,
}

/// A question for the top.
#[derive(Debug, Clone)]
pub struct TopQuery {
    /// By what it is ordered.
    pub by: TopBy,
    /// What is put together.
    pub group: TopGroup,
    /// Over which time.
    pub span: Span,
    /// Of one host only.
    pub host: Option<HostName>,
    /// At most so many.
    pub limit: usize,
}

/// One line of the top. Usage is what counters say between the first and last sample of the process within the span; all
/// that they say for a process that started within it.
#[derive(Debug, Clone, PartialEq)]
pub struct TopRow {
    /// What was put together: a name, user, unit or host; absent where there is none. Hostile.
    pub key: Option<String>,
    /// The process, where nothing was put together.
    pub process: Option<Identity>,
    /// On how many hosts.
    pub hosts: u64,
    /// How many processes.
    pub processes: u64,
    /// CPU time used.
    pub cpu_time_ms: Option<u64>,
    /// The greatest resident set that one of them had.
    pub peak_resident_bytes: Option<u64>,
    /// Bytes read.
    pub read_bytes: Option<u64>,
    /// Bytes written.
    pub written_bytes: Option<u64>,
}

/// A process that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Which.
    pub identity: Identity,
    /// When the snapshot was captured.
    pub captured_at_us: i64,
    /// The process as it was.
    pub process: Process,
    /// Installed memory of its host.
    pub memory_total_bytes: Option<u64>,
    /// Bytes read per second.
    pub read_per_s: Option<f64>,
    /// Bytes written per second.
    pub written_per_s: Option<f64>,
}

/// What is known of one process over its life.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessLife {
    /// Which.
    pub identity: Identity,
    /// As it was last seen; what changes with every sample is absent.
    pub process: Process,
    /// The first snapshot that has it.
    pub first_seen_us: i64,
    /// The last snapshot that has it.
    pub last_seen_us: i64,
    /// Whether a later snapshot of its host is known, so that it has exited.
    pub has_exited: bool,
}
