//! The queries.

use askama::Template;
use fleetps_nats::model::{staleness, sums};

use super::grid::bucket_sql;

/// A figure of hosts.
#[derive(Template)]
#[template(path = "history/figures/host.sql")]
pub(super) struct HostSql<'a> {
    pub(super) host_sample: &'a str,
    pub(super) of_hosts: &'static str,
    /// The condition of the samples.
    pub(super) which: &'static str,
    pub(super) value: &'static str,
    pub(super) is_counter: bool,
    /// Whether pairs with a silence between them count.
    pub(super) has_silences: bool,
    pub(super) spacing_ms: String,
}

impl HostSql<'_> {
    fn bucket(at_ms: &str) -> String {
        bucket_sql(at_ms)
    }
}

/// A counter of programs.
#[derive(Template)]
#[template(path = "history/figures/growth.sql")]
pub(super) struct GrowthSql {
    pub(super) host_sample: String,
    pub(super) process_hour: String,
    pub(super) process_span: String,
    pub(super) programs: String,
    pub(super) of_hosts: &'static str,
    pub(super) wanted: String,
    pub(super) counter: &'static str,
    pub(super) unit: &'static str,
    pub(super) more_of_hour: &'static str,
    pub(super) more_of_span: &'static str,
    pub(super) is_hourly: bool,
    pub(super) spacing_ms: String,
}

impl GrowthSql {
    fn bucket(at_ms: String) -> String {
        bucket_sql(&at_ms)
    }

    /// A moment in ms; of an hour, the first of it.
    fn moment_ms(&self, column: &str) -> String {
        match self.is_hourly {
            true => format!("(epoch_ms({column}) // 3600000 * 3600000 + 1)"),
            false => format!("epoch_ms({column})"),
        }
    }
}

/// A level of programs.
#[derive(Template)]
#[template(path = "history/figures/levels.sql")]
pub(super) struct LevelsSql {
    pub(super) host_sample: String,
    pub(super) samples: String,
    pub(super) programs: String,
    pub(super) of_hosts: &'static str,
    pub(super) wanted: String,
    pub(super) value: &'static str,
    pub(super) is_every: bool,
}

impl LevelsSql {
    fn bucket(at_ms: &str) -> String {
        bucket_sql(at_ms)
    }
}

/// The same by the sums of hours.
#[derive(Template)]
#[template(path = "history/figures/hours.sql")]
pub(super) struct HoursSql {
    pub(super) host_sample: String,
    pub(super) process_hour: String,
    pub(super) programs: String,
    pub(super) of_hosts: &'static str,
    pub(super) wanted: String,
    pub(super) value: &'static str,
}

impl HoursSql {
    fn bucket(at_ms: &str) -> String {
        bucket_sql(at_ms)
    }
}

/// The names of programs.
#[derive(Template)]
#[template(path = "history/figures/names.sql")]
pub(super) struct NamesSql {
    pub(super) programs: String,
    pub(super) of_hosts: &'static str,
    pub(super) wanted: String,
}
