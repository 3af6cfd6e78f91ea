//! What the helper answers.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use fleetps_nats::{
    agent_settings::SignedFrame,
    command::{
        Answer, Ask, Command, CommandId, MAX_TICKET_AGE, ProcessId, Progress, Reason, Signal, Stage, Target,
        Ticket, WAIT, What,
    },
    error_chain,
};

use super::{
    clock,
    journal::Journal,
    ledger::{Followed, Ledger},
    procfs::{self, UserBook},
    rate::Rate,
    refusal::Refusal,
    report::Report,
    rules_file::{Rules, RulesFile},
    signals::{self, Held},
    tickets::{Taken, Tickets},
    units::{Own, Units},
};
use crate::trust::Trust;

/// How long a job of systemd may take: its own limit for starting a service, 90 s, and some.
const JOB_WITHIN: Duration = Duration::from_secs(100);
/// How long the first answer to a command may take. To decide about a unit takes a few calls of systemd, of 2 s each at most;
/// where they take longer, the answer is that the command is accepted, and what is decided follows.
const DECIDE_WITHIN: Duration = Duration::from_secs(8);

/// The file that says which control key is trusted, in the helper's own folder.
const TRUSTED: &str = "trusted-key.json";

/// How a helper works.
#[derive(Debug, Clone)]
pub struct HelperOptions {
    /// The settings file.
    pub config: PathBuf,
    /// The address of the bus on which systemd is; the system's where it is absent.
    pub bus: Option<String>,
    /// How long a job of systemd may take.
    pub job_within: Duration,
    /// The program that reads the journal, as in `journalctl`.
    pub journal: PathBuf,
    /// The helper's own folder; without one it forgets at its end which control key it trusts.
    pub state: Option<PathBuf>,
}

/// The one who asks: a process on the other side of the socket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker {
    /// Its pid, as seen from here; absent where it cannot be seen.
    pub pid: Option<u32>,
}

/// A run of the helper.
#[derive(Debug)]
pub struct Helper {
    file: RulesFile,
    units: Units,
    users: UserBook,
    trust: Trust,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tickets: Tickets,
    rate: Rate,
    ledger: Ledger,
}

/// A command that is about to be decided and executed.
struct Admitted {
    report: Report,
    followed: Followed,
    /// It begins before this time, or not at all.
    until: Duration,
}

/// On what a command is executed.
struct Terms {
    rules: Rules,
    asker: Asker,
    /// It begins before this time, or not at all.
    until: Duration,
}

impl HelperOptions {
    /// The usual, with this settings file.
    pub fn new(config: impl Into<PathBuf>) -> Self {
        Self {
            config: config.into(),
            bus: None,
            job_within: JOB_WITHIN,
            journal: Journal::default().0,
            state: None,
        }
    }
}

impl Helper {
    /// A new run, which knows no ticket yet.
    pub fn new(options: HelperOptions) -> Self {
        let HelperOptions { config, bus, job_within, journal, state } = options;
        let trust = Trust::kept_in(state.map(|folder| folder.join(TRUSTED)));
        trust.read();
        Self {
            file: RulesFile::new(config),
            units: Units { address: bus, job_within, journal: Journal(journal) },
            users: UserBook::new(),
            trust,
            state: Mutex::default(),
        }
    }

    /// Answers one question.
    pub(super) async fn answer(self: &Arc<Self>, line: &[u8], asker: Asker) -> Answer {
        let asked = Ask::read(line).map_err(|error| Refusal::new(Reason::NotBelieved, error.to_string()));
        let answered = match asked {
            Ok(Ask::Ticket) => self.ticket(),
            Ok(Ask::Run { frame }) => self.run(&frame, asker).await,
            Ok(Ask::Wait { id, known }) => self.wait(&id, known).await,
            Ok(Ask::Look { target }) => self.look(&target).await,
            Err(refusal) => Err(refusal),
        };
        answered.unwrap_or_else(Answer::from).within_limits()
    }

