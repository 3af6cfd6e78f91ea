//! Commands to hosts: asking for them, and seeing what became of them.

use std::sync::Arc;

use axum::http::StatusCode;
use fleetps_ingestor::history::Scope;
use fleetps_nats::{
    HostName,
    command::{CommandId, MAX_WHY_BYTES, ProcessId, Sight, UnitName, What},
    error_chain,
    snapshot::Process,
};
use tokio::sync::watch;

use super::ScopedFleet;
use crate::{
    authz::{Decision, Permission, permission_of},
    command::{CommandRecord, NotAsked, NotLooked, Order, OrderTarget, Pace, StoreError, Was},
    refusal::Refusal,
};

/// The most commands of one order.
pub(crate) const MAX_TARGETS: usize = 500;

impl ScopedFleet {
    /// Commands these hosts, and returns the id by which to ask what becomes of it. Nothing is sent where one of them may not be
    /// commanded.
    ///
    /// # Errors
    /// When a host is unknown or may not be commanded, when there is no reason where one is required, or when nothing can be
    /// signed or written down.
    pub(crate) async fn command(
        &self,
        targets: Vec<(HostName, What)>,
        why: &str,
        pace: Pace,
    ) -> Result<CommandId, Refusal> {
        let why = self.reason(why)?;
        check_count(targets.len())?;
        for (host, _) in &targets {
            self.check_may_command(host)?;
        }
        let target = |(host, what): (HostName, What)| OrderTarget { was: self.was(&host, &what), host, what };
        let order = Order {
            targets: targets.into_iter().map(target).collect(),
            who: self.person.name.clone(),
            from: self.person.from,
            why,
            pace,
        };
        Ok(self.shared.commands.order(order).await?)
    }

    /// Whether this host may be commanded.
    ///
    /// # Errors
    /// When it is unknown or hidden, or may not.
    pub(crate) fn check_may_command(&self, host: &HostName) -> Result<(), Refusal> {
        if !self.knows(host) {
            return Err(Refusal::no_such_host(host.as_str()));
        }
        match self.permission_of(Permission::Command, host) {
            true => Ok(()),
            false => {
                let hint = "an operator of its groups may; an API token needs the scope command";
                Err(Refusal::new(StatusCode::FORBIDDEN, format!("you may not command {host}"), hint))
            }
        }
    }

    fn knows(&self, host: &HostName) -> bool {
        self.summary(host).is_some()
    }

    /// Whether a command needs a reason here.
    pub(crate) fn commands_need_reason(&self) -> bool {
        self.shared.commands_need_reason
    }

    fn reason(&self, why: &str) -> Result<String, Refusal> {
        let bad = |error: &str, hint| Err(Refusal::new(StatusCode::BAD_REQUEST, error, hint));
        let why = why.trim();
        match () {
            () if why.is_empty() && self.commands_need_reason() => bad(
                "a command needs a reason on this server",
                "say why, as in: restart after the new release",
            ),
            () if why.len() > MAX_WHY_BYTES || why.chars().any(char::is_control) => {
                bad("the reason is too long or has control characters", "write one line of at most 1 KiB")
            }
            () => Ok(why.to_owned()),
        }
    }

    /// What the process is that is to be signalled, as the latest snapshot has it; its command line too, which only people see
    /// who may.
    fn was(&self, host: &HostName, what: &What) -> Option<Was> {
        let What::Signal { process: id, .. } = what else { return None };
        let moment = self.shared.fleet.moment(&Scope::everything(), host)?;
        let snapshot = moment.snapshot();
        let is_it = |process: &&Process| process.pid == id.pid && process.start_ticks == Some(id.start_ticks);
        let process = snapshot.processes.iter().find(is_it).filter(|_| snapshot.boot_id == id.boot_id);
        process.map(Was::of)
    }

    /// The identity of the process that has this pid on a host now, with how it is; `None` where the host's last snapshot has
    /// none, or where it does not say when it started.
    pub(crate) fn process_id(&self, host: &HostName, pid: u32) -> Option<(ProcessId, Was)> {
        let moment = self.moment(host)?;
        let snapshot = moment.snapshot();
        let process = snapshot.processes.iter().find(|process| process.pid == pid)?;
        let id = ProcessId { boot_id: snapshot.boot_id.clone(), pid, start_ticks: process.start_ticks? };
        Some((id, Was::of(process)))
    }

    /// The latest commands to hosts that the person may see, at most `limit`; and how many there are in all.
    pub(crate) fn commands(&self, host: Option<&HostName>, limit: usize) -> (Vec<Arc<CommandRecord>>, usize) {
        let mut all = self.shared.commands.all();
        let scope = self.scope();
        all.retain(|record| scope.sees(&record.host) && host.is_none_or(|host| record.host == *host));
        let total = all.len();
        all.truncate(limit);
        (self.with_output_as_seen(all), total)
    }

