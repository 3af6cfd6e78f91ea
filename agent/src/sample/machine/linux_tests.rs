//! Machines of other systems, as trees of files with what is right beside them (`trees/`).
//!
//! A tree is a text: `mount` is a line of `/proc/self/mountinfo`; `net` an interface with its files in `/sys/class/net`,
//! and what it has received and sent; `route` the interface of a default route; `disk` a device with sectors read and
//! written, `on` others; `partition` one that has no folder in `/sys/block`; `file` any other file. `expect` is a line of
//! what must come out.

use std::{
    fmt::Write,
    fs,
    os::unix::fs::symlink,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rustix::io::Errno;

use super::{super::filesystems::Sizes, *};

struct Tree {
    folder: tempfile::TempDir,
    expected: Vec<String>,
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn link(root: &Path, path: &str, target: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    symlink(target, path).unwrap();
}

/// `eth0 index=2 rx=10 tx=5 device devtype=vlan type=1 master=br0 lower=eth1 iflink=7 subsystem=xen-backend`
fn interface(root: &Path, line: &str) -> String {
    let mut words = line.split(' ');
    let name = words.next().unwrap();
    let folder = format!("sys/class/net/{name}");
    let (mut uevent, mut traffic) = (format!("INTERFACE={name}\n"), [0_u64; 2]);
    fs::create_dir_all(root.join(&folder)).unwrap();
    for word in words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("index", index) => {
                uevent += &format!("IFINDEX={index}\n");
                write(root, &format!("{folder}/ifindex"), index);
            }
            ("rx", bytes) => traffic[0] = bytes.parse().unwrap(),
            ("tx", bytes) => traffic[1] = bytes.parse().unwrap(),
            ("devtype", kind) => uevent = format!("DEVTYPE={kind}\n{uevent}"),
            ("device", _) => fs::create_dir_all(root.join(format!("{folder}/device"))).unwrap(),
            ("subsystem", bus) => link(root, &format!("{folder}/device/subsystem"), &format!("../bus/{bus}")),
            ("master", master) => link(root, &format!("{folder}/master"), &format!("../{master}")),
            ("lower", lower) => link(root, &format!("{folder}/lower_{lower}"), &format!("../{lower}")),
            (other @ ("type" | "iflink" | "tun_flags"), value) => {
                write(root, &format!("{folder}/{other}"), value)
            }
            (other, _) => panic!("{other} is no word of an interface"),
        }
    }
    write(root, &format!("{folder}/uevent"), &uevent);
    let [rx, tx] = traffic;
    format!("{name:>6}: {rx} 1 0 0 0 0 0 0 {tx} 1 0 0 0 0 0 0\n")
}

/// `sda 100 20 on sdb sdc`
fn disk(root: &Path, line: &str, is_whole: bool) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    if is_whole {
        let folder = format!("sys/block/{}", words[0].replace('/', "!"));
        fs::create_dir_all(root.join(&folder).join("slaves")).unwrap();
        for slave in words.iter().skip(4) {
            link(root, &format!("{folder}/slaves/{slave}"), &format!("../../{slave}"));
        }
    }
    format!("   8       0 {} 1 0 {} 1 1 0 {} 1 0 1 1\n", words[0], words[1], words[2])
}

fn unpack(text: &str) -> Tree {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let (mut mounts, mut dev, mut disks) = (String::new(), String::new(), String::new());
    let mut routes = String::from("Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n");
    let mut expected = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.split_once(' ').unwrap() {
            ("mount", line) => _ = writeln!(mounts, "{line}"),
            ("net", line) => dev += &interface(root, line),
            ("route", name) => _ = writeln!(routes, "{name}\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000"),
            ("disk", line) => disks += &disk(root, line, true),
            ("partition", line) => disks += &disk(root, line, false),
            ("file", line) => {
                let (path, text) = line.split_once(' ').unwrap();
                write(root, path, text);
            }
            ("expect", line) => expected.push(line.to_owned()),
            (other, _) => panic!("{other} is no word of a tree"),
        }
    }
    write(root, "proc/self/mountinfo", &mounts);
    write(root, "proc/net/dev", &format!("Inter-|   Receive\n face |bytes packets\n{dev}"));
    write(root, "proc/net/route", &routes);
    write(root, "proc/diskstats", &disks);
    Tree { folder, expected }
}

