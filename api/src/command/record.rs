//! The record of one command to one host: what was asked, by whom and why, and each state that it was in.

use std::net::IpAddr;

use fleetps_nats::{
    HostName,
    command::{CommandId, What},
    snapshot::Process,
};
use serde::{Deserialize, Serialize};

use super::step::{State, Step, UnitBefore};

/// The most steps of a record. A command takes six; the rest is for hosts that come and go while it is settled. A host that says
/// something else all the time is not written down beyond them: only that it was lost, and how the command ends.
const MAX_STEPS: usize = 24;
/// The longest command line that is kept of a signalled process, in bytes.
const MAX_COMMAND_LINE_BYTES: usize = 1024;

/// A command to one host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandRecord {
    /// Its id, which the host knows it by.
    pub id: CommandId,
    /// The host.
    pub host: HostName,
    /// What it is told to do.
    pub what: What,
    /// Who asked, as the audit names them.
    pub who: String,
    /// The address that it was asked from.
    pub from: IpAddr,
    /// Why, as they said; may be empty.
    pub why: String,
    /// When it was asked, in µs since 1970 UTC by the clock of the server that took it.
    pub asked_at_us: i64,
    /// The plan that it is a part of; absent for a command to one host.
    pub plan: Option<PlanPlace>,
    /// What the process was when it was to be signalled; absent for units, and where no snapshot has it.
    pub was: Option<Was>,
    /// Its states, the first first; never empty.
    pub steps: Vec<Step>,
    /// Whether no state follows.
    pub is_over: bool,
    /// The run of the server that looks after it.
    pub server: String,
    /// Grows with every change.
    pub version: u64,
}

/// The place of a command in a plan for several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanPlace {
    /// The plan.
    pub id: CommandId,
    /// Its number in it, from 0.
    pub number: usize,
    /// How many there are.
    pub of: usize,
}

/// What a process was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Was {
    /// Its name.
    pub name: String,
    /// Its command line, scrubbed on the host; only for people who may see command lines there.
    pub command_line: Option<String>,
    /// Its effective user.
    pub user_name: Option<String>,
    /// Its systemd unit.
    pub unit: Option<String>,
    /// Its CPU use, in percent of one core.
    pub cpu_percent: Option<f32>,
    /// Its resident set.
    pub resident_bytes: Option<u64>,
    /// When it started, in µs since 1970 UTC.
    pub started_at_us: i64,
}

impl CommandRecord {
    /// The step that it is at.
    pub fn last(&self) -> &Step {
        const NONE: &Step = &Step {
            state: State::Asked,
            at_us: 0,
            reason: None,
            detail: String::new(),
            by: None,
            before: None,
            output: Vec::new(),
        };
        self.steps.last().unwrap_or(NONE)
    }

    /// How far it is.
    pub fn state(&self) -> State {
        self.last().state
    }

    /// When it was sent last; absent before that.
    pub fn published_at_us(&self) -> Option<i64> {
        self.published().map(|step| step.at_us)
    }

    /// How its unit was before it was sent last, where it was asked.
    pub fn before(&self) -> Option<&UnitBefore> {
        self.published()?.before.as_ref()
    }

    fn published(&self) -> Option<&Step> {
        self.steps.iter().rev().find(|step| step.state == State::Published)
    }

    /// Whether nothing follows because a person has cancelled it.
    pub fn is_called_off(&self) -> bool {
        self.state() == State::Cancelled && self.last().by.is_some()
    }

    /// Takes a step; whether it changed anything. A command that is over stays as it is, and one with as many steps as are kept
    /// takes only a last one, or [`State::Unknown`].
    pub fn enter(&mut self, step: Step) -> bool {
        if self.is_over || (self.state() == step.state && self.last().detail == step.detail) {
            return false;
        }
        if self.steps.len() >= MAX_STEPS {
            if !step.state.is_final() && step.state != State::Unknown {
                return false;
            }
            self.steps.pop();
        }
        self.is_over = step.state.is_final();
        self.steps.push(step);
        true
    }

