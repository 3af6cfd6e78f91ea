//! What the catalog knows of each segment, in one file beside the segments, so that readers need not open them to know.
//!
//! **It is derived.** A lost, damaged or outdated file costs time and nothing else: what it does not say is read from the
//! segment, as it was before there was such a file. It says something of a file with this name, size and time of
//! modification, and nothing of any other. A segment's content is compared with its name when it is attached.
//!
//! **It grows at its end.** The ingestor, which alone writes in the folder, appends a record when a segment was sealed or
//! merged. A file with too many records of segments that are gone is written anew, under a temporary name. Readers need no
//! permission to write: they remember how far they have read. Nothing is synced to disk: the checksums tell what a power
//! failure left.
//!
//! **Layout.** `MAGIC`, `VERSION` (u32), `generation` (u64, another in each new file); then records: the length of the
//! body (u32), the first 8 bytes of its SHA-256, and the body, two values of MessagePack: [`RecordHead`] and [`Content`].
//! Numbers are little-endian. A reader stops at the first record that is not whole.

mod read;
mod write;

use std::{fs, path::Path, sync::Arc, time::UNIX_EPOCH};

use fleetps_nats::HostName;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub(crate) use read::IndexLogReader;
pub(super) use write::IndexLog;

use super::index::{EventRange, HostRange, HostRanges, SegmentIndex};
use crate::segment::{Fault, SegmentName};

/// The file's name. It is no segment's, so nothing takes it for one.
const INDEX_LOG: &str = "segments.index";
/// What every such file begins with.
const MAGIC: [u8; 8] = *b"fleetpsi";
/// Grows with every change of the layout. A file of another version counts as absent.
const VERSION: u32 = 1;
/// `MAGIC`, `VERSION` and the generation.
const FILE_HEAD_BYTES: usize = 8 + 4 + 8;
/// The length and the checksum of a record.
const RECORD_HEAD_BYTES: usize = 4 + CHECKSUM_BYTES;
/// Enough to notice damage. It is no protection against forgery: who may write here may write segments.
const CHECKSUM_BYTES: usize = 8;
/// The longest body: a host takes some 30 bytes, so that this is a segment of half a million hosts.
const MAX_RECORD_BYTES: usize = 16 << 20;
/// The largest file, of some 8 million hosts of segments. Further segments are read as if there were no such file.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// What tells a file from another one of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileStamp {
    bytes: u64,
    /// Since 1970 UTC.
    modified_ns: i64,
}

impl FileStamp {
    /// The stamp of the file at `path`.
    pub(crate) fn of(path: &Path) -> Result<Self, Fault> {
        let read = || {
            let metadata = fs::metadata(path)?;
            Ok((metadata.len(), metadata.modified()?))
        };
        let (bytes, modified) = read().map_err(|error| Fault::of_io(&error))?;
        let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self { bytes, modified_ns: i64::try_from(since.as_nanos()).unwrap_or_default() })
    }
}

/// Which segment a record is about.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RecordHead<'a> {
    file_name: &'a str,
    stamp: FileStamp,
    /// Of processes, as the segment says itself.
    rows: u64,
}

/// When snapshots of a host were captured, and their interval: the first after the beginning of something longer, the last
/// before its end. Small numbers take few bytes.
type Within = (i64, i64, u32);

/// What a segment holds.
#[derive(Debug, Serialize, Deserialize)]
struct Content<'a> {
    /// The first, the last, and how many.
    events: Option<(i64, i64, u64)>,
    first_us: i64,
    last_us: i64,
    /// The hosts: all snapshots within the times above, and those with process tables within those of all.
    #[serde(borrow)]
    hosts: Vec<(&'a str, Within, Option<Within>)>,
}

/// The times of `range` in relation to longer ones. [`range`] undoes it for times of any size.
fn within((first_us, last_us): (i64, i64), range: HostRange) -> Within {
    (range.first_us.wrapping_sub(first_us), last_us.wrapping_sub(range.last_us), range.interval_ms)
}

/// The times that [`within`] was given.
fn range((first_us, last_us): (i64, i64), (after_us, before_us, interval_ms): Within) -> HostRange {
    let (first_us, last_us) = (first_us.wrapping_add(after_us), last_us.wrapping_sub(before_us));
    HostRange { first_us, last_us, interval_ms }
}

impl<'a> Content<'a> {
    fn of(index: &'a SegmentIndex) -> Self {
        let all = || index.hosts().iter().map(|(_, ranges)| ranges.all);
        let first_us = all().map(|range| range.first_us).min().unwrap_or_default();
        let last_us = all().map(|range| range.last_us).max().unwrap_or_default();
        let host = |(host, ranges): &'a (Arc<HostName>, HostRanges)| {
            let tables =
                ranges.tables.map(|tables| within((ranges.all.first_us, ranges.all.last_us), tables));
            (host.as_str(), within((first_us, last_us), ranges.all), tables)
        };
        let events = index.events().map(|events| (events.first_us, events.last_us, events.count));
        Self { events, first_us, last_us, hosts: index.hosts().iter().map(host).collect() }
    }

    /// `None` where a name is no host's, which is nothing that was written here.
    fn into_index(self, name: SegmentName) -> Option<SegmentIndex> {
        let Self { events, first_us, last_us, hosts } = self;
        let host = |(host, all, tables): (&str, Within, Option<Within>)| {
            let all = range((first_us, last_us), all);
            let tables = tables.map(|tables| range((all.first_us, all.last_us), tables));
            Some((host.parse().ok()?, HostRanges { all, tables }))
        };
        let hosts = hosts.into_iter().map(host).collect::<Option<Vec<_>>>()?;
        let events = events.map(|(first_us, last_us, count)| EventRange { first_us, last_us, count });
        Some(SegmentIndex::of(name, hosts).with_events(events))
    }
}

fn file_head(generation: u64) -> Vec<u8> {
    [&MAGIC[..], &VERSION.to_le_bytes(), &generation.to_le_bytes()].concat()
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut checksum = [0; CHECKSUM_BYTES];
    checksum.iter_mut().zip(Sha256::digest(body)).for_each(|(to, from)| *to = from);
    checksum
}

/// A record as it lies in the file; `None` where it would be too long.
fn record(head: &RecordHead<'_>, index: &SegmentIndex) -> Option<Vec<u8>> {
    let mut body = rmp_serde::to_vec(head).ok()?;
    rmp_serde::encode::write(&mut body, &Content::of(index)).ok()?;
    raw_record(&body)
}

fn raw_record(body: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= MAX_RECORD_BYTES)?;
    Some([&length.to_le_bytes()[..], &checksum(body), body].concat())
}

#[cfg(test)]
#[path = "../index_log_tests.rs"]
mod tests;
