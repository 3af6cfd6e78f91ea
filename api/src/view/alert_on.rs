//! "Alert on this": the rule that is meant by what a page shows. The form of a new rule begins with it, so that it can be tried
//! on the past before it is saved.

use std::collections::BTreeSet;

use fleetps_ingestor::{
    alerts::{Rule, Severity},
    filter::Figure,
    history::{EventKind, TopBy, TopGroup},
};
use fleetps_nats::HostName;
use serde::{Deserialize, Serialize};

use super::{
    Arrangement, Column,
    query::{FilterText, ProcessQuery, quoted},
    top::TopQuery,
};
use crate::query::parameter::{self, is_default};

/// The longest id that is proposed: a few words.
const MAX_PROPOSED_ID: usize = 40;
/// The words of a sentence that say nothing in an id.
const NO_ID_WORDS: [&str; 13] = [
    "where", "and", "or", "not", "host", "name", "user", "unit", "state", "over", "for", "program", "process",
];

/// The query of the form for a new rule: what it begins with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct NewRuleQuery {
    /// The sentence.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub sentence: String,
    /// The groups whose hosts it is for, with blanks between them; every host where there are none.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub groups: String,
}

/// A rule that a page proposes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proposal {
    /// The sentence.
    pub sentence: String,
    /// The host that the page is about, where the sentence does not name it: the rule is for its groups then.
    pub of_groups_of: Option<HostName>,
}

impl Proposal {
    /// `sentence`, where it is a rule.
    fn of(sentence: String) -> Option<Self> {
        let rule = Rule::parse("new", 0, Severity::default(), &sentence);
        rule.is_ok().then_some(Self { sentence, of_groups_of: None })
    }

    fn for_groups_of(self, host: Option<&HostName>) -> Self {
        Self { of_groups_of: host.cloned(), ..self }
    }
}

/// A search: there is a process that it finds.
pub(crate) fn search(q: &FilterText) -> Option<Proposal> {
    let is_filter = q.filter.as_ref().is_ok_and(|filter| !filter.is_empty());
    is_filter.then(|| Proposal::of(format!("count > 0 for 5m where {}", q.text)))?
}

/// The processes of a host: what they are sorted by, over what they are folded by, of those that the filter lets through.
pub(crate) fn processes(host: &HostName, query: &ProcessQuery) -> Option<Proposal> {
    let over = match query.view {
        Arrangement::Tree | Arrangement::Flat | Arrangement::Container => "process",
        Arrangement::Program => "program",
        Arrangement::User => "user",
        Arrangement::Unit => "unit",
    };
    let q = match &query.q.filter {
        Ok(filter) if filter.is_empty() => String::new(),
        Ok(_) => format!(" and ({})", query.q.text),
        Err(_) => return None,
    };
    let excess = excess(measure(query.order.column).unwrap_or("cpu")).unwrap_or("cpu > 90%");
    Proposal::of(format!("{excess} for 10m over {over} where {}{q}", named("host", host.as_str())))
}

/// A program on a host: its processor time, its memory, or that none runs.
pub(crate) fn program(host: &HostName, name: &str) -> Vec<(&'static str, Proposal)> {
    let (of_host, of_name) = (named("host", host.as_str()), named("name", name));
    let busy =
        |excess: &str| Proposal::of(format!("{excess} for 10m over program where {of_host} and {of_name}"));
    let gone = Proposal::of(format!("count < 1 for 5m where {of_name}"));
    let gone = gone.map(|gone| gone.for_groups_of(Some(host)));
    let all = [("its CPU", busy("cpu > 90%")), ("its memory", busy("mem > 4G")), ("its absence", gone)];
    all.into_iter().filter_map(|(label, proposal)| Some((label, proposal?))).collect()
}

/// A top: what it is ordered by, over what it is grouped by.
pub(crate) fn top(query: &TopQuery) -> Option<Proposal> {
    let over = match query.group {
        TopGroup::Process => "process",
        TopGroup::Name => "program",
        TopGroup::User => "user",
        TopGroup::Unit => "unit",
        TopGroup::Host => return Some(host_excess(query.by)?.for_groups_of(query.host.as_ref())),
    };
    let excess = excess(match query.by {
        TopBy::Cpu => "cpu",
        TopBy::Memory | TopBy::Peak => "mem",
        TopBy::Read => "read",
        TopBy::Written => "written",
    })?;
    let of_host = query.host.as_ref().map(|host| format!(" where {}", named("host", host.as_str())));
    Proposal::of(format!("{excess} for 10m over {over}{}", of_host.unwrap_or_default()))
}

fn host_excess(by: TopBy) -> Option<Proposal> {
    Proposal::of(match by {
        TopBy::Cpu => "cpu > 90% for 10m".to_owned(),
        TopBy::Memory | TopBy::Peak => "memory > 90% for 10m".to_owned(),
        TopBy::Read => "disk_read_bytes/s > 100M for 10m".to_owned(),
        TopBy::Written => "disk_written_bytes/s > 100M for 10m".to_owned(),
    })
}

/// Events of one kind, or of one program.
pub(crate) fn events(kinds: &[EventKind], program: &str, host: Option<&HostName>) -> Option<Proposal> {
    let of_program = || (!program.is_empty()).then(|| named("name", program));
    let sentence = match kinds {
        [EventKind::RestartLoop | EventKind::RestartLoopEnded] => "restart_loop".to_owned(),
        [EventKind::Silent | EventKind::Back] => "silent for 5m".to_owned(),
        [EventKind::ClockChanged | EventKind::ClockOffset] => "clock_offset > 5 for 5m".to_owned(),
        [EventKind::Started] => format!("count > 0 where {}", of_program()?),
        _ => format!("count < 1 for 5m where {}", of_program()?),
    };
    Some(Proposal::of(sentence)?.for_groups_of(host))
}

