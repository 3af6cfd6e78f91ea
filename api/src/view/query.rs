//! The query of a host's table of processes, and what other queries have in common with it.

use std::collections::BTreeSet;

use fleetps_ingestor::filter::{Filter, FilterError};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{Arrangement, Column, travel::TimeQuery};
use crate::query::{
    order::{Order, SortColumn},
    parameter::{self, Count, Value, is_default},
};

/// Longest filter text: far more than people type.
const MAX_FILTER_BYTES: usize = 1_000;
/// Most rows expanded or collapsed by hand: what fits into a URL of a few kilobytes.
const MAX_TOGGLED: usize = 1_000;
/// Rows shown by default: more than a person reads at once, and under 100 KB.
pub(crate) const DEFAULT_ROWS: usize = 500;
/// The most rows a page shows: the most processes a snapshot holds.
pub(crate) const MAX_ROWS: usize = fleetps_nats::snapshot::MAX_PROCESSES;

/// The text of a filter over processes, and what it means.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FilterText {
    /// As typed.
    pub text: String,
    /// As understood.
    pub filter: Result<Filter, FilterError>,
}

/// The query of a host's table of processes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ProcessQuery {
    /// The arrangement.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub view: Arrangement,
    /// The filter.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub q: FilterText,
    /// The order.
    #[serde(flatten)]
    pub order: Order<Column>,
    /// The columns, in the table's order.
    #[serde(rename = "cols", with = "columns", skip_serializing_if = "are_usual")]
    pub columns: Vec<Column>,
    /// Rows of the tree expanded by hand, by pid.
    #[serde(with = "toggled", skip_serializing_if = "is_default")]
    pub open: BTreeSet<u32>,
    /// Rows of the tree collapsed by hand, by pid.
    #[serde(with = "toggled", skip_serializing_if = "is_default")]
    pub closed: BTreeSet<u32>,
    /// The most rows to show.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub rows: Count<DEFAULT_ROWS, MAX_ROWS>,
    /// At which moment, and over which span the timeline is.
    #[serde(flatten)]
    pub when: TimeQuery,
}

impl Default for ProcessQuery {
    fn default() -> Self {
        Self {
            view: Arrangement::Tree,
            q: FilterText::default(),
            order: Order::default(),
            columns: usual_columns(),
            open: BTreeSet::new(),
            closed: BTreeSet::new(),
            rows: Count::default(),
            when: TimeQuery::default(),
        }
    }
}

fn usual_columns() -> Vec<Column> {
    Column::ALL.into_iter().filter(|column| column.is_default()).collect()
}

fn are_usual(columns: &[Column]) -> bool {
    *columns == *usual_columns()
}

impl ProcessQuery {
    /// The same, sorted by `column`; the other way round if it is already.
    pub(crate) fn sorted_by(&self, column: Column) -> Self {
        Self { order: self.order.sorted_by(column), ..self.clone() }
    }

    /// The same with another filter.
    pub(crate) fn filtered(self, q: &str) -> Self {
        Self { q: FilterText::of(q), ..self }
    }

    /// The same in another arrangement.
    pub(crate) fn arranged(&self, view: Arrangement) -> Self {
        Self { view, rows: Count::default(), ..self.clone() }
    }

    /// The same with the row of `pid` expanded or collapsed.
    pub(crate) fn toggled(&self, pid: u32, expand: bool) -> Self {
        let mut toggled = self.clone();
        let (into, out_of) = if expand {
            (&mut toggled.open, &mut toggled.closed)
        } else {
            (&mut toggled.closed, &mut toggled.open)
        };
        out_of.remove(&pid);
        into.insert(pid);
        toggled
    }
}

impl FilterText {
    /// This text.
    pub(crate) fn of(text: &str) -> Self {
        Self { text: text.to_owned(), filter: Filter::parse(text) }
    }
}

impl Default for FilterText {
    fn default() -> Self {
        Self { text: String::new(), filter: Ok(Filter::default()) }
    }
}

impl Value for FilterText {
    fn read(given: &str) -> Result<Self, String> {
        filter_text(given).map(|text| Self::of(&text))
    }

    fn written(&self) -> String {
        self.text.clone()
    }

    fn schema() -> Json {
        json!({"type": "string", "maxLength": MAX_FILTER_BYTES})
    }
}

