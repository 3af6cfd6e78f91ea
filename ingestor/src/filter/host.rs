//! The filter language over hosts: the fields of a host, and the evaluation for one.

use std::collections::BTreeSet;

use super::{
    Deadline, FilterError, Stopped,
    expression::{Expression, Subject},
    field::{Field, lower},
    parse::{self, About},
};

/// What a filter can ask of a host; unknown values are absent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HostFields<'a> {
    /// Its name.
    pub host: &'a str,
    /// Its name in its own operating system.
    pub os_host_name: &'a str,
    /// Operating system with version.
    pub os: Option<&'a str>,
    /// Whether it is heard of: `up`, `paused`, `silent` or `down`.
    pub state: &'a str,
    /// Its groups, as in `web` or `env=prod`.
    pub groups: &'a BTreeSet<String>,
    /// What is wrong with how it reports, in words; empty where nothing is.
    pub warning: &'a str,
    /// CPU use, in percent of all cores.
    pub cpu_percent: Option<f64>,
    /// Memory in use.
    pub memory_used_bytes: Option<u64>,
    /// The same in percent of what is installed.
    pub memory_percent: Option<f64>,
    /// Installed memory.
    pub memory_total_bytes: Option<u64>,
    /// Load average over a minute.
    pub load_1: Option<f64>,
    /// Processes on it.
    pub processes: Option<u32>,
    /// Its open alerts.
    pub alerts: usize,
    /// Time since it was last heard of, in s.
    pub seen_s: f64,
    /// The version of its agent; absent where another program reports.
    pub agent: Option<&'a str>,
}

impl Subject for HostFields<'_> {
    fn has_word(&self, word: &str) -> bool {
        let occurs = |text: &str| lower(text).contains(word);
        [self.host, self.os_host_name, self.os.unwrap_or_default(), self.state, self.warning]
            .into_iter()
            .any(occurs)
            || self.groups.iter().any(|group| occurs(group))
    }

    fn has_text(&self, field: Field, test: impl Fn(&str) -> bool) -> bool {
        match field.host_place() {
            Some(0) => test(self.host),
            Some(1) => self.os.is_some_and(test),
            Some(2) => test(self.state),
            Some(12) => self.agent.is_some_and(test),
            Some(3) => self
                .groups
                .iter()
                .any(|group| test(group) || group.split_once('=').is_some_and(|(name, _)| test(name))),
            _ => false,
        }
    }

    fn number(&self, field: Field) -> Option<f64> {
        let bytes = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64);
        match field.host_place()? {
            4 => self.cpu_percent,
            5 => bytes(self.memory_used_bytes),
            6 => self.memory_percent,
            7 => bytes(self.memory_total_bytes),
            8 => self.load_1,
            9 => self.processes.map(f64::from),
            10 => Some(self.alerts as f64),
            11 => Some(self.seen_s),
            _ => None,
        }
    }
}

/// A filter over hosts; the empty one lets everything through.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostFilter {
    expression: Option<Expression>,
}

impl HostFilter {
    /// Reads a filter as people type it: words that occur in the name, the system, the state or a group, and comparisons as
    /// in `cpu > 50` or `group = web and mem% > 80`. A name of groups with values is a field too, where `is_key` says so:
    /// `env = prod` is the group `env=prod`.
    ///
    /// # Errors
    /// Where and why it is none.
    pub fn parse(text: &str, is_key: &dyn Fn(&str) -> bool) -> Result<Self, FilterError> {
        Ok(Self { expression: parse::parse(text, About::Hosts(is_key))? })
    }

    /// Whether it lets everything through.
    pub fn is_empty(&self) -> bool {
        self.expression.is_none()
    }

