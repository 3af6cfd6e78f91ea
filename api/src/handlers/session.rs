//! Answers that give a browser the cookie of a session.

use axum::{
    http::header,
    response::{IntoResponse, Redirect, Response},
};

use crate::auth::{ClientInfo, Cookie, Secret, SignIn, set_cookie};

/// A redirect to a page, with the cookie of a new session.
pub(crate) fn signed_in(sign_in: &SignIn, came: ClientInfo, to: &str) -> Response {
    let mut response = with_session(&sign_in.session, came, to);
    if let Some(cookie) = set_cookie(Cookie::Browser, &sign_in.browser, came) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// To a page, with the secret of another session or of none.
pub(crate) fn with_session(secret: &Secret, came: ClientInfo, to: &str) -> Response {
    let mut response = Redirect::to(to).into_response();
    if let Some(cookie) = set_cookie(Cookie::Session, secret, came) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}
