//! `/api/v1/alerts`: the open alerts, what became of others, and the rules.

use std::{collections::BTreeSet, time::Duration};

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use fleetps_ingestor::{
    alerts::{Change, Culprit, RuleEntry, Severity, Transition},
    history::Episode,
};
use fleetps_nats::units;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    alerts::{AlertsQuery, ChangesQuery, USUAL_RANGE, try_rule},
    json::AboutPast,
};
use crate::{
    answer::{Answer, Time, shape},
    extract::{AlertId, JsonBody, JsonShape, Query, RuleId},
    live::OpenAlert,
    openapi::{Argument, Takes},
    refusal::Refusal,
    scoped_fleet::{NewRule, ScopedFleet},
    view::alerts::Tried,
};

/// The alerts that are open now, the worst first and then the newest.
#[derive(Serialize, JsonSchema)]
pub struct OpenAlerts {
    /// Whether all that the broker keeps was read; until then there may be others.
    is_complete: bool,
    alerts: Vec<AlertRow>,
}

/// What became of alerts, the latest first.
#[derive(Serialize, JsonSchema)]
pub struct AlertChanges {
    /// How many there are, without `limit`.
    total: usize,
    changes: Vec<ChangeRow>,
}

/// The rules by which alerts are raised.
#[derive(Serialize, JsonSchema)]
pub struct AlertRules {
    rules: Vec<RuleRow>,
}

/// Something that needs a person.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Alert")]
pub struct AlertRow {
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
struct CulpritRow {
    pid: u32,
    name: String,
    /// Its part: of what is measured; else its CPU in percent of one core, or its resident bytes.
    value: f64,
}

/// A rule.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AlertRule")]
pub struct RuleRow {
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

shape!(OpenAlerts);
shape!(AlertRow);
shape!(AlertChanges);
shape!(AlertRules);
shape!(RuleRow);

fn culprits(culprits: &[Culprit]) -> Vec<CulpritRow> {
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

/// `GET /api/v1/alerts`: those that are open.
pub async fn open(scoped: ScopedFleet, Query(query): Query<AlertsQuery>) -> Answer<OpenAlerts> {
    let alerts = scoped.open_alerts(&query.filter()).iter().map(alert).collect();
    Answer::of(&OpenAlerts { is_complete: scoped.knows_alerts(), alerts })
}

/// An acknowledgement as it is sent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcknowledgeBody {
    /// What is done about it; may be empty.
    #[serde(default)]
    why: String,
}

impl JsonShape for AcknowledgeBody {
    const NAME: &'static str = "acknowledgement";
    const EXAMPLE: &'static str = "{\"why\": \"I look at it\"}";
}

/// `POST /api/v1/alerts/{id}/acknowledge`: says that one looks after an alert.
pub async fn acknowledge(
    scoped: ScopedFleet,
    AlertId(id): AlertId,
    JsonBody(AcknowledgeBody { why }): JsonBody<AcknowledgeBody>,
) -> Result<Answer<AlertRow>, Refusal> {
    Ok(Answer::of(&alert(&scoped.acknowledge(&id, &why, false).await?)))
}

/// `DELETE /api/v1/alerts/{id}/acknowledge`: takes that back.
pub async fn withdraw(scoped: ScopedFleet, AlertId(id): AlertId) -> Result<Answer<AlertRow>, Refusal> {
    Ok(Answer::of(&alert(&scoped.acknowledge(&id, "", true).await?)))
}

/// `GET /api/v1/alerts/history`: what became of alerts.
pub async fn history(scoped: ScopedFleet, Query(query): Query<ChangesQuery>) -> Answer<AlertChanges> {
    let (changes, total) = scoped.alert_changes(&query.alerts.filter(), query.limit.get());
    Answer::of(&AlertChanges { total, changes: changes.iter().map(|it| change(it)).collect() })
}

/// `GET /api/v1/alerts/rules`: the rules.
pub async fn rules(scoped: ScopedFleet) -> Result<Answer<AlertRules>, Refusal> {
    let rules = scoped.alert_rules().await?;
    Ok(Answer::of(&AlertRules { rules: rules.iter().map(|it| rule(&scoped, it)).collect() }))
}

/// `PUT /api/v1/alerts/rules/{id}`: saves a rule.
pub async fn save(
    scoped: ScopedFleet,
    RuleId(id): RuleId,
    RuleBody(body): RuleBody,
) -> Result<Answer<RuleRow>, Refusal> {
    let saved = scoped.save_rule(&id, body).await?;
    Ok(Answer::of(&rule(&scoped, &saved)))
}

/// `DELETE /api/v1/alerts/rules/{id}`: removes a saved rule; answers with the rules that there are then.
pub async fn remove(scoped: ScopedFleet, RuleId(id): RuleId) -> Result<Answer<AlertRules>, Refusal> {
    scoped.remove_rule(&id, None).await?;
    rules(scoped).await
}

/// What a rule would have said in the past.
#[derive(Serialize, JsonSchema)]
pub struct AlertTest {
    sentence: String,
    from: Time,
    to: Time,
    /// Hosts that were evaluated.
    hosts: u64,
    /// Snapshots of them.
    snapshots: u64,
    /// How often it would have told somebody.
    told: u64,
    /// The same with other times that it must last.
    others: Vec<OtherLasting>,
    /// How many episodes there are.
    total: u64,
    /// The times in which an alert would have been open; the first 1,000.
    episodes: Vec<EpisodeRow>,
}

/// How often a rule would have told somebody that must last for another time.
#[derive(Serialize, JsonSchema)]
struct OtherLasting {
    /// As in a rule: `for 5m`, `3 of 5`.
    lasting: String,
    told: u64,
}

/// A time in which an alert would have been open.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AlertEpisode")]
struct EpisodeRow {
    host: String,
    instance: String,
    from: Time,
    /// Null where it was open at the end.
    to: Option<Time>,
    /// Why it ended.
    #[schemars(extend("enum" = ends()))]
    end: Option<&'static str>,
    /// The value that raised it.
    value: Option<f64>,
    culprits: Vec<CulpritRow>,
}

fn ends() -> Vec<Option<&'static str>> {
    let ends = Change::ALL.into_iter().filter(|change| change.is_end());
    ends.map(|change| Some(change.id())).chain([None]).collect()
}

shape!(AlertTest);

/// `POST /api/v1/alerts/test`: what a rule would have said in the past.
pub async fn test(
    scoped: ScopedFleet,
    TestBody { sentence, groups, range }: TestBody,
) -> Result<Answer<AboutPast<AlertTest>>, Refusal> {
    let tried = try_rule(&scoped, &sentence, groups, range).await?;
    let episode = |episode: &Episode| EpisodeRow {
        host: episode.host.to_string(),
        instance: episode.key.to_string(),
        from: Time(episode.from_us),
        to: episode.end.map(|(at_us, _)| Time(at_us)),
        end: episode.end.map(|(_, change)| change.id()),
        value: episode.value,
        culprits: culprits(&episode.culprits),
    };
    let Tried { test, lastings, span } = tried;
    let others = lastings.iter().zip(&test.told).skip(1);
    let answer = AlertTest {
        sentence,
        from: Time(span.from_us),
        to: Time(span.to_us),
        hosts: test.hosts,
        snapshots: test.snapshots,
        told: test.told.first().copied().unwrap_or_default(),
        others: others
            .map(|(lasting, told)| OtherLasting { lasting: lasting.to_string(), told: *told })
            .collect(),
        total: test.episode_count,
        episodes: test.episodes.iter().map(episode).collect(),
    };
    Ok(Answer::of(&AboutPast::new(&scoped, test.resolution, answer)))
}

/// A rule that is to be tried, as it is sent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestBody {
    sentence: String,
    #[serde(default)]
    groups: Option<BTreeSet<String>>,
    #[serde(default = "usual_range", with = "units::duration")]
    range: Duration,
}

