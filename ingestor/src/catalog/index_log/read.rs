//! Reads the index log.

use std::{
    fs::{self, File},
    io::{BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use rmp_serde::decode::{Deserializer, ReadRefReader};
use serde::Deserialize;

use super::{
    CHECKSUM_BYTES, Content, FILE_HEAD_BYTES, FileStamp, INDEX_LOG, MAGIC, MAX_FILE_BYTES, MAX_RECORD_BYTES,
    RECORD_HEAD_BYTES, RecordHead, SegmentIndex, VERSION, checksum,
};
use crate::segment::SegmentName;

/// Follows the log of a folder: each look goes on where the one before ended.
#[derive(Debug, Default)]
pub(crate) struct IndexLogReader {
    generation: Option<u64>,
    /// Where the next record begins.
    offset: u64,
}

/// A record with the right checksum.
pub(super) struct Record<'a> {
    pub(super) head: RecordHead<'a>,
    pub(super) body: &'a [u8],
    /// The values behind the head.
    rest: Deserializer<ReadRefReader<'a, [u8]>>,
}

impl<'a> Record<'a> {
    fn of(body: &'a [u8]) -> Option<Self> {
        let mut rest = Deserializer::from_read_ref(body);
        let head = RecordHead::deserialize(&mut rest).ok()?;
        Some(Self { head, body, rest })
    }

    /// What the segment holds; `None` where that cannot be read.
    fn index(mut self, name: SegmentName) -> Option<SegmentIndex> {
        Content::deserialize(&mut self.rest).ok()?.into_index(name)
    }
}

impl IndexLogReader {
    /// The indexes that were appended since the last look, of the files that are `wanted`: as they are now.
    pub(crate) fn read(
        &mut self,
        folder: &Path,
        wanted: impl Fn(&SegmentName) -> bool,
        mut found: impl FnMut(SegmentIndex),
    ) {
        self.records(folder, |record| {
            let RecordHead { file_name, stamp, .. } = record.head;
            let Some(name) = SegmentName::parse(file_name).filter(&wanted) else { return };
            if FileStamp::of(&folder.join(file_name)).is_ok_and(|now| now == stamp) {
                record.index(name).into_iter().for_each(&mut found);
            }
        });
    }

    /// Where the next record begins.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Every record since the last look. Returns whether the file ends with the last one.
    pub(super) fn records(&mut self, folder: &Path, mut each: impl FnMut(Record<'_>)) -> bool {
        let path = folder.join(INDEX_LOG);
        // Something else with that name, such as a pipe, would be waited for.
        let bytes = fs::metadata(&path).ok().filter(fs::Metadata::is_file).map(|metadata| metadata.len());
        let opened =
            bytes.and_then(|bytes| Some((bytes, BufReader::with_capacity(1 << 20, File::open(&path).ok()?))));
        let Some((bytes, mut file)) = opened else {
            *self = Self::default();
            return false;
        };
        if self.begin(&mut file, bytes).is_none() {
            *self = Self::default();
            return false;
        }
        let mut body = Vec::new();
        while self.offset < MAX_FILE_BYTES && next(&mut file, &mut body).is_some() {
            self.offset += (RECORD_HEAD_BYTES + body.len()) as u64;
            if let Some(record) = Record::of(&body) {
                each(record);
            }
        }
        self.offset >= bytes
    }

    /// Goes to the first record that was not read; `None` where the file is no index log of this version.
    fn begin(&mut self, file: &mut BufReader<File>, bytes: u64) -> Option<()> {
        let mut head = [0; FILE_HEAD_BYTES];
        file.read_exact(&mut head).ok()?;
        let (magic, rest) = head.split_first_chunk()?;
        let (version, rest) = rest.split_first_chunk()?;
        let (generation, _) = rest.split_first_chunk()?;
        if (*magic, u32::from_le_bytes(*version)) != (MAGIC, VERSION) {
            return None;
        }
        let generation = Some(u64::from_le_bytes(*generation));
        if self.generation != generation || self.offset > bytes {
            *self = Self { generation, offset: FILE_HEAD_BYTES as u64 };
        }
        file.seek(SeekFrom::Start(self.offset)).ok()?;
        Some(())
    }
}

/// Reads the body of the next record; `None` where it is not whole.
fn next(file: &mut BufReader<File>, body: &mut Vec<u8>) -> Option<()> {
    let mut head = [0; RECORD_HEAD_BYTES];
    file.read_exact(&mut head).ok()?;
    let (length, expected) = head.split_first_chunk()?;
    let length = u32::from_le_bytes(*length) as usize;
    let expected: &[u8; CHECKSUM_BYTES] = expected.first_chunk()?;
    if length > MAX_RECORD_BYTES {
        return None;
    }
    body.resize(length, 0);
    file.read_exact(body).ok()?;
    (checksum(body) == *expected).then_some(())
}
