//! A question: its expression, its steps, and what is to be read for each of its selectors.

use fleetps_ingestor::history::{Grid, Span};
use fleetps_nats::HostName;

use super::{
    ast::{At, Expr, Kind, Selector, WindowFunction},
    known::KnownHosts,
    metric::{METRICS, Metric, Source},
    parse::{self, MAX_SELECTORS, NAME},
    problem::Problem,
    window::Windows,
};

/// The most points of a series, as Prometheus has it.
const MAX_STEPS: i64 = 11_000;
/// The most buckets of a series: some hundred for each of the most steps. More are asked for only where a step and a window
/// have no common measure.
const MAX_BUCKETS: i64 = 1_000_000;
/// The least and the most time before a window that is read for its first pair of samples: three minutes are three samples
/// where one a minute is kept.
const REACH_MS: (i64, i64) = (180_000, 3_600_000);
/// An hour.
const HOUR_MS: i64 = 3_600_000;
/// A window of so many hours in a question about one moment is read from the sums of hours.
const LONG_WINDOW_MS: i64 = 48 * HOUR_MS;

/// The moments that are asked for, in ms since 1970 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Steps {
    pub(crate) start_ms: i64,
    pub(crate) step_ms: i64,
    pub(crate) count: usize,
}

impl Steps {
    /// One moment.
    pub(crate) fn one(at_ms: i64) -> Self {
        Self { start_ms: at_ms, step_ms: 1, count: 1 }
    }

    /// From `start_ms` on, each `step_ms`, until `end_ms`.
    ///
    /// # Errors
    /// When that is backwards, or too many.
    pub(crate) fn between(start_ms: i64, end_ms: i64, step_ms: i64) -> Result<Self, Problem> {
        if step_ms < 1 {
            return Err(Problem::of_all("the step must be at least 1 ms; send one as in step=15"));
        }
        if end_ms < start_ms {
            return Err(Problem::of_all("the end is before the start"));
        }
        let count = end_ms.saturating_sub(start_ms) / step_ms + 1;
        match usize::try_from(count) {
            Ok(count_fits) if count <= MAX_STEPS => Ok(Self { start_ms, step_ms, count: count_fits }),
            _ => Err(Problem::of_all(format!(
                "this is more than {MAX_STEPS} points of each series; choose a larger step, or a shorter time"
            ))),
        }
    }

    /// The moment of a step.
    pub(crate) fn at_ms(self, step: usize) -> i64 {
        let step = i64::try_from(step).unwrap_or(i64::MAX);
        self.start_ms.saturating_add(step.saturating_mul(self.step_ms))
    }

    fn end_ms(self) -> i64 {
        self.at_ms(self.count.saturating_sub(1))
    }
}

/// A question.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(super) expr: Expr,
    pub(super) selections: Vec<Selection>,
    pub(crate) steps: Steps,
}

/// What one selector wants of one metric.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    pub(super) selector: Selector,
    pub(super) function: Option<WindowFunction>,
    pub(super) metric: &'static Metric,
    /// The moments that are looked at: the steps, less the offset; one where `@` says which.
    pub(super) times: Steps,
    /// Whether the sums of hours are read.
    pub(super) is_hourly: bool,
    pub(super) grid: Grid,
    pub(super) windows: Windows,
    /// The hosts that it is about.
    pub(super) hosts: Vec<HostName>,
}

impl Question {
    /// Reads `text`, asked at `steps` about the hosts that are `known`.
    ///
    /// # Errors
    /// When it is not in the supported part of PromQL, or takes too much.
    pub(crate) fn new(text: &str, steps: Steps, known: &KnownHosts) -> Result<Self, Problem> {
        let expr = parse::parse(text)?;
        let mut selections = Vec::new();
        let mut selectors = Vec::new();
        collect(&expr, &mut selectors);
        for (function, selector) in selectors {
            let hosts = known.selected(&selector.matchers);
            for metric in metrics_of(selector) {
                if selections.len() >= MAX_SELECTORS {
                    let error = format!("this question is about more than {MAX_SELECTORS} metrics");
                    return Err(Problem::at(selector.column, error));
                }
                let reach_ms =
                    known.longest_interval_ms(&hosts).saturating_mul(3).clamp(REACH_MS.0, REACH_MS.1);
                selections.push(Selection::new(selector, function, metric, steps, hosts.clone(), reach_ms)?);
            }
        }
        Ok(Self { expr, selections, steps })
    }

