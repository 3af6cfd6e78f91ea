//! The views and macros of `attach.sql`, and the queries below them, as templates.

use askama::Template;
use fleetps_nats::model::{Field, Spacing, rate, staleness};

use crate::fields;

/// The spans with a snapshot from a time until before another.
#[derive(Template)]
#[template(path = "catalog/spans_between.sql")]
pub(super) struct SpansBetweenSql<'a> {
    /// The spans that reach into this time, with their `file`.
    pub(super) spans: &'a str,
    /// The captures within this time, with their `file`.
    pub(super) wanted: &'a str,
    pub(super) from: &'a str,
    pub(super) to: &'a str,
}

/// The samples of processes at some moments.
#[derive(Template)]
#[template(path = "catalog/samples_at.sql")]
pub(super) struct SamplesAtSql<'a> {
    /// With their `file`.
    pub(super) spans: &'a str,
    /// With their `file`.
    pub(super) captures: &'a str,
    /// A relation (host, captured_at).
    pub(super) moments: &'a str,
}

/// The view `process`. A process has a row in every segment in which it occurs, but must have one in the view, or joins
/// would count twice.
#[derive(Template)]
#[template(path = "catalog/process_view.sql")]
pub(super) struct ProcessViewSql {
    pub(super) processes: String,
    /// What they were from one time to another.
    pub(super) history: String,
}

/// The view `process_hour`: an hour of a process may lie in two segments.
#[derive(Template)]
#[template(path = "catalog/process_hour_view.sql")]
pub(super) struct ProcessHourViewSql {
    pub(super) hours: String,
}

/// The macro `processes_at`: the process table of a host at a moment.
#[derive(Template)]
#[template(path = "catalog/processes_at_macro.sql")]
pub(super) struct ProcessesAtMacroSql {
    /// The samples at the moments in `latest`.
    pub(super) samples: String,
    /// What processes were from one time to another.
    pub(super) history: String,
}

impl ProcessesAtMacroSql {
    /// How long after a host's last sample it is silent, in ms.
    fn silent_after_ms() -> String {
        staleness::sql_silent_after_ms(&["interval_ms", &Spacing::OneAMinute.least_ms().to_string()])
    }

    /// The facts that the macro does not name.
    fn other_facts() -> impl Iterator<Item = &'static Field> {
        let named = ["parent_pid", "name", "user_name", "executable", "command_line"];
        fields::facts().filter(move |field| !named.contains(&field.column))
    }
}

/// The macro `top`: what each process used between two times.
#[derive(Template)]
#[template(path = "catalog/top_macro.sql")]
pub(super) struct TopMacroSql {
    /// The spans between `from_time` and `to_time`.
    pub(super) spans: String,
}

impl TopMacroSql {
    /// How much a counter grew from its column `first` to its column `last`.
    fn growth(first: &str, last: &str) -> String {
        let (first, last) = (format!("min({first})"), format!("max({last})"));
        rate::sql_growth_within(&first, &last, "any_value(process.started_at >= from_time::TIMESTAMP)")
    }
}
