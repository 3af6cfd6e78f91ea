//! The line to one host: what waits for it, and who waits for its answers.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use async_nats::{Message, Subject};
use fleetps_nats::{
    agent_settings::{Kind, SignedFrame},
    command::MAX_MESSAGE_BYTES,
    exchange::{Heard, HostAnswer, HostQuestion, MAX_QUESTIONS},
};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

/// Questions that wait for an answer at most: what is answered late is forgotten first.
const MAX_OPEN: usize = 64;
/// The shortest time between two samples for those who watch that one host may post.
const SAMPLES_APART: Duration = Duration::from_millis(90);

/// The line to one host.
#[derive(Debug)]
pub(super) struct Line {
    name: u64,
    state: Mutex<State>,
    came: Notify,
}

#[derive(Debug)]
struct State {
    settings: Option<SignedFrame>,
    watch: Option<SignedFrame>,
    waiting: VecDeque<HostQuestion>,
    /// Who asked, by the question's number; the lowest is the oldest.
    open: HashMap<u64, Subject>,
    next: u64,
    /// Requests that wait now, and when the last was there.
    asking: usize,
    asked: Instant,
    sampled: Option<Instant>,
}

/// A request that waits.
pub(super) struct Asking<'a>(&'a Line);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.asking = state.asking.saturating_sub(1);
        state.asked = Instant::now();
    }
}

impl Line {
    pub(super) fn new() -> Self {
        let state = State {
            settings: None,
            watch: None,
            waiting: VecDeque::new(),
            open: HashMap::new(),
            next: 0,
            asking: 0,
            asked: Instant::now(),
            sampled: None,
        };
        // JSON's numbers are exact to 2^53 everywhere.
        Self { name: fastrand::u64(..) >> 11, state: Mutex::new(state), came: Notify::new() }
    }

    /// What a request must name to be answered.
    pub(super) fn name(&self) -> u64 {
        self.name
    }

    pub(super) fn nothing(&self) -> Heard {
        Heard { line: self.name, ..Heard::default() }
    }

    pub(super) fn touch(&self) {
        self.state.lock().asked = Instant::now();
    }

    pub(super) fn asking(&self) -> Asking<'_> {
        self.state.lock().asking += 1;
        Asking(self)
    }

    pub(super) fn is_unused(&self, kept: Duration) -> bool {
        let state = self.state.lock();
        state.asking == 0 && state.asked.elapsed() > kept
    }

    pub(super) fn may_sharpen(&self) -> bool {
        let mut state = self.state.lock();
        let may = state.sampled.is_none_or(|sampled| sampled.elapsed() >= SAMPLES_APART);
        if may {
            state.sampled = Some(Instant::now());
        }
        may
    }

    /// What waits, as soon as there is something. One that is dropped meanwhile takes nothing.
    pub(super) async fn hear(&self) -> Heard {
        loop {
            let came = self.came.notified();
            if let Some(heard) = self.take() {
                return heard;
            }
            came.await;
        }
    }

    fn take(&self) -> Option<Heard> {
        let mut state = self.state.lock();
        let frames: Vec<_> = [state.settings.take(), state.watch.take()].into_iter().flatten().collect();
        let count = state.waiting.len().min(MAX_QUESTIONS);
        let questions: Vec<_> = state.waiting.drain(..count).collect();
        let is_something = !frames.is_empty() || !questions.is_empty();
        is_something.then_some(Heard { line: self.name, frames, questions })
    }

    /// Keeps a frame for the host, the newest of its kind.
    pub(super) fn take_frame(&self, payload: &[u8]) {
        let Ok(frame) = SignedFrame::read(payload) else { return };
        let mut state = self.state.lock();
        let place = match frame.kind() {
            Kind::Settings => &mut state.settings,
            Kind::Watch => &mut state.watch,
            Kind::Command => return,
        };
        if place.as_ref().is_none_or(|known| known.revision() < frame.revision()) {
            *place = Some(frame);
        }
        drop(state);
        self.came.notify_one();
    }

    /// Keeps a question for the host. One that finds no room is not answered, as by a host that is busy.
    pub(super) fn take_question(&self, message: Message) {
        let Some(reply) = message.reply else { return };
        if message.payload.len() > MAX_MESSAGE_BYTES {
            return;
        }
        let Ok(question) = String::from_utf8(message.payload.into()) else { return };
        let mut state = self.state.lock();
        if state.waiting.len() >= MAX_QUESTIONS {
            return;
        }
        if state.open.len() >= MAX_OPEN
            && let Some(oldest) = state.open.keys().min().copied()
        {
            state.open.remove(&oldest);
        }
        state.next += 1;
        let id = state.next;
        state.open.insert(id, reply);
        state.waiting.push_back(HostQuestion { id, question });
        drop(state);
        self.came.notify_one();
    }

    /// Where these answers go; one to a question that nobody asked goes nowhere.
    pub(super) fn answered(&self, answers: Vec<HostAnswer>) -> Vec<(Subject, String)> {
        let mut state = self.state.lock();
        let fitting = answers.into_iter().take(MAX_QUESTIONS);
        let fitting = fitting.filter(|answer| answer.answer.len() <= MAX_MESSAGE_BYTES);
        fitting.filter_map(|HostAnswer { to, answer }| Some((state.open.remove(&to)?, answer))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(text: &str) -> Message {
        Message {
            subject: "fleetps.web-01.cmd".into(),
            reply: Some(format!("_INBOX.{text}").into()),
            payload: text.to_owned().into(),
            headers: None,
            status: None,
            description: None,
            length: 0,
        }
    }

    #[tokio::test]
    async fn questions_wait_in_order_are_bounded_and_answered_once() {
        let line = Line::new();
        (0..MAX_QUESTIONS + 5).for_each(|number| line.take_question(question(&number.to_string())));
        let heard = line.hear().await;
        assert_eq!((heard.line, heard.questions.len()), (line.name(), MAX_QUESTIONS));
        assert_eq!(heard.questions[3].question, "3");
        assert!(line.take().is_none());
        let to = heard.questions[3].id;
        let answers = |to| vec![HostAnswer { to, answer: "{}".to_owned() }];
        assert_eq!(line.answered(answers(to)), [("_INBOX.3".into(), "{}".to_owned())]);
        assert_eq!(line.answered(answers(to)), [], "a second answer goes nowhere");
        assert_eq!(line.answered(answers(999)), []);
        let long = HostAnswer { to: heard.questions[4].id, answer: "x".repeat(MAX_MESSAGE_BYTES + 1) };
        assert_eq!(line.answered(vec![long]), []);
    }

    #[tokio::test]
    async fn whoever_waits_hears_what_comes_and_one_that_left_took_nothing() {
        let line = Line::new();
        drop(tokio::time::timeout(Duration::ZERO, line.hear()).await);
        let (heard, ()) = tokio::join!(line.hear(), async { line.take_question(question("a")) });
        assert_eq!(heard.questions.len(), 1);
        line.take_frame(b"no frame");
        assert!(line.take().is_none());
    }
}