    /// The time that it is about.
    pub(crate) fn span(&self) -> Option<Span> {
        let spans = self.selections.iter().map(|selection| {
            let end_ms = selection.times.end_ms();
            (selection.grid.begin_ms.saturating_sub(selection.grid.reach_ms), end_ms)
        });
        let (from_ms, to_ms) = spans.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))?;
        Some(Span {
            from_us: from_ms.saturating_mul(1000),
            to_us: to_ms.saturating_add(1).saturating_mul(1000),
        })
    }

    /// The hosts that it is about.
    pub(crate) fn hosts(&self) -> Vec<HostName> {
        let mut hosts: Vec<HostName> =
            self.selections.iter().flat_map(|selection| selection.hosts.iter().cloned()).collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }

    /// Whether it is about programs.
    pub(crate) fn is_about_programs(&self) -> bool {
        self.selections.iter().any(|selection| matches!(selection.metric.source, Source::Program(_)))
    }
}

fn collect<'a>(expr: &'a Expr, all: &mut Vec<(Option<WindowFunction>, &'a Selector)>) {
    match &expr.kind {
        Kind::Number(_) => {}
        Kind::Instant(selector) => all.push((None, selector)),
        Kind::Window(function, selector) => all.push((Some(*function), selector)),
        Kind::Each(_, of) | Kind::Negate(of) => collect(of, all),
        Kind::Aggregate(aggregate) => collect(&aggregate.of, all),
        Kind::Binary(binary) => {
            collect(&binary.left, all);
            collect(&binary.right, all);
        }
    }
}

/// The metrics that a selector is about.
pub(super) fn metrics_of(selector: &Selector) -> impl Iterator<Item = &'static Metric> {
    METRICS.iter().filter(|metric| {
        let names = || selector.matchers.iter().filter(|matcher| matcher.label == NAME);
        let is_of = |(label, value): (&str, &str)| {
            selector
                .matchers
                .iter()
                .filter(|matcher| matcher.label == label)
                .all(|matcher| matcher.accepts(value))
        };
        names().all(|matcher| matcher.accepts(metric.name)) && metric.label.is_none_or(is_of)
    })
}

impl Selection {
    fn new(
        selector: &Selector,
        function: Option<WindowFunction>,
        metric: &'static Metric,
        steps: Steps,
        hosts: Vec<HostName>,
        reach_ms: i64,
    ) -> Result<Self, Problem> {
        check(function, metric, selector.column)?;
        let times = times(selector, steps);
        let is_hourly = is_hourly(function, metric, selector, times);
        let (grid, windows) = match is_hourly {
            true => in_hours(selector, times),
            false => in_buckets(selector, times, reach_ms),
        };
        if grid.count > MAX_BUCKETS {
            let error = "the window and the step have no common measure; choose a step that is a part of the window, or a multiple of it";
            return Err(Problem::at(selector.column, error));
        }
        Ok(Self { selector: selector.clone(), function, metric, times, is_hourly, grid, windows, hosts })
    }
}

impl Selection {
    /// Whatever of `metric` there was within a time.
    pub(super) fn over(
        selector: &Selector,
        metric: &'static Metric,
        known: &KnownHosts,
        (start_ms, end_ms): (i64, i64),
    ) -> Self {
        let times = Steps::one(end_ms);
        let is_hourly = end_ms.saturating_sub(start_ms) >= LONG_WINDOW_MS;
        let range_ms = end_ms.saturating_sub(start_ms).max(1);
        let (grid, windows) = grid(end_ms, range_ms, range_ms, range_ms, 1, REACH_MS.0);
        let hosts = known.selected_within(&selector.matchers, (start_ms, end_ms));
        Self { selector: selector.clone(), function: None, metric, times, is_hourly, grid, windows, hosts }
    }
}