    /// What the file says now; an error where commands are off.
    fn rules(&self) -> Result<(Rules, String), Refusal> {
        let rules = self.file.read().map_err(|error| {
            let problem = error_chain(&error);
            tracing::warn!(problem, "no command is executed");
            Refusal::internal(problem)
        })?;
        let off = |detail: &str| Refusal::new(Reason::Off, detail);
        if !rules.policy.is_enabled {
            return Err(off("[control] enabled = false"));
        }
        let pinned = rules.pinned.clone().ok_or_else(|| off("[remote] control_key is missing"))?;
        Ok((rules, pinned))
    }

    fn ticket(&self) -> Result<Answer, Refusal> {
        let (rules, _) = self.rules()?;
        let ticket =
            Ticket::new().map_err(|error| Refusal::internal(format!("no random numbers: {error}")))?;
        if !self.state().tickets.give(ticket.clone(), clock::now()) {
            return Err(Refusal::new(
                Reason::TooMany,
                "too many tickets are out; the oldest expires within a minute",
            ));
        }
        Ok(Answer::Ticket {
            ticket,
            boot_id: procfs::boot_id().unwrap_or_default(),
            valid_ms: u64::try_from(MAX_TICKET_AGE.as_millis()).unwrap_or(u64::MAX),
            allows: rules.policy.allowed(),
        })
    }

    async fn run(self: &Arc<Self>, frame: &SignedFrame, asker: Asker) -> Result<Answer, Refusal> {
        let (rules, pinned) = self.rules()?;
        let trusted = self.trust.of(&pinned);
        let command = Command::open(frame, &rules.host, &trusted).map_err(|error| {
            tracing::warn!(%error, "a command is not believed");
            Refusal::new(Reason::NotBelieved, error.to_string())
        })?;
        if self.trust.believed(&pinned, &trusted, frame.key()) {
            self.trust.keep();
        }
        tracing::info!(command = %command.id, what = %command.what, who = command.who, why = command.why, "asked");
        let id = command.id.clone();
        let mut followed = match self.admit(&command)? {
            Ok(Admitted { report, followed, until }) => {
                // It goes on where the one who asks does not wait.
                let terms = Terms { rules, asker, until };
                tokio::spawn(Arc::clone(self).execute(command.what, terms, report));
                followed
            }
            Err(known) => known,
        };
        let decided = tokio::time::timeout(DECIDE_WITHIN, followed.wait_for(Option::is_some)).await;
        let progress = decided.ok().and_then(Result::ok).and_then(|progress| progress.clone());
        Ok(Answer::Stage(progress.unwrap_or_else(|| Progress::new(id, Stage::Accepted))))
    }

    /// Takes a command that is believed, once: its ticket is used up. Otherwise what is known of it already.
    fn admit(&self, command: &Command) -> Result<Result<Admitted, Followed>, Refusal> {
        let id = command.id.clone();
        let (mut state, now) = (self.state(), clock::now());
        let State { tickets, rate, ledger } = &mut *state;
        if let Some(followed) = ledger.find(&id) {
            return Ok(Err(followed));
        }
        let taken = tickets.take(&command.ticket, command.valid(), now);
        if taken == Taken::Unknown {
            return Err(Refusal::new(
                Reason::UnknownTicket,
                "its ticket was used, or is of another run of the helper",
            ));
        }
        let too_many = || Refusal::new(Reason::TooMany, "too many commands run");
        let sender = ledger.add(id.clone(), now).ok_or_else(too_many)?;
        let (followed, report) = (sender.subscribe(), Report::new(id, sender));
        match taken {
            Taken::Until(until) if rate.take(now) => Ok(Ok(Admitted { report, followed, until })),
            Taken::Until(_) => {
                report.ends_for(Stage::Refused, Refusal::new(Reason::TooMany, Rate::words()));
                Ok(Err(followed))
            }
            Taken::Expired | Taken::Unknown => {
                let late = format!("its ticket is older than {} ms", command.valid_ms);
                report.ends_for(Stage::Expired, Refusal::new(Reason::Expired, late));
                Ok(Err(followed))
            }
        }
    }

    async fn execute(self: Arc<Self>, what: What, terms: Terms, report: Report) {
        match what {
            What::Unit { action, unit } => {
                let Terms { rules, asker, until } = &terms;
                self.units.execute((action, &unit), rules, &own(*asker), *until, report).await;
            }
            What::Signal { signal, process } => self.signal(signal, process, terms, report).await,
        }
    }

