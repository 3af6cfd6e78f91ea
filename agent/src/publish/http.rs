//! The way through a web server, for hosts that cannot reach the broker.

use std::time::Duration;

use fleetps_nats::{admission::Enrolled, error_chain};

use super::{Attempt, Packed};
use crate::{
    sample::since_boot,
    server::{Answer, ServerError, Session},
};

/// Posts what one host leaves in its outbox.
pub(super) struct ServerWay {
    session: Session,
    run: String,
}

impl ServerWay {
    pub(super) fn new(session: Session, run: String) -> Self {
        Self { session, run }
    }

    /// One attempt, on a thread of its own: it goes on there when this is dropped, and a repeat is recognised.
    pub(super) async fn attempt(&self, packed: Packed) -> Attempt {
        let (session, run) = (self.session.clone(), self.run.clone());
        let attempt = tokio::task::spawn_blocking(move || post(&session, &run, &packed));
        attempt.await.unwrap_or(Attempt::TryAgain(Duration::ZERO))
    }
}

fn post(session: &Session, run: &str, packed: &Packed) -> Attempt {
    let age = packed.sampled_at.map(|sampled_at| since_boot().saturating_sub(sampled_at));
    let host = session.host();
    match session.post(run, packed.sequence, age, &packed.message) {
        Ok(Answer::Taken) => Attempt::Stored,
        Ok(Answer::Again(Some(Duration::ZERO))) => Attempt::AtOnce,
        Ok(Answer::Again(wait)) => Attempt::TryAgain(wait.unwrap_or_default()),
        Ok(Answer::NotAdmitted) => ask_in(session),
        Ok(Answer::Never(reason)) => {
            tracing::error!(host = %host, sequence = packed.sequence, reason, "dropping a snapshot that the server never takes");
            Attempt::NeverFits
        }
        Err(error) => put_off(session, &error),
    }
}

/// Asks to be admitted, as an agent does that connects to the broker.
fn ask_in(session: &Session) -> Attempt {
    match session.enrol(None) {
        Ok(state) => {
            let (cause, why) = match state {
                Enrolled::Admitted => {
                    ("refused", "it refused what this host signed, and says that the host is admitted now")
                }
                Enrolled::Waiting => ("waiting", "this host waits to be approved"),
                Enrolled::Refused => ("not admitted", "it does not admit this host; join again with a token"),
                Enrolled::Undecided => ("undecided", "it could not decide whether this host is admitted"),
            };
            session.report(cause, why);
            Attempt::TryAgain(Duration::ZERO)
        }
        Err(error) => put_off(session, &error),
    }
}

fn put_off(session: &Session, error: &ServerError) -> Attempt {
    let cause = match error {
        ServerError::Unreachable { .. } => "unreachable",
        ServerError::Answer { .. } => "answer",
        ServerError::Key(_) => "key",
        _ => "settings",
    };
    session.report(cause, &error_chain(error));
    Attempt::TryAgain(Duration::ZERO)
}
