//! Reads what the selectors of a question want, from the history and the present.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use fleetps_ingestor::history::{
    Bucket, Event, EventKind, EventQuery, FigureSeries, Figures, History, HistoryError, HostFigure,
    ProgramFigure, ProgramName, ProgramQuery, ProgramReading, Span,
};
use fleetps_nats::{HostName, model::HostState};

use super::{
    ast::{Selector, WindowFunction},
    evaluate::{self, Found, Value},
    known::{KnownHost, KnownHosts},
    matcher::Matcher,
    metric::{self, Source},
    parse::NAME,
    present::{self, Present},
    problem::Problem,
    question::{Question, Selection, metrics_of},
    series::{Labels, Series},
    window::{self, Windows},
};

/// The most values of all series together: they take 16 bytes each.
const MAX_POINTS: usize = 2_000_000;
/// The most buckets that are looked at for all windows of a selector: some tenths of a second.
const MAX_WORK: usize = 200_000_000;
/// A host that is not in the fleet any more was silent for so long at least before it was gone: long enough for an alert.
const GONE_MS: i64 = 3_600_000;
/// The most events of a question.
const MAX_EVENTS: usize = 10_000;
/// Events are asked for by host and program in so many queries at most.
const MAX_EVENT_QUERIES: usize = 16;
/// The labels that are conditions on events.
const EVENT_LABELS: [&str; 5] = [NAME, metric::HOST, metric::GROUP, metric::KIND, metric::PROGRAM];
/// The most series that are listed by their labels.
const MAX_LABEL_SETS: usize = 20_000;
/// For so long the last stored value of a host that is up stands for the newer ones, where the stream is not read: a segment
/// comes every 30 s.
const STANDS_IN_MS: i64 = 120_000;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The history cannot answer.
    History(HistoryError),
    /// The question cannot be answered.
    Problem(Problem),
}

impl From<HistoryError> for Failure {
    fn from(error: HistoryError) -> Self {
        Self::History(error)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// The answer to a question.
///
/// # Errors
/// When the history cannot answer, or it takes too much.
pub(crate) fn answer(
    history: &History,
    question: &Question,
    known: &KnownHosts,
    present: &Present,
) -> Result<Value, Failure> {
    let reader = Reader { history, known, present, points: Cell::new(0) };
    let mut found = Found::new();
    for selection in &question.selections {
        let mut series = reader.read(selection)?;
        series.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        if selection.selector.at.is_some() {
            let steps = question.steps.count;
            reader.count(series.len(), steps, selection)?;
            for series in &mut series {
                series.values = vec![series.values.first().copied().flatten(); steps];
            }
        }
        found.entry(selection.selector.number).or_default().extend(series);
    }
    Ok(evaluate::evaluate(&question.expr, &found, question.steps.count)?)
}

struct Reader<'a> {
    history: &'a History,
    known: &'a KnownHosts,
    present: &'a Present,
    /// Values that are held.
    points: Cell<usize>,
}

/// How long what a host last said is true, in ms since 1970 UTC.
struct Validity<'a> {
    known: Option<&'a KnownHost>,
    spacing_ms: u32,
    is_present_read: bool,
}

impl Validity<'_> {
    /// Whether a sample of `last_ms`, which is the host's last until then, says how it was at `at_ms`.
    fn is_valid(&self, (last_ms, interval_ms): (i64, i64), at_ms: i64) -> bool {
        let age_ms = at_ms.saturating_sub(last_ms);
        if age_ms <= window::silent_ms(interval_ms, self.spacing_ms) {
            return true;
        }
        // What came since is in no segment yet.
        let now = self.known.and_then(|known| known.now.as_ref()).filter(|_| !self.is_present_read);
        now.is_some_and(|now| {
            let captured_ms = now.captured_at_us.div_euclid(1000);
            now.state == HostState::Up
                && captured_ms > last_ms
                && age_ms <= STANDS_IN_MS
                && at_ms.saturating_sub(captured_ms) <= window::silent_ms(now.interval_ms.into(), 0)
        })
    }
}

