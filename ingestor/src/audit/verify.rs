//! Following the chain through all segments, and through what the broker still has.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use fleetps_nats::audit::{Chained, GAP, Link, NO_HASH};

use super::{
    AuditFolder, AuditName, REMOVED, attach,
    segment::{COLUMNS, entry_of, open},
};
use crate::segment::{Fault, FolderError, quote_identifier};

/// Where the chain does not hold.
#[derive(Debug, thiserror::Error)]
pub enum Break {
    /// The folder cannot be listed.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A segment cannot be read.
    #[error("the segment {name} cannot be verified: {fault}")]
    Unreadable {
        /// Its name.
        name: String,
        /// The cause.
        fault: Fault,
    },
    /// A segment was quarantined.
    #[error(
        "the segment {0} was found damaged and set aside; its entries are missing. A backup may have it whole"
    )]
    Damaged(String),
    /// An entry does not have its hash.
    #[error(
        "entry {sequence} in {place} was edited: it does not have the hash that was computed when it was written down"
    )]
    Edited {
        /// Its sequence.
        sequence: u64,
        /// Where it is.
        place: String,
    },
    /// Entries are not there.
    #[error(
        "entries {first} to {last} are missing before {place}: they were deleted, or the broker dropped them before they were stored"
    )]
    Missing {
        /// The first.
        first: u64,
        /// The last.
        last: u64,
        /// The entry after them.
        place: String,
    },
    /// An entry is not at its place.
    #[error(
        "entry {sequence} in {place} does not follow the entry before it: that one was replaced, or this one moved"
    )]
    DoesNotFollow {
        /// Its sequence.
        sequence: u64,
        /// Where it is.
        place: String,
    },
    /// The broker has another entry than the segment.
    #[error("entry {sequence} is another one in the segments than on the broker: one of both was replaced")]
    TwoVersions {
        /// Its sequence.
        sequence: u64,
    },
    /// The first entry's predecessors are missing, and were not removed for their age.
    #[error("the entries up to {last} are missing, and no entry says that they were removed for their age")]
    NoBeginning {
        /// The last of them.
        last: u64,
    },
}

/// A numbering of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// When it began, in seconds since 1970 UTC; absent where only the broker has it.
    pub epoch_s: Option<i64>,
    /// Its first entry that is kept.
    pub first: u64,
    /// Its last entry.
    pub last: Link,
}

/// A chain that holds.
#[derive(Debug, Default)]
pub struct Verified {
    /// Each numbering, in order. There is more than one where the broker's stream was recreated or lost its end.
    pub chains: Vec<Chain>,
    /// How many entries were checked.
    pub entries: u64,
    /// The first and the last sequence of those that the broker has lost, as the next entry says.
    pub gaps: Vec<(u64, u64)>,
    /// How many of them only the broker has.
    pub on_the_broker: u64,
    hashes: HashSet<String>,
}

impl Verified {
    /// Whether an entry has this hash.
    pub fn holds(&self, hash: &str) -> bool {
        self.hashes.contains(hash)
    }
}

/// Follows the chain through the segments of `folder` and then through `stream`: all that the broker has, in order.
///
/// # Errors
/// The first break.
pub fn verify(folder: &Path, stream: &[Chained]) -> Result<Verified, Break> {
    let folder = std::path::absolute(folder).map_err(FolderError::at(folder))?;
    let mut walk = Walk::default();
    let AuditFolder { current, damaged, skipped, .. } = AuditFolder::scan(&folder)?;
    if let Some(file) = skipped.into_iter().next() {
        return Err(Break::Unreadable { name: file.file_name, fault: file.fault });
    }
    for name in current {
        if let Some(damaged) = damaged.iter().find(|damaged| damaged.is_before(&name)) {
            return Err(Break::Damaged(damaged.to_string()));
        }
        walk.begin_segment(&name);
        let entries =
            read(&folder, &name).map_err(|fault| Break::Unreadable { name: name.to_string(), fault })?;
        for (sequence, entry) in entries {
            let place = name.to_string();
            let entry = entry.ok_or(Break::Edited { sequence, place })?;
            walk.step(&entry, &name.to_string())?;
        }
    }
    if let Some(damaged) = damaged.first() {
        return Err(Break::Damaged(damaged.to_string()));
    }
    walk.through_stream(stream)?;
    walk.end()
}

type Row = (u64, Option<Chained>);

