//! A command in JSON: what it tells its host, what the process was, and every state that it was in.

use std::sync::Arc;

use fleetps_nats::{
    HostName,
    command::{CommandId, ProcessId, Reason, Sight, Signal, UnitAction, UnitName, What},
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::{
    answer::{Time, shape},
    command::{CommandRecord, State, Step},
    scoped_fleet::ScopedFleet,
};

/// A command, or a plan of several.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Command {
    /// The id to ask for it by.
    id: String,
    /// Whether nothing more becomes of it, on any host.
    is_over: bool,
    /// What becomes of it on each host, in the order of the plan.
    commands: Vec<CommandRow>,
}

/// Commands, the latest first.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Commands")]
pub(crate) struct CommandList {
    /// How many there are, without `limit`.
    total: usize,
    commands: Vec<CommandRow>,
}

/// A command to one host.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CommandToHost")]
struct CommandRow {
    id: String,
    /// The plan that it is a part of; null for a command to one host.
    plan: Option<String>,
    host: String,
    /// What the host is told to do with a unit; null for a signal.
    #[schemars(extend("enum" = actions()))]
    action: Option<&'static str>,
    unit: Option<String>,
    /// The signal to a process; null for a unit.
    #[schemars(extend("enum" = signals()))]
    signal: Option<&'static str>,
    process: Option<Process>,
    who: String,
    why: String,
    asked_at: Time,
    #[schemars(extend("enum" = State::ALL.map(State::id)))]
    state: &'static str,
    is_over: bool,
    /// Every state that it was in, the first first.
    steps: Vec<StepRow>,
}

/// The process that is signalled, and what it was.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SignalledProcess")]
struct Process {
    boot_id: String,
    pid: u32,
    start_ticks: u64,
    /// Null, as what follows, where no snapshot had the process.
    name: Option<String>,
    /// Null also for people who may not see command lines.
    command_line: Option<String>,
    user_name: Option<String>,
    unit: Option<String>,
    cpu_percent: Option<f32>,
    resident_bytes: Option<u64>,
    started_at: Option<Time>,
}

/// A state that a command came into.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CommandStep")]
struct StepRow {
    #[schemars(extend("enum" = State::ALL.map(State::id)))]
    state: &'static str,
    at: Time,
    /// The host's reason, by its name.
    #[schemars(schema_with = "reason_schema")]
    reason: Option<Reason>,
    /// The reason as a sentence, and what else there is to say.
    words: String,
    /// What the unit wrote to its host's journal meanwhile, the last lines; empty also for people who may not see command lines.
    output: Vec<String>,
}

/// How a unit is now, as its host says.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Unit {
    host: String,
    unit: String,
    /// Whether systemd of the host knows it; what follows is empty otherwise.
    exists: bool,
    /// As in `active (running)`; null where the unit does not exist.
    state: Option<String>,
    /// Since when it has this state, by the host's clock.
    since: Option<Time>,
    /// The main process of a service that runs.
    main_pid: Option<u32>,
    /// How it ended last, and what it says of itself; empty where there is nothing to say.
    detail: String,
}

impl Unit {
    /// A unit as it was seen.
    pub(crate) fn of(host: &HostName, unit: &UnitName, sight: Sight) -> Self {
        let Sight { exists, state, since_us, main_pid, detail } = sight;
        Self {
            host: host.to_string(),
            unit: unit.to_string(),
            exists,
            state: exists.then_some(state),
            since: since_us.map(Time),
            main_pid,
            detail,
        }
    }
}

shape!(Unit);
shape!(Command);
shape!(CommandList);

fn reason_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let mut names: Vec<Json> = Reason::ALL.into_iter().map(|reason| json!(reason)).collect();
    names.push(Json::Null);
    schemars::json_schema!({"enum": names})
}

fn actions() -> Vec<Option<&'static str>> {
    UnitAction::ALL.map(|action| Some(action.name())).into_iter().chain([None]).collect()
}

fn signals() -> Vec<Option<&'static str>> {
    Signal::ALL.map(|signal| Some(signal.name())).into_iter().chain([None]).collect()
}

impl Command {
    /// These records, as `scoped` may see them.
    pub(crate) fn of(scoped: &ScopedFleet, id: &CommandId, records: &[Arc<CommandRecord>]) -> Self {
        let is_over = records.iter().all(|record| record.is_over);
        Self { id: id.to_string(), is_over, commands: CommandRow::all(scoped, records) }
    }

    /// Whether nothing more becomes of it, on any host.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }
}

impl CommandList {
    /// These records of `total`, as `scoped` may see them.
    pub(crate) fn of(scoped: &ScopedFleet, records: &[Arc<CommandRecord>], total: usize) -> Self {
        Self { total, commands: CommandRow::all(scoped, records) }
    }
}

impl CommandRow {
    fn all(scoped: &ScopedFleet, records: &[Arc<CommandRecord>]) -> Vec<Self> {
        records.iter().map(|record| Self::of(scoped, record)).collect()
    }

    fn of(scoped: &ScopedFleet, record: &CommandRecord) -> Self {
        let (action, unit, signal, process) = match &record.what {
            What::Unit { action, unit } => (Some(action.name()), Some(unit.to_string()), None, None),
            What::Signal { signal, process } => {
                (None, None, Some(signal.name()), Some(Process::of(scoped, record, process)))
            }
        };
        let step = |step: &Step| StepRow {
            state: step.state.id(),
            at: Time(step.at_us),
            reason: step.reason,
            words: step.words(),
            output: step.output.clone(),
        };
        Self {
            id: record.id.to_string(),
            plan: record.plan.as_ref().map(|plan| plan.id.to_string()),
            host: record.host.to_string(),
            action,
            unit,
            signal,
            process,
            who: record.who.clone(),
            why: record.why.clone(),
            asked_at: Time(record.asked_at_us),
            state: record.state().id(),
            is_over: record.is_over,
            steps: record.steps.iter().map(step).collect(),
        }
    }
}

impl Process {
    fn of(scoped: &ScopedFleet, record: &CommandRecord, id: &ProcessId) -> Self {
        let was = record.was.clone();
        let command_line = was.as_ref().and_then(|was| was.command_line.clone());
        Self {
            boot_id: id.boot_id.clone(),
            pid: id.pid,
            start_ticks: id.start_ticks,
            name: was.as_ref().map(|was| was.name.clone()),
            command_line: command_line.filter(|_| scoped.sees_command_lines(&record.host)),
            user_name: was.as_ref().and_then(|was| was.user_name.clone()),
            unit: was.as_ref().and_then(|was| was.unit.clone()),
            cpu_percent: was.as_ref().and_then(|was| was.cpu_percent),
            resident_bytes: was.as_ref().and_then(|was| was.resident_bytes),
            started_at: was.as_ref().map(|was| Time(was.started_at_us)),
        }
    }
}
