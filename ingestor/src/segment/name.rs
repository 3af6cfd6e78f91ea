//! The name of a segment, which says all that is needed to find, order and replace it.
//!
//! `<level>-p<partition>-<epoch>-<first sequence>-<last sequence>-<time of the first>-v<schema version>.duckdb`, as in
//! `fresh-p000-1763712000-000000000001-000000000050-20261121T083000Z-v3.duckdb`; without the last where that is 1. Behind
//! the version stands which hosts it has, unless it has all: `…-v11-03of08.duckdb`. Zero-padded, so that names of one level
//! sort in the order of the stream. Anything that does not read back as exactly itself is no segment.

use std::fmt;

use jiff::Timestamp;

use super::{EVENTS_SINCE_VERSION, Level, SCHEMA_VERSION, SHARDED_VERSION, SHARDS_SINCE_VERSION, Shard};

/// The suffix of every segment's name.
const EXTENSION: &str = ".duckdb";
/// The suffix of a quarantined segment's name.
const DAMAGED_EXTENSION: &str = ".damaged";
/// The time in a name: compact, sortable, without a colon (which Windows refuses).
pub(crate) const TIME_FORMAT: &str = "%Y%m%dT%H%M%SZ";

/// Partitions of streams end below this ([`crate::IngestorSettings`]); those of imports begin here.
pub const FIRST_IMPORTED_PARTITION: u32 = 1024;

/// The part of a stream that a segment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SegmentName {
    /// How much it has been merged.
    pub level: Level,
    /// The partition of the stream.
    pub partition: u32,
    /// When the numbering of the stream began, in seconds since 1970 UTC. Sequences of different epochs have nothing
    /// to do with each other.
    pub epoch_s: i64,
    /// The first sequence it covers.
    pub first_sequence: u64,
    /// The last sequence it covers.
    pub last_sequence: u64,
    /// When the broker took the first message, in seconds since 1970 UTC.
    pub first_stored_s: i64,
    /// Which tables and columns are in it, as [`super::SCHEMA_VERSION`] counts.
    pub schema_version: u32,
    /// The hosts that it has.
    pub shard: Shard,
}

impl SegmentName {
    /// Reads the name of a file; `None` when it is not a segment's.
    pub fn parse(file_name: &str) -> Option<Self> {
        let mut parts = file_name.strip_suffix(EXTENSION)?.split('-');
        let level_word = parts.next()?;
        let level = Level::ALL.into_iter().find(|level| level.as_str() == level_word)?;
        let name = Self {
            level,
            partition: parts.next()?.strip_prefix('p')?.parse().ok()?,
            epoch_s: parts.next()?.parse().ok()?,
            first_sequence: parts.next()?.parse().ok()?,
            last_sequence: parts.next()?.parse().ok()?,
            first_stored_s: parse_time(parts.next()?)?,
            schema_version: parts
                .next()
                .map_or(Some(1), |version| version.strip_prefix('v')?.parse().ok())?,
            shard: parts.next().map_or(Some(Shard::WHOLE), Shard::parse)?,
        };
        let ordered = name.first_sequence >= 1 && name.first_sequence <= name.last_sequence;
        let may_be_divided = name.shard.is_whole() || name.schema_version >= SHARDS_SINCE_VERSION;
        (ordered && may_be_divided && name.to_string() == file_name).then_some(name)
    }

    /// Reads the name of a segment that a later version wrote; `None` when it is none. Its level may be unknown here, and
    /// more may be said behind the version of the schema.
    pub fn parse_newer(file_name: &str) -> Option<Self> {
        let stem = file_name.strip_suffix(EXTENSION)?;
        let (level_word, rest) = stem.split_once('-')?;
        let known = Level::ALL.into_iter().find(|level| level.as_str() == level_word);
        let is_word = !level_word.is_empty() && level_word.bytes().all(|byte| byte.is_ascii_lowercase());
        let mut parts = rest.splitn(7, '-');
        let first_six: Vec<&str> = parts.by_ref().take(6).collect();
        // As a name of this version with the longest span, so that every part is read in one way.
        let as_known = format!("{}-{}{EXTENSION}", Level::Rollup.as_str(), first_six.join("-"));
        let is_divided = parts.next().is_some_and(|more| Shard::parse(more).is_some());
        let latest = if is_divided { SHARDED_VERSION } else { SCHEMA_VERSION };
        let name = Self::parse(&as_known).filter(|name| is_word && name.schema_version > latest)?;
        Some(Self { level: known.unwrap_or(Level::Rollup), ..name })
    }

    /// Parses the name of a quarantined segment; `None` when it is not one.
    pub fn parse_damaged(file_name: &str) -> Option<Self> {
        Self::parse(file_name.strip_suffix(DAMAGED_EXTENSION)?)
    }

