//! The settings of one host as people read them: each value, and who decided it.

use std::fmt;

use fleetps_nats::{
    HostName,
    agent_settings::{Applied, AskedOfAgent, Decider, Resolved, Setting},
};
use serde_json::Value;

/// What settings are asked of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// One host.
    Host(HostName),
    /// All hosts of a group, now and later.
    Group(String),
}

/// What is asked of a host, and what it does.
#[derive(Debug, Clone, Default)]
pub struct SettingsOfHost {
    /// What is asked of the host itself.
    pub own: AskedOfAgent,
    /// What is asked of it by itself and its groups.
    pub resolved: Resolved,
    /// What it reports; absent where it never did.
    pub applied: Option<Applied>,
    /// The revision of the last frame that was signed for it.
    pub sent: Option<i64>,
    /// Whether this server signs what is asked.
    pub can_sign: bool,
}

/// Who decided the value of a setting that is in force on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The host's own file, which lets nobody else decide.
    Pinned,
    /// The host itself, or one of its groups, as the fleet asks.
    Asked(Decider),
    /// The host's own file, where nobody asks.
    HostFile,
    /// Nobody.
    Default,
    /// The host has not reported.
    Unknown,
}

impl fmt::Display for Decision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pinned => formatter.write_str("pinned by the host's own file"),
            Self::Asked(decider) => decider.fmt(formatter),
            Self::HostFile => formatter.write_str("the host's own file"),
            Self::Default => formatter.write_str("default"),
            Self::Unknown => formatter.write_str("not reported"),
        }
    }
}

impl SettingsOfHost {
    /// The value in force, as in JSON; null where it is not known, or where there is none.
    pub fn in_force(&self, setting: Setting) -> Value {
        self.applied.as_ref().map(|applied| applied.in_force.value(setting)).unwrap_or_default()
    }

    /// Who decided the value in force.
    pub fn decision(&self, setting: Setting) -> Decision {
        let Some(applied) = &self.applied else { return Decision::Unknown };
        let is_asked = applied.is_controlled && self.is_applied();
        match self.resolved.deciders.get(&setting) {
            _ if applied.pinned.contains(&setting) => Decision::Pinned,
            Some(decider) if is_asked => Decision::Asked(decider.clone()),
            _ if applied.own.contains(&setting) => Decision::HostFile,
            _ => Decision::Default,
        }
    }

    /// Whether the host does what the last frame asks.
    pub fn is_applied(&self) -> bool {
        self.applied.as_ref().is_some_and(|applied| applied.revision == self.sent)
    }

    /// Why nothing can be asked of the host; absent where it can, or is not known yet.
    pub fn obstacle(&self) -> Option<&'static str> {
        let is_uncontrolled = self.applied.as_ref().is_some_and(|applied| !applied.is_controlled);
        if !self.can_sign {
            return Some("this server has no control key, with which settings are signed");
        }
        is_uncontrolled.then_some("its agent has pinned no control key: run fleetps-agent join there again")
    }

    /// Whether the host's own file lets nobody else decide this.
    pub fn is_pinned(&self, setting: Setting) -> bool {
        self.applied.as_ref().is_some_and(|applied| applied.pinned.contains(&setting))
    }
}

#[cfg(test)]
mod tests {
    use fleetps_nats::agent_settings::resolve;

    use super::*;

    #[test]
    fn who_decided_is_the_host_file_before_what_is_asked_before_the_default() {
        let asked = AskedOfAgent { interval_ms: Some(500), top: Some(5), ..AskedOfAgent::default() };
        let applied = Applied {
            revision: Some(7),
            in_force: AskedOfAgent { interval_ms: Some(500), top: Some(9), ..AskedOfAgent::default() },
            pinned: [Setting::Top].into(),
            own: [Setting::Top, Setting::ExcludeNames].into(),
            is_controlled: true,
            ..Applied::default()
        };
        let resolved = resolve(None, [("web", &asked)]);
        let shown =
            SettingsOfHost { resolved, applied: Some(applied), sent: Some(7), ..SettingsOfHost::default() };
        let words = |setting| shown.decision(setting).to_string();
        assert_eq!(words(Setting::Interval), "asked of the group web");
        assert_eq!(words(Setting::Top), "pinned by the host's own file");
        assert_eq!(words(Setting::ExcludeNames), "the host's own file");
        assert_eq!(words(Setting::MaxProcesses), "default");
        let waiting = SettingsOfHost { sent: Some(8), ..shown.clone() };
        assert_eq!(waiting.decision(Setting::Interval), Decision::Default, "the host has not done it yet");
        assert_eq!(SettingsOfHost::default().decision(Setting::Top), Decision::Unknown);
    }
}
