//! Reads samples with their levels and counters.

use arrow::array::{Float64Array, Int64Array, RecordBatch, StringArray};
use duckdb::Params;
use fleetps_nats::model::Field;

use super::parts::Sample;
use crate::history::{
    HistoryError,
    boots::Boots,
    columns::{numbers, texts, value},
    reading::Reading,
};

/// The columns of the fields at `places`, as DOUBLE.
pub(super) fn doubles(fields: &[Field], places: impl IntoIterator<Item = usize>) -> String {
    let columns = places.into_iter().filter_map(|place| Some(fields.get(place)?.column));
    columns.map(|column| format!("{column}::DOUBLE AS {column}")).collect::<Vec<_>>().join(", ")
}

/// Where in a list of fields the levels and the counters of a [`Sample`] are.
pub(super) struct Places<const L: usize, const C: usize> {
    pub(super) fields: &'static [Field],
    pub(super) levels: [usize; L],
    pub(super) counters: [usize; C],
}

/// Reads what `sql` finds, numbering boots by `boots`: `captured_us` and `monotonic_ms` as BIGINT, `boot_id`, and the
/// [`doubles`] of `places`. By columns: thirty days of a host are 260,000 rows.
pub(super) fn read_samples<const L: usize, const C: usize>(
    reading: &Reading<'_>,
    sql: &str,
    params: impl Params,
    places: &Places<L, C>,
    boots: &mut Boots,
) -> Result<Vec<Sample<L, C>>, HistoryError> {
    let (mut samples, mut count) = (Vec::new(), reading.count_rows());
    for batch in reading.connection.prepare_cached(sql)?.query_arrow(params)? {
        reading.check()?;
        count.add(batch.num_rows())?;
        let columns = Columns::of(&batch, places)?;
        samples.extend((0..batch.num_rows()).filter_map(|row| columns.sample(row, boots)));
    }
    Ok(samples)
}

/// The columns of a batch.
struct Columns<'a> {
    captured_us: &'a Int64Array,
    monotonic_ms: &'a Int64Array,
    boot_id: &'a StringArray,
    levels: Vec<&'a Float64Array>,
    counters: Vec<&'a Float64Array>,
}

impl<'a> Columns<'a> {
    fn of<const L: usize, const C: usize>(
        batch: &'a RecordBatch,
        places: &Places<L, C>,
    ) -> duckdb::Result<Self> {
        let of = |of_places: &[usize]| -> duckdb::Result<Vec<&'a Float64Array>> {
            let known = of_places.iter().filter_map(|place| places.fields.get(*place));
            known.map(|field| numbers(batch, field.column)).collect()
        };
        Ok(Self {
            captured_us: numbers(batch, "captured_us")?,
            monotonic_ms: numbers(batch, "monotonic_ms")?,
            boot_id: texts(batch, "boot_id")?,
            levels: of(&places.levels)?,
            counters: of(&places.counters)?,
        })
    }

    /// The sample in a row; `None` where a value is NULL that never is.
    fn sample<const L: usize, const C: usize>(&self, row: usize, boots: &mut Boots) -> Option<Sample<L, C>> {
        let double = |columns: &[&Float64Array], index| value(*columns.get(index)?, row);
        Some(Sample {
            captured_at_us: value(self.captured_us, row)?,
            monotonic_ms: value(self.monotonic_ms, row)?,
            boot: boots.number(value(self.boot_id, row)?),
            levels: std::array::from_fn(|level| double(&self.levels, level)),
            counters: std::array::from_fn(|counter| double(&self.counters, counter)),
        })
    }
}
