//! Processes added up by what they have in common.

use std::collections::HashMap;

use super::{
    Arrangement, ProcessFacts,
    facts::{SortKey, Sums},
    query::ProcessQuery,
};

/// The name for processes without one.
const NONE: &str = "(none)";

/// Processes that have something in common.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Group<'a> {
    /// The common value.
    pub name: &'a str,
    /// Their sums.
    pub sums: Sums,
}

/// The groups of `processes`, sorted as `query` says.
pub(super) fn groups<'a>(processes: &[ProcessFacts<'a>], query: &ProcessQuery) -> Vec<Group<'a>> {
    let mut by_name: HashMap<&'a str, Sums> = HashMap::new();
    for facts in processes {
        by_name.entry(common(facts, query.view)).or_default().add(&Sums::of(facts));
    }
    let mut groups: Vec<Group<'a>> = by_name.into_iter().map(|(name, sums)| Group { name, sums }).collect();
    let key = |group: &Group<'a>| -> SortKey<'a> {
        match query.order.column.adds_up() {
            true => group.sums.number(query.order.column).into(),
            false if query.order.column == super::Column::Pid => SortKey::Number(group.sums.processes as f64),
            false => SortKey::Text(group.name),
        }
    };
    groups.sort_unstable_by(|a, b| {
        key(a).compare(&key(b), query.order.descending).then_with(|| a.name.cmp(b.name))
    });
    groups
}

fn common<'a>(facts: &ProcessFacts<'a>, view: Arrangement) -> &'a str {
    let process = facts.process;
    match view {
        Arrangement::User => process.user_name.as_deref().unwrap_or(NONE),
        Arrangement::Unit => process.unit.as_deref().unwrap_or(NONE),
        Arrangement::Container => process.container.as_deref().unwrap_or(NONE),
        Arrangement::Program | Arrangement::Flat | Arrangement::Tree => &process.name,
    }
}

#[cfg(test)]
mod tests {
    use fleetps_nats::snapshot::Process;

    use super::*;

    #[test]
    fn groups_add_up_what_is_in_them() {
        let process = |name: &str, user: Option<&str>, cpu| Process {
            name: name.to_owned(),
            user_name: user.map(str::to_owned),
            cpu_percent: cpu,
            ..Process::default()
        };
        let processes = [
            process("a", Some("root"), Some(1.0)),
            process("b", Some("root"), Some(2.5)),
            process("b", None, None),
        ];
        let facts: Vec<_> = processes.iter().map(|process| ProcessFacts::alone(process, 0)).collect();
        let shown = |query: &str| -> Vec<(String, usize, Option<f64>)> {
            let query: ProcessQuery = crate::query::read(query).unwrap();
            let groups = groups(&facts, &query);
            groups
                .iter()
                .map(|g| (g.name.to_owned(), g.sums.processes, g.sums.number(crate::view::Column::Cpu)))
                .collect()
        };
        assert_eq!(shown("view=program"), [("b".into(), 2, Some(2.5)), ("a".into(), 1, Some(1.0))]);
        assert_eq!(shown("view=user"), [("root".into(), 2, Some(3.5)), (NONE.into(), 1, None)]);
    }

    #[test]
    fn a_group_counts_shared_memory_once_and_has_the_cpu_of_ended_children() {
        let backend = Process {
            name: "postgres".to_owned(),
            cpu_percent: Some(1.0),
            resident_bytes: Some(603),
            shared_bytes: Some(600),
            ..Process::default()
        };
        let processes = vec![backend; 30];
        let mut facts: Vec<_> = processes.iter().map(|process| ProcessFacts::alone(process, 0)).collect();
        facts[7].ended_children_percent = Some(12.5);
        let query: ProcessQuery = crate::query::read("view=program").unwrap();
        let sums = groups(&facts, &query)[0].sums;
        assert_eq!(sums.number(crate::view::Column::Memory), Some(690.0));
        assert_eq!(sums.number(crate::view::Column::Cpu), Some(42.5));
    }
}
