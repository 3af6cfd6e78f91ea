//! The name of an audit segment, which says which entries it holds.
//!
//! `audit-<epoch>-<first sequence>-<last sequence>-<time of the first>-v1.duckdb`, as in
//! `audit-1763712000-000000000001-000000000050-20261121T083000Z-v1.duckdb`. Anything that does not read back as exactly
//! itself is none.

use std::{cmp::Reverse, fmt};

use jiff::Timestamp;

use crate::segment::{TIME_FORMAT, parse_time};

const BEGINNING: &str = "audit-";
/// The suffix of names, with the first schema version.
const END: &str = "-v1.duckdb";
/// The suffix of a quarantined segment's name.
const DAMAGED: &str = ".damaged";

/// Which entries an audit segment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AuditName {
    /// When the numbering of the stream began, in seconds since 1970 UTC.
    pub epoch_s: i64,
    /// The first sequence in it.
    pub first_sequence: u64,
    /// The last sequence in it.
    pub last_sequence: u64,
    /// When the first entry was written, in seconds since 1970 UTC.
    pub first_at_s: i64,
}

impl AuditName {
    /// Reads the name of a file; `None` when it is not an audit segment's.
    pub fn parse(file_name: &str) -> Option<Self> {
        let mut parts = file_name.strip_prefix(BEGINNING)?.strip_suffix(END)?.split('-');
        let name = Self {
            epoch_s: parts.next()?.parse().ok()?,
            first_sequence: parts.next()?.parse().ok()?,
            last_sequence: parts.next()?.parse().ok()?,
            first_at_s: parse_time(parts.next()?)?,
        };
        let ordered = name.first_sequence >= 1 && name.first_sequence <= name.last_sequence;
        (ordered && name.to_string() == file_name).then_some(name)
    }

    /// Reads the name of a segment that a later version wrote; `None` when it is none. More may be said behind its version.
    pub fn parse_newer(file_name: &str) -> Option<Self> {
        let stem = file_name.strip_prefix(BEGINNING)?.strip_suffix(".duckdb")?;
        let mut parts = stem.split('-');
        let first_four: Vec<&str> = parts.by_ref().take(4).collect();
        let version: u32 = parts.next()?.strip_prefix('v')?.parse().ok()?;
        let name = Self::parse(&format!("{BEGINNING}{}{END}", first_four.join("-")))?;
        (version > 1).then_some(name)
    }

    /// Reads the name of the file of a segment that was found damaged.
    pub fn parse_damaged(file_name: &str) -> Option<Self> {
        Self::parse(file_name.strip_suffix(DAMAGED)?)
    }

    /// The file name after quarantine.
    pub fn damaged_file_name(&self) -> String {
        format!("{self}{DAMAGED}")
    }

    /// The name of the attached database.
    pub fn alias(&self) -> String {
        self.to_string().trim_end_matches(".duckdb").to_owned()
    }

    /// The name of what `sources`, neighbours in order, become together.
    pub(crate) fn merged(sources: &[Self]) -> Option<Self> {
        let last_sequence = sources.last()?.last_sequence;
        Some(Self { last_sequence, ..*sources.first()? })
    }

    /// Whether `others`, in the order of the chain, together hold all that this one does.
    pub(crate) fn is_replaced_by(&self, others: &[Self]) -> bool {
        let of_it = others.iter().filter(|other| other.epoch_s == self.epoch_s);
        let behind = of_it.fold(self.first_sequence, |next, other| match other.first_sequence <= next {
            true => next.max(other.last_sequence + 1),
            false => next,
        });
        behind > self.last_sequence
    }

    /// Whether this comes before `other` in the order of the chain.
    pub(crate) fn is_before(&self, other: &Self) -> bool {
        (self.epoch_s, self.first_sequence) < (other.epoch_s, other.first_sequence)
    }

    /// Whether `next` goes on where this one ends.
    pub(crate) fn is_followed_by(&self, next: &Self) -> bool {
        self.epoch_s == next.epoch_s && self.last_sequence + 1 == next.first_sequence
    }
}

impl fmt::Display for AuditName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = Timestamp::from_second(self.first_at_s).unwrap_or(Timestamp::UNIX_EPOCH);
        let Self { epoch_s, first_sequence, last_sequence, first_at_s: _ } = self;
        let time = time.strftime(TIME_FORMAT);
        write!(formatter, "{BEGINNING}{epoch_s:010}-{first_sequence:012}-{last_sequence:012}-{time}{END}")
    }
}

/// Puts names into the order of the chain and takes out those that lie inside another. Returns (current, covered).
pub(super) fn current_and_covered(mut names: Vec<AuditName>) -> (Vec<AuditName>, Vec<AuditName>) {
    names.sort_unstable_by_key(|name| (name.epoch_s, name.first_sequence, Reverse(name.last_sequence)));
    let mut covered_to = None;
    names.into_iter().partition(|name| {
        let is_covered =
            covered_to.is_some_and(|(epoch_s, last)| epoch_s == name.epoch_s && name.last_sequence <= last);
        if !is_covered {
            covered_to = Some((name.epoch_s, name.last_sequence));
        }
        !is_covered
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(first_sequence: u64, last_sequence: u64) -> AuditName {
        AuditName { epoch_s: 1_763_712_000, first_sequence, last_sequence, first_at_s: 1_763_713_800 }
    }

    #[test]
    fn a_name_reads_back_as_itself_and_nothing_else_is_one() {
        let text = "audit-1763712000-000000000001-000000000050-20251121T083000Z-v1.duckdb";
        assert_eq!((name(1, 50).to_string().as_str(), AuditName::parse(text)), (text, Some(name(1, 50))));
        for other in [
            format!("{text}.tmp"),
            text.replace("-v1", ""),
            text.replace("000000000001", "1"),
            text.replace("000000000001", "000000000051"),
            text.replace("audit", "fresh"),
        ] {
            assert_eq!(AuditName::parse(&other), None, "{other}");
        }
    }

    #[test]
    fn a_damaged_one_has_its_place_to_itself_until_others_hold_all_of_it() {
        let damaged = format!("{}.damaged", name(4, 6));
        assert_eq!(AuditName::parse_damaged(&damaged), Some(name(4, 6)));
        assert_eq!((name(4, 6).damaged_file_name(), AuditName::parse(&damaged)), (damaged, None));
        let other_epoch = AuditName { epoch_s: 1, ..name(4, 6) };
        for (others, expected) in [
            (vec![], false),
            (vec![name(1, 3), name(7, 9)], false),
            (vec![name(1, 3), name(4, 5), name(7, 9)], false),
            (vec![name(1, 3), name(5, 6)], false),
            (vec![other_epoch], false),
            (vec![name(4, 6)], true),
            (vec![name(1, 4), name(5, 5), name(6, 9)], true),
        ] {
            assert_eq!(name(4, 6).is_replaced_by(&others), expected, "{others:?}");
        }
    }

    #[test]
    fn a_merged_segment_covers_what_it_was_merged_from() {
        let merged = AuditName::merged(&[name(1, 5), name(6, 9)]).unwrap();
        let other_epoch = AuditName { epoch_s: 1, ..name(6, 9) };
        let (current, covered) =
            current_and_covered(vec![name(6, 9), other_epoch, name(1, 5), merged, name(10, 10)]);
        assert_eq!(current, [other_epoch, merged, name(10, 10)]);
        assert_eq!(covered, [name(1, 5), name(6, 9)]);
    }
}
