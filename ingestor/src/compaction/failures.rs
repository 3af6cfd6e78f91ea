//! Plans that failed, each with a wait of its own, so that one that fails always stops none of the others.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::plan::{Form, Plan};
use crate::{
    catalog::SegmentMeta,
    segment::{Level, SegmentName},
};

/// The first wait; it doubles. Short enough to use new space or memory soon.
const FIRST_RETRY: Duration = Duration::from_secs(60);
/// The longest wait: a failing plan takes a processor for at most a minute of this.
const MAX_RETRY: Duration = Duration::from_secs(15 * 60);

/// By what a plan makes and its first source: it may have got more sources by the next attempt.
#[derive(Debug, Default)]
pub(super) struct Failures(HashMap<(Level, SegmentName), Failure>);

#[derive(Debug)]
struct Failure {
    sources: Vec<SegmentName>,
    is_merge: bool,
    error: String,
    retry_at: Instant,
    delay: Duration,
}

impl Failures {
    /// Notes that a plan failed.
    pub(super) fn add(&mut self, plan: &Plan, error: String, now: Instant) {
        let Some(first) = plan.sources.first() else { return };
        let key = (plan.level, first.name);
        let delay = self.0.get(&key).map_or(FIRST_RETRY, |before| (before.delay * 2).min(MAX_RETRY));
        let sources = plan.sources.iter().map(|source| source.name).collect();
        let is_merge = plan.form() == Form::Whole;
        self.0.insert(key, Failure { sources, is_merge, error, retry_at: now + delay, delay });
    }

    /// Forgets the plans of segments that are no longer among `segments`, so also those that succeeded.
    pub(super) fn forget_gone(&mut self, segments: &[SegmentMeta]) {
        self.0.retain(|_, failure| {
            failure.sources.iter().all(|source| segments.iter().any(|segment| segment.name == *source))
        });
    }

    /// `segments` without those whose merge failed and waits.
    pub(super) fn mergeable(&self, segments: &[SegmentMeta], now: Instant) -> Vec<SegmentMeta> {
        self.without(segments, now, true)
    }

    /// `segments` without those that could not be downsampled, which waits.
    pub(super) fn downsamplable(&self, segments: &[SegmentMeta], now: Instant) -> Vec<SegmentMeta> {
        self.without(segments, now, false)
    }

    fn without(&self, segments: &[SegmentMeta], now: Instant, is_merge: bool) -> Vec<SegmentMeta> {
        let waiting: Vec<_> = self
            .0
            .values()
            .filter(|failure| failure.is_merge == is_merge && failure.retry_at > now)
            .collect();
        let is_free =
            |segment: &&SegmentMeta| !waiting.iter().any(|failure| failure.sources.contains(&segment.name));
        segments.iter().filter(is_free).copied().collect()
    }

    /// The first source of each plan, and why it failed.
    pub(super) fn reasons(&self) -> Vec<(String, String)> {
        let mut reasons: Vec<_> =
            self.0.iter().map(|((_, first), failure)| (first.to_string(), failure.error.clone())).collect();
        reasons.sort_unstable();
        reasons
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::{SCHEMA_VERSION, Shard};

    fn segment(first_sequence: u64) -> SegmentMeta {
        let name = SegmentName {
            level: Level::Hour,
            partition: 0,
            epoch_s: 1,
            first_sequence,
            last_sequence: first_sequence,
            first_stored_s: 0,
            schema_version: SCHEMA_VERSION,
            shard: Shard::WHOLE,
        };
        SegmentMeta { name, rows: 1, bytes: 1 }
    }

    #[test]
    fn a_failing_plan_waits_longer_each_time_and_holds_up_no_other() {
        let all = [segment(1), segment(2), segment(3)];
        let plan = Plan::of(Level::Day, &all[..2]);
        let (mut failures, start) = (Failures::default(), Instant::now());
        let mut now = start;
        for delay_s in [60, 120, 240, 480, 900, 900] {
            failures.add(&plan, "no memory".to_owned(), now);
            assert_eq!(failures.mergeable(&all, now), all[2..]);
            // Less may be kept of them all the same.
            assert_eq!(failures.downsamplable(&all, now), all);
            now += Duration::from_secs(delay_s);
            assert_eq!(failures.mergeable(&all, now), all, "after {delay_s} s");
        }
        assert_eq!(failures.reasons(), [(all[0].name.to_string(), "no memory".to_owned())]);
        failures.forget_gone(&all[1..]);
        assert_eq!((failures.reasons(), failures.mergeable(&all, start)), (Vec::new(), all.to_vec()));
    }
}
