//! A person with a session, who may have to give the password once more.

use axum::{
    extract::{FromRef, FromRequestParts},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Redirect, Response},
};

use super::next::with_next;
use crate::{
    auth::{Accounts, Person},
    refusal::Refusal,
    state::AppState,
    url::Url,
};

/// The accounts; a refusal where sign-in is off.
pub fn accounts(shared: &AppState) -> Result<&Accounts, Refusal> {
    shared.people.accounts().ok_or_else(|| {
        let hint = "start fleetps without --auth off to have users, sessions and tokens";
        Refusal::new(StatusCode::NOT_FOUND, "sign-in is off on this server", hint)
    })
}

/// A person signed in with a browser, not by an API token: needed to manage users, sessions and tokens.
#[derive(Debug, Clone)]
pub struct SignedIn {
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

/// A person who gave the password recently, as dangerous actions require; others are asked for it.
#[derive(Debug, Clone)]
pub struct Confirmed(pub SignedIn);

impl<S: Sync> FromRequestParts<S> for Confirmed
where
    AppState: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let signed_in =
            SignedIn::from_request_parts(parts, state).await.map_err(IntoResponse::into_response)?;
        let shared = AppState::from_ref(state);
        if accounts(&shared).is_ok_and(|accounts| accounts.is_confirmed(&signed_in.session)) {
            return Ok(Self(signed_in));
        }
        Err(Redirect::to(&with_next(Url::confirm(), parts.uri.path()).to_string()).into_response())
    }
}
