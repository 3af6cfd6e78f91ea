//! Asks the server every few seconds how it is, as its own system account sees it, and has it started again where that
//! helps.
//!
//! After a failed write (a full disk, a quota, a failing or read-only disk), nats-server refuses every further write to
//! that stream until it is restarted, and tells no publisher. It is restarted once its folder can be written. A server
//! that does not answer at all (it hangs, or is stopped) is killed.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use async_nats::Client;
use serde::Deserialize;

use super::{
    shared::{Restart, Shared},
    store::Store,
};
use crate::{connection::Broker, error_chain};

/// Where the server says how it is; its answer costs it well below a millisecond.
const HEALTH: &str = "$SYS.REQ.SERVER.PING.HEALTHZ";
/// How often it is asked.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long it may take to answer …
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// … and how often it may fail to, one time after the other, until it is killed. More than once, because this process may
/// have been stopped meanwhile, too.
const MAX_SILENT: u32 = 3;
/// How long a server that was just started again may go on complaining until that is done once more; it doubles.
const FIRST_PATIENCE: Duration = Duration::from_secs(5);
/// The longest where writing failed: the room that there was may have been too little, and when there is more, it is used
/// within this.
const WRITE_PATIENCE: Duration = Duration::from_secs(20);
/// The longest otherwise: where starting again does not help, it disturbs.
const MAX_PATIENCE: Duration = Duration::from_secs(600);
/// The server's words for a stream to which writing failed.
const WRITE_ERROR: &str = "write error";

/// The server's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Well,
    /// It answers, and something is wrong.
    Unwell(String),
    Silent,
}

#[derive(Deserialize)]
struct Reply {
    data: Health,
}

#[derive(Deserialize)]
struct Health {
    status: String,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    errors: Vec<Detail>,
}

#[derive(Deserialize)]
struct Detail {
    #[serde(default)]
    error: String,
}

/// Watches the server of `shared` until it stops. `system` is its system account. Blocks: it has a thread of its own, so that
/// no other work of this process delays it.
pub(super) fn run(system: &Broker, store: &Store, shared: &Shared) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "nats-server cannot be watched"),
    };
    runtime.block_on(shared.stop.run_until_cancelled(watch(system, store, shared)));
}

