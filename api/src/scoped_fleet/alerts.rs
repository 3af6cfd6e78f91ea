//! Alerts of the hosts that a person may see, and the rules that a person may change.

use std::{collections::BTreeSet, sync::Arc};

use axum::http::StatusCode;
use fleetps_ingestor::alerts::{
    BadRule, Change, MAX_RULES, Rule, RuleEntry, SavedRule, Severity, Transition, open_rules, rules_in_force,
};
use fleetps_ingestor::history::Span;
use fleetps_nats::{HostName, audit::Outcome, error_chain, now_us};
use tokio::sync::watch;

use super::ScopedFleet;
use crate::{
    authz::{Decision, HostGroups, Permission, permission_of},
    broker,
    history_service::AskedFor,
    live::OpenAlert,
    refusal::Refusal,
    view::alerts::Tried,
};

/// Which alerts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// Only of this host.
    pub host: Option<HostName>,
    /// Only of this rule; of any where it is empty.
    pub rule: String,
}

impl AlertFilter {
    fn wants(&self, transition: &Transition) -> bool {
        let alert = &transition.change.alert;
        self.host.as_ref().is_none_or(|host| alert.host == *host)
            && (self.rule.is_empty() || alert.rule == self.rule)
    }
}

/// A rule that is to be saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRule {
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
    /// The open alerts, the worst first and then the newest.
    pub fn open_alerts(&self, filter: &AlertFilter) -> Vec<OpenAlert> {
        let scope = self.scope();
        self.shared.alerts.open(|alert| scope.sees(&alert.change.alert.host) && filter.wants(alert))
    }

    /// The latest changes of alerts, newest first, at most `limit`; and how many there are in all.
    pub fn alert_changes(&self, filter: &AlertFilter, limit: usize) -> (Vec<Arc<Transition>>, usize) {
        let scope = self.scope();
        self.shared.alerts.changes(limit, |it| scope.sees(&it.change.alert.host) && filter.wants(it))
    }

    /// Tells of every change of alerts, by a number that grows.
    pub fn watch_alerts(&self) -> watch::Receiver<u64> {
        self.shared.alerts.watch()
    }

    /// Whether the alerts were read from the broker once; until then there may be others.
    pub fn knows_alerts(&self) -> bool {
        self.shared.alerts.is_read()
    }

    /// How many alerts of a rule are open, and how often it raised one, as far as that is kept.
    pub fn alert_counts(&self, rule: &str) -> (usize, usize) {
        let filter = AlertFilter { rule: rule.to_owned(), ..AlertFilter::default() };
        let scope = self.scope();
        let is_raise = |it: &Transition| {
            it.change.change == Change::Raised && scope.sees(&it.change.alert.host) && filter.wants(it)
        };
        (self.open_alerts(&filter).len(), self.shared.alerts.changes(0, is_raise).1)
    }

    /// What a rule would have said within `span` of the hosts that the person may see, and of these the ones in `groups`; with
    /// rules beside it that tell less.
    ///
    /// # Errors
    /// When the history cannot be read, or it takes too long.
    pub async fn back_test(
        &self,
        rule: Rule,
        groups: Option<BTreeSet<String>>,
        span: Span,
    ) -> Result<Tried, Refusal> {
        let tagged = self.shared.groups.now();
        let steadier = rule.steadier();
        let rules: Vec<Rule> = std::iter::once(rule).chain(steadier).collect();
        let lastings = rules.iter().map(|rule| rule.lasting).collect();
        let is_for =
            move |host: &HostName| groups.as_ref().is_none_or(|groups| !groups.is_disjoint(tagged.of(host)));
        let test =
            self.ask_for(AskedFor::Export, move |history| history.back_test(&rules, span, &is_for)).await?;
        Ok(Tried { test, lastings, span })
    }

    /// Whether the person may change rules for some hosts.
    pub fn may_change_some_rules(&self) -> bool {
        permission_of(&self.person, Permission::ManageAlerts, None) == Decision::Allowed
    }

    /// The rules, by id: those for every host, and those for groups that the person may see.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn alert_rules(&self) -> Result<Vec<RuleEntry>, Refusal> {
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

    /// Whether the person may change rules for these groups; for every host where it is absent.
    pub fn may_change_rules(&self, groups: Option<&BTreeSet<String>>) -> bool {
        let allows = |groups: &HostGroups| {
            permission_of(&self.person, Permission::ManageAlerts, Some(groups)) == Decision::Allowed
        };
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
    pub async fn save_rule(&self, id: &str, new: NewRule) -> Result<RuleEntry, Refusal> {
        let NewRule { sentence, severity, enabled, groups, note, replaces } = new;
        let (changed_by, changed_at_us) = (self.person.name.clone(), now_us());
        let saved = SavedRule { sentence, severity, enabled, groups, note, changed_by, changed_at_us };
        saved.check(id).map_err(bad_rule)?;
        self.may_change(saved.groups.as_ref())?;
        let before = self.find_rule(id).await?;
        if let Some(before) = &before {
            self.may_change(before.groups())?;
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

    async fn write_rule(&self, id: &str, saved: &SavedRule, revision: Option<u64>) -> Result<(), Refusal> {
        let Some(client) = &self.shared.broker else { return Err(Refusal::no_broker()) };
        let writing = async {
            let rules = open_rules(client).await?;
            match revision {
                Some(revision) => rules.update(id, saved, revision).await,
                None if rules.all().await?.len() >= MAX_RULES => Ok(false),
                None => rules.create(id, saved).await,
            }
        };
        let written = broker::ask(client, writing).await?;
        match written.map_err(|error| Refusal::fault("could not save the rule", &error_chain(&error)))? {
            true => Ok(()),
            false => Err(conflict(id)),
        }
    }

    /// Removes a saved rule, and writes it down; the built-in rule of that id counts again, if there is one.
    ///
    /// # Errors
    /// When there is no such saved rule, the person may not change it, or the broker refuses.
    pub async fn remove_rule(&self, id: &str) -> Result<(), Refusal> {
        let before = self.find_rule(id).await?.ok_or_else(|| no_such_rule(id))?;
        if before.saved.is_none() {
            let error = format!("the rule {id} is built in");
            let hint = "it cannot be removed, but switched off: save it with \"enabled\": false";
            return Err(Refusal::new(StatusCode::CONFLICT, error, hint));
        }
        self.may_change(before.groups())?;
        let Some(client) = &self.shared.broker else { return Err(Refusal::no_broker()) };
        let removing = async { open_rules(client).await?.delete(id).await };
        let removed = broker::ask(client, removing).await?;
        removed.map_err(|error| Refusal::fault("could not remove the rule", &error_chain(&error)))?;
        let what = format!("{id}: {}", in_words(&before));
        self.shared.audit_log.note(&self.person, "alert-rule.remove", None, what, Outcome::Done);
        Ok(())
    }

    /// The rule of this id, if the person may see it.
    async fn find_rule(&self, id: &str) -> Result<Option<RuleEntry>, Refusal> {
        Ok(self.alert_rules().await?.into_iter().find(|rule| rule.id == id))
    }

    fn may_change(&self, groups: Option<&BTreeSet<String>>) -> Result<(), Refusal> {
        if self.may_change_rules(groups) {
            return Ok(());
        }
        let hosts = match groups {
            None => "every host".to_owned(),
            Some(groups) => groups.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
        };
        let hint = "an operator of these hosts may; say for which of your groups the rule is";
        Err(Refusal::new(StatusCode::FORBIDDEN, format!("you may not change rules for {hosts}"), hint))
    }
}

/// The refusal of a rule that is none.
pub fn bad_rule(error: BadRule) -> Refusal {
    let hint = "a rule reads as in: cpu > 90% clear 80% for 10m over program where user:www-data";
    Refusal::new(StatusCode::BAD_REQUEST, error.to_string(), hint)
}

fn conflict(id: &str) -> Refusal {
    let hint = format!("look at it again and repeat the change; there are at most {MAX_RULES} rules");
    Refusal::new(
        StatusCode::CONFLICT,
        format!("the rule {id} was changed meanwhile, or there is no room for it"),
        hint,
    )
}

/// The refusal of a rule that is not there.
pub fn no_such_rule(id: &str) -> Refusal {
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
