//! The part of a URL behind the question mark: reading it with errors that name the parameter, and writing it with
//! everything left out that is as usual.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use fleetps_ingestor::filter::{Filter, FilterError};

use super::{
    Column,
    travel::{Links, When},
};
use crate::refusal::Refusal;

/// Longest filter text: far more than people type.
const MAX_FILTER_BYTES: usize = 1_000;
/// Most rows expanded or collapsed by hand: what fits into a URL of a few kilobytes.
const MAX_TOGGLED: usize = 1_000;
/// Rows shown unless more are asked for: more than anybody reads at once, and under 100 KB.
pub const USUAL_ROWS: usize = 500;
/// The most rows a page shows: the most processes a snapshot holds.
pub const MAX_ROWS: usize = fleetps_nats::snapshot::MAX_PROCESSES;

/// A parameter has a value it cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the parameter `{parameter}` cannot be {given:?}")]
pub struct BadParameter {
    /// The parameter.
    pub parameter: String,
    /// Its value.
    pub given: String,
    /// What it can be.
    pub expected: String,
}

impl BadParameter {
    /// `parameter` cannot be `given`; `expected` completes "expected …".
    pub fn new(parameter: &str, given: &str, expected: impl Into<String>) -> Self {
        let given = crate::display::cut(given, 100).into_owned();
        Self { parameter: parameter.to_owned(), given, expected: expected.into() }
    }
}

impl From<BadParameter> for Refusal {
    fn from(bad: BadParameter) -> Self {
        Self::new(StatusCode::BAD_REQUEST, bad.to_string(), format!("expected {}", bad.expected))
    }
}

/// Reads a whole number of at most `most`.
pub fn number(parameter: &str, given: &str, most: usize) -> Result<usize, BadParameter> {
    let parsed = given.parse().ok().filter(|number| *number <= most);
    parsed.ok_or_else(|| BadParameter::new(parameter, given, format!("a whole number from 0 to {most}")))
}

/// How the processes are arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Arrangement {
    /// Children under their parents.
    #[default]
    Tree,
    /// One list.
    Flat,
    /// Added up by name.
    Program,
    /// Added up by user.
    User,
    /// Added up by systemd unit.
    Unit,
    /// Added up by container.
    Container,
}

impl Arrangement {
    /// All, in the order of the switch.
    pub const ALL: [Self; 6] =
        [Self::Tree, Self::Flat, Self::Program, Self::User, Self::Unit, Self::Container];

    /// Its name in the URL.
    pub fn id(self) -> &'static str {
        match self {
            Self::Tree => "tree",
            Self::Flat => "flat",
            Self::Program => "program",
            Self::User => "user",
            Self::Unit => "unit",
            Self::Container => "container",
        }
    }

    /// Its name on the page.
    pub fn label(self) -> &'static str {
        match self {
            Self::Tree => "Tree",
            Self::Flat => "Flat",
            Self::Program => "Program",
            Self::User => "User",
            Self::Unit => "Unit",
            Self::Container => "Container",
        }
    }
}

/// How a host's processes are shown.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessQuery {
    /// The arrangement.
    pub view: Arrangement,
    /// The filter, as typed.
    pub q: String,
    /// The filter, as understood.
    pub filter: Result<Filter, FilterError>,
    /// The column it is sorted by.
    pub sort: Column,
    /// Whether the greatest comes first.
    pub descending: bool,
    /// The columns, in the table's order.
    pub columns: Vec<Column>,
    /// Rows of the tree expanded by hand, by pid.
    pub open: BTreeSet<u32>,
    /// Rows of the tree collapsed by hand, by pid.
    pub closed: BTreeSet<u32>,
    /// The most rows to show.
    pub rows: usize,
    /// At which moment, and over which span the timeline is.
    pub when: When,
}

impl Default for ProcessQuery {
    fn default() -> Self {
        Self {
            view: Arrangement::Tree,
            q: String::new(),
            filter: Ok(Filter::default()),
            sort: Column::Cpu,
            descending: true,
            columns: usual_columns(),
            open: BTreeSet::new(),
            closed: BTreeSet::new(),
            rows: USUAL_ROWS,
            when: When::default(),
        }
    }
}

