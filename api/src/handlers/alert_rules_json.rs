//! `/api/v1/alerts/rules`: the rules by which alerts are raised.

use std::collections::BTreeSet;

use fleetps_ingestor::alerts::{RuleEntry, Severity};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    answer::{Answer, Time, shape},
    extract::{JsonBody, JsonShape, RuleId},
    refusal::Refusal,
    scoped_fleet::{NewRule, ScopedFleet},
};

/// The rules by which alerts are raised.
#[derive(Serialize, JsonSchema)]
pub(crate) struct AlertRules {
    rules: Vec<RuleRow>,
}

/// A rule.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AlertRule")]
pub(crate) struct RuleRow {
    id: String,
    sentence: String,
    #[schemars(extend("enum" = Severity::ALL.map(Severity::word)))]
    severity: &'static str,
    /// Whether it is evaluated.
    enabled: bool,
    /// The groups whose hosts it is for; null for every host.
    groups: Option<BTreeSet<String>>,
    /// What it means and what to do.
    note: String,
    /// Whether there is a built-in rule of this id.
    is_built_in: bool,
    /// Grows with every change; 0 for a built-in rule that nobody changed.
    revision: u64,
    changed_by: Option<String>,
    changed_at: Option<Time>,
    /// Why it is not evaluated although it is enabled: an earlier version understood it.
    error: Option<String>,
    /// Alerts of it that are open.
    open: usize,
    /// How often it raised one, as far as that is kept.
    raised: usize,
}

shape!(AlertRules);
shape!(RuleRow);

fn rule(scoped: &ScopedFleet, rule: &RuleEntry) -> RuleRow {
    let saved = rule.saved.as_ref();
    let (open, raised) = scoped.alert_counts(&rule.id);
    RuleRow {
        id: rule.id.clone(),
        sentence: rule.sentence().to_owned(),
        severity: rule.severity().word(),
        enabled: saved.is_none_or(|saved| saved.value.enabled),
        groups: rule.groups().cloned(),
        note: rule.note().to_owned(),
        is_built_in: rule.built_in.is_some(),
        revision: saved.map_or(0, |saved| saved.revision),
        changed_by: saved.map(|saved| saved.value.changed_by.clone()),
        changed_at: saved.map(|saved| Time(saved.value.changed_at_us)),
        error: rule.rule.as_ref().err().map(ToString::to_string),
        open,
        raised,
    }
}

/// A rule as it is sent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleBody {
    /// The rule, as in cpu > 90% for 10m over program; docs/alerts.md has the language.
    sentence: String,
    #[serde(default)]
    #[schemars(with = "String", extend("enum" = Severity::ALL.map(Severity::word)))]
    severity: Severity,
    /// Whether it is evaluated; yes without it.
    #[serde(default = "yes")]
    enabled: bool,
    /// The groups whose hosts it is for: those in any of them; every host without it.
    #[serde(default)]
    groups: Option<BTreeSet<String>>,
    /// What it means and what to do.
    #[serde(default)]
    note: String,
    /// The revision that it replaces; another one is refused. 0 for a rule that is to be new.
    #[serde(default)]
    revision: Option<u64>,
}

fn yes() -> bool {
    true
}

impl JsonShape for RuleBody {
    const NAME: &'static str = "rule";
    const EXAMPLE: &'static str = "{\"sentence\": \"cpu > 90% for 10m\", \"severity\": \"warning\"}";
}

/// `GET /api/v1/alerts/rules`: the rules.
pub(crate) async fn rules(scoped: ScopedFleet) -> Result<Answer<AlertRules>, Refusal> {
    let rules = scoped.alert_rules().await?;
    Ok(Answer::of(&AlertRules { rules: rules.iter().map(|it| rule(&scoped, it)).collect() }))
}

/// `PUT /api/v1/alerts/rules/{id}`: saves a rule.
pub(crate) async fn save(
    scoped: ScopedFleet,
    RuleId(id): RuleId,
    JsonBody(body): JsonBody<RuleBody>,
) -> Result<Answer<RuleRow>, Refusal> {
    let RuleBody { sentence, severity, enabled, groups, note, revision } = body;
    let new = NewRule { sentence, severity, enabled, groups, note, replaces: revision };
    let saved = scoped.save_rule(&id, new).await?;
    Ok(Answer::of(&rule(&scoped, &saved)))
}

/// `DELETE /api/v1/alerts/rules/{id}`: removes a saved rule; answers with the rules that there are then.
pub(crate) async fn remove(scoped: ScopedFleet, RuleId(id): RuleId) -> Result<Answer<AlertRules>, Refusal> {
    scoped.remove_rule(&id, None).await?;
    rules(scoped).await
}
