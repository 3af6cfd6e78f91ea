//! Which mounts are listed, as `df` would: each device once, and nothing that holds no files of its own.

use std::collections::HashMap;

use super::{
    bytes::text,
    mountinfo::{Mount, visible_mounts},
};

/// Kinds that show the kernel's own state, or trigger other mounts. `df` leaves most of them out because they have no
/// blocks; asking some of them does harm (autofs mounts what it stands for).
const PSEUDO_KINDS: [&str; 36] = [
    "autofs",
    "binder",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "cpuset",
    "debugfs",
    "devfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fuse.gvfsd-fuse",
    "fuse.lxcfs",
    "fuse.portal",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nfsd",
    "none",
    "nsfs",
    "pipefs",
    "proc",
    "pstore",
    "resctrl",
    "rootfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "smackfs",
    "sockfs",
    "sysfs",
    "tracefs",
    "usbfs",
    "xenfs",
];
/// Images that are full by nature: snaps, AppImages, sysexts, discs. A root file system of this kind is listed.
const IMAGE_KINDS: [&str; 7] =
    ["cramfs", "erofs", "fuse.snapfuse", "fuse.squashfuse", "iso9660", "squashfs", "udf"];
/// Kinds that unite others, which count the same blocks: listed at "/" only, where a container has nothing else.
const UNION_KINDS: [&str; 5] = ["aufs", "fuse.fuse-overlayfs", "overlay", "overlayfs", "unionfs"];
/// The state of the kernel and of devices, by place; `/dev/shm` is memory that programs use.
const STATE_PLACES: [&str; 3] = ["/dev", "/proc", "/sys"];
/// Small mounts that services and runtimes make for themselves, by the dozen, and the layers of containers.
const RUNTIME_PLACES: [&str; 14] = [
    "/run/containerd",
    "/run/containers",
    "/run/credentials",
    "/run/docker",
    "/run/k3s",
    "/run/lxd_agent",
    "/run/netns",
    "/run/snapd",
    "/run/systemd",
    "/snap",
    "/var/lib/containerd",
    "/var/lib/rancher/k3s/agent/containerd",
    "/var/lib/snapd/snap",
    "/var/snap/lxd/common/ns",
];
/// The same anywhere below a runtime's folder, wherever an administrator put that.
const RUNTIME_PARTS: [&str; 10] = [
    "/containers/storage/",
    "/docker/aufs/",
    "/docker/btrfs/subvolumes/",
    "/docker/overlay2/",
    "/docker/rootfs/",
    "/docker/zfs/graph/",
    "/io.containerd.",
    "/lxd/devlxd",
    "/lxd/shmounts",
    "/volumes/kubernetes.io~",
];
/// The shared memory of a container of Docker.
const RUNTIME_END: &str = "/mounts/shm";
/// Below `/volumes/kubernetes.io~…`, these are disks and shares of a pod, and not its secrets.
const VOLUMES_OF_PODS: [&str; 6] = ["csi/", "nfs/", "iscsi/", "local-volume/", "rbd/", "cephfs/"];
/// Kinds whose answer comes from another machine or program, which may never come. FUSE is one by its first letters.
const REMOTE_KINDS: [&str; 25] = [
    "9p",
    "acfs",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "coda",
    "davfs",
    "drvfs",
    "gfs",
    "gfs2",
    "glusterfs",
    "gpfs",
    "lustre",
    "mvfs",
    "ncpfs",
    "nfs",
    "nfs4",
    "ocfs2",
    "orangefs",
    "prl_fs",
    "smb3",
    "smbfs",
    "vboxsf",
    "virtiofs",
];

/// A file system that is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// Where it is asked for its sizes.
    pub(super) point: Vec<u8>,
    pub(super) device_number: String,
    pub(super) source: String,
    pub(super) kind: String,
    /// The other places, in the order in which they were mounted.
    pub(super) others: Vec<Vec<u8>>,
}

impl Listed {
    /// Whether its answer comes from elsewhere.
    pub(super) fn is_remote(&self) -> bool {
        is_remote(&self.kind)
    }
}

fn is_remote(kind: &str) -> bool {
    kind == "fuse" || kind.starts_with("fuse.") || REMOTE_KINDS.contains(&kind)
}

/// The file systems to list.
pub(super) fn listed(mountinfo: &[u8]) -> Vec<Listed> {
    let mut all: Vec<(Listed, Mount)> = Vec::new();
    let mut by_device: HashMap<String, Vec<usize>> = HashMap::new();
    for mount in visible_mounts(mountinfo).into_iter().filter(is_listed) {
        let same = by_device.entry(mount.device_number.clone()).or_default();
        let is_same = |place: &&usize| all.get(**place).is_some_and(|(_, main)| is_same_device(main, &mount));
        if let Some((listed, main)) = same.iter().find(is_same).copied().and_then(|place| all.get_mut(place))
        {
            let mut other = mount;
            if is_nearer(&other, main) {
                std::mem::swap(&mut other, main);
                listed.point.clone_from(&main.point);
                listed.source.clone_from(&main.source);
            }
            listed.others.push(other.point);
        } else {
            same.push(all.len());
            let Mount { point, device_number, source, kind, .. } = mount.clone();
            all.push((Listed { point, device_number, source, kind, others: Vec::new() }, mount));
        }
    }
    all.into_iter().map(|(listed, _)| listed).collect()
}

/// Two exports of one server may share a device number.
fn is_same_device(main: &Mount, other: &Mount) -> bool {
    !is_remote(&main.kind) || main.source == other.source
}

/// Whether `other` is the better name for the device, by the rule of `df`: the shorter path, unless it shows a part of
/// the device only.
fn is_nearer(other: &Mount, main: &Mount) -> bool {
    other.point.len() < main.point.len() && main.root.len() >= other.root.len()
}

fn is_listed(mount: &Mount) -> bool {
    let (kind, point) = (mount.kind.as_str(), text(&mount.point));
    if PSEUDO_KINDS.contains(&kind) {
        return false;
    }
    if point == "/" {
        return true;
    }
    let is_shared_memory = point == "/dev/shm";
    !IMAGE_KINDS.contains(&kind)
        && !UNION_KINDS.contains(&kind)
        && (is_shared_memory || !STATE_PLACES.iter().any(|place| is_below(&point, place)))
        && !RUNTIME_PLACES.iter().any(|place| is_below(&point, place))
        && !is_of_runtime(&point)
}

fn is_below(point: &str, folder: &str) -> bool {
    point.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn is_of_runtime(point: &str) -> bool {
    let has_part = |part: &str| {
        let Some(at) = point.find(part) else { return false };
        let rest = point.get(at + part.len()..).unwrap_or_default();
        !(part.ends_with('~') && VOLUMES_OF_PODS.iter().any(|volume| rest.starts_with(volume)))
    };
    point.ends_with(RUNTIME_END) || RUNTIME_PARTS.iter().any(|part| has_part(part))
}
