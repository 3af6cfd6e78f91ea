//! The rules by which alerts are raised: who sees which, and who may change them.
//!
//! A rule is evaluated over whole snapshots, whoever made it. So a filter that asks for command lines needs an author who may see
//! them on every host that the rule is for: how often it raises an alert tells what they are. Who may not see them sees the
//! rule without its filter.

use std::{collections::BTreeSet, time::Duration};

use axum::http::StatusCode;
use fleetps_ingestor::alerts::{
    BadRule, MAX_RULES, Rule, RuleEntry, SavedRule, Severity, open_rules, rules_in_force, without_filter,
};
use fleetps_nats::{HostName, audit::Outcome, error_chain, hosts::Group, now_us};

use super::ScopedFleet;
use crate::{
    authz::{Decision, HostGroups, Permission, permission_of},
    broker,
    refusal::Refusal,
};

/// How long the broker tells who follows the rules that one was removed: longer than a connection is away unnoticed.
const REMEMBERED: Duration = Duration::from_secs(3_600);

/// A rule that is to be saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewRule {
    /// The rule, as people type it.
    pub sentence: String,
    /// How bad it is.
    pub severity: Severity,
    /// Whether it is evaluated.
    pub enabled: bool,
    /// The groups whose hosts it is for; every host where it is absent.
    pub groups: Option<BTreeSet<String>>,
    /// What it means and what to do.
    pub note: String,
    /// The revision that it replaces, where another one is to be refused: 0 for a rule that is to be new.
    pub replaces: Option<u64>,
}

impl ScopedFleet {
    /// Whether the person may change rules for some hosts.
    pub(crate) fn may_change_some_rules(&self) -> bool {
        permission_of(&self.person, Permission::ManageAlerts, None) == Decision::Allowed
    }

    /// The groups that a new rule of the person is for: none where it may be for every host, else those that the person may
    /// change rules for, and of `host`, where one is named, only its own. Absent where there is no such group: a rule that is
    /// meant for one host is never for all.
    pub(crate) fn groups_of_new_rule(&self, host: Option<&HostName>) -> Option<BTreeSet<String>> {
        if host.is_none() && self.may_change_rules(None) {
            return Some(BTreeSet::new());
        }
        let named = match host {
            Some(host) => self.groups(host),
            None => self.person.grants.iter().filter_map(|grant| grant.groups.clone()).flatten().collect(),
        };
        let may = |group: &String| self.may_change_rules(Some(&BTreeSet::from([group.clone()])));
        let groups: BTreeSet<String> = named.into_iter().filter(may).collect();
        (!groups.is_empty()).then_some(groups)
    }

