//! What the processes of a search are sorted by: the same in memory and in SQL.

use std::cmp::Ordering;

use fleetps_nats::{
    model::{ProcessRates, Value, process::PROCESS},
    snapshot::Process,
};

/// The order of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FoundOrder {
    /// By what.
    pub by: FoundBy,
    /// Whether the greatest comes first; what is unknown comes last, whichever way.
    pub descending: bool,
}

/// What processes are sorted by. Equal ones are in the order of host and pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FoundBy {
    /// The host.
    #[default]
    Host,
    /// The time since the start.
    Age,
    /// The field at this place of the model's list.
    Field(usize),
    /// The growth per second of the counter at this place.
    Rate(usize),
}

/// The value of a process that it is sorted by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FoundKey<'a> {
    /// A number, where it is known.
    Number(Option<f64>),
    /// A text, where it is known.
    Text(Option<&'a str>),
}

impl FoundOrder {
    /// The key of a process; `age_us` is how old it is.
    pub fn key<'a>(
        self,
        host: &'a str,
        process: &'a Process,
        rates: &ProcessRates,
        age_us: i64,
    ) -> FoundKey<'a> {
        match self.by {
            FoundBy::Host => FoundKey::Text(Some(host)),
            FoundBy::Age => FoundKey::Number(Some(age_us as f64)),
            FoundBy::Rate(place) => FoundKey::Number(rates.at(place)),
            FoundBy::Field(place) => match process.value(place) {
                Value::Text(text) => FoundKey::Text(Some(text)),
                Value::Letter(letter) => FoundKey::Number(Some(f64::from(u32::from(letter)))),
                value => FoundKey::Number(value.number()),
            },
        }
    }

    /// How two keys compare.
    pub fn compare(self, a: &FoundKey<'_>, b: &FoundKey<'_>) -> Ordering {
        let (a_is_missing, b_is_missing) = (a.is_missing(), b.is_missing());
        if a_is_missing || b_is_missing {
            return a_is_missing.cmp(&b_is_missing);
        }
        let ascending = match (a, b) {
            (FoundKey::Number(a), FoundKey::Number(b)) => {
                a.unwrap_or_default().total_cmp(&b.unwrap_or_default())
            }
            (FoundKey::Text(a), FoundKey::Text(b)) => a.cmp(b),
            (FoundKey::Number(_), FoundKey::Text(_)) => Ordering::Less,
            (FoundKey::Text(_), FoundKey::Number(_)) => Ordering::Greater,
        };
        if self.descending { ascending.reverse() } else { ascending }
    }

    /// The place in the model's list of a process's fields that it looks at.
    pub fn place(self) -> Option<usize> {
        match self.by {
            FoundBy::Field(place) | FoundBy::Rate(place) => Some(place),
            FoundBy::Host | FoundBy::Age => None,
        }
    }

    /// Whether it needs the growth of a counter, which takes two snapshots to know.
    pub fn asks_for_rates(self) -> bool {
        matches!(self.by, FoundBy::Rate(_))
    }

    /// The same in SQL, behind `ORDER BY`.
    pub(super) fn sql(self) -> String {
        let column = match self.by {
            FoundBy::Host => Some("host"),
            FoundBy::Age => Some("age_s"),
            FoundBy::Field(place) => PROCESS.get(place).map(|field| field.column),
            FoundBy::Rate(place) => PROCESS.get(place).and_then(|field| Some(field.rate?.column)),
        };
        let direction = if self.descending { "DESC" } else { "ASC" };
        format!("{} {direction} NULLS LAST, host, pid, start_ticks", column.unwrap_or("host"))
    }
}

impl FoundKey<'_> {
    fn is_missing(&self) -> bool {
        matches!(self, Self::Number(None) | Self::Text(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_comes_last_whichever_way() {
        let keys = [Some(2.0), None, Some(3.0), Some(-1.0)].map(FoundKey::Number);
        for (descending, expected) in [
            (false, [Some(-1.0), Some(2.0), Some(3.0), None]),
            (true, [Some(3.0), Some(2.0), Some(-1.0), None]),
        ] {
            let order = FoundOrder { by: FoundBy::Age, descending };
            let mut sorted = keys;
            sorted.sort_by(|a, b| order.compare(a, b));
            assert_eq!(sorted, expected.map(FoundKey::Number));
        }
    }

    #[test]
    fn every_order_names_a_column_in_sql() {
        let cpu = PROCESS.iter().position(|field| field.column == "cpu_percent").unwrap();
        let read = PROCESS.iter().position(|field| field.column == "read_bytes").unwrap();
        for (by, descending, expected) in [
            (FoundBy::Host, false, "host ASC NULLS LAST, host, pid, start_ticks"),
            (FoundBy::Field(cpu), true, "cpu_percent DESC NULLS LAST, host, pid, start_ticks"),
            (FoundBy::Rate(read), true, "read_per_s DESC NULLS LAST, host, pid, start_ticks"),
        ] {
            assert_eq!(FoundOrder { by, descending }.sql(), expected);
        }
    }
}
