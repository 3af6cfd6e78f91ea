//! CPU time of the whole machine, from `/proc/stat`.

use std::path::{Path, PathBuf};

use super::bytes::{fields, lines, number, whole_file};

/// The kernel counts in hundredths of a second.
const TICK_MS: u64 = 10;

/// The time of all cores together since boot, in ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct CpuTime {
    /// User, nice, system, interrupts, steal; guests are part of user.
    pub(super) busy_ms: u64,
    /// Idle, waiting for disks included.
    pub(super) idle_ms: u64,
    pub(super) iowait_ms: u64,
}

/// Reads `/proc/stat`.
pub(super) struct Cpu {
    file: PathBuf,
    last: Option<CpuTime>,
}

impl Cpu {
    /// Reads from a `/proc` folder.
    pub(super) fn new(proc_folder: &Path) -> Self {
        Self { file: proc_folder.join("stat"), last: None }
    }

    /// The time so far, and the share in which cores were busy since the last call, in percent.
    pub(super) fn read(&mut self) -> (Option<CpuTime>, Option<f32>) {
        let Some(raw) = parse(&whole_file(&self.file)) else { return (None, None) };
        let Some(before) = self.last.replace(raw) else { return (Some(raw), None) };
        // The kernel takes back idle time now and then, and a core that goes offline may take its own along.
        let now = CpuTime {
            busy_ms: raw.busy_ms.max(before.busy_ms),
            idle_ms: raw.idle_ms.max(before.idle_ms),
            iowait_ms: raw.iowait_ms.max(before.iowait_ms),
        };
        self.last = Some(now);
        let (busy_ms, idle_ms) = (now.busy_ms - before.busy_ms, now.idle_ms - before.idle_ms);
        let all_ms = busy_ms.saturating_add(idle_ms);
        (Some(now), (all_ms > 0).then(|| (100.0 * busy_ms as f64 / all_ms as f64) as f32))
    }
}

/// `cpu  user nice system idle iowait irq softirq steal guest guest_nice`; kernels before 2.6.11 have fewer.
fn parse(stat: &[u8]) -> Option<CpuTime> {
    let line = lines(stat).find_map(|line| line.strip_prefix(b"cpu "))?;
    let ticks: Vec<u64> = fields(line).map_while(number).take(8).collect();
    let [user, nice, system, idle] = ticks.first_chunk().copied()?;
    let [iowait, irq, softirq, steal] =
        [4, 5, 6, 7].map(|place| ticks.get(place).copied().unwrap_or_default());
    let ms = |parts: &[u64]| {
        let ticks = parts.iter().fold(0, |sum: u64, part| sum.saturating_add(*part));
        ticks.saturating_mul(TICK_MS).min(i64::MAX as u64)
    };
    Some(CpuTime {
        busy_ms: ms(&[user, nice, system, irq, softirq, steal]),
        idle_ms: ms(&[idle, iowait]),
        iowait_ms: ms(&[iowait]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_time_counts_guests_once_and_idle_time_includes_waiting() {
        let time = parse(b"cpu  100 20 30 1000 50 4 5 6 90 10\ncpu0 1 2 3\nintr 1 2\n").unwrap();
        assert_eq!(time, CpuTime { busy_ms: 1650, idle_ms: 10_500, iowait_ms: 500 });
        assert_eq!(parse(b"cpu  1 2 3 4\n").unwrap(), CpuTime { busy_ms: 60, idle_ms: 40, iowait_ms: 0 });
        for bad in [&b""[..], b"cpu", b"cpu  1 2 x 4 5", b"cpu0 1 2 3 4", b"\xff\xff"] {
            assert_eq!(parse(bad), None);
        }
    }

    #[test]
    fn percent_is_of_the_time_since_the_last_call_and_no_counter_falls() {
        let folder = tempfile::tempdir().unwrap();
        let mut cpu = Cpu::new(folder.path());
        let mut read = |line: &str| {
            std::fs::write(folder.path().join("stat"), line).unwrap();
            cpu.read()
        };
        assert_eq!(read("cpu  100 0 0 300 0 0 0 0 0 0\n").1, None);
        assert_eq!(read("cpu  150 0 0 450 0 0 0 0 0 0\n").1, Some(25.0));
        let (time, percent) = read("cpu  160 0 0 440 0 0 0 0 0 0\n");
        assert_eq!((time.unwrap().idle_ms, percent), (4500, Some(100.0)));
        assert_eq!(read("cpu  160 0 0 450 0 0 0 0 0 0\n").1, None, "no time passed");
    }
}
