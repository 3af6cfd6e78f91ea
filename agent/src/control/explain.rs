//! Explains to the owner of a host who may do what there, and which line of the file decides.

use fleetps_nats::{
    agent_settings::is_control_key,
    command::{ProcessId, Signal, UnitAction, UnitName},
};

use super::{
    journal::Journal,
    procfs::{self, Stat, UserBook},
    refusal::Refusal,
    rules_file::{Rules, RulesError, RulesFile},
    signals::Held,
    units::{Own, Units},
};
use crate::policy::{Decision, UnitSubject};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Whether something may be done with a unit.
    Unit(UnitAction, UnitName),
    /// Whether a signal may be sent to a process, by its pid.
    Process(Signal, u32),
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// Whether it may be done, and somebody may ask for it.
    pub is_allowed: bool,
    /// The answer for people, several lines.
    pub text: String,
}

impl Question {
    /// Reads `restart nginx` or `TERM 1234`.
    ///
    /// # Errors
    /// With what was expected.
    pub fn read(verb: &str, target: &str) -> Result<Self, String> {
        let upper = verb.to_ascii_uppercase();
        let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Ok(signal) = bare.parse::<Signal>()
            && let Ok(pid) = target.parse::<u32>()
        {
            return Ok(Self::Process(signal, pid));
        }
        let actions = UnitAction::ALL.map(UnitAction::name).join(", ");
        let signals = Signal::ALL.map(Signal::name).join(", ");
        let action = verb.parse().map_err(|_| {
            format!("{verb:?} {target:?}: expected {actions} and a unit, or {signals} and a pid")
        })?;
        Ok(Self::Unit(action, UnitName::of_person(target).map_err(|error| error.to_string())?))
    }
}

/// Explains it by what `file` says now, and by the unit or process as it is now.
///
/// # Errors
/// When the file cannot be used.
pub async fn explain(file: &RulesFile, question: &Question) -> Result<Explained, RulesError> {
    let rules = file.read()?;
    let (what, decision, notes) = match question {
        Question::Unit(action, unit) => about_unit(&rules, *action, unit).await,
        Question::Process(signal, pid) => about_process(&rules, *signal, *pid),
    };
    let (is_allowed, verdict) = match decision {
        Ok(line) => (true, format!("allowed by {line}")),
        Err(refusal) => (false, format!("refused: {}\n  {}", refusal.detail, refusal.reason.words())),
    };
    let mut lines = vec![format!("{what}: {verdict}")];
    lines.extend(notes);
    lines.push(format!("The file is {}.", file.path().display()));
    lines.push(who(&rules));
    let is_allowed = is_allowed && rules.pinned.as_deref().is_some_and(is_control_key);
    Ok(Explained { is_allowed, text: lines.join("\n") })
}

type Answered = (String, Result<String, Refusal>, Option<String>);

async fn about_unit(rules: &Rules, action: UnitAction, name: &UnitName) -> Answered {
    let units = Units { address: None, job_within: std::time::Duration::ZERO, journal: Journal::default() };
    let (subject, note) = match units.subject(action, name, &Own::default()).await {
        Ok(subject) => (subject, None),
        Err(refusal) => {
            let names = [name.to_string()].into();
            let note = format!("Only the name was looked at: {}.", refusal.detail);
            (UnitSubject { action, name: name.to_string(), names, own: None }, Some(note))
        }
    };
    let what = format!("{action} {}", subject.name);
    (what, decided(rules.policy.unit(&subject)), note)
}

fn about_process(rules: &Rules, signal: Signal, pid: u32) -> Answered {
    let decide = || {
        let stat = Stat::of(pid);
        let start_ticks = stat.map(|stat| stat.start_ticks).unwrap_or_default();
        let process = ProcessId { boot_id: procfs::boot_id().unwrap_or_default(), pid, start_ticks };
        let held = Held::of(&process)?;
        decided(rules.policy.process(&held.subject(signal, &UserBook::new())))
    };
    (format!("{signal} to process {pid}"), decide(), None)
}

fn decided(decision: Decision) -> Result<String, Refusal> {
    Refusal::unless_allowed(decision)
}

/// Who can send commands at all.
fn who(rules: &Rules) -> String {
    match &rules.pinned {
        Some(key) if is_control_key(key) => format!(
            "Who may ask: operators of the fleet that {} belongs to; what they ask is signed with the control key {key}.",
            rules.host
        ),
        Some(key) => format!("Who may ask: nobody; {key:?} in [remote] control_key is no control key."),
        None => "Who may ask: nobody; [remote] control_key is missing, which `fleetps-agent join` writes."
            .to_owned(),
    }
}
