//! Which hosts the filter of the fleet page lets through, and the groups that are offered beside it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use fleetps_ingestor::{
    alerts::Severity,
    filter::{Deadline, HostFields, HostFilter},
};
use fleetps_nats::HostName;

use super::query::quoted;
use crate::live::{HostState, OpenAlert, Summary};

/// Groups that have a link beside the filter, those of most hosts: what fits a line.
const SHOWN_GROUPS: usize = 12;
/// How long a filter over hosts may take, as one over processes.
const MATCH_FOR: Duration = Duration::from_secs(2);

/// What is known of hosts beside their snapshots.
#[derive(Clone, Copy)]
pub(crate) struct OfHosts<'a> {
    /// The groups of a host.
    pub groups: &'a dyn Fn(&HostName) -> &'a BTreeSet<String>,
    /// How many alerts are open on hosts that have some, and the worst of them.
    pub alerts: &'a HashMap<HostName, (usize, Severity)>,
    /// The open alerts that need a person.
    pub open: &'a [OpenAlert],
}

impl OfHosts<'_> {
    pub(super) fn alerts(&self, host: &HostName) -> Option<(usize, Severity)> {
        self.alerts.get(host).copied()
    }
}

/// The hosts that a filter lets through.
///
/// # Errors
/// What is wrong with the filter, as a sentence.
pub(super) fn matching<'a>(
    hosts: &'a [Arc<Summary>],
    q: &str,
    of_hosts: OfHosts<'_>,
    now_us: i64,
) -> Result<Vec<&'a Summary>, String> {
    let is_of_key = |group: &String, key: &str| {
        group.split_once('=').is_some_and(|(name, _)| name.eq_ignore_ascii_case(key))
    };
    let is_key = |key: &str| {
        hosts.iter().any(|host| (of_hosts.groups)(&host.host).iter().any(|group| is_of_key(group, key)))
    };
    let filter = HostFilter::parse(q, &is_key)
        .map_err(|error| format!("At column {}: {}.", error.column, error.message))?;
    let deadline = Deadline::after(MATCH_FOR);
    let mut found = Vec::new();
    for host in hosts {
        let is_match = filter.is_empty() || {
            let warning = host.warning();
            filter.matches(&fields(host, &warning, of_hosts, now_us), &deadline).map_err(|_| {
                "This filter took too long and was stopped; plain words are quicker.".to_owned()
            })?
        };
        if is_match {
            found.push(host.as_ref());
        }
    }
    Ok(found)
}

/// What a filter can ask of a host; one that is not up has no present values.
fn fields<'a, 'g: 'a>(
    host: &'a Summary,
    warning: &'a str,
    of_hosts: OfHosts<'g>,
    now_us: i64,
) -> HostFields<'a> {
    let up = host.state == HostState::Up;
    HostFields {
        host: host.host.as_str(),
        os_host_name: &host.os_host_name,
        os: host.os.as_deref(),
        state: host.state.word(),
        groups: (of_hosts.groups)(&host.host),
        warning,
        cpu_percent: host.cpu_percent.filter(|_| up).map(f64::from),
        memory_used_bytes: host.memory_used_bytes.filter(|_| up),
        memory_percent: host.memory_percent().filter(|_| up),
        memory_total_bytes: host.memory_total_bytes,
        load_1: host.load_1.filter(|_| up).map(f64::from),
        processes: up.then_some(host.process_count),
        alerts: of_hosts.alerts(&host.host).map_or(0, |(count, _)| count),
        seen_s: now_us.saturating_sub(host.last_seen_us) as f64 / 1e6,
        agent: host.agent(),
    }
}

/// A group of hosts, as a link beside the filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupChip {
    /// Its name.
    pub name: String,
    /// How many hosts are in it.
    pub hosts: usize,
    /// The filter that shows them.
    pub q: String,
}

/// The groups of most of these hosts.
pub(crate) fn groups(hosts: &[Arc<Summary>], of_hosts: OfHosts<'_>) -> Vec<GroupChip> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for group in hosts.iter().flat_map(|host| (of_hosts.groups)(&host.host)) {
        *counts.entry(group).or_default() += 1;
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    // Stable: groups of as many hosts stay in the order of their names.
    counts.sort_by_key(|(_, hosts)| std::cmp::Reverse(*hosts));
    let chip =
        |(name, hosts): (&str, usize)| GroupChip { name: name.to_owned(), hosts, q: group_filter(name) };
    counts.into_iter().take(SHOWN_GROUPS).map(chip).collect()
}

/// The filter that shows the hosts of a group.
pub(crate) fn group_filter(group: &str) -> String {
    let is_plain = group.chars().all(|letter| letter.is_alphanumeric() || "=-_.".contains(letter));
    if is_plain { format!("group:{group}") } else { format!("group:{}", quoted(group)) }
}

/// Groups as they are written and read: with a space between.
pub(crate) fn words(groups: &BTreeSet<String>) -> String {
    groups.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}
