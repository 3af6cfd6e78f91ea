//! What the system says of this process, under the names that every Prometheus exporter has for it. Linux only; elsewhere
//! these metrics have no series.

use std::fs;

use crate::metrics::{Exposition, Family, names};

/// Ticks a second in `/proc`, on every architecture.
const TICKS_PER_S: f64 = 100.0;

/// Writes it.
pub(super) fn write(exposition: &mut Exposition) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name may have spaces and brackets; what follows its last bracket are numbers.
    let numbers: Vec<&str> =
        stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace().collect();
    // Fields 14, 15 and 22 of proc(5); the first here is field 3.
    let ticks = |field: usize| numbers.get(field - 3)?.parse::<f64>().ok();
    let cpu = ticks(14).zip(ticks(15)).map(|(user, system)| (user + system) / TICKS_PER_S);
    let boot_s = first_number(&fs::read_to_string("/proc/stat").unwrap_or_default(), "btime ");
    let started = ticks(22).zip(boot_s).map(|(ticks, boot_s)| boot_s + ticks / TICKS_PER_S);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = first_number(&status, "VmRSS:").map(|kib| kib * 1024.0);
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let open = fs::read_dir("/proc/self/fd").ok().map(|open| open.count() as f64);
    optional(exposition, &names::PROCESS_CPU, cpu);
    optional(exposition, &names::PROCESS_RESIDENT, resident);
    optional(exposition, &names::PROCESS_OPEN_FDS, open);
    optional(exposition, &names::PROCESS_MAX_FDS, first_number(&limits, "Max open files"));
    optional(exposition, &names::PROCESS_START, started);
}

/// A family with one series, or with none.
pub(super) fn optional(exposition: &mut Exposition, family: &Family, value: Option<f64>) {
    let mut samples = exposition.family(family);
    if let Some(value) = value {
        samples.add(&[], value);
    }
}

/// The first number behind `name` at the beginning of a line.
fn first_number(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}
