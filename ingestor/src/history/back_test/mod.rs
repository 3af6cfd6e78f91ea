//! What a rule of alerts would have said, had there been it: the evaluator's own function over the snapshots that are kept.
//!
//! Two hosts are evaluated at a time, each from a little before the time that is asked about, so that what lasts is known
//! to last. Where one snapshot a minute is kept, the rule sees one a minute; where only hours are, it sees nothing: the answer
//! says how finely the past was kept. Three things differ from the evaluation of the stream. Snapshots come in the order of
//! their capture, and by that time a host is silent. That the broker or the ingestor was away is taken for silence of hosts.
//! The bound of instances counts for each host.
//!
//! **What is read** ([`host`]). A rule about hosts needs no processes. One about a number that the spans of processes have is
//! worked out from these ([`sums`]), of the processes that may matter ([`relevant`]): single ones only if they were ever above the
//! value at which an alert is cleared, sums only if the greatest values of an hour are beyond the threshold. Anything else, such as
//! rates and the parent's pid, lays out every process of every snapshot.

mod host;
mod relevant;
mod sums;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap},
    panic::resume_unwind,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use fleetps_nats::HostName;

use self::host::OfHost;
use super::{Event, EventKind, EventQuery, History, HistoryError, Resolution, Span, reading::coarsest};
use crate::alerts::{Change, Culprit, Key, Lasting, Measure, Rule};

/// Episodes that are named, of the first rule: more than anybody looks at.
pub const MAX_EPISODES: usize = 1_000;
/// Restart loops that are looked at.
const MAX_LOOPS: usize = 20_000;
/// As long as flapping is looked back at, at least, a rule is evaluated before the time that is asked about, in µs: an hour.
const BEFORE_US: i64 = 3_600_000_000;
/// The time that a forecast is made of, and in which what is always there is learned, in µs: a week.
const LEARNED_US: i64 = 7 * 24 * 3_600_000_000;

/// What rules would have said.
#[derive(Debug, Clone, PartialEq)]
pub struct BackTest {
    /// When the first rule would have had an alert, in the order of time; the first [`MAX_EPISODES`].
    pub episodes: Vec<Episode>,
    /// How many there are.
    pub episode_count: u64,
    /// How often each rule would have told somebody: alerts that are raised, and those that are told to flap.
    pub told: Vec<u64>,
    /// Hosts that were evaluated.
    pub hosts: u64,
    /// Snapshots of them.
    pub snapshots: u64,
    /// How finely the time was kept; the coarsest of it.
    pub resolution: Resolution,
}

/// A time in which an alert would have been open.
#[derive(Debug, Clone, PartialEq)]
pub struct Episode {
    /// The host.
    pub host: HostName,
    /// What on it.
    pub key: Key,
    /// When it was raised, in µs since 1970 UTC.
    pub from_us: i64,
    /// When and why it ended; absent where it was open at the end of the time.
    pub end: Option<(i64, Change)>,
    /// The value that raised it.
    pub value: Option<f64>,
    /// The processes with the largest parts in it.
    pub culprits: Vec<Culprit>,
}

impl History {
    /// What `rules` would have said within `span` of the hosts for which `is_for` says so. They measure the same, over the same,
    /// with the same filter and thresholds; how long it lasts may differ. Episodes are of the first.
    ///
    /// # Errors
    /// When the history cannot be read, or it takes too long.
    pub fn back_test(
        &self,
        rules: &[Rule],
        span: Span,
        is_for: &(dyn Fn(&HostName) -> bool + Sync),
    ) -> Result<BackTest, HistoryError> {
        self.back_test_by(rules, span, is_for, true)
    }

