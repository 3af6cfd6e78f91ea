//! What an evaluator remembers, for the time in which it does not run.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
};

use fleetps_nats::HostName;
use serde::{Deserialize, Serialize};

use super::{
    evaluated_host::EvaluatedHost,
    rule::{Rule, Severity},
};

/// All that an evaluator remembers, but for the last snapshots of hosts.
#[derive(Debug, Serialize, Deserialize)]
pub struct EvaluatorState<'a> {
    pub(super) rules: Vec<Told>,
    pub(super) hosts: Cow<'a, HashMap<HostName, EvaluatedHost>>,
    /// The rules of which it was told that they have too many instances.
    pub(super) told: BTreeSet<String>,
}

impl EvaluatorState<'_> {
    /// Leaves out what is learned over hours and days: that begins anew.
    pub(crate) fn leave_out_learned(&mut self) {
        let hosts: HashMap<HostName, EvaluatedHost> =
            self.hosts.iter().map(|(host, known)| (host.clone(), known.without_learned())).collect();
        self.hosts = Cow::Owned(hosts);
    }
}

/// A rule as it was evaluated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Told {
    id: String,
    revision: u64,
    severity: Severity,
    sentence: String,
    groups: Option<BTreeSet<String>>,
}

impl Told {
    pub(super) fn of(rule: &Rule) -> Self {
        let Rule { id, revision, severity, sentence, groups, .. } = rule.clone();
        Self { id, revision, severity, sentence, groups }
    }

    /// The rule; `None` where an earlier version understood another language.
    pub(super) fn rule(&self) -> Option<Rule> {
        let rule = Rule::parse(&self.id, self.revision, self.severity, &self.sentence).ok()?;
        Some(Rule { groups: self.groups.clone(), ..rule })
    }
}