/// Mounts in a tree exist nowhere: each is of 100 bytes.
fn some_sizes(_: &Path) -> Result<Sizes, Errno> {
    Ok(Sizes { total: 100, used: 60, available: 30, inodes: None })
}

fn settled(root: &Path) -> Linux {
    let lists = Workers::new(4);
    let folders = Folders { root: root.to_owned(), state: root.join("state") };
    let mut machine = Linux::new(&folders, "boot", lists.clone(), Arc::new(some_sizes));
    let began = Instant::now();
    machine.tend();
    while !machine.is_settled() {
        assert!(began.elapsed() < Duration::from_secs(60), "no answers");
        thread::sleep(Duration::from_millis(1));
        lists.tend();
        machine.tend();
    }
    machine
}

fn described(machine: &mut Linux) -> Vec<String> {
    let host = machine.read();
    let mounts = machine.filesystems(1);
    let mut lines: Vec<String> = mounts
        .iter()
        .map(|it| {
            let others: Vec<&str> = it.other_mounts().collect();
            let also = if others.is_empty() { String::new() } else { format!(" also {}", others.join(" ")) };
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            format!("mount {} {} {}{also}", it.mount, text(&it.kind), text(&it.device))
        })
        .collect();
    for interface in machine.interfaces() {
        if let Some(reason) = interface.counted_as {
            lines.push(format!(
                "counts {} {} as {reason}",
                interface.name,
                interface.kind.unwrap_or_default()
            ));
        }
    }
    let both = |one: Option<u64>, other: Option<u64>| format!("{} {}", one.unwrap(), other.unwrap());
    lines.push(format!("traffic {}", both(host.network_received_bytes, host.network_sent_bytes)));
    let sectors = |bytes: Option<u64>| bytes.map(|bytes| bytes / 512);
    lines.push(format!("disks {}", both(sectors(host.disk_read_bytes), sectors(host.disk_written_bytes))));
    lines.extend(machine.seen_from().map(|seen| format!("seen {seen}")));
    lines
}

#[test]
fn machines_of_other_systems_are_read_as_they_are() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sample/machine/trees");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let tree = unpack(&fs::read_to_string(&path).unwrap());
        let mut machine = settled(tree.folder.path());
        let mut found = described(&mut machine);
        let mut expected = tree.expected.clone();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{}", path.display());
        count += 1;
    }
    assert!(count >= 15, "{count} trees");
}

const SMALL: &str = "\
mount 1 0 8:1 / / rw - ext4 /dev/sda1 rw
net lo index=1 type=772 rx=5 tx=5
net eth0 index=2 device rx=100 tx=10
net eth1 index=3 device rx=50 tx=5
disk sda 10 1";

fn traffic(machine: &mut Linux) -> (u64, u64) {
    let host = machine.read();
    (host.network_received_bytes.unwrap(), host.network_sent_bytes.unwrap())
}

fn set_traffic(root: &Path, interfaces: &[(&str, u64)]) {
    let lines = interfaces.iter().map(|(name, rx)| format!("{name}: {rx} 1 0 0 0 0 0 0 0 1 0 0 0 0 0 0\n"));
    write(root, "proc/net/dev", &lines.collect::<String>());
}