/// Whether a function makes sense of a metric.
fn check(function: Option<WindowFunction>, metric: &Metric, column: usize) -> Result<(), Problem> {
    use WindowFunction::{Avg, Increase, Irate, Rate};
    let name = metric.name;
    let is_of_counters = matches!(function, Some(Rate | Increase | Irate));
    match (metric.source, function) {
        (Source::Up, Some(function)) if function != Avg => Err(Problem::at(
            column,
            format!("of {name} there is only avg_over_time, the part of the time in which it was 1"),
        )),
        (Source::Events, function) if function != Some(Increase) => {
            Err(Problem::at(column, format!("{name} has no value at one moment; take increase")))
        }
        (Source::Up | Source::Events, _) | (_, None) => Ok(()),
        _ if is_of_counters && !metric.is_counter() => Err(Problem::at(
            column,
            format!("{name} goes up and down, so it has no rate; take avg_over_time"),
        )),
        (Source::Program(_), Some(Irate)) => {
            Err(Problem::at(column, format!("irate of {name} is not supported; take rate")))
        }
        (Source::Program(figure), Some(_)) if figure.is_counter() && !is_of_counters => {
            Err(Problem::at(column, format!("{name} is a counter; take rate or increase")))
        }
        _ => Ok(()),
    }
}

fn times(selector: &Selector, steps: Steps) -> Steps {
    let shifted = |at_ms: i64| at_ms.saturating_sub(selector.offset_ms);
    match selector.at {
        Some(At::Ms(at_ms)) => Steps::one(shifted(at_ms)),
        Some(At::Start) => Steps::one(shifted(steps.start_ms)),
        Some(At::End) => Steps::one(shifted(steps.end_ms())),
        None => Steps { start_ms: shifted(steps.start_ms), ..steps },
    }
}

fn is_hourly(function: Option<WindowFunction>, metric: &Metric, selector: &Selector, times: Steps) -> bool {
    use WindowFunction::{Avg, Last};
    let Source::Program(figure) = metric.source else { return false };
    // What a counter stands at is not among the sums of hours, nor are the extremes of a level.
    let has_sums = match figure.is_counter() {
        true => function.is_some(),
        false => matches!(function, None | Some(Avg | Last)),
    };
    if !has_sums {
        return false;
    }
    let are_hours = |length_ms: i64| length_ms > 0 && length_ms % HOUR_MS == 0;
    match (times.count > 1, selector.range_ms) {
        (true, range_ms) => are_hours(times.step_ms) && range_ms.is_none_or(are_hours),
        (false, Some(range_ms)) => are_hours(range_ms) && range_ms >= LONG_WINDOW_MS,
        (false, None) => false,
    }
}

/// Whole hours, until the last that is over at each step.
fn in_hours(selector: &Selector, times: Steps) -> (Grid, Windows) {
    let range_ms = selector.range_ms.unwrap_or(HOUR_MS);
    let step_ms = if times.count > 1 { times.step_ms } else { range_ms };
    let width_ms = common_measure(range_ms, step_ms);
    let last_ms = times.start_ms.div_euclid(HOUR_MS).saturating_mul(HOUR_MS);
    grid(last_ms, range_ms, step_ms, width_ms, times.count, HOUR_MS)
}

fn in_buckets(selector: &Selector, times: Steps, reach_ms: i64) -> (Grid, Windows) {
    let range_ms = selector.range_ms.unwrap_or(times.step_ms);
    let step_ms = if times.count > 1 { times.step_ms } else { range_ms };
    grid(times.start_ms, range_ms, step_ms, common_measure(range_ms, step_ms), times.count, reach_ms)
}

fn grid(
    first_ms: i64,
    range_ms: i64,
    step_ms: i64,
    width_ms: i64,
    steps: usize,
    reach_ms: i64,
) -> (Grid, Windows) {
    let begin_ms = first_ms.saturating_sub(range_ms);
    let (stride, length) = (step_ms / width_ms, range_ms / width_ms);
    let further = i64::try_from(steps).unwrap_or(i64::MAX).saturating_sub(1).saturating_mul(stride);
    let count = further.saturating_add(length);
    (Grid { begin_ms, width_ms, count, reach_ms }, Windows { steps, stride, length })
}

/// The greatest length that both are multiples of.
fn common_measure(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (a.max(1), b.max(1));
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}