impl Reader<'_> {
    fn read(&self, selection: &Selection) -> Result<Vec<Series>, Failure> {
        if selection.hosts.is_empty() {
            return Ok(Vec::new());
        }
        match selection.metric.source {
            Source::Up => self.up(selection),
            Source::Events => self.events(selection),
            Source::Idle if has_no_program(selection) => self.host(selection, HostFigure::IdleTime),
            Source::Idle => Ok(Vec::new()),
            Source::Host(field) => match HostFigure::of(field) {
                Some(figure) if has_no_program(selection) => self.host(selection, figure),
                _ => Ok(Vec::new()),
            },
            Source::Program(figure) => self.programs(selection, figure),
        }
    }

    /// Counts values that are held, and the work that they take.
    fn count(&self, series: usize, steps: usize, selection: &Selection) -> Result<(), Problem> {
        let points = self.points.get().saturating_add(series.saturating_mul(steps));
        self.points.set(points);
        match points > MAX_POINTS {
            true => Err(Problem::at(
                selection.selector.column,
                format!(
                    "this question needs more than {MAX_POINTS} points; choose a larger step, a shorter time, or fewer series"
                ),
            )),
            false => Ok(()),
        }
    }

    /// Counts the values of all series, and the work that windows over them take.
    fn check_work(&self, series: &[FigureSeries], selection: &Selection) -> Result<(), Problem> {
        // A host may have values without a series: of `up`, which is 0 then.
        let hosts = if matches!(selection.metric.source, Source::Up) { selection.hosts.len() } else { 0 };
        self.count(series.len().max(hosts), selection.windows.steps, selection)?;
        let work = series.iter().map(|series| selection.windows.work(series.buckets.len()));
        match work.fold(0, usize::saturating_add) > MAX_WORK {
            true => Err(Problem::at(
                selection.selector.column,
                "the windows of this question are too long for its steps; choose a larger step or a shorter window",
            )),
            false => Ok(()),
        }
    }

    /// A figure of the selected hosts, with what is in no segment yet.
    fn host_figures(&self, selection: &Selection, figure: HostFigure) -> Result<Figures, Failure> {
        let hosts = self.known.asked(&selection.hosts);
        let mut figures = self.history.host_figures(&hosts, selection.grid, figure)?;
        for (host, newer) in self.newer(selection) {
            let sealed_ms = sealed_ms(&figures, host);
            present::add_host(&mut figures.series, host, newer, sealed_ms, selection.grid, figure);
        }
        self.add_summaries(&mut figures, selection, figure);
        Ok(figures)
    }

    fn newer<'a>(
        &'a self,
        selection: &'a Selection,
    ) -> impl Iterator<Item = (&'a HostName, &'a [fleetps_nats::Snapshot])> {
        let hosts = selection.hosts.iter();
        hosts.filter_map(|host| Some((host, self.present.newer.get(host)?.as_slice())))
    }

    /// Of hosts whose stream is not read, what the fleet page knows.
    fn add_summaries(&self, figures: &mut Figures, selection: &Selection, figure: HostFigure) {
        let places: HashMap<HostName, usize> =
            figures.series.iter().map(|series| series.host.clone()).zip(0..).collect();
        for host in selection.hosts.iter().filter(|host| !self.present.newer.contains_key(host)) {
            let Some(now) = self.known.hosts.get(host).and_then(|known| known.now.as_ref()) else { continue };
            let last_ms = now.captured_at_us.div_euclid(1000);
            let is_newer = last_ms > sealed_ms(figures, host) && present::is_in(selection.grid, last_ms);
            let Some(value) = of_summary(now, figure).filter(|_| is_newer) else { continue };
            let bucket = present::one(value, last_ms, now.interval_ms, None);
            let newer = vec![(selection.grid.bucket(last_ms), bucket)];
            match places.get(host).and_then(|place| figures.series.get_mut(*place)) {
                Some(series) => present::append(&mut series.buckets, newer),
                None => {
                    figures.series.push(FigureSeries { host: host.clone(), program: None, buckets: newer });
                }
            }
        }
    }

    fn validity(&self, host: &HostName, spacing_ms: u32) -> Validity<'_> {
        let is_present_read = self.present.newer.contains_key(host);
        Validity { known: self.known.hosts.get(host), spacing_ms, is_present_read }
    }

    fn host(&self, selection: &Selection, figure: HostFigure) -> Result<Vec<Series>, Failure> {
        let figures = self.host_figures(selection, figure)?;
        self.check_work(&figures.series, selection)?;
        let one = |series: &FigureSeries| {
            let validity = self.validity(&series.host, figures.spacing_ms);
            let values = match selection.function {
                None => instants(selection, &series.buckets, &validity),
                Some(function) => windows(selection.windows, function, &series.buckets, &series.buckets),
            };
            Series { labels: labels(selection, &series.host, None), values: scaled(selection, values) }
        };
        Ok(figures.series.iter().map(one).filter(|series| !series.is_empty()).collect())
    }

    fn up(&self, selection: &Selection) -> Result<Vec<Series>, Failure> {
        if !has_no_program(selection) {
            return Ok(Vec::new());
        }
        let figure = if selection.function.is_some() { HostFigure::Time } else { HostFigure::Heard };
        let figures = self.host_figures(selection, figure)?;
        self.check_work(&figures.series, selection)?;
        let found: HashMap<&HostName, &FigureSeries> =
            figures.series.iter().map(|series| (&series.host, series)).collect();
        let mut all = Vec::new();
        for (host, known) in
            selection.hosts.iter().filter_map(|host| Some((host, self.known.hosts.get(host)?)))
        {
            let buckets = found.get(host).map(|series| series.buckets.as_slice()).unwrap_or_default();
            let values = match selection.function {
                None => self.is_up(selection, (host, known), buckets, figures.spacing_ms),
                Some(_) => self.part_up(selection, (host, known), buckets, figures.spacing_ms),
            };
            all.push(Series { labels: labels(selection, host, None), values });
        }
        all.retain(|series| !series.is_empty());
        Ok(all)
    }

    /// How many events there were in each window, by host, kind and program.
    fn events(&self, selection: &Selection) -> Result<Vec<Series>, Failure> {
        let mut series: BTreeMap<Labels, BTreeMap<i64, Bucket>> = BTreeMap::new();
        for (labels, at_ms) in self.happened(selection)? {
            let place = selection.grid.bucket(at_ms);
            series.entry(labels).or_default().entry(place).or_default().growth += 1.0;
        }
        self.count(series.len(), selection.windows.steps, selection)?;
        let one = |(labels, buckets): (Labels, BTreeMap<i64, Bucket>)| {
            let buckets: Vec<(i64, Bucket)> = buckets.into_iter().collect();
            let sum = |window: &[(i64, Bucket)]| Some(window.iter().map(|(_, bucket)| bucket.growth).sum());
            Series { labels, values: selection.windows.of(&buckets).map(sum).collect() }
        };
        Ok(series.into_iter().map(one).collect())
    }

    /// The events within the time of a selection, with their labels.
    fn happened(&self, selection: &Selection) -> Result<Vec<(Labels, i64)>, Failure> {
        let matchers = &selection.selector.matchers;
        let accepts = |label: &str, value: &str| {
            matchers.iter().filter(|matcher| matcher.label == label).all(|matcher| matcher.accepts(value))
        };
        let kinds: Vec<EventKind> =
            EventKind::ALL.into_iter().filter(|kind| accepts(metric::KIND, kind.id())).collect();
        if kinds.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.events_of(selection, &kinds)?;
        let is_selected = |event: &Event| {
            selection.hosts.binary_search(&event.host).is_ok()
                && accepts(metric::PROGRAM, event.name().unwrap_or_default())
                && matchers
                    .iter()
                    .all(|matcher| EVENT_LABELS.contains(&matcher.label.as_str()) || matcher.accepts(""))
        };
        let told = |event: Event| {
            let mut labels = Labels::from([
                (metric::HOST, Arc::from(event.host.as_str())),
                (metric::KIND, Arc::from(event.kind.id())),
            ]);
            labels.extend(event.name().map(|name| (metric::PROGRAM, Arc::from(name))));
            (labels, event.at_us.div_euclid(1000))
        };
        Ok(found.into_iter().filter(is_selected).map(told).collect())
    }

    /// The events of a selection's time, hosts and kinds: asked for by host and program where these are few, so that others are
    /// not among the most.
    fn events_of(&self, selection: &Selection, kinds: &[EventKind]) -> Result<Vec<Event>, Failure> {
        let grid = selection.grid;
        let us = |ms: i64| ms.saturating_mul(1000).saturating_add(1);
        let end_ms = grid.begin_ms.saturating_add(grid.width_ms.saturating_mul(grid.count));
        let span = Span { from_us: us(grid.begin_ms), to_us: us(end_ms) };
        let few = |texts: usize| (1..=MAX_EVENT_QUERIES).contains(&texts);
        // What is of no program has no name, so an empty one cannot be asked for.
        let names =
            only(selection, metric::PROGRAM).filter(|names| names.iter().all(|name| !name.is_empty()));
        let names = match names.filter(|names| few(names.len())) {
            Some(names) => names.into_iter().map(Some).collect(),
            None => vec![None],
        };
        let hosts = match few(selection.hosts.len() * names.len()) {
            true => selection.hosts.iter().cloned().map(Some).collect(),
            false => vec![None],
        };
        let mut found = Vec::new();
        for (host, program) in hosts.iter().flat_map(|host| names.iter().map(move |name| (host, name))) {
            let query = EventQuery {
                host: host.clone(),
                program: program.clone(),
                kinds: kinds.to_vec(),
                ..EventQuery::of(span, MAX_EVENTS + 1 - found.len())
            };
            found.extend(self.history.events(&query)?.items);
            if found.len() > MAX_EVENTS {
                let error = format!(
                    "these are more than {MAX_EVENTS} events; select some by kind, host or program, or take a shorter time"
                );
                return Err(Problem::at(selection.selector.column, error).into());
            }
        }
        Ok(found)
    }

    /// 1 or 0 at each step between when a host was first heard of and when it leaves the fleet.
    fn is_up(
        &self,
        selection: &Selection,
        (host, known): (&HostName, &KnownHost),
        buckets: &[(i64, Bucket)],
        spacing_ms: u32,
    ) -> Vec<Option<f64>> {
        let validity = self.validity(host, spacing_ms);
        let values = instants(selection, buckets, &validity);
        let down_for_ms = i64::try_from(self.known.down_for.as_millis()).unwrap_or(i64::MAX).max(GONE_MS);
        let gone_ms = match known.now {
            Some(_) => i64::MAX,
            None => known.last_ms.saturating_add(down_for_ms),
        };
        let at = |(step, value): (usize, Option<f64>)| {
            let at_ms = selection.times.at_ms(step);
            value.or((known.first_ms <= at_ms && at_ms <= gone_ms && at_ms <= now_ms()).then_some(0.0))
        };
        values.into_iter().enumerate().map(at).collect()
    }

    /// The part of each window in which a host was up, since it was first heard of: the time between its samples, and after
    /// the last one while that says how it is.
    fn part_up(
        &self,
        selection: &Selection,
        (host, known): (&HostName, &KnownHost),
        buckets: &[(i64, Bucket)],
        spacing_ms: u32,
    ) -> Vec<Option<f64>> {
        let validity = self.validity(host, spacing_ms);
        let range_ms = selection.selector.range_ms.unwrap_or(1);
        let since_ms = |latest: Option<&Bucket>, at_ms: i64| {
            let is_valid = |bucket: &&Bucket| validity.is_valid((bucket.last_ms, bucket.interval_ms), at_ms);
            latest.filter(is_valid).map_or(0.0, |bucket| at_ms.saturating_sub(bucket.last_ms) as f64)
        };
        let ends = selection.windows.before(buckets).zip(selection.windows.latest(buckets));
        let all = selection.windows.of(buckets).zip(ends).enumerate();
        let part = |(step, (window, (before, latest)))| {
            let at_ms = selection.times.at_ms(step);
            let window: &[(i64, Bucket)] = window;
            let length_ms = range_ms.min(at_ms.saturating_sub(known.first_ms));
            let between_ms: f64 = window.iter().map(|(_, bucket)| bucket.elapsed_ms).sum();
            let up_ms =
                between_ms + since_ms(latest, at_ms) - since_ms(before, at_ms.saturating_sub(range_ms));
            (length_ms > 0 && at_ms <= now_ms()).then(|| (up_ms / length_ms as f64).clamp(0.0, 1.0))
        };
        all.map(part).collect()
    }

    fn programs(&self, selection: &Selection, figure: ProgramFigure) -> Result<Vec<Series>, Failure> {
        let is_growth = figure.is_counter() && selection.function.is_some();
        let reading = match (is_growth, selection.is_hourly, selection.function) {
            (true, true, _) => ProgramReading::GrowthOfHours,
            (true, false, _) => ProgramReading::Growth,
            (false, true, _) => ProgramReading::MeanOfHours,
            (false, false, None) => ProgramReading::Last,
            (false, false, Some(_)) => ProgramReading::Every,
        };
        let query = asked(selection, figure, reading);
        let hosts = self.known.asked(&selection.hosts);
        let mut figures = self.history.program_figures(&hosts, selection.grid, &query)?;
        if !selection.is_hourly {
            for (host, newer) in self.newer(selection) {
                let sealed_ms = sealed_ms(&figures, host);
                let what = (figure, is_growth);
                present::add_programs(&mut figures.series, host, newer, sealed_ms, selection.grid, what);
            }
        }
        figures.series.retain(|series| is_selected(selection, series.program.as_ref()));
        self.check_work(&figures.series, selection)?;
        let times = match reading {
            // What is in no segment yet is in no full hour.
            ProgramReading::GrowthOfHours => {
                self.history.host_figures(&hosts, selection.grid, HostFigure::TimeOfBoots)?
            }
            ProgramReading::Growth | ProgramReading::Last => {
                self.host_figures(selection, HostFigure::TimeOfTables)?
            }
            ProgramReading::Every | ProgramReading::MeanOfHours => Figures::default(),
        };
        let times: HashMap<HostName, Vec<(i64, Bucket)>> =
            times.series.into_iter().map(|series| (series.host, series.buckets)).collect();
        let one = |series: &FigureSeries| {
            let times = times.get(&series.host).map(Vec::as_slice).unwrap_or_default();
            let values = match selection.function {
                None if selection.is_hourly => {
                    windows(selection.windows, WindowFunction::Last, &series.buckets, &[])
                }
                None => {
                    let validity = self.validity(&series.host, figures.spacing_ms);
                    instants_of_program(selection, &series.buckets, times, &validity)
                }
                Some(function) => windows(selection.windows, function, &series.buckets, times),
            };
            let labels = labels(selection, &series.host, series.program.as_ref());
            Series { labels, values: scaled(selection, values) }
        };
        Ok(figures.series.iter().map(one).filter(|series| !series.is_empty()).collect())
    }
}