    /// The file name after quarantine.
    pub fn damaged_file_name(&self) -> String {
        format!("{self}{DAMAGED_EXTENSION}")
    }

    /// The numbering that its sequences belong to.
    pub fn numbering(&self) -> (u32, i64) {
        (self.partition, self.epoch_s)
    }

    /// Whether it came from the database of another system, whose own numbers are its sequences, and not from a stream.
    pub fn is_imported(&self) -> bool {
        self.partition >= FIRST_IMPORTED_PARTITION
    }

    /// Whether both may have rows of the same host and sequence.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.touches(other) && self.shard.bits() & other.shard.bits() != 0
    }

    /// Whether some sequence is in both ranges of the stream.
    pub(super) fn touches(&self, other: &Self) -> bool {
        self.numbering() == other.numbering()
            && self.first_sequence <= other.last_sequence
            && other.first_sequence <= self.last_sequence
    }

    /// Whether its range of the stream has every sequence of the other's.
    pub(super) fn reaches_over(&self, other: &Self) -> bool {
        self.numbering() == other.numbering()
            && self.first_sequence <= other.first_sequence
            && other.last_sequence <= self.last_sequence
    }

    /// The latest time at which the broker can have taken the last message: a segment holds messages of one hour, day
    /// or month, and a fresh one is sealed within minutes.
    pub fn latest_stored_s(&self) -> i64 {
        let span_s = match self.level {
            Level::Fresh | Level::Hour => 2 * 3600,
            Level::Day | Level::Minute => 25 * 3600,
            Level::Rollup => (31 * 24 + 1) * 3600,
        };
        self.first_stored_s.saturating_add(span_s)
    }

    /// The name of a rewritten segment with fewer rows: a second later, by which it replaces this one.
    pub(crate) fn written_again(&self) -> Self {
        let schema_version = self.version_when_written_again();
        Self { first_stored_s: self.first_stored_s.saturating_add(1), schema_version, ..*self }
    }

    /// Whether it has the events of its messages.
    pub fn has_events(&self) -> bool {
        self.schema_version >= EVENTS_SINCE_VERSION
    }

    /// The version of a segment that is made of this one: the latest, but never one that has events where this has none.
    pub(crate) fn version_when_written_again(&self) -> u32 {
        match (self.has_events(), self.shard.is_whole()) {
            (false, _) => EVENTS_SINCE_VERSION - 1,
            (true, true) => SCHEMA_VERSION,
            (true, false) => SHARDED_VERSION,
        }
    }

    /// The name without the extension: what the file is called once it is attached.
    pub fn alias(&self) -> String {
        self.to_string().trim_end_matches(EXTENSION).to_owned()
    }
}

/// The time in a name, in seconds since 1970 UTC.
pub(crate) fn parse_time(text: &str) -> Option<i64> {
    let time = jiff::civil::DateTime::strptime(TIME_FORMAT, text).ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second())
}

