//! Sends one command to one host, and follows what becomes of it.
//!
//! The order is what makes it safe. The audit entry is written and acknowledged first. Then the host's helper is asked for a
//! ticket; a host that is not there says so by nobody listening, at once. Then the record says that the command is published,
//! and only then the signed frame is sent, once. What comes after that changes nothing on the host: the server waits, and
//! when it loses the host, it asks again what became of the command ([`settle`](super::settle)).
//!
//! The frame is sent a second time, with another ticket and another audit entry, only where the host said that it does not know
//! the ticket: then the first was certainly not executed, and never will be.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::Client;
use fleetps_nats::{
    agent_settings::ControlKey,
    audit::{AuditEntry, Outcome},
    command::{
        Answer, Ask, Command, CommandId, DEFAULT_VALID, Progress, Reason, Stage, Ticket, UnitAction, WAIT,
        What,
    },
    connection::reconnect_delay,
    error_chain, now_us,
};

use super::{
    line::{Line, NoAnswer},
    record::CommandRecord,
    step::{State, Step, UnitBefore},
    store::{Store, StoreError},
};
use crate::audit_log::{AuditLog, NotAudited};

/// How long a helper may take for a ticket, which costs it nothing. One on a machine that swaps takes a second.
const TICKET_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a host may take to say that it has taken a command: it checks a signature, its file and the target.
/// A helper decides within 8 s, where name services are slow.
const RUN_TIMEOUT: Duration = Duration::from_secs(10);
/// How much longer than the host this server waits for the same, so that the host's word counts and not that of a clock here.
pub(super) const MARGIN: Duration = Duration::from_secs(2);
/// How long a host may execute a command. systemd gives up on a unit after 90 s, a stop and a start each.
pub(super) const RUNS_FOR: Duration = Duration::from_secs(300);
/// How often a host is asked at most how far its command is. It holds its answer back until that changes, which it does twice;
/// one that answers at once all the time keeps the broker no busier than this.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// How often a command is sent at most: again only where the first was certainly not executed.
const MAX_ATTEMPTS: u32 = 2;

/// Looks after commands; a clone is the same.
#[derive(Clone)]
pub(super) struct Driver {
    pub(super) client: Client,
    /// Absent where this server only finds out what became of what others sent.
    pub(super) key: Option<ControlKey>,
    pub(super) store: Store,
    pub(super) audit: AuditLog,
}

/// What a step does to a record; whether it changed anything.
type Change = fn(&mut CommandRecord, Step) -> bool;

/// How an attempt ended.
enum Attempt {
    /// Nothing more is to be done.
    Over,
    /// The host has it, or may have it: as far as this.
    Sent(Option<Stage>),
    /// The host does not know the ticket, so the command was not executed.
    Lapsed,
}

impl Driver {
    /// Sends the command of this id, and returns when it is over.
    pub(super) async fn drive(&self, id: &CommandId) {
        let Some(record) = self.store.get(id.as_str()) else { return };
        for attempt in 1..=MAX_ATTEMPTS {
            match self.attempt(&record, attempt).await {
                Attempt::Over => return,
                Attempt::Sent(known) => return self.follow(&record, known).await,
                Attempt::Lapsed => {}
            }
        }
    }

    async fn attempt(&self, record: &Arc<CommandRecord>, attempt: u32) -> Attempt {
        let said = if attempt > 1 { "its helper was started again, so it is asked anew" } else { "" };
        if record.state() != State::Asked || attempt > 1 {
            match self.enter(&record.id, Step::now(State::Asked).saying(said)).await {
                Ok(Some(_)) => {}
                Ok(None) => return Attempt::Over,
                Err(error) => return self.give_up(record, &error).await,
            }
        }
        let sequence = match self.write_down(record, attempt).await {
            Ok(sequence) => sequence,
            Err(error) => return self.give_up(record, &error).await,
        };
        let (ticket, valid_ms) = match self.ticket(record).await {
            Ok(ticket) => ticket,
            Err(step) => return self.end(record, step).await,
        };
        let before = self.look_before(record).await;
        // From here on the host may have it, whatever becomes of this server. Where somebody has cancelled it, this fails.
        match self.enter(&record.id, Step::now(State::Published).before(before)).await {
            Ok(Some(_)) => self.run(record, (ticket, valid_ms), sequence, attempt).await,
            Ok(None) => Attempt::Over,
            Err(error) => self.give_up(record, &error).await,
        }
    }

    /// Writes down that it is asked, before anything is published.
    async fn write_down(&self, record: &CommandRecord, attempt: u32) -> Result<u64, NotAudited> {
        let action = if attempt > 1 { "command.again" } else { "command.ask" };
        self.audit.write(entry(record, action, record.words(), Outcome::Done)).await
    }