/// Until when the segments that figures were read from have a host, in ms since 1970 UTC.
fn sealed_ms(figures: &Figures, host: &HostName) -> i64 {
    figures.sealed_us.get(host).map_or(i64::MIN, |sealed_us| sealed_us.div_euclid(1000))
}

fn now_ms() -> i64 {
    crate::live::now_us().div_euclid(1000)
}

fn of_summary(now: &crate::live::Summary, figure: HostFigure) -> Option<f64> {
    let HostFigure::Of(field) = figure else { return matches!(figure, HostFigure::Heard).then_some(1.0) };
    match field.name {
        "cpu_percent" => now.cpu_percent.map(f64::from),
        "load_1" => now.load_1.map(f64::from),
        "memory_used_bytes" => now.memory_used_bytes.map(|bytes| bytes as f64),
        _ => None,
    }
}

/// The value at each step: the last until then, while it says how the host is.
fn instants(selection: &Selection, buckets: &[(i64, Bucket)], validity: &Validity<'_>) -> Vec<Option<f64>> {
    let value = |(step, latest): (usize, Option<&Bucket>)| {
        let bucket = latest?;
        let at_ms = selection.times.at_ms(step);
        validity.is_valid((bucket.last_ms, bucket.interval_ms), at_ms).then_some(bucket.last)
    };
    selection.windows.latest(buckets).enumerate().map(value).collect()
}

