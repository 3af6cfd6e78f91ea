//! Bytes read and written by the disks of a Linux machine, from `/proc/diskstats`: each byte once, whatever is stacked.
//!
//! Partitions repeat what their disk counts, and so do the devices that stand on others: LVM, RAID, encryption, caches,
//! replicas, volumes of ZFS, files as disks. What is in memory only is no disk.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use super::{
    bytes::{fields, lines, number, text, whole_file},
    growing::Growing,
};

/// The kernel counts sectors of this size, independent of the disk's own.
const SECTOR_BYTES: u64 = 512;
/// Devices that stand on others without a `slaves` folder that says so, or exist in memory only: of the kernel, ZFS (zd),
/// DRBD, Virtuozzo (ploop), PowerPath, HDLM, SDD and Veritas.
const STACKED: [&str; 15] = [
    "bcache", "dm-", "drbd", "emcpower", "loop", "md", "nullb", "ploop", "ram", "sddlm", "vpath", "VxDMP",
    "VxVM", "zd", "zram",
];

/// The disks of the machine.
pub(super) struct Disks {
    stats: PathBuf,
    block: PathBuf,
    /// For each device, whether it is a disk of its own.
    known: HashMap<String, bool>,
    /// Bytes read and written.
    growing: Growing<2>,
}

/// A line of `/proc/diskstats`.
struct Line {
    name: String,
    /// Read and written.
    bytes: [u64; 2],
}

impl Disks {
    /// Reads from a `/proc` and a `/sys` folder.
    pub(super) fn new(proc_folder: &Path, sys_folder: &Path) -> Self {
        Self {
            stats: proc_folder.join("diskstats"),
            block: sys_folder.join("block"),
            known: HashMap::new(),
            growing: Growing::new(),
        }
    }

    /// Bytes read and written since boot by all disks; `None` where the system does not say.
    pub(super) fn read(&mut self) -> Option<[u64; 2]> {
        let bytes = whole_file(&self.stats);
        if bytes.is_empty() {
            return None;
        }
        let all: Vec<Line> = lines(&bytes).filter_map(parse).collect();
        let heads = multipath_heads(&all);
        self.growing.begin();
        for line in &all {
            let is_disk = match self.known.get(&line.name) {
                Some(is_disk) => *is_disk,
                None => self.learn(&line.name, &all),
            };
            let is_counted = is_disk && !heads.contains(&line.name);
            if is_counted {
                self.growing.add(&line.name, line.bytes, true);
            }
        }
        self.growing.end();
        self.known.retain(|name, _| all.iter().any(|line| line.name == *name));
        Some(self.growing.totals())
    }

    /// The growth that is to be kept for a later run.
    pub(super) fn growing(&mut self) -> &mut Growing<2> {
        &mut self.growing
    }

    fn learn(&mut self, name: &str, all: &[Line]) -> bool {
        let is_disk = is_disk(&self.block, name, all);
        self.known.insert(name.to_owned(), is_disk);
        is_disk
    }
}

/// `8 0 sda 571695 101559 1000 165643 9824246 1076193 2000 …`: reads, merged reads, sectors read, ms, writes, merged writes,
/// sectors written. Partitions of kernels before 2.6.25 have four figures only.
fn parse(line: &[u8]) -> Option<Line> {
    let mut all = fields(line);
    let name = text(all.nth(2)?);
    // A line that is odd anywhere is none.
    let figures: Vec<u64> = all.map_while(number).take(7).collect();
    let [_, _, read, _, _, _, written] = figures.first_chunk().copied()?;
    Some(Line { name, bytes: [read, written].map(|sectors| sectors.saturating_mul(SECTOR_BYTES)) })
}

/// Whether a device is a disk of its own.
fn is_disk(block: &Path, name: &str, all: &[Line]) -> bool {
    if STACKED.iter().any(|prefix| name.starts_with(prefix)) {
        return false;
    }
    if !block.is_dir() {
        return !is_partition_by_name(name, all);
    }
    // Partitions are folders inside their disk's; only whole devices stand at the top. There a `/` is written `!`.
    let folder = block.join(name.replace('/', "!"));
    let mut slaves = std::fs::read_dir(folder.join("slaves")).into_iter().flatten();
    folder.is_dir() && slaves.next().is_none()
}

