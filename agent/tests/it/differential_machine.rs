//! This machine as the agent has it beside what other programs say: `df`, `free`, and the kernel's own counters.
//!
//! Tolerances: what grows must lie between a reading before and one after; sizes of file systems and memory may move by
//! what other programs do meanwhile. Everything that differs is named.
#![cfg(target_os = "linux")]

use std::{
    collections::BTreeMap,
    fs,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use fleetps_agent::{
    AgentSettings,
    sample::{Boot, Sampler},
};
use fleetps_nats::{
    Snapshot,
    snapshot::{FilesystemSample, InterfaceSample},
};

/// Other programs write while both look; a few attempts find a quiet moment.
const ATTEMPTS: usize = 20;
/// The share of the size by which used and available bytes may differ between `df` and the agent.
const MOVED: f64 = 0.01;
/// The same of memory, which moves more.
const MEMORY_MOVED: f64 = 0.03;
/// Kinds that `df` lists and the agent leaves out: the state of devices, images and unions.
const LEFT_OUT_KINDS: [&str; 6] = ["devtmpfs", "efivarfs", "squashfs", "erofs", "iso9660", "overlay"];
/// Places that the agent leaves out.
const LEFT_OUT_PLACES: [&str; 4] = ["/sys/", "/proc/", "/dev/", "/run/credentials/"];

fn sampler(folder: &tempfile::TempDir) -> Sampler {
    let settings = AgentSettings { state: folder.path().to_owned(), ..AgentSettings::default() };
    Sampler::new(&settings, Boot::current(&settings.state)).unwrap()
}

/// The words of each line that a program prints, without the head; `None` where it does not exist.
fn table(program: &str, arguments: &[&str]) -> Option<Vec<Vec<String>>> {
    let mut command = Command::new(program);
    let output = command.args(arguments).env("LC_ALL", "C").stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(text.lines().skip(1).map(|line| line.split_whitespace().map(str::to_owned).collect()).collect())
}

fn differs(what: &str, ours: Option<u64>, theirs: u64, tolerance: f64) -> Option<String> {
    let is_near = ours.is_some_and(|ours| ours.abs_diff(theirs) as f64 <= tolerance);
    (!is_near).then(|| format!("{what}: {ours:?} here, {theirs} there"))
}

/// By the place where it is mounted: kind, size, used, available, inodes, inodes used.
fn df() -> Option<BTreeMap<String, (String, [u64; 5])>> {
    let columns = "--output=fstype,size,used,avail,itotal,iused,target";
    let rows = table("df", &["-B1", columns])?;
    let row = |words: Vec<String>| {
        let number = |place: usize| words.get(place)?.parse().ok();
        let numbers = [number(1)?, number(2)?, number(3)?, number(4).unwrap_or(0), number(5).unwrap_or(0)];
        Some((words.get(6..)?.join(" "), (words.first()?.clone(), numbers)))
    };
    Some(rows.into_iter().filter_map(row).collect())
}

fn is_left_out(mount: &str, kind: &str) -> bool {
    let is_there = |place: &str| format!("{mount}/").starts_with(place);
    mount != "/"
        && (LEFT_OUT_KINDS.contains(&kind)
            || (mount != "/dev/shm" && LEFT_OUT_PLACES.iter().any(|place| is_there(place))))
}

fn filesystems_differ(snapshot: &Snapshot, theirs: &BTreeMap<String, (String, [u64; 5])>) -> Vec<String> {
    let ours: BTreeMap<&str, &FilesystemSample> =
        snapshot.filesystems.iter().map(|it| (it.mount.as_str(), it)).collect();
    let mut differences = Vec::new();
    for (mount, (kind, [size, used, available, inodes, inodes_used])) in theirs {
        let Some(here) = ours.get(mount.as_str()) else {
            let is_other =
                snapshot.filesystems.iter().any(|it| it.other_mounts().any(|other| other == mount));
            if !is_left_out(mount, kind) && !is_other {
                differences.push(format!("{mount} ({kind}) is listed by df only"));
            }
            continue;
        };
        let moved = (*size as f64 * MOVED).max(1e6);
        // Files that are made and removed meanwhile.
        let files_moved = (*inodes as f64 * MOVED).max(1000.0);
        let inodes_total = here.inodes_total.or(Some(0));
        differences.extend(
            [
                (here.kind.as_deref() != Some(kind))
                    .then(|| format!("{mount} is {:?} here, {kind} there", here.kind)),
                differs(&format!("size of {mount}"), here.total_bytes, *size, 0.0),
                differs(&format!("used of {mount}"), here.used_bytes, *used, moved),
                differs(&format!("available of {mount}"), here.available_bytes, *available, moved),
                differs(&format!("inodes of {mount}"), inodes_total, *inodes, files_moved),
                differs(
                    &format!("inodes used of {mount}"),
                    here.inodes_used.or(Some(0)),
                    *inodes_used,
                    files_moved,
                ),
            ]
            .into_iter()
            .flatten(),
        );
    }
    let only_here = ours.values().filter(|it| !theirs.contains_key(&it.mount) && it.total_bytes.is_some());
    differences.extend(only_here.map(|it| format!("{} is listed here only", it.mount)));
    differences
}

#[test]
fn file_systems_are_those_of_df() {
    let folder = tempfile::tempdir().unwrap();
    let mut sampler = sampler(&folder);
    let mut differences = Vec::new();
    for _ in 0..ATTEMPTS {
        let Some(theirs) = df() else { return };
        let snapshot = sampler.sample(0);
        assert!(theirs.contains_key("/"), "df lists no root");
        differences = filesystems_differ(&snapshot, &theirs);
        if differences.is_empty() {
            return;
        }
        // Sizes are up to 10 s old.
        sampler = self::sampler(&folder);
    }
    panic!("{differences:#?}");
}

#[test]
fn memory_is_that_of_free() {
    let folder = tempfile::tempdir().unwrap();
    let mut sampler = sampler(&folder);
    let mut differences = Vec::new();
    for _ in 0..ATTEMPTS {
        let Some(rows) = table("free", &["-b", "-w"]) else { return };
        let host = sampler.sample(0).host;
        let numbers = |name: &str| -> Vec<u64> {
            let row = rows.iter().find(|row| row.first().is_some_and(|first| first == name)).unwrap();
            row.iter().skip(1).map(|word| word.parse().unwrap()).collect()
        };
        let (memory, swap) = (numbers("Mem:"), numbers("Swap:"));
        let moved = memory[0] as f64 * MEMORY_MOVED;
        let version = Command::new("free").arg("--version").output().unwrap();
        // Before version 4, used meant something else.
        let is_version_4 = String::from_utf8_lossy(&version.stdout).contains(" 4.");
        let used = differs("used", host.memory_used_bytes, memory[1], moved).filter(|_| is_version_4);
        differences = [
            differs("installed", host.memory_total_bytes, memory[0], 0.0),
            used,
            differs("available", host.memory_available_bytes, *memory.last().unwrap(), moved),
            differs("swap", host.swap_total_bytes, swap[0], 0.0),
            differs("swap used", host.swap_used_bytes, swap[1], moved),
        ]
        .into_iter()
        .flatten()
        .collect();
        if differences.is_empty() {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("{differences:#?}");
}

/// The counters of every interface: bytes, packets, errors and drops, received and sent.
fn interfaces() -> BTreeMap<String, [u64; 8]> {
    let text = String::from_utf8_lossy(&fs::read("/proc/net/dev").unwrap()).into_owned();
    let line = |line: &str| {
        let (name, figures) = line.split_once(':')?;
        let all: Vec<u64> = figures.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let places = [0, 1, 2, 3, 8, 9, 10, 11];
        let counters = places.map(|place| all.get(place).copied());
        counters.iter().all(Option::is_some).then(|| (name.trim().to_owned(), counters.map(Option::unwrap)))
    };
    text.lines().filter_map(line).collect()
}

fn counters(it: &InterfaceSample) -> [Option<u64>; 8] {
    [
        it.received_bytes,
        it.received_packets,
        it.received_errors,
        it.received_drops,
        it.sent_bytes,
        it.sent_packets,
        it.sent_errors,
        it.sent_drops,
    ]
}

#[test]
fn interfaces_and_their_sum_are_those_of_the_kernel() {
    let folder = tempfile::tempdir().unwrap();
    let mut sampler = sampler(&folder);
    let before = interfaces();
    let snapshot = sampler.sample(0);
    let after = interfaces();
    let mut differences = Vec::new();
    let mut physical = [[0_u64; 2]; 2];
    for (name, first) in &before {
        let (Some(last), Some(here)) =
            (after.get(name), snapshot.interfaces.iter().find(|it| it.name == *name))
        else {
            differences.push(format!("{name} is in /proc/net/dev only"));
            continue;
        };
        for ((first, last), ours) in first.iter().zip(last).zip(counters(here)) {
            if !ours.is_some_and(|ours| (*first..=*last).contains(&ours)) {
                differences.push(format!("{name}: {ours:?} is not within {first} to {last}"));
            }
        }
        if fs::exists(format!("/sys/class/net/{name}/device")).unwrap() {
            assert_eq!(here.counted_as.as_deref(), Some("physical"), "{name}");
            for (sum, counters) in physical.iter_mut().zip([first, last]) {
                *sum = [sum[0] + counters[0], sum[1] + counters[4]];
            }
        }
    }
    let host = &snapshot.host;
    let ours = [host.network_received_bytes, host.network_sent_bytes];
    let has_physical = snapshot.interfaces.iter().any(|it| it.counted_as.as_deref() == Some("physical"));
    for (place, ours) in ours.into_iter().enumerate().filter(|_| has_physical) {
        let (first, last) = (physical[0][place], physical[1][place]);
        if !ours.is_some_and(|ours| (first..=last).contains(&ours)) {
            differences.push(format!("all physical interfaces: {ours:?} is not within {first} to {last}"));
        }
    }
    assert!(differences.is_empty(), "{differences:#?}");
}

/// Bytes read and written by the devices of /sys/block that stand on no other and are no memory, loop or volume, from
/// their own `stat` files.
fn disks() -> [u64; 2] {
    let mut sums = [0; 2];
    for entry in fs::read_dir("/sys/block").unwrap().flatten() {
        let (name, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
        let is_stacked = fs::read_dir(path.join("slaves")).is_ok_and(|mut slaves| slaves.next().is_some());
        let is_other = ["loop", "ram", "zram", "dm-", "md", "zd", "drbd", "bcache"]
            .iter()
            .any(|it| name.starts_with(it));
        let is_hidden = fs::read_to_string(path.join("hidden")).is_ok_and(|text| text.trim() == "1");
        let Ok(text) = fs::read_to_string(path.join("stat")) else { continue };
        let figures: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        if !is_stacked && !is_other && !is_hidden {
            sums = [sums[0] + figures[2] * 512, sums[1] + figures[6] * 512];
        }
    }
    sums
}

#[test]
fn disk_traffic_and_cpu_time_are_those_of_the_kernel() {
    let folder = tempfile::tempdir().unwrap();
    let mut sampler = sampler(&folder);
    let (disks_before, cpu_before) = (disks(), cpu_ms());
    let host = sampler.sample(0).host;
    let (disks_after, cpu_after) = (disks(), cpu_ms());
    let ours = [host.disk_read_bytes, host.disk_written_bytes, host.cpu_time_ms, host.cpu_idle_ms]
        .map(Option::unwrap);
    let first = [disks_before[0], disks_before[1], cpu_before[0], cpu_before[1]];
    let last = [disks_after[0], disks_after[1], cpu_after[0], cpu_after[1]];
    for (what, place) in ["read", "written", "busy", "idle"].iter().zip(0..) {
        let range = first[place]..=last[place];
        assert!(range.contains(&ours[place]), "{what}: {} is not within {range:?}", ours[place]);
    }
}

/// Busy and idle time of all cores.
fn cpu_ms() -> [u64; 2] {
    let text = fs::read_to_string("/proc/stat").unwrap();
    let line = text.lines().next().unwrap();
    let ticks: Vec<u64> = line.split_whitespace().skip(1).map(|word| word.parse().unwrap()).collect();
    let busy: u64 = [0, 1, 2, 5, 6, 7].iter().map(|place| ticks[*place]).sum();
    [busy * 10, (ticks[3] + ticks[4]) * 10]
}
