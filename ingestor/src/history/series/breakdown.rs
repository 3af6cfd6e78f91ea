//! The breakdown of a host's use by program.

use std::collections::HashMap;

use askama::Template;
use duckdb::params;
use fleetps_nats::{
    HostName,
    model::{derived, rate, sums},
};

use crate::{
    catalog::Rows,
    history::{
        HistoryError, Resolution, Span,
        reading::{Reading, coarsest},
    },
    template::render,
    time::{HOUR_US, at},
};

/// Spans from here on are divided into whole hours, whose sums are kept: a day of 300 processes are 2.6 million samples,
/// which take a quarter of a second.
const HOURS_FROM_US: i64 = 48 * HOUR_US;
/// No part is shorter than this many intervals, or it might lie between two samples.
const LEAST_INTERVALS: i64 = 2;

/// The figure that a breakdown divides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BreakdownOf {
    /// CPU use, in percent of one core.
    #[default]
    Cpu,
    /// Resident memory, in bytes.
    Memory,
}

/// The breakdown of a host's use over time by program, the greatest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Breakdown {
    /// How finely it was kept.
    pub resolution: Resolution,
    /// The bounds of the parts: one more than each layer has values.
    pub bounds_us: Vec<i64>,
    /// The programs that used most.
    pub layers: Vec<Layer>,
    /// All others together.
    pub other: Vec<Option<f64>>,
}

/// One program in a breakdown.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// The program.
    pub name: String,
    /// Its mean use in each part, all its processes together; absent where nothing came from the host.
    pub values: Vec<Option<f64>>,
}

/// The use of each program in parts of a span.
#[derive(Template)]
#[template(path = "history/series/breakdown.sql")]
struct BreakdownSql {
    process_hour: String,
    process_sample: String,
    /// What the processes were called, from one time to another.
    programs: String,
}

impl BreakdownSql {
    /// The mean CPU use of a program in a part, in percent of one core.
    fn cpu_percent() -> String {
        let growth_ms = format!("sum({})::DOUBLE", rate::sql_growth("cpu_ms"));
        derived::sql_mean_percent_of_core(&growth_ms, "any_value(elapsed_ms)")
    }
}

/// The longest interval between two samples of a host.
#[derive(Template)]
#[template(path = "history/series/interval.sql")]
struct IntervalSql<'a> {
    host_sample: &'a str,
}

pub(super) fn breakdown(
    reading: &Reading<'_>,
    host: &HostName,
    span: Span,
    of: BreakdownOf,
    parts: usize,
    layers: usize,
) -> Result<Breakdown, HistoryError> {
    let segments = reading.overlapping(Some(host), span);
    let kept = coarsest(&segments);
    let in_hours = span.length_us() >= HOURS_FROM_US || kept == Resolution::Hours;
    let (summed, sampled): (Vec<_>, Vec<_>) =
        segments.iter().partition(|segment| in_hours && segment.has_hours());
    let (span, least_us) = match in_hours {
        true => (span.hours_around(), HOUR_US),
        false => (span, least_part_us(reading, host, span, kept)?),
    };
    let bounds_us = bounds(span, parts, least_us);
    let [Some(first), Some(second)] = [bounds_us.first(), bounds_us.get(1)] else {
        return Ok(Breakdown { resolution: kept, bounds_us, layers: Vec::new(), other: Vec::new() });
    };
    let sql = render(&BreakdownSql {
        process_hour: reading.relation("process_hour", &summed)?,
        process_sample: reading.rows(Rows::SamplesBetween(&at("$2"), &at("$3")), &sampled)?,
        programs: reading.relation("process_history", &segments)?,
    });
    let mut statement = reading.connection.prepare(&sql)?;
    let (from_ms, to_ms) = span.bounds_ms();
    let params = params![host.as_str(), from_ms, to_ms, (second - first) / 1000];
    let rows = statement.query_map(params, |row| {
        let value: Option<f64> = row.get(match of {
            BreakdownOf::Cpu => "cpu_percent",
            BreakdownOf::Memory => "memory_bytes",
        })?;
        Ok((row.get::<_, String>("name")?, row.get::<_, usize>("part")?, value))
    })?;
    let count = bounds_us.len() - 1;
    let mut programs: HashMap<String, Vec<Option<f64>>> = HashMap::new();
    let mut held = reading.count_rows();
    for row in rows {
        reading.check()?;
        let (name, part, value) = row?;
        if !programs.contains_key(&name) {
            held.add(count)?;
        }
        let values = programs.entry(name).or_insert_with(|| vec![None; count]);
        if let Some(place) = values.get_mut(part) {
            *place = value;
        }
    }
    let resolution = if in_hours { Resolution::Hours } else { kept };
    let (layers, other) = layered(programs, count, layers);
    Ok(Breakdown { resolution, bounds_us, layers, other })
}

