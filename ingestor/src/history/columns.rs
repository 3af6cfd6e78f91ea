//! The columns of what DuckDB answers, by name. A reader finds them once for each batch: looking one up for every value
//! would take longer than reading it.

use arrow::array::{
    Array, ArrayAccessor, ArrowPrimitiveType, BooleanArray, PrimitiveArray, RecordBatch, StringArray,
};

/// A column of numbers.
///
/// # Errors
/// When there is none of this name and type: the query and its reader have come apart.
pub(super) fn numbers<'a, T: ArrowPrimitiveType>(
    batch: &'a RecordBatch,
    name: &str,
) -> duckdb::Result<&'a PrimitiveArray<T>> {
    column(batch, name)
}

/// A column of texts; errors as for [`numbers`].
pub(super) fn texts<'a>(batch: &'a RecordBatch, name: &str) -> duckdb::Result<&'a StringArray> {
    column(batch, name)
}

/// A column of truth values; errors as for [`numbers`].
pub(super) fn flags<'a>(batch: &'a RecordBatch, name: &str) -> duckdb::Result<&'a BooleanArray> {
    column(batch, name)
}

fn column<'a, A: 'static>(batch: &'a RecordBatch, name: &str) -> duckdb::Result<&'a A> {
    let found = batch.column_by_name(name).and_then(|column| column.as_any().downcast_ref());
    found.ok_or_else(|| duckdb::Error::InvalidColumnName(name.to_owned()))
}

/// The value in a row; `None` where it is NULL.
pub(super) fn value<A: ArrayAccessor>(column: A, row: usize) -> Option<A::Item> {
    column.is_valid(row).then(|| column.value(row))
}