    async fn signal(self: Arc<Self>, signal: Signal, process: ProcessId, terms: Terms, report: Report) {
        let helper = Arc::clone(&self);
        // Reading a process and asking for a user's name may wait.
        let sending = tokio::task::spawn_blocking(move || {
            let (held, line) = helper.hold(signal, &process, &terms)?;
            if clock::now() > terms.until {
                return Err(Refusal::new(Reason::Expired, "it took too long to decide"));
            }
            held.send(signal)?;
            Ok((held, line))
        });
        match sending.await {
            Ok(Ok((held, line))) => sent(signal, held, line, report).await,
            Ok(Err(refusal)) if refusal.reason == Reason::Expired => report.ends_for(Stage::Expired, refusal),
            Ok(Err(refusal)) => report.ends_for(Stage::Refused, refusal),
            // It panicked; the report says so.
            Err(_) => drop(report),
        }
    }

    /// Takes hold of a process that may be signalled, and the line that allows it.
    fn hold(&self, signal: Signal, process: &ProcessId, terms: &Terms) -> Result<(Held, String), Refusal> {
        let own = own(terms.asker);
        if !terms.asker.pid.is_some_and(procfs::shares_pids) {
            let detail = "the agent has other pids than the control helper: one of them runs in a container";
            return Err(Refusal::new(Reason::OtherNamespace, detail));
        }
        let held = Held::of(process)?;
        let mut subject = held.subject(signal, &self.users);
        held.is_still_there()?;
        subject.own = own.process(process.pid).or_else(|| own.of_unit(subject.unit.as_deref()));
        let line = Refusal::unless_allowed(terms.rules.policy.process(&subject))?;
        Ok((held, line))
    }

    async fn wait(&self, id: &CommandId, known: Option<Stage>) -> Result<Answer, Refusal> {
        let followed = self.state().ledger.find(id);
        let unknown = || {
            Refusal::new(
                Reason::UnknownCommand,
                "it is of another run of the helper, or older than ten minutes",
            )
        };
        let mut followed = followed.ok_or_else(unknown)?;
        let is_news = |progress: &Option<Progress>| {
            progress
                .as_ref()
                .is_some_and(|progress| Some(progress.stage) != known || progress.stage.is_final())
        };
        let _ = tokio::time::timeout(WAIT, followed.wait_for(is_news)).await;
        let progress = followed.borrow().clone();
        Ok(Answer::Stage(progress.unwrap_or_else(|| Progress::new(id.clone(), Stage::Accepted))))
    }

    async fn look(&self, target: &Target) -> Result<Answer, Refusal> {
        self.rules()?;
        let sight = match target {
            Target::Unit(unit) => self.units.look(unit).await?,
            Target::Process(process) => signals::look(process),
        };
        Ok(Answer::Looked(sight))
    }

    /// Plain data: a panic elsewhere leaves nothing half done in it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A signal was sent: waits for the end of the process where it is expected to end.
async fn sent(signal: Signal, held: Held, line: String, report: Report) {
    let patience = signal.ends_within();
    let detail = format!("{signal} sent to {}; {line}", held.name());
    if patience.is_zero() {
        return report.ends(Stage::Done, detail, None);
    }
    report.goes_on(Stage::Running, detail.clone());
    match held.ends_within(patience).await {
        Ok(true) => report.ends(Stage::Done, detail, Some(true)),
        Ok(false) => {
            let seconds = patience.as_secs();
            report.ends(Stage::Done, format!("{detail}; it is still there after {seconds} s"), Some(false));
        }
        Err(error) => report.ends(Stage::Done, format!("{detail}; its end cannot be watched: {error}"), None),
    }
}

/// What is fleetps's own: this helper, and the agent that asks.
fn own(asker: Asker) -> Own {
    let helper = (std::process::id(), "is the control helper");
    let agent = asker.pid.map(|pid| (pid, "is the agent"));
    let pids: Vec<_> = [helper].into_iter().chain(agent).collect();
    let unit = |pid: u32| procfs::unit(pid).filter(|unit| unit.ends_with(".service"));
    let units =
        pids.iter().filter_map(|(pid, _)| unit(*pid)).map(|unit| (unit, "runs fleetps here")).collect();
    Own { units, pids }
}
