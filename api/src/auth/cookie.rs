//! The cookies: of a session, and of a browser that is known.
//!
//! Over TLS its name begins with `__Host-`, so a browser accepts it only when it is secure and for this very host. Over
//! plain HTTP it has another name and no `Secure`. Chromium 156 kept secure cookies of `http://127.0.0.1` and
//! `http://localhost`; no standard requires that of every browser and program. There the name also has the port,
//! because a browser sends cookies to every port of a host: two servers on one machine would sign each other's users
//! out.

use axum::http::{HeaderMap, HeaderValue, header};

use super::{ClientInfo, browsers::KNOWN_FOR, secret::Secret};

/// What a cookie is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cookie {
    /// A session; the browser keeps it until it is closed.
    Session,
    /// A browser with which a user has signed in; kept for half a year.
    Browser,
}

/// The secret that a request brings.
pub(crate) fn read(cookie: Cookie, headers: &HeaderMap, came: ClientInfo) -> Option<Secret> {
    let wanted = name(cookie, came);
    let lists = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = lists.flat_map(|list| list.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == wanted).and_then(|(_, value)| Secret::read(value))
}

/// Gives the browser this secret instead of any other.
pub fn set(cookie: Cookie, secret: &Secret, came: ClientInfo) -> Option<HeaderValue> {
    let secure = if came.over_tls { "; Secure" } else { "" };
    let holds = match cookie {
        // Lax, so that a link in a chat or a ticket opens the page and not the sign-in.
        Cookie::Session => "SameSite=Lax".to_owned(),
        Cookie::Browser => format!("SameSite=Strict; Max-Age={}", KNOWN_FOR.as_secs()),
    };
    let text = format!("{}={}; Path=/; HttpOnly; {holds}{secure}", name(cookie, came), secret.text());
    HeaderValue::from_str(&text).ok()
}

fn name(cookie: Cookie, came: ClientInfo) -> String {
    let name = match cookie {
        Cookie::Session => "fleetps",
        Cookie::Browser => "fleetps-browser",
    };
    match (came.over_tls, came.port) {
        (true, _) => format!("__Host-{name}"),
        (false, None) => name.to_owned(),
        (false, Some(port)) => format!("{name}-{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_read_and_only_over_the_same_kind_of_connection_and_at_the_same_port() {
        let secret = Secret::new().unwrap();
        let came = |over_tls, port| ClientInfo { over_tls, port, ..ClientInfo::nowhere() };
        let all = [came(true, None), came(false, None), came(false, Some(8080)), came(false, Some(80))];
        let kinds = [Cookie::Session, Cookie::Browser];
        for (own, cookie) in all.iter().flat_map(|own| kinds.map(|kind| (*own, kind))) {
            let set = set(cookie, &secret, own).unwrap().to_str().unwrap().to_owned();
            assert_eq!(set.contains("__Host-"), own.over_tls);
            assert_eq!(set.contains("; Secure"), own.over_tls);
            assert!(set.contains("; HttpOnly; SameSite=") && set.contains("; Path=/"), "{set}");
            let pair = set.split(';').next().unwrap();
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, HeaderValue::from_str(&format!("a=b; {pair}; c")).unwrap());
            for other in all {
                for kind in kinds {
                    let is_it = own == other && kind == cookie;
                    assert_eq!(read(kind, &headers, other).is_some(), is_it, "{own:?} {other:?} {kind:?}");
                }
            }
        }
    }
}
