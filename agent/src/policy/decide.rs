//! Whether a command may be executed, and which line says so.

use std::collections::BTreeSet;

use fleetps_nats::command::{Allowed, Reason, Signal, UnitAction};

use super::{SignalRule, UnitRule, protected};

/// What this host lets the fleet do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// Whether anything at all.
    pub is_enabled: bool,
    /// The lines of `[control] units`.
    pub units: Vec<UnitRule>,
    /// The lines of `[control] signals`.
    pub signals: Vec<SignalRule>,
}

/// A unit, and what is to be done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitSubject {
    /// What is to be done.
    pub action: UnitAction,
    /// The unit's primary name, which rules must match.
    pub name: String,
    /// All its names; one that is protected protects it.
    pub names: BTreeSet<String>,
    /// Why it is fleetps's own, where it is: it runs the agent, its helper or the broker.
    pub own: Option<&'static str>,
}

/// A process, and the signal for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessSubject {
    /// The signal.
    pub signal: Signal,
    /// Its pid.
    pub pid: u32,
    /// Its name, as the kernel has it.
    pub name: String,
    /// Its user by name and number, if it runs with the rights of that user alone; empty otherwise.
    pub user: BTreeSet<String>,
    /// The unit that it runs in.
    pub unit: Option<String>,
    /// Whether it is the kernel's own.
    pub is_kernel: bool,
    /// Why it is fleetps's own, where it is.
    pub own: Option<&'static str>,
}

/// A decision, with the line that decides in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The command may be executed.
    Allowed {
        /// The line.
        line: String,
    },
    /// It may not.
    Refused {
        /// Why.
        reason: Reason,
        /// The line, or that there is none.
        line: String,
    },
}

impl Decision {
    fn refused(reason: Reason, line: impl Into<String>) -> Self {
        Self::Refused { reason, line: line.into() }
    }

    fn protected(line: impl Into<String>) -> Self {
        Self::refused(Reason::Protected, line)
    }

    /// Whether the command may be executed.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed { .. })
    }
}

impl Policy {
    /// Decides about a unit.
    pub fn unit(&self, subject: &UnitSubject) -> Decision {
        let UnitSubject { action, name, names, own } = subject;
        let all = || std::iter::once(name).chain(names);
        if let Some((name, line)) = all().find_map(|name| Some((name, protected::unit(name)?))) {
            return Decision::protected(format!("{name} is always refused ({line})"));
        }
        if let Some(own) = own {
            return Decision::protected(format!("{name} is always refused: it {own}"));
        }
        let matches = |rule: &&UnitRule| rule.actions.contains(action) && rule.pattern.matches(name);
        self.first("units", &self.units, matches, &format!("{action} of {name}"))
    }

    /// Decides about a process.
    pub fn process(&self, subject: &ProcessSubject) -> Decision {
        let ProcessSubject { signal, pid, name, user, unit, .. } = subject;
        if let Some(line) = protection(subject) {
            return Decision::protected(line);
        }
        let matches = |rule: &&SignalRule| {
            let is_of_user = rule.user.as_ref().is_none_or(|wanted| user.contains(wanted));
            let is_of_unit = match (&rule.unit, unit) {
                (Some(pattern), Some(unit)) => pattern.matches(unit),
                (wanted, _) => wanted.is_none(),
            };
            rule.signals.contains(signal) && is_of_user && is_of_unit
        };
        let users = user.iter().map(String::as_str).collect::<Vec<_>>().join("/");
        let (user, unit) = (Some(users.as_str()).filter(|users| !users.is_empty()), unit.as_deref());
        let what = format!(
            "{signal} to process {pid} ({name}, user {}, unit {})",
            user.unwrap_or("unclear"),
            unit.unwrap_or("none")
        );
        self.first("signals", &self.signals, matches, &what)
    }

    /// The first line that matches decides.
    fn first<R: ToString>(
        &self,
        key: &str,
        rules: &[R],
        matches: impl Fn(&&R) -> bool,
        what: &str,
    ) -> Decision {
        if !self.is_enabled {
            return Decision::refused(Reason::Off, "[control] enabled = false");
        }
        match rules.iter().enumerate().find(|(_, rule)| matches(rule)) {
            Some((place, rule)) => {
                let line = format!("line {} of [control] {key}: {:?}", place + 1, rule.to_string());
                Decision::Allowed { line }
            }
            None => {
                let line = format!("none of the {} lines of [control] {key} allows {what}", rules.len());
                Decision::refused(Reason::NotAllowed, line)
            }
        }
    }

    /// The same for those who choose a command.
    pub fn allowed(&self) -> Allowed {
        if !self.is_enabled {
            return Allowed::default();
        }
        let units = self.units.iter().map(ToString::to_string);
        let signals = self.signals.iter().map(ToString::to_string);
        Allowed {
            actions: self.units.iter().flat_map(|rule| rule.actions.iter().copied()).collect(),
            signals: self.signals.iter().flat_map(|rule| rule.signals.iter().copied()).collect(),
            rules: units.chain(signals).collect(),
        }
    }
}

/// Why a process is always refused.
fn protection(subject: &ProcessSubject) -> Option<String> {
    let ProcessSubject { pid, name, unit, .. } = subject;
    if *pid == 1 {
        return Some("process 1 is always refused: the machine ends with it".to_owned());
    }
    if subject.is_kernel {
        return Some(format!("process {pid} is always refused: it is the kernel's own"));
    }
    if let Some(own) = subject.own {
        return Some(format!("process {pid} is always refused: it {own}"));
    }
    if let Some((unit, line)) = unit.as_ref().and_then(|unit| Some((unit, protected::unit(unit)?))) {
        return Some(format!("process {pid} is always refused: it runs in {unit} ({line})"));
    }
    let line = protected::process(name)?;
    Some(format!("process {pid} is always refused: it is called {name} ({line})"))
}
