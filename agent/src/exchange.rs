//! Hears over HTTP what a host that speaks NATS hears on its subjects: settings at once, wishes of those who watch, and questions
//! about commands. Frames are believed, and questions answered, in the same places as those of the broker.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use fleetps_nats::{
    error_chain,
    exchange::{Brought, HELD, Heard, HostAnswer, HostQuestion},
};
use tokio::{sync::watch, task::JoinSet, time::Instant};

use crate::{
    forward::Forward,
    remote::Remote,
    server::{ServerError, Session},
    settings_in_force::SettingsInForce,
};

/// How soon a server is asked again that did not answer, or answered nothing at once; twice as long each time.
const AGAIN: Duration = Duration::from_secs(5);
/// At most: settings come with the answers to posts meanwhile.
const AT_MOST: Duration = Duration::from_secs(320);
/// How soon a server is asked again that has another line than the last, as when several servers behind one address take turns;
/// twice as long each time, up to [`AT_MOST`]. None of them hands out questions then.
const RENAMED: Duration = Duration::from_secs(1);
/// Questions that are answered at once. The forwarder passes on 16; to refuse the others takes a request, too.
const MAX_UNDER_WAY: usize = 32;

/// The conversation besides snapshots.
pub(crate) struct Exchange {
    pub(crate) session: Session,
    pub(crate) remote: Remote,
    pub(crate) forward: Forward,
}

impl Exchange {
    /// Hears what is asked, for as long as it is let. A host that pinned no control key asks for nothing.
    pub(crate) async fn run(self) {
        if !self.remote.is_controlled() {
            return;
        }
        // Dropped with this, as are the questions in it.
        let (mut line, mut under_way, mut wait, mut renamed) = (None, JoinSet::new(), AGAIN, RENAMED);
        let forward = Arc::new(self.forward.clone());
        loop {
            let asked = Instant::now();
            let heard = ask(&self.session, Brought { line, answers: Vec::new(), waits: true }).await;
            while under_way.try_join_next().is_some() {}
            match heard {
                Ok(Heard { line: named, frames, questions }) => {
                    let is_nothing = frames.is_empty() && questions.is_empty() && line == Some(named);
                    let is_renamed = line.is_some_and(|known| known != named);
                    line = Some(named);
                    frames.iter().for_each(|frame| self.remote.take(&frame.to_bytes()));
                    for question in questions {
                        // The one who asks hears nothing, as from a host that is not there.
                        if under_way.len() < MAX_UNDER_WAY {
                            let (session, forward) = (self.session.clone(), Arc::clone(&forward));
                            under_way.spawn(async move { answer(&session, &forward, named, question).await });
                        }
                    }
                    if is_renamed {
                        tokio::time::sleep(renamed).await;
                        renamed = (renamed * 2).min(AT_MOST);
                    } else {
                        renamed = RENAMED;
                    }
                    if !is_nothing || asked.elapsed() > HELD / 2 {
                        wait = AGAIN;
                        continue;
                    }
                }
                Err(error) => tracing::debug!(error = error_chain(&error), "the server says nothing besides"),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(AT_MOST);
        }
    }
}

async fn answer(session: &Session, forward: &Forward, line: u64, question: HostQuestion) {
    let Some(answer) = forward.answer(question.question.as_bytes()).await else { return };
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let answers = vec![HostAnswer { to: question.id, answer }];
    let said = ask(session, Brought { line: Some(line), answers, waits: false }).await;
    if let Err(error) = said {
        tracing::debug!(error = error_chain(&error), "an answer about a command is lost");
    }
}

async fn ask(session: &Session, brought: Brought) -> Result<Heard, ServerError> {
    let session = session.clone();
    let asked = tokio::task::spawn_blocking(move || session.exchange(&brought)).await;
    // A panic is on record; the next turn tries again.
    asked.unwrap_or_else(|_| Ok(Heard::default()))
}

/// Posts what is sampled for those who watch, the newest only.
pub(crate) async fn post_sharp(session: Session, mut sharp: watch::Receiver<Bytes>) {
    while sharp.changed().await.is_ok() {
        let message = sharp.borrow_and_update().clone();
        let session = session.clone();
        // A sample that is not taken is not sent again: the next one is newer.
        let _ = tokio::task::spawn_blocking(move || session.post_sharp(&message)).await;
    }
}