    /// Whether it lets a host through.
    ///
    /// # Errors
    /// When the deadline came first.
    pub fn matches(&self, host: &HostFields<'_>, deadline: &Deadline) -> Result<bool, Stopped> {
        let Some(expression) = &self.expression else { return Ok(true) };
        deadline.check()?;
        Ok(expression.matches(host))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NO_KEY: &dyn Fn(&str) -> bool = &|_| false;

    fn matches(text: &str) -> bool {
        let groups = ["web-2", "env=prod", "Team=Web", "cost-center=42"].map(str::to_owned).into();
        let host = HostFields {
            host: "web-04",
            os_host_name: "ip-10-0-0-4",
            os: Some("Debian GNU/Linux 12"),
            state: "up",
            groups: &groups,
            warning: "clock 1 h behind",
            cpu_percent: Some(61.5),
            memory_used_bytes: Some(3 << 30),
            memory_percent: Some(75.0),
            memory_total_bytes: Some(4 << 30),
            load_1: None,
            processes: Some(212),
            alerts: 2,
            seen_s: 4.0,
            agent: Some("0.9.1"),
        };
        let is_key = |word: &str| ["env", "cost-center"].iter().any(|key| word.eq_ignore_ascii_case(key));
        let filter = HostFilter::parse(text, &is_key).unwrap();
        filter.matches(&host, &Deadline::after(Duration::from_secs(60))).unwrap()
    }

    #[test]
    fn words_occur_in_what_names_a_host_and_figures_are_compared() {
        for (text, expected) in [
            ("", true),
            ("WEB debian", true),
            ("ip-10", true),
            ("clock", true),
            ("prod", true),
            ("nginx", false),
            ("cpu > 50", true),
            ("cpu > 50 and mem% > 80", false),
            ("group = web-2 and mem% > 70", true),
            ("mem > 2G and ram = 4G", true),
            ("state = up and not host ~ ^db", true),
            ("load > 0", false),
            ("not load > 0", true),
            ("processes >= 212 alerts > 1", true),
            ("seen < 5s", true),
            ("agent = 0.9.1 and agent != 0.9", true),
            ("0.9.1", false),
            ("env = prod and cpu > 50", true),
            ("env != test", true),
            ("env = pro", false),
            ("cost-center = 42 and cpu > 50", true),
            ("cost-center=42", true),
            ("cost-center != 42", false),
            ("web-04", true),
            ("web-04 cpu > 50", true),
            ("web-05", false),
            ("not web-04", false),
            ("cpu>50 mem%>70", true),
        ] {
            assert_eq!(matches(text), expected, "{text}");
        }
    }

    #[test]
    fn a_group_is_that_group_or_one_of_that_name_with_any_value_and_never_one_that_begins_like_it() {
        for (text, expected) in [
            ("group:web-2", true),
            ("GROUP:WEB-2", true),
            ("group:web", false),
            ("group:env", true),
            ("group:env=prod", true),
            ("group:\"env=prod\"", true),
            ("group:env=pro", false),
            ("group:prod", false),
            ("group = team", true),
            ("group:team=web", true),
            ("group ~ ^web", true),
            ("group:web-2 group:env=prod web", true),
            ("group:web-2 group:env=test", false),
        ] {
            assert_eq!(matches(text), expected, "{text}");
        }
    }

    #[test]
    fn a_mistake_is_told_at_its_column_with_the_fields_of_hosts() {
        for (text, column, part) in [
            (
                "up and cpuu > 5",
                8,
                "there is no field `cpuu`; there are host, os, state, group, cpu, mem, mem%",
            ),
            ("cpu > much", 7, "expected a number"),
            ("host > 5", 6, "`host` is a text"),
            ("cmd = x", 1, "there is no field `cmd`"),
            ("web-04 = x", 1, "there is no field `web-04`"),
            ("(web", 1, "there is no ) for this ("),
        ] {
            let error = HostFilter::parse(text, NO_KEY).unwrap_err();
            assert!(error.column == column && error.message.contains(part), "{text}: {error}");
        }
        let error = HostFilter::parse("env > prod", &|word| word == "env").unwrap_err();
        assert_eq!((error.column, error.message.starts_with("`env` is the name of a group")), (5, true));
    }

    #[test]
    fn a_filter_that_takes_too_long_is_stopped() {
        let filter = HostFilter::parse("web", NO_KEY).unwrap();
        let groups = BTreeSet::new();
        let host = HostFields {
            host: "web",
            os_host_name: "",
            os: None,
            state: "up",
            groups: &groups,
            warning: "",
            cpu_percent: None,
            memory_used_bytes: None,
            memory_percent: None,
            memory_total_bytes: None,
            load_1: None,
            processes: None,
            alerts: 0,
            seen_s: 0.0,
            agent: None,
        };
        assert!(filter.matches(&host, &Deadline::after(Duration::ZERO)).is_err());
    }
}