/// The same of a program, which is gone when the host's last snapshot has none of its processes.
fn instants_of_program(
    selection: &Selection,
    buckets: &[(i64, Bucket)],
    times: &[(i64, Bucket)],
    validity: &Validity<'_>,
) -> Vec<Option<f64>> {
    let of_host = selection.windows.latest(times);
    let value = |(step, (latest, of_host)): (usize, (Option<&Bucket>, Option<&Bucket>))| {
        let (bucket, of_host) = (latest?, of_host?);
        let is_in_last = bucket.last_ms >= of_host.last_ms;
        let is_valid = validity.is_valid((of_host.last_ms, of_host.interval_ms), selection.times.at_ms(step));
        (is_in_last && is_valid).then_some(bucket.last)
    };
    selection.windows.latest(buckets).zip(of_host).enumerate().map(value).collect()
}

fn windows(
    windows: Windows,
    function: WindowFunction,
    buckets: &[(i64, Bucket)],
    times: &[(i64, Bucket)],
) -> Vec<Option<f64>> {
    use WindowFunction::{Increase, Irate, Rate};
    match function {
        Rate | Increase | Irate => windows
            .of(buckets)
            .zip(windows.of(times))
            .map(|(window, times)| window::of_counter(function, window, times))
            .collect(),
        function => windows.of(buckets).map(|window| window::of_level(function, window)).collect(),
    }
}

