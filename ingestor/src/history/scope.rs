//! Which hosts an answer may be about, and for which of them it may have command lines.
//!
//! A question is answered from the rows of its scope, as if there were no others: counts, sums, limits and searches
//! never use another row.

use std::{collections::BTreeSet, sync::Arc};

use duckdb::Connection;
use fleetps_nats::HostName;
use serde::{Deserialize, Serialize};

use crate::segment::quote_text;

/// Up to this many hosts are named in a query: for so few, a table makes no difference.
const MAX_NAMES: usize = 64;
/// Scopes that one connection keeps as tables. A thousand names take 60 KB.
const MAX_SCOPES: usize = 8;
/// The tables whose rows have a command line.
const TABLES_WITH_COMMAND_LINES: [&str; 4] = ["process", "process_earlier", "process_history", "event"];
/// The tables of a scope, behind its number.
const TABLES: [&str; 2] = ["hosts", "command_lines"];

/// A set of hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hosts {
    /// Every host, known or not.
    All,
    /// These.
    Only(BTreeSet<HostName>),
}

impl Hosts {
    /// No host.
    pub fn none() -> Self {
        Self::Only(BTreeSet::new())
    }

    /// Whether `host` is one of them.
    pub fn contains(&self, host: &HostName) -> bool {
        match self {
            Self::All => true,
            Self::Only(hosts) => hosts.contains(host),
        }
    }

    /// Their number; absent where it is every host.
    fn count(&self) -> Option<usize> {
        match self {
            Self::All => None,
            Self::Only(hosts) => Some(hosts.len()),
        }
    }

    /// The condition that a row is of one of them; absent where every row is.
    fn condition(&self) -> Option<String> {
        let Self::Only(hosts) = self else { return None };
        let names: Vec<String> = hosts.iter().map(|host| quote_text(host.as_str())).collect();
        Some(if names.is_empty() { "false".to_owned() } else { format!("host IN ({})", names.join(", ")) })
    }

    /// The same condition, by a table of this name that is made of them.
    fn condition_by_table(&self, connection: &Connection, table: &str) -> duckdb::Result<Option<String>> {
        let Self::Only(hosts) = self else { return Ok(None) };
        connection.execute_batch(&format!("CREATE TEMP TABLE {table} (host VARCHAR)"))?;
        // One text is read a thousand times faster than as many literals, and no name has a space.
        let names: Vec<&str> = hosts.iter().map(HostName::as_str).collect();
        let fill = format!("INSERT INTO temp.{table} SELECT unnest(string_split($1, ' '))");
        connection.execute(&fill, [names.join(" ")])?;
        Ok(Some(format!("host IN (SELECT host FROM temp.{table})")))
    }
}

impl FromIterator<HostName> for Hosts {
    fn from_iter<I: IntoIterator<Item = HostName>>(hosts: I) -> Self {
        Self::Only(hosts.into_iter().collect())
    }
}

/// The hosts and command lines of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    hosts: Hosts,
    command_lines: Hosts,
}

impl Scope {
    /// These hosts, and the command lines of the hosts that are also in `command_lines`.
    pub fn new(hosts: Hosts, command_lines: Hosts) -> Self {
        Self { hosts, command_lines }
    }

    /// Everything.
    pub fn everything() -> Self {
        Self::new(Hosts::All, Hosts::All)
    }

    /// Nothing.
    pub fn nothing() -> Self {
        Self::new(Hosts::none(), Hosts::none())
    }

    /// Whether nothing is left out.
    pub fn is_everything(&self) -> bool {
        *self == Self::everything()
    }

    /// Whether every host may be in it, those that are not known yet as well.
    pub fn has_every_host(&self) -> bool {
        self.hosts == Hosts::All
    }

    /// Whether `host` may be in it.
    pub fn sees(&self, host: &HostName) -> bool {
        self.hosts.contains(host)
    }

    /// Whether the command lines of `host` may be in it.
    pub fn sees_command_lines(&self, host: &HostName) -> bool {
        self.sees(host) && self.command_lines.contains(host)
    }

    /// In SQL, with the names of its hosts in every condition.
    pub(crate) fn by_name(&self) -> ScopeSql {
        ScopeSql { is_seen: self.hosts.condition(), is_shown: self.command_lines.condition() }
    }
}

/// The conditions of a scope in SQL; absent where everything is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScopeSql {
    /// That a row is of a host that is seen.
    is_seen: Option<String>,
    /// That a row is of a host whose command lines are seen.
    is_shown: Option<String>,
}

impl ScopeSql {
    /// The visible rows of `table` among those of `relation`, as a relation to select from.
    pub(crate) fn rows(&self, table: &str, relation: String) -> String {
        let columns = match &self.is_shown {
            Some(is_shown) if TABLES_WITH_COMMAND_LINES.contains(&table) => {
                &format!("* REPLACE (CASE WHEN {is_shown} THEN command_line END AS command_line)")
            }
            _ => "*",
        };
        match &self.is_seen {
            None if columns == "*" => relation,
            None => format!("(SELECT {columns} FROM {relation})"),
            Some(is_seen) => format!("(SELECT {columns} FROM {relation} WHERE {is_seen})"),
        }
    }
}

/// The scopes of many hosts that one connection knows, as temporary tables. DuckDB plans every name that a query has; a query
/// over six relations with 5,000 names each took ten times as long as without.
#[derive(Debug, Default)]
pub(crate) struct ScopeTables {
    number: u64,
    /// The last one that was asked for comes last.
    known: Vec<(u64, Arc<Scope>, ScopeSql)>,
}

