//! Memory and load, from `/proc/meminfo` and `/proc/loadavg`, as `free` and `uptime` say them, and kills for want of memory from
//! `/proc/vmstat`.

use std::path::Path;

use super::bytes::{fields, lines, number, whole_file};

/// Bytes; what the system does not say is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Memory {
    pub(super) total: Option<u64>,
    pub(super) used: Option<u64>,
    pub(super) available: Option<u64>,
    pub(super) swap_total: Option<u64>,
    pub(super) swap_used: Option<u64>,
}

/// Memory by a `/proc` folder.
pub(super) fn read(proc_folder: &Path) -> Memory {
    parse(&whole_file(&proc_folder.join("meminfo")))
}

/// As `free` of procps 4: used is total less available. In a container with another limit, available may be more than
/// total; then what is free stands for it.
fn parse(meminfo: &[u8]) -> Memory {
    let value = |name: &[u8]| {
        let line = lines(meminfo).find_map(|line| line.strip_prefix(name)?.strip_prefix(b":"))?;
        // It says kB and means 1024.
        Some(number(fields(line).next()?)?.saturating_mul(1024).min(i64::MAX as u64))
    };
    let total = value(b"MemTotal").filter(|total| *total > 0);
    let free = value(b"MemFree");
    let available = value(b"MemAvailable").or_else(|| before_3_14(&value));
    let available = match (total, available) {
        (Some(total), Some(available)) if available > total => free.map(|free| free.min(total)),
        _ => available,
    };
    let swap_total = value(b"SwapTotal");
    Memory {
        total,
        used: total.zip(available).map(|(total, available)| total.saturating_sub(available)),
        available,
        swap_total,
        swap_used: swap_total.zip(value(b"SwapFree")).map(|(total, free)| total.saturating_sub(free)),
    }
}

/// Kernels before 3.14 do not say what is available: free memory and caches that can be dropped.
fn before_3_14(value: &dyn Fn(&[u8]) -> Option<u64>) -> Option<u64> {
    let caches = [&b"Buffers"[..], b"Cached", b"SReclaimable"].map(|name| value(name).unwrap_or_default());
    let sum = caches.iter().fold(value(b"MemFree")?, |sum, cache| sum.saturating_add(*cache));
    Some(sum.saturating_sub(value(b"Shmem").unwrap_or_default()))
}

/// Processes that were ended for want of memory since boot; absent before Linux 4.13.
pub(super) fn oom_kills(proc_folder: &Path) -> Option<u64> {
    parse_oom_kills(&whole_file(&proc_folder.join("vmstat")))
}

fn parse_oom_kills(vmstat: &[u8]) -> Option<u64> {
    let line = lines(vmstat).find_map(|line| line.strip_prefix(b"oom_kill "))?;
    number(fields(line).next()?).map(|kills| kills.min(i64::MAX as u64))
}

/// The load averages over 1, 5 and 15 minutes.
pub(super) fn load(proc_folder: &Path) -> [Option<f32>; 3] {
    let bytes = whole_file(&proc_folder.join("loadavg"));
    let parse = |field: &[u8]| std::str::from_utf8(field).ok()?.parse().ok();
    let mut loads =
        fields(&bytes).map(parse).map(|load| load.filter(|load: &f32| load.is_finite() && *load >= 0.0));
    [(); 3].map(|()| loads.next().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1024;

    #[test]
    fn used_is_what_free_says() {
        let memory = parse(
            b"MemTotal:       1000 kB\nMemFree:  200 kB\nMemAvailable: 700 kB\nSwapTotal: 50 kB\nSwapFree: 40 kB\n\xff\n",
        );
        assert_eq!((memory.used, memory.available), (Some(300 * KIB), Some(700 * KIB)));
        assert_eq!((memory.swap_total, memory.swap_used), (Some(50 * KIB), Some(10 * KIB)));
    }

    #[test]
    fn kills_for_want_of_memory_are_known_where_the_kernel_counts_them() {
        assert_eq!(parse_oom_kills(b"nr_free_pages 5\noom_kill_x 9\noom_kill 3\nswap_ra 1\n"), Some(3));
        for vmstat in [&b""[..], b"oom_kill \n", b"oom_kill many\n", b"oom_kill\xff 3\n"] {
            assert_eq!(parse_oom_kills(vmstat), None);
        }
    }

    #[test]
    fn a_container_with_more_available_than_total_and_an_old_kernel_have_sensible_figures() {
        let container = parse(b"MemTotal: 1000 kB\nMemFree: 400 kB\nMemAvailable: 9000 kB\n");
        assert_eq!((container.used, container.available), (Some(600 * KIB), Some(400 * KIB)));
        let old =
            parse(b"MemTotal: 1000 kB\nMemFree: 100 kB\nBuffers: 50 kB\nCached: 300 kB\nShmem: 20 kB\n");
        assert_eq!(old.available, Some(430 * KIB));
        assert_eq!(parse(b"rubbish"), Memory::default());
        assert_eq!(parse(b"MemTotal: 99999999999999999999 kB\nMemFree: x\n"), Memory::default());
    }
}
