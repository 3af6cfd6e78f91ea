//! Writes changes of users into the audit, successful or not.

use std::net::IpAddr;

use fleetps_nats::{
    audit::{AuditEntry, Outcome},
    now_us,
};

use super::{Accounts, ClientInfo, Person, UserName, error::AuthError};
use crate::broker::{self, Away};

/// The actor of a change.
#[derive(Debug, Clone)]
pub struct By {
    /// The name; before the sign-in, the name given in the form.
    pub name: String,
    /// The address; none for commands on the server's own machine.
    pub from: Option<IpAddr>,
}

impl By {
    /// A command on the server's own machine, by a person who has the broker's key.
    pub fn command() -> Self {
        Self { name: UserName::LOCAL.to_owned(), from: None }
    }

    /// A person who claims to be `name`.
    pub fn claimed(name: &str, came: ClientInfo) -> Self {
        Self { name: name.to_owned(), from: Some(came.from) }
    }
}

impl From<&Person> for By {
    fn from(person: &Person) -> Self {
        Self { name: person.name.clone(), from: Some(person.from) }
    }
}

impl Accounts {
    /// Does `work`, and audits who did what, and the outcome. Attempts above the rate limit are not audited: an
    /// attacker could make any number of them.
    ///
    /// # Errors
    /// Those of `work`. Also at once while the broker is away, and when the entry cannot be written, so that no change
    /// goes without an audit entry.
    pub(super) async fn recorded<T>(
        &self,
        by: &By,
        action: &str,
        what: impl Into<String>,
        work: impl Future<Output = Result<T, AuthError>>,
    ) -> Result<T, AuthError> {
        if !broker::is_there(&self.client) {
            return Err(Away.into());
        }
        let done = work.await;
        let outcome = match &done {
            Ok(_) => Outcome::Done,
            // Where the broker went away meanwhile it takes no entry either.
            Err(AuthError::TooManyTries(_) | AuthError::Away(_)) => return done,
            Err(error) if error.is_refusal() => Outcome::Refused,
            Err(_) => Outcome::Failed,
        };
        let entry = AuditEntry {
            at_us: now_us(),
            who: by.name.clone(),
            from: by.from,
            action: action.to_owned(),
            host: None,
            what: what.into(),
            outcome,
        };
        broker::ask(&self.client, self.audit.record(entry)).await??;
        done
    }
}
