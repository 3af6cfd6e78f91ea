//! Reads what the selectors of a question want, from the history and the present.

mod events;
mod labels;
mod up;

use std::{cell::Cell, collections::HashMap};

use fleetps_ingestor::history::{
    Bucket, FigureSeries, Figures, History, HistoryError, HostFigure, ProgramFigure, ProgramQuery,
    ProgramReading,
};
use fleetps_nats::{HostName, model::HostState};

pub(crate) use self::labels::label_sets;
use self::labels::{has_no_program, is_selected, labels, only};
use super::{
    ast::WindowFunction,
    evaluate::{self, Found, Value},
    known::{KnownHost, KnownHosts},
    metric::{self, Source},
    present::{self, Present},
    problem::Problem,
    question::{Question, Selection},
    series::Series,
    window::{self, Windows},
};

/// The most values of all series together: they take 16 bytes each.
const MAX_POINTS: usize = 2_000_000;
/// The most buckets that are looked at for all windows of a question: some tenths of a second.
const MAX_WORK: usize = 200_000_000;
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
    let reader = Reader::new(history, known, present);
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
    let check = || history.check_deadline().map_err(Failure::from);
    evaluate::evaluate(&question.expr, &found, question.steps.count, &check)
}

struct Reader<'a> {
    history: &'a History,
    known: &'a KnownHosts,
    present: &'a Present,
    /// Values that are held.
    points: Cell<usize>,
    /// Buckets that are looked at for windows.
    work: Cell<usize>,
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

impl<'a> Reader<'a> {
    fn new(history: &'a History, known: &'a KnownHosts, present: &'a Present) -> Self {
        Self { history, known, present, points: Cell::new(0), work: Cell::new(0) }
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
    fn check_work(&self, series: &[FigureSeries], selection: &Selection) -> Result<(), Failure> {
        // A host may have values without a series: of `up`, which is 0 then.
        let hosts = if matches!(selection.metric.source, Source::Up) { selection.hosts.len() } else { 0 };
        self.count(series.len().max(hosts), selection.windows.steps, selection)?;
        let work = series.iter().map(|series| selection.windows.work(series.buckets.len()));
        self.work.set(work.fold(self.work.get(), usize::saturating_add));
        self.history.check_deadline()?;
        match self.work.get() > MAX_WORK {
            true => Err(Problem::at(
                selection.selector.column,
                "the windows of this question are too long for its steps; choose a larger step or a shorter window",
            )
            .into()),
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
