//! Passes what the fleet asks about commands on to the control helper, and its answers back.
//!
//! The agent itself has no right to do anything, verifies nothing and remembers nothing: it carries lines from the broker to a
//! socket. When a command has ended, those who watch the host are shown it at once, and not with the next sample: the agent waits
//! for that itself, because the server's next question may be long on its way. Where a command was passed on and the answer was lost, it stays silent. A host that pinned no control key does not
//! listen. One with commands off says so, which costs nothing and spares a person the guess why nobody answers.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_nats::{Client, Message};
use bytes::Bytes;
use fleetps_nats::{
    HostName,
    command::{Answer, Ask, MAX_MESSAGE_BYTES, Progress, Reason, WAIT},
    subject,
};
use futures_util::StreamExt;
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{remote::Remote, settings::CommandSettings};

/// Questions that are passed on at once; those that wait for the outcome of a command are most of them.
const AT_ONCE: usize = 16;
/// Commands whose ends the agent waits for at once, for [`WAIT`] each: a helper takes ten in a minute. Of others the server's
/// questions tell it.
const ENDS_AT_ONCE: usize = 8;
/// How long the helper may take: an answer that is held back, and some.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(WAIT.as_secs() + 5);

/// Where questions are passed on to.
#[derive(Debug, Clone)]
pub(crate) struct Forward {
    /// The helper's socket; absent where commands are off.
    socket: Option<PathBuf>,
    /// For each question under way, whichever way it came.
    places: Arc<Semaphore>,
    /// For each command whose end is waited for.
    ends: Arc<Semaphore>,
    remote: Remote,
}

impl Forward {
    pub(crate) fn new(settings: &CommandSettings, remote: Remote) -> Self {
        let socket = settings.enabled.then(|| settings.socket.clone());
        let (places, ends) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::new(Semaphore::new(ENDS_AT_ONCE)));
        Self { socket, places, ends, remote }
    }

    /// Hears what is asked of `host`, for as long as it is let.
    pub(crate) async fn run(self, client: Client, host: HostName) {
        let mut asked = match client.subscribe(subject::commands(&host)).await {
            Ok(asked) => asked,
            Err(error) => return tracing::warn!(%error, "cannot listen for commands; this host takes none"),
        };
        let forward = Arc::new(self);
        // Dropped with this, as are the questions in it.
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                message = asked.next() => match message {
                    Some(message) => {
                        let (forward, client) = (Arc::clone(&forward), client.clone());
                        tasks.spawn(async move { forward.reply(&client, message).await });
                    }
                    None => return,
                },
                Some(_) = tasks.join_next() => {}
            }
        }
    }

    async fn reply(&self, client: &Client, message: Message) {
        let Some(reply) = message.reply else { return };
        let Some(answer) = self.answer(&message.payload).await else { return };
        if let Err(error) = client.publish(reply, answer).await {
            tracing::debug!(%error, "an answer about a command is lost");
        }
    }

    /// The helper's answer, or why there is none. `None` where a command was passed on and the answer was lost: it may have been
    /// executed, so a refusal would be wrong, and the server finds out by asking again.
    pub(crate) async fn answer(&self, question: &[u8]) -> Option<Bytes> {
        let Some(socket) = &self.socket else {
            return Some(refused(Reason::Off, "[control] enabled = false"));
        };
        let Ok(_place) = self.places.try_acquire() else {
            return Some(refused(Reason::TooMany, "the agent passes on 16 questions at once"));
        };
        if question.len() > MAX_MESSAGE_BYTES || question.contains(&b'\n') {
            return Some(refused(Reason::NotBelieved, "it is no line of at most 64 KiB"));
        }
        let no_helper =
            |problem: String| refused(Reason::NoHelper, format!("{}: {problem}", socket.display()));
        let problem = match tokio::time::timeout(ANSWER_TIMEOUT, pass_on(socket, question)).await {
            Ok(Ok(answer)) => {
                if let Ok(Answer::Stage(progress)) = Answer::read(&answer) {
                    self.heard(question, progress, socket);
                }
                return Some(answer);
            }
            Ok(Err(NotAnswered::NotConnected(error))) => return Some(no_helper(error.to_string())),
            Ok(Err(NotAnswered::Lost(error))) => error.to_string(),
            Err(_) => "it does not answer".to_owned(),
        };
        tracing::warn!(socket = %socket.display(), problem, "the control helper's answer is lost");
        let may_be_executed = matches!(Ask::read(question), Ok(Ask::Run { .. }));
        (!may_be_executed).then(|| no_helper(problem))
    }

    /// Shows those who watch that a command has ended, or waits for that where it has just begun.
    fn heard(&self, question: &[u8], progress: Progress, socket: &Path) {
        if progress.stage.is_final() {
            self.remote.refresh();
        } else if matches!(Ask::read(question), Ok(Ask::Run { .. })) {
            let Ok(place) = Arc::clone(&self.ends).try_acquire_owned() else { return };
            let (remote, socket) = (self.remote.clone(), socket.to_owned());
            tokio::spawn(async move {
                if let Ok(true) = tokio::time::timeout(WAIT, ends(&socket, progress)).await {
                    remote.refresh();
                }
                drop(place);
            });
        }
    }
}

/// Waits until a command has ended; `false` where the helper says nothing more of it.
async fn ends(socket: &Path, mut progress: Progress) -> bool {
    while !progress.stage.is_final() {
        let question = Ask::Wait { id: progress.id, known: Some(progress.stage) };
        let answer = pass_on(socket, &question.to_bytes()).await;
        match answer.ok().and_then(|answer| Answer::read(&answer).ok()) {
            Some(Answer::Stage(next)) => progress = next,
            _ => return false,
        }
    }
    true
}

/// Why the helper has not answered.
enum NotAnswered {
    /// Nothing was passed on.
    NotConnected(io::Error),
    /// The question was passed on, or a part of it.
    Lost(io::Error),
}

impl From<io::Error> for NotAnswered {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

fn refused(reason: Reason, detail: impl Into<String>) -> Bytes {
    Answer::refused(reason, detail).to_bytes().into()
}

/// Asks the helper one question.
#[cfg(unix)]
async fn pass_on(socket: &Path, question: &[u8]) -> Result<Bytes, NotAnswered> {
    use tokio::{
        io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
        net::UnixStream,
    };
    let mut stream = UnixStream::connect(socket).await.map_err(NotAnswered::NotConnected)?;
    stream.write_all(question).await?;
    stream.write_all(b"\n").await?;
    let mut answer = Vec::new();
    BufReader::new(stream).take(MAX_MESSAGE_BYTES as u64 + 1).read_until(b'\n', &mut answer).await?;
    match answer.pop_if(|last| *last == b'\n') {
        Some(_) => Ok(answer.into()),
        None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer has no end").into()),
    }
}

/// There is no helper on other systems.
#[cfg(not(unix))]
async fn pass_on(_: &Path, _: &[u8]) -> Result<Bytes, NotAnswered> {
    Err(NotAnswered::NotConnected(io::ErrorKind::Unsupported.into()))
}