    /// The same; with `by_spans` from the spans of processes where these say it, otherwise from whole snapshots.
    fn back_test_by(
        &self,
        rules: &[Rule],
        span: Span,
        is_for: &(dyn Fn(&HostName) -> bool + Sync),
        by_spans: bool,
    ) -> Result<BackTest, HistoryError> {
        let Some(first) = rules.first() else { return Ok(BackTest::none(0)) };
        let loops = match first.measure {
            Measure::RestartLoop => self.loops(span)?,
            _ => HashMap::new(),
        };
        let before_us = rules.iter().map(lasts_us).max().unwrap_or_default().max(BEFORE_US);
        let read = Span { from_us: span.from_us.saturating_sub(before_us), to_us: span.to_us };
        let (hosts, resolution) = self.ask(|reading| {
            let segments = reading.overlapping(None, read);
            let hosts =
                segments.iter().flat_map(|segment| segment.hosts().iter().map(|(host, _)| host.as_ref()));
            let hosts: BTreeSet<&HostName> =
                hosts.filter(|host| reading.scope.sees(host) && is_for(host)).collect();
            Ok((hosts.into_iter().cloned().collect::<Vec<_>>(), coarsest(&segments)))
        })?;
        let next = AtomicUsize::new(0);
        let test_some = || {
            let mut test = BackTest::none(rules.len());
            while let Some(host) = hosts.get(next.fetch_add(1, Ordering::Relaxed)) {
                let events = loops.get(host).map_or(&[][..], Vec::as_slice);
                let of_host = self.ask(|reading| {
                    let mut test = BackTest::none(rules.len());
                    let of_host = OfHost::new(reading, (first, rules), host, events, by_spans);
                    of_host.evaluate(read, span, &mut test)?;
                    Ok(test)
                });
                // What fails for one host is the answer; no further one is begun.
                test.add(of_host.inspect_err(|_| next.store(hosts.len(), Ordering::Relaxed))?);
            }
            Ok::<_, HistoryError>(test)
        };
        let mut test = thread::scope(|scope| {
            let other = scope.spawn(test_some);
            let mut test = test_some()?;
            test.add(other.join().unwrap_or_else(|panic| resume_unwind(panic))?);
            Ok::<_, HistoryError>(test)
        })?;
        test.resolution = resolution;
        test.episodes.sort_by(|a, b| (a.from_us, &a.host, &a.key).cmp(&(b.from_us, &b.host, &b.key)));
        test.episode_count = test.episodes.len() as u64;
        test.episodes.truncate(MAX_EPISODES);
        Ok(test)
    }

    /// The beginnings and ends of restart loops on each host, in the order of time.
    fn loops(&self, span: Span) -> Result<HashMap<HostName, Vec<Event>>, HistoryError> {
        let kinds = vec![EventKind::RestartLoop, EventKind::RestartLoopEnded];
        let mut of_host: HashMap<HostName, Vec<Event>> = HashMap::new();
        let found = self.events(&EventQuery { kinds, ..EventQuery::of(span, MAX_LOOPS) })?;
        for event in found.items.into_iter().rev() {
            of_host.entry(event.host.clone()).or_default().push(event);
        }
        Ok(of_host)
    }
}

impl BackTest {
    fn none(rules: usize) -> Self {
        Self {
            episodes: Vec::new(),
            episode_count: 0,
            told: vec![0; rules],
            hosts: 0,
            snapshots: 0,
            resolution: Resolution::Samples,
        }
    }

    /// Adds what was found of other hosts.
    fn add(&mut self, other: Self) {
        self.episodes.extend(other.episodes);
        self.told.iter_mut().zip(other.told).for_each(|(told, more)| *told += more);
        (self.hosts, self.snapshots) = (self.hosts + other.hosts, self.snapshots + other.snapshots);
    }
}

/// How far a rule looks back, in µs: as long as it must last, and as long as what is learned over days knows.
fn lasts_us(rule: &Rule) -> i64 {
    let is_learned = matches!(
        rule.measure,
        Measure::DiskFullIn | Measure::MemoryFullIn | Measure::Unusual | Measure::Gone
    );
    if is_learned {
        return LEARNED_US;
    }
    match rule.lasting {
        Lasting::For(length) => i64::try_from(length.as_micros()).unwrap_or(i64::MAX),
        Lasting::Samples { .. } => 0,
    }
}
