//! A signed post of JSON.
//!
//! The signature is HMAC-SHA256, in hexadecimal digits, of the timestamp, a dot and the body, under the channel's secret. A
//! receiver computes it over what it got, compares, and refuses old timestamps: then nobody else can post, and what was
//! recorded cannot be posted again. `Idempotency-Key` is the same for every attempt.

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;

use super::{http::Post, key_of};
use crate::notify::{
    channel::{Secret, Webhook},
    notification::Notification,
};

/// The version of the body: raised when a field changes its meaning or goes, not when one is added.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Body<'a> {
    version: u32,
    key: &'a str,
    headline: String,
    #[serde(flatten)]
    notification: &'a Notification,
}

/// The body, the same for every attempt.
pub(super) fn body(notification: &Notification) -> Vec<u8> {
    let key = key_of(&notification.id);
    let body = Body { version: VERSION, key: &key, headline: notification.headline(), notification };
    // Texts and numbers always become JSON.
    serde_json::to_vec(&body).unwrap_or_default()
}

pub(super) fn post(webhook: &Webhook, notification: &Notification, now_us: i64) -> Post {
    let body = body(notification);
    let timestamp = (now_us / 1_000_000).to_string();
    let mut headers =
        vec![("idempotency-key", key_of(&notification.id)), ("fleetps-timestamp", timestamp.clone())];
    if let Some(signature) = signature(&webhook.secret, &timestamp, &body) {
        headers.push(("fleetps-signature", format!("v1={signature}")));
    }
    let authority = webhook.authority.clone();
    Post { url: webhook.url.clone(), headers, body, authority, reads_answer: false }
}

/// The signature; `None` without a secret.
fn signature(secret: &Secret, timestamp: &str, body: &[u8]) -> Option<String> {
    if secret.is_empty() {
        return None;
    }
    // A key of any length will do.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()).ok()?;
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    Some(HEXLOWER.encode(&mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::examples;

    #[test]
    fn the_signature_is_what_other_tools_compute() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac hush
        let expected = "7cfd1df542c33ab7251748ffdc6e7fed278c63b83d4ece95a4534b0ad465571b";
        assert_eq!(signature(&"hush".into(), "1700000000", br#"{"a":1}"#).as_deref(), Some(expected));
        assert_eq!(signature(&Secret::default(), "1", b""), None);
    }

    #[test]
    fn hostile_words_stay_in_their_texts() {
        let usual: serde_json::Value = serde_json::from_slice(&body(&examples::raised().cleaned())).unwrap();
        for words in examples::HOSTILE {
            let body = body(&examples::saying(words).cleaned());
            let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let names = |value: &serde_json::Value| -> Vec<String> {
                value.as_object().unwrap().keys().cloned().collect()
            };
            assert_eq!(names(&value), names(&usual), "{words}");
            assert_eq!(value["culprits"].as_array().unwrap().len(), 5);
            assert!(body.iter().all(|byte| *byte >= b' '), "a line break in {words}");
        }
    }
}