    /// The rules, by id: those for every host, and those for groups that the person may see. Filters that ask for command
    /// lines are left out for who may not see these.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub(crate) async fn alert_rules(&self) -> Result<Vec<RuleEntry>, Refusal> {
        let mut rules = self.whole_rules().await?;
        rules.iter_mut().for_each(|rule| self.withhold_filter(rule));
        Ok(rules)
    }

    /// The same with all filters.
    async fn whole_rules(&self) -> Result<Vec<RuleEntry>, Refusal> {
        let saved = match &self.shared.broker {
            Some(client) => {
                let reading = async { open_rules(client).await?.all().await };
                let read = broker::ask(client, reading).await?;
                read.map_err(|error| Refusal::fault("could not read the rules", &error_chain(&error)))?
            }
            None => Vec::new(),
        };
        let mut rules = rules_in_force(saved);
        rules.retain(|rule| rule.groups().is_none_or(|groups| self.sees_any(groups)));
        Ok(rules)
    }

    fn withhold_filter(&self, entry: &mut RuleEntry) {
        if self.may_on(Permission::SeeCommandLines, entry.groups()) {
            return;
        }
        let Some(sentence) = withheld(entry.sentence()) else { return };
        match &mut entry.rule {
            Ok(rule) => rule.sentence.clone_from(&sentence),
            // It may quote the filter.
            Err(error) => "this version doesn't understand it".clone_into(&mut error.message),
        }
        if let Some(saved) = &mut entry.saved {
            saved.value.sentence = sentence;
        }
    }

    /// Whether the person may change rules for these groups; for every host where it is absent.
    pub(crate) fn may_change_rules(&self, groups: Option<&BTreeSet<String>>) -> bool {
        self.may_on(Permission::ManageAlerts, groups)
    }

    /// Whether the person may do this on all hosts of these groups; on every host where it is absent.
    pub(super) fn may_on(&self, action: Permission, groups: Option<&BTreeSet<String>>) -> bool {
        let allows =
            |groups: &HostGroups| permission_of(&self.person, action, Some(groups)) == Decision::Allowed;
        match groups {
            // Only a grant for every host reaches one without groups.
            None => allows(&HostGroups::new()),
            Some(groups) => {
                !groups.is_empty() && groups.iter().all(|group| allows(&HostGroups::from([group.clone()])))
            }
        }
    }

    fn sees_any(&self, groups: &BTreeSet<String>) -> bool {
        permission_of(&self.person, Permission::SeeHosts, Some(groups)) == Decision::Allowed
    }

    /// Saves a rule, and writes down what it was and became. The rule of that id that was there, built in or saved, is replaced.
    ///
    /// # Errors
    /// When it is none, when the person may not change it, when it was changed meanwhile, or when the broker refuses.
    pub(crate) async fn save_rule(&self, id: &str, new: NewRule) -> Result<RuleEntry, Refusal> {
        let NewRule { sentence, severity, enabled, groups, note, replaces } = new;
        let (changed_by, changed_at_us) = (self.person.name.clone(), now_us());
        let saved = SavedRule { sentence, severity, enabled, groups, note, changed_by, changed_at_us };
        check_groups(saved.groups.as_ref())?;
        let rule = saved.check(id).map_err(bad_rule)?;
        self.may_change(saved.groups.as_ref())?;
        self.may_ask_for(&rule)?;
        let before = self.find_rule(id).await?;
        if let Some(before) = &before {
            self.may_change(before.groups())?;
        }
        if before.as_ref().is_none_or(|before| before.saved.is_none()) {
            self.expect_room().await?;
        }
        let revision = before.as_ref().and_then(|before| before.saved.as_ref()).map(|entry| entry.revision);
        if replaces.is_some_and(|replaces| replaces != revision.unwrap_or_default()) {
            return Err(conflict(id));
        }
        self.write_rule(id, &saved, revision).await?;
        let was = before.as_ref().map_or_else(|| "none".to_owned(), in_words);
        let is = words(&saved.sentence, saved.severity, saved.enabled, saved.groups.as_ref());
        let what = format!("{id}: {was} → {is}");
        self.shared.audit_log.note(&self.person, "alert-rule.save", None, what, Outcome::Done);
        self.find_rule(id).await?.ok_or_else(|| no_such_rule(id))
    }

    /// Refuses one more rule where there are as many as there may be.
    async fn expect_room(&self) -> Result<(), Refusal> {
        let saved = self.whole_rules().await?.into_iter().filter(|rule| rule.saved.is_some()).count();
        match saved < MAX_RULES {
            true => Ok(()),
            false => Err(Refusal::new(
                StatusCode::CONFLICT,
                format!("there are {MAX_RULES} rules already"),
                "remove one that is no longer needed",
            )),
        }
    }

    async fn write_rule(&self, id: &str, saved: &SavedRule, revision: Option<u64>) -> Result<(), Refusal> {
        let Some(client) = &self.shared.broker else { return Err(Refusal::no_broker()) };
        let writing = async {
            let rules = open_rules(client).await?;
            match revision {
                Some(revision) => rules.update(id, saved, revision).await,
                None => rules.create(id, saved).await,
            }
        };
        let written = broker::ask(client, writing).await?;
        match written.map_err(|error| Refusal::fault("could not save the rule", &error_chain(&error)))? {
            true => Ok(()),
            false => Err(conflict(id)),
        }
    }

    /// Removes a saved rule, of the revision `replaces` where one is named, and writes it down; the built-in rule of that id
    /// counts again, if there is one.
    ///
    /// # Errors
    /// When there is no such saved rule, the person may not change it or for every host what counts again, when it was
    /// changed meanwhile, or when the broker refuses.
    pub(crate) async fn remove_rule(&self, id: &str, replaces: Option<u64>) -> Result<(), Refusal> {
        let before = self.find_rule(id).await?.ok_or_else(|| no_such_rule(id))?;
        let Some(saved) = &before.saved else {
            let error = format!("the rule {id} is built in");
            let hint = "it cannot be removed, but switched off: save it with \"enabled\": false";
            return Err(Refusal::new(StatusCode::CONFLICT, error, hint));
        };
        // A built-in rule that counts again is for every host.
        self.may_change(before.groups().filter(|_| before.built_in.is_none()))?;
        if replaces.is_some_and(|replaces| replaces != saved.revision) {
            return Err(conflict(id));
        }
        let Some(client) = &self.shared.broker else { return Err(Refusal::no_broker()) };
        let removing = async { open_rules(client).await?.delete_if(id, saved.revision, REMEMBERED).await };
        let removed = broker::ask(client, removing).await?;
        match removed.map_err(|error| Refusal::fault("could not remove the rule", &error_chain(&error)))? {
            true => {}
            false => return Err(conflict(id)),
        }
        let what = format!("{id}: {}", in_words(&before));
        self.shared.audit_log.note(&self.person, "alert-rule.remove", None, what, Outcome::Done);
        Ok(())
    }

    /// The rule of this id, if the person may see it.
    async fn find_rule(&self, id: &str) -> Result<Option<RuleEntry>, Refusal> {
        Ok(self.whole_rules().await?.into_iter().find(|rule| rule.id == id))
    }

    /// Refuses a filter that asks for command lines which the person may not see on all hosts of the rule.
    fn may_ask_for(&self, rule: &Rule) -> Result<(), Refusal> {
        let groups = rule.groups.as_ref();
        if !rule.filter.asks_for_command_lines() || self.may_on(Permission::SeeCommandLines, groups) {
            return Ok(());
        }
        let error =
            format!("the filter asks for command lines, which you may not see on {}", hosts_of(groups));
        let hint = "ask for the name instead, as in `where name:java`: words alone are looked for in command lines, too";
        Err(Refusal::new(StatusCode::FORBIDDEN, error, hint))
    }

    fn may_change(&self, groups: Option<&BTreeSet<String>>) -> Result<(), Refusal> {
        if self.may_change_rules(groups) {
            return Ok(());
        }
        let hint = "an operator of these hosts may; say for which of your groups the rule is";
        let error = format!("you may not change rules for {}", hosts_of(groups));
        Err(Refusal::new(StatusCode::FORBIDDEN, error, hint))
    }
}

