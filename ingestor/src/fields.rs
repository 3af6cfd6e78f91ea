//! The fields of the model as columns: what SQL says of them, how they are laid out for DuckDB, and how rows are read
//! back, by name.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Float32Array, Int8Array, Int64Array, RecordBatch,
        StringArray, TimestampMicrosecondArray, UInt8Array, UInt32Array,
    },
    datatypes::{DataType, Float32Type, Float64Type, Int8Type, Int64Type, UInt8Type, UInt32Type},
};
use duckdb::{Row, types::ValueRef};
use fleetps_nats::model::{
    Field, FieldRole, Kind, Scale, Value,
    process::{FACTS, FIGURES, PROCESS},
};

/// The facts of a process: stored once, until they change.
pub(crate) fn facts() -> impl Iterator<Item = &'static Field> + Clone {
    FACTS.iter().filter_map(|place| PROCESS.get(*place))
}

/// The same, each with its place in [`PROCESS`]; without those that are part of the identity.
pub(crate) fn facts_with_places() -> impl Iterator<Item = (usize, &'static Field)> + Clone {
    PROCESS.iter().enumerate().filter(|(_, field)| field.role == FieldRole::Fact)
}

/// The places of the facts that each process has for itself. All others many processes have in common, which are of one program.
pub(crate) const OWN_FACTS: [usize; 3] = [place("parent_pid"), place("container"), place("pod")];

/// The facts of a program, each with its place in [`PROCESS`].
pub(crate) fn program_facts_with_places() -> impl Iterator<Item = (usize, &'static Field)> + Clone {
    FACTS
        .iter()
        .filter(|place| !OWN_FACTS.contains(place))
        .filter_map(|place| Some((*place, PROCESS.get(*place)?)))
}

/// The place of a column in [`PROCESS`].
const fn place(column: &str) -> usize {
    let mut place = 0;
    while place < PROCESS.len() && !is_same(PROCESS[place].column.as_bytes(), column.as_bytes()) {
        place += 1;
    }
    place
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut same = 0;
    while same < one.len() && same < other.len() && one[same] == other[same] {
        same += 1;
    }
    same == one.len() && same == other.len()
}

/// The figures of a process: stored for every span of samples.
pub(crate) fn figures() -> impl Iterator<Item = &'static Field> + Clone {
    FIGURES.iter().filter_map(|place| PROCESS.get(*place))
}

fn list<'a>(fields: impl IntoIterator<Item = &'a Field>, text: impl Fn(&Field) -> String) -> String {
    fields.into_iter().map(text).collect::<Vec<_>>().join(", ")
}

/// The columns of `fields`, as a list in SQL.
pub(crate) fn columns<'a>(fields: impl IntoIterator<Item = &'a Field>) -> String {
    list(fields, |field| field.column.to_owned())
}

/// The same of a segment of `schema_version`, with NULL for what that has not.
pub(crate) fn columns_in<'a>(fields: impl IntoIterator<Item = &'a Field>, schema_version: u32) -> String {
    list(fields, |field| match field.since <= schema_version {
        true => field.column.to_owned(),
        false => format!("NULL::{} AS {}", field.sql_type, field.column),
    })
}

/// The same as [`read`] reads them: times as µs under the field's name.
pub(crate) fn readable<'a>(fields: impl IntoIterator<Item = &'a Field>) -> String {
    list(fields, |field| match field.kind {
        Kind::Time => format!("epoch_us({}) AS {}", field.column, field.name),
        _ => field.column.to_owned(),
    })
}

/// The name under which [`readable`] has a field.
fn readable_name(field: &Field) -> &'static str {
    if field.kind == Kind::Time { field.name } else { field.column }
}

/// The columns in which `fields` are stored.
pub(crate) fn stored<'a>(fields: impl IntoIterator<Item = &'a Field>) -> String {
    list(fields, |field| field.stored.column.to_owned())
}

