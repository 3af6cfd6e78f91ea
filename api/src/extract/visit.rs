//! The browser that tries to sign in: its address, its name and its cookie.

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};

use crate::auth::{ClientInfo, Cookie, Visit, read_cookie};

impl<S: Sync> FromRequestParts<S> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let came = parts.extensions.get::<ClientInfo>().copied().unwrap_or_else(ClientInfo::nowhere);
        let known_as = read_cookie(Cookie::Browser, &parts.headers, came);
        Ok(Self { came, browser: browser(&parts.headers), known_as })
    }
}

fn browser(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    agent.unwrap_or("a program that does not say").to_owned()
}
