//! The cookie that holds the secret of a session.
//!
//! Over TLS its name begins with `__Host-`, by which a browser refuses it unless it is secure and of this very host.
//! Over plain HTTP it has another name and no `Secure`. Chromium 156 was seen to keep secure cookies of
//! `http://127.0.0.1` and `http://localhost`; no standard says that every browser and program does. There the name also
//! says the port, because a browser sends cookies to every port of a host: two servers on one machine would sign each
//! other's people out.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderValue, header};

use super::{Came, secret::Secret};

/// The secret that a request brings.
pub fn read(headers: &HeaderMap, came: Came) -> Option<Secret> {
    let wanted = name(came);
    let lists = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = lists.flat_map(|list| list.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == wanted).and_then(|(_, value)| Secret::read(value))
}

/// Gives the browser this secret instead of any other; it keeps it until it is closed.
pub fn set(secret: &Secret, came: Came) -> Option<HeaderValue> {
    let secure = if came.over_tls { "; Secure" } else { "" };
    // Lax, so that a link in a chat or a ticket opens the page and not the sign-in.
    let text = format!("{}={}; Path=/; HttpOnly; SameSite=Lax{secure}", name(came), secret.text());
    HeaderValue::from_str(&text).ok()
}

fn name(came: Came) -> Cow<'static, str> {
    match (came.over_tls, came.port) {
        (true, _) => "__Host-fleetps".into(),
        (false, None) => "fleetps".into(),
        (false, Some(port)) => format!("fleetps-{port}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_read_and_only_over_the_same_kind_of_connection_and_at_the_same_port() {
        let secret = Secret::new().unwrap();
        let came = |over_tls, port| Came { over_tls, port, ..Came::nowhere() };
        let all = [came(true, None), came(false, None), came(false, Some(8080)), came(false, Some(80))];
        for own in all {
            let set = set(&secret, own).unwrap().to_str().unwrap().to_owned();
            assert_eq!(set.contains("__Host-"), own.over_tls);
            assert_eq!(set.contains("; Secure"), own.over_tls);
            assert!(set.contains("; HttpOnly; SameSite=Lax") && set.contains("; Path=/"), "{set}");
            let pair = set.split(';').next().unwrap();
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, HeaderValue::from_str(&format!("a=b; {pair}; c")).unwrap());
            for other in all {
                assert_eq!(read(&headers, other).is_some(), own == other, "{own:?} {other:?}");
            }
        }
    }
}
