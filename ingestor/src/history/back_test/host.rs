//! The evaluation of one host: reads what a rule needs of the past, and hands it to the evaluator.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use askama::Template;
use fleetps_nats::{
    HostName, Snapshot,
    snapshot::{HostInfo, Process},
};

use super::{
    BackTest, Episode,
    sums::{SumQuery, Sums},
};
use crate::{
    alerts::{AlertChange, Change, Evaluator, Key, Measure, Rule, Values, key_of},
    catalog::SegmentIndex,
    events::{MessagePlace, StreamClock},
    filter::Fields,
    history::{
        Event, HistoryError, Span,
        read_ahead::{SpansAsked, Wanted},
        reading::Reading,
        sample_index::{SampleIndex, SampleKind, SampleRef},
    },
    template::render,
};

/// Snapshots that are read at a time: with 300 processes some 200,000 spans.
const TOGETHER: usize = 2_000;

/// The snapshots of a host without all of its processes.
#[derive(Template)]
#[template(path = "history/back_test/left_out.sql")]
struct LeftOutSql<'a> {
    host_sample: &'a str,
}

/// The evaluation of one host.
pub(super) struct OfHost<'a> {
    pub(super) reading: &'a Reading<'a>,
    rules: &'a [Rule],
    pub(super) first: &'a Rule,
    pub(super) host: &'a HostName,
    /// The beginnings and ends of restart loops, in the order of time.
    loops: &'a [Event],
    pub(super) evaluator: Evaluator,
    /// Counts what would be the messages of a stream.
    sequence: u64,
    /// The alerts that are open, of the first rule.
    open: HashMap<String, Episode>,
    /// What is asked of the spans of processes, where these say it.
    asked: Option<SumQuery>,
}

impl<'a> OfHost<'a> {
    pub(super) fn new(
        reading: &'a Reading<'a>,
        (first, rules): (&'a Rule, &'a [Rule]),
        host: &'a HostName,
        loops: &'a [Event],
        by_spans: bool,
    ) -> Self {
        let mut evaluator = Evaluator::default();
        // Every revision is another rule; whose hosts they are was decided before.
        let numbered =
            |(number, rule): (usize, &Rule)| Rule { id: number.to_string(), groups: None, ..rule.clone() };
        evaluator.set_rules(rules.iter().enumerate().map(numbered).collect(), 0);
        let asked = SumQuery::of(first).filter(|_| by_spans);
        Self { reading, rules, first, host, loops, evaluator, sequence: 0, open: HashMap::new(), asked }
    }

    pub(super) fn evaluate(
        mut self,
        read: Span,
        span: Span,
        test: &mut BackTest,
    ) -> Result<(), HistoryError> {
        let mut segments = self.reading.overlapping(Some(self.host), read);
        segments.sort_by_key(|segment| segment.range(self.host).map(|range| range.first_us));
        let asked = self.asked.take();
        let mut snapshots = 0;
        let reading = self.reading;
        for segment in segments {
            snapshots += reading
                .in_passing(|| self.take_segment(segment, asked.as_ref(), read, (span, &mut *test)))?;
        }
        if snapshots > 0 {
            (test.hosts, test.snapshots) = (test.hosts + 1, test.snapshots + snapshots as u64);
        }
        self.pass_time(span.to_us, span, test);
        let open = std::mem::take(&mut self.open);
        test.episodes.extend(open.into_values());
        Ok(())
    }

    /// Takes the samples of a segment that are in `read`. Returns how many of them are in `span`.
    fn take_segment(
        &mut self,
        segment: &SegmentIndex,
        asked: Option<&SumQuery>,
        read: Span,
        (span, test): (Span, &mut BackTest),
    ) -> Result<usize, HistoryError> {
        let index = self.reading.sample_index(segment, self.host)?;
        let is_read =
            |sample: &&SampleRef| SampleKind::WithTable.includes(sample) && read.contains(sample.captured_us);
        let samples: Vec<SampleRef> = index.all().iter().filter(is_read).copied().collect();
        if samples.is_empty() {
            return Ok(0);
        }
        let left_out = match asked {
            Some(_) => self.left_out(segment)?,
            None => HashMap::new(),
        };
        for samples in samples.chunks(TOGETHER) {
            self.reading.check()?;
            match asked {
                Some(asked) => {
                    self.take_sums(segment, (&index, &left_out, samples), asked, (span, &mut *test))?;
                }
                None => self.take_snapshots(segment, samples, (span, &mut *test))?,
            }
        }
        Ok(samples.iter().filter(|sample| span.contains(sample.captured_us)).count())
    }

    fn take_snapshots(
        &mut self,
        segment: &SegmentIndex,
        samples: &[SampleRef],
        (span, test): (Span, &mut BackTest),
    ) -> Result<(), HistoryError> {
        let Some(part) = ends(samples) else { return Ok(()) };
        for mut snapshot in self.snapshots(segment, part)? {
            snapshot.interval_ms = interval_ms(segment, snapshot.interval_ms);
            self.take(Arc::new(snapshot), None, span, test);
        }
        Ok(())
    }

