//! Anybody's SQL from a page, over JSON or from a terminal: who may ask when, and how answers are given.

mod answered;
mod examples;

use std::{sync::Arc, time::Instant};

use axum::http::StatusCode;
use fleetps_ingestor::{
    history::Scope,
    sql::{AskError, Asker},
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use answered::{Answered, limits};
pub use examples::{EXAMPLES, Example};

use crate::refusal::Refusal;

/// Questions that are answered or wait for their turn; the last of them waits half a minute at most.
const MAX_ASKING: usize = 4;

/// The questions that are asked of this server: one is answered at a time, so that they take a bounded share of the
/// machine.
#[derive(Clone)]
pub struct Console {
    asker: Option<Asker>,
    /// Room to wait.
    seats: Arc<Semaphore>,
    /// The turn of the one that is answered.
    turn: Arc<Semaphore>,
    /// Whose question is answered, and what ends it.
    answering: Arc<Mutex<(String, CancellationToken)>>,
}

impl Console {
    /// A console that asks with `asker`; without one, every question is refused.
    pub fn new(asker: Option<Asker>) -> Self {
        Self {
            asker,
            seats: Arc::new(Semaphore::new(MAX_ASKING)),
            turn: Arc::new(Semaphore::new(1)),
            answering: Arc::default(),
        }
    }

    /// Asks for `who` about what is in `scope`. A question whose future is dropped, because its request was closed, is cancelled.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn ask(&self, who: &str, scope: Arc<Scope>, sql: String) -> Result<Answered, Refusal> {
        let Some(asker) = self.asker.clone() else { return Err(Refusal::no_history(None)) };
        let Ok(_seat) = self.seats.try_acquire() else { return Err(too_many()) };
        let turn = Arc::clone(&self.turn).acquire_owned().await;
        let cancelled = CancellationToken::new();
        *self.answering.lock() = (who.to_owned(), cancelled.clone());
        let _closed = cancelled.clone().drop_guard();
        tracing::info!(?sql, "a question over the history");
        let answering = tokio::task::spawn_blocking(move || {
            // The next one's turn is when the process of this one is gone.
            let _turn = turn;
            let asked = Instant::now();
            let answer = asker.ask(&sql, &scope, &cancelled)?;
            Ok(Answered { answer, took: asked.elapsed() })
        });
        match answering.await {
            Ok(answered) => answered.map_err(refusal),
            Err(error) => Err(Refusal::fault("could not ask the history", &error)),
        }
    }

    /// Cancels the question that is being answered, if it is one of `who`.
    pub fn cancel(&self, who: &str) {
        let answering = self.answering.lock();
        if answering.0 == who {
            answering.1.cancel();
        }
    }
}

fn too_many() -> Refusal {
    let hint =
        "one is answered at a time, for at most 10 s, and three may wait; ask again when one of them is done";
    Refusal::new(
        StatusCode::TOO_MANY_REQUESTS,
        format!("{MAX_ASKING} questions are being asked already"),
        hint,
    )
}

fn refusal(error: AskError) -> Refusal {
    let (status, hint) = match &error {
        AskError::Refused { place: Some((line, column)), .. } => {
            (StatusCode::BAD_REQUEST, format!("look at line {line}, column {column}"))
        }
        AskError::Refused { .. } => {
            (StatusCode::BAD_REQUEST, "it must be one SELECT in DuckDB's SQL".to_owned())
        }
        AskError::TooLong => (StatusCode::PAYLOAD_TOO_LARGE, "ask something shorter".to_owned()),
        AskError::TooSlow | AskError::OutOfMemory => {
            let hint =
                "ask for less: a shorter time, one host, fewer columns; or open the files with DuckDB itself";
            (StatusCode::UNPROCESSABLE_ENTITY, format!("{hint}. The limits are {}", limits()))
        }
        AskError::Damaged(_) => {
            let hint = "fleetps finds such a file within a week and sets it aside; until then, ask about another time";
            (StatusCode::SERVICE_UNAVAILABLE, hint.to_owned())
        }
        AskError::Cancelled => (StatusCode::CONFLICT, "ask again to have it answered".to_owned()),
        AskError::Failed(_) | AskError::Start(_) => {
            return Refusal::fault("could not ask the history", &error);
        }
    };
    Refusal::new(status, error.to_string(), hint)
}
