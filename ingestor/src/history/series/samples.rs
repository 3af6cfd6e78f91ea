//! Reads samples with their levels and counters.

use arrow::{
    array::RecordBatch,
    datatypes::{Float64Type, Int64Type},
};
use duckdb::Params;

use super::parts::Sample;
use crate::history::{
    HistoryError,
    boots::Boots,
    columns::{number, text},
    reading::Reading,
};

/// Reads what `sql` finds, numbering boots by `boots`: `captured_at` in µs and `monotonic_ms` as BIGINT, `boot_id`, then `L`
/// levels and `C` counters as DOUBLE. By columns: thirty days of a host are 260,000 rows.
pub(super) fn read_samples<const L: usize, const C: usize>(
    reading: &Reading<'_>,
    sql: &str,
    params: impl Params,
    boots: &mut Boots,
) -> Result<Vec<Sample<L, C>>, HistoryError> {
    let (mut samples, mut count) = (Vec::new(), reading.count_rows());
    for batch in reading.connection.prepare_cached(sql)?.query_arrow(params)? {
        reading.check()?;
        count.add(batch.num_rows())?;
        samples.reserve(batch.num_rows());
        for row in 0..batch.num_rows() {
            samples.extend(read_sample(&batch, row, boots));
        }
    }
    Ok(samples)
}

/// One row; `None` where a column that is always there is not.
fn read_sample<const L: usize, const C: usize>(
    batch: &RecordBatch,
    row: usize,
    boots: &mut Boots,
) -> Option<Sample<L, C>> {
    let value = |column| number::<Float64Type>(batch, column, row);
    Some(Sample {
        captured_at_us: number::<Int64Type>(batch, 0, row)?,
        monotonic_ms: number::<Int64Type>(batch, 1, row)?,
        boot: boots.number(text(batch, 2, row)?),
        levels: std::array::from_fn(|level| value(3 + level)),
        counters: std::array::from_fn(|counter| value(3 + L + counter)),
    })
}
