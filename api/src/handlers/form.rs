//! What people who are signed in send: forms, and who they are while they do.

use std::convert::Infallible;

use axum::{
    body::Bytes,
    extract::{FromRef, FromRequest, FromRequestParts, Request},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse, Redirect, Response},
};

use crate::{
    people::{Accounts, Came, Cookie, Person, Secret, SignIn, Visit, read_cookie, set_cookie},
    refusal::Refusal,
    web::Shared,
};

/// A form, read; `people::admit` has checked that a page of this server sent it.
#[derive(Debug)]
pub struct Form(Bytes);

impl Form {
    /// A field; empty when there is none.
    pub fn field(&self, name: &str) -> String {
        field(&self.0, name)
    }

    /// Whether a box is ticked.
    pub fn is_ticked(&self, name: &str) -> bool {
        !self.field(name).is_empty()
    }
}

/// A field of a form or of a URL; empty when there is none.
pub fn field(form: &[u8], name: &str) -> String {
    let found = form_urlencoded::parse(form).find(|(key, _)| key == name);
    found.map(|(_, value)| value.into_owned()).unwrap_or_default()
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        Bytes::from_request(request, state).await.map(Self).map_err(IntoResponse::into_response)
    }
}

/// What is known of people; a refusal where sign-in is off.
pub fn accounts(shared: &Shared) -> Result<&Accounts, Refusal> {
    shared.people.accounts().ok_or_else(|| {
        let hint = "start fleetps without --auth off to have users, sessions and tokens";
        Refusal::new(StatusCode::NOT_FOUND, "sign-in is off on this server", hint)
    })
}

/// Somebody who is signed in with a browser, and not by an API token: who looks after users, sessions and tokens.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// Who.
    pub person: Person,
    /// The key of the session.
    pub session: String,
}

impl<S: Sync> FromRequestParts<S> for SignedIn
where
    Shared: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        accounts(&Shared::from_ref(state))?;
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

/// Somebody who gave the password a short while ago, as dangerous things require; others are asked for it.
#[derive(Debug, Clone)]
pub struct Confirmed(pub SignedIn);

impl<S: Sync> FromRequestParts<S> for Confirmed
where
    Shared: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let signed_in =
            SignedIn::from_request_parts(parts, state).await.map_err(IntoResponse::into_response)?;
        let shared = Shared::from_ref(state);
        if accounts(&shared).is_ok_and(|accounts| accounts.is_confirmed(&signed_in.session)) {
            return Ok(Self(signed_in));
        }
        Err(Redirect::to(&with_next("/confirm", parts.uri.path())).into_response())
    }
}

impl<S: Sync> FromRequestParts<S> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let came = parts.extensions.get::<Came>().copied().unwrap_or_else(Came::nowhere);
        let known_as = read_cookie(Cookie::Browser, &parts.headers, came);
        Ok(Self { came, browser: browser(&parts.headers), known_as })
    }
}

fn browser(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    agent.unwrap_or("a program that does not say").to_owned()
}

/// To a page, as somebody who has signed in.
pub fn signed_in(sign_in: &SignIn, came: Came, to: &str) -> Response {
    let mut response = with_session(&sign_in.session, came, to);
    if let Some(cookie) = set_cookie(Cookie::Browser, &sign_in.browser, came) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// To a page, with the secret of another session or of none.
pub fn with_session(secret: &Secret, came: Came, to: &str) -> Response {
    let mut response = Redirect::to(to).into_response();
    if let Some(cookie) = set_cookie(Cookie::Session, secret, came) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// The address of a page that leads back to `next` afterwards.
pub fn with_next(page: &str, next: &str) -> String {
    format!("{page}?{}", form_urlencoded::Serializer::new(String::new()).append_pair("next", next).finish())
}

/// The page of this server that `next` names; the fleet for anything else.
pub fn own_page(next: &str) -> &str {
    let is_own = next.starts_with('/')
        && !next.starts_with("//")
        && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_own { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_never_leads_to_another_site() {
        for own in ["/", "/hosts/web-1?q=a%20b&at=1", "/a//b"] {
            assert_eq!(own_page(own), own);
        }
        for other in [
            "",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/\t/evil.example",
            "javascript:1",
        ] {
            assert_eq!(own_page(other), "/", "{other}");
        }
    }
}
