//! `/api/v1/hosts/{host}/settings` and `/api/v1/groups/{group}/settings`: how hosts are sampled, and asking for it to change.

use axum::{
    body::Bytes,
    extract::{FromRequestParts, RawPathParams},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use fleetps_nats::{
    agent_settings::{AskedOfAgent, Setting},
    hosts::Group,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    answer::{Answer, shape},
    control::{SettingsOfHost, Target},
    extract::Host,
    openapi::{Argument, Takes},
    query::Parameter,
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
};

/// The key of the reason, beside the settings.
const WHY: &str = "why";

/// How a host is sampled.
#[derive(Serialize, JsonSchema)]
pub(crate) struct HostSettings {
    host: String,
    /// Every setting.
    settings: Vec<One>,
    /// What is asked of the host itself, without its groups.
    #[schemars(schema_with = "asked")]
    asked_of_host: AskedOfAgent,
    /// Whether the host does what was asked last.
    is_applied: bool,
    /// Why nothing can be asked of the host; null where it can.
    obstacle: Option<&'static str>,
    /// Why the host did not believe the last settings; null where it did.
    problem: Option<String>,
    /// How often the host is sampled while somebody watches, in whole seconds, where more often would take more than a twentieth of
    /// a core there; null otherwise.
    slowed_to_s: Option<u64>,
}

/// What is asked of the hosts of a group.
#[derive(Serialize, JsonSchema)]
pub(crate) struct GroupSettings {
    group: String,
    #[schemars(schema_with = "asked")]
    asked: AskedOfAgent,
}

shape!(HostSettings);
shape!(GroupSettings);

/// One setting of a host.
#[derive(Serialize, JsonSchema)]
struct One {
    name: &'static str,
    /// The value; null where there is none or the host has not reported.
    in_force: Value,
    /// The value that the host itself or its groups are asked for; null where nobody asks.
    asked: Value,
    /// Who decided the value in force.
    decided_by: String,
    /// The host's own file lets nobody else decide.
    is_pinned: bool,
    /// The values that can be asked.
    allowed: String,
}

fn asked(_: &mut SchemaGenerator) -> Schema {
    let properties: Map<String, Value> =
        Setting::ALL.into_iter().map(|setting| (setting.key().to_owned(), schema_of(setting))).collect();
    json_schema!({ "type": "object", "properties": properties })
}

/// The shape of a value of a setting, or null.
fn schema_of(setting: Setting) -> Value {
    let kind = match setting {
        Setting::Interval | Setting::Top | Setting::MaxProcesses => json!({"type": ["integer", "null"]}),
        Setting::Enabled | Setting::KeepWatched => json!({"type": ["boolean", "null"]}),
        Setting::CommandLine => json!({"enum": ["scrubbed", "off", null]}),
        Setting::ExcludeNames | Setting::ExcludeUsers => {
            json!({"type": ["array", "null"], "items": {"type": "string"}})
        }
    };
    let mut kind = kind;
    kind["description"] = json!(format!("{}; null asks for nothing", setting.allowed()));
    kind
}

/// The schema of a change, for the routes.
pub(crate) fn body() -> Value {
    let mut properties: Map<String, Value> =
        Setting::ALL.into_iter().map(|setting| (setting.key().to_owned(), schema_of(setting))).collect();
    properties.insert(WHY.to_owned(), json!({"type": "string", "description": "The reason, for the audit."}));
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}

impl HostSettings {
    fn of(host: String, known: SettingsOfHost) -> Self {
        let one = |setting: Setting| One {
            name: setting.key(),
            in_force: known.in_force(setting),
            asked: known.resolved.asked.value(setting),
            decided_by: known.decision(setting).to_string(),
            is_pinned: known.is_pinned(setting),
            allowed: setting.allowed(),
        };
        Self {
            host,
            settings: Setting::ALL.map(one).into(),
            is_applied: known.is_applied(),
            obstacle: known.obstacle(),
            problem: known.applied.as_ref().and_then(|applied| applied.problem.clone()),
            slowed_to_s: known.applied.as_ref().and_then(|applied| applied.slowed_to_s),
            asked_of_host: known.own,
        }
    }
}

/// The group in the path.
#[derive(Debug, Clone)]
pub(crate) struct GroupPath(String);

impl<S: Send + Sync> FromRequestParts<S> for GroupPath {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let places =
            RawPathParams::from_request_parts(parts, state).await.map_err(IntoResponse::into_response)?;
        let group = places.iter().find(|(place, _)| *place == "group").map_or("", |(_, group)| group);
        match group.parse::<Group>() {
            Ok(group) => Ok(Self(group.into())),
            Err(error) => {
                let hint = "write a group as in web or env=prod";
                Err(Refusal::new(StatusCode::BAD_REQUEST, error.to_string(), hint).into_response())
            }
        }
    }
}