/// Reads the text of a filter.
///
/// # Errors
/// When it is too long.
pub(crate) fn filter_text(given: &str) -> Result<String, String> {
    let text = given.trim();
    if text.len() > MAX_FILTER_BYTES {
        return Err(format!("at most {MAX_FILTER_BYTES} bytes"));
    }
    Ok(text.to_owned())
}

/// A text as the filter language has it: in quotes, those within it doubled.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// A column, by its name in pages or in JSON.
impl Value for Column {
    fn read(given: &str) -> Result<Self, String> {
        Self::find(given).ok_or_else(|| format!("one of {}", Self::ALL.map(Self::id).join(", ")))
    }

    fn written(&self) -> String {
        self.id().to_owned()
    }
}

impl SortColumn for Column {
    const USUAL: Self = Self::Cpu;

    fn starts_with_greatest(self) -> bool {
        self.descending_by_default()
    }
}

/// Columns, named in any order; the name is always one of them.
mod columns {
    use serde::{Deserializer, Serializer};

    use super::{Column, usual_columns};
    use crate::query::parameter::list;

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Column>, D::Error> {
        let named: Vec<Column> = list::deserialize(deserializer)?;
        if named.is_empty() {
            return Ok(usual_columns());
        }
        let chosen = |column: &Column| *column == Column::Name || named.contains(column);
        Ok(Column::ALL.into_iter().filter(chosen).collect())
    }

    pub(super) fn serialize<S: Serializer>(columns: &Vec<Column>, serializer: S) -> Result<S::Ok, S::Error> {
        list::serialize(columns, serializer)
    }
}

/// Rows expanded or collapsed by hand, by pid.
mod toggled {
    use std::collections::BTreeSet;

    use serde::{Deserializer, Serializer, de::Error};

    use super::MAX_TOGGLED;
    use crate::query::parameter::list;

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<u32>, D::Error> {
        let pids: BTreeSet<u32> = list::deserialize(deserializer)?;
        match pids.len() {
            ..=MAX_TOGGLED => Ok(pids),
            _ => Err(D::Error::custom(format!("at most {MAX_TOGGLED} process ids"))),
        }
    }

    pub(super) fn serialize<S: Serializer>(pids: &BTreeSet<u32>, serializer: S) -> Result<S::Ok, S::Error> {
        list::serialize(pids, serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        query::{self, BadParameter},
        url::Url,
    };

    fn read(query: &str) -> Result<ProcessQuery, BadParameter> {
        query::read(query)
    }

    fn url(query: &ProcessQuery) -> String {
        Url::host("h", crate::url::HostTab::Processes).with(query).to_string()
    }

    #[test]
    fn a_query_is_written_as_it_is_read_without_what_is_usual() {
        for (given, written) in [
            ("", "/h"),
            ("view=tree&sort=cpu&dir=desc&rows=500&q=&open=", "/h"),
            ("view=flat&q=a+%26b&sort=name", "/h?view=flat&q=a+%26b&sort=name"),
            ("sort=name&dir=desc", "/h?sort=name&dir=desc"),
            ("open=3,1&closed=2", "/h?open=1,3&closed=2"),
            ("cols=cpu&cols=pid,unit", "/h?cols=name,pid,cpu,unit"),
            ("sort=resident_bytes&other=1", "/h?sort=memory"),
            ("range=3h&at=2026-11-21T03:12:00Z&view=flat", "/h?view=flat&at=2026-11-21T03:12:00Z&range=3h"),
        ] {
            assert_eq!(url(&read(given).unwrap()), format!("/hosts{written}"), "{given}");
        }
    }

    #[test]
    fn a_bad_value_is_refused_by_the_name_of_its_parameter() {
        for (given, parameter) in [
            ("view=rings", "view"),
            ("sort=colour", "sort"),
            ("dir=up", "dir"),
            ("cols=pid,x", "cols"),
            ("open=1,a", "open"),
            ("closed=-1", "closed"),
            ("rows=20001", "rows"),
            ("rows=many", "rows"),
            ("at=soon", "at"),
        ] {
            assert_eq!(read(given).unwrap_err().parameter, parameter, "{given}");
        }
        assert_eq!(read(&format!("q={}", "x".repeat(1001))).unwrap_err().parameter, "q");
    }

    #[test]
    fn toggling_a_row_twice_leaves_it_where_it_was_put() {
        let query = ProcessQuery::default().toggled(7, true);
        assert_eq!(url(&query), "/hosts/h?open=7");
        assert_eq!(url(&query.toggled(7, false)), "/hosts/h?closed=7");
    }
}
