//! Which segments of a folder are read: a pure function of their names.
//!
//! A segment is covered where others with a wider range of the stream, or a later form of the same range, have all its
//! hosts. A merge that divides its sources by hosts gives a segment for each shard, one after the other. So a crash may leave
//! some of these beside all of the sources. Where the sources are whole, they are read, and the merge is done again. Where
//! they are not, the merge was done: a shard is missing since, and the sources are on their way out.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{Level, SegmentName, Shard};

/// The segments of a folder, each list in the order of the stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// What is read: together, every row once.
    pub(crate) current: Vec<SegmentName>,
    /// What must not be read, because others have all its rows.
    pub(crate) covered: Vec<SegmentName>,
    /// What must not be read, because others have some of its rows. The rest of them is nowhere else.
    pub(crate) contested: Vec<SegmentName>,
}

impl Resolved {
    /// Sorts out which of these segments are read.
    pub(crate) fn of(mut names: Vec<SegmentName>) -> Self {
        sort(&mut names);
        let mut resolved = Self { covered: take_undone(&mut names), ..Self::default() };
        let mut read = Read::default();
        for name in names {
            let list = match read.cover(&name) {
                Cover::Nothing => {
                    read.add(&name);
                    &mut resolved.current
                }
                Cover::Part => &mut resolved.contested,
                Cover::All => &mut resolved.covered,
            };
            list.push(name);
        }
        sort(&mut resolved.covered);
        resolved
    }
}

/// How much of a segment others hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cover {
    Nothing,
    Part,
    All,
}

/// How far the segments that are read reach.
struct Read {
    numbering: Option<(u32, i64)>,
    /// The last sequence of each of the smallest shards.
    to: [u64; Shard::MAX_COUNT as usize],
}

impl Default for Read {
    fn default() -> Self {
        Self { numbering: None, to: [0; Shard::MAX_COUNT as usize] }
    }
}

impl Read {
    /// How much of `name` they hold, of which none begins behind it.
    fn cover(&self, name: &SegmentName) -> Cover {
        if self.numbering != Some(name.numbering()) {
            return Cover::Nothing;
        }
        let (mut is_held, mut is_missing) = (false, false);
        for to in (0..).zip(&self.to).filter(|(place, _)| name.shard.has_bit(*place)).map(|(_, to)| *to) {
            is_held |= name.first_sequence <= to;
            is_missing |= to < name.last_sequence;
        }
        match (is_held, is_missing) {
            (false, _) => Cover::Nothing,
            (true, true) => Cover::Part,
            (true, false) => Cover::All,
        }
    }

    fn add(&mut self, name: &SegmentName) {
        if self.numbering != Some(name.numbering()) {
            *self = Self { numbering: Some(name.numbering()), ..Self::default() };
        }
        let of_name = (0..).zip(&mut self.to).filter(|(place, _)| name.shard.has_bit(*place));
        of_name.for_each(|(_, to)| *to = name.last_sequence.max(*to));
    }
}

/// In the order of the stream. Of two with the same beginning, the wider comes first and covers the other; of the same
/// range, the later level; of one level, the rewritten one; then the one with more hosts.
fn sort(names: &mut [SegmentName]) {
    names.sort_unstable_by_key(|name| {
        let replaces = Reverse((name.last_sequence, name.level, name.first_stored_s));
        (name.numbering(), name.first_sequence, replaces, name.shard)
    });
}

/// Takes out of `names`, which are sorted, what merges left that divided and were broken off.
fn take_undone(names: &mut Vec<SegmentName>) -> Vec<SegmentName> {
    // Only such merges make several hours of fresh segments.
    let mut merges: BTreeMap<_, Vec<SegmentName>> = BTreeMap::new();
    for name in names.iter().filter(|name| name.level == Level::Hour && !name.shard.is_whole()) {
        // Of one inside the other, the inner one comes first: what is left of it counts for the other.
        let sequences = name.last_sequence - name.first_sequence;
        let place =
            (name.numbering(), sequences, name.first_sequence, name.first_stored_s, name.shard.count());
        merges.entry(place).or_default().push(*name);
    }
    let mut undone = Vec::new();
    for made in merges.into_values() {
        if is_undone(&made, names) {
            names.retain(|name| !made.contains(name));
            undone.extend(made);
        }
    }
    undone
}

/// Whether a merge that made these shards did not make the others, and everything is there without them.
fn is_undone(made: &[SegmentName], names: &[SegmentName]) -> bool {
    let Some(first) = made.first() else { return false };
    if made.len() == usize::from(first.shard.count()) {
        return false;
    }
    // Each of them may have been merged further, or written again, since.
    let later =
        || names.iter().filter(|name| name.shard.count() == first.shard.count() && name.reaches_over(first));
    let is_done = later().any(|name| name.level > Level::Hour)
        || later().fold(0, |bits, name| bits | name.shard.bits()) == u64::MAX;
    let others: Vec<_> = names.iter().filter(|name| name.touches(first) && !made.contains(name)).collect();
    !is_done && are_whole(&others, first)
}

/// Whether `others`, which are sorted, have every host of every sequence in the range of `merged`.
fn are_whole(others: &[&SegmentName], merged: &SegmentName) -> bool {
    (0..Shard::MAX_COUNT).all(|place| {
        let of_place = others.iter().filter(|other| other.shard.has_bit(place));
        let next = of_place.fold(merged.first_sequence, |next, other| {
            let goes_on = other.first_sequence <= next;
            if goes_on { next.max(other.last_sequence.saturating_add(1)) } else { next }
        });
        next > merged.last_sequence
    })
}

#[cfg(test)]
#[path = "current_tests.rs"]
mod tests;
