//! Authenticates every request: finds its principal by cookie or token.

use std::net::{IpAddr, Ipv4Addr};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::Response,
};

use crate::{
    auth::{
        ClientInfo, Cookie, Credential, FormToken, People, Person, Principal, Secret, read_cookie,
        set_cookie, tokens,
    },
    tls::Peer,
};

/// For a year, a browser that came over TLS calls this server by nothing else.
const ONLY_TLS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Puts [`ClientInfo`] and the [`FormToken`] into the request, and, if its credentials are valid, the [`Credential`] and the
/// [`Principal`], unless an outer layer, as in tests, has set one.
pub(crate) async fn authenticate(State(people): State<People>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<Peer>>().map(|info| info.0.0.ip());
    let came = people.addresses().came(peer, request.headers());
    let known = Principal::of(request.extensions()).cloned();
    let credential = credential(request.headers(), came);
    let principal = known.or_else(|| match people.accounts() {
        Some(accounts) => accounts.recognise(credential.as_ref()?, came),
        None => Some(Principal::ThisMachine(Person::nobody_in_particular(came.from))),
    });
    let mut new_visit = None;
    let form_token = match (people.accounts(), &credential) {
        (Some(_), Some(Credential::Session(secret))) => form_token(secret),
        (Some(_), Some(Credential::Token(_))) => FormToken::default(),
        // A visit begins with a GET. A form that another site sent comes without the existing cookie, and an answer to
        // it must not replace that cookie.
        (Some(_), None) if !request.method().is_safe() => FormToken::default(),
        (Some(_), None) => {
            new_visit = Secret::new().ok();
            new_visit.as_ref().map(form_token).unwrap_or_default()
        }
        (None, _) => people.form_secret().map(form_token).unwrap_or_default(),
    };
    let extensions = request.extensions_mut();
    extensions.insert(came);
    extensions.insert(form_token);
    if let Some(credential) = credential {
        extensions.insert(credential);
    }
    if let Some(principal) = principal {
        extensions.insert(principal);
    }
    let mut response = next.run(request).await;
    if came.over_tls {
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, ONLY_TLS);
    }
    if let Some(secret) = new_visit.filter(|_| is_page(&response)) {
        give(&mut response, &secret, came);
    }
    response
}

/// Lets everybody who gets here read metrics, and nothing else.
pub(crate) async fn let_read_metrics(mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<Peer>>().map(|info| info.0.0.ip());
    let from = peer.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    request.extensions_mut().insert(Principal::ThisMachine(Person::reading_metrics(from)));
    next.run(request).await
}

/// The credentials of a request. A token counts more than a cookie: it was sent on purpose.
fn credential(headers: &HeaderMap, came: ClientInfo) -> Option<Credential> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let of_bearer = bearer.and_then(|text| text.split_once(' '));
    let of_bearer = of_bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    match of_bearer.map(|(_, token)| token).or_else(|| socket_token(headers)) {
        Some(token) => tokens::read(token.trim()).map(Credential::Token),
        None => read_cookie(Cookie::Session, headers, came).map(Credential::Session),
    }
}

/// The token that a script in a browser sends with a WebSocket, for which it can set no other header: as a protocol
/// `bearer.TOKEN` that it offers.
fn socket_token(headers: &HeaderMap) -> Option<&str> {
    let offers =
        headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let mut protocols = offers.flat_map(|offer| offer.split(',')).map(str::trim);
    protocols.find_map(|protocol| protocol.strip_prefix("bearer."))
}

/// Also before a sign-in: the secret in the cookie then belongs to no session, and is replaced at the sign-in.
fn form_token(secret: &Secret) -> FormToken {
    FormToken(secret.derive("form"))
}

fn is_page(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"))
        && !response.headers().contains_key(header::SET_COOKIE)
}

/// Gives the browser a secret.
fn give(response: &mut Response, secret: &Secret, came: ClientInfo) {
    if let Some(cookie) = set_cookie(Cookie::Session, secret, came) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}
