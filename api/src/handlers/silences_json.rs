//! `/api/v1/alerts/silences`: what nobody is told of for a while.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use fleetps_nats::units;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    answer::{Answer, Time, shape},
    extract::{JsonBody, JsonShape, SilenceId},
    live::now_us,
    notify::{Matcher, Schedule, Silence, When},
    refusal::Refusal,
    scoped_fleet::{NewSilence, ScopedFleet},
    view::silences::{SilenceEntry, once},
};

/// The silences and maintenance windows that one may see, those that hold first.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Silences {
    silences: Vec<SilenceRow>,
}

/// A silence, or a maintenance window that comes again every week.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Silence")]
pub(crate) struct SilenceRow {
    id: String,
    matcher: Matcher,
    /// The beginning; null for a maintenance window.
    from: Option<Time>,
    /// The end; null for a maintenance window.
    until: Option<Time>,
    /// The hours of a maintenance window; null for a silence.
    weekly: Option<Schedule>,
    why: String,
    who: String,
    made_at: Time,
    /// The groups whose hosts it holds for, those of its maker; null for every host.
    within: Option<BTreeSet<String>>,
    /// Whether it holds now.
    holds: bool,
    /// Whether you may end it.
    may_end: bool,
    /// How many of the latest 2,000 alerts it muted.
    muted: usize,
    /// The latest of them.
    latest: Vec<Muted>,
}

/// An alert that nobody was told of.
#[derive(Serialize, JsonSchema)]
struct Muted {
    rule: String,
    host: String,
}

shape!(Silences);
shape!(SilenceRow);

/// A silence as it is sent: either `for`, or `weekly`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SilenceBody {
    /// What it is about; everything without it.
    #[serde(default)]
    matcher: Matcher,
    /// From now on for this time, as in 2h; at most 90d.
    #[serde(default, rename = "for")]
    length: Option<String>,
    /// In these hours of every week.
    #[serde(default)]
    weekly: Option<Schedule>,
    /// Why.
    #[serde(default)]
    why: String,
}

impl JsonShape for SilenceBody {
    const NAME: &'static str = "silence";
    const EXAMPLE: &'static str =
        "{\"matcher\": {\"hosts\": [\"web-1\"]}, \"for\": \"2h\", \"why\": \"the disk is exchanged\"}";
}

fn row(entry: SilenceEntry) -> SilenceRow {
    let SilenceEntry { id, silence, holds, may_end, muted, latest } = entry;
    let Silence { matcher, when, why, who, within, made_at_us } = silence;
    let (from, until, weekly) = match when {
        When::Once { from_us, until_us } => (Some(Time(from_us)), Some(Time(until_us)), None),
        When::Weekly(schedule) => (None, None, Some(schedule)),
    };
    let latest = latest.into_iter().map(|(rule, host)| Muted { rule, host }).collect();
    let made_at = Time(made_at_us);
    SilenceRow { id, matcher, from, until, weekly, why, who, made_at, within, holds, may_end, muted, latest }
}

/// `GET /api/v1/alerts/silences`: those that one may see.
pub(crate) async fn list(scoped: ScopedFleet) -> Result<Answer<Silences>, Refusal> {
    let silences = scoped.silences().await?.into_iter().map(row).collect();
    Ok(Answer::of(&Silences { silences }))
}

/// `POST /api/v1/alerts/silences`: adds one.
pub(crate) async fn add(
    scoped: ScopedFleet,
    JsonBody(SilenceBody { matcher, length, weekly, why }): JsonBody<SilenceBody>,
) -> Result<Answer<SilenceRow>, Refusal> {
    let when = match (length, weekly) {
        (Some(length), None) => {
            let length = units::parse_duration(&length).map_err(|error| {
                Refusal::new(StatusCode::BAD_REQUEST, format!("for: {error}"), SilenceBody::EXAMPLE)
            })?;
            once(now_us(), length)
        }
        (None, Some(schedule)) => When::Weekly(schedule),
        _ => {
            let error = "a silence has either `for` or `weekly`";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, error, SilenceBody::EXAMPLE));
        }
    };
    Ok(Answer::of(&row(scoped.add_silence(NewSilence { matcher, when, why }).await?)))
}

/// `DELETE /api/v1/alerts/silences/{id}`: ends one; answers with those that there are then.
pub(crate) async fn end(scoped: ScopedFleet, SilenceId(id): SilenceId) -> Result<Answer<Silences>, Refusal> {
    scoped.end_silence(&id).await?;
    list(scoped).await
}
