//! Machines: registration, and their settings, which are the fleet's own record of what is asked of a host's agent.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use fleetps_nats::{agent_settings::AskedOfAgent, now_us};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    super::{
        Fault, Legacy, LegacyHost,
        body::parse,
        fault::answer,
        fields::{Fields, Given},
        reader::{From, Reader},
        registry::MAX_NAME_CHARACTERS,
        time::written_exactly,
    },
    SYSTEM, check_from, is_allowed_from, sender,
};

/// Seconds between two posts where nobody asked for others.
const USUAL_INTERVAL_S: u32 = 5;
/// Seconds between two posts that may be asked for: an agent asked for none would post without a pause.
const INTERVAL_S: std::ops::RangeInclusive<i64> = 1..=3_600;

/// What a machine says of itself, kept in its record.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Machine {
    /// Its name.
    pub hostname: String,
    /// Its operating system.
    pub os_name: String,
    /// Its architecture.
    pub architecture: String,
    /// Its processor; empty where the agent does not know.
    pub processor: String,
    /// Its cores.
    pub cpu_cores: Option<i64>,
    /// Its hardware threads.
    pub cpu_threads: Option<i64>,
    /// Its memory, in bytes.
    pub total_ram: Option<i64>,
    /// Its storage, in bytes.
    pub total_storage: Option<i64>,
    /// When it registered, in µs since 1970 UTC.
    pub created_at_us: i64,
}

impl Machine {
    /// What is kept of the machine of `known`.
    pub(crate) fn of(known: &LegacyHost) -> Self {
        let kept = known.agent().and_then(|agent| agent.machine.clone());
        kept.and_then(|kept| serde_json::from_value(kept).ok()).unwrap_or_default()
    }

