//! The machine around the processes, through sysinfo: load, memory, counters every pass; what it is, its file systems
//! and its users once a minute.

#[cfg(not(target_os = "linux"))]
use std::collections::HashMap;
use std::time::Duration;

use fleetps_nats::snapshot::{FilesystemSample, HostInfo, HostSample, MAX_FILESYSTEMS};
#[cfg(not(target_os = "linux"))]
use sysinfo::Users;
use sysinfo::{DiskRefreshKind, Disks, Networks, System};

use super::text::cut;

/// Mounts, users and models change rarely, and asking for them costs more than a pass over all processes.
const SLOW_AGE: Duration = Duration::from_secs(60);

/// Reads the machine; one for the whole run.
pub struct MachineReader {
    system: System,
    networks: Option<Networks>,
    disks: Option<Disks>,
    #[cfg(not(target_os = "linux"))]
    user_names: HashMap<String, String>,
    info: HostInfo,
    filesystems: Vec<FilesystemSample>,
    slow_read_at: Option<Duration>,
    boot_at_us: i64,
}

impl MachineReader {
    /// A reader; `None` where sysinfo does not know the system.
    pub fn new(boot_at_us: i64) -> Option<Self> {
        Some(Self {
            system: System::new().ok()?,
            networks: Networks::new().ok(),
            disks: Disks::new().ok(),
            #[cfg(not(target_os = "linux"))]
            user_names: HashMap::new(),
            info: HostInfo::default(),
            filesystems: Vec::new(),
            slow_read_at: None,
            boot_at_us,
        })
    }

    /// Load and counters as of now; CPU use is that since the last call.
    pub fn read(&mut self, since_boot: Duration) -> HostSample {
        let is_first = self.slow_read_at.is_none();
        if self.slow_read_at.is_none_or(|read_at| since_boot.saturating_sub(read_at) >= SLOW_AGE) {
            self.read_slowly();
            self.slow_read_at = Some(since_boot);
        }
        self.system.refresh_cpu_usage();
        self.system.refresh_memory();
        let (disk_read_bytes, disk_written_bytes) = self.disk_totals();
        let (network_received_bytes, network_sent_bytes) = self.network_totals();
        let [load_1, load_5, load_15] = load();
        let has_swap = self.system.total_memory() > 0;
        HostSample {
            cpu_percent: (!is_first).then(|| self.system.global_cpu_usage().clamp(0.0, 100.0)),
            load_1,
            load_5,
            load_15,
            memory_total_bytes: known(self.system.total_memory()),
            memory_used_bytes: known(self.system.used_memory()),
            memory_available_bytes: known(self.system.available_memory()),
            swap_total_bytes: has_swap.then(|| self.system.total_swap()),
            swap_used_bytes: has_swap.then(|| self.system.used_swap()),
            disk_read_bytes,
            disk_written_bytes,
            network_received_bytes,
            network_sent_bytes,
            process_count: None,
            thread_count: None,
            uptime_s: Some(since_boot.as_secs()),
        }
    }

    /// Says another boot time from now on, in µs since 1970 UTC: the clock was set.
    pub fn count_from(&mut self, boot_at_us: i64) {
        self.boot_at_us = boot_at_us;
        self.info.boot_at_us = Some(boot_at_us);
    }

    /// The description of the machine.
    pub fn info(&self) -> HostInfo {
        self.info.clone()
    }

    /// The mounted file systems.
    pub fn filesystems(&self) -> Vec<FilesystemSample> {
        self.filesystems.clone()
    }

    /// The name of the user with this id; Linux has `users` for it.
    #[cfg(not(target_os = "linux"))]
    pub fn user_name(&self, id: &str) -> Option<String> {
        self.user_names.get(id).cloned()
    }