fn usual_columns() -> Vec<Column> {
    Column::ALL.into_iter().filter(|column| column.usual()).collect()
}

impl ProcessQuery {
    /// Reads it from the part of the URL behind the question mark; parameters of others are left alone.
    pub fn parse(query: &str) -> Result<Self, BadParameter> {
        let when = When::parse(query, crate::live::now_us())?;
        let mut parsed = Self { when, ..Self::default() };
        let mut columns: Vec<Column> = Vec::new();
        let mut descending = None;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "view" => parsed.view = arrangement(&value)?,
                "q" => parsed = parsed.filtered(&filter_text(&value)?),
                "sort" => parsed.sort = column("sort", &value)?,
                "dir" => descending = direction(&value)?,
                "cols" => {
                    for name in value.split(',') {
                        columns.push(column("cols", name)?);
                    }
                }
                "open" => pids("open", &value, &mut parsed.open)?,
                "closed" => pids("closed", &value, &mut parsed.closed)?,
                "rows" => parsed.rows = number("rows", &value, MAX_ROWS)?,
                _ => {}
            }
        }
        parsed.descending = descending.unwrap_or(parsed.sort.greatest_first());
        if !columns.is_empty() {
            let chosen = |column: &Column| *column == Column::Name || columns.contains(column);
            parsed.columns = Column::ALL.into_iter().filter(chosen).collect();
        }
        Ok(parsed)
    }

    /// Name and value of every parameter that is not as usual.
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let mut parameters = self.timeless();
        parameters.extend(self.when.parameters());
        parameters
    }

    /// Where the page at `path` leads as it moves through time.
    pub fn links(&self, path: &str) -> Links {
        Links { path: path.to_owned(), parameters: self.timeless(), when: self.when.clone() }
    }

    fn timeless(&self) -> Vec<(&'static str, String)> {
        let usual = Self::default();
        let mut parameters = Vec::new();
        let mut add = |name, value: String| parameters.push((name, value));
        if self.view != usual.view {
            add("view", self.view.id().to_owned());
        }
        if !self.q.is_empty() {
            add("q", self.q.clone());
        }
        if self.sort != usual.sort {
            add("sort", self.sort.id().to_owned());
        }
        if self.descending != self.sort.greatest_first() {
            add("dir", if self.descending { "desc" } else { "asc" }.to_owned());
        }
        if self.columns != usual.columns {
            add("cols", join(self.columns.iter().map(|column| column.id())));
        }
        if !self.open.is_empty() {
            add("open", join(&self.open));
        }
        if !self.closed.is_empty() {
            add("closed", join(&self.closed));
        }
        if self.rows != usual.rows {
            add("rows", self.rows.to_string());
        }
        parameters
    }

    /// The URL of `path` with this query.
    pub fn url(&self, path: &str) -> String {
        url(path, &self.parameters())
    }

    /// The same, sorted by `column`; the other way round if it is already.
    pub fn sorted_by(&self, column: Column) -> Self {
        let descending = if self.sort == column { !self.descending } else { column.greatest_first() };
        Self { sort: column, descending, ..self.clone() }
    }

    /// The same with another filter.
    pub fn filtered(self, q: &str) -> Self {
        Self { q: q.to_owned(), filter: Filter::parse(q), ..self }
    }

    /// The same in another arrangement.
    pub fn arranged(&self, view: Arrangement) -> Self {
        Self { view, rows: USUAL_ROWS, ..self.clone() }
    }

    /// The same with the row of `pid` expanded or collapsed.
    pub fn toggled(&self, pid: u32, expand: bool) -> Self {
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

/// The URL of `path` with these parameters.
pub fn url(path: &str, parameters: &[(&'static str, String)]) -> String {
    if parameters.is_empty() {
        return path.to_owned();
    }
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(parameters);
    // Commas and colons mean the same written out, and lists and times are easier to read with them.
    format!("{path}?{}", query.finish().replace("%2C", ",").replace("%3A", ":"))
}

/// Reads a direction.
pub fn direction(value: &str) -> Result<Option<bool>, BadParameter> {
    match value {
        "" => Ok(None),
        "asc" => Ok(Some(false)),
        "desc" => Ok(Some(true)),
        other => Err(BadParameter::new("dir", other, "`asc` or `desc`")),
    }
}

/// Reads the text of a filter.
pub fn filter_text(value: &str) -> Result<String, BadParameter> {
    let text = value.trim();
    if text.len() > MAX_FILTER_BYTES {
        return Err(BadParameter::new("q", text, format!("at most {MAX_FILTER_BYTES} bytes")));
    }
    Ok(text.to_owned())
}

/// A filter that cannot be understood, as a parameter that cannot be.
pub fn bad_filter(q: &str, error: &FilterError) -> BadParameter {
    BadParameter::new("q", q, format!("another filter: {error}"))
}

/// Reads a column's name, as in pages or as in JSON.
pub fn column(parameter: &str, value: &str) -> Result<Column, BadParameter> {
    Column::find(value).ok_or_else(|| {
        let known = Column::ALL.map(Column::id).join(", ");
        BadParameter::new(parameter, value, format!("one of {known}"))
    })
}

fn arrangement(value: &str) -> Result<Arrangement, BadParameter> {
    let known = || Arrangement::ALL.map(Arrangement::id).join(", ");
    let found = Arrangement::ALL.into_iter().find(|arrangement| arrangement.id() == value);
    found.ok_or_else(|| BadParameter::new("view", value, format!("one of {}", known())))
}

fn pids(parameter: &str, value: &str, into: &mut BTreeSet<u32>) -> Result<(), BadParameter> {
    for pid in value.split(',').filter(|pid| !pid.is_empty()) {
        let parsed =
            pid.parse().map_err(|_| BadParameter::new(parameter, pid, "process ids with commas between"))?;
        into.insert(parsed);
    }
    if into.len() > MAX_TOGGLED {
        return Err(BadParameter::new(parameter, value, format!("at most {MAX_TOGGLED} process ids")));
    }
    Ok(())
}

fn join<T: ToString>(values: impl IntoIterator<Item = T>) -> String {
    values.into_iter().map(|value| value.to_string()).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_written_as_it_is_read_without_what_is_usual() {
        for (read, written) in [
            ("", "/h"),
            ("view=tree&sort=cpu&dir=desc&rows=500&q=&open=", "/h"),
            ("view=flat&q=a+%26b&sort=name", "/h?view=flat&q=a+%26b&sort=name"),
            ("sort=name&dir=desc", "/h?sort=name&dir=desc"),
            ("open=3,1&closed=2", "/h?open=1,3&closed=2"),
            ("cols=cpu&cols=pid,unit", "/h?cols=name,pid,cpu,unit"),
            ("sort=resident_bytes&other=1", "/h?sort=memory"),
            ("range=3h&at=2026-11-21T03:12:00Z&view=flat", "/h?view=flat&at=2026-11-21T03:12:00Z&range=3h"),
        ] {
            assert_eq!(ProcessQuery::parse(read).unwrap().url("/h"), written, "{read}");
        }
    }

    #[test]
    fn a_bad_value_is_refused_by_the_name_of_its_parameter() {
        for (read, parameter) in [
            ("view=rings", "view"),
            ("sort=colour", "sort"),
            ("dir=up", "dir"),
            ("cols=pid,x", "cols"),
            ("open=1,a", "open"),
            ("closed=-1", "closed"),
            ("rows=20001", "rows"),
            ("rows=many", "rows"),
            ("at=2026-11-21T03:12:00", "at"),
        ] {
            assert_eq!(ProcessQuery::parse(read).unwrap_err().parameter, parameter, "{read}");
        }
        assert_eq!(ProcessQuery::parse(&format!("q={}", "x".repeat(1001))).unwrap_err().parameter, "q");
    }

    #[test]
    fn toggling_a_row_twice_leaves_it_where_it_was_put() {
        let query = ProcessQuery::default().toggled(7, true);
        assert_eq!(query.url("/h"), "/h?open=7");
        assert_eq!(query.toggled(7, false).url("/h"), "/h?closed=7");
    }
}
