//! A person with a session.

use axum::{
    extract::{FromRef, FromRequestParts},
    http::{StatusCode, request::Parts},
};

use crate::{
    auth::{Accounts, Person},
    refusal::Refusal,
    state::AppState,
};

/// The accounts; a refusal where sign-in is off.
pub(crate) fn accounts(shared: &AppState) -> Result<&Accounts, Refusal> {
    shared.people.accounts().ok_or_else(|| {
        let hint = "start fleetps without --auth off to have users, sessions and tokens";
        Refusal::new(StatusCode::NOT_FOUND, "users do not sign in on this server", hint)
    })
}

/// A person signed in with a browser, not by an API token: needed to manage users, sessions and tokens.
#[derive(Debug, Clone)]
pub(crate) struct SignedIn {
    /// The person.
    pub person: Person,
    /// The key of the session.
    pub session: String,
}

impl<S: Sync> FromRequestParts<S> for SignedIn
where
    AppState: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        accounts(&AppState::from_ref(state))?;
        let person = Person::from_request_parts(parts, state).await?;
        match person.session.clone() {
            Some(session) => Ok(Self { person, session }),
            None => {
                let hint = "sign in with a browser; an API token cannot change users, sessions or tokens";
                Err(Refusal::new(StatusCode::FORBIDDEN, "an API token is not enough here", hint))
            }
        }
    }
}
