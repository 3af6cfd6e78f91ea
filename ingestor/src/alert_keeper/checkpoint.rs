//! What is remembered after some message, in a file beside the segments.
//!
//! Without it, evaluation begins with the alerts that are open in the stream of alerts and the last minutes of snapshots. Lost are
//! how long values have lasted, and what is learned over hours and days: forecasts say nothing for most of a day, and nothing that
//! was always there is missed for a day.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use fleetps_nats::file;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{alerts::EvaluatorState, events::Event};

/// Changes when what is written can no longer be read.
const VERSION: u32 = 1;
/// The largest that is read, in bytes: 10,000 hosts with an alert each take 6 MB; with ten file systems each, whose growth is
/// remembered, some 40 MB more, with forty services 20 MB, with ten large processes 12 MB, and with `unusual` 20 MB.
const MAX_BYTES: usize = 128 << 20;
/// Bytes of the checksum in front.
const SUM_BYTES: usize = 32;

/// All that is remembered.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Checkpoint<'a> {
    version: u32,
    /// When the numbering of the stream began, in s since 1970 UTC.
    pub(super) epoch_s: i64,
    /// The last message that was evaluated.
    pub(super) sequence: u64,
    /// When the broker took it, in µs since 1970 UTC.
    pub(super) stored_at_us: i64,
    /// The number of the next change of that message.
    pub(super) number: u32,
    /// How the restart loops that go on began.
    pub(super) loops: Vec<Event>,
    pub(super) evaluator: EvaluatorState<'a>,
}

impl<'a> Checkpoint<'a> {
    pub(super) fn new(
        (epoch_s, sequence, number): (i64, u64, u32),
        stored_at_us: i64,
        loops: Vec<Event>,
        evaluator: EvaluatorState<'a>,
    ) -> Self {
        Self { version: VERSION, epoch_s, sequence, stored_at_us, number, loops, evaluator }
    }

    /// As it is written, and whether that is all. What is learned over hours and days is left out where it would make the file larger
    /// than what is read, because then everything would be lost.
    pub(super) fn into_bytes(self) -> (Vec<u8>, bool) {
        self.into_bytes_within(MAX_BYTES)
    }

    fn into_bytes_within(mut self, max_bytes: usize) -> (Vec<u8>, bool) {
        let bytes = self.encoded();
        if bytes.len() <= max_bytes {
            return (bytes, true);
        }
        drop(bytes);
        self.evaluator.leave_out_learned();
        (self.encoded(), false)
    }

    /// A checksum, and MessagePack with named fields.
    fn encoded(&self) -> Vec<u8> {
        // Writing into memory does not fail.
        let body = rmp_serde::to_vec_named(self).unwrap_or_default();
        [Sha256::digest(&body).as_slice(), &body].concat()
    }
}

/// The file of a partition in `folder`.
pub(super) fn path(folder: &Path, partition: u32) -> PathBuf {
    folder.join(format!("alerts-{partition}.state"))
}

/// Writes a checkpoint; the earlier one stays where that fails.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    file::replace(path, bytes)
}

/// Reads the checkpoint; `None` where there is none, or none that this version understands.
pub(super) fn read(path: &Path) -> Option<Checkpoint<'static>> {
    let bytes = match read_bytes(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(%error, file = %path.display(), "the checkpoint of alerts cannot be read");
            return None;
        }
    };
    let read =
        bytes.split_at_checked(SUM_BYTES).filter(|(sum, body)| Sha256::digest(body).as_slice() == *sum);
    let checkpoint = read.and_then(|(_, body)| rmp_serde::from_slice::<Checkpoint<'static>>(body).ok());
    let checkpoint = checkpoint.filter(|checkpoint| checkpoint.version == VERSION);
    if checkpoint.is_none() {
        tracing::warn!(file = %path.display(), "the checkpoint of alerts is damaged, or of another version; going on without");
    }
    checkpoint
}

fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fleetps_nats::{HostName, Snapshot, snapshot::FilesystemSample};

    use super::*;
    use crate::{
        alerts::{Evaluator, Rule, Severity},
        events::{MessagePlace, StreamClock},
    };

    #[test]
    fn a_checkpoint_is_read_as_it_was_written_and_a_damaged_one_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path(), 3);
        assert!(read(&path).is_none());
        let evaluator = Evaluator::default();
        let (bytes, _) = Checkpoint::new((1, 7, 2), 5, Vec::new(), evaluator.state()).into_bytes();
        write(&path, &bytes).unwrap();
        let found = read(&path).unwrap();
        assert_eq!((found.epoch_s, found.sequence, found.number, found.stored_at_us), (1, 7, 2, 5));
        for damaged in [&bytes[..bytes.len() - 1], &bytes[..10], &[]] {
            std::fs::write(&path, damaged).unwrap();
            assert!(read(&path).is_none());
        }
    }

    #[test]
    fn what_is_learned_is_left_out_of_a_checkpoint_that_would_not_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path(), 3);
        let mut evaluator = Evaluator::default();
        evaluator.set_rules(
            vec![Rule::parse("soon", 1, Severity::Warning, "disk_full_in < 2d clear 3d").unwrap()],
            0,
        );
        let disk = |number: u32| FilesystemSample {
            mount: format!("/{number}"),
            used_bytes: Some(1 << 30),
            ..FilesystemSample::default()
        };
        let snapshot = Snapshot { filesystems: (0..20).map(disk).collect(), ..Snapshot::default() };
        let place = MessagePlace { partition: 0, epoch_s: 1, sequence: 7, stored_at_us: 5 };
        let clock = StreamClock { now_ms: Some(0), counted_from_ms: None };
        let host: HostName = "web-01".parse().unwrap();
        evaluator.snapshot(place, clock, &host, &Arc::new(snapshot));
        let checkpoint = || Checkpoint::new((1, 7, 2), 5, Vec::new(), evaluator.state());
        let (whole, is_whole) = checkpoint().into_bytes_within(MAX_BYTES);
        assert!(is_whole);
        assert_eq!(checkpoint().into_bytes_within(whole.len()), (whole.clone(), true));
        let (short, is_whole) = checkpoint().into_bytes_within(whole.len() - 1);
        assert!(!is_whole && short.len() + 20 * 20 < whole.len(), "{} of {}", short.len(), whole.len());
        write(&path, &short).unwrap();
        let again = Evaluator::restore(read(&path).unwrap().evaluator);
        assert!(again.hosts().eq([&host]));
    }
}
