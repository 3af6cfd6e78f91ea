//! Lines to hosts that speak HTTP: what the broker says to a host is handed to it with the answers to its exchanges
//! ([`fleetps_nats::exchange`]).
//!
//! While a host asks, its line listens on the host's subjects in the host's place. So whoever asks a host for something need
//! not know how the host is reached, nor which web server it asks. A line that is not asked for [`KEPT`] ends; then nobody
//! listens, and a question is answered as from a host that is not there. What a line held is lost with it: questions are asked
//! again or time out, settings come with the next post.

mod line;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_nats::{Client, Subscriber};
use fleetps_nats::{
    HostName,
    exchange::{Brought, Heard},
    subject,
};
use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::metrics::Bounded;
use line::Line;

/// Hosts that hold a line at once: each has two subscriptions and a request that waits.
const MAX_LINES: usize = 4096;
/// How long a line is kept that is not asked: a host that was answered asks again within a round trip, or reconnects.
const KEPT: Duration = Duration::from_secs(10);
/// How often a line looks whether it is still asked.
const LOOK: Duration = Duration::from_secs(2);

/// The lines; a clone is the same.
#[derive(Debug, Clone)]
pub struct Lines(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    lines: Mutex<HashMap<HostName, Arc<Line>>>,
    refused: AtomicU64,
    shutdown: CancellationToken,
}

/// Too many hosts hold a line.
#[derive(Debug, thiserror::Error)]
#[error("{MAX_LINES} hosts hold a line to this server")]
pub struct TooMany;

impl Lines {
    /// None yet; they end with `shutdown`.
    pub fn new(shutdown: CancellationToken) -> Self {
        Self(Arc::new(Shared { lines: Mutex::default(), refused: AtomicU64::default(), shutdown }))
    }

    /// Takes what `host` brings, and returns what there is for it: at once, or where it waits, as soon as there is something, and
    /// after `held` at most.
    ///
    /// # Errors
    /// When too many hosts hold a line.
    pub async fn exchange(
        &self,
        client: &Client,
        host: &HostName,
        brought: Brought,
        held: Duration,
    ) -> Result<Heard, TooMany> {
        let line = self.of(client, host)?;
        if brought.line != Some(line.name()) {
            return Ok(line.nothing());
        }
        for (reply, answer) in line.answered(brought.answers) {
            // One who asked and is gone hears nothing.
            let _ = client.publish(reply, answer.into()).await;
        }
        if !brought.waits {
            return Ok(line.nothing());
        }
        let _asking = line.asking();
        tokio::select! {
            heard = line.hear() => Ok(heard),
            () = tokio::time::sleep(held) => Ok(line.nothing()),
            () = self.0.shutdown.cancelled() => Ok(line.nothing()),
        }
    }

    /// Whether `host` may post a sample for those who watch: it asks here, and its last such sample was long enough ago.
    pub fn may_sharpen(&self, host: &HostName) -> bool {
        let line = self.0.lines.lock().get(host).cloned();
        line.is_some_and(|line| line.may_sharpen())
    }

    /// How many there are.
    pub fn bounded(&self) -> Bounded {
        let in_use = self.0.lines.lock().len() as u64;
        Bounded { of: "http-lines", in_use, limit: MAX_LINES as u64, refused: self.0.refused.load(Relaxed) }
    }

    fn of(&self, client: &Client, host: &HostName) -> Result<Arc<Line>, TooMany> {
        let mut lines = self.0.lines.lock();
        if let Some(line) = lines.get(host) {
            line.touch();
            return Ok(Arc::clone(line));
        }
        if lines.len() >= MAX_LINES {
            self.0.refused.fetch_add(1, Relaxed);
            return Err(TooMany);
        }
        let line = Arc::new(Line::new());
        lines.insert(host.clone(), Arc::clone(&line));
        tokio::spawn(self.clone().keep(client.clone(), host.clone(), Arc::clone(&line)));
        Ok(line)
    }

    /// Listens for `host` until its line is not asked any more.
    async fn keep(self, client: Client, host: HostName, line: Arc<Line>) {
        let listening = async {
            match listen(&client, &host).await {
                Ok((frames, questions)) => follow(&line, frames, questions).await,
                Err(error) => tracing::debug!(%host, %error, "cannot listen for a host that speaks HTTP"),
            }
        };
        let unused = async {
            loop {
                tokio::time::sleep(LOOK).await;
                if line.is_unused(KEPT) {
                    return;
                }
            }
        };
        tokio::select! {
            () = listening => {}
            () = unused => {}
            () = self.0.shutdown.cancelled() => {}
        }
        let mut lines = self.0.lines.lock();
        // Another one may have taken its place.
        if lines.get(&host).is_some_and(|known| Arc::ptr_eq(known, &line)) {
            lines.remove(&host);
        }
    }
}

async fn listen(
    client: &Client,
    host: &HostName,
) -> Result<(Subscriber, Subscriber), async_nats::SubscribeError> {
    Ok((client.subscribe(subject::settings(host)).await?, client.subscribe(subject::commands(host)).await?))
}

/// Until the connection is closed for good.
async fn follow(line: &Line, mut frames: Subscriber, mut questions: Subscriber) {
    loop {
        tokio::select! {
            frame = frames.next() => match frame {
                Some(message) => line.take_frame(&message.payload),
                None => return,
            },
            question = questions.next() => match question {
                Some(message) => line.take_question(message),
                None => return,
            },
        }
    }
}
