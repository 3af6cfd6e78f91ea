//! A thread that reads facts, so that a process which never answers costs its own fields and no pass.
//!
//! A pass leaves its questions and waits while answers come. When none has come for [`QUIET`], the thread is stuck at one
//! process: it is left behind, that process keeps what was read before it got stuck, and another thread goes on with the
//! rest, all within the same pass. A thread that comes back ends. With [`MOST_STUCK`] threads left behind, the next one
//! reads only what the kernel always answers, until one comes back.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::{
    facts::FactReader,
    raw::{Details, Facts, Wanted},
};

/// Reading one process takes 0.1 ms; a busy machine lets a thread wait for longer, and being left behind then costs it
/// nothing but its end.
const QUIET: Duration = Duration::from_millis(50);
/// Threads that wait for ever, each with a stack of 256 KiB of which it has touched a few.
const MOST_STUCK: usize = 8;
const STACK_BYTES: usize = 256 << 10;
/// A thread that is away for this long is told in the log: shorter times are those of a busy machine.
const TOLD_AFTER: Duration = Duration::from_secs(5);

/// Asks a thread for the details of processes.
#[derive(Debug)]
pub(super) struct DetailReader {
    shared: Arc<Shared>,
    folder: String,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    asked: Condvar,
    answered: Condvar,
}

#[derive(Debug, Default)]
struct State {
    questions: VecDeque<Wanted>,
    answers: Vec<Details>,
    /// What the thread is at.
    current: Option<Current>,
    /// The thread that may take questions; others end.
    thread: u64,
    has_thread: bool,
    /// Questions answered so far.
    done: u64,
    /// Where threads are left behind.
    stuck: Vec<Stuck>,
}

#[derive(Debug)]
struct Current {
    wanted: Wanted,
    /// What is read already.
    facts: Option<Facts>,
}

#[derive(Debug)]
struct Stuck {
    thread: u64,
    wanted: Wanted,
    since: Instant,
    is_told: bool,
}

impl DetailReader {
    /// Reads from `folder`, usually `/proc`.
    pub(super) fn new(folder: &str) -> Self {
        Self { shared: Arc::default(), folder: folder.to_owned() }
    }

    /// Asks for `wanted`, waits for at most `patience`, and hands over what is there.
    pub(super) fn details(&mut self, wanted: &[Wanted], patience: Duration, give: &mut dyn FnMut(Details)) {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        tell_of_stuck(&mut state.stuck);
        if state.stuck.len() <= MOST_STUCK {
            state.questions.extend(wanted);
        }
        let until = Instant::now() + patience;
        while !(state.questions.is_empty() && state.current.is_none()) {
            if !state.has_thread {
                self.start(&mut state);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || !state.has_thread {
                break;
            }
            let done = state.done;
            shared.asked.notify_all();
            let (back, wait) =
                shared.answered.wait_timeout(state, left.min(QUIET)).unwrap_or_else(PoisonError::into_inner);
            state = back;
            if wait.timed_out() && state.done == done {
                state.leave_behind();
            }
        }
        let answers = std::mem::take(&mut state.answers);
        drop(state);
        answers.into_iter().for_each(give);
    }

    fn start(&self, state: &mut State) {
        state.thread += 1;
        let (thread, shared, reader) =
            (state.thread, Arc::clone(&self.shared), FactReader::new(&self.folder));
        let may_block = state.stuck.len() < MOST_STUCK;
        let started = thread::Builder::new()
            .name("facts".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || answer(&shared, thread, may_block, reader));
        state.has_thread = started.is_ok();
    }
}

impl Drop for DetailReader {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.thread += 1;
        self.shared.asked.notify_all();
    }
}

impl Shared {
    /// The state is plain data, so a panic elsewhere leaves nothing half done in it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Gives up waiting for the thread, with what it has read of the process that it is at.
    fn leave_behind(&mut self) {
        let Some(Current { wanted, facts }) = self.current.take() else { return };
        self.answers.push(Details { pid: wanted.pid, token: wanted.token, facts, storage: None });
        self.stuck.push(Stuck { thread: self.thread, wanted, since: Instant::now(), is_told: false });
        self.has_thread = false;
        // That was the one which reads only what is always answered: there is no other one until some thread comes back.
        if self.stuck.len() > MOST_STUCK {
            self.questions.clear();
        }
    }

    fn is_stuck(&self, wanted: &Wanted) -> bool {
        self.stuck.iter().any(|stuck| stuck.wanted.token == wanted.token)
    }
}

fn tell_of_stuck(all: &mut [Stuck]) {
    for stuck in all.iter_mut().filter(|stuck| !stuck.is_told && stuck.since.elapsed() >= TOLD_AFTER) {
        tracing::warn!(
            pid = stuck.wanted.pid,
            "reading this process does not end; its command line and storage bytes stay as they were"
        );
        stuck.is_told = true;
    }
}

/// The thread: answers questions until another one takes its place.
fn answer(shared: &Shared, thread: u64, may_block: bool, mut reader: FactReader) {
    let mut state = shared.lock();
    loop {
        if state.thread != thread || !state.has_thread {
            state.stuck.retain(|stuck| stuck.thread != thread);
            return;
        }
        if may_block != (state.stuck.len() < MOST_STUCK) {
            // Another one, with the other rights, is made for the next question.
            state.has_thread = false;
            shared.answered.notify_all();
            return;
        }
        let Some(wanted) = state.questions.pop_front() else {
            shared.answered.notify_all();
            state = shared.asked.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        let reads_all = may_block && !state.is_stuck(&wanted);
        state.current = Some(Current { wanted, facts: None });
        drop(state);
        let mut facts = wanted.facts.then(|| reader.belonging(wanted.pid));
        state = shared.lock();
        if reads_all {
            if let Some(current) = state.current.as_mut().filter(|current| current.wanted == wanted) {
                current.facts.clone_from(&facts);
            }
            drop(state);
            if let Some(facts) = &mut facts {
                reader.complete(facts);
            }
            let storage = wanted.storage.then(|| reader.storage(wanted.pid));
            state = shared.lock();
            state.answers.push(Details { pid: wanted.pid, token: wanted.token, facts, storage });
        } else {
            state.answers.push(Details { pid: wanted.pid, token: wanted.token, facts, storage: None });
        }
        if state.thread == thread && state.has_thread {
            state.current = None;
            state.done += 1;
        }
    }
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
