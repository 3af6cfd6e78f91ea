//! Whether systemd did what it was told: by the result of the job, and by the unit itself before and after. A job that is `done`
//! says too little, because it is so where a condition skipped the unit; and the signal that says it can be lost.

use std::collections::{BTreeSet, HashMap};

use fleetps_nats::command::{Reason, Sight, UnitAction, UnitName};
use zbus::OwnedVariant;

use super::{procfs::harmless, refusal::Refusal};

/// The state of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct UnitState {
    /// Its primary name.
    pub id: String,
    /// All its names.
    pub names: BTreeSet<String>,
    /// Whether its file was found: `loaded`, `not-found`, `masked`, …
    pub load: String,
    /// `active`, `inactive`, `failed`, `activating`, `deactivating`, `reloading`, …
    pub active: String,
    /// The same in more detail, by kind of unit: `running`, `dead`, …
    pub sub: String,
    /// Identifies this activation; another one after each start.
    pub invocation: Vec<u8>,
    /// Since when it has this state, in µs since 1970 UTC.
    pub since_us: Option<i64>,
    /// A service's main process.
    pub main_pid: Option<u32>,
    /// How a service ended last: `success`, `exit-code`, `timeout`, …
    pub result: Option<String>,
    /// The exit status of a service's last main process.
    pub exit_status: Option<i32>,
    /// What a service says of itself.
    pub status_text: Option<String>,
}