fn usual_range() -> Duration {
    USUAL_RANGE
}

impl<S: Send + Sync> FromRequest<S> for TestBody {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let body = Bytes::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        serde_json::from_slice(&body).map_err(|error| {
            let hint = "send a JSON object as in {\"sentence\": \"cpu > 90% for 10m\", \"range\": \"1d\"}";
            Refusal::new(StatusCode::BAD_REQUEST, format!("the body is no test: {error}"), hint)
                .into_response()
        })
    }
}

impl Argument for TestBody {
    fn describe(takes: &mut Takes) {
        let text = |words: &str| json!({"type": "string", "description": words});
        let groups = json!({
            "type": ["array", "null"],
            "items": {"type": "string"},
            "description": "The groups whose hosts it is tried on; all hosts without it.",
        });
        let body = json!({
            "type": "object",
            "properties": {
                "sentence": text("The rule, as in cpu > 90% for 10m over program."),
                "groups": groups,
                "range": text("How far back it is tried, as in 6h; at most 7d, and 1d without it."),
            },
            "required": ["sentence"],
            "additionalProperties": false,
        });
        takes.body = vec![("application/json", body)];
    }
}

/// A rule as it is sent.
#[derive(Debug)]
pub struct RuleBody(pub NewRule);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    sentence: String,
    #[serde(default)]
    severity: Severity,
    #[serde(default = "yes")]
    enabled: bool,
    #[serde(default)]
    groups: Option<BTreeSet<String>>,
    #[serde(default)]
    note: String,
    #[serde(default)]
    revision: Option<u64>,
}

fn yes() -> bool {
    true
}

impl<S: Send + Sync> FromRequest<S> for RuleBody {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let body = Bytes::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        let sent: Sent = serde_json::from_slice(&body).map_err(|error| {
            let hint =
                "send a JSON object as in {\"sentence\": \"cpu > 90% for 10m\", \"severity\": \"warning\"}";
            Refusal::new(StatusCode::BAD_REQUEST, format!("the body is no rule: {error}"), hint)
                .into_response()
        })?;
        let Sent { sentence, severity, enabled, groups, note, revision } = sent;
        Ok(Self(NewRule { sentence, severity, enabled, groups, note, replaces: revision }))
    }
}

impl Argument for RuleBody {
    fn describe(takes: &mut Takes) {
        let text = |words: &str| json!({"type": "string", "description": words});
        let groups = json!({
            "type": ["array", "null"],
            "items": {"type": "string"},
            "description": "The groups whose hosts it is for: those in any of them; every host without it.",
        });
        let revision = json!({
            "type": ["integer", "null"],
            "minimum": 0,
            "description": "The revision that it replaces; another one is refused. 0 for a rule that is to be new.",
        });
        let severity = json!({"type": "string", "enum": Severity::ALL.map(Severity::word)});
        let body = json!({
            "type": "object",
            "properties": {
                "sentence": text("The rule, as in cpu > 90% for 10m over program; docs/alerts.md has the language."),
                "severity": severity,
                "enabled": {"type": "boolean", "description": "Whether it is evaluated; yes without it."},
                "groups": groups,
                "note": text("What it means and what to do."),
                "revision": revision,
            },
            "required": ["sentence"],
            "additionalProperties": false,
        });
        takes.body = vec![("application/json", body)];
    }
}