async fn watch(system: &Broker, store: &Store, shared: &Shared) {
    let client = loop {
        match system.connect_later("fleetps supervisor", "_INBOX").await {
            Ok(client) => break client,
            Err(error) => tracing::error!(error = error_chain(&error), "nats-server cannot be watched yet"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    let mut judge = Judge::default();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if !shared.is_up.load(Ordering::Acquire) {
            judge.silent = 0;
            continue;
        }
        let restarts = shared.restarts.load(Ordering::Acquire);
        let answer = ask(&client).await;
        if restarts != shared.restarts.load(Ordering::Acquire) || !shared.is_up.load(Ordering::Acquire) {
            // It was reported for the earlier process.
            continue;
        }
        let is_silent = answer == Answer::Silent;
        let verdict = judge.verdict(answer, || store.try_writing().err(), Instant::now());
        // Silence says nothing, until there was too much of it.
        if !is_silent || verdict.problem.is_some() {
            shared.health.set_problem(verdict.problem);
        }
        if let Some(restart) = verdict.restart {
            shared.want(restart);
        }
    }
}

async fn ask(client: &Client) -> Answer {
    let asked = tokio::time::timeout(ANSWER_TIMEOUT, client.request(HEALTH, "".into())).await;
    let Ok(Ok(message)) = asked else { return Answer::Silent };
    let Ok(Reply { data }) = serde_json::from_slice::<Reply>(&message.payload) else {
        return Answer::Unwell("it says something that cannot be understood".to_owned());
    };
    if data.status == "ok" {
        return Answer::Well;
    }
    let errors: Vec<String> =
        data.error.into_iter().chain(data.errors.into_iter().map(|it| it.error)).collect();
    Answer::Unwell(errors.join("; "))
}

/// The report on the server's health, and what to do.
#[derive(Debug, Default, PartialEq, Eq)]
struct Verdict {
    problem: Option<String>,
    restart: Option<Restart>,
}

/// Decides what the answers mean.
#[derive(Debug)]
struct Judge {
    silent: u32,
    /// Whether its folder could not be written when it was last unwell.
    was_unwritable: bool,
    /// When it was last started again for being unwell.
    restarted: Option<Instant>,
    patience: Duration,
}

impl Default for Judge {
    fn default() -> Self {
        Self { silent: 0, was_unwritable: false, restarted: None, patience: FIRST_PATIENCE }
    }
}

impl Judge {
    fn verdict(
        &mut self,
        answer: Answer,
        unwritable: impl FnOnce() -> Option<std::io::Error>,
        now: Instant,
    ) -> Verdict {
        match answer {
            Answer::Well => {
                let is_steady = |at: Instant| now.saturating_duration_since(at) > MAX_PATIENCE;
                if self.restarted.is_none_or(is_steady) {
                    self.patience = FIRST_PATIENCE;
                }
                (self.silent, self.was_unwritable) = (0, false);
                Verdict::default()
            }
            Answer::Silent => self.silent(),
            Answer::Unwell(problem) => {
                self.silent = 0;
                self.unwell(&problem, unwritable(), now)
            }
        }
    }

    fn silent(&mut self) -> Verdict {
        self.silent += 1;
        if self.silent < MAX_SILENT {
            return Verdict::default();
        }
        self.silent = 0;
        let why =
            format!("it did not answer {MAX_SILENT} times in a row, for {} s each", ANSWER_TIMEOUT.as_secs());
        let problem = Some(format!("nats-server hangs: {why}; it is killed and started again"));
        Verdict { problem, restart: Some(Restart { why, hangs: true }) }
    }

    fn unwell(&mut self, problem: &str, unwritable: Option<std::io::Error>, now: Instant) -> Verdict {
        if let Some(error) = unwritable {
            self.was_unwritable = true;
            let problem = format!(
                "its store cannot be written ({error}); make room or mend the disk, then it goes on by itself. It says: {problem}"
            );
            return Verdict { problem: Some(problem), restart: None };
        }
        let is_new = std::mem::take(&mut self.was_unwritable);
        let waited = self.restarted.is_none_or(|at| now.saturating_duration_since(at) >= self.patience);
        if !is_new && !waited {
            return Verdict { problem: Some(problem.to_owned()), restart: None };
        }
        let longest = if problem.contains(WRITE_ERROR) { WRITE_PATIENCE } else { MAX_PATIENCE };
        self.patience = if is_new { FIRST_PATIENCE } else { (self.patience * 2).min(longest) };
        self.restarted = Some(now);
        let restart = Restart { why: problem.to_owned(), hangs: false };
        Verdict { problem: Some(problem.to_owned()), restart: Some(restart) }
    }
}

/// Starts the thread that watches.
pub(super) fn spawn(system: Broker, store: Store, shared: Arc<Shared>) -> std::io::Result<()> {
    let thread = std::thread::Builder::new().name("nats-watch".to_owned());
    thread.spawn(move || run(&system, &store, &shared)).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Option<std::io::Error> {
        Some(std::io::Error::from(std::io::ErrorKind::StorageFull))
    }

    #[test]
    fn one_that_does_not_answer_is_killed_and_one_that_answers_between_is_not() {
        let (mut judge, now) = (Judge::default(), Instant::now());
        let mut restarts = |answer| judge.verdict(answer, || None, now).restart;
        assert_eq!(restarts(Answer::Silent), None);
        assert_eq!(restarts(Answer::Silent), None);
        assert_eq!(restarts(Answer::Well), None);
        assert_eq!(restarts(Answer::Silent), None);
        assert_eq!(restarts(Answer::Silent), None);
        assert!(restarts(Answer::Silent).is_some_and(|restart| restart.hangs));
    }

    #[test]
    fn one_that_is_unwell_is_started_again_once_its_folder_can_be_written_and_then_less_and_less_often() {
        let (mut judge, start) = (Judge::default(), Instant::now());
        let unwell = || Answer::Unwell("no such consumer".to_owned());
        let waits = judge.verdict(unwell(), full, start);
        assert!(waits.restart.is_none() && waits.problem.unwrap().contains("make room"));
        assert!(judge.verdict(unwell(), || None, start).restart.is_some_and(|restart| !restart.hangs));
        // It goes on complaining although there is room.
        let mut restarts = 0;
        for second in 0..600 {
            let now = start + Duration::from_secs(second);
            let verdict = judge.verdict(unwell(), || None, now);
            assert!(verdict.problem.is_some());
            restarts += u32::from(verdict.restart.is_some());
        }
        assert_eq!(restarts, 6, "after 5, 15, 35, 75, 155 and 315 s");
        // Full, and room again: at once.
        let later = start + Duration::from_secs(600);
        assert!(judge.verdict(unwell(), full, later).restart.is_none());
        assert!(judge.verdict(unwell(), || None, later).restart.is_some());
    }

    #[test]
    fn after_a_failed_write_room_is_used_soon_however_often_it_was_too_little() {
        let (mut judge, start) = (Judge::default(), Instant::now());
        let unwell = || Answer::Unwell("JetStream stream 'FLEET > SNAP' write error: no space".to_owned());
        let restarts: Vec<u64> = (0..600)
            .filter(|second| {
                let now = start + Duration::from_secs(*second);
                judge.verdict(unwell(), || None, now).restart.is_some()
            })
            .collect();
        assert!(restarts.windows(2).all(|pair| pair[1] - pair[0] <= 20), "{restarts:?}");
    }
}
