//! The queries of a search as templates.

use askama::Template;
use fleetps_nats::model::{derived, process::PROCESS, rate, staleness};

use crate::fields;

/// Makes the table `moments`.
#[derive(Template)]
#[template(path = "history/search/moments.sql")]
pub(super) struct MomentsSql<'a> {
    /// The moment that is looked at, in ms since 1970 UTC.
    pub(super) at_ms: i64,
    /// The samples of hosts, each with `spacing_ms`.
    pub(super) samples: &'a str,
}

/// The processes at `moments` with what a filter may ask for, as a relation `found`.
#[derive(Template)]
#[template(path = "history/search/found.sql")]
pub(super) struct FoundSql<'a> {
    /// The samples at `moments`.
    pub(super) process_sample: &'a str,
    pub(super) process_history: &'a str,
    /// The first of `moments`, as SQL.
    pub(super) first: &'a str,
    /// The last of `moments`, as SQL.
    pub(super) last: &'a str,
    /// Whether it has the growth of counters, for which the samples before are read as well.
    pub(super) has_rates: bool,
}

/// Makes the table `matched`.
#[derive(Template)]
#[template(path = "history/search/matched.sql")]
pub(super) struct MatchedSql<'a> {
    /// [`FoundSql`].
    pub(super) found: &'a str,
    /// The condition of a filter, with `?` for each value that a person typed.
    pub(super) condition: &'a str,
    /// What stands behind `ORDER BY`.
    pub(super) order: &'a str,
    pub(super) limit: usize,
}

/// The processes in `matched`.
#[derive(Template)]
#[template(path = "history/search/processes.sql")]
pub(super) struct ProcessesSql<'a> {
    /// [`FoundSql`].
    pub(super) found: &'a str,
    /// What stands behind `ORDER BY`.
    pub(super) order: &'a str,
}

impl FoundSql<'_> {
    /// The growth of each counter with a rate since the sample before.
    fn growths() -> String {
        of_rates(|counter, _| format!("{counter} - lag({counter}) OVER life AS {counter}_since"))
    }

    /// The rate of each counter with one.
    fn rates_of_growths() -> String {
        of_rates(|counter, rate| {
            format!("{} AS {rate}", rate::sql_per_second(&format!("{counter}_since"), "elapsed_ms"))
        })
    }
}

impl ProcessesSql<'_> {
    /// The columns of the rates.
    fn rates() -> String {
        of_rates(|_, rate| rate.to_owned())
    }
}

/// A list in SQL over the counters with a rate, made from each counter's column and its rate's.
fn of_rates(text: impl Fn(&str, &str) -> String) -> String {
    let rates = PROCESS.iter().filter_map(|field| Some(text(field.column, field.rate?.column)));
    rates.collect::<Vec<_>>().join(", ")
}
