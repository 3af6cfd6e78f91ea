//! A host's control helper as the contract has it, which tests can make misbehave.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::Client;
use fleetps_nats::{
    HostName,
    command::{Answer, Ask, Command, CommandId, Progress, Reason, Sight, Signal, Stage, Ticket, What},
    subject,
};
use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

/// What a test makes of a question.
pub enum Turn {
    /// It is answered as ever.
    Usual,
    /// It is heard, done, and not answered.
    Unanswered,
    /// It is answered so.
    Say(Box<Answer>),
}

type Director = Box<dyn FnMut(&mut Helper, &Ask) -> Turn + Send>;

/// One run of a helper. It keeps its tickets and commands for as long as it runs.
pub struct Helper {
    pub host: HostName,
    pinned: String,
    tickets: HashSet<Ticket>,
    progress: HashMap<CommandId, Progress>,
    /// Every command that was executed, over all runs.
    pub executed: Vec<Command>,
    /// Every question that came.
    pub heard: Vec<Ask>,
    /// How the target is.
    pub sight: Sight,
    /// The stage that a command ends in.
    pub ends: Stage,
    /// What the unit writes meanwhile.
    pub writes: Vec<String>,
    /// How many questions are waited before that.
    pub runs_for: usize,
    /// How long a command takes, where it is not told by questions; who asks is answered when it has ended.
    pub takes: Option<Duration>,
    /// When the last command was taken.
    began: Instant,
}

impl Helper {
    /// Another run begins: nothing of the last one is known.
    pub fn restart(&mut self) {
        self.tickets.clear();
        self.progress.clear();
    }

    fn answer(&mut self, ask: &Ask) -> Answer {
        match ask {
            Ask::Ticket => {
                let ticket = Ticket::new().unwrap();
                self.tickets.insert(ticket.clone());
                let (boot_id, allows) = ("boot".to_owned(), fleetps_nats::command::Allowed::default());
                Answer::Ticket { ticket, boot_id, valid_ms: 60_000, allows }
            }
            Ask::Run { frame } => match Command::open(frame, &self.host, &self.pinned) {
                Err(error) => Answer::refused(Reason::NotBelieved, error.to_string()),
                Ok(command) if !self.tickets.remove(&command.ticket) => {
                    Answer::refused(Reason::UnknownTicket, "")
                }
                Ok(command) => self.execute(command),
            },
            Ask::Wait { id, .. } => self.wait(id),
            Ask::Look { .. } => Answer::Looked(self.sight.clone()),
        }
    }

    fn execute(&mut self, command: Command) -> Answer {
        self.began = Instant::now();
        let is_over = self.runs_for == 0 && self.takes.is_none();
        let first = if is_over { self.ends } else { Stage::Accepted };
        let mut progress = Progress::new(command.id.clone(), first);
        if first == Stage::Done
            && matches!(command.what, What::Signal { signal: Signal::Term | Signal::Kill, .. })
        {
            progress.gone = Some(true);
        }
        self.progress.insert(command.id.clone(), progress.clone());
        self.executed.push(command);
        Answer::Stage(progress)
    }

    fn wait(&mut self, id: &CommandId) -> Answer {
        let Some(progress) = self.progress.get_mut(id) else {
            return Answer::refused(Reason::UnknownCommand, "");
        };
        if self.takes.is_some_and(|takes| self.began.elapsed() >= takes) {
            progress.stage = self.ends;
        } else if self.takes.is_none() && !progress.stage.is_final() {
            self.runs_for = self.runs_for.saturating_sub(1);
            progress.stage = if self.runs_for == 0 { self.ends } else { Stage::Running };
            if self.runs_for == 0 {
                progress.output = self.writes.clone();
            }
        }
        Answer::Stage(progress.clone())
    }

    /// How long the answer is held back.
    fn holds(&self, ask: &Ask) -> Duration {
        let left = self.takes.map(|takes| takes.saturating_sub(self.began.elapsed()));
        left.filter(|_| matches!(ask, Ask::Wait { .. })).unwrap_or_default()
    }
}

/// A helper that listens, until this is dropped.
pub struct FakeHost {
    pub helper: Arc<Mutex<Helper>>,
    director: Arc<Mutex<Director>>,
    listening: JoinHandle<()>,
}

impl Drop for FakeHost {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl FakeHost {
    /// Listens as `host` on the connection of its agent.
    pub async fn listen(agent: Client, host: &str, pinned: &str) -> Self {
        let host: HostName = host.parse().unwrap();
        let helper = Helper {
            host: host.clone(),
            pinned: pinned.to_owned(),
            tickets: HashSet::new(),
            progress: HashMap::new(),
            executed: Vec::new(),
            heard: Vec::new(),
            sight: Sight::default(),
            ends: Stage::Done,
            writes: Vec::new(),
            runs_for: 2,
            takes: None,
            began: Instant::now(),
        };
        let helper = Arc::new(Mutex::new(helper));
        let usual: Director = Box::new(|_, _| Turn::Usual);
        let director = Arc::new(Mutex::new(usual));
        let mut questions = agent.subscribe(subject::commands(&host)).await.unwrap();
        agent.flush().await.unwrap();
        let (own, directed) = (Arc::clone(&helper), Arc::clone(&director));
        let listening = tokio::spawn(async move {
            while let Some(message) = questions.next().await {
                let ask = Ask::read(&message.payload).unwrap();
                let held = own.lock().holds(&ask);
                tokio::time::sleep(held).await;
                let answer = turn(&mut own.lock(), &mut directed.lock(), ask);
                if let (Some(answer), Some(reply)) = (answer, message.reply) {
                    agent.publish(reply, answer.to_bytes().into()).await.unwrap();
                }
            }
        });
        Self { helper, director, listening }
    }

    /// From now on `director` decides what becomes of each question.
    pub fn directed(&self, director: impl FnMut(&mut Helper, &Ask) -> Turn + Send + 'static) {
        *self.director.lock() = Box::new(director);
    }

    /// The commands that were executed.
    pub fn executed(&self) -> Vec<Command> {
        self.helper.lock().executed.clone()
    }

    /// How many questions of a kind came.
    pub fn count(&self, is_it: impl Fn(&Ask) -> bool) -> usize {
        self.helper.lock().heard.iter().filter(|ask| is_it(ask)).count()
    }
}

fn turn(helper: &mut Helper, director: &mut Director, ask: Ask) -> Option<Answer> {
    let turn = director(helper, &ask);
    helper.heard.push(ask.clone());
    match turn {
        Turn::Usual => Some(helper.answer(&ask)),
        Turn::Unanswered => {
            helper.answer(&ask);
            None
        }
        Turn::Say(answer) => Some(*answer),
    }
}

pub fn is_run(ask: &Ask) -> bool {
    matches!(ask, Ask::Run { .. })
}
