//! The machine around the processes: load, memory and counters in every pass; what it is, its file systems, interfaces
//! and users now and then, asked off the sampling thread.
//!
//! - `workers`: questions that may never be answered, and the threads that ask them.
//! - `linux`: the machine by `/proc` and `/sys`; `cpu`, `memory`, `disks`, `network` and `filesystems` are its parts.
//!   `mountinfo` says what is mounted, `mounts` what is listed of that; `interfaces` says which interfaces count.
//! - `growing`: counters of devices that come and go, as sums that never fall; `carried` keeps them over a restart.
//! - `portable`: the machine by sysinfo, on Windows and macOS.

#[cfg(target_os = "linux")]
mod bytes;
#[cfg(target_os = "linux")]
mod carried;
#[cfg(target_os = "linux")]
mod cpu;
#[cfg(target_os = "linux")]
mod disks;
#[cfg(target_os = "linux")]
mod filesystems;
mod growing;
#[cfg(target_os = "linux")]
mod interfaces;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod memory;
#[cfg(target_os = "linux")]
mod mountinfo;
#[cfg(target_os = "linux")]
mod mounts;
#[cfg(target_os = "linux")]
mod network;
#[cfg(any(not(target_os = "linux"), test))]
mod portable;
mod workers;

#[cfg(not(target_os = "linux"))]
use std::collections::HashMap;
use std::{
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use fleetps_nats::snapshot::{FilesystemSample, HostInfo, HostSample, InterfaceSample};
use sysinfo::System;
#[cfg(not(target_os = "linux"))]
use sysinfo::Users;

use super::{boot::Boot, text::cut};
use workers::{Slot, Workers};

/// Users and models change rarely, and asking for them costs more than a pass over all processes.
const SLOW_AGE: Duration = Duration::from_secs(60);
/// The first reading waits for answers this long at most, so that the first snapshot has them. Without anything that
/// hangs they take a few ms.
const FIRST_ANSWERS: Duration = Duration::from_millis(400);
/// Often enough that waiting adds little.
const POLL: Duration = Duration::from_millis(2);
/// One for each list that may hang: mounts, interfaces, users, description, container, and the file of counters twice.
const MOST_LISTS: usize = 7;

#[cfg(target_os = "linux")]
type Machine = linux::Linux;
#[cfg(not(target_os = "linux"))]
type Machine = portable::Portable;

/// Reads the machine; one for the whole run.
pub(super) struct MachineReader {
    machine: Machine,
    lists: Workers,
    #[cfg(not(target_os = "linux"))]
    users: Slot<Arc<HashMap<String, String>>>,
    description: Slot<HostInfo>,
    boot_at_us: i64,
    is_first: bool,
}

impl MachineReader {
    /// A reader that keeps its counters in the folder `state`; `None` where the system is not known.
    pub(super) fn new(boot: &Boot, state: &Path) -> Option<Self> {
        let lists = Workers::new(MOST_LISTS);
        Some(Self {
            machine: machine(boot, state, &lists)?,
            lists,
            #[cfg(not(target_os = "linux"))]
            users: Slot::default(),
            description: Slot::default(),
            boot_at_us: boot.at_us,
            is_first: true,
        })
    }

    /// Load and counters as of now; CPU use is that since the last call.
    pub(super) fn read(&mut self, since_boot: Duration) -> HostSample {
        self.tend();
        if std::mem::replace(&mut self.is_first, false) {
            self.wait_for_first_answers();
        }
        HostSample { uptime_s: Some(since_boot.as_secs()), ..self.machine.read() }
    }

    /// Asks what is due, waits for nothing.
    fn tend(&mut self) {
        #[cfg(not(target_os = "linux"))]
        self.tend_users();
        if self.description.is_older_than(SLOW_AGE) {
            self.description.ask(&self.lists, description);
        }
        self.description.tell(|| "the description of the machine (/etc/os-release and others)".to_owned());
        self.machine.tend();
        self.lists.tend();
    }

    /// On Linux, names are read for the processes that there are (`users`).
    #[cfg(not(target_os = "linux"))]
    fn tend_users(&mut self) {
        if self.users.is_older_than(SLOW_AGE) {
            self.users.ask(&self.lists, || Arc::new(user_names()));
        }
        self.users.tell(|| "the list of users".to_owned());
    }

    fn has_users(&self) -> bool {
        #[cfg(not(target_os = "linux"))]
        return self.users.answered_at().is_some();
        #[cfg(target_os = "linux")]
        true
    }

    fn wait_for_first_answers(&mut self) {
        let began = Instant::now();
        let is_settled = |reader: &Self| {
            reader.machine.is_settled() && reader.has_users() && reader.description.answered_at().is_some()
        };
        while !is_settled(self) && began.elapsed() < FIRST_ANSWERS {
            thread::sleep(POLL);
            self.tend();
        }
    }

    /// Says another boot time from now on, in µs since 1970 UTC: the clock was set.
    pub(super) fn count_from(&mut self, boot_at_us: i64) {
        self.boot_at_us = boot_at_us;
    }

    /// The description of the machine, empty until it is known.
    pub(super) fn info(&self) -> HostInfo {
        HostInfo {
            boot_at_us: Some(self.boot_at_us),
            seen_from: self.machine.seen_from().map(cut),
            source: None,
            ..self.description.answer().unwrap_or_default()
        }
    }

    /// The mounted file systems; `clock_us` is the host's clock, in µs since 1970 UTC.
    pub(super) fn filesystems(&mut self, clock_us: i64) -> Vec<FilesystemSample> {
        self.machine.filesystems(clock_us)
    }

    /// The network interfaces.
    pub(super) fn interfaces(&self) -> Vec<InterfaceSample> {
        self.machine.interfaces()
    }

    /// The name of the user with this id.
    #[cfg(not(target_os = "linux"))]
    pub fn user_name(&self, id: &str) -> Option<String> {
        self.users.answer()?.get(id).cloned()
    }
}

#[cfg(target_os = "linux")]
fn machine(boot: &Boot, state: &Path, lists: &Workers) -> Option<Machine> {
    let folders = linux::Folders { root: "/".into(), state: state.to_owned() };
    Some(linux::Linux::new(&folders, &boot.id, lists.clone(), Arc::new(filesystems::ask_kernel)))
}

#[cfg(not(target_os = "linux"))]
fn machine(_boot: &Boot, _state: &Path, lists: &Workers) -> Option<Machine> {
    portable::Portable::new(lists.clone())
}

#[cfg(not(target_os = "linux"))]
fn user_names() -> HashMap<String, String> {
    let users = Users::new_with_refreshed_list();
    users
        .iter()
        .flat_map(|users| users.iter())
        .map(|it| (it.id().to_string(), it.name().to_owned()))
        .collect()
}

fn description() -> HostInfo {
    let Ok(mut system) = System::new() else { return HostInfo::default() };
    system.refresh_cpu_frequency();
    system.refresh_memory();
    let cpu = system.cpus().first();
    HostInfo {
        os: os().map(cut),
        kernel: System::kernel_long_version().ok().map(cut),
        architecture: known_text(System::cpu_arch()),
        cpu_model: cpu.and_then(|cpu| known_text(cpu.brand().trim().to_owned())).map(cut),
        cores: System::physical_core_count().ok().and_then(|count| u32::try_from(count).ok()),
        threads: u32::try_from(system.cpus().len()).ok().filter(|count| *count > 0),
        frequency_mhz: cpu.and_then(|cpu| known(cpu.frequency())),
        memory_bytes: known(system.total_memory()),
        ..HostInfo::default()
    }
}

fn os() -> Option<String> {
    let name = System::name().ok()?;
    match System::os_version() {
        Ok(version) => Some(format!("{name} {version}")),
        Err(_) => Some(name),
    }
}

/// No machine has none of these; a zero is sysinfo's way to say that it could not find out.
fn known(value: u64) -> Option<u64> {
    (value > 0).then_some(value)
}

fn known_text(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_described_and_its_cpu_use_is_known_from_the_second_time_on() {
        let folder = tempfile::tempdir().unwrap();
        let mut reader = MachineReader::new(&Boot::current(folder.path()), folder.path()).unwrap();
        assert_eq!(reader.read(Duration::from_secs(100)).cpu_percent, None);
        // The kernel counts in steps of 10 ms.
        let began = Instant::now();
        let sample = loop {
            let sample = reader.read(Duration::from_secs(101));
            if sample.cpu_percent.is_some() || began.elapsed() > Duration::from_secs(60) {
                break sample;
            }
        };
        assert!(sample.cpu_percent.is_some() && sample.memory_total_bytes.is_some());
        assert!(sample.memory_used_bytes < sample.memory_total_bytes);
        assert!(reader.info().threads.unwrap() > 0 && reader.info().os.is_some());
        assert_eq!(reader.info().memory_bytes, sample.memory_total_bytes);
        assert!(!reader.filesystems(1).is_empty() && !reader.interfaces().is_empty());
    }
}
