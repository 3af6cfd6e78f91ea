//! Questions that may never be answered, asked off the sampling thread.
//!
//! `statvfs` of a mount whose server is gone waits for ever, and so may a name service. A [`Slot`] is one such question
//! with its last answer; it is asked again only after its last call returned. [`Workers`] are the threads: one does all
//! the work as long as it gets on. Another is started when none has got on for [`TIMEOUT`] and something waits, up to a
//! bound; beyond it, questions wait for their turn. A thread ends when nothing waits. Passes are too rare to see that nobody
//! gets on, so another thread watches for as long as something waits.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// A local `statvfs` takes microseconds, a quick server milliseconds.
const TIMEOUT: Duration = Duration::from_millis(50);
/// After this time without an answer it is told; a slow server answers within it.
pub(super) const HANGS_AFTER: Duration = Duration::from_secs(5);
/// The calls below need little, and eight megabytes each would look like a leak.
const STACK_BYTES: usize = 256 << 10;

type Job = Box<dyn FnOnce() + Send>;

/// A bounded number of threads.
#[derive(Clone)]
pub(super) struct Workers {
    state: Arc<Mutex<State>>,
    most: usize,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    /// For each thread, when it took what it does now.
    busy: Vec<(u64, Instant)>,
    started: u64,
    is_watched: bool,
}

impl Workers {
    /// At most this many threads, none yet.
    pub(super) fn new(most: usize) -> Self {
        Self { state: Arc::default(), most }
    }

    fn submit(&self, job: Job) {
        lock(&self.state).queue.push_back(job);
        self.tend();
        self.watch();
    }

    /// Tends until nothing waits, or no further thread may be started: whoever gets on takes what waits then.
    fn watch(&self) {
        {
            let mut state = lock(&self.state);
            if state.is_watched || state.queue.is_empty() {
                return;
            }
            state.is_watched = true;
        }
        let workers = self.clone();
        let watching = move || {
            loop {
                thread::sleep(TIMEOUT);
                workers.tend();
                let mut state = lock(&workers.state);
                if state.queue.is_empty() || state.busy.len() >= workers.most {
                    state.is_watched = false;
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("watch".to_owned()).stack_size(STACK_BYTES).spawn(watching);
        if thread.is_err() {
            lock(&self.state).is_watched = false;
        }
    }

    /// Starts a thread if something waits and nobody gets on. To be called now and then.
    pub(super) fn tend(&self) {
        let mut state = lock(&self.state);
        let now = Instant::now();
        let somebody_gets_on = state.busy.iter().any(|(_, since)| now.duration_since(*since) < TIMEOUT);
        if state.queue.is_empty() || somebody_gets_on || state.busy.len() >= self.most {
            return;
        }
        state.started += 1;
        let number = state.started;
        state.busy.push((number, now));
        let shared = Arc::clone(&self.state);
        let work = move || work(&shared, number);
        let thread = thread::Builder::new().name("ask".to_owned()).stack_size(STACK_BYTES).spawn(work);
        if thread.is_err() {
            // Out of threads: tried again at the next call.
            state.busy.retain(|(other, _)| *other != number);
        }
    }

    #[cfg(test)]
    pub(super) fn threads(&self) -> usize {
        lock(&self.state).busy.len()
    }
}

fn work(state: &Mutex<State>, number: u64) {
    loop {
        let job = {
            let mut state = lock(state);
            let Some(job) = state.queue.pop_front() else {
                state.busy.retain(|(other, _)| *other != number);
                return;
            };
            if let Some((_, since)) = state.busy.iter_mut().find(|(other, _)| *other == number) {
                *since = Instant::now();
            }
            job
        };
        // What panics gives no answer, and keeps nobody else from one.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
    }
}

/// Plain data: a panic elsewhere leaves nothing half done in it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A question, its last answer, and since when it has waited for the next.
pub(super) struct Slot<T> {
    shared: Arc<Mutex<Pending<T>>>,
    /// Whether the log has it already that this question hangs.
    is_told: bool,
}

struct Pending<T> {
    pending_since: Option<Instant>,
    answer: Option<(T, Instant)>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        let asked = Pending { pending_since: None, answer: None };
        Self { shared: Arc::new(Mutex::new(asked)), is_told: false }
    }
}

impl<T: Clone + Send + 'static> Slot<T> {
    /// Asks, unless the last call has not returned yet.
    pub(super) fn ask(&self, workers: &Workers, question: impl FnOnce() -> T + Send + 'static) {
        {
            let mut asked = lock(&self.shared);
            if asked.pending_since.is_some() {
                return;
            }
            asked.pending_since = Some(Instant::now());
        }
        let shared = Arc::clone(&self.shared);
        workers.submit(Box::new(move || {
            let answering = Answering(&shared);
            let answer = question();
            lock(answering.0).answer = Some((answer, Instant::now()));
        }));
    }

    /// The last answer.
    pub(super) fn answer(&self) -> Option<T> {
        lock(&self.shared).answer.as_ref().map(|(answer, _)| answer.clone())
    }

    /// When the last answer came.
    pub(super) fn answered_at(&self) -> Option<Instant> {
        lock(&self.shared).answer.as_ref().map(|(_, at)| *at)
    }

    /// Since when the call that has not returned yet has been waited for.
    pub(super) fn pending_since(&self) -> Option<Instant> {
        lock(&self.shared).pending_since
    }

    #[cfg(test)]
    pub(super) fn pretend_pending_since(&self, since: Instant) {
        lock(&self.shared).pending_since = Some(since);
    }

    /// Whether the last answer is older than this, or there is none.
    pub(super) fn is_older_than(&self, age: Duration) -> bool {
        self.answered_at().is_none_or(|at| at.elapsed() >= age)
    }

    /// Writes to the log, once, that `what` does not answer, and when it does again.
    pub(super) fn tell(&mut self, what: impl FnOnce() -> String) {
        let pending_since = self.pending_since();
        let hangs = pending_since.is_some_and(|since| since.elapsed() >= HANGS_AFTER);
        if hangs && !self.is_told {
            tracing::warn!("{} does not answer; sampling goes on without it", what());
            self.is_told = true;
        } else if self.is_told && pending_since.is_none() {
            tracing::info!("{} answers again", what());
            self.is_told = false;
        }
    }
}

/// Ends the wait for an answer, also where the question panics.
struct Answering<'a, T>(&'a Mutex<Pending<T>>);