#[test]
fn the_host_s_traffic_never_falls_where_interfaces_come_and_go_and_over_a_restart_of_the_agent() {
    let tree = unpack(SMALL);
    let root = tree.folder.path();
    fs::create_dir_all(root.join("state")).unwrap();
    let mut machine = settled(root);
    assert_eq!(traffic(&mut machine), (150, 15));
    set_traffic(root, &[("eth0", 120)]);
    assert_eq!(traffic(&mut machine).0, 170, "eth1 is gone, and keeps what it had counted");
    set_traffic(root, &[("eth0", 4)]);
    assert_eq!(traffic(&mut machine).0, 174, "its driver was loaded again");
    let file = root.join("state/counters.json");
    let began = Instant::now();
    // 174, of which eth0 has 4 now.
    while !fs::read_to_string(&file).is_ok_and(|text| text.contains("[170,15]")) {
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", fs::read_to_string(&file));
        assert_eq!(traffic(&mut machine).0, 174);
        machine.lists.tend();
    }
    set_traffic(root, &[("eth0", 8)]);
    assert_eq!(traffic(&mut settled(root)).0, 178, "the next run goes on");
    let other_boot = Folders { root: root.to_owned(), state: root.join("state") };
    let lists = Workers::new(4);
    let mut machine = Linux::new(&other_boot, "another boot", lists.clone(), Arc::new(some_sizes));
    while !machine.is_settled() {
        machine.tend();
        lists.tend();
    }
    assert_eq!(traffic(&mut machine).0, 8, "another boot begins at zero");
}

#[test]
fn an_interface_that_gets_another_name_is_counted_once_and_a_new_one_from_zero() {
    let tree = unpack(SMALL);
    let root = tree.folder.path();
    let mut machine = settled(root);
    assert_eq!(traffic(&mut machine).0, 150);
    fs::rename(root.join("sys/class/net/eth1"), root.join("sys/class/net/ens7")).unwrap();
    interface(root, "usb0 index=9 device");
    set_traffic(root, &[("eth0", 100), ("ens7", 60), ("usb0", 7)]);
    let began = Instant::now();
    while traffic(&mut machine).0 != 167 {
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", machine.interfaces());
        assert!(traffic(&mut machine).0 <= 167);
        machine.tend();
        machine.lists.tend();
    }
}

#[test]
fn a_bad_line_of_an_interface_loses_that_line_only() {
    let tree = unpack(SMALL);
    let root = tree.folder.path();
    let mut machine = settled(root);
    assert_eq!(traffic(&mut machine).0, 150);
    let mut bytes =
        b"eth0: 101 1 0 0 0 0 0 0 0 1 0 0 0 0 0 0\neth1: \xff\xff 1 0 0\nno colon\n: 1\n".to_vec();
    bytes.extend(vec![b':'; 10_000]);
    fs::write(root.join("proc/net/dev"), bytes).unwrap();
    assert_eq!(traffic(&mut machine).0, 151);
    set_traffic(root, &[("eth0", 101), ("eth1", 52)]);
    assert_eq!(traffic(&mut machine).0, 153);
}

#[test]
fn of_thousands_of_interfaces_those_that_count_are_listed_and_the_others_counted() {
    let mut text = SMALL.to_owned();
    for number in 0..2_000 {
        _ = write!(text, "\nnet veth{number} index={} iflink=2 rx=1000 tx=1", number + 10);
    }
    let tree = unpack(&text);
    let mut machine = settled(tree.folder.path());
    let host = machine.read();
    let listed = machine.interfaces();
    assert_eq!(
        (host.interface_count, listed.len(), host.network_received_bytes),
        (Some(2003), 100, Some(150))
    );
    assert!(["eth0", "eth1", "lo"].iter().all(|name| listed.iter().any(|it| it.name == *name)));
}

#[test]
fn an_empty_machine_is_read_without_figures() {
    let folder = tempfile::tempdir().unwrap();
    let mut machine = settled(folder.path());
    let host = machine.read();
    let nothing = HostSample { interface_count: Some(0), ..HostSample::default() };
    assert_eq!((host, machine.filesystems(1), machine.interfaces()), (nothing, Vec::new(), Vec::new()));
}