/// Whether it is named as a partition of another device in the list: sda1, nvme0n1p1, cciss/c0d0p1.
fn is_partition_by_name(name: &str, all: &[Line]) -> bool {
    let disk = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
    let Some(last) = disk.chars().next_back().filter(|_| disk.len() < name.len()) else { return false };
    let before_p =
        disk.strip_suffix('p').filter(|disk| disk.ends_with(|letter: char| letter.is_ascii_digit()));
    let is_listed = |disk: &str| all.iter().any(|line| line.name == disk);
    before_p.is_some_and(is_listed) || (!last.is_ascii_digit() && is_listed(disk))
}

/// The devices that unite several paths to one NVMe disk (nvme0n1 over nvme0c0n1 and nvme0c1n1) whose paths count: kernels
/// before 6.4 count nothing for the device itself, later ones count both.
fn multipath_heads(all: &[Line]) -> Vec<String> {
    let counts = |line: &&Line| line.bytes != [0, 0];
    let mut heads: Vec<String> = all.iter().filter(counts).filter_map(|line| head_of(&line.name)).collect();
    heads.sort();
    heads.dedup();
    heads
}

/// "nvme0n1" of "nvme0c3n1".
fn head_of(path: &str) -> Option<String> {
    let (subsystem, rest) = path.strip_prefix("nvme")?.split_once('c')?;
    let (controller, namespace) = rest.split_once('n')?;
    let all_numbers = [subsystem, controller, namespace]
        .iter()
        .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    all_numbers.then(|| format!("nvme{subsystem}n{namespace}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, read: u64, written: u64) -> String {
        format!("   8 0 {name} 1 0 {read} 1 1 0 {written} 1 0 1 1\n")
    }

    fn totals(disks: &mut Disks, folder: &Path, lines: &[(&str, u64, u64)]) -> [u64; 2] {
        let text: String = lines.iter().map(|(name, read, written)| line(name, *read, *written)).collect();
        std::fs::write(folder.join("diskstats"), text).unwrap();
        disks.read().unwrap().map(|bytes| bytes / SECTOR_BYTES)
    }

    #[test]
    fn without_sysfs_partitions_are_told_by_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let mut disks = Disks::new(folder.path(), &folder.path().join("nothing"));
        let all = [
            ("sda", 100, 10),
            ("sda1", 60, 6),
            ("nvme0n1", 1_000, 20),
            ("nvme0n1p1", 900, 20),
            ("xvda1", 7, 1),
            ("cciss/c0d0", 10_000, 2),
            ("cciss/c0d0p1", 9_000, 2),
            ("sr0", 100_000, 0),
        ];
        assert_eq!(totals(&mut disks, folder.path(), &all), [111_107, 33]);
    }

    #[test]
    fn a_bad_line_loses_that_line_only_and_a_disk_that_it_was_is_not_counted_twice() {
        let folder = tempfile::tempdir().unwrap();
        let mut disks = Disks::new(folder.path(), &folder.path().join("nothing"));
        assert_eq!(totals(&mut disks, folder.path(), &[("sda", 100, 10), ("sdb", 50, 5)]), [150, 15]);
        let mut bytes = line("sda", 101, 10).into_bytes();
        bytes.extend(b"   8 16 sdb \xff\xff 1 2 3 4 5 6 7\n8 32 sdc 1 1 -1 1 1 1 1\n");
        bytes.extend(vec![b'1'; 10_000]);
        std::fs::write(folder.path().join("diskstats"), &bytes).unwrap();
        assert_eq!(disks.read().unwrap(), [151 * 512, 15 * 512]);
        assert_eq!(totals(&mut disks, folder.path(), &[("sda", 101, 10), ("sdb", 52, 5)]), [153, 15]);
    }

    #[test]
    fn of_an_nvme_disk_with_several_paths_the_paths_count_or_else_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let paths = [("nvme0n1", 0, 0), ("nvme0c0n1", 30, 3), ("nvme0c1n1", 12, 1)];
        let without_sysfs = folder.path().join("nothing");
        assert_eq!(totals(&mut Disks::new(folder.path(), &without_sysfs), folder.path(), &paths), [42, 4]);
        let both = [("nvme0n1", 42, 4), ("nvme0c0n1", 30, 3), ("nvme0c1n1", 12, 1)];
        assert_eq!(totals(&mut Disks::new(folder.path(), &without_sysfs), folder.path(), &both), [42, 4]);
        let head = [("nvme0n1", 42, 4), ("nvme0c0n1", 0, 0)];
        assert_eq!(totals(&mut Disks::new(folder.path(), &without_sysfs), folder.path(), &head), [42, 4]);
        assert_eq!(head_of("nvme0n1p1"), None);
    }
}
