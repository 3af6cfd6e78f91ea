//! What a rule of alerts would have said, had there been it: the evaluator's own function over the snapshots that are kept.
//!
//! Hosts are evaluated one after the other, each from a little before the time that is asked about, so that what lasts is known
//! to last. Where one snapshot a minute is kept, the rule sees one a minute; where only hours are, it sees nothing: the answer
//! says how finely the past was kept. Three things differ from the evaluation of the stream. Snapshots come in the order of
//! their capture, and by that time a host is silent. That the broker or the ingestor was away is taken for silence of hosts.
//! The bound of instances counts for each host.
//!
//! **What is read.** A rule about hosts needs no processes. One about single processes above a threshold needs those that were
//! ever above the value at which an alert is cleared; the others raise nothing. Anything else lays out every process of every
//! snapshot.

use std::{collections::HashMap, sync::Arc};

use fleetps_nats::{HostName, Snapshot};

use super::{
    Event, EventKind, EventQuery, History, HistoryError, Resolution, Span,
    read_ahead::Wanted,
    reading::{Reading, coarsest},
    sample_index::SampleKind,
};
use crate::{
    alerts::{AlertChange, Change, Culprit, Evaluator, Key, Lasting, Measure, Over, Rule},
    catalog::SegmentIndex,
    events::{MessagePlace, StreamClock},
};

/// Episodes that are named, of the first rule: more than anybody looks at.
pub const MAX_EPISODES: usize = 1_000;
/// Restart loops that are looked at.
const MAX_LOOPS: usize = 20_000;
/// Snapshots that are read at a time: with 300 processes some 200,000 spans.
const TOGETHER: usize = 2_000;
/// As long as flapping is looked back at, at least, a rule is evaluated before the time that is asked about, in µs.
const BEFORE_US: i64 = 3_600_000_000;

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
        let Some(first) = rules.first() else { return Ok(BackTest::none(0)) };
        let loops = match first.measure {
            Measure::RestartLoop => self.loops(span)?,
            _ => HashMap::new(),
        };
        let before_us = rules.iter().map(lasts_us).max().unwrap_or_default().max(BEFORE_US);
        let read = Span { from_us: span.from_us.saturating_sub(before_us), to_us: span.to_us };
        self.ask(|reading| {
            let segments = reading.overlapping(None, read);
            let mut hosts: Vec<&HostName> =
                segments.iter().flat_map(|segment| segment.hosts().iter().map(|(host, _)| host)).collect();
            hosts.sort_unstable();
            hosts.dedup();
            let mut test = BackTest::none(rules.len());
            test.resolution = coarsest(&segments);
            for host in hosts.into_iter().filter(|host| reading.scope.sees(host) && is_for(host)) {
                let events = loops.get(host).map_or(&[][..], Vec::as_slice);
                OfHost::new(reading, (first, rules), host, events).evaluate(read, span, &mut test)?;
            }
            test.episodes.sort_by(|a, b| (a.from_us, &a.host, &a.key).cmp(&(b.from_us, &b.host, &b.key)));
            test.episode_count = test.episodes.len() as u64;
            test.episodes.truncate(MAX_EPISODES);
            Ok(test)
        })
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
}

/// How long it must last, in µs.
fn lasts_us(rule: &Rule) -> i64 {
    match rule.lasting {
        Lasting::For(length) => i64::try_from(length.as_micros()).unwrap_or(i64::MAX),
        Lasting::Samples { .. } => 0,
    }
}

/// The evaluation of one host.
struct OfHost<'a> {
    reading: &'a Reading<'a>,
    rules: &'a [Rule],
    first: &'a Rule,
    host: &'a HostName,
    /// The beginnings and ends of restart loops, in the order of time.
    loops: &'a [Event],
    evaluator: Evaluator,
    /// Counts what would be the messages of a stream.
    sequence: u64,
    /// The alerts that are open, of the first rule.
    open: HashMap<String, Episode>,
}

impl<'a> OfHost<'a> {
    fn new(
        reading: &'a Reading<'a>,
        (first, rules): (&'a Rule, &'a [Rule]),
        host: &'a HostName,
        loops: &'a [Event],
    ) -> Self {
        let mut evaluator = Evaluator::default();
        // Every revision is another rule; whose hosts they are was decided before.
        let numbered =
            |(number, rule): (usize, &Rule)| Rule { id: number.to_string(), groups: None, ..rule.clone() };
        evaluator.set_rules(rules.iter().enumerate().map(numbered).collect(), 0);
        Self { reading, rules, first, host, loops, evaluator, sequence: 0, open: HashMap::new() }
    }

    fn evaluate(mut self, read: Span, span: Span, test: &mut BackTest) -> Result<(), HistoryError> {
        let mut segments = self.reading.overlapping(Some(self.host), read);
        segments.sort_by_key(|segment| segment.range(self.host).map(|range| range.first_us));
        let mut snapshots = 0;
        for segment in segments {
            for part in self.parts(segment, read)? {
                self.reading.check()?;
                for snapshot in self.snapshots(segment, part)? {
                    snapshots += u64::from(span.contains(snapshot.captured_at_us));
                    self.take(Arc::new(snapshot), span, test);
                }
            }
        }
        if snapshots > 0 {
            (test.hosts, test.snapshots) = (test.hosts + 1, test.snapshots + snapshots);
        }
        self.pass_time(span.to_us, span, test);
        let open = std::mem::take(&mut self.open);
        test.episodes.extend(open.into_values());
        Ok(())
    }

