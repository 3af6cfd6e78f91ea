//! What of a host's past a rule needs: the rest decides nothing, and is most of it.

use std::collections::BTreeSet;

use askama::Template;
use duckdb::{Row, params};

use super::host::OfHost;
use crate::{
    alerts::{Key, LARGE_BYTES, Measure, Over, Rule},
    catalog::SegmentIndex,
    history::HistoryError,
    template::render,
    time::floor_ms,
};

/// The sums that may be beyond a threshold.
#[derive(Template)]
#[template(path = "history/back_test/may_raise.sql")]
struct MayRaiseSql<'a> {
    /// The name by which processes are summed.
    group: &'a str,
    /// The greatest value of a process in an hour.
    greatest: &'a str,
    process_history: &'a str,
    process_hour: &'a str,
    raise: &'a str,
    slack: f64,
}

/// Hours have the greatest value as it was measured, and spans have it rounded to tenths.
const SLACK: f64 = 0.1;

impl OfHost<'_> {
    /// The SQL condition of spans whose processes may have an alert, or have one.
    pub(super) fn relevant(&self) -> Option<String> {
        let condition = relevant(self.first)?;
        Some(match self.known() {
            Some(known) => format!("{condition} OR {known}"),
            None => condition,
        })
    }

    /// The SQL condition of the processes of which something is remembered: their end is to be seen.
    fn known(&self) -> Option<String> {
        let known = self.evaluator.processes_of(self.host);
        let pair = |(pid, start): (u32, i64)| format!("({pid}, {start})");
        let pairs: Vec<String> = known.into_iter().map(pair).collect();
        (!pairs.is_empty()).then(|| format!("(pid, start_ticks) IN ({})", pairs.join(", ")))
    }

    /// The sums that may be beyond the threshold in some hour of this part, and those of which something is remembered; `None`
    /// where hours are not summed up, or do not say it.
    pub(super) fn may_matter(
        &self,
        segment: &SegmentIndex,
        (first_us, last_us): (i64, i64),
    ) -> Result<Option<BTreeSet<Key>>, HistoryError> {
        let Rule { threshold, over, .. } = self.first;
        let group = match over {
            Over::Host => "''",
            Over::Program => "name",
            Over::Unit => "unit",
            Over::User => "user_name",
            Over::Process | Over::Filesystem => return Ok(None),
        };
        let has_hours = segment.has_hours() && !segment.name.is_imported();
        let greatest = greatest_in_an_hour(self.first.measure).filter(|_| has_hours && threshold.is_above);
        let Some(greatest) = greatest else { return Ok(None) };
        let relation = |table| self.reading.relation_of_host(table, segment, self.host);
        let sql = render(&MayRaiseSql {
            group,
            greatest,
            process_history: &relation("process_history")?,
            process_hour: &relation("process_hour")?,
            raise: &format!("{:?}::DOUBLE", threshold.raise),
            slack: SLACK,
        });
        // With a threshold in it, it is of no use to another question.
        let mut statement = self.reading.connection.prepare(&sql)?;
        let params = params![self.host.as_str(), floor_ms(first_us), floor_ms(last_us)];
        let key = |row: &Row<'_>| {
            let named: String = row.get(0)?;
            Ok(if *over == Over::Host { Key::Host } else { Key::Named(named) })
        };
        let mut keys = statement.query_map(params, key)?.collect::<duckdb::Result<BTreeSet<Key>>>()?;
        keys.extend(self.evaluator.keys_of(self.host));
        Ok(Some(keys))
    }
}

/// The column of the greatest value of a process in an hour, where there is one.
fn greatest_in_an_hour(measure: Measure) -> Option<&'static str> {
    let Measure::Process(figure) = measure else { return None };
    match figure.own_column()? {
        "cpu_percent" => Some("cpu_percent_max"),
        "resident_bytes" => Some("resident_bytes_max"),
        _ => None,
    }
}

/// The SQL condition of spans whose processes may have an alert; `None` where all have to be looked at.
pub(super) fn relevant(rule: &Rule) -> Option<String> {
    if rule.measure == Measure::MemoryFullIn {
        return Some(format!("resident_bytes >= {LARGE_BYTES}"));
    }
    let Measure::Process(figure) = rule.measure else { return None };
    let threshold = rule.threshold;
    let column = figure.own_column().filter(|_| rule.over == Over::Process && threshold.is_above)?;
    // As many digits as tell the number from any other. Figures are compared as they are stored.
    Some(format!("{column} > {:?}::DOUBLE", threshold.clear))
}
