//! Finds out what became of a command after the host was lost, and never sends it again.
//!
//! The host's helper is asked whether it knows the command. One that was started meanwhile does not; then the target itself is
//! looked at, once the ticket cannot work any longer. What that cannot tell stays unknown, with what was seen.

use std::time::{Duration, Instant};

use fleetps_nats::{
    command::{Answer, Ask, DEFAULT_VALID, Reason, Sight, UnitAction, What},
    now_us,
};

use super::{
    driver::{Driver, MARGIN, RUNS_FOR},
    line::{Line, NoAnswer},
    record::CommandRecord,
    step::{State, Step, UnitBefore},
};

/// How long a host is asked for: agents come back within seconds of a broker, a machine that boots takes a minute.
const SETTLED_WITHIN: Duration = Duration::from_secs(120);
/// How often it is asked, after a first time at once.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// What a host said about a command that was lost.
enum Found {
    /// How far it is, and the helper goes on.
    Known,
    /// The helper does not know it.
    Unknown,
    /// Nothing that can be used.
    Nothing(String),
}

impl Driver {
    /// Asks until it is known what became of a command, or the time is over; then it is over.
    pub(super) async fn settle(&self, record: &CommandRecord) {
        let lost = Step::now(State::Unknown).saying("The host was lost after the command was sent to it.");
        self.enter_surely(record, lost).await;
        let begun = Instant::now();
        let mut until = begun + SETTLED_WITHIN;
        let mut said = String::new();
        while Instant::now() < until && !self.is_over(&record.id) {
            match self.find(record).await {
                Found::Known => {
                    until = begun + RUNS_FOR;
                    said = "the host says that it still runs".to_owned();
                }
                Found::Unknown if !self.has_lapsed(record) => {
                    said = "the host does not know it".to_owned();
                }
                Found::Unknown => match self.look(record).await {
                    Ok(step) => return self.close(record, step).await,
                    Err(error) => said = error.to_string(),
                },
                Found::Nothing(error) => said = error,
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
        let gave_up = format!("It could not be found out what became of it: {said}.");
        self.close(record, Step::now(State::Unknown).saying(gave_up)).await;
    }

    async fn find(&self, record: &CommandRecord) -> Found {
        let question = Ask::Wait { id: record.id.clone(), known: None };
        match Line::to(&self.client, &record.host).ask(&question, ANSWER_TIMEOUT).await {
            Ok(Answer::Stage(progress)) if progress.id == record.id => {
                self.take(record, progress).await;
                Found::Known
            }
            Ok(Answer::Refused { reason: Reason::UnknownCommand, .. }) => Found::Unknown,
            Ok(Answer::Refused { reason, .. }) => {
                Found::Nothing(reason.words().trim_end_matches('.').to_owned())
            }
            Ok(_) => Found::Nothing("the host answered something else".to_owned()),
            Err(error) => Found::Nothing(error.to_string()),
        }
    }

    /// Whether the ticket of a command works no longer: what was held back on the way is not executed any more.
    fn has_lapsed(&self, record: &CommandRecord) -> bool {
        let works_for = i64::try_from((DEFAULT_VALID + MARGIN).as_micros()).unwrap_or(i64::MAX);
        let published_at_us = self.store.get(record.id.as_str()).and_then(|record| record.published_at_us());
        published_at_us.is_none_or(|at_us| now_us().saturating_sub(at_us).abs() > works_for)
    }

    /// The step that follows from how the target is now.
    async fn look(&self, record: &CommandRecord) -> Result<Step, NoAnswer> {
        let question = Ask::Look { target: record.what.target() };
        match Line::to(&self.client, &record.host).ask(&question, ANSWER_TIMEOUT).await? {
            Answer::Looked(sight) => {
                let latest = self.store.get(record.id.as_str());
                let before = latest.as_ref().and_then(|record| record.before());
                Ok(verdict(&record.what, before, &sight))
            }
            _ => Err(NoAnswer::Unreadable("it is none to this question".to_owned())),
        }
    }
}

/// What a command has come to, by how its target was before it was sent and is now.
fn verdict(what: &What, before: Option<&UnitBefore>, sight: &Sight) -> Step {
    let is = |states: &[&str]| states.iter().any(|state| sight.state.starts_with(state));
    let state = &sight.state;
    let done = |said: String| Step::now(State::Done).saying(format!("Settled by looking again: {said}."));
    match what {
        What::Signal { signal, .. } if !sight.exists && !signal.ends_within().is_zero() => {
            done("the process is gone".to_owned())
        }
        What::Unit { action: UnitAction::Start, .. } if is(&["active"]) => {
            done(format!("the unit is {state}"))
        }
        What::Unit { action: UnitAction::Stop, .. } if is(&["inactive", "failed"]) => {
            done(format!("the unit is {state}"))
        }
        What::Unit { action: UnitAction::Restart, .. } if is(&["active"]) => {
            before.map_or_else(|| not_known(sight), |before| restarted(before, sight))
        }
        _ => not_known(sight),
    }
}

/// Whether a unit that is active was restarted. Its state has a time of its own, to the microsecond: where that is the one of
/// before, nothing has happened, and nothing can any more. Only another main process tells a restart from a reload.
fn restarted(before: &UnitBefore, sight: &Sight) -> Step {
    let is_the_same = (before.main_pid, before.since_us) == (sight.main_pid, sight.since_us);
    let main = |pid: Option<u32>| pid.map_or_else(|| "none".to_owned(), |pid| pid.to_string());
    match before.since_us.and(sight.since_us) {
        None => not_known(sight),
        Some(_) if is_the_same => Step::now(State::Expired).saying(
            "Settled by looking again: the unit runs as it did before, so it was not restarted. It never will be by this.",
        ),
        // A reload changes the time of the state, too.
        Some(_) if before.main_pid.is_some() && before.main_pid == sight.main_pid => not_known(sight),
        Some(_) => Step::now(State::Done).saying(format!(
            "Settled by looking again: the unit was restarted since this was sent, by this or by systemd \
             itself (main process {} before, {} now).",
            main(before.main_pid),
            main(sight.main_pid)
        )),
    }
}

fn not_known(sight: &Sight) -> Step {
    let seen = if sight.exists { sight.state.as_str() } else { "not there" };
    let said =
        format!("The host does not know whether it was executed. Looked at again, the target is {seen}.");
    Step::now(State::Unknown).saying(said)
}

#[cfg(test)]
mod tests {
    use fleetps_nats::command::{ProcessId, Signal};

    use super::*;

    #[test]
    fn only_what_was_seen_is_claimed() {
        let unit = |action| What::Unit { action, unit: "a.service".parse().unwrap() };
        let process = ProcessId { boot_id: "b".to_owned(), pid: 7, start_ticks: 1 };
        let signal = |signal| What::Signal { signal, process: process.clone() };
        let sight = |exists, state: &str| Sight { exists, state: state.to_owned(), ..Sight::default() };
        for (what, sight, expected) in [
            (signal(Signal::Kill), sight(false, ""), State::Done),
            (signal(Signal::Kill), sight(true, "S sleeping"), State::Unknown),
            (signal(Signal::Hup), sight(false, ""), State::Unknown),
            (unit(UnitAction::Start), sight(true, "active (running)"), State::Done),
            (unit(UnitAction::Start), sight(true, "activating (start)"), State::Unknown),
            (unit(UnitAction::Stop), sight(true, "inactive (dead)"), State::Done),
            (unit(UnitAction::Restart), sight(true, "active (running)"), State::Unknown),
        ] {
            assert_eq!(verdict(&what, None, &sight).state, expected, "{what} {sight:?}");
        }
    }

    #[test]
    fn a_restart_is_told_from_none_by_how_the_unit_was_before() {
        let restart = What::Unit { action: UnitAction::Restart, unit: "a.service".parse().unwrap() };
        let sight = |state: &str, main_pid, since_us| Sight {
            exists: true,
            state: state.to_owned(),
            main_pid: Some(main_pid),
            since_us,
            ..Sight::default()
        };
        let before = UnitBefore { main_pid: Some(7), since_us: Some(100) };
        for (sight, expected) in [
            (sight("active (running)", 8, Some(200)), State::Done),
            // A reload, or a pid that came again.
            (sight("active (running)", 7, Some(200)), State::Unknown),
            (sight("active (running)", 7, Some(100)), State::Expired),
            (sight("active (running)", 8, None), State::Unknown),
            (sight("activating (start)", 8, Some(200)), State::Unknown),
            (sight("failed", 0, Some(200)), State::Unknown),
        ] {
            assert_eq!(verdict(&restart, Some(&before), &sight).state, expected, "{sight:?}");
        }
        let no_time = UnitBefore { since_us: None, ..before };
        let step = verdict(&restart, Some(&no_time), &sight("active (running)", 8, Some(200)));
        assert_eq!(step.state, State::Unknown);
    }
}