impl fmt::Display for SegmentName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Sequences take 12 digits: a thousand snapshots a second reach the 13th after 30 years.
        write!(
            formatter,
            "{}-p{:03}-{:010}-{:012}-{:012}-{}",
            self.level.as_str(),
            self.partition,
            self.epoch_s,
            self.first_sequence,
            self.last_sequence,
            Timestamp::from_second(self.first_stored_s)
                .unwrap_or(Timestamp::UNIX_EPOCH)
                .strftime(TIME_FORMAT),
        )?;
        // The names of the first did not say it.
        if self.schema_version > 1 || !self.shard.is_whole() {
            write!(formatter, "-v{}", self.schema_version)?;
        }
        if !self.shard.is_whole() {
            write!(formatter, "-{}", self.shard)?;
        }
        formatter.write_str(EXTENSION)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(level: Level, first_sequence: u64, last_sequence: u64) -> SegmentName {
        SegmentName {
            level,
            partition: 0,
            epoch_s: 1_763_712_000,
            first_sequence,
            last_sequence,
            first_stored_s: 1_763_713_800,
            schema_version: 2,
            shard: Shard::WHOLE,
        }
    }

    #[test]
    fn a_name_reads_back_as_itself() {
        let text = "fresh-p000-1763712000-000000000001-000000000050-20251121T083000Z-v2.duckdb";
        assert_eq!(name(Level::Fresh, 1, 50).to_string(), text);
        assert_eq!(SegmentName::parse(text), Some(name(Level::Fresh, 1, 50)));
        let first_version = SegmentName { schema_version: 1, ..name(Level::Fresh, 1, 50) };
        assert_eq!(SegmentName::parse(&text.replace("-v2", "")), Some(first_version));
        let damaged = format!("{text}.damaged");
        assert_eq!(first_version.damaged_file_name(), damaged.replace("-v2", ""));
        assert_eq!(SegmentName::parse_damaged(&damaged), Some(name(Level::Fresh, 1, 50)));
        assert_eq!((SegmentName::parse(&damaged), SegmentName::parse_damaged(text)), (None, None));
    }

    #[test]
    fn other_files_are_no_segments() {
        let good = "fresh-p000-1763712000-000000000001-000000000050-20251121T083000Z.duckdb";
        for file_name in [
            "attach.sql".to_owned(),
            "lock".to_owned(),
            String::new(),
            format!("{good}.tmp"),
            format!("{good}.wal"),
            format!("x{good}"),
            good.replace("fresh", "week"),
            good.replace("p000", "p0"),
            good.replace("p000", "p+00"),
            good.replace("000000000001", "1"),
            good.replace("000000000001", "000000000000"),
            good.replace("000000000001", "000000000051"),
            good.replace("20251121T083000Z", "20251321T083000Z"),
            good.replace("20251121T083000Z", "20251121T083000"),
            good.replace(".duckdb", "-1.duckdb"),
            good.replace(".duckdb", "-v1.duckdb"),
            good.replace(".duckdb", "-v2-v2.duckdb"),
        ] {
            assert_eq!(SegmentName::parse(&file_name), None, "{file_name:?}");
        }
    }

    #[test]
    fn a_shard_stands_behind_the_version_of_those_that_may_have_one() {
        let text = "hour-p000-1763712000-000000000001-000000000050-20251121T083000Z-v11-03of08.duckdb";
        let shard = Shard::new(2, 8).unwrap();
        let divided = SegmentName { schema_version: 11, shard, ..name(Level::Hour, 1, 50) };
        assert_eq!((divided.to_string(), SegmentName::parse(text)), (text.to_owned(), Some(divided)));
        assert_eq!(SegmentName::parse_damaged(&format!("{text}.damaged")), Some(divided));
        assert_eq!(divided.alias(), text.trim_end_matches(".duckdb"));
        for other in ["-v10-03of08", "-v11-3of8", "-v11-03of08-03of08", "-v11-01of01", "-03of08"] {
            assert_eq!(SegmentName::parse(&text.replace("-v11-03of08", other)), None, "{other}");
        }
    }

    #[test]
    fn a_later_version_is_known_whatever_stands_behind_it() {
        let whole = name(Level::Hour, 1, 50);
        let text = |end: &str| whole.to_string().replace("-v2", end);
        let newer = |end: &str| SegmentName::parse_newer(&text(end)).map(|name| name.schema_version);
        assert_eq!((newer("-v99"), newer("-v99-03of08"), newer("-v99-zstd")), (Some(99), Some(99), Some(99)));
        // As a version that writes none would see it.
        let next = format!("-v{}", SCHEMA_VERSION + 1);
        assert_eq!(newer(&next), Some(SCHEMA_VERSION + 1));
        let own = format!("-v{SHARDED_VERSION}-03of08");
        assert_eq!((newer("-v2"), newer(&own), newer("-v2-03of08")), (None, None, None));
        assert!(SegmentName::parse(&text(&own)).is_some());
    }

    #[test]
    fn what_is_written_again_has_the_version_of_its_kind() {
        let of = |schema_version, shard| {
            SegmentName { schema_version, shard, ..name(Level::Hour, 1, 50) }.written_again().schema_version
        };
        assert_eq!(of(SCHEMA_VERSION, Shard::WHOLE), SCHEMA_VERSION);
        assert_eq!(of(SHARDED_VERSION, Shard::new(2, 8).unwrap()), SHARDED_VERSION);
        assert_eq!(of(2, Shard::WHOLE), EVENTS_SINCE_VERSION - 1);
    }

    proptest! {
        #[test]
        fn any_name_reads_back(level in 0_usize..5, partition: u32, epoch_s in 0_i64..9_999_999_999,
            first_sequence in 1_u64..u64::MAX / 2, more: u32, first_stored_s in 0_i64..200_000_000_000, schema_version: u32,
            count in 0_u32..7, number: u8) {
            let last_sequence = first_sequence + u64::from(more);
            let level = Level::ALL[level];
            let count = if schema_version < SHARDS_SINCE_VERSION { 1 } else { 1 << count };
            let shard = Shard::new(number % count, count).unwrap();
            let name = SegmentName {
                level, partition, epoch_s, first_sequence, last_sequence, first_stored_s, schema_version, shard
            };
            prop_assert_eq!(SegmentName::parse(&name.to_string()), Some(name));
        }

        #[test]
        fn any_text_is_refused_or_reads_back(text in "(fresh|hour)-p[0-9]{0,4}(-[0-9]{0,13}){3}-[0-9TZ]{0,17}(-v[0-9]{0,3})?(-[0-9]{1,2}of[0-9]{1,2})?\\.duckdb") {
            if let Some(name) = SegmentName::parse(&text) {
                prop_assert_eq!(name.to_string(), text);
            }
        }
    }
}
