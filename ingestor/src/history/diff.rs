//! The differences between two snapshots.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
};

use fleetps_nats::{Snapshot, model::rate, snapshot::Process};

/// A resident set that changed by less is not worth a line.
const MIN_RESIZED_BYTES: u64 = 1 << 20;
/// A relative change below one part in this number does not count either, unless it is large.
const MIN_RESIZED_PART: u64 = 10;
/// A change that counts however large the process is: a leak of 355 MiB is 3 % of 11 GiB.
const LARGE_BYTES: u64 = 64 << 20;

/// The differences between two snapshots of one host.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Diff {
    /// When the earlier snapshot was captured.
    pub from_us: i64,
    /// When the later one was.
    pub to_us: i64,
    /// Whether the host was booted in between: then every process is another.
    pub rebooted: bool,
    /// In the later one only, without being one that was restarted; by pid.
    pub started: Vec<Process>,
    /// In the earlier one only, without being one that was restarted; by pid.
    pub gone: Vec<Process>,
    /// Gone, and started again under the same name and command line; by the new pid.
    pub restarted: Vec<Changed>,
    /// Of the restarted ones, the workers of pools, as of php-fpm: their parent has their name and is in both. By the
    /// [`Process::key`] of the new one.
    pub workers: HashSet<(u32, i64)>,
    /// In both, with a resident set that is another by 1 MiB and 10 %, or by 64 MiB; those that grew most first.
    pub resized: Vec<Changed>,
    /// In both, with CPU time spent meanwhile; those that used most first.
    pub busy: Vec<Changed>,
}

/// A process before and after.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// As it was.
    pub before: Process,
    /// As it is.
    pub after: Process,
}

/// Compares two snapshots of one host, `before` being the earlier.
///
/// A process is the same in both when boot, pid and start are. Of the others, those of one program (the same name and
/// command line) are paired: the first that is gone was restarted as the first that was started, and so on. The
/// unpaired ones were started, or are gone.
pub fn diff(before: &Snapshot, after: &Snapshot) -> Diff {
    let rebooted = before.boot_id != after.boot_id;
    let earlier: HashMap<_, &Process> = by_identity(before);
    let later = by_identity(after);
    let is_kept = |process: &Process| {
        let key = process.key();
        !rebooted && earlier.contains_key(&key) && later.contains_key(&key)
    };
    let gone = before.processes.iter().filter(|process| !is_kept(process)).collect();
    let (both, started): (Vec<_>, Vec<_>) = after.processes.iter().partition(|process| is_kept(process));
    let kept: Vec<Changed> = both
        .into_iter()
        .filter_map(|process| {
            let before = earlier.get(&process.key())?;
            Some(Changed { before: Process::clone(before), after: process.clone() })
        })
        .collect();
    let (started, gone, restarted) = pair(started, gone);
    let workers = workers(&restarted, &kept);
    Diff {
        from_us: before.captured_at_us,
        to_us: after.captured_at_us,
        rebooted,
        started,
        gone,
        restarted,
        workers,
        resized: resized(&kept),
        busy: busy(kept),
    }
}

fn by_identity(snapshot: &Snapshot) -> HashMap<(u32, i64), &Process> {
    snapshot.processes.iter().map(|process| (process.key(), process)).collect()
}

/// Pairs gone and started processes of the same program; returns the started, the gone and the restarted ones.
fn pair(mut started: Vec<&Process>, mut gone: Vec<&Process>) -> (Vec<Process>, Vec<Process>, Vec<Changed>) {
    let age = |process: &&Process| (process.started_at_us, process.pid);
    started.sort_unstable_by_key(age);
    // The last one is taken first.
    gone.sort_unstable_by_key(|process| Reverse(age(process)));
    let mut by_program: HashMap<_, Vec<&Process>> = HashMap::new();
    for process in gone {
        by_program.entry(program(process)).or_default().push(process);
    }
    let (mut alone, mut restarted) = (Vec::new(), Vec::new());
    for process in started {
        match by_program.get_mut(&program(process)).and_then(Vec::pop) {
            Some(before) => restarted.push(Changed { before: before.clone(), after: process.clone() }),
            None => alone.push(process.clone()),
        }
    }
    let mut gone: Vec<Process> = by_program.into_values().flatten().cloned().collect();
    alone.sort_unstable_by_key(Process::key);
    gone.sort_unstable_by_key(Process::key);
    restarted.sort_unstable_by_key(|pair| pair.after.key());
    (alone, gone, restarted)
}

/// The new ones of `restarted` that are workers of a pool, whose parents are among `kept`.
fn workers(restarted: &[Changed], kept: &[Changed]) -> HashSet<(u32, i64)> {
    let parents: HashSet<(u32, &str)> =
        kept.iter().map(|pair| (pair.after.pid, pair.after.name.as_str())).collect();
    let is_of_pool = |process: &Process| {
        process.parent_pid.is_some_and(|parent| parents.contains(&(parent, process.name.as_str())))
    };
    let is_worker = |pair: &&Changed| is_of_pool(&pair.before) && is_of_pool(&pair.after);
    restarted.iter().filter(is_worker).map(|pair| pair.after.key()).collect()
}

fn program(process: &Process) -> (&str, Option<&str>) {
    (&process.name, process.command_line.as_deref())
}

