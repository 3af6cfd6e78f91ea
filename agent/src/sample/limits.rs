//! Leaves processes out of a snapshot: those that the settings exclude, and the least busy above the limits.

use std::cmp::Ordering;

use fleetps_nats::snapshot::{EncodeError, Encoder, MAX_COMPRESSED_BYTES, Process, Snapshot};

/// The broker counts the message's headers too: a host name, three identifiers and their labels have under 300 bytes.
const HEADER_BYTES: usize = 1024;

/// Takes out the processes whose name or user is excluded; how many.
pub fn exclude(rows: &mut Vec<Process>, names: &[String], users: &[String]) -> u32 {
    if names.is_empty() && users.is_empty() {
        return 0;
    }
    let before = rows.len();
    rows.retain(|row| {
        let by_user = row.user_name.as_ref().is_some_and(|user| users.contains(user));
        !by_user && !names.contains(&row.name)
    });
    count(before - rows.len())
}

/// Keeps the `most` busiest: by CPU, then by memory; how many were taken out.
pub fn keep_busiest(rows: &mut Vec<Process>, most: usize) -> u32 {
    if rows.len() <= most {
        return 0;
    }
    let surplus = rows.len() - most;
    if most > 0 {
        rows.select_nth_unstable_by(most - 1, busier_first);
    }
    rows.truncate(most);
    count(surplus)
}

/// Packs the snapshot, leaving out the least busy quarter of its processes until one message holds it.
pub fn pack(snapshot: &mut Snapshot, encoder: &mut Encoder) -> Result<Vec<u8>, EncodeError> {
    loop {
        match encoder.encode(snapshot) {
            Ok(message) if message.len() <= MAX_COMPRESSED_BYTES - HEADER_BYTES => return Ok(message),
            Err(error) if snapshot.processes.is_empty() => return Err(error),
            Ok(message) if snapshot.processes.is_empty() => return Err(EncodeError::TooLong(message.len())),
            Ok(_) | Err(EncodeError::TooLong(_)) => {
                let most = snapshot.processes.len() * 3 / 4;
                snapshot.processes_left_out += keep_busiest(&mut snapshot.processes, most);
            }
            Err(error) => return Err(error),
        }
    }
}

fn busier_first(one: &Process, other: &Process) -> Ordering {
    let cpu = |row: &Process| row.cpu_percent.unwrap_or_default();
    let by_cpu = cpu(other).total_cmp(&cpu(one));
    by_cpu.then_with(|| other.resident_bytes.cmp(&one.resident_bytes)).then_with(|| one.pid.cmp(&other.pid))
}

fn count(rows: usize) -> u32 {
    u32::try_from(rows).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use fleetps_nats::snapshot::{Decoder, FORMAT};

    use super::*;

    fn row(pid: u32, cpu_percent: f32, resident_bytes: u64) -> Process {
        Process {
            pid,
            name: format!("p{pid}"),
            user_name: Some(if pid.is_multiple_of(2) { "even" } else { "odd" }.to_owned()),
            state: 'S',
            cpu_percent: Some(cpu_percent),
            resident_bytes: Some(resident_bytes),
            ..Process::default()
        }
    }

    fn pids(rows: &[Process]) -> Vec<u32> {
        let mut pids: Vec<u32> = rows.iter().map(|row| row.pid).collect();
        pids.sort_unstable();
        pids
    }

    #[test]
    fn the_busiest_by_cpu_then_memory_are_kept_and_the_others_counted() {
        let rows = vec![row(1, 0.0, 10), row(2, 0.0, 30), row(3, 5.0, 0), row(4, 0.0, 20)];
        for (most, kept) in
            [(9, vec![1, 2, 3, 4]), (3, vec![2, 3, 4]), (2, vec![2, 3]), (1, vec![3]), (0, vec![])]
        {
            let mut left = rows.clone();
            assert_eq!(keep_busiest(&mut left, most) as usize, 4 - kept.len());
            assert_eq!(pids(&left), kept);
        }
    }

    #[test]
    fn excluded_names_and_users_are_taken_out_and_counted() {
        let mut rows: Vec<Process> = (1..=6).map(|pid| row(pid, 0.0, 0)).collect();
        assert_eq!(exclude(&mut rows, &["p1".to_owned()], &["even".to_owned()]), 4);
        assert_eq!(pids(&rows), [3, 5]);
    }

    #[test]
    fn a_snapshot_that_is_too_long_for_one_message_keeps_its_busiest_processes() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut noise = || (0..3000).map(|_| random.alphanumeric()).collect::<String>();
        let processes: Vec<Process> =
            (1..=900).map(|pid| Process { command_line: Some(noise()), ..row(pid, pid as f32, 0) }).collect();
        let mut snapshot = Snapshot {
            format: FORMAT,
            boot_id: "b".to_owned(),
            run_id: "r".to_owned(),
            sequence: 1,
            captured_at_us: 1_795_000_000_000_000,
            interval_ms: 1000,
            processes,
            ..Snapshot::default()
        };
        let message = pack(&mut snapshot, &mut Encoder::new().unwrap()).unwrap();
        assert!(message.len() <= MAX_COMPRESSED_BYTES - HEADER_BYTES);
        let read = Decoder::new().unwrap().decode(&message, 1_795_000_000_000_000).unwrap();
        assert_eq!(read.processes.len() + read.processes_left_out as usize, 900);
        assert!(read.processes_left_out > 0);
        assert!(pids(&read.processes).contains(&900) && !pids(&read.processes).contains(&1));
    }
}