impl Argument for GroupPath {
    fn describe(takes: &mut Takes) {
        takes.path.push(Parameter::of("group", "The group, as in web or env=prod.", |path: &Self| &path.0));
    }
}

/// How a host is sampled.
pub(crate) async fn of_host(scoped: ScopedFleet, Host(host): Host) -> Result<Answer<HostSettings>, Refusal> {
    let known = scoped.settings(&host)?;
    Ok(Answer::of(&HostSettings::of(host.to_string(), known)))
}

/// Asks a host for other settings. The answer is what it does at this moment; it does what was asked within a second.
pub(crate) async fn change_host(
    scoped: ScopedFleet,
    Host(host): Host,
    body: Bytes,
) -> Result<Answer<HostSettings>, Refusal> {
    let (changes, why) = changes(&body)?;
    let own = scoped.ask_settings(&Target::Host(host.clone()), &changes, &why).await?;
    let known = SettingsOfHost { own, ..scoped.settings(&host)? };
    Ok(Answer::of(&HostSettings::of(host.to_string(), known)))
}

/// What is asked of the hosts of a group.
pub(crate) async fn of_group(
    scoped: ScopedFleet,
    GroupPath(group): GroupPath,
) -> Result<Answer<GroupSettings>, Refusal> {
    let asked = scoped.settings_of_group(&group)?;
    Ok(Answer::of(&GroupSettings { group, asked }))
}

/// Asks the hosts of a group for other settings.
pub(crate) async fn change_group(
    scoped: ScopedFleet,
    GroupPath(group): GroupPath,
    body: Bytes,
) -> Result<Answer<GroupSettings>, Refusal> {
    let (changes, why) = changes(&body)?;
    let asked = scoped.ask_settings(&Target::Group(group.clone()), &changes, &why).await?;
    Ok(Answer::of(&GroupSettings { group, asked }))
}

/// The settings of a change, each in its range, and the reason.
fn changes(body: &[u8]) -> Result<(Vec<(Setting, Value)>, String), Refusal> {
    let bad = |error: String, hint: String| Refusal::new(StatusCode::BAD_REQUEST, error, hint);
    let example = || "send a JSON object, as in {\"interval_ms\": 1000}".to_owned();
    let fields: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|error| bad(format!("the body cannot be read: {error}"), example()))?;
    let (mut changes, mut why) = (Vec::new(), String::new());
    for (key, value) in fields {
        if key == WHY {
            why = value
                .as_str()
                .ok_or_else(|| bad("why is not a text".to_owned(), "send a reason in words".to_owned()))?
                .to_owned();
            continue;
        }
        let Some(setting) = Setting::of_key(&key) else {
            let known = Setting::ALL.map(Setting::key).join(", ");
            let error = format!("there is no setting {:?}", crate::display::cut(&key, 100));
            return Err(bad(error, format!("the settings are {known}, and {WHY} for the reason")));
        };
        AskedOfAgent::default()
            .set(setting, &value)
            .map_err(|error| bad(error.to_string(), "null asks for nothing".to_owned()))?;
        changes.push((setting, value));
    }
    if changes.is_empty() {
        return Err(bad("nothing is asked".to_owned(), example()));
    }
    Ok((changes, why))
}
