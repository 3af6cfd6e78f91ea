//! Figures that follow from one snapshot: the age of a process, and memory in percent.

use super::{process::TICK_US, rate};
use crate::{Snapshot, snapshot::Process};

/// The greatest age that is worked out from ticks, whatever a host makes up: a number that every type on the way holds.
const MAX_AGE_US: i64 = 1 << 62;

/// How old a process that started at `started_at_us` was at `captured_at_us`, in µs. Never negative: the clock may have
/// been set back since the process started.
pub fn age_us(captured_at_us: i64, started_at_us: i64) -> i64 {
    captured_at_us.saturating_sub(started_at_us).max(0)
}

/// How old a process was in a snapshot, in µs.
pub fn process_age_us(snapshot: &Snapshot, process: &Process) -> i64 {
    age_at_us((snapshot.monotonic_ms, snapshot.captured_at_us), (process.start(), process.started_at_us))
}

/// How old a process was at a moment, in µs: by the ticks since the boot where the system counts so, which no clock moves,
/// and by the host's clock otherwise. `now` is the moment in ms since the boot (0 where that is unknown) and in µs since
/// 1970 UTC; `started` is [`Process::start`] and the start in µs since 1970 UTC.
pub fn age_at_us(now: (u64, i64), started: (i64, i64)) -> i64 {
    let ((monotonic_ms, now_us), (start, started_at_us)) = (now, started);
    match u64::try_from(start) {
        Ok(ticks) if monotonic_ms > 0 => {
            let age_us = i128::from(monotonic_ms) * 1000 - i128::from(ticks) * i128::from(TICK_US);
            i64::try_from(age_us.clamp(0, i128::from(MAX_AGE_US))).unwrap_or(MAX_AGE_US)
        }
        _ => age_us(now_us, started_at_us),
    }
}

/// [`process_age_us`] in SQL, in seconds: a DOUBLE. Given expressions for the snapshot's monotonic time in ms, for the start
/// in ticks, and for two timestamps.
pub fn sql_age_s(monotonic_ms: &str, start_ticks: &str, captured_at: &str, started_at: &str) -> String {
    format!(
        "CASE WHEN {monotonic_ms} > 0 AND {start_ticks} >= 0 \
         THEN least(greatest({monotonic_ms}::HUGEINT * 1000 - {start_ticks}::HUGEINT * {TICK_US}, 0), {MAX_AGE_US}) \
         ELSE greatest(epoch_us({captured_at}) - epoch_us({started_at}), 0) END / 1e6"
    )
}

/// The memory of the machine, in bytes; `None` where the agent could not read it.
pub fn memory_total_bytes(snapshot: &Snapshot) -> Option<u64> {
    snapshot.host.memory_total_bytes.or(snapshot.host_info.memory_bytes)
}

/// Memory in use, in percent of what is installed; `None` where either is unknown or none is installed.
pub fn memory_percent(used_bytes: Option<u64>, total_bytes: Option<u64>) -> Option<f64> {
    let total_bytes = total_bytes.filter(|bytes| *bytes > 0)?;
    Some(used_bytes? as f64 * 100.0 / total_bytes as f64)
}

/// CPU time per second, in ms, in percent of one core, which has 1000 ms of it.
pub fn percent_of_core(cpu_ms_per_s: f64) -> f64 {
    cpu_ms_per_s / 10.0
}

/// CPU time over a time, both in ms, in percent of one core; `None` where no time passed.
pub fn mean_percent_of_core(cpu_ms: f64, elapsed_ms: i64) -> Option<f64> {
    rate::per_second(cpu_ms, elapsed_ms).map(percent_of_core)
}

/// [`mean_percent_of_core`] in SQL, given expressions for both arguments: a DOUBLE, or NULL.
pub fn sql_mean_percent_of_core(cpu_ms: &str, elapsed_ms: &str) -> String {
    format!("({}) / 10", rate::sql_per_second(cpu_ms, elapsed_ms))
}

/// What the ended children of a process used, in percent of one core over `elapsed_ms`, the time since the snapshot before;
/// `None` where it is unknown or no time passed.
pub fn ended_children_percent(process: &Process, elapsed_ms: i64) -> Option<f64> {
    mean_percent_of_core(process.ended_children_cpu_ms? as f64, elapsed_ms)
}

/// [`memory_percent`] in SQL, given expressions for both arguments: a DOUBLE, or NULL.
pub fn sql_memory_percent(used_bytes: &str, total_bytes: &str) -> String {
    format!("100.0 * {used_bytes}::DOUBLE / nullif({total_bytes}, 0)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{HostInfo, HostSample};

    #[test]
    fn an_age_is_never_negative() {
        assert_eq!(age_us(5_000_000, 2_000_000), 3_000_000);
        assert_eq!(age_us(2_000_000, 5_000_000), 0, "the clock was set back");
        assert_eq!(age_us(i64::MAX, i64::MIN), i64::MAX);
    }

    #[test]
    fn memory_is_a_part_of_what_is_installed() {
        assert_eq!(memory_percent(Some(1), Some(4)), Some(25.0));
        for (used_bytes, total_bytes) in [(None, Some(4)), (Some(1), None), (Some(1), Some(0))] {
            assert_eq!(memory_percent(used_bytes, total_bytes), None);
        }
    }

    #[test]
    fn memory_that_was_not_sampled_is_what_the_machine_says_it_has() {
        let mut snapshot = Snapshot {
            host_info: HostInfo { memory_bytes: Some(8), ..HostInfo::default() },
            ..Snapshot::default()
        };
        assert_eq!(memory_total_bytes(&snapshot), Some(8));
        snapshot.host = HostSample { memory_total_bytes: Some(7), ..HostSample::default() };
        assert_eq!(memory_total_bytes(&snapshot), Some(7));
    }
}