    /// A ticket of the host's helper, and how long it works; or the state that the command is in without one.
    async fn ticket(&self, record: &CommandRecord) -> Result<(Ticket, u64), Step> {
        let asked = Line::to(&self.client, &record.host).ask(&Ask::Ticket, TICKET_TIMEOUT).await;
        let cancelled = |said: &str| Step::now(State::Cancelled).saying(format!("It was not sent: {said}."));
        match asked {
            Ok(Answer::Ticket { ticket, valid_ms, .. }) => {
                Ok((ticket, valid_ms.min(u64::try_from(DEFAULT_VALID.as_millis()).unwrap_or(u64::MAX))))
            }
            Ok(Answer::Refused { reason, detail }) => {
                Err(Step::now(State::Refused).because(Some(reason)).saying(detail))
            }
            Ok(Answer::Stage(_) | Answer::Looked(_)) => Err(cancelled("the host answered something else")),
            Err(error @ (NoAnswer::NotThere | NoAnswer::Silent)) => {
                Err(Step::now(State::NotThere).saying(sentence(&error)))
            }
            Err(error @ (NoAnswer::BrokerAway | NoAnswer::Unreadable(_))) => {
                Err(cancelled(&error.to_string()))
            }
        }
    }

    /// How a unit is that is to be restarted, so that it can be found out later whether it was; it is restarted without that,
    /// too.
    async fn look_before(&self, record: &CommandRecord) -> Option<UnitBefore> {
        if !matches!(record.what, What::Unit { action: UnitAction::Restart, .. }) {
            return None;
        }
        let question = Ask::Look { target: record.what.target() };
        match Line::to(&self.client, &record.host).ask(&question, TICKET_TIMEOUT).await {
            Ok(Answer::Looked(sight)) => {
                Some(UnitBefore { main_pid: sight.main_pid, since_us: sight.since_us })
            }
            _ => None,
        }
    }

    /// Signs it and sends it.
    async fn run(
        &self,
        record: &CommandRecord,
        (ticket, valid_ms): (Ticket, u64),
        sequence: u64,
        attempt: u32,
    ) -> Attempt {
        let CommandRecord { id, host, what, who, why, .. } = record.clone();
        let command = Command { id, ticket, valid_ms, what, who, why, audit: Some(sequence) };
        // A key without its private half was refused at the start, and without any nothing is taken.
        let signed = self.key.as_ref().and_then(|key| command.sign(&host, key).ok());
        let Some(frame) = signed else {
            return self.end(record, Step::now(State::Cancelled).saying("It could not be signed.")).await;
        };
        let may_repeat = attempt < MAX_ATTEMPTS;
        let lapsed = |reason: Option<Reason>| may_repeat && reason == Some(Reason::UnknownTicket);
        match Line::to(&self.client, &host).ask(&Ask::Run { frame }, RUN_TIMEOUT).await {
            Ok(Answer::Stage(progress)) if lapsed(progress.reason) && progress.stage == Stage::Refused => {
                Attempt::Lapsed
            }
            Ok(Answer::Stage(progress)) if progress.id == record.id => {
                let stage = progress.stage;
                self.take(record, progress).await;
                if stage.is_final() { Attempt::Over } else { Attempt::Sent(Some(stage)) }
            }
            Ok(Answer::Refused { reason, .. }) if lapsed(Some(reason)) => Attempt::Lapsed,
            Ok(Answer::Refused { reason, detail }) => self.end(record, refusal(reason, detail)).await,
            Err(error @ NoAnswer::NotThere) => {
                self.end(record, Step::now(State::NotThere).saying(sentence(&error))).await
            }
            // It may have been heard.
            Ok(_) | Err(_) => Attempt::Sent(None),
        }
    }

    /// Waits for what becomes of a command that the host may have, and returns when it is over.
    pub(super) async fn follow(&self, record: &CommandRecord, mut known: Option<Stage>) {
        let line = Line::to(&self.client, &record.host);
        let until = Instant::now() + RUNS_FOR;
        while known.is_some() && Instant::now() < until {
            let asked = Instant::now();
            let question = Ask::Wait { id: record.id.clone(), known };
            match line.ask(&question, WAIT + MARGIN).await {
                Ok(Answer::Stage(progress)) if progress.id == record.id => {
                    known = Some(progress.stage);
                    self.take(record, progress).await;
                    if self.is_over(&record.id) {
                        return;
                    }
                }
                _ => known = None,
            }
            tokio::time::sleep(ASK_EVERY.saturating_sub(asked.elapsed())).await;
        }
        self.settle(record).await;
    }

    /// Notes how far the host says that the command is.
    pub(super) async fn take(&self, record: &CommandRecord, progress: Progress) {
        let gone = match progress.gone {
            Some(true) => "The process is gone.",
            Some(false) => "The process is still there.",
            None => "",
        };
        let parts = [gone, &progress.detail];
        let detail = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
        let step = Step::now(progress.stage.into()).because(progress.reason).saying(detail);
        let step = step.with_output(progress.output);
        self.enter_surely(record, step).await;
    }