/// The columns of a table with `fields`, and the generated columns in people's units.
pub(crate) fn definitions<'a>(fields: impl IntoIterator<Item = &'a Field> + Clone) -> String {
    let stored = |field: &Field| {
        // A machine that compiles starts thousands of long, similar command lines: 1 byte instead of 7 as a dictionary.
        let compression = if field.column == "command_line" { " USING COMPRESSION zstd" } else { "" };
        format!("{} {}{compression}", field.stored.column, field.stored.sql_type)
    };
    let generated = |field: &Field| format!("{} {} AS ({})", field.column, field.sql_type, unpacked(field));
    let others = fields.clone().into_iter().filter(|field| !field.is_stored_as_read());
    let all = fields.into_iter().map(stored).chain(others.map(generated));
    all.collect::<Vec<_>>().join(",\n    ")
}

/// The columns of `fields` that are worked out, from the stored ones.
pub(crate) fn worked_out<'a>(fields: impl IntoIterator<Item = &'a Field>) -> Vec<String> {
    let others = fields.into_iter().filter(|field| !field.is_stored_as_read());
    others.map(|field| format!("({})::{} AS {}", unpacked(field), field.sql_type, field.column)).collect()
}

/// How the value that people see is worked out from the stored one.
fn unpacked(field: &Field) -> String {
    let stored = field.stored.column;
    match field.stored.scale {
        Scale::Plain => stored.to_owned(),
        Scale::UnitsOf(size) => format!("{stored}::BIGINT * {size}"),
        Scale::Tenths => format!("{stored} / 10"),
        Scale::Ascii => format!("chr({stored})"),
    }
}

/// The stored figures of a process, worked out from those that people see: the generated columns the other way round.
pub(crate) fn packed_figures() -> String {
    list(figures(), |field| {
        let (column, sql_type) = (field.column, field.stored.sql_type);
        let packed = match field.stored.scale {
            Scale::Plain => return column.to_owned(),
            Scale::UnitsOf(size) => format!("try_cast({column} // {size} AS {sql_type})"),
            Scale::Tenths => format!("try_cast(round({column} * 10) AS {sql_type})"),
            Scale::Ascii => format!("if(ascii({column}) < 256, ascii({column}), 63)::{sql_type}"),
        };
        format!("{packed} AS {}", field.stored.column)
    })
}

/// Whether a row has the same stored figures as the row before.
pub(crate) fn same_figures() -> String {
    let same = |field: &Field| {
        let stored = field.stored.column;
        format!("AND {stored} IS NOT DISTINCT FROM lag({stored}) OVER ()")
    };
    figures().map(same).collect::<Vec<_>>().join("\n        ")
}

/// The stored figures of one process, in half the memory where none is large: a segment of a large fleet has millions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StoredFigures {
    Small([i32; FIGURES.len()]),
    Large(Box<[i64; FIGURES.len()]>),
}

/// Stand for an absent figure. No field reaches them: counters are never negative, and nothing else that is stored is large.
const ABSENT: i64 = i64::MIN;
const ABSENT_SMALL: i32 = i32::MIN;

impl StoredFigures {
    /// Packs the figures of a process, given all its values.
    pub(crate) fn of(values: &[Value<'_>; PROCESS.len()]) -> Self {
        let mut stored = [ABSENT; FIGURES.len()];
        for (slot, place) in stored.iter_mut().zip(FIGURES) {
            *slot = pack(&PROCESS[place], values[place]).unwrap_or(ABSENT);
        }
        let mut small = [ABSENT_SMALL; FIGURES.len()];
        for (slot, value) in small.iter_mut().zip(stored) {
            match i32::try_from(value) {
                Ok(value) => *slot = value,
                Err(_) if value == ABSENT => {}
                Err(_) => return Self::Large(Box::new(stored)),
            }
        }
        Self::Small(small)
    }

    /// The memory that they take besides their own.
    pub(crate) fn more_bytes(&self) -> usize {
        match self {
            Self::Small(_) => 0,
            Self::Large(stored) => size_of_val(&**stored),
        }
    }

    fn get(&self, figure: usize) -> Option<i64> {
        match self {
            Self::Small(small) => {
                small.get(figure).copied().filter(|value| *value != ABSENT_SMALL).map(i64::from)
            }
            Self::Large(stored) => stored.get(figure).copied().filter(|value| *value != ABSENT),
        }
    }
}

/// A value as it is stored; `None` where it is absent or does not fit its column.
fn pack(field: &Field, value: Value<'_>) -> Option<i64> {
    let packed = match (field.stored.scale, value) {
        (Scale::Plain, Value::Integer(number)) => number,
        (Scale::UnitsOf(size), Value::Integer(number)) => number.div_euclid(i64::from(size)),
        // In single precision, as SQL does.
        (Scale::Tenths, Value::Float(number)) => (number * 10.0).round() as i64,
        (Scale::Ascii, Value::Letter(letter)) => i64::from(u8::try_from(letter).unwrap_or(b'?')),
        _ => return None,
    };
    let fits = match field.stored.sql_type {
        "UTINYINT" => u8::try_from(packed).is_ok(),
        "TINYINT" => i8::try_from(packed).is_ok(),
        "UINTEGER" => u32::try_from(packed).is_ok(),
        _ => true,
    };
    fits.then_some(packed)
}

/// The stored figures of many rows as columns, in the order of [`stored`].
pub(crate) fn figure_arrays<'a>(
    rows: impl Iterator<Item = &'a StoredFigures> + Clone,
) -> impl Iterator<Item = (&'static str, ArrayRef)> {
    figures().enumerate().map(move |(figure, field)| {
        let values = rows.clone().map(|row| row.get(figure));
        (field.stored.column, integers(field.stored.sql_type, values))
    })
}