impl UnitState {
    /// The state in the properties of a unit that was asked for as `name`.
    pub(super) fn read(name: &UnitName, found: &HashMap<String, OwnedVariant>) -> Self {
        let text = |key: &str| found.get(key).and_then(|value| <&str>::try_from(value).ok()).map(harmless);
        let number = |key: &str| found.get(key).and_then(|value| u64::try_from(value).ok());
        let names = found.get("Names").and_then(|names| Vec::<String>::try_from(names.clone()).ok());
        Self {
            id: text("Id").unwrap_or_else(|| name.to_string()),
            names: names.unwrap_or_default().into_iter().chain([name.to_string()]).collect(),
            load: text("LoadState").unwrap_or_default(),
            active: text("ActiveState").unwrap_or_default(),
            sub: text("SubState").unwrap_or_default(),
            invocation: found
                .get("InvocationID")
                .and_then(|id| Vec::<u8>::try_from(id.clone()).ok())
                .unwrap_or_default(),
            since_us: number("StateChangeTimestamp")
                .and_then(|at| i64::try_from(at).ok())
                .filter(|at| *at > 0),
            main_pid: found.get("MainPID").and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0),
            result: text("Result"),
            exit_status: found.get("ExecMainStatus").and_then(|status| i32::try_from(status).ok()),
            status_text: text("StatusText").filter(|text| !text.is_empty()),
        }
    }

    /// As in `active (running)`.
    pub(super) fn words(&self) -> String {
        format!("{} ({})", self.active, self.sub)
    }

    /// How it is, for people.
    pub(super) fn sight(&self) -> Sight {
        Sight {
            exists: true,
            state: self.words(),
            since_us: self.since_us,
            main_pid: self.main_pid,
            detail: self.details(),
        }
    }

    /// The end of its last run, and what it says of itself.
    fn details(&self) -> String {
        let exit = self.exit_status.filter(|_| self.main_pid.is_none());
        let parts = [
            self.result.as_ref().map(|result| format!("result {result}")),
            exit.map(|status| format!("exit status {status}")),
            self.status_text.clone(),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    fn is_up(&self) -> bool {
        matches!(self.active.as_str(), "active" | "reloading" | "refreshing")
    }

    fn is_down(&self) -> bool {
        matches!(self.active.as_str(), "inactive" | "failed")
    }
}

/// What became of `action`, where the job ended with `result` (absent where nobody heard), and the unit was `before` and is
/// `after`.
pub(super) fn verdict(
    action: UnitAction,
    result: Option<&str>,
    before: &UnitState,
    after: &UnitState,
) -> Result<String, Refusal> {
    let said = words(result, before, after);
    let is_new_run = !after.invocation.is_empty() && after.invocation != before.invocation;
    let is_as_wanted = match action {
        // A unit that does its work and ends is down again, but was run.
        UnitAction::Start => after.is_up() || is_new_run && after.active == "inactive",
        UnitAction::Restart => is_new_run && (after.is_up() || after.active == "inactive"),
        UnitAction::Stop => after.is_down(),
        // Nothing of the unit shows it.
        UnitAction::Reload => result == Some("done") && after.is_up(),
    };
    match (result, is_as_wanted) {
        // Another job may have undone it since; a failed one may have been followed by a good one of somebody else.
        (Some("done") | None, true) => Ok(said),
        (None, false) => Err(Refusal::new(Reason::JobLate, said)),
        (Some("done"), false) if !is_new_run && matches!(action, UnitAction::Start | UnitAction::Restart) => {
            Err(Refusal::new(Reason::JobFailed, format!("{said}; a condition of the unit is not met")))
        }
        (Some(_), _) => Err(Refusal::new(Reason::JobFailed, said)),
    }
}

fn words(result: Option<&str>, before: &UnitState, after: &UnitState) -> String {
    let result = result.unwrap_or("not heard of");
    let details = Some(after.details()).filter(|details| !details.is_empty());
    let details = details.map(|details| format!(", {details}")).unwrap_or_default();
    format!("job {result}; before: {}, now: {}{details}", before.words(), after.words())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(active: &str, invocation: u8) -> UnitState {
        let sub = if active == "active" { "running" } else { "dead" };
        UnitState {
            active: active.to_owned(),
            sub: sub.to_owned(),
            invocation: vec![invocation; usize::from(invocation > 0)],
            ..UnitState::default()
        }
    }

    #[test]
    fn a_job_is_judged_by_what_became_of_the_unit() {
        use UnitAction::{Reload, Restart, Start, Stop};
        for (action, result, before, after, expected) in [
            (Start, Some("done"), ("inactive", 0), ("active", 1), None),
            (Start, Some("done"), ("active", 1), ("active", 1), None),
            (Start, Some("done"), ("inactive", 1), ("inactive", 2), None),
            (Start, Some("done"), ("inactive", 1), ("inactive", 1), Some(Reason::JobFailed)),
            (Start, Some("failed"), ("inactive", 1), ("failed", 2), Some(Reason::JobFailed)),
            (Start, Some("timeout"), ("inactive", 1), ("active", 2), Some(Reason::JobFailed)),
            (Start, None, ("inactive", 1), ("active", 2), None),
            (Start, None, ("inactive", 1), ("activating", 2), Some(Reason::JobLate)),
            (Start, None, ("inactive", 1), ("failed", 2), Some(Reason::JobLate)),
            (Restart, Some("done"), ("active", 1), ("active", 2), None),
            (Restart, Some("done"), ("active", 1), ("active", 1), Some(Reason::JobFailed)),
            (Restart, Some("canceled"), ("active", 1), ("active", 1), Some(Reason::JobFailed)),
            (Restart, None, ("active", 1), ("active", 1), Some(Reason::JobLate)),
            (Restart, None, ("active", 1), ("active", 2), None),
            (Stop, Some("done"), ("active", 1), ("inactive", 1), None),
            (Stop, Some("done"), ("active", 1), ("failed", 1), None),
            (Stop, Some("done"), ("active", 1), ("active", 2), Some(Reason::JobFailed)),
            (Stop, None, ("active", 1), ("deactivating", 1), Some(Reason::JobLate)),
            (Reload, Some("done"), ("active", 1), ("active", 1), None),
            (Reload, Some("failed"), ("active", 1), ("active", 1), Some(Reason::JobFailed)),
            (Reload, None, ("active", 1), ("active", 1), Some(Reason::JobLate)),
        ] {
            let found = verdict(action, result, &unit(before.0, before.1), &unit(after.0, after.1));
            let reason = found.as_ref().err().map(|refusal| refusal.reason);
            assert_eq!(reason, expected, "{action} {result:?} {before:?} {after:?}: {found:?}");
        }
    }

    #[test]
    fn the_words_say_what_was_and_what_is() {
        let after =
            UnitState { result: Some("exit-code".to_owned()), exit_status: Some(1), ..unit("failed", 2) };
        let refusal = verdict(UnitAction::Start, Some("failed"), &unit("inactive", 1), &after).unwrap_err();
        let expected =
            "job failed; before: inactive (dead), now: failed (dead), result exit-code, exit status 1";
        assert_eq!(refusal.detail, expected);
    }
}
