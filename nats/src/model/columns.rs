//! Processes as columns on the wire.
//!
//! One list per field instead of one map per process: names travel once, like values stand together for the
//! compressor, and a field added later is one more list that older readers skip. Every list must have as many entries
//! as `pid`; a list that is missing altogether means that the field is absent for all.

use serde::{Deserialize, Serialize, Serializer, de, ser};

use super::{
    FieldValue,
    bounded::{MAX_PROCESSES, bounded_list},
};

/// A field that travels as a column.
pub(super) trait WireColumn: FieldValue {
    /// The values of all processes, as they are read.
    type Column: for<'de> Deserialize<'de> + Default;

    /// Writes the values of all rows into the map of columns.
    fn write<R, M: ser::SerializeStruct>(
        map: &mut M,
        name: &'static str,
        rows: &[R],
        field: fn(&R) -> &Self,
    ) -> Result<(), M::Error>;

    /// One value for each of `count` rows; an error where `column` is of another length, or missing although the field
    /// may not be.
    fn split<E: de::Error>(column: Self::Column, count: usize, name: &str) -> Result<Vec<Self>, E>;
}

/// A list of at most [`MAX_PROCESSES`] values.
#[derive(Deserialize)]
#[serde(bound = "T: Deserialize<'de>", transparent)]
pub(super) struct List<T>(#[serde(deserialize_with = "bounded_list::<_, _, MAX_PROCESSES>")] Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// One field of the rows, lent to the serializer as a list.
struct Lent<'a, R, T>(&'a [R], fn(&R) -> &T);

impl<R, T: Serialize> Serialize for Lent<'_, R, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(self.1))
    }
}

macro_rules! lists {
    ($($kind:ty),+) => {$(
        impl WireColumn for $kind {
            type Column = List<Self>;

            fn write<R, M: ser::SerializeStruct>(
                map: &mut M,
                name: &'static str,
                rows: &[R],
                field: fn(&R) -> &Self,
            ) -> Result<(), M::Error> {
                map.serialize_field(name, &Lent(rows, field))
            }

            fn split<E: de::Error>(column: Self::Column, count: usize, name: &str) -> Result<Vec<Self>, E> {
                split_list(column, count, name)
            }
        }
    )+};
}

lists!(u32, i64, String, Option<bool>, Option<i8>, Option<u32>, Option<u64>, Option<f32>, Option<String>);

fn split_list<T: FieldValue + Clone, E: de::Error>(
    List(values): List<T>,
    count: usize,
    name: &str,
) -> Result<Vec<T>, E> {
    if values.len() == count {
        return Ok(values);
    }
    if !values.is_empty() {
        let length = values.len();
        return Err(E::custom(format!("the column {name} has {length} entries, pid has {count}")));
    }
    let absent = T::absent().ok_or_else(|| E::custom(format!("the column {name} is missing")))?;
    Ok(vec![absent; count])
}

/// Letters travel as one text.
impl WireColumn for char {
    type Column = String;

    fn write<R, M: ser::SerializeStruct>(
        map: &mut M,
        name: &'static str,
        rows: &[R],
        field: fn(&R) -> &Self,
    ) -> Result<(), M::Error> {
        map.serialize_field(name, &rows.iter().map(field).collect::<String>())
    }

    fn split<E: de::Error>(column: String, count: usize, name: &str) -> Result<Vec<Self>, E> {
        if column.len() > 4 * MAX_PROCESSES || column.chars().count() != count {
            return Err(E::custom(format!("the column {name} has not one letter for each pid")));
        }
        Ok(column.chars().collect())
    }
}

/// Makes `serialize` and `deserialize` of a list of records, for `#[serde(with = …)]`; `$first` is the column that says how
/// many there are.
macro_rules! wire_columns {
    ($name:ident, $list:ident, $first:ident { $($field:ident: $kind:ty;)+ }) => {
        /// Writes rows as columns.
        pub(crate) fn serialize<S: serde::Serializer>(rows: &[$name], serializer: S) -> Result<S::Ok, S::Error> {
            use $crate::model::columns::WireColumn;
            use serde::ser::SerializeStruct;
            let mut map = serializer.serialize_struct("processes", $list.len())?;
            $(<$kind as WireColumn>::write(&mut map, stringify!($field), rows, |row: &$name| &row.$field)?;)+
            map.end()
        }

        /// Reads rows from columns.
        pub(crate) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<$name>, D::Error> {
            use $crate::model::columns::WireColumn;

            #[derive(serde::Deserialize, Default)]
            #[serde(default)]
            struct Read {
                $($field: <$kind as WireColumn>::Column,)+
            }

            let read = <Read as serde::Deserialize>::deserialize(deserializer)?;
            let count = read.$first.len();
            $(let mut $field = <$kind as WireColumn>::split(read.$field, count, stringify!($field))?.into_iter();)+
            // Every column was just checked to have `count` entries.
            Ok((0..count).map(|_| $name { $($field: $field.next().unwrap_or_default(),)+ }).collect())
        }
    };
}

impl<T> List<T> {
    /// How many values it has.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

pub(super) use wire_columns;
