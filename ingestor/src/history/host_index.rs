//! Which segments hold which host, so that no question looks at every host of every segment.
//!
//! It is made anew when segments come or go, from the one before: only the hosts of these segments change. Nearly always the
//! segments of a host follow each other in time, and a moment is found among them by bisection. Where its clock was set
//! back, or two segments have the same time, they are looked at one by one.

use std::{
    collections::{HashMap, HashSet},
    ptr,
    sync::Arc,
};

use fleetps_nats::{HostName, model::staleness::silent_after_ms};

use super::{KeptSince, Span, kept::kept};
use crate::catalog::{HostNames, HostRange, HostRanges, SegmentIndex};

/// The segments of the history, and which hosts are in them.
#[derive(Debug, Clone, Default)]
pub(super) struct HostIndex {
    /// In the order of the stream.
    segments: Vec<Arc<SegmentIndex>>,
    hosts: HashMap<Arc<HostName>, Arc<SegmentsOfHost>>,
    kept: KeptSince,
}

/// The segments with anything of a host, in the order of the stream.
#[derive(Debug, Clone, Default)]
struct SegmentsOfHost {
    all: Vec<Held>,
    /// Those with process tables, with the times of these.
    tables: Vec<Held>,
    /// Whether each of `all` ends before the next begins.
    is_ordered: bool,
}

/// What a segment holds of a host.
#[derive(Debug, Clone)]
pub(super) struct Held {
    segment: Arc<SegmentIndex>,
    /// When it was captured.
    pub(super) range: HostRange,
}

impl Held {
    /// The segment that holds it.
    pub(super) fn segment(&self) -> &SegmentIndex {
        &self.segment
    }
}

/// Segments that were chosen, by their addresses.
#[derive(Default)]
struct Chosen(HashSet<*const SegmentIndex>);

impl Chosen {
    fn add<'a>(&mut self, held: impl IntoIterator<Item = &'a Held>) {
        self.0.extend(held.into_iter().map(|held| Arc::as_ptr(&held.segment)));
    }
}

impl HostIndex {
    /// The index of these segments, which are in the order of the stream.
    pub(super) fn with(&self, segments: Vec<Arc<SegmentIndex>>) -> Self {
        let places: HashMap<*const SegmentIndex, usize> =
            segments.iter().enumerate().map(|(place, segment)| (Arc::as_ptr(segment), place)).collect();
        let known: HashSet<*const SegmentIndex> = self.segments.iter().map(Arc::as_ptr).collect();
        let is_before = |(before, after): (_, _)| Arc::ptr_eq(before, after);
        // A fresh segment comes last, and leaves everything before it in its order.
        let is_longer =
            self.segments.len() <= segments.len() && self.segments.iter().zip(&segments).all(is_before);
        let gone = self.segments.iter().filter(|segment| !places.contains_key(&Arc::as_ptr(segment)));
        let new = segments.iter().filter(|segment| !known.contains(&Arc::as_ptr(segment)));
        let mut hosts = self.hosts.clone();
        let mut changed: HashMap<&Arc<HostName>, Vec<(&Arc<SegmentIndex>, HostRanges)>> = HashMap::new();
        for segment in gone {
            for (host, _) in segment.hosts() {
                changed.entry(host).or_default();
            }
        }
        for segment in new {
            for (host, ranges) in segment.hosts() {
                changed.entry(host).or_default().push((segment, *ranges));
            }
        }
        for (host, new) in changed {
            let before = self.hosts.get(host).map(Arc::as_ref).cloned().unwrap_or_default();
            let after = before.with(&new, (!is_longer).then_some(&places));
            if after.all.is_empty() {
                hosts.remove(host);
            } else {
                hosts.insert(Arc::clone(host), Arc::new(after));
            }
        }
        let kept = kept(&segments);
        Self { segments, hosts, kept }
    }

    /// Every segment, in the order of the stream.
    pub(super) fn segments(&self) -> &[Arc<SegmentIndex>] {
        &self.segments
    }

    /// The names of all hosts.
    pub(super) fn names(&self) -> HostNames {
        HostNames::of(self.hosts.keys())
    }

