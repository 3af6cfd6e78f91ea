//! The machine of a simulated host: what it is, what it counts, and the snapshot around its processes.

use fastrand::Rng;
use fleetps_nats::{
    HostName,
    snapshot::{
        AgentCost, FORMAT, FilesystemSample, HostInfo, HostSample, InterfaceSample, Process, Snapshot,
    },
};

use super::{
    blueprint::Program,
    process::Slot,
    role::{Family, System},
};

const GIB: u64 = 1 << 30;
const DAY_US: i64 = 24 * 3600 * 1_000_000;
/// Hosts were booted between an hour and this many days ago.
const MAX_UPTIME_DAYS: i64 = 90;
/// Memory of a host before any process: kernel and page tables.
const KERNEL_BYTES: u64 = GIB / 3;

/// The identity of a host and its run.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) name: HostName,
    pub(super) boot_id: String,
    pub(super) run_id: String,
    pub(super) interval_ms: u32,
}

/// A simulated machine.
pub(super) struct Machine {
    identity: Identity,
    system: &'static System,
    threads: u32,
    memory_bytes: u64,
    boot_at_us: i64,
    /// Since when its disks fill: its first boot, in µs since 1970.
    in_use_since_us: i64,
    sequence: u64,
    /// Where in the day its peak lies, as a share of a day.
    phase: f32,
    load: [f32; 3],
    written_bytes: f64,
    network_bytes: f64,
    cpu_ms: f64,
    last_at_us: i64,
}

impl Machine {
    pub(super) fn new(
        identity: Identity,
        system: &'static System,
        (threads, memory_gib): (u32, u64),
        rng: &mut Rng,
    ) -> Self {
        Self {
            identity,
            system,
            threads,
            memory_bytes: memory_gib * GIB,
            boot_at_us: 0,
            in_use_since_us: 0,
            sequence: 0,
            // Most hosts follow the same day; some serve other continents.
            phase: 0.1 * rng.f32() + if rng.u8(..) < 40 { 0.4 } else { 0.0 },
            load: [0.5; 3],
            written_bytes: 0.0,
            network_bytes: 0.0,
            cpu_ms: 0.0,
            last_at_us: 0,
        }
    }

    /// Draws when it was booted.
    pub(super) fn boot(&mut self, now_us: i64, rng: &mut Rng) {
        let uptime_us = rng.i64(DAY_US / 24..MAX_UPTIME_DAYS * DAY_US);
        self.boot_at_us = (now_us - uptime_us).max(0);
        self.last_at_us = self.boot_at_us;
        self.in_use_since_us = self.boot_at_us;
    }

    /// Boots it anew: it counts from nothing.
    pub(super) fn boot_anew(&mut self, at_us: i64, rng: &mut Rng) {
        let Identity { boot_id, run_id, .. } = &mut self.identity;
        *boot_id = format!("{:016x}-{run_id}", rng.u64(..));
        (self.boot_at_us, self.last_at_us) = (at_us, at_us);
        (self.written_bytes, self.network_bytes, self.cpu_ms) = (0.0, 0.0, 0.0);
        self.load = [0.0; 3];
    }

    pub(super) fn boot_at_us(&self) -> i64 {
        self.boot_at_us
    }

    pub(super) fn threads(&self) -> u32 {
        self.threads
    }

    /// How busy the time of day is: between a half and one and a half, highest at the host's own peak.
    pub(super) fn day_factor(&self, at_us: i64) -> f32 {
        let share_of_day = at_us.rem_euclid(DAY_US) as f32 / DAY_US as f32;
        1.0 + 0.5 * ((share_of_day + self.phase - 0.35) * std::f32::consts::TAU).sin()
    }

