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
    series: Vec<(HostName, Option<ProgramName>, BTreeMap<i64, Bucket>)>,
    /// Made anew for every row.
    key: String,
}

impl Gathered {
    /// The buckets of the series in this row, whose first columns are the host and, if `has_program`, name, user and unit;
    /// `None` where the host has no host's name, which only another program writes.
    fn buckets(
        &mut self,
        batch: &RecordBatch,
        row: usize,
        has_program: bool,
    ) -> Option<&mut BTreeMap<i64, Bucket>> {
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
                    self.series.push((host, program, BTreeMap::new()));
                    self.series.len() - 1
                });
                self.places.insert(self.key.clone(), place);
                place
            }
        };
        self.series.get_mut(place?).map(|(.., buckets)| buckets)
    }

    fn into_series(self) -> Vec<FigureSeries> {
        let series = self.series.into_iter().map(|(host, program, buckets)| FigureSeries {
            host,
            program,
            buckets: buckets.into_iter().collect(),
        });
        series.collect()
    }
}

/// Of hosts, in the order of `host.sql`.
pub(super) fn host_buckets(
    reading: &Reading<'_>,
    sql: &str,
    values: impl Params,
) -> Result<Vec<FigureSeries>, HistoryError> {
    let mut gathered = Gathered::default();
    each_row(reading, sql, values, |batch, row| {
        let float = |column| number::<Float64Type>(batch, column, row);
        let bucket = level(batch, row, 1)?;
        let bucket = Bucket {
            interval_ms: number::<Int64Type>(batch, 8, row).unwrap_or_default(),
            growth: float(9).unwrap_or_default(),
            elapsed_ms: float(10).unwrap_or_default(),
            last_pair: float(11).zip(float(12)),
            ..bucket
        };
        let place = number::<Int64Type>(batch, 1, row)?;
        gathered.buckets(batch, row, false)?.insert(place, bucket);
        Some(1)
    })?;
    Ok(gathered.into_series())
}

/// Levels of programs, in the order of `levels.sql`.
pub(super) fn program_levels(
    reading: &Reading<'_>,
    sql: &str,
    values: impl Params,
) -> Result<Vec<FigureSeries>, HistoryError> {
    let mut gathered = Gathered::default();
    each_row(reading, sql, values, |batch, row| {
        let bucket = level(batch, row, 4)?;
        let place = number::<Int64Type>(batch, 4, row)?;
        gathered.buckets(batch, row, true)?.insert(place, bucket);
        Some(1)
    })?;
    Ok(gathered.into_series())
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
        let buckets = gathered.buckets(batch, row, true)?;
        let before = buckets.len();
        for place in first..=last {
            buckets.entry(place).or_default().growth += if place == first { growth } else { 0.0 };
        }
        Some(buckets.len() - before)
    })?;
    Ok(gathered.into_series())
}

/// The six columns of values behind the number of the bucket, which is in `column`.
fn level(batch: &RecordBatch, row: usize, column: usize) -> Option<Bucket> {
    let float = |offset| number::<Float64Type>(batch, column + offset, row);
    Some(Bucket {
        samples: number::<Int64Type>(batch, column + 1, row)? as f64,
        sum: float(2)?,
        min: float(3)?,
        max: float(4)?,
        last: float(5)?,
        last_ms: number::<Int64Type>(batch, column + 6, row)?,
        ..Bucket::default()
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