    /// Since when the past is kept at which resolution.
    pub(super) fn kept(&self) -> KeptSince {
        self.kept
    }

    /// What segments have of a host, in the order of the stream.
    pub(super) fn of_host(&self, host: &HostName) -> &[Held] {
        self.hosts.get(host).map_or(&[], |of_host| &of_host.all)
    }

    /// Which process tables they have of it.
    pub(super) fn tables_of(&self, host: &HostName) -> &[Held] {
        self.hosts.get(host).map_or(&[], |of_host| &of_host.tables)
    }

    /// When the last snapshot of `host` that is in a segment was captured.
    pub(super) fn last_us(&self, host: &HostName) -> Option<i64> {
        self.of_host(host).iter().map(|held| held.range.last_us).max()
    }

    /// Every host with the times of its first and its last snapshot, and the interval between two as it was set last.
    pub(super) fn heard(&self) -> impl Iterator<Item = (&HostName, i64, i64, u32)> {
        self.hosts.iter().filter_map(|(host, of_host)| {
            let first_us = of_host.all.iter().map(|held| held.range.first_us).min()?;
            let last = of_host.all.iter().max_by_key(|held| held.range.last_us)?;
            Some((host.as_ref(), first_us, last.range.last_us, last.range.interval_ms))
        })
    }

    /// The segments with snapshots of `host`, or of any host, from around `span` ([`SegmentIndex::overlaps`]).
    pub(super) fn overlapping(&self, host: Option<&HostName>, span: Span) -> Vec<&SegmentIndex> {
        match host {
            Some(host) => {
                let held = self.of_host(host).iter().filter(|held| held.range.overlaps(span));
                held.map(Held::segment).collect()
            }
            None => {
                let all = self.segments.iter().map(Arc::as_ref);
                all.filter(|segment| segment.overlaps(None, span)).collect()
            }
        }
    }

    /// The segments with samples of `host`, or of any, from within `span`, and for each host that with its last sample before
    /// and that with its first one after.
    pub(super) fn around(&self, host: Option<&HostName>, span: Span) -> Vec<&SegmentIndex> {
        let mut chosen = Chosen::default();
        match host {
            Some(host) => {
                self.hosts.get(host).into_iter().for_each(|of_host| of_host.around(span, &mut chosen))
            }
            None => {
                let all = self.overlapping(None, span);
                chosen.0.extend(all.into_iter().map(ptr::from_ref));
                self.hosts.values().for_each(|of_host| of_host.before_and_after(span, &mut chosen));
            }
        }
        self.chosen(&chosen)
    }

    /// The segments with the last two process tables of each host up to a moment. Where the last one lies too long before it
    /// for the host not to be silent, or in the same segment as the one before it, that segment alone.
    pub(super) fn lately(&self, at_us: i64) -> Vec<&SegmentIndex> {
        let mut chosen = Chosen::default();
        self.hosts.values().for_each(|of_host| of_host.lately(at_us, &mut chosen));
        self.chosen(&chosen)
    }

    fn chosen(&self, chosen: &Chosen) -> Vec<&SegmentIndex> {
        let all = self.segments.iter().filter(|segment| chosen.0.contains(&Arc::as_ptr(segment)));
        all.map(Arc::as_ref).collect()
    }
}

impl SegmentsOfHost {
    /// The same with what is `new`, at its end; or where there are `places`, of those segments that have one, in this order.
    fn with(
        mut self,
        new: &[(&Arc<SegmentIndex>, HostRanges)],
        places: Option<&HashMap<*const SegmentIndex, usize>>,
    ) -> Self {
        let held = |segment: &Arc<SegmentIndex>, range| Held { segment: Arc::clone(segment), range };
        // Exactly: there may be a million of them in all.
        self.all.reserve_exact(new.len());
        self.tables.reserve_exact(new.iter().filter(|(_, ranges)| ranges.tables.is_some()).count());
        self.all.extend(new.iter().map(|(segment, ranges)| held(segment, ranges.all)));
        self.tables.extend(new.iter().filter_map(|(segment, ranges)| Some(held(segment, ranges.tables?))));
        if let Some(places) = places {
            let place = |held: &Held| places.get(&Arc::as_ptr(&held.segment)).copied();
            for of_host in [&mut self.all, &mut self.tables] {
                of_host.retain(|held| place(held).is_some());
                of_host.sort_by_cached_key(place);
            }
        }
        self.is_ordered = self.all.is_sorted_by(|before, next| before.range.last_us < next.range.first_us);
        self
    }

