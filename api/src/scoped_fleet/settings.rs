//! Changes how hosts are sampled.

use axum::http::StatusCode;
use fleetps_nats::{
    HostName,
    agent_settings::{AskedOfAgent, Setting},
    audit::Outcome,
    error_chain,
};

use super::ScopedFleet;
use crate::{
    authz::{Decision, HostGroups, Permission, permission_of},
    broker,
    control::{SettingsOfHost, Target},
    refusal::Refusal,
};

/// The longest reason that is written down, in bytes.
const MAX_WHY_BYTES: usize = 500;

impl ScopedFleet {
    /// How a host is sampled, and who decided that.
    ///
    /// # Errors
    /// When the host is unknown, or the broker has not said yet.
    pub(crate) fn settings(&self, host: &HostName) -> Result<SettingsOfHost, Refusal> {
        let known = self.shared.control.of(host, &self.groups(host)).ok_or_else(not_known)?;
        match self.summary(host).is_some() || known.applied.is_some() {
            true => Ok(known),
            false => Err(Refusal::no_such_host(host.as_str())),
        }
    }

    /// What is asked of the hosts of a group.
    ///
    /// # Errors
    /// When one may not ask them, or the broker has not said yet.
    pub(crate) fn settings_of_group(&self, group: &str) -> Result<AskedOfAgent, Refusal> {
        if !self.may_ask_group(group) {
            let hint = "an administrator decides who may, on the page of users";
            let error = format!("you may not change how the hosts of {group} are sampled");
            return Err(Refusal::new(StatusCode::FORBIDDEN, error, hint));
        }
        self.shared.control.of_group(group).ok_or_else(not_known)
    }

    /// Whether one may change how all hosts of a group are sampled.
    pub(crate) fn may_ask_group(&self, group: &str) -> bool {
        let tags = HostGroups::from([group.to_owned()]);
        permission_of(&self.person, Permission::ControlHosts, Some(&tags)) == Decision::Allowed
    }

    /// Asks a host or a group for other settings, and writes down what was asked before, what is now, and why.
    /// `changes` are values in their range; null asks for nothing.
    ///
    /// # Errors
    /// When the host takes no settings or has pinned one of these, or the broker refuses the change.
    pub(crate) async fn ask_settings(
        &self,
        target: &Target,
        changes: &[(Setting, serde_json::Value)],
        why: &str,
    ) -> Result<AskedOfAgent, Refusal> {
        if self.shared.control.can_sign() == Some(false) {
            let error = "this server has no control key, so it asks nothing of hosts";
            let hint = "ask a server that has it; docs/control.md says how one gets it";
            return Err(Refusal::new(StatusCode::CONFLICT, error, hint));
        }
        match target {
            Target::Host(host) => check_host(host, &self.settings(host)?, changes)?,
            Target::Group(group) => drop(self.settings_of_group(group)?),
        }
        let Some(client) = &self.shared.broker else { return Err(Refusal::no_broker()) };
        let asking = self.shared.control.ask(target, |asked| {
            for (setting, value) in changes {
                // The handler has read them.
                let _ = asked.set(*setting, value);
            }
        });
        let failed = |error| Refusal::fault("could not ask for other settings", &error_chain(&error));
        let asked = broker::ask(client, asking).await?.map_err(failed)?;
        let (before, now) = asked.ok_or_else(|| {
            Refusal::fault("could not ask for other settings", &"others change them all the time")
        })?;
        let what = changed(target, &before, &now, why);
        let host = match target {
            Target::Host(host) => Some(host.clone()),
            Target::Group(_) => None,
        };
        self.shared.audit_log.note(&self.person, "host.settings", host, what, Outcome::Done);
        Ok(now)
    }
}

fn check_host(
    host: &HostName,
    known: &SettingsOfHost,
    changes: &[(Setting, serde_json::Value)],
) -> Result<(), Refusal> {
    if let Some(obstacle) = known.obstacle() {
        let error = format!("{host} takes no settings from here: {obstacle}");
        return Err(Refusal::new(
            StatusCode::CONFLICT,
            error,
            "docs/control.md says how a host comes to take them",
        ));
    }
    let pinned =
        |(setting, value): &&(Setting, serde_json::Value)| known.is_pinned(*setting) && !value.is_null();
    if let Some((setting, _)) = changes.iter().find(pinned) {
        let error = format!("{host} pins {} in its own settings file", setting.key());
        return Err(Refusal::new(
            StatusCode::CONFLICT,
            error,
            "change it there: [remote] pinned, and [sample]",
        ));
    }
    Ok(())
}

fn not_known() -> Refusal {
    let hint = "send this again in a second; a server without a broker has none";
    let error = "the settings of hosts are not known yet";
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error, hint)
}

/// The change in words: `interval_ms null → 500, why: a test`.
fn changed(target: &Target, before: &AskedOfAgent, now: &AskedOfAgent, why: &str) -> String {
    let differs = |setting: &Setting| before.value(*setting) != now.value(*setting);
    let words =
        |setting: Setting| format!("{} {} → {}", setting.key(), before.value(setting), now.value(setting));
    let mut changes: Vec<String> = Setting::ALL.into_iter().filter(differs).map(words).collect();
    if changes.is_empty() {
        changes.push("nothing is changed".to_owned());
    }
    let of = match target {
        Target::Host(_) => String::new(),
        Target::Group(group) => format!("group {group}: "),
    };
    let why = &why[..why.floor_char_boundary(MAX_WHY_BYTES)];
    let why = if why.is_empty() { String::new() } else { format!("; why: {why}") };
    format!("{of}{}{why}", changes.join(", "))
}