fn scaled(selection: &Selection, values: Vec<Option<f64>>) -> Vec<Option<f64>> {
    let scale = match selection.function {
        Some(WindowFunction::Count) => 1.0,
        _ => selection.metric.scale,
    };
    values.into_iter().map(|value| value.map(|value| value * scale)).collect()
}

/// Whether the conditions on labels of programs let a series without them through.
fn has_no_program(selection: &Selection) -> bool {
    selection.selector.matchers.iter().all(|matcher| match matcher.label.as_str() {
        NAME | metric::HOST | metric::GROUP => true,
        // The metric was chosen by it.
        label if selection.metric.label.is_some_and(|(known, _)| known == label) => true,
        _ => matcher.accepts(""),
    })
}

/// Whether a program meets the conditions on its labels, and has no other that is asked for.
fn is_selected(selection: &Selection, program: Option<&ProgramName>) -> bool {
    let Some(program) = program else { return false };
    selection.selector.matchers.iter().all(|matcher| match matcher.label.as_str() {
        NAME | metric::HOST | metric::GROUP => true,
        metric::PROGRAM => matcher.accepts(&program.name),
        metric::USER => matcher.accepts(&program.user),
        metric::UNIT => matcher.accepts(&program.unit),
        _ => matcher.accepts(""),
    })
}