    /// Cancels it, if it was not sent; whether it changed anything. What was sent meanwhile, by a server that counted as ended, may be
    /// executed.
    pub fn cancel(&mut self, step: Step) -> bool {
        self.state().is_unsent() && self.enter(step)
    }

    /// Takes the last step, also where that is [`State::Unknown`]; whether it changed anything.
    pub fn close(&mut self, step: Step) -> bool {
        if self.is_over {
            return false;
        }
        self.enter(step);
        self.is_over = true;
        true
    }

    /// The same for people who may not see what units of its host write.
    #[must_use]
    pub fn without_output(&self) -> Self {
        let steps = self.steps.iter().cloned().map(|step| step.with_output(Vec::new()));
        Self { steps: steps.collect(), ..self.clone() }
    }

    /// The id by which people ask for it: its plan's, where it is a part of one.
    pub fn asked_as(&self) -> &CommandId {
        self.plan.as_ref().map_or(&self.id, |plan| &plan.id)
    }

    /// As the audit has it: `restart nginx.service, command abc…; why: a test; process …`. A command line comes last, so that it
    /// can be cut for people who may not see it ([`without_command_line`]).
    pub fn words(&self) -> String {
        let plan =
            self.plan.as_ref().map(|plan| format!(", {} of {} in {}", plan.number + 1, plan.of, plan.id));
        let why = if self.why.is_empty() { String::new() } else { format!("; why: {}", self.why) };
        let was = self.was.as_ref().map(|was| format!("; process: {}", was.words())).unwrap_or_default();
        format!("{}, command {}{}{why}{was}", self.what, self.id, plan.unwrap_or_default())
    }
}

/// What stands before a command line in the audit.
const COMMAND_LINE: &str = "; command line: ";

/// The text of an audit entry about a command without the command line of its process.
pub(crate) fn without_command_line(what: &str) -> &str {
    what.split_once(COMMAND_LINE).map_or(what, |(before, _)| before)
}

impl Was {
    /// What `process` is.
    pub fn of(process: &Process) -> Self {
        let mut command_line = process.command_line.clone();
        if let Some(text) = &mut command_line {
            text.truncate(text.floor_char_boundary(MAX_COMMAND_LINE_BYTES));
        }
        Self {
            name: process.name.clone(),
            command_line,
            user_name: process.user_name.clone(),
            unit: process.unit.clone(),
            cpu_percent: process.cpu_percent,
            resident_bytes: process.resident_bytes,
            started_at_us: process.started_at_us,
        }
    }