/// `field = "value"`.
fn named(field: &str, value: &str) -> String {
    format!("{field} = {}", quoted(value))
}

/// The word of the number that a column shows.
fn measure(column: Column) -> Option<&'static str> {
    let field = column.of();
    let word = match field.rate.filter(|_| column.declared().is_rate) {
        Some(rate) => rate.filter_word,
        None => field.filter_word,
    };
    word.filter(|word| Figure::find(word).is_some())
}

/// What is much of a measure, for a process that somebody should look at; to be changed in the form.
fn excess(measure: &str) -> Option<&'static str> {
    match measure {
        "cpu" => Some("cpu > 90%"),
        "mem" => Some("mem > 4G"),
        "mem%" => Some("mem% > 20%"),
        "read" => Some("read > 50M"),
        "written" => Some("written > 50M"),
        "threads" => Some("threads > 1000"),
        _ => None,
    }
}

/// An id for a rule with this sentence that is none of `taken`, as in `mem-web-1-java`. Of a filter that asks for command lines
/// it says nothing: ids are shown to everybody.
pub(crate) fn proposed_id(sentence: &str, taken: &BTreeSet<&str>) -> String {
    let Ok(rule) = Rule::parse("new", 0, Severity::default(), sentence) else { return String::new() };
    let of_filter = sentence.split_once(" where ").map_or("", |(_, filter)| filter);
    let of_filter = if rule.filter.asks_for_command_lines() { "some" } else { of_filter };
    let before = sentence.split(['>', '<', ' ']).next().unwrap_or_default();
    let text = format!("{before} {of_filter}").to_ascii_lowercase();
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric());
    let mut id = String::new();
    for word in words.filter(|word| !word.is_empty() && !NO_ID_WORDS.contains(word)) {
        if id.len() + word.len() >= MAX_PROPOSED_ID {
            break;
        }
        if !id.is_empty() {
            id.push('-');
        }
        id += word;
    }
    if !id.starts_with(|first: char| first.is_ascii_lowercase()) {
        id.insert_str(0, "rule-");
    }
    let numbered = (2..).map(|number: u32| format!("{id}-{number}"));
    let mut ids = std::iter::once(id.clone()).chain(numbered);
    ids.find(|id| !taken.contains(id.as_str())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> HostName {
        "web-1".parse().unwrap()
    }

    fn sentence(proposal: Option<Proposal>) -> String {
        proposal.map(|proposal| proposal.sentence).unwrap_or_default()
    }

    #[test]
    fn what_a_page_shows_is_a_rule() {
        assert_eq!(
            sentence(search(&FilterText::of("java and mem > 2G"))),
            "count > 0 for 5m where java and mem > 2G"
        );
        assert_eq!(search(&FilterText::of("")), None);
        assert_eq!(search(&FilterText::of("java and")), None);
        let query = ProcessQuery::default().filtered("user:a or user:b");
        let said = "cpu > 90% for 10m over process where host = \"web-1\" and (user:a or user:b)";
        assert_eq!(sentence(processes(&host(), &query)), said);
        let query =
            ProcessQuery { view: Arrangement::Program, ..ProcessQuery::default() }.sorted_by(Column::Memory);
        assert_eq!(
            sentence(processes(&host(), &query)),
            "mem > 4G for 10m over program where host = \"web-1\""
        );
        let query = ProcessQuery::default().sorted_by(Column::Command);
        assert!(sentence(processes(&host(), &query)).starts_with("cpu > 90%"));
        let of_program = program(&host(), "a\"b");
        assert_eq!(of_program.len(), 3);
        assert_eq!(of_program[2].1.sentence, "count < 1 for 5m where name = \"a\"\"b\"");
        assert_eq!(of_program[2].1.of_groups_of, Some(host()));
    }

    #[test]
    fn every_top_and_the_events_that_can_be_measured_are_rules() {
        for by in [TopBy::Cpu, TopBy::Memory, TopBy::Peak, TopBy::Read, TopBy::Written] {
            for group in [TopGroup::Process, TopGroup::Name, TopGroup::User, TopGroup::Unit, TopGroup::Host] {
                for host in [None, Some(host())] {
                    let query = TopQuery { by, group, host, ..TopQuery::default() };
                    assert!(top(&query).is_some(), "{query:?}");
                }
            }
        }
        assert_eq!(sentence(events(&[EventKind::RestartLoop], "", None)), "restart_loop");
        let exited = events(&[EventKind::Exited], "java", None);
        assert_eq!(sentence(exited), "count < 1 for 5m where name = \"java\"");
        assert_eq!(events(&[EventKind::Exited], "", None), None);
        for kind in EventKind::ALL {
            assert!(events(&[kind], "java", Some(&host())).is_some(), "{kind:?}");
        }
    }

    #[test]
    fn an_id_says_what_the_rule_is_about_and_nothing_of_command_lines() {
        let id = |sentence: &str, taken: &[&str]| proposed_id(sentence, &taken.iter().copied().collect());
        for (sentence, expected) in [
            ("cpu > 90%", "cpu"),
            ("mem > 4G over program where host = \"web-1\" and name = \"java\"", "mem-web-1-java"),
            ("count > 0 where cmd:--password=hunter2", "count-some"),
            ("count > 0 where hunter2", "count-some"),
            ("no rule", ""),
        ] {
            assert_eq!(id(sentence, &[]), expected);
        }
        assert_eq!(id("cpu>90%", &["cpu", "cpu-2"]), "cpu-3");
        let long = format!("mem > 4G where name = {}", "x".repeat(90));
        assert_eq!(id(&long, &[]), "mem");
    }
}
