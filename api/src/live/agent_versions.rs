//! Agents of another version than this server. They work with it; during an upgrade one wants to know which are left.

use std::{collections::BTreeMap, sync::Arc};

use super::Summary;
use crate::display;

/// The version of this server.
const SERVER_VERSION: &str = env!("CARGO_PKG_VERSION");
/// Versions that the notice names, those of most agents: a host may send any text for one.
const MAX_VERSIONS: usize = 5;

/// The filter that finds the hosts of such agents.
pub(crate) fn filter() -> String {
    format!("agent != {SERVER_VERSION}")
}

/// How many of these hosts have such an agent.
pub(crate) fn count(hosts: &[Arc<Summary>]) -> usize {
    versions(hosts).count()
}

/// How many there are of each version, in a sentence; `None` where there are none.
pub(crate) fn notice(hosts: &[Arc<Summary>]) -> Option<String> {
    let mut of_versions = BTreeMap::<&str, usize>::new();
    versions(hosts).for_each(|version| *of_versions.entry(version).or_default() += 1);
    let mut of_versions: Vec<_> = of_versions.into_iter().collect();
    // Stable: versions of as many agents stay in order.
    of_versions.sort_by_key(|(_, hosts)| std::cmp::Reverse(*hosts));
    let named = |(version, hosts): &(&str, usize)| format!("{} ({hosts})", display::visible(version));
    let mut words: Vec<String> = of_versions.iter().take(MAX_VERSIONS).map(named).collect();
    if of_versions.len() > words.len() {
        words.push(format!("{} more versions", of_versions.len() - words.len()));
    }
    (!words.is_empty()).then(|| {
        let (words, filter) = (words.join(", "), filter());
        format!("agents of another version than this server ({SERVER_VERSION}): {words}; the filter `{filter}` finds them")
    })
}

/// The versions of such agents.
fn versions(hosts: &[Arc<Summary>]) -> impl Iterator<Item = &str> {
    hosts.iter().filter_map(|host| host.agent()).filter(|version| *version != SERVER_VERSION)
}

#[cfg(test)]
mod tests {
    use fleetps_nats::Snapshot;

    use super::*;

    fn hosts(versions: &[&str]) -> Vec<Arc<Summary>> {
        let host = |(number, version): (usize, &&str)| {
            let snapshot = Snapshot { agent_version: (*version).to_owned(), ..Snapshot::default() };
            Arc::new(Summary::new(format!("host-{number}").parse().unwrap(), &snapshot, 0, 0))
        };
        versions.iter().enumerate().map(host).collect()
    }

    #[test]
    fn agents_of_other_versions_are_counted_by_version_the_most_first() {
        let hosts = hosts(&["0.0.1", SERVER_VERSION, "0.0.2", "0.0.2", ""]);
        assert_eq!(count(&hosts), 3);
        let notice = notice(&hosts).unwrap();
        assert!(notice.contains("0.0.2 (2), 0.0.1 (1); "), "{notice}");
        assert!(notice.contains(&format!("`agent != {SERVER_VERSION}`")), "{notice}");
    }

    #[test]
    fn where_all_are_of_one_version_nothing_is_said() {
        assert_eq!((count(&hosts(&[SERVER_VERSION, ""])), notice(&hosts(&[SERVER_VERSION, ""]))), (0, None));
    }

    #[test]
    fn another_program_that_reports_is_no_agent() {
        let mut snapshot = Snapshot { agent_version: "legacy 001".to_owned(), ..Snapshot::default() };
        snapshot.host_info.source = Some("legacy 001".to_owned());
        let host = Summary::new("old-01".parse().unwrap(), &snapshot, 0, 0);
        assert_eq!(count(&[Arc::new(host)]), 0);
    }

    #[test]
    fn versions_that_hosts_make_up_are_few_and_visible() {
        let hosts = hosts(&["\u{202e}1", "b", "c", "d", "e", "f", "g"]);
        let notice = notice(&hosts).unwrap();
        assert!(notice.contains("2 more versions") && !notice.contains('\u{202e}'), "{notice}");
    }
}