    fn words(&self) -> String {
        let part = |name: &str, value: Option<String>| value.map(|value| format!(", {name} {value}"));
        let parts = [
            part("user", self.user_name.clone()),
            part("unit", self.unit.clone()),
            part("cpu", self.cpu_percent.map(|percent| format!("{percent:.1} %"))),
            part("memory", self.resident_bytes.map(|bytes| crate::display::size(Some(bytes as f64)))),
        ];
        let parts: String = parts.into_iter().flatten().collect();
        // Its own texts cannot begin what is cut.
        let plain = format!("{}{parts}", self.name).replace(COMMAND_LINE, " ");
        let command_line = self.command_line.as_ref().map(|text| format!("{COMMAND_LINE}{text}"));
        plain + &command_line.unwrap_or_default()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::Ipv4Addr;

    use fleetps_nats::command::{ProcessId, Signal};

    use super::*;
    use crate::command::step::MAX_DETAIL_BYTES;

    /// A command that was asked, and nothing else.
    pub(in crate::command) fn record() -> CommandRecord {
        let process = ProcessId { boot_id: "boot".to_owned(), pid: 7, start_ticks: 9 };
        let was = Process { pid: 7, name: "java; command line: x".to_owned(), ..Process::default() };
        let was = Process { command_line: Some("java -jar a.jar".to_owned()), ..was };
        CommandRecord {
            id: CommandId::new().unwrap(),
            host: "web-01".parse().unwrap(),
            what: What::Signal { signal: Signal::Term, process },
            who: "anna".to_owned(),
            from: Ipv4Addr::LOCALHOST.into(),
            why: "it leaks".to_owned(),
            asked_at_us: 1,
            plan: None,
            was: Some(Was::of(&was)),
            steps: vec![Step::now(State::Asked)],
            is_over: false,
            server: String::new(),
            version: 0,
        }
    }

    #[test]
    fn what_is_over_stays_as_it_is_and_steps_are_bounded() {
        let mut record = record();
        for number in 1..MAX_STEPS {
            let state = if number % 2 == 0 { State::Unknown } else { State::Running };
            assert!(record.enter(Step::now(state)));
            assert!(!record.enter(Step::now(state)), "the same again");
        }
        assert_eq!((record.steps.len(), record.state()), (MAX_STEPS, State::Running));
        // A host that says something else all the time is heard no more, until it says how the command has ended.
        assert!(
            !record.enter(Step::now(State::Accepted)) && !record.enter(Step::now(State::Running).saying("x"))
        );
        assert!(record.enter(Step::now(State::Unknown)) && !record.enter(Step::now(State::Running)));
        assert_eq!(record.steps.len(), MAX_STEPS);
        assert!(record.enter(Step::now(State::Done).saying("ä".repeat(5_000))));
        assert!(record.is_over && record.last().detail.len() <= MAX_DETAIL_BYTES);
        assert!(!record.enter(Step::now(State::Failed)));
        assert_eq!(record.state(), State::Done);
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<CommandRecord>(&text).unwrap(), record);
    }

    #[test]
    fn the_end_of_what_stays_unknown_is_one_change_and_who_has_cancelled_is_known() {
        let mut lost = record();
        assert!(lost.enter(Step::now(State::Unknown).saying("lost")) && !lost.is_over);
        let end = Step::now(State::Unknown).saying("nothing was found out");
        assert!(lost.close(end.clone()) && !lost.close(end.clone()));
        assert!(lost.is_over && !lost.is_called_off());
        assert_eq!(*lost.last(), end);
        for (step, is_called_off) in [
            (Step::now(State::Cancelled).by("anna"), true),
            (Step::now(State::Cancelled).saying("The audit is away."), false),
        ] {
            let mut cancelled = record();
            assert!(cancelled.enter(step) && cancelled.is_called_off() == is_called_off);
        }
        let old = serde_json::json!({"state": "cancelled", "at_us": 1});
        assert_eq!(serde_json::from_value::<Step>(old).unwrap().by, None, "of an earlier version");
    }

    #[test]
    fn what_was_sent_is_not_cancelled() {
        let cancelled = || Step::now(State::Cancelled).saying("The server has ended.");
        for (states, is_cancelled) in [
            (vec![], true),
            (vec![State::Published], false),
            (vec![State::Published, State::Unknown], false),
            // Sent with a ticket that the host did not know, and not again yet.
            (vec![State::Published, State::Asked], true),
            (vec![State::Published, State::Done], false),
        ] {
            let mut record = record();
            states.iter().for_each(|state| assert!(record.enter(Step::now(*state))));
            assert_eq!(record.cancel(cancelled()), is_cancelled, "{states:?}");
            assert_eq!(record.state() == State::Cancelled, is_cancelled);
        }
    }

    #[test]
    fn the_audit_says_what_the_process_was_and_its_command_line_can_be_cut() {
        let words = record().words();
        for part in
            ["TERM to process 7", "; why: it leaks", "; process: java", "; command line: java -jar a.jar"]
        {
            assert!(words.contains(part), "{part}: {words}");
        }
        assert!(!without_command_line(&words).contains("a.jar"));
        assert!(without_command_line(&words).contains("process: java"));
    }

    #[test]
    fn every_state_has_the_name_that_json_has() {
        for state in State::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.id());
        }
    }
}