    /// Whether nothing more can become of it.
    pub(super) fn is_over(&self, id: &CommandId) -> bool {
        self.store.get(id.as_str()).is_none_or(|record| record.is_over)
    }

    /// Takes a step and audits it; `None` where the command is over, or was at this step.
    async fn enter(&self, id: &CommandId, step: Step) -> Result<Option<CommandRecord>, StoreError> {
        self.write(id, &step, CommandRecord::enter).await
    }

    async fn write(
        &self,
        id: &CommandId,
        step: &Step,
        change: Change,
    ) -> Result<Option<CommandRecord>, StoreError> {
        let changed = self.store.change(id, |record| change(record, step.clone())).await?;
        let taken = taken(changed, self.store.get(id.as_str()), step);
        if let Some(record) = &taken {
            self.note(record, step);
        }
        Ok(taken)
    }

    /// Takes a step, however long the broker is away.
    pub(super) async fn enter_surely(&self, record: &CommandRecord, step: Step) {
        self.write_surely(record, step, CommandRecord::enter).await;
    }

    /// Cancels it with this step if it was not sent, however long the broker is away.
    pub(super) async fn cancel(&self, record: &CommandRecord, step: Step) {
        self.write_surely(record, step, CommandRecord::cancel).await;
    }

    /// Ends it with this step, also where that is [`State::Unknown`], however long the broker is away.
    pub(super) async fn close(&self, record: &CommandRecord, step: Step) {
        self.write_surely(record, step, CommandRecord::close).await;
    }

    async fn write_surely(&self, record: &CommandRecord, step: Step, change: Change) {
        let mut failures = 0;
        while let Err(error) = self.write(&record.id, &step, change).await {
            tracing::warn!(command = %record.id, error = error_chain(&error), "a command's state is not written down yet");
            tokio::time::sleep(reconnect_delay(failures)).await;
            failures += 1;
        }
    }

    /// Ends it here.
    async fn end(&self, record: &CommandRecord, step: Step) -> Attempt {
        self.enter_surely(record, step).await;
        Attempt::Over
    }

    /// Ends it before it was sent.
    async fn give_up(&self, record: &CommandRecord, error: &(impl std::error::Error + 'static)) -> Attempt {
        let said = format!("It was not sent: {}.", error_chain(error));
        self.end(record, Step::now(State::Cancelled).saying(said)).await
    }

    /// Audits a step in the background. The audit has what was asked already.
    pub(super) fn note(&self, record: &CommandRecord, step: &Step) {
        // That it is asked is written by itself, before anything is sent.
        if step.state != State::Asked {
            let said = step.words();
            let said = if said.is_empty() { said } else { format!(": {said}") };
            let what = format!("{}, command {}{said}", record.what, record.id);
            let action = format!("command.{}", step.state.id());
            self.audit.note_entry(entry(record, &action, what, outcome(step.state)));
        }
    }
}

/// The record, if it has taken this very step: just now, or before, when the acknowledgement was lost and it was tried again.
fn taken(
    changed: Option<CommandRecord>,
    known: Option<Arc<CommandRecord>>,
    step: &Step,
) -> Option<CommandRecord> {
    let record = changed.or_else(|| known.map(Arc::unwrap_or_clone));
    record.filter(|record| record.last() == step)
}

/// The entry of the audit about a command.
pub(super) fn entry(record: &CommandRecord, action: &str, what: String, outcome: Outcome) -> AuditEntry {
    AuditEntry {
        at_us: now_us(),
        who: record.who.clone(),
        from: Some(record.from),
        action: action.to_owned(),
        host: Some(record.host.clone()),
        what,
        outcome,
    }
}

fn outcome(state: State) -> Outcome {
    match state {
        State::Refused | State::Expired => Outcome::Refused,
        State::Failed | State::NotThere | State::Unknown | State::Cancelled => Outcome::Failed,
        _ => Outcome::Done,
    }
}

/// The step of a command that the host refuses without taking it.
fn refusal(reason: Reason, detail: String) -> Step {
    let state = if reason == Reason::Expired { State::Expired } else { State::Refused };
    Step::now(state).because(Some(reason)).saying(detail)
}

/// An error as a sentence.
pub(super) fn sentence(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let mut characters = text.chars();
    let first = characters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(characters).chain(['.']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::record::tests::record;

    #[test]
    fn a_step_that_was_written_without_an_acknowledgement_counts_as_taken_and_that_of_others_does_not() {
        let step = Step::now(State::Done).saying("The process is gone.");
        let mut written = record();
        assert!(written.enter(step.clone()) && !written.enter(step.clone()), "tried again, it is there");
        let known = || Some(Arc::new(written.clone()));
        assert_eq!(taken(None, known(), &step), Some(written.clone()));
        assert_eq!(taken(Some(written.clone()), known(), &step), Some(written.clone()));
        let other = Step { at_us: step.at_us + 1, ..step.clone() };
        assert_eq!(taken(None, known(), &other), None, "somebody else found the same");
        assert_eq!(taken(None, None, &step), None);
    }
}