/// Whole numbers as a column of `sql_type`; the values were checked to fit.
fn integers(sql_type: &str, values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    fn fit<T: TryFrom<i64>>(value: Option<i64>) -> Option<T> {
        value.and_then(|value| T::try_from(value).ok())
    }
    match sql_type {
        "UTINYINT" => Arc::new(values.map(fit).collect::<UInt8Array>()),
        "TINYINT" => Arc::new(values.map(fit).collect::<Int8Array>()),
        "UINTEGER" => Arc::new(values.map(fit).collect::<UInt32Array>()),
        "TIMESTAMP" => Arc::new(values.collect::<TimestampMicrosecondArray>()),
        _ => Arc::new(values.collect::<Int64Array>()),
    }
}

/// The values of one field of many rows as a column.
pub(crate) fn array<'a>(field: &Field, values: impl Iterator<Item = Value<'a>>) -> (&'static str, ArrayRef) {
    let array: ArrayRef = match field.sql_type {
        "VARCHAR" => Arc::new(values.map(Value::text).collect::<StringArray>()),
        "FLOAT" => {
            Arc::new(values.map(|value| value.number().map(|number| number as f32)).collect::<Float32Array>())
        }
        "BOOLEAN" => {
            Arc::new(values.map(|value| value.integer().map(|flag| flag != 0)).collect::<BooleanArray>())
        }
        sql_type => integers(sql_type, values.map(Value::integer)),
    };
    (field.column, array)
}

