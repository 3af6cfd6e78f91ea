//! The machine on Linux, read from `/proc` and `/sys`. Nothing here waits for a mount, a server or a name service.

use std::path::{Path, PathBuf};

use fleetps_nats::snapshot::{FilesystemSample, HostSample, InterfaceSample};

use super::{
    bytes::{lines, small_text, text, whole_file},
    carried::Carried,
    cpu::Cpu,
    disks::Disks,
    filesystems::{Ask, Filesystems},
    memory,
    mountinfo::visible_mounts,
    network::Network,
    workers::{Slot, Workers},
};

/// Where the system says what it does; in tests, a tree of files.
#[derive(Debug, Clone)]
pub(super) struct Folders {
    /// Usually "/".
    pub(super) root: PathBuf,
    /// The agent's state.
    pub(super) state: PathBuf,
}

impl Folders {
    fn proc(&self) -> PathBuf {
        self.root.join("proc")
    }
}

/// What is around the processes.
pub(super) struct Linux {
    proc_folder: PathBuf,
    lists: Workers,
    cpu: Cpu,
    disks: Disks,
    network: Network,
    filesystems: Filesystems,
    carried: Carried,
    container: Slot<Option<Container>>,
}

/// The container that the agent runs in.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Container {
    kind: String,
    /// Whether /proc/meminfo shows its own limit.
    has_own_memory: bool,
}

impl Linux {
    /// Reads below `folders`; `ask` asks mounts for their sizes.
    pub(super) fn new(folders: &Folders, boot_id: &str, lists: Workers, ask: Ask) -> Self {
        let (proc_folder, sys_folder) = (folders.proc(), folders.root.join("sys"));
        let container = Slot::default();
        let root = folders.root.clone();
        container.ask(&lists, move || container_of(&root));
        Self {
            cpu: Cpu::new(&proc_folder),
            disks: Disks::new(&proc_folder, &sys_folder),
            network: Network::new(&proc_folder, &sys_folder, lists.clone()),
            filesystems: Filesystems::new(&proc_folder, lists.clone(), ask),
            carried: Carried::new(&folders.state, boot_id, &lists),
            container,
            proc_folder,
            lists,
        }
    }

    /// Asks what is due, waits for nothing.
    pub(super) fn tend(&mut self) {
        self.network.tend();
        self.filesystems.tend();
    }

    /// Whether everything that was asked is answered.
    pub(super) fn is_settled(&self) -> bool {
        self.network.is_settled()
            && self.filesystems.is_settled()
            && self.carried.is_settled()
            && self.container.answered_at().is_some()
    }

    /// Load and counters as of now; CPU use is that since the last call.
    pub(super) fn read(&mut self) -> HostSample {
        let (time, cpu_percent) = self.cpu.read();
        let (disks, network) = (self.disks.read(), self.network.read());
        let (disks, network) = self.with_earlier(disks, network);
        let memory = memory::read(&self.proc_folder);
        let [load_1, load_5, load_15] = memory::load(&self.proc_folder);
        HostSample {
            cpu_percent,
            load_1,
            load_5,
            load_15,
            memory_total_bytes: memory.total,
            memory_used_bytes: memory.used,
            memory_available_bytes: memory.available,
            swap_total_bytes: memory.swap_total,
            swap_used_bytes: memory.swap_used,
            disk_read_bytes: disks.map(|[read, _]| read),
            disk_written_bytes: disks.map(|[_, written]| written),
            network_received_bytes: network.map(|[received, _]| received),
            network_sent_bytes: network.map(|[_, sent]| sent),
            cpu_time_ms: time.map(|time| time.busy_ms),
            cpu_idle_ms: time.map(|time| time.idle_ms),
            cpu_iowait_ms: time.map(|time| time.iowait_ms),
            interface_count: Some(self.network.interface_count()),
            oom_kills: memory::oom_kills(&self.proc_folder),
            ..HostSample::default()
        }
    }

    /// The totals with what an earlier run had counted of devices that are gone, and keeps that for a later one.
    fn with_earlier(
        &mut self,
        disks: Option<[u64; 2]>,
        network: Option<[u64; 2]>,
    ) -> (Option<[u64; 2]>, Option<[u64; 2]>) {
        // Before both are known, what is beyond them would be wrong.
        if let (Some(_), Some(_)) = (disks, network) {
            if let Some(earlier) = self.carried.take_earlier() {
                self.disks.growing().add_earlier(earlier.disks);
                self.network.add_earlier(earlier.network);
            }
            let beyond = self.disks.growing().beyond_present();
            self.carried.keep(&self.lists, self.network.beyond_present(), beyond);
        }
        (disks.map(|_| self.disks.growing().totals()), network.map(|_| self.network.totals()))
    }

    /// The mounted file systems; `clock_us` is the host's clock, in µs since 1970 UTC.
    pub(super) fn filesystems(&mut self, clock_us: i64) -> Vec<FilesystemSample> {
        self.filesystems.samples(clock_us)
    }

    /// The network interfaces.
    pub(super) fn interfaces(&self) -> Vec<InterfaceSample> {
        self.network.samples()
    }

    /// The container that the agent runs in, and what it therefore sees.
    pub(super) fn seen_from(&self) -> Option<String> {
        let Container { kind, has_own_memory } = self.container.answer()??;
        let of = |is_own| if is_own { "container" } else { "whole machine" };
        let (memory, network) = (of(has_own_memory), of(!self.network.has_physical()));
        Some(format!("{kind}: memory of the {memory}, network of the {network}"))
    }
}

/// By the marks that runtimes leave in a container.
fn container_of(root: &Path) -> Option<Container> {
    let mountinfo = whole_file(&root.join("proc/self/mountinfo"));
    let kind = small_text(&root.join("run/systemd/container"))
        .or_else(|| first_process_says(root))
        .or_else(|| marked_by_a_file(root).filter(|_| !has_own_disk(&mountinfo)))?;
    let is_own = |line: &[u8]| {
        let has = |part: &[u8]| line.windows(part.len()).any(|bytes| bytes == part);
        has(b" /proc/meminfo ") && has(b" fuse.lxcfs ")
    };
    let kind = kind.chars().filter(|letter| !letter.is_control()).take(64).collect();
    Some(Container { kind, has_own_memory: lines(&mountinfo).any(is_own) })
}

fn marked_by_a_file(root: &Path) -> Option<String> {
    let marks = [
        ("run/.containerenv", "podman"),
        ("var/run/secrets/kubernetes.io/serviceaccount", "kubernetes"),
        (".dockerenv", "docker"),
    ];
    marks.iter().find(|(file, _)| root.join(file).exists()).map(|(_, kind)| (*kind).to_owned())
}

/// Whether a disk is the root folder: a virtual machine made of a container's image has the image's marks.
fn has_own_disk(mountinfo: &[u8]) -> bool {
    visible_mounts(mountinfo)
        .iter()
        .any(|mount| mount.point == b"/" && mount.root == b"/" && mount.source.starts_with("/dev/"))
}

/// LXC and nspawn say so to the first process.
fn first_process_says(root: &Path) -> Option<String> {
    let environment = whole_file(&root.join("proc/1/environ"));
    let value =
        environment.split(|byte| *byte == 0).find_map(|variable| variable.strip_prefix(b"container="))?;
    Some(text(value)).filter(|kind| !kind.is_empty())
}

#[cfg(test)]
#[path = "linux_tests.rs"]
mod tests;
