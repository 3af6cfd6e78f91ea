//! What the network interfaces of a Linux machine are, from `/sys/class/net`, and which of them count.
//!
//! A byte that comes in on a machine's network card may pass a bond, a VLAN, a bridge and a container's interface, and be
//! counted by each. Only what crossed the machine's own cards is its traffic. Where there is no card, as in a container or
//! a network namespace, the interfaces towards the outside stand for them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use super::bytes::{fields, lines, link_name, number, small_text, text, whole_file};

/// Hardware types of `if_arp.h`: loopback, PPP, tunnels (IP in IP, IPv6, SIT, GRE), and devices without addresses.
const LOOPBACK: u64 = 772;
const INFINIBAND: u64 = 32;
const TUNNELS: [u64; 8] = [512, 768, 769, 776, 778, 779, 823, 65534];
/// The ends on the host of what leads into containers and virtual machines, by the names that Docker, Kubernetes'
/// networks, LXC, libvirt, Xen, Proxmox and cloud providers give them.
const INWARD_NAMES: [&str; 15] = [
    "azv", "cali", "cni", "eni", "fwln", "fwpr", "gke", "lxc", "nic-", "podman", "tap", "veth", "vb-", "vif",
    "vnet",
];

/// An interface, as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Interface {
    /// Its number, which stays when it gets another name.
    pub(super) index: Option<u64>,
    /// Physical, loopback, bridge and so on.
    pub(super) kind: Option<String>,
    /// The bridge or bond that it belongs to.
    pub(super) master: Option<String>,
    /// The interfaces that it stands on.
    lowers: BTreeSet<String>,
    is_physical: bool,
}

/// All interfaces, by name, and the names of those with a default route.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Interfaces {
    pub(super) all: BTreeMap<String, Interface>,
    routes: BTreeSet<String>,
}

impl Interfaces {
    /// Reads all of them.
    pub(super) fn read(proc_folder: &Path, sys_folder: &Path) -> Self {
        let folder = sys_folder.join("class/net");
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        let all = entries.filter(|entry| entry.path().is_dir()).map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let interface = Interface::read(&entry.path());
            (name, interface)
        });
        Self { all: all.collect(), routes: default_routes(proc_folder) }
    }

    /// Reads those of `names`; the others stay as they were.
    pub(super) fn with_new(mut self, proc_folder: &Path, sys_folder: &Path, names: &[String]) -> Self {
        for name in names {
            let folder = sys_folder.join("class/net").join(name);
            self.all.insert(name.clone(), Interface::read(&folder));
        }
        self.routes = default_routes(proc_folder);
        self
    }

    /// Leaves out interfaces that are not among `names`: `/sys` may be that of another network namespace.
    pub(super) fn only(&self, names: &BTreeSet<&str>) -> Self {
        let is_there = |name: &&String| names.contains(name.as_str());
        let all =
            self.all.iter().filter(|(name, _)| is_there(name)).map(|(name, it)| (name.clone(), it.clone()));
        Self { all: all.collect(), routes: self.routes.iter().filter(is_there).cloned().collect() }
    }

    /// The interfaces whose bytes are the machine's, each with the reason.
    pub(super) fn counted(&self) -> BTreeMap<String, &'static str> {
        let physical = self.physical();
        if !physical.is_empty() {
            return physical.into_iter().map(|name| (name, "physical")).collect();
        }
        let uplinks = self.uplinks();
        let is_tunnel = |name: &&String| {
            let kind = self.all.get(*name).and_then(|it| it.kind.as_deref());
            matches!(kind, Some("tunnel" | "wireguard"))
        };
        // What goes through a tunnel leaves by another interface, where there is one.
        let through = |tunnels: bool| self.routes.iter().filter(move |name| tunnels || !is_tunnel(name));
        let routed: BTreeSet<String> =
            through(uplinks.is_empty()).flat_map(|name| self.outward(name, 0)).collect();
        if !routed.is_empty() {
            return routed.into_iter().map(|name| (name, "default route")).collect();
        }
        uplinks.into_iter().map(|name| (name, "uplink")).collect()
    }

    /// Those with hardware. Where one physical interface stands for another, as the synthetic one of Hyper-V for a virtual
    /// function, it counts both: then the other does not. A port of a switch in hardware stands on the interface that leads
    /// there, which counts for all ports.
    fn physical(&self) -> BTreeSet<String> {
        let is_physical = |name: &String| self.all.get(name).is_some_and(|it| it.is_physical);
        let stands_for_itself =
            |(_, it): &(&String, &Interface)| it.is_physical && !it.master.as_ref().is_some_and(is_physical);
        let masters: BTreeSet<String> =
            self.all.iter().filter(stands_for_itself).map(|(name, _)| name.clone()).collect();
        let is_below = |name: &&String| {
            !self.all.get(*name).is_some_and(|it| it.lowers.iter().any(|it| masters.contains(it)))
        };
        masters.iter().filter(is_below).cloned().collect()
    }

    /// The interfaces through which bytes of `name` leave the machine: of a bridge, the ports that lead outside; of a bond
    /// or a VLAN, what it stands on; else itself.
    fn outward(&self, name: &str, depth: usize) -> Vec<String> {
        /// A VLAN on a bridge on a bond has three levels.
        const MOST_LEVELS: usize = 8;
        let Some(interface) = self.all.get(name).filter(|_| depth < MOST_LEVELS) else {
            return vec![name.to_owned()];
        };
        let is_known = |name: &&String| self.all.contains_key(*name);
        let ports =
            || self.all.iter().filter(|(_, port)| port.master.as_deref() == Some(name)).map(|(port, _)| port);
        let lowers: BTreeSet<&String> = interface.lowers.iter().filter(is_known).chain(ports()).collect();
        let is_bridge = interface.kind.as_deref() == Some("bridge");
        let outside = lowers.into_iter().filter(|name| !is_bridge || !is_inward(name));
        let found: Vec<String> = outside.flat_map(|lower| self.outward(lower, depth + 1)).collect();
        if found.is_empty() { vec![name.to_owned()] } else { found }
    }

    /// Without a default route: what is neither loopback nor on top of another, and does not lead inward by its name. Where
    /// that leaves nothing, names count for nothing, and at last every interface does that belongs to no other.
    fn uplinks(&self) -> BTreeSet<String> {
        let select = |is_outer: &dyn Fn(&String, &Interface) -> bool| -> BTreeSet<String> {
            let is_loopback = |it: &Interface| it.kind.as_deref() == Some("loopback");
            let outer = self.all.iter().filter(|(name, it)| !is_loopback(it) && is_outer(name, it));
            outer.map(|(name, _)| name.clone()).collect()
        };
        let is_plain = |name: &String, it: &Interface| {
            let has_ports = self.all.values().any(|other| other.master.as_ref() == Some(name));
            let is_other = matches!(it.kind.as_deref(), Some("bridge" | "bond" | "dummy" | "tunnel" | "ifb"));
            it.lowers.is_empty() && !has_ports && !is_other
        };
        let by_name = select(&|name, it| is_plain(name, it) && !is_inward(name));
        if !by_name.is_empty() {
            return by_name;
        }
        let alone = select(&|name, it| is_plain(name, it) && it.master.is_none());
        if alone.is_empty() { select(&|_, it| it.master.is_none()) } else { alone }
    }
}