fn resized(kept: &[Changed]) -> Vec<Changed> {
    let is_resized = |pair: &&Changed| {
        let (Some(before), Some(after)) = (pair.before.resident_bytes, pair.after.resident_bytes) else {
            return false;
        };
        let share = before.div_ceil(MIN_RESIZED_PART).min(LARGE_BYTES);
        after.abs_diff(before) >= MIN_RESIZED_BYTES.max(share)
    };
    let growth = |pair: &Changed| {
        i128::from(pair.after.resident_bytes.unwrap_or(0))
            - i128::from(pair.before.resident_bytes.unwrap_or(0))
    };
    let mut resized: Vec<Changed> = kept.iter().filter(is_resized).cloned().collect();
    resized.sort_by_key(|pair| (Reverse(growth(pair)), pair.after.key()));
    resized
}

fn busy(kept: Vec<Changed>) -> Vec<Changed> {
    let spent_ms = |pair: &Changed| rate::growth(pair.before.cpu_time_ms, pair.after.cpu_time_ms);
    let mut busy = kept;
    busy.retain(|pair| spent_ms(pair).is_some_and(|spent_ms| spent_ms > 0));
    busy.sort_by_key(|pair| (Reverse(spent_ms(pair)), pair.after.key()));
    busy
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn process(pid: u32, started_at_us: i64, name: &str) -> Process {
        Process { pid, started_at_us, name: name.to_owned(), state: 'S', ..Process::default() }
    }

    fn snapshot(boot_id: &str, processes: Vec<Process>) -> Snapshot {
        Snapshot { boot_id: boot_id.to_owned(), processes, ..Snapshot::default() }
    }

    fn pids(processes: &[Process]) -> Vec<u32> {
        processes.iter().map(|process| process.pid).collect()
    }

    fn pairs(changed: &[Changed]) -> Vec<(u32, u32)> {
        changed.iter().map(|pair| (pair.before.pid, pair.after.pid)).collect()
    }

    #[test]
    fn what_is_gone_and_what_was_started_of_one_program_was_restarted() {
        let before =
            snapshot("a", vec![process(1, 1, "init"), process(7, 5, "worker"), process(5, 6, "worker")]);
        let after =
            snapshot("a", vec![process(1, 1, "init"), process(7, 9, "worker"), process(8, 9, "cron")]);
        let diff = diff(&before, &after);
        assert_eq!((pids(&diff.started), pids(&diff.gone)), (vec![8], vec![5]));
        assert_eq!(pairs(&diff.restarted), [(7, 7)], "the first that is gone, by its start");
        assert!(!diff.rebooted && diff.resized.is_empty() && diff.busy.is_empty());
    }

    #[test]
    fn another_command_line_is_another_program() {
        let with = |pid, line: &str| Process { command_line: Some(line.to_owned()), ..process(pid, 1, "sh") };
        let diff = diff(&snapshot("a", vec![with(1, "sh a")]), &snapshot("a", vec![with(2, "sh b")]));
        assert_eq!((pids(&diff.started), pids(&diff.gone), diff.restarted), (vec![2], vec![1], vec![]));
    }

    #[test]
    fn after_a_reboot_every_process_is_another() {
        let diff =
            diff(&snapshot("a", vec![process(1, 1, "init")]), &snapshot("b", vec![process(1, 1, "init")]));
        assert!(diff.rebooted);
        assert_eq!(pairs(&diff.restarted), [(1, 1)]);
    }

    #[test]
    fn resident_sets_count_from_a_tenth_and_a_mebibyte_or_from_64_mebibytes() {
        let sized = |pid, bytes| Process { resident_bytes: Some(bytes), ..process(pid, 1, "x") };
        let large = 11 << 30;
        let before = [100 * MIB, 100 * MIB, MIB, 0, 20 * MIB, 300 * MIB, large, large];
        let after = [
            110 * MIB,
            110 * MIB - 1,
            2 * MIB - 1,
            MIB,
            30 * MIB,
            200 * MIB,
            large + 355 * MIB,
            large + 64 * MIB - 1,
        ];
        let all =
            |sizes: [u64; 8]| snapshot("a", (1..).zip(sizes).map(|(pid, size)| sized(pid, size)).collect());
        let resized = diff(&all(before), &all(after)).resized;
        assert_eq!(pairs(&resized), [(7, 7), (1, 1), (5, 5), (4, 4), (6, 6)]);
    }

    #[test]
    fn workers_of_a_pool_are_told_from_services_that_were_restarted() {
        let child = |pid, started_at_us, name, parent| Process {
            parent_pid: Some(parent),
            ..process(pid, started_at_us, name)
        };
        let before = vec![
            child(1, 1, "systemd", 0),
            child(7, 1, "php-fpm", 1),
            child(8, 2, "php-fpm", 7),
            child(9, 2, "app", 1),
        ];
        let after = vec![
            child(1, 1, "systemd", 0),
            child(7, 1, "php-fpm", 1),
            child(18, 5, "php-fpm", 7),
            child(19, 5, "app", 1),
        ];
        let diff = diff(&snapshot("a", before), &snapshot("a", after));
        assert_eq!(pairs(&diff.restarted), [(8, 18), (9, 19)]);
        let workers: Vec<u32> = diff.workers.iter().map(|(pid, _)| *pid).collect();
        assert_eq!(workers, [18]);
    }

    #[test]
    fn who_spent_most_cpu_time_comes_first() {
        let spent = |pid, cpu_time_ms| Process { cpu_time_ms, ..process(pid, 1, "x") };
        let before =
            snapshot("a", vec![spent(1, Some(5)), spent(2, Some(5)), spent(3, Some(5)), spent(4, None)]);
        let after =
            snapshot("a", vec![spent(1, Some(6)), spent(2, Some(9)), spent(3, Some(4)), spent(4, Some(9))]);
        assert_eq!(pairs(&diff(&before, &after).busy), [(2, 2), (1, 1)]);
    }
}