fn labels(selection: &Selection, host: &HostName, program: Option<&ProgramName>) -> Labels {
    let mut labels = Labels::from([(metric::HOST, Arc::from(host.as_str()))]);
    if matches!(selection.function, None | Some(WindowFunction::Last)) {
        labels.insert(NAME, Arc::from(selection.metric.name));
    }
    labels.extend(selection.metric.label.map(|(label, value)| (label, Arc::from(value))));
    if let Some(program) = program {
        labels.insert(metric::PROGRAM, Arc::from(program.name.as_str()));
        let further = [(metric::USER, &program.user), (metric::UNIT, &program.unit)];
        for (label, text) in further.into_iter().filter(|(_, text)| !text.is_empty()) {
            labels.insert(label, Arc::from(text.as_str()));
        }
    }
    labels
}

/// The labels of the series that one of `selectors` is about, as far as they had values within a time.
///
/// # Errors
/// When the history cannot answer, or there are too many.
pub(crate) fn label_sets(
    history: &History,
    selectors: &[Selector],
    known: &KnownHosts,
    (start_ms, end_ms): (i64, i64),
) -> Result<BTreeSet<Labels>, Failure> {
    let mut all = BTreeSet::new();
    let reader = Reader { history, known, present: &Present::default(), points: Cell::new(0) };
    for selector in selectors {
        for metric in metrics_of(selector) {
            let selection = Selection::over(selector, metric, known, (start_ms, end_ms));
            let found = match selection.metric.source {
                Source::Program(_) => reader.programs_seen(&selection)?,
                Source::Events => {
                    let happened = reader.happened(&selection)?.into_iter();
                    let named = |(mut labels, _): (Labels, i64)| {
                        labels.insert(NAME, Arc::from(metric.name));
                        labels
                    };
                    happened.map(named).collect()
                }
                _ if !has_no_program(&selection) => Vec::new(),
                _ => selection.hosts.iter().map(|host| labels(&selection, host, None)).collect(),
            };
            all.extend(found);
            if all.len() > MAX_LABEL_SETS {
                let error =
                    format!("these are more than {MAX_LABEL_SETS} series; select fewer by their labels");
                return Err(Problem::at(selector.column, error).into());
            }
        }
    }
    Ok(all)
}

impl Reader<'_> {
    /// The labels of the programs that were seen.
    fn programs_seen(&self, selection: &Selection) -> Result<Vec<Labels>, Failure> {
        if selection.hosts.is_empty() {
            return Ok(Vec::new());
        }
        let reading =
            if selection.is_hourly { ProgramReading::GrowthOfHours } else { ProgramReading::Growth };
        let query = asked(selection, ProgramFigure::CpuTime, reading);
        let hosts = self.known.asked(&selection.hosts);
        let figures = self.history.program_figures(&hosts, selection.grid, &query)?;
        let seen = figures.series.iter().filter(|series| is_selected(selection, series.program.as_ref()));
        Ok(seen.map(|series| labels(selection, &series.host, series.program.as_ref())).collect())
    }
}

/// The values that a label can have, where these are few and known.
fn only(selection: &Selection, label: &str) -> Option<Vec<String>> {
    let matchers = selection.selector.matchers.iter();
    matchers.filter(|matcher| matcher.label == label).find_map(Matcher::only_values)
}

/// The programs that a selection is about, as the history is asked for them.
fn asked(selection: &Selection, figure: ProgramFigure, reading: ProgramReading) -> ProgramQuery {
    ProgramQuery {
        figure,
        names: only(selection, metric::PROGRAM),
        users: only(selection, metric::USER),
        units: only(selection, metric::UNIT),
        reading,
    }
}
