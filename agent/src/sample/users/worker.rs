//! The thread that looks for users.

use std::{
    collections::{HashMap, VecDeque},
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::{
    getent::{Program, Said},
    passwd::Passwd,
};

/// What `getent` found is believed for this long, and that it found nothing for this long.
const FOUND_AGE: Duration = Duration::from_secs(600);
const NONE_AGE: Duration = Duration::from_secs(60);
/// After no answer in time, nothing is asked for this long.
const PAUSE: Duration = Duration::from_secs(30);
/// Users that one `getent` is asked for: directories take some ms for each.
const MOST_KEYS: usize = 32;
/// Answers of `getent` that are remembered.
const MOST_REMEMBERED: usize = 4096;
/// Questions that wait; there are no more users in use.
const MOST_QUESTIONS: usize = 8192;

/// Who is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Question {
    /// A user's name.
    Uid(u32),
    /// A user's number.
    Name(String),
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// This user.
    Found {
        /// The name.
        name: String,
        /// The number.
        uid: u32,
    },
    /// There is no such user.
    None,
    /// It could not be found out.
    Unknown,
}

/// The way to the thread, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Worker {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    asked: Condvar,
    answered: Condvar,
}

#[derive(Debug, Default)]
struct State {
    questions: VecDeque<Question>,
    answers: Vec<(Question, Answer)>,
    /// Questions that are being looked into.
    in_hand: usize,
    /// Since when there has been no answer although there are questions.
    waits_since: Option<Instant>,
    is_over: bool,
}

impl Worker {
    /// Starts the thread. Where none can be made, nothing is ever answered.
    pub(super) fn start(passwd: PathBuf, getent: Program) -> Self {
        let shared = Arc::<Shared>::default();
        let search =
            Search { passwd: Passwd::new(passwd), getent, remembered: HashMap::new(), pause_until: None };
        let of_thread = Arc::clone(&shared);
        let started = thread::Builder::new().name("users".to_owned()).spawn(move || work(&of_thread, search));
        if let Err(error) = started {
            tracing::warn!(error = %error, "cannot look up the names of users; they stay numbers");
        }
        Self { shared }
    }

    /// Leaves a question.
    pub(super) fn ask(&self, question: Question) {
        let mut state = self.shared.lock();
        if state.questions.len() < MOST_QUESTIONS {
            state.questions.push_back(question);
            state.waits_since.get_or_insert_with(Instant::now);
            self.shared.asked.notify_all();
        }
    }

    /// The answers since the last call.
    pub(super) fn answers(&self) -> Vec<(Question, Answer)> {
        std::mem::take(&mut self.shared.lock().answers)
    }

    /// Waits until nothing is left to answer, for at most `patience`.
    pub(super) fn wait(&self, patience: Duration) {
        let state = self.shared.lock();
        let is_busy = |state: &mut State| !state.questions.is_empty() || state.in_hand > 0;
        drop(self.shared.answered.wait_timeout_while(state, patience, is_busy));
    }

    /// Since when questions have been waiting for an answer; `None` where none wait.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        self.shared.lock().waits_since
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.asked.notify_all();
    }
}

impl Shared {
    /// The state is plain data, so a panic elsewhere leaves nothing half done in it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread: takes all questions that there are, and answers them.
fn work(shared: &Shared, mut search: Search) {
    loop {
        let mut state = shared.lock();
        while state.questions.is_empty() && !state.is_over {
            state = shared.asked.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.is_over {
            return;
        }
        let questions: Vec<Question> = state.questions.drain(..).collect();
        state.in_hand = questions.len();
        drop(state);
        search.answer(questions, &mut |question, answer| {
            let mut state = shared.lock();
            state.answers.push((question, answer));
            state.in_hand -= 1;
            let waits = state.in_hand > 0 || !state.questions.is_empty();
            state.waits_since = waits.then(Instant::now);
        });
        shared.answered.notify_all();
    }
}

/// Looks users up.
struct Search {
    passwd: Passwd,
    getent: Program,
    remembered: HashMap<u32, (Option<String>, Instant)>,
    /// No name service is asked before then.
    pause_until: Option<Instant>,
}

impl Search {
    fn answer(&mut self, questions: Vec<Question>, give: &mut dyn FnMut(Question, Answer)) {
        self.passwd.refresh();
        let (mut uids, mut names) = (Vec::new(), Vec::new());
        for question in questions {
            match question {
                Question::Uid(uid) => match self.known_name(uid) {
                    Some(answer) => give(question, answer),
                    None => uids.push(uid),
                },
                Question::Name(name) => match self.passwd.uid(&name) {
                    Some(uid) => give(Question::Name(name.clone()), Answer::Found { name, uid }),
                    None => names.push(name),
                },
            }
        }
        for name in names {
            // By itself: a directory may call the user by another spelling.
            let answer = match self.ask(std::slice::from_ref(&name)) {
                Said::Users(users) => {
                    users.into_iter().next().map_or(Answer::None, |(name, uid)| Answer::Found { name, uid })
                }
                Said::NoProgram => Answer::None,
                Said::Nothing => Answer::Unknown,
            };
            give(Question::Name(name), answer);
        }
        for uids in uids.chunks(MOST_KEYS) {
            let keys: Vec<String> = uids.iter().map(u32::to_string).collect();
            let said = self.ask(&keys);
            for uid in uids {
                give(Question::Uid(*uid), self.remember(*uid, &said));
            }
        }
    }

    /// The name in the file, or what `getent` said not long ago.
    fn known_name(&self, uid: u32) -> Option<Answer> {
        if let Some(name) = self.passwd.name(uid) {
            return Some(Answer::Found { name: name.to_owned(), uid });
        }
        let (name, at) = self.remembered.get(&uid)?;
        let age = if name.is_some() { FOUND_AGE } else { NONE_AGE };
        let answer = name.clone().map_or(Answer::None, |name| Answer::Found { name, uid });
        (at.elapsed() < age).then_some(answer)
    }

    fn ask(&mut self, keys: &[String]) -> Said {
        if self.pause_until.is_some_and(|until| Instant::now() < until) {
            return Said::Nothing;
        }
        let said = self.getent.ask(keys);
        self.pause_until = (said == Said::Nothing).then(|| Instant::now() + PAUSE);
        said
    }

    fn remember(&mut self, uid: u32, said: &Said) -> Answer {
        let name = match said {
            Said::Users(users) => users.iter().find(|user| user.1 == uid).map(|user| user.0.clone()),
            Said::NoProgram => None,
            Said::Nothing => return Answer::Unknown,
        };
        if self.remembered.len() >= MOST_REMEMBERED {
            self.remembered.retain(|_, (_, at)| at.elapsed() < FOUND_AGE);
        }
        if self.remembered.len() < MOST_REMEMBERED {
            self.remembered.insert(uid, (name.clone(), Instant::now()));
        }
        name.map_or(Answer::None, |name| Answer::Found { name, uid })
    }
}