/// The least length of a part, so that each has a sample.
fn least_part_us(
    reading: &Reading<'_>,
    host: &HostName,
    span: Span,
    kept: Resolution,
) -> Result<i64, HistoryError> {
    let segments = reading.overlapping(Some(host), span);
    let sql = render(&IntervalSql { host_sample: &reading.relation("host_sample", &segments)? });
    let (from_ms, to_ms) = span.bounds_ms();
    let interval_ms: i64 =
        reading.connection.query_row(&sql, params![host.as_str(), from_ms, to_ms], |row| row.get(0))?;
    let spacing_ms = interval_ms.max(i64::from(kept.spacing().least_ms()));
    Ok(spacing_ms * LEAST_INTERVALS * 1000)
}

/// The bounds of at most `parts` equal parts of `span`, each a multiple of `least_us` long; the last may reach beyond it.
fn bounds(span: Span, parts: usize, least_us: i64) -> Vec<i64> {
    let length_us = span.length_us().max(0);
    let parts = i64::try_from(parts.max(1)).unwrap_or(i64::MAX);
    let least_us = least_us.max(1);
    let part_us = ((length_us + parts - 1) / parts).max(1);
    let part_us = (part_us + least_us - 1) / least_us * least_us;
    let count = (length_us + part_us - 1) / part_us;
    (0..=count).map(|part| span.from_us + part * part_us).collect()
}

/// The programs that used most, the greatest first, and the sum of all others. What a program has no value for is zero
/// where any other has one, and absent where none has.
fn layered(
    programs: HashMap<String, Vec<Option<f64>>>,
    count: usize,
    layers: usize,
) -> (Vec<Layer>, Vec<Option<f64>>) {
    let mut present = vec![false; count];
    for values in programs.values() {
        present.iter_mut().zip(values).for_each(|(present, value)| *present |= value.is_some());
    }
    let total = |values: &[Option<f64>]| values.iter().flatten().sum::<f64>();
    let mut programs: Vec<_> =
        programs.into_iter().map(|(name, values)| (total(&values), name, values)).collect();
    programs.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let rest = programs.split_off(layers.min(programs.len()));
    let filled = |values: Vec<Option<f64>>| -> Vec<Option<f64>> {
        values
            .into_iter()
            .zip(&present)
            .map(|(value, present)| present.then_some(value.unwrap_or(0.0)))
            .collect()
    };
    let mut other = filled(vec![None; count]);
    for (_, _, values) in rest {
        for (sum, value) in other.iter_mut().zip(values) {
            *sum = sum.map(|sum| sum + value.unwrap_or(0.0));
        }
    }
    let layers = programs.into_iter().map(|(_, name, values)| Layer { name, values: filled(values) });
    (layers.collect(), other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_equal_and_not_too_short() {
        let span = Span { from_us: 10, to_us: 110 };
        assert_eq!(bounds(span, 4, 1), [10, 35, 60, 85, 110]);
        assert_eq!(bounds(span, 4, 40), [10, 50, 90, 130]);
        assert_eq!(bounds(span, 0, 1), [10, 110]);
        assert_eq!(bounds(Span { from_us: 10, to_us: 10 }, 4, 1), [10]);
        assert_eq!(bounds(Span { from_us: 10, to_us: 5 }, usize::MAX, 1), [10]);
    }

    #[test]
    fn the_others_are_summed_up_and_nothing_is_made_up_for_a_gap() {
        let programs = HashMap::from([
            ("a".to_owned(), vec![Some(1.0), None, None]),
            ("b".to_owned(), vec![Some(5.0), None, Some(5.0)]),
            ("c".to_owned(), vec![Some(2.0), None, Some(3.0)]),
        ]);
        let (layers, other) = layered(programs, 3, 1);
        assert_eq!(layers, [Layer { name: "b".to_owned(), values: vec![Some(5.0), None, Some(5.0)] }]);
        assert_eq!(other, [Some(3.0), None, Some(3.0)]);
    }
}
