//! Processes as columns on the wire.
//!
//! One list per field instead of one map per process: names travel once, like values stand together for the
//! compressor, and a field added later is one more list that older readers skip. Every list must have as many entries
//! as `pid`; a list that is missing altogether means that the field is absent for all.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{MAX_PROCESSES, Process, codec::bounded_list};

/// One field of all processes.
type Column<T> = Vec<T>;

macro_rules! columns {
    ($($field:ident: $kind:ty = $absent:expr),+ $(,)?) => {
        /// What is written: borrowed from the rows.
        struct Written<'a>(&'a [Process]);

        impl Serialize for Written<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeStruct;
                let count = 1 + [$(stringify!($field)),+].len();
                let mut map = serializer.serialize_struct("processes", count)?;
                $(map.serialize_field(
                    stringify!($field),
                    &Lent(self.0, |process| &process.$field),
                )?;)+
                map.serialize_field("state", &self.0.iter().map(|process| process.state).collect::<String>())?;
                map.end()
            }
        }

        /// What is read.
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Read {
            $(#[serde(deserialize_with = "bounded_list::<_, _, MAX_PROCESSES>")] $field: Column<$kind>,)+
            state: String,
        }

        impl Read {
            fn into_rows<E: serde::de::Error>(mut self) -> Result<Vec<Process>, E> {
                let count = self.pid.len();
                $(
                    if self.$field.is_empty() {
                        if count > 0 { self.$field = absent_column(count, $absent, stringify!($field))?; }
                    } else if self.$field.len() != count {
                        return Err(E::custom(format!(
                            "the column {} has {} entries, pid has {count}", stringify!($field), self.$field.len()
                        )));
                    }
                )+
                if self.state.len() > 4 * MAX_PROCESSES || self.state.chars().count() != count {
                    return Err(E::custom("the column state has not one letter for each pid"));
                }
                let mut states = self.state.chars();
                $(let mut $field = self.$field.into_iter();)+
                let mut rows = Vec::with_capacity(count);
                for _ in 0..count {
                    // Every column was just checked to have `count` entries.
                    rows.push(Process {
                        state: states.next().unwrap_or('?'),
                        $($field: $field.next().unwrap_or_default(),)+
                    });
                }
                Ok(rows)
            }
        }
    };
}

/// A column of absent values; an error where the field may not be absent.
fn absent_column<T: Clone, E: serde::de::Error>(
    count: usize,
    absent: Option<T>,
    name: &str,
) -> Result<Column<T>, E> {
    match absent {
        Some(value) => Ok(vec![value; count]),
        None => Err(E::custom(format!("the column {name} is missing"))),
    }
}

columns! {
    pid: u32 = None,
    parent_pid: Option<u32> = Some(None),
    started_at_us: i64 = None,
    name: String = None,
    executable: Option<String> = Some(None),
    command_line: Option<String> = Some(None),
    user_name: Option<String> = Some(None),
    threads: Option<u32> = Some(None),
    cpu_percent: Option<f32> = Some(None),
    cpu_time_ms: Option<u64> = Some(None),
    resident_bytes: Option<u64> = Some(None),
    virtual_bytes: Option<u64> = Some(None),
    read_bytes: Option<u64> = Some(None),
    written_bytes: Option<u64> = Some(None),
    unit: Option<String> = Some(None),
    container: Option<String> = Some(None),
}

/// One field of the rows, lent to the serializer as a list.
struct Lent<'a, T>(&'a [Process], fn(&Process) -> &T);

impl<T: Serialize> Serialize for Lent<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(self.1))
    }
}

pub(super) fn serialize<S: Serializer>(rows: &[Process], serializer: S) -> Result<S::Ok, S::Error> {
    Written(rows).serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Process>, D::Error> {
    Read::deserialize(deserializer)?.into_rows()
}
