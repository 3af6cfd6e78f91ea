//! `/api/v1/commands` and `/api/v1/hosts/{host}/commands`: asking for commands to hosts, and what became of them.

use std::{sync::Arc, time::Duration};

use axum::{body::Bytes, http::StatusCode};
use fleetps_nats::{
    HostName,
    command::{CommandId, MAX_WHY_BYTES, ProcessId, Signal, UnitAction, UnitName, What},
    units,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value as Json, json};
use tokio::time::Instant;

use super::command_rows::{Command, CommandList, Unit};
use crate::{
    answer::{Answer, OrAccepted},
    command::{CommandRecord, Pace},
    extract::{CommandPath, Host, Query, UnitPath},
    query::{
        parameter::{self, Count, Value, is_default},
        parameters,
    },
    refusal::Refusal,
    scoped_fleet::{MAX_TARGETS, ScopedFleet},
};

/// Commands in a list by default.
const DEFAULT_COMMANDS: usize = 100;
/// The most commands in a list: all that are kept.
const MAX_COMMANDS: usize = 10_000;
/// The longest that an answer is held back: proxies end a request after a minute.
const MAX_WAIT: Duration = Duration::from_secs(55);
/// The shortest time between two looks at a plan that is waited for: every change of any command is told, and each look goes through
/// all records. A single command is found by its id, and looked at after every change.
const LOOKS_APART: Duration = Duration::from_millis(200);

/// How long an answer may be held back until a command is over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct WaitFor(Duration);

impl Value for WaitFor {
    fn read(given: &str) -> Result<Self, String> {
        let expected = || "a time as in 10s, at most 55s".to_owned();
        let wait = units::parse_duration(given).ok().filter(|wait| *wait <= MAX_WAIT);
        wait.map(Self).ok_or_else(expected)
    }

    fn written(&self) -> String {
        units::format_duration(self.0)
    }
}

/// The query of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CommandQuery {
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    wait: WaitFor,
}

parameters! {
    CommandQuery {
        wait: "How long to wait until it is over, as in 10s; without it, not at all.",
    }
}

/// The query of a list of commands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CommandsQuery {
    #[serde(with = "parameter::optional", skip_serializing_if = "Option::is_none")]
    host: Option<HostName>,
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    limit: Count<DEFAULT_COMMANDS, MAX_COMMANDS, 1>,
}

parameters! {
    CommandsQuery {
        limit: "The most commands.",
        host: "Only to this host.",
    }
}

/// What is asked for: a unit with an action, or a process with a signal.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CommandRequest {
    action: Option<UnitAction>,
    unit: Option<UnitName>,
    signal: Option<Signal>,
    process: Option<ProcessId>,
    #[serde(default)]
    why: String,
}

/// The same for several hosts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedOfSeveral {
    hosts: Vec<HostName>,
    action: UnitAction,
    unit: UnitName,
    #[serde(default)]
    why: String,
    parallel: Option<usize>,
    stop_after: Option<usize>,
}

const EXAMPLE: &str = r#"send {"action": "restart", "unit": "nginx.service"} or {"signal": "TERM", "process": {"boot_id": …, "pid": …, "start_ticks": …}}"#;

fn bad(error: impl Into<String>, hint: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, error, hint)
}

fn read<T: DeserializeOwned>(body: &[u8], example: &str) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| bad(format!("the body cannot be read: {error}"), example))
}

impl CommandRequest {
    fn what(self) -> Result<What, Refusal> {
        match (self.action, self.unit, self.signal, self.process) {
            (Some(action), Some(unit), None, None) => Ok(What::Unit { action, unit }),
            (None, None, Some(signal), Some(process)) => Ok(What::Signal { signal, process }),
            _ => Err(bad("a command has an action and a unit, or a signal and a process", EXAMPLE)),
        }
    }
}

/// How a plan goes, by what was sent.
///
/// # Errors
/// When a number is out of range.
pub(crate) fn pace(parallel: Option<usize>, stop_after: Option<usize>) -> Result<Pace, Refusal> {
    let usual = Pace::default();
    let in_range = |name: &str, given: Option<usize>, usual: usize| match given.unwrap_or(usual) {
        number @ 1..=MAX_TARGETS => Ok(number),
        number => Err(bad(format!("{name} cannot be {number}"), "take a number from 1 to 500")),
    };
    Ok(Pace {
        parallel: in_range("parallel", parallel, usual.parallel)?,
        stop_after: in_range("stop_after", stop_after, usual.stop_after)?,
    })
}

fn unit_fields() -> Json {
    json!({
        "action": {"enum": UnitAction::ALL.map(UnitAction::name)},
        "unit": {"type": "string", "maxLength": 255, "description": "A unit's name, as in nginx.service."},
        "why": {"type": "string", "maxLength": MAX_WHY_BYTES, "description": "The reason, for the audit."},
    })
}

/// The schema of a command to one host, for the routes.
pub(crate) fn body() -> Json {
    let mut fields = unit_fields();
    fields["signal"] = json!({"enum": Signal::ALL.map(Signal::name)});
    let pid = json!({"type": "integer", "format": "int64", "minimum": 1, "maximum": i32::MAX});
    fields["process"] = json!({
        "type": "object",
        "description": "boot_id, pid and start_ticks as GET /api/v1/hosts/{host}/processes/{pid} has them.",
        "properties": {"boot_id": {"type": "string"}, "pid": pid, "start_ticks": {"type": "integer", "format": "int64", "minimum": 0}},
        "required": ["boot_id", "pid", "start_ticks"],
        "additionalProperties": false,
    });
    json!({"type": "object", "properties": fields, "additionalProperties": false})
}

