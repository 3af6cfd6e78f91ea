//! The cookie that holds the secret of a session.
//!
//! Over TLS its name begins with `__Host-`, by which a browser refuses it unless it is secure and of this very host.
//! Over plain HTTP it has another name and no `Secure`. Chromium 156 was seen to keep secure cookies of
//! `http://127.0.0.1` and `http://localhost`; no standard says that every browser and program does.

use axum::http::{HeaderMap, HeaderValue, header};

use super::secret::Secret;

/// The secret that a request brings.
pub fn read(headers: &HeaderMap, over_tls: bool) -> Option<Secret> {
    let wanted = name(over_tls);
    let lists = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = lists.flat_map(|list| list.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == wanted).and_then(|(_, value)| Secret::read(value))
}

/// Gives the browser this secret instead of any other; it keeps it until it is closed.
pub fn set(secret: &Secret, over_tls: bool) -> Option<HeaderValue> {
    let secure = if over_tls { "; Secure" } else { "" };
    // Lax, so that a link in a chat or a ticket opens the page and not the sign-in.
    let text = format!("{}={}; Path=/; HttpOnly; SameSite=Lax{secure}", name(over_tls), secret.text());
    HeaderValue::from_str(&text).ok()
}

fn name(over_tls: bool) -> &'static str {
    if over_tls { "__Host-fleetps" } else { "fleetps" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_read_and_only_over_the_same_kind_of_connection() {
        let secret = Secret::new().unwrap();
        for over_tls in [true, false] {
            let set = set(&secret, over_tls).unwrap().to_str().unwrap().to_owned();
            assert_eq!(set.contains("__Host-"), over_tls);
            assert_eq!(set.contains("; Secure"), over_tls);
            assert!(set.contains("; HttpOnly; SameSite=Lax") && set.contains("; Path=/"), "{set}");
            let pair = set.split(';').next().unwrap();
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, HeaderValue::from_str(&format!("a=b; {pair}; c")).unwrap());
            assert_eq!(read(&headers, over_tls), Some(secret.clone()));
            assert_eq!(read(&headers, !over_tls), None);
        }
    }
}