impl ScopeTables {
    /// The conditions of `scope` on `connection`, whose tables these are.
    pub(crate) fn conditions(
        &mut self,
        connection: &Connection,
        scope: &Arc<Scope>,
    ) -> duckdb::Result<ScopeSql> {
        let is_small = |hosts: &Hosts| hosts.count().is_none_or(|count| count <= MAX_NAMES);
        if is_small(&scope.hosts) && is_small(&scope.command_lines) {
            return Ok(scope.by_name());
        }
        let known = self.known.iter().position(|(_, known, _)| Arc::ptr_eq(known, scope) || known == scope);
        let (number, sql) = match known.map(|place| self.known.remove(place)) {
            Some((number, _, sql)) => (number, sql),
            None => self.make(connection, scope)?,
        };
        self.known.push((number, Arc::clone(scope), sql.clone()));
        Ok(sql)
    }

    /// Drops all tables.
    pub(crate) fn drop_all(self, connection: &Connection) -> duckdb::Result<()> {
        self.known.into_iter().try_for_each(|(number, ..)| drop_tables(connection, number))
    }

    fn make(&mut self, connection: &Connection, scope: &Scope) -> duckdb::Result<(u64, ScopeSql)> {
        if self.known.len() >= MAX_SCOPES {
            let (number, ..) = self.known.remove(0);
            drop_tables(connection, number)?;
        }
        self.number += 1;
        let [hosts, command_lines] = TABLES.map(|part| format!("scope_{}_{part}", self.number));
        let sql = ScopeSql {
            is_seen: scope.hosts.condition_by_table(connection, &hosts)?,
            is_shown: scope.command_lines.condition_by_table(connection, &command_lines)?,
        };
        Ok((self.number, sql))
    }
}

/// Drops the tables of the scope with this number.
fn drop_tables(connection: &Connection, number: u64) -> duckdb::Result<()> {
    let drop_tables = TABLES.map(|part| format!("DROP TABLE IF EXISTS temp.scope_{number}_{part};"));
    connection.execute_batch(&drop_tables.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(names: &[&str]) -> Hosts {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn command_lines_are_seen_only_of_hosts_that_are_seen() {
        let scope = Scope::new(hosts(&["a", "b"]), hosts(&["b", "c"]));
        let seen = ["a", "b", "c"].map(|host| {
            let host = host.parse().unwrap();
            (scope.sees(&host), scope.sees_command_lines(&host))
        });
        assert_eq!(seen, [(true, false), (true, true), (false, false)]);
    }

    #[test]
    fn a_scope_leaves_rows_and_command_lines_out_in_sql() {
        let rows = |scope: &Scope, table| scope.by_name().rows(table, "t".to_owned());
        assert_eq!(rows(&Scope::everything(), "process"), "t");
        assert_eq!(rows(&Scope::nothing(), "host_sample"), "(SELECT * FROM t WHERE false)");
        let scope = Scope::new(hosts(&["a", "b"]), hosts(&["b"]));
        assert_eq!(rows(&scope, "host_info"), "(SELECT * FROM t WHERE host IN ('a', 'b'))");
        assert_eq!(
            rows(&scope, "process"),
            "(SELECT * REPLACE (CASE WHEN host IN ('b') THEN command_line END AS command_line) FROM t WHERE host IN ('a', 'b'))"
        );
        let blind = Scope::new(Hosts::All, Hosts::none());
        assert_eq!(
            rows(&blind, "process"),
            "(SELECT * REPLACE (CASE WHEN false THEN command_line END AS command_line) FROM t)"
        );
    }

    fn many(count: usize) -> Hosts {
        (0..count).map(|number| format!("host-{number}").parse().unwrap()).collect()
    }

    #[test]
    fn a_scope_of_many_hosts_leaves_out_the_same_by_tables() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE process AS SELECT 'host-' || range AS host, 'x' AS command_line FROM range(200)",
            )
            .unwrap();
        let mut tables = ScopeTables::default();
        let answer = |sql: &ScopeSql| -> (i64, i64) {
            let relation = sql.rows("process", "process".to_owned());
            let count = format!("SELECT count(*), count(command_line) FROM {relation}");
            connection.query_row(&count, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
        };
        let number_of_tables = || -> i64 {
            let count = "SELECT count(*) FROM duckdb_tables() WHERE temporary";
            connection.query_row(count, [], |row| row.get(0)).unwrap()
        };
        for (scope, expected) in [
            (Scope::new(many(100), Hosts::All), (100, 100)),
            (Scope::new(many(100), many(70)), (100, 70)),
            (Scope::new(Hosts::All, many(90)), (200, 90)),
            (Scope::new(many(150), Hosts::none()), (150, 0)),
            (Scope::new(many(3), many(2)), (3, 2)),
            (Scope::everything(), (200, 200)),
        ] {
            let scope = Arc::new(scope);
            let sql = tables.conditions(&connection, &scope).unwrap();
            assert_eq!(answer(&sql), expected);
            // The same again, made anew for another request, has the same tables.
            let before = number_of_tables();
            let again = tables.conditions(&connection, &Arc::new(Scope::clone(&scope))).unwrap();
            assert_eq!((again, number_of_tables()), (sql, before));
        }
    }

    #[test]
    fn tables_of_scopes_that_are_no_longer_asked_for_go() {
        let connection = Connection::open_in_memory().unwrap();
        let mut tables = ScopeTables::default();
        for count in 100..150 {
            let scope = Arc::new(Scope::new(many(count), many(count - 1)));
            tables.conditions(&connection, &scope).unwrap();
        }
        let count = "SELECT count(*) FROM duckdb_tables() WHERE temporary";
        let count: usize = connection.query_row(count, [], |row| row.get(0)).unwrap();
        assert_eq!(count, 2 * MAX_SCOPES);
    }
}
