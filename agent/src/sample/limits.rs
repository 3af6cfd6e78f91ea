//! Leaves processes out of a snapshot: those that the settings exclude, and the least busy above the limits. Makes a
//! snapshot fit one message: texts are shortened before processes are left out.

use std::{cmp::Ordering, collections::BTreeSet, io};

use fleetps_nats::snapshot::{EncodeError, Encoder, MAX_COMPRESSED_BYTES, Process, Snapshot};

use super::text::{shorter_line, shorter_word};

/// The broker counts the message's headers too: a host name, three identifiers and their labels have under 300 bytes.
const HEADER_BYTES: usize = 1024;
const MOST_BYTES: usize = MAX_COMPRESSED_BYTES - HEADER_BYTES;

/// Takes out the processes whose name or user is excluded; how many.
pub(super) fn exclude(rows: &mut Vec<Process>, names: &[String], users: &[String]) -> u32 {
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
pub(super) fn keep_busiest(rows: &mut Vec<Process>, most: usize) -> u32 {
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

/// Bounds of texts, in bytes: the largest with which a snapshot fits one message is taken. At the least, program and last
/// arguments can still be told.
const TEXT_BOUNDS: [usize; 5] = [2048, 1024, 512, 256, 128];
/// The next larger bound is tried when the snapshot would need less than this share of a message with it. Texts that grew
/// and shrank from one snapshot to the next would be new facts in the history each time.
const ROOM_TO_GROW: f64 = 0.8;

/// Makes messages of snapshots.
pub struct Packer {
    encoder: Encoder,
    /// The place in [`TEXT_BOUNDS`] that the last snapshot needed; `None` while whole texts fit.
    bound: Option<usize>,
}

impl Packer {
    /// A new one; about 1 MB.
    pub fn new() -> io::Result<Self> {
        Ok(Self { encoder: Encoder::new()?, bound: None })
    }

    /// Packs the snapshot into one message: shortens texts if they are too long for it, and leaves out the least busy
    /// processes if even that is not enough. Both are counted in the snapshot. `shortened` has the pids of those
    /// with texts that were shortened before.
    pub fn pack(
        &mut self,
        snapshot: &mut Snapshot,
        shortened: &BTreeSet<u32>,
    ) -> Result<Vec<u8>, EncodeError> {
        let mut shortened = shortened.clone();
        let whole_bytes = text_bytes(&snapshot.processes, usize::MAX);
        let mut bound = self.bound;
        loop {
            if let Some(place) = bound {
                shorten(&mut snapshot.processes, TEXT_BOUNDS[place], &mut shortened);
            }
            snapshot.texts_shortened = count_of(&snapshot.processes, &shortened);
            let length = match self.encoder.encode(snapshot) {
                Ok(message) if message.len() <= MOST_BYTES => {
                    self.bound = bound;
                    self.grow(&snapshot.processes, message.len(), whole_bytes);
                    return Ok(message);
                }
                Ok(message) => message.len(),
                Err(EncodeError::TooLong(length)) => length,
                Err(error) => return Err(error),
            };
            if snapshot.processes.is_empty() {
                return Err(EncodeError::TooLong(length));
            }
            let next = bound.map_or(0, |place| place + 1);
            bound = if next < TEXT_BOUNDS.len() {
                Some(next.max(likely_bound(&snapshot.processes, length)))
            } else {
                let most = snapshot.processes.len() * 3 / 4;
                snapshot.processes_left_out += keep_busiest(&mut snapshot.processes, most);
                bound
            };
        }
    }

    /// Allows the next snapshot longer texts if there is room. `whole_bytes` are those that the texts had before they were
    /// shortened.
    fn grow(&mut self, rows: &[Process], message_bytes: usize, whole_bytes: usize) {
        let Some(place) = self.bound else { return };
        let now_bytes = text_bytes(rows, usize::MAX).max(1);
        // Each step doubles texts at most.
        let (larger, larger_bytes) = match place.checked_sub(1) {
            Some(larger) => (Some(larger), whole_bytes.min(2 * now_bytes)),
            None => (None, whole_bytes),
        };
        let expected = message_bytes as f64 * larger_bytes as f64 / now_bytes as f64;
        if expected < ROOM_TO_GROW * MOST_BYTES as f64 {
            self.bound = larger;
        }
    }
}

/// The place of the largest bound with which rows whose message has `length` bytes probably fit; a text packs like any
/// other. The last if none does.
fn likely_bound(rows: &[Process], length: usize) -> usize {
    let now_bytes = text_bytes(rows, usize::MAX).max(1);
    let fits = |bound: &usize| {
        length as f64 * text_bytes(rows, *bound) as f64 <= MOST_BYTES as f64 * now_bytes as f64
    };
    TEXT_BOUNDS.iter().position(fits).unwrap_or(TEXT_BOUNDS.len() - 1)
}

/// The bytes of the texts that can be shortened, each counted up to `most`.
fn text_bytes(rows: &[Process], most: usize) -> usize {
    let texts = rows.iter().flat_map(|row| [&row.command_line, &row.executable, &row.unit]);
    texts.flatten().map(|text| text.len().min(most)).sum()
}

/// Shortens the texts above `most` bytes, and notes whose.
fn shorten(rows: &mut [Process], most: usize, shortened: &mut BTreeSet<u32>) {
    let mut put = |pid: u32, text: &mut Option<String>, shorter: fn(&str, usize) -> Option<String>| {
        if let Some(shorter) = text.as_deref().and_then(|text| shorter(text, most)) {
            *text = Some(shorter);
            shortened.insert(pid);
        }
    };
    for row in rows {
        put(row.pid, &mut row.command_line, shorter_line);
        put(row.pid, &mut row.executable, shorter_word);
        put(row.pid, &mut row.unit, shorter_word);
    }
}

/// How many of the rows are among `pids`.
pub(super) fn count_of(rows: &[Process], pids: &BTreeSet<u32>) -> u32 {
    if pids.is_empty() {
        return 0;
    }
    count(rows.iter().filter(|row| pids.contains(&row.pid)).count())
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

    const NOW_US: i64 = 1_795_000_000_000_000;

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

    /// Letters that pack to three quarters of their bytes.
    fn noise(random: &mut fastrand::Rng, bytes: usize) -> String {
        (0..bytes).map(|_| random.alphanumeric()).collect()
    }

    fn snapshot(processes: Vec<Process>) -> Snapshot {
        Snapshot {
            format: FORMAT,
            boot_id: "b".to_owned(),
            run_id: "r".to_owned(),
            sequence: 1,
            captured_at_us: NOW_US,
            interval_ms: 1000,
            processes,
            ..Snapshot::default()
        }
    }

    fn packed(packer: &mut Packer, processes: &[Process]) -> Snapshot {
        let message = packer.pack(&mut snapshot(processes.to_vec()), &BTreeSet::new()).unwrap();
        assert!(message.len() <= MOST_BYTES);
        Decoder::new().unwrap().decode(&message, NOW_US).unwrap()
    }

    fn longest(snapshot: &Snapshot) -> usize {
        snapshot.processes.iter().filter_map(|row| row.command_line.as_ref()).map(String::len).max().unwrap()
    }

    #[test]
    fn of_a_snapshot_that_is_too_long_texts_are_shortened_and_every_process_stays() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut processes: Vec<Process> = (1..=1500)
            .map(|pid| {
                let command_line = format!("app --n={pid} {} --last={pid}", noise(&mut random, 3900));
                Process { command_line: Some(command_line), ..row(pid, 0.0, 0) }
            })
            .collect();
        processes.push(Process { command_line: Some("short".to_owned()), ..row(1501, 0.0, 0) });
        let mut packer = Packer::new().unwrap();
        let read = packed(&mut packer, &processes);
        assert_eq!((read.processes.len(), read.processes_left_out, read.texts_shortened), (1501, 0, 1500));
        for process in &read.processes[..1500] {
            let text = process.command_line.as_ref().unwrap();
            let is_right = text.starts_with(&format!("app --n={} ", process.pid))
                && text.ends_with(&format!(" --last={}", process.pid));
            assert!(is_right && text.len() > 256 && text.contains(" bytes]…"), "{text}");
        }
        assert_eq!(read.processes[1500].command_line.as_deref(), Some("short"));
        // The same bound the next time, and whole texts again when there is room.
        assert_eq!(longest(&packed(&mut packer, &processes)), longest(&read));
        for _ in 0..TEXT_BOUNDS.len() {
            packed(&mut packer, &processes[..100]);
        }
        assert_eq!(packed(&mut packer, &processes[..100]).texts_shortened, 0);
    }

    #[test]
    fn long_paths_of_executables_are_shortened_too() {
        let mut random = fastrand::Rng::with_seed(8);
        let processes: Vec<Process> = (1..=900)
            .map(|pid| {
                let executable = format!("/srv/{}/bin/{pid}", noise(&mut random, 3900));
                Process { executable: Some(executable), ..row(pid, 0.0, 0) }
            })
            .collect();
        let read = packed(&mut Packer::new().unwrap(), &processes);
        assert_eq!((read.processes.len(), read.texts_shortened), (900, 900));
        let path = read.processes[0].executable.as_ref().unwrap();
        assert!(path.starts_with("/srv/") && path.ends_with("/bin/1"), "{path}");
    }

    #[test]
    fn texts_that_were_shortened_before_count_while_their_process_is_there() {
        let before = BTreeSet::from([2, 77]);
        let mut few = snapshot(vec![row(1, 0.0, 0), row(2, 0.0, 0)]);
        Packer::new().unwrap().pack(&mut few, &before).unwrap();
        assert_eq!(few.texts_shortened, 1);
    }

    #[test]
    fn the_busiest_processes_stay_when_even_short_texts_are_too_many() {
        let mut random = fastrand::Rng::with_seed(9);
        let processes: Vec<Process> = (1..=15_000)
            .map(|pid| Process { command_line: Some(noise(&mut random, 300)), ..row(pid, pid as f32, 0) })
            .collect();
        let read = packed(&mut Packer::new().unwrap(), &processes);
        assert_eq!(read.processes.len() + read.processes_left_out as usize, 15_000);
        assert!(read.processes_left_out > 0 && longest(&read) <= 128);
        assert_eq!(read.texts_shortened as usize, read.processes.len());
        assert!(pids(&read.processes).contains(&15_000) && !pids(&read.processes).contains(&1));
    }
}