/// Reads the columns of `fields` from a row of what [`readable`] selects, and hands each to `set` with its place.
///
/// # Errors
/// When the row lacks one.
pub(crate) fn read<'a>(
    row: &Row<'_>,
    fields: impl Iterator<Item = (usize, &'a Field)>,
    mut set: impl FnMut(usize, Value<'_>),
) -> duckdb::Result<()> {
    for (place, field) in fields {
        let value = match row.get_ref(readable_name(field))? {
            ValueRef::Text(bytes) => std::str::from_utf8(bytes).map_or(Value::Absent, Value::Text),
            ValueRef::Boolean(flag) => Value::Integer(flag.into()),
            ValueRef::TinyInt(number) => Value::Integer(number.into()),
            ValueRef::UTinyInt(number) => Value::Integer(number.into()),
            ValueRef::UInt(number) => Value::Integer(number.into()),
            ValueRef::BigInt(number) => Value::Integer(number),
            ValueRef::Float(number) => Value::Float(number),
            _ => Value::Absent,
        };
        set(place, value);
    }
    Ok(())
}

/// The columns of `fields` in a batch of what [`readable`] selects, each with its place.
pub(crate) fn arrays<'a, 'b>(
    batch: &'b RecordBatch,
    fields: impl Iterator<Item = (usize, &'a Field)>,
) -> Vec<(usize, &'b dyn Array)> {
    let found = fields
        .filter_map(|(place, field)| Some((place, batch.column_by_name(readable_name(field))?.as_ref())));
    found.collect()
}

/// The value of a column in one row; absent where there is none.
pub(crate) fn value(array: &dyn Array, row: usize) -> Value<'_> {
    if array.is_null(row) {
        return Value::Absent;
    }
    let integer = |number: i64| Value::Integer(number);
    match array.data_type() {
        DataType::Utf8 => Value::Text(array.as_string::<i32>().value(row)),
        DataType::Boolean => integer(array.as_boolean().value(row).into()),
        DataType::Int8 => integer(array.as_primitive::<Int8Type>().value(row).into()),
        DataType::UInt8 => integer(array.as_primitive::<UInt8Type>().value(row).into()),
        DataType::UInt32 => integer(array.as_primitive::<UInt32Type>().value(row).into()),
        DataType::Int64 => integer(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => Value::Float(array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => Value::Float(array.as_primitive::<Float64Type>().value(row) as f32),
        _ => Value::Absent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::open_engine;

    /// A value of each figure that its stored column holds exactly.
    fn example(field: &Field) -> Value<'static> {
        match field.stored.scale {
            Scale::Plain => Value::Integer(7),
            Scale::UnitsOf(size) => Value::Integer(7 * i64::from(size)),
            Scale::Tenths => Value::Float(0.7),
            Scale::Ascii => Value::Letter('S'),
        }
    }

    #[test]
    fn a_process_has_its_parent_and_its_container_for_itself() {
        assert_eq!(OWN_FACTS.map(|place| PROCESS[place].column), ["parent_pid", "container", "pod"]);
        assert_eq!(OWN_FACTS.len() + program_facts_with_places().count(), facts().count());
    }

    #[test]
    fn large_figures_are_kept_as_exactly_as_small_ones() {
        let sectors = |place: usize| PROCESS[place].column == "read_bytes";
        let read = FIGURES.iter().position(|place| sectors(*place)).unwrap();
        for (kept, is_small) in [(0, true), (i64::from(i32::MAX), true), (1 << 31, false), (1 << 50, false)] {
            let mut values = [Value::Absent; PROCESS.len()];
            values[FIGURES[read]] = Value::Integer(kept * 512);
            let stored = StoredFigures::of(&values);
            let others = (0..FIGURES.len()).filter(|figure| stored.get(*figure).is_some()).count();
            assert_eq!((stored.get(read), others), (Some(kept), 1));
            assert_eq!(stored.more_bytes() == 0, is_small, "{kept}");
        }
    }

    /// The figures that SQL derives from stored ones, and packs again.
    #[test]
    fn rust_packs_a_figure_as_sql_does_and_sql_unpacks_what_it_was() {
        let mut values = [Value::Absent; PROCESS.len()];
        for place in FIGURES {
            values[place] = example(&PROCESS[place]);
        }
        let stored = StoredFigures::of(&values);
        let engine = open_engine(64, 1, None).unwrap();
        engine.execute_batch(&format!("CREATE TABLE t ({})", definitions(figures()))).unwrap();
        let names = super::stored(figures());
        let numbers: Vec<String> =
            (0..FIGURES.len()).map(|figure| stored.get(figure).unwrap().to_string()).collect();
        engine.execute_batch(&format!("INSERT INTO t ({names}) VALUES ({})", numbers.join(", "))).unwrap();
        let mut statement = engine.prepare(&format!("SELECT {} FROM t", readable(figures()))).unwrap();
        let mut rows = statement.query([]).unwrap();
        read(rows.next().unwrap().unwrap(), FIGURES.into_iter().zip(figures()), |place, value| {
            let expected = values[place];
            match expected {
                Value::Letter(letter) => assert_eq!(value.text(), Some(letter.to_string().as_str())),
                _ => assert_eq!(value, expected, "{}", PROCESS[place].name),
            }
        })
        .unwrap();
        let packed =
            format!("SELECT count(*) FROM (SELECT {} FROM t EXCEPT SELECT {names} FROM t)", packed_figures());
        let others: u64 = engine.query_row(&packed, [], |row| row.get(0)).unwrap();
        assert_eq!(others, 0, "packing by SQL gives other values than those that were stored");
    }
}