fn is_inward(name: &str) -> bool {
    INWARD_NAMES.iter().any(|prefix| name.starts_with(prefix))
}

impl Interface {
    /// Reads one from its folder in `/sys/class/net`. Nothing here that asks a driver, as `speed` does, which may wait.
    fn read(folder: &Path) -> Self {
        let uevent = whole_file(&folder.join("uevent"));
        let value = |name: &[u8]| lines(&uevent).find_map(|line| line.strip_prefix(name));
        let has = |name: &str| folder.join(name).exists();
        let hardware = small_text(&folder.join("type")).and_then(|text| text.parse().ok());
        let index = value(b"IFINDEX=").and_then(number);
        let peer: Option<u64> = small_text(&folder.join("iflink")).and_then(|text| text.parse().ok());
        // The end on the host of a Xen guest's interface has a device as well.
        let is_backend = link_name(&folder.join("device/subsystem")).as_deref() == Some("xen-backend");
        let is_physical = has("device") && !is_backend;
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let kind = match value(b"DEVTYPE=").map(text) {
            Some(kind) if !kind.is_empty() => Some(kind),
            _ if hardware == Some(LOOPBACK) => Some("loopback".to_owned()),
            _ if has("bridge") => Some("bridge".to_owned()),
            _ if has("bonding") => Some("bond".to_owned()),
            _ if has("tun_flags") || hardware.is_some_and(|it| TUNNELS.contains(&it)) => {
                Some("tunnel".to_owned())
            }
            _ if is_physical && hardware == Some(INFINIBAND) => Some("infiniband".to_owned()),
            _ if is_physical => Some("physical".to_owned()),
            _ if is_backend => Some("xen backend".to_owned()),
            _ if name.starts_with("ifb") || name.starts_with("dummy") => {
                Some(name.trim_end_matches(|it: char| it.is_ascii_digit()).to_owned())
            }
            _ if peer.is_some() && peer != index => Some("veth".to_owned()),
            _ => None,
        };
        Self { index, kind, master: link_name(&folder.join("master")), lowers: lowers(folder), is_physical }
    }
}

/// The links named `lower_…`.
fn lowers(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.strip_prefix("lower_").map(str::to_owned))
        .collect()
}

/// The interfaces with a default route, of IPv4 or IPv6.
fn default_routes(proc_folder: &Path) -> BTreeSet<String> {
    let v4 = whole_file(&proc_folder.join("net/route"));
    let v6 = whole_file(&proc_folder.join("net/ipv6_route"));
    let of_v4 = lines(&v4).filter_map(|line| {
        let all: Vec<&[u8]> = fields(line).collect();
        let is_default = *all.get(1)? == b"00000000" && *all.get(7)? == b"00000000";
        is_default.then(|| text(all[0]))
    });
    let of_v6 = lines(&v6).filter_map(|line| {
        let all: Vec<&[u8]> = fields(line).collect();
        let is_default = all.first()?.iter().all(|digit| *digit == b'0') && *all.get(1)? == b"00";
        // The last field; `lo` has one that rejects everything.
        (is_default && all.len() >= 10).then(|| text(all[9])).filter(|name| name != "lo")
    });
    of_v4.chain(of_v6).collect()
}
