//! Reads what the queries find, by columns: a day of a host's programs is a quarter of a million rows.

use std::collections::{BTreeMap, HashMap};

use arrow::array::{Float64Array, Int64Array, RecordBatch, StringArray};
use duckdb::Params;
use fleetps_nats::HostName;

use super::{Bucket, FigureSeries, Grid, ProgramName};
use crate::history::{
    HistoryError,
    columns::{numbers, texts, value},
    reading::Reading,
};
use crate::query::RowCount;

/// Series while their buckets are read.
#[derive(Default)]
struct Gathered {
    places: HashMap<String, Option<usize>>,
    series: Vec<GatheredSeries>,
    /// Made anew for every row.
    key: String,
}

/// Whose a row is: the columns `host` and, of programs, `name`, `user_name` and `unit`.
struct Names<'a> {
    host: &'a StringArray,
    program: Option<[&'a StringArray; 3]>,
}

impl<'a> Names<'a> {
    fn of(batch: &'a RecordBatch, has_program: bool) -> duckdb::Result<Self> {
        let program = || Ok([texts(batch, "name")?, texts(batch, "user_name")?, texts(batch, "unit")?]);
        let program: Option<duckdb::Result<_>> = has_program.then(program);
        Ok(Self { host: texts(batch, "host")?, program: program.transpose()? })
    }

    fn host(&self, row: usize) -> Option<HostName> {
        value(self.host, row)?.parse().ok()
    }