impl<T> Drop for Answering<'_, T> {
    fn drop(&mut self) {
        lock(self.0).pending_since = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn wait_until(what: &str, workers: &Workers, mut is_true: impl FnMut() -> bool) {
        let began = Instant::now();
        while !is_true() {
            assert!(began.elapsed() < Duration::from_secs(60), "{what} did not come true");
            workers.tend();
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn what_hangs_keeps_nobody_else_from_an_answer_and_is_not_asked_twice() {
        let workers = Workers::new(2);
        let (hanging, other) = (Slot::<u32>::default(), Slot::<u32>::default());
        let (release, released) = mpsc::channel::<()>();
        hanging.ask(&workers, move || {
            let _ = released.recv();
            1
        });
        hanging.ask(&workers, || 2);
        other.ask(&workers, || 3);
        wait_until("the other answer", &workers, || other.answer() == Some(3));
        assert!(hanging.pending_since().is_some() && hanging.answer().is_none());
        release.send(()).unwrap();
        wait_until("the late answer", &workers, || hanging.answer() == Some(1));
        wait_until("the end of all threads", &workers, || workers.threads() == 0);
    }

    #[test]
    fn beyond_the_bound_questions_wait_for_their_turn() {
        let workers = Workers::new(2);
        let mut releases = Vec::new();
        let hanging: Vec<Slot<u32>> = (0..3)
            .map(|number| {
                let slot = Slot::default();
                let (release, released) = mpsc::channel::<()>();
                releases.push(release);
                slot.ask(&workers, move || {
                    let _ = released.recv();
                    number
                });
                slot
            })
            .collect();
        wait_until("two threads", &workers, || workers.threads() == 2);
        for _ in 0..20 {
            thread::sleep(TIMEOUT / 10);
            workers.tend();
            assert!(workers.threads() <= 2);
        }
        drop(releases);
        for (number, slot) in hanging.iter().enumerate() {
            wait_until("its turn", &workers, || slot.answer() == u32::try_from(number).ok());
        }
    }

    #[test]
    fn what_waits_behind_a_question_that_hangs_is_asked_without_another_pass() {
        let workers = Workers::new(2);
        let (hanging, other) = (Slot::<u32>::default(), Slot::<u32>::default());
        let (_release, released) = mpsc::channel::<()>();
        hanging.ask(&workers, move || {
            let _ = released.recv();
            1
        });
        other.ask(&workers, || 3);
        let began = Instant::now();
        while other.answer().is_none() {
            assert!(began.elapsed() < Duration::from_secs(60), "nobody asked it");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_question_that_panics_can_be_asked_again() {
        let workers = Workers::new(1);
        let slot = Slot::<u32>::default();
        slot.ask(&workers, || panic!("as a test"));
        wait_until("its end", &workers, || slot.pending_since().is_none());
        slot.ask(&workers, || 5);
        wait_until("an answer", &workers, || slot.answer() == Some(5));
    }
}
