//! SQL questions from a page, over JSON or from a terminal: their queue, and how answers are given.

mod answered;
mod examples;
mod under_way;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use fleetps_ingestor::{
    history::Scope,
    sql::{AskError, Choice, SqlClient},
};

pub(crate) use answered::{Answered, SqlAnswer, limits};
pub use examples::EXAMPLES;
pub(crate) use examples::Example;
pub(crate) use under_way::Question;
use under_way::UnderWay;

use crate::{
    metrics::Bounded,
    refusal::Refusal,
    shares::{Bounds, Shares},
};

/// One question is answered at a time, for at most 10 s, so that they take a bounded share of the machine. Three more of
/// each person wait, and persons take turns. Most take far less than 10 s, so 32 may wait; a wait ends after 60 s, the time
/// of six that take all of theirs.
const BOUNDS: Bounds = Bounds {
    what: "questions in SQL under way",
    most: 1,
    of_a_person: 1,
    waiting: 32,
    waiting_of_a_person: 3,
    wait: Duration::from_secs(60),
};

/// The questions that are asked of this server.
#[derive(Clone)]
pub struct Console {
    sql_client: Option<SqlClient>,
    turns: Shares,
    under_way: UnderWay,
}

impl Console {
    /// A console that asks with `sql_client`; without one, every question is refused.
    pub fn new(sql_client: Option<SqlClient>) -> Self {
        Self { sql_client, turns: Shares::new(BOUNDS), under_way: UnderWay::default() }
    }

    /// Asks for `who` about as much of the history within `scope` as fits. Dropping the future, as a closed request does,
    /// cancels the question.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn ask(&self, who: &str, scope: Arc<Scope>, sql: String) -> Result<Answered, Refusal> {
        self.ask_about(who, scope, sql, Choice::default()).await
    }

    /// The same about a part of the history.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn ask_about(
        &self,
        who: &str,
        scope: Arc<Scope>,
        sql: String,
        choice: Choice,
    ) -> Result<Answered, Refusal> {
        let Some(sql_client) = self.sql_client.clone() else { return Err(Refusal::no_history(None)) };
        let asked = self.under_way.begin(who, &sql);
        let cancelled = asked.cancelled();
        let turn = tokio::select! {
            turn = self.turns.take(who) => turn?,
            () = cancelled.cancelled() => return Err(refusal(AskError::Cancelled)),
        };
        asked.is_answered_now();
        // Not what it asks: people paste secrets into questions, and the audit has it.
        tracing::info!(characters = sql.chars().count(), "a question over the history");
        let answering = tokio::task::spawn_blocking(move || {
            // The next one's turn is when the process of this one is gone.
            let _turn = turn;
            let asked = Instant::now();
            let answer = sql_client.ask_about(&sql, &choice, &scope, &cancelled)?;
            Ok(Answered { answer, took: asked.elapsed() })
        });
        match answering.await {
            Ok(answered) => answered.map_err(refusal),
            Err(error) => Err(Refusal::fault("could not ask the history", &error)),
        }
    }

    /// How full the room for questions is.
    pub fn bounded(&self) -> Vec<Bounded> {
        self.turns.bounded("sql-questions", Some("sql-questions-waiting"))
    }

    /// The questions that are answered or wait, in the order in which they were asked.
    pub fn questions(&self) -> Vec<Question> {
        self.under_way.all()
    }

    /// Cancels the questions that `is_wanted` says; returns them.
    pub fn cancel(&self, is_wanted: impl Fn(&Question) -> bool) -> Vec<Question> {
        self.under_way.cancel(is_wanted)
    }
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
        AskError::TooManySegments(_) => {
            let hint = "ask about a shorter time (from and to), or name its hosts; or open the files with DuckDB itself";
            (StatusCode::UNPROCESSABLE_ENTITY, hint.to_owned())
        }
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