fn read(folder: &Path, name: &AuditName) -> Result<Vec<Row>, Fault> {
    let of_duckdb = |error| Fault::of(&error);
    let (engine, _) = open(folder, &[], 0, &[]).map_err(of_duckdb)?;
    attach(&engine, folder, name)?;
    let sql = format!("SELECT {COLUMNS} FROM {}.audit ORDER BY sequence", quote_identifier(&name.alias()));
    let mut statement = engine.prepare(&sql).map_err(of_duckdb)?;
    let rows =
        statement.query_map([], |row| Ok((row.get("sequence")?, entry_of(row)?))).map_err(of_duckdb)?;
    rows.collect::<duckdb::Result<_>>().map_err(of_duckdb)
}

/// How far the chain was followed.
#[derive(Default)]
struct Walk {
    verified: Verified,
    /// The hashes of the numbering that is being followed, by sequence.
    hashes: HashMap<u64, String>,
    /// The link before each numbering that does not begin at 1.
    begun_behind: Vec<Link>,
    /// The last removed links, from the entries about removals.
    removals: String,
}

impl Walk {
    fn begin_segment(&mut self, name: &AuditName) {
        let is_the_same =
            self.verified.chains.last().is_some_and(|chain| chain.epoch_s == Some(name.epoch_s));
        if !is_the_same {
            self.begin(Some(name.epoch_s), name.first_sequence);
        }
    }

    fn begin(&mut self, epoch_s: Option<i64>, first: u64) {
        self.hashes.clear();
        let last = Link { sequence: 0, hash: NO_HASH.to_owned() };
        self.verified.chains.push(Chain { epoch_s, first, last });
    }

    fn step(&mut self, entry: &Chained, place: &str) -> Result<(), Break> {
        let (sequence, place) = (entry.sequence, place.to_owned());
        if entry.hash != entry.computed_hash() {
            return Err(Break::Edited { sequence, place });
        }
        let Some(chain) = self.verified.chains.last_mut() else { return Ok(()) };
        let is_first = chain.last.sequence == 0;
        let says_gap = entry.entry.action == GAP;
        if is_first && sequence == chain.first {
            if says_gap && entry.previous == NO_HASH {
                self.verified.gaps.push((1, sequence - 1));
            } else if entry.previous != NO_HASH || sequence != 1 {
                self.begun_behind.push(Link { sequence: sequence - 1, hash: entry.previous.clone() });
            }
        } else {
            let expected = if is_first { chain.first } else { chain.last.sequence + 1 };
            // Where the broker had no entry left, its next one knows of none before.
            let knows_last = entry.previous == chain.last.hash || entry.previous == NO_HASH;
            if says_gap && sequence > expected && knows_last {
                self.verified.gaps.push((expected, sequence - 1));
            } else if sequence > expected {
                return Err(Break::Missing { first: expected, last: sequence - 1, place });
            } else if sequence < expected || entry.previous != chain.last.hash {
                return Err(Break::DoesNotFollow { sequence, place });
            }
        }
        chain.last = entry.link();
        self.hashes.insert(sequence, entry.hash.clone());
        self.verified.hashes.insert(entry.hash.clone());
        self.verified.entries += 1;
        if entry.entry.action == REMOVED {
            self.removals += &entry.entry.what;
        }
        Ok(())
    }

    fn through_stream(&mut self, stream: &[Chained]) -> Result<(), Break> {
        const PLACE: &str = "the broker's stream";
        let Some(first) = stream.first() else { return Ok(()) };
        let sealed = self.verified.chains.last().map_or(0, |chain| chain.last.sequence);
        let known = self.hashes.get(&first.sequence);
        // A gap before which the broker has nothing left goes on behind what is sealed.
        let goes_on = first.entry.action == GAP && known.is_none() && first.sequence > sealed;
        // Nothing is sealed, or the stream was recreated since.
        if sealed == 0 || (first.previous == NO_HASH && known != Some(&first.hash) && !goes_on) {
            self.begin(None, first.sequence);
        }
        for entry in stream {
            match self.hashes.get(&entry.sequence) {
                Some(hash) if *hash != entry.hash || entry.hash != entry.computed_hash() => {
                    return Err(Break::TwoVersions { sequence: entry.sequence });
                }
                Some(_) => {}
                None => {
                    self.step(entry, PLACE)?;
                    self.verified.on_the_broker += 1;
                }
            }
        }
        Ok(())
    }

    fn end(self) -> Result<Verified, Break> {
        for begun in &self.begun_behind {
            if !self.verified.holds(&begun.hash) && !self.removals.contains(&begun.hash) {
                return Err(Break::NoBeginning { last: begun.sequence });
            }
        }
        Ok(self.verified)
    }
}
