//! Which hosts an answer may be about, and for which of them it may have command lines.
//!
//! A question is answered from the rows of its scope, as if there were no others: counts, sums, limits and searches
//! never use another row.

use std::collections::BTreeSet;

use fleetps_nats::HostName;
use serde::{Deserialize, Serialize};

use crate::segment::quote_text;

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

    /// The condition that a row is of one of them; absent where every row is.
    fn condition(&self) -> Option<String> {
        let Self::Only(hosts) = self else { return None };
        let names: Vec<String> = hosts.iter().map(|host| quote_text(host.as_str())).collect();
        Some(if names.is_empty() { "false".to_owned() } else { format!("host IN ({})", names.join(", ")) })
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

    /// The visible rows of `table` among those of `relation`, as a relation to select from.
    pub(crate) fn rows(&self, table: &str, relation: String) -> String {
        let columns = match self.command_lines.condition() {
            Some(is_shown) if matches!(table, "process" | "event") => {
                format!("* REPLACE (CASE WHEN {is_shown} THEN command_line END AS command_line)")
            }
            _ => "*".to_owned(),
        };
        match self.hosts.condition() {
            None if columns == "*" => relation,
            None => format!("(SELECT {columns} FROM {relation})"),
            Some(is_seen) => format!("(SELECT {columns} FROM {relation} WHERE {is_seen})"),
        }
    }
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
        let rows = |scope: &Scope, table| scope.rows(table, "t".to_owned());
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
}
