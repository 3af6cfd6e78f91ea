//! Reads what the queries find, by columns: a day of a host's programs is a quarter of a million rows.

use std::collections::{BTreeMap, HashMap};

use arrow::{
    array::RecordBatch,
    datatypes::{Float64Type, Int64Type},
};
use duckdb::Params;
use fleetps_nats::HostName;

use super::{Bucket, FigureSeries, Grid, ProgramName};
use crate::history::{
    HistoryError,
    columns::{number, text},
    reading::Reading,
};

/// Series while their buckets are read.
#[derive(Default)]
struct Gathered {
    places: HashMap<String, Option<usize>>,
    series: Vec<GatheredSeries>,
    /// Made anew for every row.
    key: String,
}

struct GatheredSeries {
    host: HostName,
    program: Option<ProgramName>,
    buckets: BTreeMap<i64, Bucket>,
    /// Where it was seen: first and last buckets.
    seen: Vec<(i64, i64)>,
}

impl GatheredSeries {
    fn held(&self) -> usize {
        self.buckets.len() + self.seen.len()
    }
}

impl Gathered {
    /// The series in this row, whose first columns are the host and, if `has_program`, name, user and unit;
    /// `None` where the host has no host's name, which only another program writes.
    fn series(&mut self, batch: &RecordBatch, row: usize, has_program: bool) -> Option<&mut GatheredSeries> {
        self.key.clear();
        for column in 0..if has_program { 4 } else { 1 } {
            let text = text(batch, column, row).unwrap_or_default();
            // With its length, so that no two rows have the same key.
            self.key.push_str(&text.len().to_string());
            self.key.push(':');
            self.key.push_str(text);
        }
        let place = match self.places.get(&self.key) {
            Some(place) => *place,
            None => {
                let text = |column| text(batch, column, row).unwrap_or_default().to_owned();
                let place = text(0).parse().ok().map(|host: HostName| {
                    let program =
                        has_program.then(|| ProgramName { name: text(1), user: text(2), unit: text(3) });
                    let (buckets, seen) = (BTreeMap::new(), Vec::new());
                    self.series.push(GatheredSeries { host, program, buckets, seen });
                    self.series.len() - 1
                });
                self.places.insert(self.key.clone(), place);
                place
            }
        };
        self.series.get_mut(place?)
    }

    fn into_series(self) -> Vec<FigureSeries> {
        let series = self.series.into_iter().map(|series| FigureSeries {
            host: series.host,
            program: series.program,
            buckets: series.buckets.into_iter().collect(),
        });
        series.collect()
    }
}

/// Of hosts in the order of `host.sql`, or of levels of programs in the order of `gathered.sql`, which has no columns of growth.
pub(super) fn buckets(
    reading: &Reading<'_>,
    sql: &str,
    values: impl Params,
    has_program: bool,
) -> Result<Vec<FigureSeries>, HistoryError> {
    let mut gathered = Gathered::default();
    let column = if has_program { 4 } else { 1 };
    each_row(reading, sql, values, |batch, row| {
        let bucket = level(batch, row, column)?;
        let place = number::<Int64Type>(batch, column, row)?;
        gathered.series(batch, row, has_program)?.buckets.insert(place, bucket);
        Some(1)
    })?;
    Ok(gathered.into_series())
}

/// Programs by host, in the order of `names.sql`.
pub(super) fn program_names(
    reading: &Reading<'_>,
    sql: &str,
    values: impl Params,
) -> Result<Vec<(HostName, ProgramName)>, HistoryError> {
    let mut found = Vec::new();
    each_row(reading, sql, values, |batch, row| {
        let text = |column| text(batch, column, row).unwrap_or_default().to_owned();
        found.push((text(0).parse().ok()?, ProgramName { name: text(1), user: text(2), unit: text(3) }));
        Some(1)
    })?;
    Ok(found)
}

/// Counters of programs, in the order of `growth.sql`: a program has a bucket wherever it was there.
pub(super) fn program_growth(
    reading: &Reading<'_>,
    sql: &str,
    values: impl Params,
    grid: Grid,
) -> Result<Vec<FigureSeries>, HistoryError> {
    let mut gathered = Gathered::default();
    each_row(reading, sql, values, |batch, row| {
        let first = number::<Int64Type>(batch, 4, row)?.clamp(-1, grid.count);
        let last = number::<Int64Type>(batch, 5, row)?.clamp(-1, grid.count - 1);
        let growth = number::<Float64Type>(batch, 6, row)?;
        let series = gathered.series(batch, row, true)?;
        let before = series.held();
        if first == last {
            series.buckets.entry(first).or_default().growth += growth;
        } else if first < last {
            series.seen.push((first, last));
        }
        Some(series.held() - before)
    })?;
    let mut held = reading.count_rows();
    for series in &mut gathered.series {
        reading.check()?;
        let before = series.held();
        for (first, last) in together(std::mem::take(&mut series.seen)) {
            for place in first..=last {
                series.buckets.entry(place).or_default();
            }
        }
        held.add(series.held().saturating_sub(before))?;
    }
    Ok(gathered.into_series())
}

/// The same places in ranges that do not touch: very many processes of a program may have been in the same ones.
pub(super) fn together(mut ranges: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    ranges.sort_unstable();
    ranges.dedup_by(|(first, last), (_, until)| {
        let touches = *first <= *until + 1;
        if touches {
            *until = (*until).max(*last);
        }
        touches
    });
    ranges
}

/// The columns of values behind the number of the bucket, which is in `column`.
fn level(batch: &RecordBatch, row: usize, column: usize) -> Option<Bucket> {
    let float = |offset| number::<Float64Type>(batch, column + offset, row);
    Some(Bucket {
        samples: number::<Int64Type>(batch, column + 1, row)? as f64,
        sum: float(2)?,
        min: float(3)?,
        max: float(4)?,
        last: float(5)?,
        last_ms: number::<Int64Type>(batch, column + 6, row)?,
        interval_ms: number::<Int64Type>(batch, column + 7, row).unwrap_or_default(),
        growth: float(8).unwrap_or_default(),
        elapsed_ms: float(9).unwrap_or_default(),
        last_pair: float(10).zip(float(11)),
    })
}

/// Calls `take` for each row; it says how many values more are held.
fn each_row(
    reading: &Reading<'_>,
    sql: &str,
    values: impl Params,
    mut take: impl FnMut(&RecordBatch, usize) -> Option<usize>,
) -> Result<(), HistoryError> {
    let mut held = reading.count_rows();
    for batch in reading.connection.prepare(sql)?.query_arrow(values)? {
        reading.check()?;
        for row in 0..batch.num_rows() {
            held.add(take(&batch, row).unwrap_or_default())?;
        }
    }
    Ok(())
}