    /// The snapshot with these processes.
    pub(super) fn snapshot(
        &mut self,
        captured_at_us: i64,
        slots: &[Slot],
        programs: &[Program],
        processes: Vec<Process>,
        rng: &mut Rng,
    ) -> Snapshot {
        let elapsed_s = ((captured_at_us - self.last_at_us) as f64 / 1e6).max(0.0);
        let alive = || slots.iter().filter(|slot| slot.is_alive);
        let cpu_percent: f32 = alive().map(Slot::cpu_percent).sum::<f32>() / self.threads as f32;
        let written_bytes_per_s: f64 =
            alive().map(|slot| programs[slot.program].written_bytes_per_s).sum::<f64>() * 0.8;
        self.written_bytes += written_bytes_per_s * elapsed_s;
        self.network_bytes += f64::from(cpu_percent) * (40_000.0 + 40_000.0 * rng.f64()) * elapsed_s;
        self.cpu_ms += f64::from(cpu_percent.min(100.0)) * f64::from(self.threads) * 10.0 * elapsed_s;
        self.last_at_us = captured_at_us;
        self.sequence += 1;
        self.follow_load(cpu_percent * self.threads as f32 / 100.0, elapsed_s as f32);
        let resident_bytes: u64 = alive().map(Slot::resident_bytes).sum();
        let thread_count = alive().map(|slot| programs[slot.program].threads).sum();
        let uptime_us = (captured_at_us - self.boot_at_us).max(0);
        Snapshot {
            clock_offset_us: None,
            format: FORMAT,
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            os_host_name: format!("{}.example.net", self.identity.name),
            boot_id: self.identity.boot_id.clone(),
            run_id: self.identity.run_id.clone(),
            sequence: self.sequence,
            captured_at_us,
            interval_ms: self.identity.interval_ms,
            monotonic_ms: uptime_us as u64 / 1000,
            agent: agent_cost(uptime_us as u64),
            host: HostSample {
                cpu_percent: Some(cpu_percent.min(100.0)),
                process_count: u32::try_from(processes.len()).ok(),
                thread_count: Some(thread_count),
                uptime_s: Some(uptime_us as u64 / 1_000_000),
                ..self.counters(resident_bytes, uptime_us as u64 / 1000)
            },
            host_info: self.info(),
            filesystems: self.filesystems(captured_at_us.saturating_sub(self.in_use_since_us).max(0)),
            interfaces: self.interfaces(),
            processes_left_out: 0,
            texts_shortened: 0,
            processes,
        }
    }

    /// Moves the three averages towards `running`, as the kernel does.
    fn follow_load(&mut self, running: f32, elapsed_s: f32) {
        for (average, minutes) in self.load.iter_mut().zip([1.0, 5.0, 15.0]) {
            let keeps = (-elapsed_s / (60.0 * minutes)).exp();
            *average = *average * keeps + running * (1.0 - keeps);
        }
    }

    fn counters(&self, resident_bytes: u64, uptime_ms: u64) -> HostSample {
        let used = (KERNEL_BYTES + resident_bytes / 10 * 8).min(self.memory_bytes / 100 * 97);
        let [load_1, load_5, load_15] =
            self.load.map(|load| (self.system.family != Family::Windows).then_some(load));
        // Linux says it, in steps of 10 ms.
        let is_linux = self.system.family == Family::Linux;
        let busy_ms = self.cpu_ms as u64 / 10 * 10;
        let idle_ms = (uptime_ms / 10 * 10 * u64::from(self.threads)).saturating_sub(busy_ms);
        HostSample {
            cpu_time_ms: is_linux.then_some(busy_ms),
            cpu_idle_ms: is_linux.then_some(idle_ms),
            cpu_iowait_ms: is_linux.then_some(idle_ms / 1000 * 10),
            interface_count: Some(2),
            // Nothing on it is ever out of memory.
            oom_kills: is_linux.then_some(0),
            load_1,
            load_5,
            load_15,
            memory_total_bytes: Some(self.memory_bytes),
            memory_used_bytes: Some(used),
            memory_available_bytes: Some(self.memory_bytes - used),
            swap_total_bytes: Some(4 * GIB),
            swap_used_bytes: Some(used / 100),
            disk_read_bytes: Some(self.written_bytes as u64 / 2),
            disk_written_bytes: Some(self.written_bytes as u64),
            network_received_bytes: Some(self.network_bytes as u64),
            network_sent_bytes: Some(self.network_bytes as u64 / 10 * 17),
            ..HostSample::default()
        }
    }