/// The schema of a command to several hosts, for the routes.
pub(crate) fn body_of_several() -> Json {
    let mut fields = unit_fields();
    let number = |words: &str| json!({"type": "integer", "format": "int64", "minimum": 1, "maximum": MAX_TARGETS, "description": words});
    fields["hosts"] =
        json!({"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MAX_TARGETS});
    fields["parallel"] = number("Hosts at a time, after the first; 5 without it.");
    fields["stop_after"] =
        number("Hosts on which it may not succeed before the rest is cancelled; 1 without it.");
    json!({"type": "object", "properties": fields, "required": ["hosts", "action", "unit"], "additionalProperties": false})
}

/// Commands one host.
pub(crate) async fn ask_host(
    scoped: ScopedFleet,
    Query(query): Query<CommandQuery>,
    Host(host): Host,
    body: Bytes,
) -> Result<OrAccepted<Command>, Refusal> {
    let asked: CommandRequest = read(&body, EXAMPLE)?;
    let why = asked.why.clone();
    let id = scoped.command(vec![(host, asked.what()?)], &why, Pace::default()).await?;
    answer(&scoped, id, query.wait).await
}

/// Commands several hosts.
pub(crate) async fn ask_several(
    scoped: ScopedFleet,
    Query(query): Query<CommandQuery>,
    body: Bytes,
) -> Result<OrAccepted<Command>, Refusal> {
    let example = r#"send {"hosts": ["web-01", "web-02"], "action": "restart", "unit": "nginx.service"}"#;
    let AskedOfSeveral { hosts, action, unit, why, parallel, stop_after } = read(&body, example)?;
    let pace = pace(parallel, stop_after)?;
    let targets = each_once(hosts)?.into_iter().map(|host| (host, What::Unit { action, unit: unit.clone() }));
    let id = scoped.command(targets.collect(), &why, pace).await?;
    answer(&scoped, id, query.wait).await
}

/// The hosts, if each is named once.
///
/// # Errors
/// When one is named twice.
pub(crate) fn each_once(hosts: Vec<HostName>) -> Result<Vec<HostName>, Refusal> {
    let mut seen = std::collections::BTreeSet::new();
    match hosts.iter().find(|host| !seen.insert(*host)) {
        Some(twice) => Err(bad(format!("{twice} is named twice"), "name each host once")),
        None => Ok(hosts),
    }
}

/// How a unit of a host is.
pub(crate) async fn unit(
    scoped: ScopedFleet,
    UnitPath { host, unit }: UnitPath,
) -> Result<Answer<Unit>, Refusal> {
    let sight = scoped.unit(&host, unit.clone()).await?;
    Ok(Answer::of(&Unit::of(&host, &unit, sight)))
}

/// What becomes of a command.
pub(crate) async fn one(
    scoped: ScopedFleet,
    Query(query): Query<CommandQuery>,
    CommandPath(id): CommandPath,
) -> Result<OrAccepted<Command>, Refusal> {
    answer(&scoped, id, query.wait).await
}

/// Cancels what was not sent yet of a command.
pub(crate) async fn cancel(
    scoped: ScopedFleet,
    CommandPath(id): CommandPath,
) -> Result<OrAccepted<Command>, Refusal> {
    scoped.cancel_command(&id).await?;
    answer(&scoped, id, WaitFor::default()).await
}

/// The latest commands.
pub(crate) async fn list(
    scoped: ScopedFleet,
    Query(query): Query<CommandsQuery>,
) -> Result<Answer<CommandList>, Refusal> {
    let (records, total) = scoped.commands(query.host.as_ref(), query.limit.get());
    Ok(Answer::of(&CommandList::of(&scoped, &records, total)))
}

async fn answer(scoped: &ScopedFleet, id: CommandId, wait: WaitFor) -> Result<OrAccepted<Command>, Refusal> {
    let records = until_over(scoped, &id, wait.0).await?;
    let command = Command::of(scoped, &id, &records);
    let status = if command.is_over() { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(OrAccepted(Answer::with(status, &command)))
}

/// The records of a command when it is over, or when the time is.
async fn until_over(
    scoped: &ScopedFleet,
    id: &CommandId,
    wait: Duration,
) -> Result<Vec<Arc<CommandRecord>>, Refusal> {
    let until = Instant::now() + wait;
    let mut changed = scoped.watch_commands()?;
    let mut records = scoped.command_of(id)?;
    let is_one = records.iter().any(|record| record.id == *id);
    let (apart, mut looked) = (if is_one { Duration::ZERO } else { LOOKS_APART }, Instant::now());
    while records.iter().any(|record| !record.is_over) {
        tokio::select! {
            told = changed.changed() => if told.is_err() { break },
            () = tokio::time::sleep_until(until) => break,
            () = scoped.shutdown().cancelled() => break,
        }
        tokio::time::sleep_until(until.min(looked + apart)).await;
        changed.mark_unchanged();
        looked = Instant::now();
        records = scoped.command_of(id)?;
    }
    Ok(records)
}
