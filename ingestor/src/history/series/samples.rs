//! Reads samples with their levels and counters.

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{Float64Type, Int64Type},
};
use duckdb::{Connection, Params};

use super::parts::Sample;

/// Numbers for the boots that were met.
#[derive(Default)]
struct Boots(Vec<String>);

impl Boots {
    fn number(&mut self, boot_id: &str) -> usize {
        // A span has few, and the last one met is most often meant.
        self.0.iter().rposition(|known| known == boot_id).unwrap_or_else(|| {
            self.0.push(boot_id.to_owned());
            self.0.len() - 1
        })
    }
}

/// Reads what `sql` finds: `captured_at` in µs and `monotonic_ms` as BIGINT, `boot_id`, then `L` levels and `C` counters as
/// DOUBLE. By columns: thirty days of a host are 260,000 rows.
pub(super) fn read_samples<const L: usize, const C: usize>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
) -> duckdb::Result<Vec<Sample<L, C>>> {
    let (mut samples, mut boots) = (Vec::new(), Boots::default());
    for batch in connection.prepare_cached(sql)?.query_arrow(params)? {
        samples.reserve(batch.num_rows());
        for row in 0..batch.num_rows() {
            samples.extend(read_sample(&batch, row, &mut boots));
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
    let whole =
        |column: usize| Some(batch.columns().get(column)?.as_primitive_opt::<Int64Type>()?.value(row));
    let value = |column: usize| {
        let values = batch.columns().get(column)?.as_primitive_opt::<Float64Type>()?;
        values.is_valid(row).then(|| values.value(row))
    };
    Some(Sample {
        captured_at_us: whole(0)?,
        monotonic_ms: whole(1)?,
        boot: boots.number(batch.columns().get(2)?.as_string_opt::<i32>()?.value(row)),
        levels: std::array::from_fn(|level| value(3 + level)),
        counters: std::array::from_fn(|counter| value(3 + L + counter)),
    })
}