    fn info(&self) -> HostInfo {
        HostInfo {
            os: Some(self.system.os.to_owned()),
            kernel: Some(self.system.kernel.to_owned()),
            architecture: Some(self.system.architecture.to_owned()),
            cpu_model: Some(self.system.cpu_model.to_owned()),
            cores: Some(self.threads.div_ceil(2)),
            threads: Some(self.threads),
            frequency_mhz: Some(2_900),
            memory_bytes: Some(self.memory_bytes),
            boot_at_us: Some(self.boot_at_us),
            ..HostInfo::default()
        }
    }

    /// The one that carries everything, and loopback.
    fn interfaces(&self) -> Vec<InterfaceSample> {
        let (name, loopback) = match self.system.family {
            Family::Linux => ("eth0", "lo"),
            Family::Windows => ("Ethernet", "Loopback Pseudo-Interface 1"),
            Family::Mac => ("en0", "lo0"),
        };
        let received = self.network_bytes as u64;
        let sent = received / 10 * 17;
        // Bytes of a packet: many are as long as Ethernet takes.
        const PACKET_BYTES: u64 = 900;
        let interface = |name: &str, kind: &str, received: u64, sent: u64| InterfaceSample {
            name: name.to_owned(),
            kind: Some(kind.to_owned()),
            received_bytes: Some(received),
            sent_bytes: Some(sent),
            received_packets: Some(received / PACKET_BYTES),
            sent_packets: Some(sent / PACKET_BYTES),
            received_errors: Some(0),
            sent_errors: Some(0),
            received_drops: Some(0),
            sent_drops: Some(0),
            ..InterfaceSample::default()
        };
        vec![
            InterfaceSample {
                counted_as: Some("physical".to_owned()),
                ..interface(name, "physical", received, sent)
            },
            interface(loopback, "loopback", received / 20, received / 20),
        ]
    }

    /// Disks that fill slowly, in proportion to the time since they are in use.
    fn filesystems(&self, in_use_us: i64) -> Vec<FilesystemSample> {
        let filled = 0.2 + 0.6 * (in_use_us as f64 / (2 * MAX_UPTIME_DAYS * DAY_US) as f64).min(1.0);
        let disk = |mount: &str, device: &str, kind: &str, total_bytes: u64, share: f64| FilesystemSample {
            mount: mount.to_owned(),
            device: Some(device.to_owned()),
            kind: Some(kind.to_owned()),
            total_bytes: Some(total_bytes),
            used_bytes: Some((total_bytes as f64 * share) as u64),
            available_bytes: Some((total_bytes as f64 * (0.95 - share).max(0.0)) as u64),
            ..FilesystemSample::default()
        };
        let data_bytes = self.memory_bytes * 8;
        match self.system.family {
            Family::Linux => vec![
                disk("/", "/dev/vda2", "ext4", 80 * GIB, filled),
                disk("/boot/efi", "/dev/vda1", "vfat", GIB / 2, 0.02),
                disk("/srv", "/dev/vdb1", "xfs", data_bytes, 1.1 * filled),
            ],
            Family::Windows => vec![disk("C:\\", "Volume1", "NTFS", 240 * GIB, filled)],
            Family::Mac => vec![disk("/", "/dev/disk3s1s1", "apfs", 460 * GIB, filled)],
        }
    }
}

/// The cost of an agent that keeps to its figures: 0.3 % of a core, 9 MiB, 2.5 ms for a pass.
fn agent_cost(uptime_us: u64) -> AgentCost {
    AgentCost {
        cpu_time_ms: Some(uptime_us / 1000 / 1000 * 3),
        resident_bytes: Some(9 << 20),
        pass_us: Some(2_500),
        dropped_snapshots: 0,
    }
}