    /// The times of [`TOGETHER`] snapshots each.
    fn parts(&self, segment: &SegmentIndex, read: Span) -> Result<Vec<(i64, i64)>, HistoryError> {
        let index = self.reading.sample_index(segment, self.host)?;
        let is_read = |captured_us: &i64| read.contains(*captured_us);
        let tables = index.all().iter().filter(|sample| SampleKind::WithTable.includes(sample));
        let times: Vec<i64> = tables.map(|sample| sample.captured_us).filter(is_read).collect();
        let ends = |part: &[i64]| Some((*part.first()?, *part.last()?));
        Ok(times.chunks(TOGETHER).filter_map(ends).collect())
    }

    fn snapshots(
        &self,
        segment: &SegmentIndex,
        part: (i64, i64),
    ) -> Result<impl Iterator<Item = Snapshot> + use<>, HistoryError> {
        let is_bare = matches!(
            self.first.measure,
            Measure::Host(_) | Measure::Disk | Measure::Silent | Measure::RestartLoop
        );
        let relevant = relevant(self.first).map(|condition| match self.known() {
            Some(known) => format!("{condition} OR {known}"),
            None => condition,
        });
        let filesystems = self.first.measure == Measure::Disk;
        let wanted = Wanted { filesystems, processes: !is_bare, relevant: relevant.as_deref() };
        self.reading.snapshots_between(segment, self.host, part, wanted)
    }

    /// The SQL condition of the processes of which something is remembered: their end is to be seen.
    fn known(&self) -> Option<String> {
        let known = self.evaluator.processes_of(self.host);
        let pair = |(pid, start): (u32, i64)| format!("({pid}, {start})");
        let pairs: Vec<String> = known.into_iter().map(pair).collect();
        (!pairs.is_empty()).then(|| format!("(pid, start_ticks) IN ({})", pairs.join(", ")))
    }

    fn take(&mut self, snapshot: Arc<Snapshot>, span: Span, test: &mut BackTest) {
        let at_us = snapshot.captured_at_us;
        self.pass_time(at_us, span, test);
        let (place, clock) = self.message(at_us);
        let changes = self.evaluator.snapshot(place, clock, self.host, &snapshot);
        self.note(changes, span, test);
        let due = self.loops.iter().take_while(|event| event.at_us <= at_us).count();
        let (events, rest) = self.loops.split_at(due);
        self.loops = rest;
        let changes = self.evaluator.events(place, events);
        self.note(changes, span, test);
    }

    /// Lets time pass until `until_us`, where it decides something before.
    fn pass_time(&mut self, until_us: i64, span: Span, test: &mut BackTest) {
        // Each rule may raise one alert of silence.
        for _ in 0..self.rules.len() {
            let Some(awaited_ms) = self.evaluator.awaited_ms() else { return };
            let at_us = awaited_ms.saturating_add(1_000).saturating_mul(1000);
            if at_us >= until_us {
                return;
            }
            let (place, clock) = self.message(at_us);
            let changes = self.evaluator.tick(place, clock);
            self.note(changes, span, test);
        }
    }

    /// The next message, at `at_us`.
    fn message(&mut self, at_us: i64) -> (MessagePlace, StreamClock) {
        self.sequence += 1;
        let place = MessagePlace { partition: 0, epoch_s: 0, sequence: self.sequence, stored_at_us: at_us };
        (place, StreamClock { now_ms: Some(at_us.div_euclid(1000)), counted_from_ms: None })
    }

    fn note(&mut self, changes: Vec<AlertChange>, span: Span, test: &mut BackTest) {
        for AlertChange { alert, change, at_us, value, culprits } in changes {
            let is_told = matches!(change, Change::Raised | Change::Flapping) && span.contains(at_us);
            if let Some(told) = alert.rule.parse().ok().and_then(|place: usize| test.told.get_mut(place)) {
                *told += u64::from(is_told);
            }
            if alert.rule != "0" {
                continue;
            }
            let (host, from_us) = (alert.host, alert.raised_at_us);
            match change {
                // One that flaps may be told only then.
                Change::Raised | Change::Flapping if !self.open.contains_key(&alert.id) => {
                    let episode = Episode { host, key: alert.key, from_us, end: None, value, culprits };
                    self.open.insert(alert.id, episode);
                }
                _ if change.is_end() => {
                    let ended = self.open.remove(&alert.id).filter(|_| at_us >= span.from_us);
                    test.episodes.extend(ended.map(|open| Episode { end: Some((at_us, change)), ..open }));
                }
                _ => {}
            }
        }
    }
}

/// The SQL condition of spans whose processes may have an alert; `None` where all have to be looked at.
fn relevant(rule: &Rule) -> Option<String> {
    let Measure::Process(figure) = rule.measure else { return None };
    let threshold = rule.threshold;
    let column = figure.own_column().filter(|_| rule.over == Over::Process && threshold.is_above)?;
    // As many digits as tell the number from any other. Figures are compared as they are stored.
    Some(format!("{column} > {:?}::DOUBLE", threshold.clear))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::Severity;

    #[test]
    fn only_processes_above_a_threshold_are_read_where_single_ones_are_measured() {
        let condition = |sentence| relevant(&Rule::parse("r", 0, Severity::Info, sentence).unwrap());
        assert_eq!(
            condition("cpu > 90% clear 80% over process").as_deref(),
            Some("cpu_percent > 80.0::DOUBLE")
        );
        for all in ["cpu > 90%", "cpu < 5 over process", "cpu > 90 over program", "read > 1M over process"] {
            assert_eq!(condition(all), None, "{all}");
        }
    }
}
