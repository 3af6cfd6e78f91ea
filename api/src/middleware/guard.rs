//! Checks host and origin of requests, and sets the security headers of answers, such as `Content-Security-Policy`.
//!
//! Where sign-in is off the server listens on loopback only. That alone does not keep web pages elsewhere out: a
//! name that an attacker controls can be made to point at 127.0.0.1, and the browser then takes that page and this
//! server for one ("DNS rebinding"). So only requests that call this server by a loopback name are answered then. Where
//! people sign in, such a page has no cookie of theirs.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{
    auth::{People, Principal},
    refusal::Refusal,
};

/// A page may load scripts, styles, images and data from this server, nothing else, and no page may frame it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// The default for `Retry-After`, in seconds: a broker that was restarted is back by then.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Where sign-in is off, lets only requests to a loopback name through.
pub(crate) async fn check_host(State(people): State<People>, request: Request, next: Next) -> Response {
    match people.accounts().is_some() && host_of(request.uri(), request.headers()).is_some() {
        true => next.run(request).await,
        false => check_loopback_name(request, next).await,
    }
}

/// Lets only requests to a loopback name through.
pub(crate) async fn check_loopback_name(request: Request, next: Next) -> Response {
    match host_of(request.uri(), request.headers()) {
        Some(host) if is_loopback(host) => next.run(request).await,
        host => {
            let called = crate::display::cut(host.unwrap_or("nothing"), 100).into_owned();
            let refusal = Refusal::new(
                StatusCode::MISDIRECTED_REQUEST,
                format!("this server does not answer to the name {called:?}"),
                "without a sign-in it answers only to localhost, 127.0.0.1 and [::1]",
            );
            refusal.into_json().into_response()
        }
    }
}

/// Lets a changing request through only when no page of another site sent it. Browsers send where a request comes from;
/// another program sends nothing, and no site can use its credentials.
pub(crate) async fn check_origin(request: Request, next: Next) -> Response {
    let host = host_of(request.uri(), request.headers());
    let is_of_a_host = matches!(Principal::of(request.extensions()), Some(Principal::Host(_)));
    if request.method().is_safe() || is_of_a_host || is_own(request.headers(), host) {
        return next.run(request).await;
    }
    let hint = "send it from a page of this server, or from a program that is no browser";
    Refusal::new(StatusCode::FORBIDDEN, "a page of another site sent this request", hint).into_response()
}

/// Whether a page of this server sent a request, as far as its browser says; of a program nothing is known.
pub(crate) fn is_own_page(uri: &Uri, headers: &HeaderMap) -> bool {
    is_own(headers, host_of(uri, headers))
}

/// The page of this server, with its query, that a request was sent from, as far as its browser says.
pub(crate) fn page_before(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let before: Uri = headers.get(header::REFERER)?.to_str().ok()?.parse().ok()?;
    let is_here = before.authority().map(|authority| authority.as_str()) == host_of(uri, headers);
    before.path_and_query().filter(|_| is_here && is_own_page(uri, headers)).map(ToString::to_string)
}

fn is_own(headers: &HeaderMap, host: Option<&str>) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    // `none` is a request that the user made, by a bookmark, say.
    let is_from_here = text("sec-fetch-site").is_none_or(|site| site == "same-origin" || site == "none");
    let is_of_here = text("origin").is_none_or(|origin| {
        let name = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        name.is_some() && name == host
    });
    is_from_here && is_of_here
}

/// Sets the headers that protect pages and data in a browser, and `Retry-After` on temporary refusals.
pub(crate) async fn secure(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let status = response.status();
    let headers = response.headers_mut();
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "same-origin");
    set(header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    if is_passing(status) && !headers.contains_key(header::RETRY_AFTER) {
        headers.insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// Whether the same may be answered otherwise a little later.
fn is_passing(status: StatusCode) -> bool {
    matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
}

fn host_of<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    if let Some(authority) = uri.authority() {
        return Some(authority.as_str());
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next()?.to_str().ok()?;
    hosts.next().is_none().then_some(host)
}

/// Whether a name with an optional port is one of this machine's own.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) if rest.is_empty() || is_port(rest) => return address == "::1",
        Some(_) => return false,
        None => match host.find(':') {
            Some(colon) if is_port(&host[colon..]) => &host[..colon],
            Some(_) => return false,
            None => host,
        },
    };
    name.eq_ignore_ascii_case("localhost") || name == "127.0.0.1"
}

fn is_port(text: &str) -> bool {
    text.strip_prefix(':').is_some_and(|digits| digits.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_another_site_sends_nothing_that_does_more_than_show() {
        for (site, origin, expected) in [
            (None, None, true),
            (Some("same-origin"), Some("http://localhost:8080"), true),
            (Some("none"), None, true),
            (None, Some("http://localhost:8080"), true),
            (Some("cross-site"), Some("http://example.com"), false),
            (Some("cross-site"), None, false),
            (Some("same-site"), Some("http://localhost:9090"), false),
            (None, Some("http://localhost:9090"), false),
            (None, Some("https://localhost:8080"), true),
            (None, Some("ftp://localhost:8080"), false),
            (None, Some("null"), false),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [("sec-fetch-site", site), ("origin", origin)] {
                if let Some(value) = value {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            assert_eq!(is_own(&headers, Some("localhost:8080")), expected, "{site:?} {origin:?}");
        }
    }

    #[test]
    fn the_page_before_is_one_of_this_server() {
        let uri = Uri::from_static("/alerts/silences");
        for (referer, expected) in [
            (Some("http://localhost:8080/hosts/web-1?at=x"), Some("/hosts/web-1?at=x")),
            (Some("http://example.com/hosts"), None),
            (Some("/hosts"), None),
            (Some("no address"), None),
            (None, None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("localhost:8080"));
            if let Some(referer) = referer {
                headers.insert(header::REFERER, HeaderValue::from_static(referer));
            }
            assert_eq!(page_before(&uri, &headers).as_deref(), expected, "{referer:?}");
            headers.insert("sec-fetch-site", HeaderValue::from_static("cross-site"));
            assert_eq!(page_before(&uri, &headers), None, "{referer:?} of another site");
        }
    }

    #[test]
    fn only_loopback_names_are_answered() {
        for host in ["localhost", "LOCALHOST:80", "127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:8080"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "example.com",
            "localhost.example.com",
            "127.0.0.1.example.com",
            "127.0.0.1:8080@example.com",
            "[::1]x",
            "[::2]",
            "localhost:",
            "localhost:99999",
            "",
            "192.168.0.1",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
