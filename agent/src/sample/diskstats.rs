//! Bytes read and written by all disks of a Linux machine, from /proc/diskstats. sysinfo has them by mounted file
//! system, and their sum counts a disk once for each of its partitions.

use std::{fs, path::Path};

/// The kernel counts sectors of this size, independent of the disk's own.
const SECTOR_BYTES: u64 = 512;
/// Devices that stand on others, whose bytes are counted there already, or only in memory.
const STACKED: [&str; 6] = ["loop", "ram", "zram", "dm-", "md", "sr"];

/// Bytes read and written since boot by all whole disks; `None` when they cannot be read.
pub fn totals() -> Option<(u64, u64)> {
    let text = fs::read_to_string("/proc/diskstats").ok()?;
    // Partitions are folders inside their disk's; only whole devices stand at the top.
    Some(sum(&text, |name| Path::new("/sys/block").join(name).exists()))
}

fn sum(text: &str, is_whole: impl Fn(&str) -> bool) -> (u64, u64) {
    let mut totals = (0_u64, 0_u64);
    for line in text.lines() {
        let mut fields = line.split_whitespace();
        let Some(name) = fields.nth(2) else { continue };
        if STACKED.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let read = fields.nth(2).and_then(|sectors| sectors.parse::<u64>().ok());
        let written = fields.nth(3).and_then(|sectors| sectors.parse::<u64>().ok());
        if let (Some(read), Some(written)) = (read, written)
            && (read > 0 || written > 0)
            && is_whole(name)
        {
            totals.0 += read * SECTOR_BYTES;
            totals.1 += written * SECTOR_BYTES;
        }
    }
    totals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_disks_are_counted_once() {
        let text = "   7       0 loop0 9 0 900 9 9 0 900 9 0 9 9\n\
            259       0 nvme0n1 571695 101559 1000 165643 9824246 1076193 2000 4140037 0 1 2 3\n\
            259       1 nvme0n1p1 240 2360 900 48 2 0 1900 0 0 21 50\n\
            253       0 dm-0 670206 0 1000 259490 10900330 0 2000 12906518 0 1 2\n\
            8         0 sda 1 1 10 1 1 1 20 1 0 1 1\n  broken\n";
        let totals = sum(text, |name| !name.contains("p1"));
        assert_eq!(totals, (1010 * 512, 2020 * 512));
    }
}
