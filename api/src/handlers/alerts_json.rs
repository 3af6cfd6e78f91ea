//! `/api/v1/alerts`: the open alerts, who looks after them, and what became of others.

use fleetps_ingestor::alerts::{Change, Culprit, Severity, Transition};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::alerts::{AlertsQuery, ChangesQuery};
use crate::{
    answer::{Answer, Time, shape},
    extract::{AlertId, JsonBody, JsonShape, Query},
    live::OpenAlert,
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
};

/// The alerts that are open now, the worst first and then the newest.
#[derive(Serialize, JsonSchema)]
pub(crate) struct OpenAlerts {
    /// Whether all that the broker keeps was read; until then there may be others.
    is_complete: bool,
    alerts: Vec<AlertRow>,
}

/// What became of alerts, the latest first.
#[derive(Serialize, JsonSchema)]
pub(crate) struct AlertChanges {
    /// How many there are, without `limit`.
    total: usize,
    changes: Vec<ChangeRow>,
}

/// Something that needs a person.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Alert")]
pub(crate) struct AlertRow {
    /// The same in every answer and message about it.
    id: String,
    rule: String,
    /// The rule's revision; 0 for a built-in rule.
    revision: u64,
    /// What the rule says.
    sentence: String,
    #[schemars(extend("enum" = Severity::ALL.map(Severity::word)))]
    severity: &'static str,
    host: String,
    /// What on the host: a process, program, unit, user or file system; empty for the host itself.
    instance: String,
    raised_at: Time,
    /// Whether it comes and goes.
    is_flapping: bool,
    /// The value that raised it, in the unit of what is measured.
    value: Option<f64>,
    /// The processes that made the value what it was, those with the largest part first.
    culprits: Vec<CulpritRow>,
    /// Who looks after it; null while nobody does.
    acknowledged: Option<AcknowledgedRow>,
}

/// Somebody looks after an alert.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Acknowledgement")]
struct AcknowledgedRow {
    who: String,
    why: String,
    at: Time,
}

/// A change of an alert.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AlertChange")]
struct ChangeRow {
    id: String,
    #[schemars(extend("enum" = Change::ALL.map(Change::id)))]
    change: &'static str,
    /// When it happened, by the host's clock.
    at: Time,
    /// When the broker had the snapshot that says so.
    decided_at: Time,
    rule: String,
    revision: u64,
    sentence: String,
    #[schemars(extend("enum" = Severity::ALL.map(Severity::word)))]
    severity: &'static str,
    host: String,
    instance: String,
    raised_at: Time,
    value: Option<f64>,
    culprits: Vec<CulpritRow>,
}

/// A process with a part in a value.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Culprit")]
pub(super) struct CulpritRow {
    pid: u32,
    name: String,
    /// Its part: of what is measured; else its CPU in percent of one core, or its resident bytes.
    value: f64,
}

shape!(OpenAlerts);
shape!(AlertRow);
shape!(AlertChanges);

/// The rows of these.
pub(super) fn culprits(culprits: &[Culprit]) -> Vec<CulpritRow> {
    let row =
        |culprit: &Culprit| CulpritRow { pid: culprit.pid, name: culprit.name.clone(), value: culprit.value };
    culprits.iter().map(row).collect()
}

fn alert(open: &OpenAlert) -> AlertRow {
    let (alert, raised) = (&open.last.change.alert, &open.raised.change);
    AlertRow {
        id: alert.id.clone(),
        rule: alert.rule.clone(),
        revision: alert.revision,
        sentence: alert.sentence.clone(),
        severity: alert.severity.word(),
        host: alert.host.to_string(),
        instance: alert.instance(),
        raised_at: Time(alert.raised_at_us),
        is_flapping: open.last.change.change == Change::Flapping,
        value: raised.value,
        culprits: culprits(&raised.culprits),
        acknowledged: open.acknowledged.as_ref().map(|by| AcknowledgedRow {
            who: by.who.clone(),
            why: by.why.clone(),
            at: Time(by.at_us),
        }),
    }
}

fn change(transition: &Transition) -> ChangeRow {
    let (alert, change) = (&transition.change.alert, &transition.change);
    ChangeRow {
        id: alert.id.clone(),
        change: change.change.id(),
        at: Time(change.at_us),
        decided_at: Time(transition.decided_at_us),
        rule: alert.rule.clone(),
        revision: alert.revision,
        sentence: alert.sentence.clone(),
        severity: alert.severity.word(),
        host: alert.host.to_string(),
        instance: alert.instance(),
        raised_at: Time(alert.raised_at_us),
        value: change.value,
        culprits: culprits(&change.culprits),
    }
}

/// `GET /api/v1/alerts`: those that are open.
pub(crate) async fn open(scoped: ScopedFleet, Query(query): Query<AlertsQuery>) -> Answer<OpenAlerts> {
    let alerts = scoped.open_alerts(&query.filter()).iter().map(alert).collect();
    Answer::of(&OpenAlerts { is_complete: scoped.knows_alerts(), alerts })
}

/// An acknowledgement as it is sent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AcknowledgeBody {
    /// What is done about it; may be empty.
    #[serde(default)]
    why: String,
}

impl JsonShape for AcknowledgeBody {
    const NAME: &'static str = "acknowledgement";
    const EXAMPLE: &'static str = "{\"why\": \"I look at it\"}";
}

/// `POST /api/v1/alerts/{id}/acknowledge`: says that one looks after an alert.
pub(crate) async fn acknowledge(
    scoped: ScopedFleet,
    AlertId(id): AlertId,
    JsonBody(AcknowledgeBody { why }): JsonBody<AcknowledgeBody>,
) -> Result<Answer<AlertRow>, Refusal> {
    Ok(Answer::of(&alert(&scoped.acknowledge(&id, &why, false).await?)))
}

/// `DELETE /api/v1/alerts/{id}/acknowledge`: takes that back.
pub(crate) async fn withdraw(scoped: ScopedFleet, AlertId(id): AlertId) -> Result<Answer<AlertRow>, Refusal> {
    Ok(Answer::of(&alert(&scoped.acknowledge(&id, "", true).await?)))
}

/// `GET /api/v1/alerts/history`: what became of alerts.
pub(crate) async fn history(scoped: ScopedFleet, Query(query): Query<ChangesQuery>) -> Answer<AlertChanges> {
    let (changes, total) = scoped.alert_changes(&query.alerts.filter(), query.limit.get());
    Answer::of(&AlertChanges { total, changes: changes.iter().map(|it| change(it)).collect() })
}
