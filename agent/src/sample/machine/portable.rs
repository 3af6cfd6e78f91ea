//! The machine on Windows and macOS, through sysinfo.

use std::{collections::HashMap, time::Duration};

use fleetps_nats::snapshot::{
    FilesystemSample, HostSample, InterfaceSample, MAX_FILESYSTEMS, MAX_INTERFACES,
};
use sysinfo::{DiskRefreshKind, Disks, Networks, System};

use super::{
    growing::Growing,
    known, known_text,
    workers::{Slot, Workers},
};
use crate::sample::text::cut;

/// Mounts change rarely, and asking for them costs more than a pass over all processes.
const AGE: Duration = Duration::from_secs(60);

/// What is around the processes.
pub(super) struct Portable {
    system: System,
    networks: Option<Networks>,
    disks: Option<Disks>,
    lists: Workers,
    filesystems: Slot<Vec<FilesystemSample>>,
    growing: Growing<2>,
    interfaces: Vec<InterfaceSample>,
    is_first: bool,
}

impl Portable {
    /// `None` where sysinfo does not know the system. `lists` asks for file systems.
    pub(super) fn new(lists: Workers) -> Option<Self> {
        Some(Self {
            system: System::new().ok()?,
            networks: Networks::new().ok(),
            disks: Disks::new().ok(),
            lists,
            filesystems: Slot::default(),
            growing: Growing::new(),
            interfaces: Vec::new(),
            is_first: true,
        })
    }

    /// Asks what is due, waits for nothing.
    pub(super) fn tend(&mut self) {
        if self.filesystems.is_older_than(AGE) {
            self.filesystems.ask(&self.lists, filesystems);
        }
        self.filesystems.tell(|| "the list of mounts".to_owned());
    }

    /// Whether everything that was asked is answered.
    pub(super) fn is_settled(&self) -> bool {
        self.filesystems.answered_at().is_some()
    }

    /// Load and counters as of now; CPU use is that since the last call.
    pub(super) fn read(&mut self) -> HostSample {
        self.system.refresh_cpu_usage();
        self.system.refresh_memory();
        let (disk_read_bytes, disk_written_bytes) = self.disk_totals();
        let [network_received_bytes, network_sent_bytes] = self.network_totals();
        let [load_1, load_5, load_15] = load();
        let has_swap = self.system.total_memory() > 0;
        let is_first = std::mem::replace(&mut self.is_first, false);
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
            interface_count: u32::try_from(self.interfaces.len()).ok(),
            ..HostSample::default()
        }
    }

    /// The mounted file systems.
    pub(super) fn filesystems(&mut self, _clock_us: i64) -> Vec<FilesystemSample> {
        self.filesystems.answer().unwrap_or_default()
    }

    /// The network interfaces.
    pub(super) fn interfaces(&self) -> Vec<InterfaceSample> {
        self.interfaces.iter().take(MAX_INTERFACES).cloned().collect()
    }

    /// Nothing: containers on these systems are machines.
    pub(super) fn seen_from(&self) -> Option<String> {
        None
    }

    fn disk_totals(&mut self) -> (Option<u64>, Option<u64>) {
        let Some(disks) = &mut self.disks else { return (None, None) };
        disks.refresh_specifics(false, DiskRefreshKind::nothing().with_io_usage());
        let by_device: HashMap<_, _> =
            disks.iter().map(|disk| (disk.name().to_owned(), disk.usage())).collect();
        let read = by_device.values().map(|usage| usage.total_read_bytes).sum();
        let written = by_device.values().map(|usage| usage.total_written_bytes).sum();
        (Some(read), Some(written))
    }

    fn network_totals(&mut self) -> [Option<u64>; 2] {
        let Some(networks) = &mut self.networks else { return [None; 2] };
        networks.refresh(true);
        self.interfaces.clear();
        self.growing.begin();
        for (name, data) in networks.iter() {
            let name = cut(name.to_string_lossy().into_owned());
            let is_counted = !is_loopback(&name);
            let raw = [data.total_received(), data.total_transmitted()];
            let [received_bytes, sent_bytes] = self.growing.add(&name, raw, is_counted).map(Some);
            self.interfaces.push(InterfaceSample {
                name,
                kind: (!is_counted).then(|| "loopback".to_owned()),
                counted_as: is_counted.then(|| "not loopback".to_owned()),
                received_bytes,
                sent_bytes,
                received_packets: Some(data.total_packets_received()),
                sent_packets: Some(data.total_packets_transmitted()),
                received_errors: Some(data.total_errors_on_received()),
                sent_errors: Some(data.total_errors_on_transmitted()),
                ..InterfaceSample::default()
            });
        }
        self.growing.end();
        self.interfaces.sort_by(|one, other| one.name.cmp(&other.name));
        self.growing.totals().map(Some)
    }
}

fn load() -> [Option<f32>; 3] {
    // Windows has no load average; sysinfo estimates one there, which is not what the name says.
    match System::load_average() {
        Ok(load) if !cfg!(windows) => [load.one, load.five, load.fifteen].map(|load| Some(load as f32)),
        _ => [None; 3],
    }
}

fn filesystems() -> Vec<FilesystemSample> {
    let Ok(mut disks) = Disks::new() else { return Vec::new() };
    disks.refresh_specifics(true, DiskRefreshKind::nothing().with_storage());
    let sized = disks.iter().filter(|disk| disk.total_space() > 0);
    sized
        .take(MAX_FILESYSTEMS)
        .map(|disk| FilesystemSample {
            mount: cut(disk.mount_point().to_string_lossy().into_owned()),
            device: known_text(disk.name().to_string_lossy().into_owned()).map(cut),
            kind: known_text(disk.file_system().to_string_lossy().into_owned()).map(cut),
            total_bytes: Some(disk.total_space()),
            used_bytes: Some(disk.total_space().saturating_sub(disk.available_space())),
            available_bytes: Some(disk.available_space()),
            ..FilesystemSample::default()
        })
        .collect()
}

fn is_loopback(interface: &str) -> bool {
    interface == "lo" || interface == "lo0" || interface.starts_with("Loopback")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_read_through_sysinfo_as_well() {
        let lists = Workers::new(1);
        let mut machine = Portable::new(lists.clone()).unwrap();
        machine.tend();
        assert_eq!(machine.read().cpu_percent, None);
        let sample = machine.read();
        assert!(sample.cpu_percent.is_some() && sample.memory_used_bytes < sample.memory_total_bytes);
        assert!(!machine.interfaces().is_empty() && machine.seen_from().is_none());
        let began = std::time::Instant::now();
        while !machine.is_settled() {
            assert!(began.elapsed() < Duration::from_secs(60));
            lists.tend();
        }
        assert!(!machine.filesystems(1).is_empty());
    }
}