    /// As it is kept in the record.
    pub(crate) fn kept(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct GivenMachine {
    machine_id: Given,
    hostname: Given,
    os_name: Given,
    architecture: Given,
    processor: Given,
    cpu_cores: Given,
    cpu_threads: Given,
    total_ram: Given,
    total_storage: Given,
    polling_interval: Given,
    enabled: Given,
}

/// Settings that are asked for; absent where they stay.
#[derive(Debug, Clone, Copy, Default)]
struct SettingsChange {
    interval_s: Option<u32>,
    enabled: Option<bool>,
}

impl GivenMachine {
    /// Reads what is given over what is known; `machine_id` and `hostname` must be given where `is_whole`.
    fn over(
        self,
        known: &Machine,
        is_whole: bool,
    ) -> Result<(Option<String>, Machine, SettingsChange), Fault> {
        let mut fields = Fields::default();
        let machine_id = fields.optional_text("machine_id", self.machine_id, MAX_NAME_CHARACTERS);
        let hostname = fields.optional_text("hostname", self.hostname, MAX_NAME_CHARACTERS);
        if is_whole {
            for (field, is_missing) in
                [("machine_id", machine_id.is_none()), ("hostname", hostname.is_none())]
            {
                if is_missing {
                    fields.fault(field, "This field is required.");
                }
            }
        }
        let mut text = |field: &str, given, known: &str| {
            fields.any_text(field, given, MAX_NAME_CHARACTERS).unwrap_or_else(|| known.to_owned())
        };
        let os_name = text("os_name", self.os_name, &known.os_name);
        let architecture = text("architecture", self.architecture, &known.architecture);
        let processor = text("processor", self.processor, &known.processor);
        let mut whole =
            |field: &str, given, known: Option<i64>| fields.optional_whole(field, given, i64::MAX).or(known);
        let machine = Machine {
            hostname: hostname.unwrap_or_else(|| known.hostname.clone()),
            os_name,
            architecture,
            processor,
            cpu_cores: whole("cpu_cores", self.cpu_cores, known.cpu_cores),
            cpu_threads: whole("cpu_threads", self.cpu_threads, known.cpu_threads),
            total_ram: whole("total_ram", self.total_ram, known.total_ram),
            total_storage: whole("total_storage", self.total_storage, known.total_storage),
            created_at_us: known.created_at_us,
        };
        let asked = SettingsChange {
            interval_s: interval(&mut fields, self.polling_interval),
            enabled: enabled(&mut fields, self.enabled),
        };
        fields.end()?;
        Ok((machine_id, machine, asked))
    }
}

fn interval(fields: &mut Fields, given: Given) -> Option<u32> {
    let seconds = fields.optional_whole("polling_interval", given, *INTERVAL_S.end())?;
    if seconds < *INTERVAL_S.start() {
        fields.fault("polling_interval", "Ensure this value is greater than or equal to 1.");
    }
    u32::try_from(seconds).ok()
}

fn enabled(fields: &mut Fields, given: Given) -> Option<bool> {
    match given {
        Given::Flag(flag) => Some(flag),
        Given::Absent | Given::Null => None,
        _ => {
            fields.fault("enabled", "Must be a valid boolean.");
            None
        }
    }
}

/// The whole machine, as this system writes it.
fn written(legacy: &Legacy, known: &LegacyHost) -> Value {
    let machine = Machine::of(known);
    let asked = legacy.agent_settings.of(&known.host);
    let interval_s = asked.interval_ms.map_or(USUAL_INTERVAL_S, |ms| ms.div_ceil(1000));
    json!({
        "machine_id": known.agent().map(|agent| agent.name.as_str()),
        "hostname": machine.hostname,
        "os_name": machine.os_name,
        "architecture": machine.architecture,
        "processor": machine.processor,
        "cpu_cores": machine.cpu_cores,
        "cpu_threads": machine.cpu_threads,
        "total_ram": machine.total_ram,
        "total_storage": machine.total_storage,
        "created_at": written_exactly(machine.created_at_us),
        "polling_interval": interval_s,
        "enabled": asked.enabled.unwrap_or(true),
    })
}

/// Lets a machine in, or says that it is: an agent that lost its state file registers anew.
pub(super) async fn register(
    State(legacy): State<Arc<Legacy>>,
    From(from): From,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Fault> {
    check_from(&legacy, from)?;
    let body = legacy.room.read(&headers, body).await?;
    let _place = legacy.gate.enter_unnamed()?;
    let given: GivenMachine = parse(&body.bytes)?;
    let first = Machine { created_at_us: now_us(), ..Machine::default() };
    let (machine_id, machine, asked) = given.over(&first, true)?;
    let sender = sender(machine_id.unwrap_or_default(), Some(machine.hostname.clone()), from);
    if let Some(known) = legacy.registry.find(&sender)? {
        let machine = Machine { created_at_us: Machine::of(&known).created_at_us, ..machine };
        if machine != Machine::of(&known) {
            set_machine(&legacy, &known, &machine).await?;
        }
        let known = legacy.registry.find(&sender)?.unwrap_or(known);
        return Ok(answer(StatusCode::OK, &written(&legacy, &known)));
    }
    let known = legacy.registry.admit(&sender, Some(machine.kept())).await?;
    let said = ask(&legacy, &known, asked, true).await?;
    Ok(answer(StatusCode::CREATED, &said))
}

async fn set_machine(legacy: &Legacy, known: &LegacyHost, machine: &Machine) -> Result<(), Fault> {
    legacy.ask(legacy.registry.set_machine(known, machine.kept())).await
}

/// Asks the machine's agent for other settings, and returns the machine as it is then. What was asked of a host of the same
/// name before is not asked of one that `is_new`.
async fn ask(
    legacy: &Legacy,
    known: &LegacyHost,
    asked: SettingsChange,
    is_new: bool,
) -> Result<Value, Fault> {
    let mut said = written(legacy, known);
    let is_left = is_new && legacy.agent_settings.of(&known.host) != AskedOfAgent::default();
    if asked.interval_s.is_none() && asked.enabled.is_none() && !is_left {
        return Ok(said);
    }
    let changed = legacy.agent_settings.change(&known.host, |settings| {
        if is_new {
            *settings = AskedOfAgent::default();
        }
        settings.interval_ms = asked.interval_s.map(|seconds| seconds * 1000).or(settings.interval_ms);
        settings.enabled = asked.enabled.or(settings.enabled);
    });
    let changed = legacy.ask(changed).await?.ok_or_else(Fault::unavailable)?;
    said["polling_interval"] = json!(changed.interval_ms.map_or(USUAL_INTERVAL_S, |ms| ms.div_ceil(1000)));
    said["enabled"] = json!(changed.enabled.unwrap_or(true));
    Ok(said)
}

/// Every machine.
pub(super) async fn list(reader: Reader) -> Response {
    let machine = |known: &LegacyHost| json!({ "machine_id": known.agent().map(|agent| &agent.name), "hostname": Machine::of(known).hostname });
    answer(StatusCode::OK, &reader.hosts_of(SYSTEM).iter().map(machine).collect::<Vec<_>>())
}

pub(super) fn no_machine() -> Fault {
    Fault::new(StatusCode::NOT_FOUND, "not-found", "No Machine matches the given query.")
}

/// One machine: for pages, and for agents, which ask for their settings.
pub(super) async fn one(
    State(legacy): State<Arc<Legacy>>,
    From(from): From,
    reader: Result<Reader, Fault>,
    Path(id): Path<String>,
) -> Result<Response, Fault> {
    let known = match is_allowed_from(&legacy, from) {
        true => legacy.registry.find(&sender(id, None, from))?,
        false => of_reader(&reader?, &id),
    };
    Ok(answer(StatusCode::OK, &written(&legacy, &known.ok_or_else(no_machine)?)))
}

/// The machine of this id, if it may be seen.
pub(super) fn of_reader(reader: &Reader, id: &str) -> Option<LegacyHost> {
    reader.named(SYSTEM, id)
}

/// Changes the fields that are given.
pub(super) async fn change(
    state: State<Arc<Legacy>>,
    reader: Reader,
    id: Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Fault> {
    edit(state, reader, id, headers, body, false).await
}

/// Changes all fields.
pub(super) async fn replace(
    state: State<Arc<Legacy>>,
    reader: Reader,
    id: Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Fault> {
    edit(state, reader, id, headers, body, true).await
}

async fn edit(
    State(legacy): State<Arc<Legacy>>,
    reader: Reader,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
    is_whole: bool,
) -> Result<Response, Fault> {
    reader.may_act()?;
    let known = of_reader(&reader, &id).ok_or_else(no_machine)?;
    let body = legacy.room.read(&headers, body).await?;
    let before = Machine::of(&known);
    let (machine_id, machine, asked) = parse::<GivenMachine>(&body.bytes)?.over(&before, is_whole)?;
    if machine_id.is_some_and(|given| given != id) {
        return Err(Fault::of_field("machine_id", "The id of a machine cannot be changed."));
    }
    if machine != before {
        set_machine(&legacy, &known, &machine).await?;
    }
    let known = of_reader(&reader, &id).unwrap_or(known);
    let said = ask(&legacy, &known, asked, false).await?;
    let what = format!("polling_interval {}, enabled {}", said["polling_interval"], said["enabled"]);
    reader.note("legacy.settings", &known.host, what);
    Ok(answer(StatusCode::OK, &said))
}

/// Forgets a machine. Its history stays until its time is over.
pub(super) async fn forget(
    State(legacy): State<Arc<Legacy>>,
    reader: Reader,
    Path(id): Path<String>,
) -> Result<Response, Fault> {
    reader.may_forget()?;
    let known = of_reader(&reader, &id).ok_or_else(no_machine)?;
    legacy.ask(legacy.registry.forget(&known.host)).await?;
    legacy.ask(legacy.agent_settings.forget(&known.host)).await?;
    reader.note("legacy.forget", &known.host, id);
    Ok(StatusCode::NO_CONTENT.into_response())
}