/// The sentence of a rule for people who may not see command lines, without what it asks of these; absent where it asks
/// nothing. One that cannot be read, of a later version, may ask for them in any way: of that stays what stands before
/// `where`, and nothing where there is no `where`.
pub(super) fn withheld(sentence: &str) -> Option<String> {
    let cut = without_filter(sentence);
    match Rule::parse("seen", 0, Severity::default(), sentence) {
        Ok(rule) => rule.filter.asks_for_command_lines().then_some(cut),
        Err(_) if cut == sentence => Some("…".to_owned()),
        Err(_) => Some(cut),
    }
}

/// The hosts of these groups in words.
fn hosts_of(groups: Option<&BTreeSet<String>>) -> String {
    match groups {
        None => "every host".to_owned(),
        Some(groups) => groups.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
    }
}

/// The refusal of a rule that is none.
pub(crate) fn bad_rule(error: BadRule) -> Refusal {
    let hint = "a rule reads as in: cpu > 90% clear 80% for 10m over program where user:www-data";
    Refusal::new(StatusCode::BAD_REQUEST, error.to_string(), hint)
}

/// Refuses groups that no host can be in: the rule would be for nothing.
fn check_groups(groups: Option<&BTreeSet<String>>) -> Result<(), Refusal> {
    let Some(groups) = groups else { return Ok(()) };
    let wrong = groups.iter().find(|group| group.parse::<Group>().is_err());
    match wrong {
        None if !groups.is_empty() => Ok(()),
        None => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "the list of groups is empty, so the rule would be for no host",
            "name groups, or leave `groups` out for every host",
        )),
        Some(wrong) => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            format!("no group can be called {:?}", crate::display::cut(wrong, 64)),
            "write groups as in: web env=prod",
        )),
    }
}

fn conflict(id: &str) -> Refusal {
    let error = format!("the rule {id} was changed meanwhile");
    Refusal::new(StatusCode::CONFLICT, error, "look at it again and repeat the change")
}

/// The refusal of a rule that is not there.
pub(crate) fn no_such_rule(id: &str) -> Refusal {
    let id = crate::display::cut(id, 64);
    let hint = "the rules are listed at /alerts/rules and /api/v1/alerts/rules";
    Refusal::new(StatusCode::NOT_FOUND, format!("no rule is called {id:?}"), hint)
}

fn in_words(rule: &RuleEntry) -> String {
    words(rule.sentence(), rule.severity(), rule.is_on(), rule.groups())
}

fn words(sentence: &str, severity: Severity, is_on: bool, groups: Option<&BTreeSet<String>>) -> String {
    let off = if is_on { "" } else { ", off" };
    let of = groups.map(|groups| format!(", for {}", groups.iter().cloned().collect::<Vec<_>>().join(" ")));
    format!("{sentence} ({severity}{off}{})", of.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sentence_asks_of_command_lines_is_withheld_also_where_it_cannot_be_read() {
        for (sentence, expected) in [
            ("cpu > 90% for 10m over program", None),
            ("count > 0 where name:java", None),
            ("count > 0 where cmd:hunter2", Some("count > 0 where …")),
            // Words are looked for in command lines, too.
            ("count > 0 where hunter2", Some("count > 0 where …")),
            ("count > 0 where cmd:hunter2 and", Some("count > 0 where …")),
            ("telepathy > 5 where name:java", Some("telepathy > 5 where …")),
            ("telepathy of hunter2 > 5", Some("…")),
        ] {
            assert_eq!(withheld(sentence).as_deref(), expected, "{sentence}");
        }
        assert_eq!(withheld(&"hunter2 ".repeat(300)).as_deref(), Some("…"), "longer than any rule");
    }
}
