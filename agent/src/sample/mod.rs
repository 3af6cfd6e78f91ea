//! Taking a snapshot of this machine.
//!
//! It is cheap because of:
//! - one reader for the whole run, with reused buffers; one file per process and pass (`linux` says why);
//! - facts of a process are read when it appears and then once a minute (`table`);
//! - mounts, users and the description of the machine are read rarely, and off this thread (`machine`);
//! - threads of processes are not listed; their number is in the same file.
//!
//! `raw` has the values that a source reads; `linux` and `portable` are the two sources. `table` makes rows of them and
//! computes CPU percent, `children` credits the CPU time of children that ended, `users` knows names, `limits` leaves rows
//! out. `machine` reads everything around the processes; `boot` is the time from which starts are counted.
//!
//! What may block for ever is read by threads, and a pass takes what is there: `reader` reads one process's `facts`
//! (`cgroup` says where it belongs), `users` asks name services. `view` says what the agent cannot see.

mod boot;
#[cfg(target_os = "linux")]
mod cgroup;
mod children;
#[cfg(target_os = "linux")]
mod facts;
mod limits;
#[cfg(target_os = "linux")]
mod linux;
mod machine;
#[cfg(any(not(target_os = "linux"), test))]
mod portable;
mod raw;
#[cfg(target_os = "linux")]
mod reader;
mod table;
mod text;
mod users;
#[cfg(target_os = "linux")]
mod view;

use std::time::{Duration, Instant};

use fleetps_nats::{
    now_us,
    snapshot::{AgentCost, EncodeError, FORMAT, HostInfo, HostSample, Process, Snapshot},
};

pub use boot::{Boot, since_boot};
#[cfg(target_os = "linux")]
pub(crate) use cgroup::parse as membership;
pub use limits::Packer;
#[cfg(target_os = "linux")]
pub(crate) use users::{UserNames, Users};

use crate::settings::AgentSettings;
use machine::MachineReader;
use raw::ProcessSource;
use table::{PassTime, Table};

#[cfg(target_os = "linux")]
type SystemSource = linux::ProcFolder;
#[cfg(not(target_os = "linux"))]
type SystemSource = portable::Sysinfo;

/// The machine's own users are read in a millisecond; a name service that is asked for others may take longer, and its
/// names come with later samples.
#[cfg(target_os = "linux")]
const USERS_PATIENCE: Duration = Duration::from_millis(200);

/// CPU use needs two passes some time apart; counted in steps of 10 ms, it is rough below this.
pub const FIRST_WAIT: Duration = Duration::from_millis(500);

/// A clock that was set is noticed within this time; whoever sets it waits for nothing.
const BOOT_TIME_AGE: Duration = Duration::from_secs(30);

/// Rights and mounts hardly change while the agent runs.
#[cfg(target_os = "linux")]
const VIEW_AGE: Duration = Duration::from_secs(60);

/// What limits the agent's view, as of some time since the boot.
#[cfg(target_os = "linux")]
#[derive(Default)]
struct LimitedView {
    limits: Option<String>,
    read_at: Option<Duration>,
}

/// This system is not one that can be sampled.
#[derive(Debug, thiserror::Error)]
#[error("this operating system cannot be sampled; fleetps-agent runs on Linux, Windows and macOS")]
pub struct UnknownSystem;

/// Takes the snapshots of this machine.
pub struct Sampler {
    settings: AgentSettings,
    boot: Boot,
    source: SystemSource,
    table: Table,
    machine: MachineReader,
    #[cfg(target_os = "linux")]
    users: users::Users,
    #[cfg(target_os = "linux")]
    view: LimitedView,
    run_id: String,
    os_host_name: String,
    sequence: u64,
    last_pass: Option<Duration>,
    boot_time_checked_at: Duration,
}

impl Sampler {
    /// Creates a sampler and takes the baseline pass. Call `sample` at least [`FIRST_WAIT`] later; its CPU figures
    /// cover the time since.
    pub fn new(settings: &AgentSettings, boot: Boot) -> Result<Self, UnknownSystem> {
        let mut sampler = Self {
            settings: settings.clone(),
            source: system_source(&boot)?,
            table: Table::default(),
            machine: MachineReader::new(&boot, &settings.state).ok_or(UnknownSystem)?,
            #[cfg(target_os = "linux")]
            users: users::Users::new(&settings.exclude_users),
            #[cfg(target_os = "linux")]
            view: LimitedView::default(),
            run_id: format!("{:012x}", fastrand::u64(..) & 0xffff_ffff_ffff),
            os_host_name: os_host_name(),
            sequence: 0,
            last_pass: None,
            boot_time_checked_at: since_boot(),
            boot,
        };
        sampler.pass(since_boot(), now_us());
        #[cfg(target_os = "linux")]
        sampler.users.settle(USERS_PATIENCE);
        Ok(sampler)
    }

    /// Another sampler of this machine with the same settings, which takes its own baseline. Reads nothing that may hang.
    pub fn another(&self) -> Result<Self, UnknownSystem> {
        Self::new(&self.settings, self.boot.clone())
    }

    /// Samples with other settings from the next snapshot on.
    pub fn set(&mut self, settings: AgentSettings) {
        if settings.command_line != self.settings.command_line {
            self.table.forget_command_lines();
        }
        #[cfg(target_os = "linux")]
        if settings.exclude_users != self.settings.exclude_users {
            self.users = users::Users::new(&settings.exclude_users);
            self.users.settle(USERS_PATIENCE);
        }
        self.settings = settings;
    }

