//! Passes what the fleet asks about commands on to the control helper, and its answers back.
//!
//! The agent itself has no right to do anything, verifies nothing and remembers nothing: it carries lines from the broker to a
//! socket. A host that pinned no control key does not listen. One with commands off says so, which costs nothing and spares a
//! person the guess why nobody answers.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use async_nats::{Client, Message};
use bytes::Bytes;
use fleetps_nats::{
    HostName,
    command::{Answer, MAX_MESSAGE_BYTES, Reason, WAIT},
    subject,
};
use futures_util::StreamExt;
use tokio::{sync::Semaphore, task::JoinSet};

use crate::settings::CommandSettings;

/// Questions that are passed on at once; those that wait for the outcome of a command are most of them.
const AT_ONCE: usize = 16;
/// How long the helper may take: an answer that is held back, and some.
const ANSWER_WITHIN: Duration = Duration::from_secs(WAIT.as_secs() + 5);

/// Where questions are passed on to.
#[derive(Debug, Clone)]
pub(crate) struct Forward {
    /// The helper's socket; absent where commands are off.
    socket: Option<PathBuf>,
}

impl Forward {
    pub(crate) fn new(settings: &CommandSettings) -> Self {
        Self { socket: settings.enabled.then(|| settings.socket.clone()) }
    }

    /// Hears what is asked of `host`, for as long as it is let.
    pub(crate) async fn run(self, client: Client, host: HostName) {
        let mut asked = match client.subscribe(subject::commands(&host)).await {
            Ok(asked) => asked,
            Err(error) => return tracing::warn!(%error, "cannot listen for commands; this host takes none"),
        };
        let (forward, places) = (Arc::new(self), Arc::new(Semaphore::new(AT_ONCE)));
        // Dropped with this, as are the questions in it.
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                message = asked.next() => match message {
                    Some(message) => {
                        let (forward, client) = (Arc::clone(&forward), client.clone());
                        let place = Arc::clone(&places).try_acquire_owned();
                        tasks.spawn(async move { forward.reply(&client, message, place.is_ok()).await; drop(place) });
                    }
                    None => return,
                },
                Some(_) = tasks.join_next() => {}
            }
        }
    }

    async fn reply(&self, client: &Client, message: Message, has_place: bool) {
        let Some(reply) = message.reply else { return };
        let answer = match has_place {
            true => self.answer(&message.payload).await,
            false => refused(Reason::TooMany, "the agent passes on 16 questions at once"),
        };
        if let Err(error) = client.publish(reply, answer).await {
            tracing::debug!(%error, "an answer about a command is lost");
        }
    }

    /// The helper's answer, or why there is none.
    pub(crate) async fn answer(&self, question: &[u8]) -> Bytes {
        let Some(socket) = &self.socket else { return refused(Reason::Off, "[control] enabled = false") };
        if question.len() > MAX_MESSAGE_BYTES || question.contains(&b'\n') {
            return refused(Reason::NotBelieved, "it is no line of at most 64 KiB");
        }
        match tokio::time::timeout(ANSWER_WITHIN, pass_on(socket, question)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => refused(Reason::NoHelper, format!("{}: {error}", socket.display())),
            Err(_) => refused(Reason::NoHelper, "it does not answer"),
        }
    }
}

fn refused(reason: Reason, detail: impl Into<String>) -> Bytes {
    Answer::refused(reason, detail).to_bytes().into()
}

/// Asks the helper one question.
#[cfg(unix)]
async fn pass_on(socket: &std::path::Path, question: &[u8]) -> io::Result<Bytes> {
    use tokio::{
        io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
        net::UnixStream,
    };
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(question).await?;
    stream.write_all(b"\n").await?;
    let mut answer = Vec::new();
    BufReader::new(stream).take(MAX_MESSAGE_BYTES as u64 + 1).read_until(b'\n', &mut answer).await?;
    match answer.pop_if(|last| *last == b'\n') {
        Some(_) => Ok(answer.into()),
        None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer has no end")),
    }
}

/// There is no helper on other systems.
#[cfg(not(unix))]
async fn pass_on(_: &std::path::Path, _: &[u8]) -> io::Result<Bytes> {
    Err(io::ErrorKind::Unsupported.into())
}
