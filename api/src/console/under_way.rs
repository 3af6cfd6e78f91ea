//! Which questions are answered or wait, so that they can be seen and cancelled.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use fleetps_nats::now_us;

use crate::display::cut;

/// Characters that are kept of a question to show it.
const SHOWN_CHARACTERS: usize = 1_000;

/// A question that is answered or waits.
#[derive(Debug, Clone)]
pub struct Question {
    /// Names it while it is under way.
    pub number: u64,
    /// The person's name.
    pub who: String,
    /// The beginning of it.
    pub sql: String,
    /// When it was asked, in µs since 1970 UTC.
    pub asked_at_us: i64,
    /// Whether it is its turn.
    pub is_answered_now: bool,
    cancelled: CancellationToken,
}

/// All questions; a clone is of the same ones.
#[derive(Clone, Default)]
pub(super) struct UnderWay(Arc<Mutex<(u64, BTreeMap<u64, Question>)>>);

/// One of them, until it is dropped, which cancels it.
pub(super) struct QuestionGuard {
    under_way: UnderWay,
    number: u64,
    cancelled: CancellationToken,
}

impl UnderWay {
    pub(super) fn begin(&self, who: &str, sql: &str) -> QuestionGuard {
        let cancelled = CancellationToken::new();
        let mut questions = self.0.lock();
        questions.0 += 1;
        let number = questions.0;
        let question = Question {
            number,
            who: who.to_owned(),
            sql: cut(sql, SHOWN_CHARACTERS).into_owned(),
            asked_at_us: now_us(),
            is_answered_now: false,
            cancelled: cancelled.clone(),
        };
        questions.1.insert(number, question);
        QuestionGuard { under_way: self.clone(), number, cancelled }
    }

    pub(super) fn all(&self) -> Vec<Question> {
        self.0.lock().1.values().cloned().collect()
    }

    pub(super) fn cancel(&self, is_wanted: impl Fn(&Question) -> bool) -> Vec<Question> {
        let wanted: Vec<_> = self.all().into_iter().filter(is_wanted).collect();
        wanted.iter().for_each(|question| question.cancelled.cancel());
        wanted
    }
}

impl QuestionGuard {
    pub(super) fn cancelled(&self) -> CancellationToken {
        self.cancelled.clone()
    }

    pub(super) fn is_answered_now(&self) {
        if let Some(question) = self.under_way.0.lock().1.get_mut(&self.number) {
            question.is_answered_now = true;
        }
    }
}

impl Drop for QuestionGuard {
    fn drop(&mut self) {
        self.cancelled.cancel();
        self.under_way.0.lock().1.remove(&self.number);
    }
}