    /// Those with samples from within `span`, the one with the last before and the one with the first after.
    fn around(&self, span: Span, chosen: &mut Chosen) {
        chosen.add(self.all.iter().filter(|held| held.range.overlaps(span)));
        self.before_and_after(span, chosen);
    }

    /// The segment with the last sample before `span` and the one with the first after, where no segment that overlaps it
    /// has them.
    fn before_and_after(&self, span: Span, chosen: &mut Chosen) {
        if !self.is_ordered || span.from_us > span.to_us {
            return self.before_and_after_one_by_one(span, chosen);
        }
        let begin = self.all.partition_point(|held| held.range.last_us < span.from_us);
        let end = self.all.partition_point(|held| held.range.first_us < span.to_us).max(begin);
        let overlapping = self.all.get(begin..end).unwrap_or_default();
        if overlapping.first().is_none_or(|held| held.range.first_us >= span.from_us) {
            chosen.add(begin.checked_sub(1).and_then(|place| self.all.get(place)));
        }
        if overlapping.last().is_none_or(|held| held.range.last_us < span.to_us) {
            chosen.add(self.all.get(end));
        }
    }

    fn before_and_after_one_by_one(&self, span: Span, chosen: &mut Chosen) {
        let overlapping = || self.all.iter().map(|held| held.range).filter(|range| range.overlaps(span));
        // One that overlaps may have a sample before as well; but where the clock was set, another may have a later one.
        let known_before =
            overlapping().map(|range| range.first_us).filter(|first_us| *first_us < span.from_us);
        let known_before = known_before.max().unwrap_or(i64::MIN);
        let is_before = |held: &&Held| held.range.last_us < span.from_us && held.range.last_us > known_before;
        chosen.add(self.all.iter().filter(is_before).max_by_key(|held| held.range.last_us));
        let known_after = overlapping().map(|range| range.last_us).filter(|last_us| *last_us >= span.to_us);
        let known_after = known_after.min().unwrap_or(i64::MAX);
        let is_after = |held: &&Held| held.range.first_us >= span.to_us && held.range.first_us < known_after;
        chosen.add(self.all.iter().filter(is_after).min_by_key(|held| held.range.first_us));
    }

    /// Those with the last two process tables up to a moment. Where clocks were set, also those that reach beyond it: where in
    /// them the last one lies is unknown.
    fn lately(&self, at_us: i64, chosen: &mut Chosen) {
        let is_beyond = |held: &&Held| held.range.last_us > at_us;
        if self.is_ordered {
            // The last has the last table, because it has one at or before the moment.
            let end = self.tables.partition_point(|held| held.range.first_us <= at_us);
            let before = self.tables.get(..end).unwrap_or_default();
            let count = if before.last().is_some_and(|held| held.has_pair_at(at_us)) { 1 } else { 2 };
            return chosen.add(before.iter().rev().take(count));
        }
        let mut before: Vec<&Held> = self.tables.iter().filter(|held| held.range.first_us <= at_us).collect();
        before.sort_by_key(|held| std::cmp::Reverse(held.range.last_us));
        let beyond = before.iter().take_while(|held| is_beyond(held)).count();
        chosen.add(before.into_iter().take(beyond + 2));
    }
}

impl Held {
    /// Whether the last table at or before a moment is not the first here, if its host is not silent then. Where the
    /// interval became shorter within the segment, the table before may be missed: then that one table has no rates.
    fn has_pair_at(&self, at_us: i64) -> bool {
        let HostRange { first_us, interval_ms, .. } = self.range;
        let silent_after_ms = silent_after_ms(interval_ms, self.segment.resolution().spacing());
        at_us.saturating_sub(first_us) > silent_after_ms.saturating_mul(1000)
    }
}

#[cfg(test)]
#[path = "host_index_tests.rs"]
mod tests;