    /// How many snapshots it has taken.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Identifies this run.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// The next snapshot; `dropped` is how many of the former ones were lost.
    pub fn sample(&mut self, dropped: u64) -> Snapshot {
        let (monotonic, captured_at_us) = (since_boot(), now_us());
        let started = Instant::now();
        self.check_boot_time(monotonic, captured_at_us);
        let (host, mut processes) = self.pass(monotonic, captured_at_us);
        let agent = self.cost(&processes, dropped);
        let before = processes.len();
        processes.retain(|row| !self.table.is_withheld(row.pid));
        let mut left_out = u32::try_from(before - processes.len()).unwrap_or(u32::MAX);
        left_out +=
            limits::exclude(&mut processes, &self.settings.exclude_names, &self.settings.exclude_users);
        left_out += limits::keep_busiest(&mut processes, self.settings.most_processes());
        self.sequence += 1;
        self.last_pass = Some(started.elapsed());
        Snapshot {
            format: FORMAT,
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            os_host_name: self.os_host_name.clone(),
            boot_id: self.boot.id.clone(),
            run_id: self.run_id.clone(),
            sequence: self.sequence,
            captured_at_us,
            clock_offset_us: None,
            interval_ms: self.settings.interval_ms(),
            monotonic_ms: u64::try_from(monotonic.as_millis()).unwrap_or(u64::MAX),
            agent,
            host,
            host_info: self.host_info(monotonic),
            filesystems: self.machine.filesystems(captured_at_us),
            interfaces: self.machine.interfaces(),
            processes_left_out: left_out,
            texts_shortened: limits::count_of(&processes, self.table.shortened()),
            processes,
        }
    }

    /// The message for the last snapshot, which is shortened if need be.
    pub fn pack(&self, snapshot: &mut Snapshot, packer: &mut Packer) -> Result<Vec<u8>, EncodeError> {
        packer.pack(snapshot, self.table.shortened())
    }

    #[cfg(target_os = "linux")]
    fn host_info(&mut self, now: Duration) -> HostInfo {
        let is_old = |read_at| now.saturating_sub(read_at) >= VIEW_AGE;
        if self.view.read_at.is_none_or(is_old) {
            let limits = view::limits(std::path::Path::new("/proc"));
            self.view = LimitedView { limits: limits.map(text::cut), read_at: Some(now) };
        }
        HostInfo { limited_view: self.view.limits.clone(), ..self.machine.info() }
    }

    #[cfg(not(target_os = "linux"))]
    fn host_info(&mut self, _: Duration) -> HostInfo {
        self.machine.info()
    }

    fn pass(&mut self, monotonic: Duration, clock_us: i64) -> (HostSample, Vec<Process>) {
        let mut host = self.machine.read(monotonic);
        let at = PassTime { monotonic, clock_us };
        let mode = self.settings.command_line;
        #[cfg(target_os = "linux")]
        self.users.refresh();
        #[cfg(target_os = "linux")]
        let users = &mut self.users;
        #[cfg(not(target_os = "linux"))]
        let users = &mut users::GivenNames(&|id| self.machine.user_name(id));
        let rows = self.table.pass(&mut self.source, at, mode, users);
        host.process_count = u32::try_from(rows.len()).ok();
        let threads = || rows.iter().filter_map(|row| row.threads);
        host.thread_count = threads().next().is_some().then(|| threads().sum());
        (host, rows)
    }

    /// Counts starts from another boot time where the clock was set since: at most once in [`BOOT_TIME_AGE`].
    fn check_boot_time(&mut self, monotonic: Duration, clock_us: i64) {
        if monotonic.saturating_sub(self.boot_time_checked_at) < BOOT_TIME_AGE {
            return;
        }
        self.boot_time_checked_at = monotonic;
        if self.boot.correct(clock_us, monotonic) {
            self.boot.keep(&self.settings.state);
            self.source.count_from(self.boot.at_us);
            self.machine.count_from(self.boot.at_us);
        }
    }

    fn cost(&self, rows: &[Process], dropped_snapshots: u64) -> AgentCost {
        let own = rows.iter().find(|row| row.pid == std::process::id());
        AgentCost {
            cpu_time_ms: own.and_then(|row| row.cpu_time_ms),
            resident_bytes: own.and_then(|row| row.resident_bytes),
            pass_us: self.last_pass.and_then(|pass| u64::try_from(pass.as_micros()).ok()),
            dropped_snapshots,
        }
    }
}

/// A command line whose arguments were joined by spaces before it came here, with secrets replaced and of at most 4 KiB, and
/// whether something is missing in it; `None` where it is empty. A secret with a blank in it is replaced up to the blank.
pub fn scrubbed_line(joined: &str) -> Option<(String, bool)> {
    let words: Vec<&str> = joined.split(' ').collect();
    crate::scrub::command_line(crate::scrub::CommandLineMode::Scrubbed, &words)
        .map(|parts| text::line(&parts))
}

/// The command line of these parts, as a snapshot has it.
#[cfg(test)]
pub(crate) fn line_of(parts: &[crate::scrub::Part]) -> String {
    text::line(parts).0
}

/// Prepares the agent's own program, where nothing else runs, for many processes.
pub fn prepare_program() {
    #[cfg(target_os = "linux")]
    linux::allow_more_open_files();
}

/// The machine's own name for itself.
pub fn os_host_name() -> String {
    text::cut(sysinfo::System::host_name().unwrap_or_default())
}

#[cfg(target_os = "linux")]
fn system_source(boot: &Boot) -> Result<SystemSource, UnknownSystem> {
    Ok(linux::ProcFolder::new("/proc", boot.at_us))
}

#[cfg(not(target_os = "linux"))]
fn system_source(_boot: &Boot) -> Result<SystemSource, UnknownSystem> {
    portable::Sysinfo::new().ok_or(UnknownSystem)
}