    /// What units write may say as much as command lines do, and is for the same people.
    fn with_output_as_seen(&self, records: Vec<Arc<CommandRecord>>) -> Vec<Arc<CommandRecord>> {
        let as_seen = |record: Arc<CommandRecord>| {
            let has_output = record.steps.iter().any(|step| !step.output.is_empty());
            match has_output && !self.sees_command_lines(&record.host) {
                true => Arc::new(record.without_output()),
                false => record,
            }
        };
        records.into_iter().map(as_seen).collect()
    }

    /// What became of a command: of one host, or of each in a plan, as far as the person may see them.
    ///
    /// # Errors
    /// When there is none of this id that may be seen.
    pub(crate) fn command_of(&self, id: &CommandId) -> Result<Vec<Arc<CommandRecord>>, Refusal> {
        let mut found = self.shared.commands.asked_as(id);
        let scope = self.scope();
        found.retain(|record| scope.sees(&record.host));
        match found.is_empty() {
            true => Err(Refusal::no_such_command(id.as_str())),
            false => Ok(self.with_output_as_seen(found)),
        }
    }

    /// How a unit of a host is now, for people who may command the host.
    ///
    /// # Errors
    /// When the host is unknown or may not be commanded, or does not say it.
    pub(crate) async fn unit(&self, host: &HostName, unit: UnitName) -> Result<Sight, Refusal> {
        self.check_may_command(host)?;
        Ok(self.shared.commands.look(host, unit).await?)
    }

    /// Tells of every change of commands, by a number that grows.
    ///
    /// # Errors
    /// When they are not known yet.
    pub(crate) fn watch_commands(&self) -> Result<watch::Receiver<u64>, Refusal> {
        self.shared.commands.watch().ok_or_else(|| NotAsked::NotKnown.into())
    }

    /// Cancels what was not sent yet of a command.
    ///
    /// # Errors
    /// When there is none of this id, the person may not command its hosts, or all of it was sent.
    pub(crate) async fn cancel_command(&self, id: &CommandId) -> Result<(), Refusal> {
        let records = self.command_of(id)?;
        for record in &records {
            self.check_may_command(&record.host)?;
        }
        let unsent = records.iter().filter(|record| record.state().is_unsent());
        let ids = unsent.map(|record| record.id.clone()).collect();
        if self.shared.commands.cancel(ids, &self.person.name, self.person.from).await? > 0 {
            return Ok(());
        }
        let hint = "what a host has cannot be called back; look at what became of it";
        Err(Refusal::new(StatusCode::CONFLICT, "this command was sent already, or is over", hint))
    }

    /// Whether the person may command some host.
    pub(crate) fn may_command_some(&self) -> bool {
        permission_of(&self.person, Permission::Command, None) == Decision::Allowed
    }

    /// Whether the person may not command without giving the password once more: at a browser, when that is some minutes ago.
    pub(crate) fn must_confirm(&self) -> bool {
        let Some(session) = &self.person.session else { return false };
        self.shared.people.accounts().is_some_and(|accounts| !accounts.is_confirmed_for_commands(session))
    }
}

fn check_count(count: usize) -> Result<(), Refusal> {
    match count {
        1..=MAX_TARGETS => Ok(()),
        _ => {
            let error = format!("an order is for 1 to {MAX_TARGETS} commands, and this is for {count}");
            Err(Refusal::new(StatusCode::BAD_REQUEST, error, "name the hosts, or send several orders"))
        }
    }
}

impl From<NotLooked> for Refusal {
    fn from(error: NotLooked) -> Self {
        let (status, hint) = match &error {
            NotLooked::NotKnown | NotLooked::BrokerAway => (
                StatusCode::SERVICE_UNAVAILABLE,
                "ask again in a second; a server without a broker asks none",
            ),
            // This server works; it is the host that does not.
            NotLooked::NoAnswer(_) => (
                StatusCode::CONFLICT,
                "ask again when the host is up; hosts answer where [control] of agent.toml is on",
            ),
            NotLooked::Refused { .. } => (StatusCode::CONFLICT, "docs/control.md says what a host allows"),
        };
        Self::new(status, error.to_string(), hint)
    }
}

impl From<NotAsked> for Refusal {
    fn from(error: NotAsked) -> Self {
        let (status, hint) = match &error {
            NotAsked::NotKnown => (
                StatusCode::SERVICE_UNAVAILABLE,
                "send this again in a second; a server without a broker has none",
            ),
            NotAsked::NoKey => {
                (StatusCode::CONFLICT, "ask a server that has it; docs/control.md says how one gets it")
            }
            NotAsked::NoRoom(_) | NotAsked::Full => {
                (StatusCode::SERVICE_UNAVAILABLE, "nothing was sent; wait until some are over")
            }
            NotAsked::Store(StoreError::Away(away)) => return (*away).into(),
            NotAsked::Store(_) | NotAsked::Audit(_) | NotAsked::Random(_) | NotAsked::Interrupted(_) => {
                return Self::fault("could not take the command, and sent nothing", &error_chain(&error));
            }
        };
        Self::new(status, error.to_string(), hint)
    }
}