    fn read_slowly(&mut self) {
        self.system.refresh_cpu_frequency();
        self.system.refresh_memory();
        let cpu = self.system.cpus().first();
        self.info = HostInfo {
            os: os().map(cut),
            kernel: System::kernel_long_version().ok().map(cut),
            architecture: known_text(System::cpu_arch()),
            cpu_model: cpu.and_then(|cpu| known_text(cpu.brand().trim().to_owned())).map(cut),
            cores: System::physical_core_count().ok().and_then(|count| u32::try_from(count).ok()),
            threads: u32::try_from(self.system.cpus().len()).ok().filter(|count| *count > 0),
            frequency_mhz: cpu.and_then(|cpu| known(cpu.frequency())),
            memory_bytes: known(self.system.total_memory()),
            boot_at_us: Some(self.boot_at_us),
            ..HostInfo::default()
        };
        #[cfg(not(target_os = "linux"))]
        if let Ok(users) = Users::new_with_refreshed_list() {
            self.user_names =
                users.iter().map(|user| (user.id().to_string(), user.name().to_owned())).collect();
        }
        if let Some(disks) = &mut self.disks {
            disks.refresh_specifics(true, DiskRefreshKind::nothing().with_storage());
            self.filesystems = filesystems(disks);
        }
    }

    #[cfg(target_os = "linux")]
    fn disk_totals(&mut self) -> (Option<u64>, Option<u64>) {
        super::diskstats::totals().unzip()
    }

    #[cfg(not(target_os = "linux"))]
    fn disk_totals(&mut self) -> (Option<u64>, Option<u64>) {
        let Some(disks) = &mut self.disks else { return (None, None) };
        disks.refresh_specifics(false, DiskRefreshKind::nothing().with_io_usage());
        let by_device: HashMap<_, _> =
            disks.iter().map(|disk| (disk.name().to_owned(), disk.usage())).collect();
        let read = by_device.values().map(|usage| usage.total_read_bytes).sum();
        let written = by_device.values().map(|usage| usage.total_written_bytes).sum();
        (Some(read), Some(written))
    }

    fn network_totals(&mut self) -> (Option<u64>, Option<u64>) {
        let Some(networks) = &mut self.networks else { return (None, None) };
        networks.refresh(true);
        let outside = || {
            networks.iter().filter(|(name, _)| !is_loopback(&name.to_string_lossy())).map(|(_, data)| data)
        };
        let received = outside().map(|data| data.total_received()).sum();
        let sent = outside().map(|data| data.total_transmitted()).sum();
        (Some(received), Some(sent))
    }
}

fn load() -> [Option<f32>; 3] {
    // Windows has no load average; sysinfo estimates one there, which is not what the name says.
    match System::load_average() {
        Ok(load) if !cfg!(windows) => [load.one, load.five, load.fifteen].map(|load| Some(load as f32)),
        _ => [None; 3],
    }
}

fn os() -> Option<String> {
    let name = System::name().ok()?;
    match System::os_version() {
        Ok(version) => Some(format!("{name} {version}")),
        Err(_) => Some(name),
    }
}

fn filesystems(disks: &Disks) -> Vec<FilesystemSample> {
    let sized = disks.iter().filter(|disk| disk.total_space() > 0);
    sized
        .take(MAX_FILESYSTEMS)
        .map(|disk| FilesystemSample {
            mount: cut(disk.mount_point().to_string_lossy().into_owned()),
            device: known_text(disk.name().to_string_lossy().into_owned()).map(cut),
            kind: known_text(disk.file_system().to_string_lossy().into_owned()).map(cut),
            total_bytes: disk.total_space(),
            used_bytes: disk.total_space().saturating_sub(disk.available_space()),
        })
        .collect()
}

fn is_loopback(interface: &str) -> bool {
    interface == "lo" || interface == "lo0" || interface.starts_with("Loopback")
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
        let mut reader = MachineReader::new(1).unwrap();
        assert_eq!(reader.read(Duration::from_secs(100)).cpu_percent, None);
        let sample = reader.read(Duration::from_secs(101));
        assert!(sample.cpu_percent.is_some() && sample.memory_total_bytes.is_some());
        assert!(sample.memory_used_bytes < sample.memory_total_bytes);
        assert!(reader.info().threads.unwrap() > 0 && reader.info().os.is_some());
        assert_eq!(reader.info().memory_bytes, sample.memory_total_bytes);
        #[cfg(not(target_os = "linux"))]
        assert_eq!(reader.user_name("0").as_deref(), cfg!(unix).then_some("root"));
    }
}
