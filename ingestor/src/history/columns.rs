//! Single values of what DuckDB answers in columns; `None` where there is none, or a column of another type.

use arrow::array::{Array, ArrowPrimitiveType, AsArray, RecordBatch};

/// A number.
pub(super) fn number<T: ArrowPrimitiveType>(
    batch: &RecordBatch,
    column: usize,
    row: usize,
) -> Option<T::Native> {
    let values = batch.columns().get(column)?.as_primitive_opt::<T>()?;
    values.is_valid(row).then(|| values.value(row))
}

/// A text.
pub(super) fn text(batch: &RecordBatch, column: usize, row: usize) -> Option<&str> {
    let values = batch.columns().get(column)?.as_string_opt::<i32>()?;
    values.is_valid(row).then(|| values.value(row))
}

/// True or false.
pub(super) fn flag(batch: &RecordBatch, column: usize, row: usize) -> Option<bool> {
    let values = batch.columns().get(column)?.as_boolean_opt()?;
    values.is_valid(row).then(|| values.value(row))
}