    /// Takes samples without laying out their processes; `left_out` says of how many processes there is nothing.
    fn take_sums(
        &mut self,
        segment: &SegmentIndex,
        (index, left_out, samples): (&SampleIndex, &HashMap<i64, u32>, &[SampleRef]),
        asked: &SumQuery,
        (span, test): (Span, &mut BackTest),
    ) -> Result<(), HistoryError> {
        let Some(part) = ends(samples) else { return Ok(()) };
        let (Rule { filter, over, .. }, host) = (self.first, self.host.as_str());
        let may_matter = self.may_matter(segment, part)?;
        let is_filtered = !filter.is_empty() && !asked.filters_figures;
        // That a process has exited is to be seen, whatever the filter says of it by then.
        let known = self.evaluator.processes_of(self.host);
        let is_wanted = |process: &Process| {
            self.reading.check()?;
            let matters =
                |keys: &BTreeSet<Key>| key_of(*over, process).is_some_and(|key| keys.contains(&key));
            if may_matter.as_ref().is_some_and(|keys| !matters(keys)) {
                return Ok(false);
            }
            Ok(known.contains(&process.key()) || !is_filtered || filter.matches(&Fields::of(host, process)))
        };
        let relevant = self.relevant();
        let asked_spans = SpansAsked {
            facts: &asked.facts,
            figures: asked.figures(),
            is_wanted: (is_filtered || may_matter.is_some()).then_some(&is_wanted),
            relevant: relevant.as_deref(),
        };
        let spans = self.reading.spans_between(segment, self.host, part, &asked_spans)?;
        let mut sums = Sums::of((self.first, asked), self.host, spans, self.reading)?;
        let (boots, mut views) = (index.boots(), self.views(segment, part)?);
        for sample in samples {
            let boot_id = boots.get(&sample.boot).copied().unwrap_or_default();
            sums.go_to(sample.captured_us, boot_id);
            let host_info = views.remove(&sample.captured_us).unwrap_or_default();
            let snapshot = Snapshot {
                boot_id: boot_id.to_owned(),
                captured_at_us: sample.captured_us,
                monotonic_ms: u64::try_from(sample.monotonic_ms).unwrap_or_default(),
                interval_ms: interval_ms(segment, sample.interval_ms),
                processes_left_out: left_out.get(&sample.captured_us).copied().unwrap_or_default(),
                host_info,
                ..Snapshot::default()
            };
            self.take(Arc::new(snapshot), Some(&sums), span, test);
        }
        Ok(())
    }

    /// How many processes were left out of snapshots, by when they were captured.
    fn left_out(&self, segment: &SegmentIndex) -> Result<HashMap<i64, u32>, HistoryError> {
        let host_sample = self.reading.relation_of_host("host_sample", segment, self.host)?;
        let sql = render(&LeftOutSql { host_sample: &host_sample });
        let mut statement = self.reading.connection.prepare_cached(&sql)?;
        let rows = statement.query_map([self.host.as_str()], |row| {
            Ok((row.get("captured_us")?, row.get("processes_left_out")?))
        })?;
        Ok(rows.collect::<duckdb::Result<_>>()?)
    }

    /// What the host was at each sample, where a rule asks what its agent saw.
    fn views(
        &self,
        segment: &SegmentIndex,
        part: (i64, i64),
    ) -> Result<HashMap<i64, HostInfo>, HistoryError> {
        if self.first.measure != Measure::Gone {
            return Ok(HashMap::new());
        }
        let wanted = Wanted { filesystems: false, processes: false, relevant: None };
        let snapshots = self.reading.snapshots_between(segment, self.host, part, wanted)?;
        Ok(snapshots.map(|snapshot| (snapshot.captured_at_us, snapshot.host_info)).collect())
    }

    fn snapshots(
        &self,
        segment: &SegmentIndex,
        part: (i64, i64),
    ) -> Result<impl Iterator<Item = Snapshot> + use<>, HistoryError> {
        let is_bare = matches!(
            self.first.measure,
            Measure::Host(_)
                | Measure::Disk
                | Measure::DiskFullIn
                | Measure::Unusual
                | Measure::Silent
                | Measure::RestartLoop
                | Measure::Own(_)
        );
        let relevant = self.relevant();
        let filesystems = matches!(self.first.measure, Measure::Disk | Measure::DiskFullIn);
        let wanted = Wanted { filesystems, processes: !is_bare, relevant: relevant.as_deref() };
        self.reading.snapshots_between(segment, self.host, part, wanted)
    }

    fn take(
        &mut self,
        snapshot: Arc<Snapshot>,
        values: Option<&dyn Values>,
        span: Span,
        test: &mut BackTest,
    ) {
        let at_us = snapshot.captured_at_us;
        self.pass_time(at_us, span, test);
        let (place, clock) = self.message(at_us);
        let changes = match values {
            Some(values) => self.evaluator.measured((place, clock), self.host, &snapshot, values),
            None => self.evaluator.snapshot(place, clock, self.host, &snapshot),
        };
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

/// How long after a sample the next one is kept, in ms: in a thinned segment, what an agent sent meanwhile is no gap.
fn interval_ms(segment: &SegmentIndex, of_agent_ms: u32) -> u32 {
    of_agent_ms.max(segment.resolution().spacing().least_ms())
}

/// The first and the last time.
fn ends(samples: &[SampleRef]) -> Option<(i64, i64)> {
    Some((samples.first()?.captured_us, samples.last()?.captured_us))
}