    fn program(&self, row: usize) -> Option<ProgramName> {
        let [name, user, unit] =
            self.program?.map(|column| value(column, row).unwrap_or_default().to_owned());
        Some(ProgramName { name, user, unit })
    }
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
    /// The series in this row; `None` where the host has no host's name, which only another program writes.
    fn series(&mut self, names: &Names<'_>, row: usize) -> Option<&mut GatheredSeries> {
        self.key.clear();
        for column in [names.host].into_iter().chain(names.program.into_iter().flatten()) {
            let text = value(column, row).unwrap_or_default();
            // With its length, so that no two rows have the same key.
            self.key.push_str(&text.len().to_string());
            self.key.push(':');
            self.key.push_str(text);
        }
        let place = match self.places.get(&self.key) {
            Some(place) => *place,
            None => {
                let place = names.host(row).map(|host| {
                    let program = names.program(row);
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

/// Of hosts as `host.sql` has them, or of levels of programs as `gathered.sql` has them.
pub(super) fn buckets(
    reading: &Reading<'_>,
    sql: &str,
    values: impl Params,
    has_program: bool,
) -> Result<Vec<FigureSeries>, HistoryError> {
    let mut gathered = Gathered::default();
    each_batch(reading, sql, values, |batch, held| {
        let (names, buckets) = (Names::of(batch, has_program)?, BucketColumns::of(batch, !has_program)?);
        for row in 0..batch.num_rows() {
            let series = buckets.row(row).zip(gathered.series(&names, row));
            if let Some(((place, bucket), series)) = series {
                series.buckets.insert(place, bucket);
                held.add(1)?;
            }
        }
        Ok(())
    })?;
    Ok(gathered.into_series())
}

/// Programs by host, as `names.sql` has them.
pub(super) fn program_names(
    reading: &Reading<'_>,
    sql: &str,
    values: impl Params,
) -> Result<Vec<(HostName, ProgramName)>, HistoryError> {
    let mut found = Vec::new();
    each_batch(reading, sql, values, |batch, held| {
        let names = Names::of(batch, true)?;
        let before = found.len();
        found.extend((0..batch.num_rows()).filter_map(|row| names.host(row).zip(names.program(row))));
        Ok(held.add(found.len() - before)?)
    })?;
    Ok(found)
}

/// Counters of programs, as `growth.sql` has them: a program has a bucket wherever it was there.
pub(super) fn program_growth(
    reading: &Reading<'_>,
    sql: &str,
    values: impl Params,
    grid: Grid,
) -> Result<Vec<FigureSeries>, HistoryError> {
    let mut gathered = Gathered::default();
    each_batch(reading, sql, values, |batch, held| {
        let (names, columns) = (Names::of(batch, true)?, GrowthColumns::of(batch)?);
        for row in 0..batch.num_rows() {
            let Some(((first, last), growth)) = columns.row(row) else { continue };
            let (first, last) = (first.clamp(-1, grid.count), last.clamp(-1, grid.count - 1));
            let Some(series) = gathered.series(&names, row) else { continue };
            let before = series.held();
            if first == last {
                series.buckets.entry(first).or_default().growth += growth;
            } else if first < last {
                series.seen.push((first, last));
            }
            held.add(series.held() - before)?;
        }
        Ok(())
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

/// The columns of a bucket in `host.sql` and `gathered.sql`.
struct BucketColumns<'a> {
    place: &'a Int64Array,
    samples: &'a Int64Array,
    sum: &'a Float64Array,
    min: &'a Float64Array,
    max: &'a Float64Array,
    last: &'a Float64Array,
    last_ms: &'a Int64Array,
    pairs: Option<PairColumns<'a>>,
}

/// What only `host.sql` has: pairs of samples.
struct PairColumns<'a> {
    interval_ms: &'a Int64Array,
    growth: &'a Float64Array,
    elapsed_ms: &'a Float64Array,
    last_growth: &'a Float64Array,
    last_elapsed_ms: &'a Float64Array,
}

impl<'a> BucketColumns<'a> {
    fn of(batch: &'a RecordBatch, has_pairs: bool) -> duckdb::Result<Self> {
        Ok(Self {
            place: numbers(batch, "bucket")?,
            samples: numbers(batch, "samples")?,
            sum: numbers(batch, "sum")?,
            min: numbers(batch, "min")?,
            max: numbers(batch, "max")?,
            last: numbers(batch, "last")?,
            last_ms: numbers(batch, "last_ms")?,
            pairs: has_pairs.then(|| PairColumns::of(batch)).transpose()?,
        })
    }

    /// Which bucket a row is, and what is in it; `None` where a value is NULL that never is.
    fn row(&self, row: usize) -> Option<(i64, Bucket)> {
        let bucket = Bucket {
            samples: value(self.samples, row)? as f64,
            sum: value(self.sum, row)?,
            min: value(self.min, row)?,
            max: value(self.max, row)?,
            last: value(self.last, row)?,
            last_ms: value(self.last_ms, row)?,
            ..Bucket::default()
        };
        let with_pairs = self.pairs.as_ref().map(|pairs| pairs.add(row, bucket));
        Some((value(self.place, row)?, with_pairs.unwrap_or(bucket)))
    }
}

impl<'a> PairColumns<'a> {
    fn of(batch: &'a RecordBatch) -> duckdb::Result<Self> {
        Ok(Self {
            interval_ms: numbers(batch, "last_interval_ms")?,
            growth: numbers(batch, "grown")?,
            elapsed_ms: numbers(batch, "elapsed_ms")?,
            last_growth: numbers(batch, "last_grown")?,
            last_elapsed_ms: numbers(batch, "last_elapsed_ms")?,
        })
    }

    /// Adds them to a bucket; a level has none.
    fn add(&self, row: usize, bucket: Bucket) -> Bucket {
        Bucket {
            interval_ms: value(self.interval_ms, row).unwrap_or_default(),
            growth: value(self.growth, row).unwrap_or_default(),
            elapsed_ms: value(self.elapsed_ms, row).unwrap_or_default(),
            last_pair: value(self.last_growth, row).zip(value(self.last_elapsed_ms, row)),
            ..bucket
        }
    }
}

/// The columns of `growth.sql`.
struct GrowthColumns<'a> {
    first: &'a Int64Array,
    last: &'a Int64Array,
    growth: &'a Float64Array,
}

impl<'a> GrowthColumns<'a> {
    fn of(batch: &'a RecordBatch) -> duckdb::Result<Self> {
        Ok(Self {
            first: numbers(batch, "first_bucket")?,
            last: numbers(batch, "last_bucket")?,
            growth: numbers(batch, "grown")?,
        })
    }

    /// The first and the last bucket of a row, and the growth in the first; `None` where a value is NULL that never is.
    fn row(&self, row: usize) -> Option<((i64, i64), f64)> {
        Some(((value(self.first, row)?, value(self.last, row)?), value(self.growth, row)?))
    }
}

/// Calls `take` for each batch; it counts the values that are held.
fn each_batch(
    reading: &Reading<'_>,
    sql: &str,
    values: impl Params,
    mut take: impl FnMut(&RecordBatch, &mut RowCount) -> Result<(), HistoryError>,
) -> Result<(), HistoryError> {
    let mut held = reading.count_rows();
    for batch in reading.connection.prepare(sql)?.query_arrow(values)? {
        reading.check()?;
        take(&batch, &mut held)?;
    }
    Ok(())
}
