//! The processes of a host as its last snapshot had them.

use std::{collections::HashMap, sync::Arc};

use fleetps_nats::snapshot::Process;

use super::{EventProgram, interner::Interner};

/// A process within one boot: pid and start.
pub(crate) type LifeKey = (u32, i64);

/// A living process, as it was last seen.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Life {
    /// What it is. Equal ones are kept once for the whole fleet.
    pub(super) program: Arc<EventProgram>,
    pub(super) parent_pid: Option<u32>,
    /// When it started by the host's clock, in µs since 1970 UTC.
    pub(super) started_at_us: i64,
    /// CPU time, in ms.
    pub(super) cpu_time_ms: Option<u64>,
    /// Resident set.
    pub(super) resident_bytes: Option<u64>,
}

/// The processes of a snapshot, of which `before` were there before.
pub(super) fn lives(
    processes: &[Process],
    before: &HashMap<LifeKey, Life>,
    interner: &mut Interner,
) -> HashMap<LifeKey, Life> {
    let names: HashMap<u32, &str> =
        processes.iter().map(|process| (process.pid, process.name.as_str())).collect();
    let life = |process: &Process| {
        let parent_name = process.parent_pid.and_then(|pid| names.get(&pid).copied());
        let known = before.get(&process.key()).map(|life| &life.program);
        (process.key(), Life::of(process, parent_name, known, interner))
    };
    processes.iter().map(life).collect()
}

impl Life {
    /// A process whose parent has this name, and which was `known` as this before.
    pub(super) fn of(
        process: &Process,
        parent_name: Option<&str>,
        known: Option<&Arc<EventProgram>>,
        interner: &mut Interner,
    ) -> Self {
        let program = match known.filter(|known| known.is_of(process, parent_name)) {
            Some(known) => Arc::clone(known),
            None => interner.intern(EventProgram::of(process, parent_name)),
        };
        let Process { parent_pid, started_at_us, cpu_time_ms, resident_bytes, .. } = *process;
        Self { program, parent_pid, started_at_us, cpu_time_ms, resident_bytes }
    }
}

impl EventProgram {
    fn of(process: &Process, parent_name: Option<&str>) -> Self {
        Self {
            name: process.name.clone(),
            command_line: process.command_line.clone(),
            user_name: process.user_name.clone(),
            unit: process.unit.clone(),
            parent_name: parent_name.map(str::to_owned),
        }
    }

    fn is_of(&self, process: &Process, parent_name: Option<&str>) -> bool {
        self.name == process.name
            && self.command_line == process.command_line
            && self.user_name == process.user_name
            && self.unit == process.unit
            && self.parent_name.as_deref() == parent_name
    }
}
