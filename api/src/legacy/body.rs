//! Reads the body of a post: bounded in bytes, time and depth, before anything is made of it.
//!
//! A body takes room only for what has come of it, and none of the gate's places before all of it has come, so slow
//! senders keep nobody else out.

use std::{borrow::Cow, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, StatusCode, header},
};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Fault, fields::TOO_MANY};

/// Longest body: 20,000 processes with command lines of 700 bytes.
pub(super) const MAX_BODY_BYTES: usize = 16 << 20;
/// Room for all bodies at once, in KiB: sixteen of the longest, or a thousand ordinary ones of 256 KB.
const ALL_BODIES_KIB: usize = 256 << 10;
/// How long a body may take, as on the other listener.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Deepest nesting: the older systems need four levels.
const MAX_DEPTH: usize = 32;

/// The room that bodies take.
#[derive(Debug, Clone)]
pub(super) struct Room(Arc<Semaphore>);

/// A body, and the room that it takes.
#[derive(Debug)]
pub(super) struct Read {
    /// Its bytes.
    pub bytes: Bytes,
    _room: Vec<OwnedSemaphorePermit>,
}

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ALL_BODIES_KIB)))
    }
}

impl Room {
    /// The whole of `body`, which says that it is JSON.
    ///
    /// # Errors
    /// When it is too long, takes too long, says to be something else, or there is no room.
    pub(super) async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Read, Fault> {
        check_head(headers)?;
        let reading = tokio::time::timeout(BODY_TIMEOUT, self.collect(body));
        reading.await.unwrap_or_else(|_| {
            let detail = "the body took longer than 30 s";
            Err(Fault::new(StatusCode::REQUEST_TIMEOUT, "slow-body", detail))
        })
    }

    async fn collect(&self, body: Body) -> Result<Read, Fault> {
        let (mut parts, mut bytes, mut room) = (body.into_data_stream(), Vec::new(), Vec::new());
        while let Some(part) = parts.next().await {
            let detail = "the body ended before its end";
            let part = part.map_err(|_| Fault::new(StatusCode::BAD_REQUEST, "cut-body", detail))?;
            if bytes.len() + part.len() > MAX_BODY_BYTES {
                return Err(too_long());
            }
            let kib = u32::try_from(part.len() / 1024 + 1).unwrap_or(u32::MAX);
            let more = Arc::clone(&self.0).try_acquire_many_owned(kib);
            room.push(more.map_err(|_| {
                let (status, wait) = (StatusCode::SERVICE_UNAVAILABLE, Duration::from_secs(5));
                Fault::for_now(status, "no-room", "too many long bodies are under way", wait)
            })?);
            bytes.extend_from_slice(&part);
        }
        Ok(Read { bytes: bytes.into(), _room: room })
    }
}

fn too_long() -> Fault {
    Fault::too_large("the body is longer than 16 MiB")
}

/// Refuses by the head alone.
fn check_head(headers: &HeaderMap) -> Result<(), Fault> {
    let text = |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    let kind = text(header::CONTENT_TYPE).unwrap_or_default();
    let media_type = kind.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        let kind: String = kind.chars().take(100).collect();
        let detail = format!("Unsupported media type \"{kind}\" in request.");
        return Err(Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", detail));
    }
    let declared = text(header::CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
    match declared {
        Some(length) if length > MAX_BODY_BYTES => Err(too_long()),
        _ => Ok(()),
    }
}

/// The JSON in `bytes`. Names and command lines need not be Unicode, and agents send them as they can: as bytes that are none, or as
/// Python does, as one half of a pair of surrogates (`\udcff`). What is no character becomes U+FFFD; it costs no snapshot.
///
/// # Errors
/// When it is no JSON, is nested too deeply, or has another shape.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    if is_too_deep(bytes) {
        return Err(Fault::not_json("it is nested too deeply"));
    }
    serde_json::from_slice(&of_characters(bytes)).map_err(|error| {
        let text = error.to_string();
        match text.starts_with(TOO_MANY) {
            true => Fault::too_large("the body has more processes than a snapshot may have"),
            false => Fault::not_json(&text.chars().take(200).collect::<String>()),
        }
    })
}

/// The same text with U+FFFD in the place of all that is no character.
fn of_characters(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut text = match String::from_utf8_lossy(bytes) {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    };
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'\\')) {
        at += found;
        at += match (surrogate_at(&text, at), surrogate_at(&text, at + ESCAPE_BYTES)) {
            (Some(Surrogate::High), Some(Surrogate::Low)) => 2 * ESCAPE_BYTES,
            (Some(_), _) => {
                text.to_mut()[at..at + ESCAPE_BYTES].copy_from_slice(br"\ufffd");
                ESCAPE_BYTES
            }
            (None, _) => 2,
        };
    }
    text
}

/// The length of an escaped character, as in `\u00e9`.
const ESCAPE_BYTES: usize = 6;

/// Which half of a pair.
#[derive(Clone, Copy)]
enum Surrogate {
    High,
    Low,
}

/// The surrogate that is escaped at `at`.
fn surrogate_at(text: &[u8], at: usize) -> Option<Surrogate> {
    let digits = text.get(at..at + ESCAPE_BYTES)?.strip_prefix(br"\u")?;
    let is_hexadecimal = digits.iter().all(u8::is_ascii_hexdigit);
    let digits = std::str::from_utf8(digits).ok().filter(|_| is_hexadecimal)?;
    match u16::from_str_radix(digits, 16).ok()? {
        0xD800..=0xDBFF => Some(Surrogate::High),
        0xDC00..=0xDFFF => Some(Surrogate::Low),
        _ => None,
    }
}

/// Counts brackets outside of texts; what is no JSON is found later.
fn is_too_deep(bytes: &[u8]) -> bool {
    let (mut depth, mut is_text, mut is_escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            b'[' | b'{' if !is_text => depth += 1,
            b']' | b'}' if !is_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use fleetps_nats::snapshot::MAX_PROCESSES;
    use serde::Deserialize;

    use super::{
        super::fields::{Given, GivenList},
        *,
    };

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Post {
        name: Given,
        processes: GivenList<Given>,
    }

    #[test]
    fn what_is_no_character_costs_that_character_and_not_the_snapshot() {
        for (sent, read) in [
            (&br#""caf\udce9 \uD800\uD800x""#[..], "caf\u{fffd} \u{fffd}\u{fffd}x"),
            (br#""\ud83d\ude00 \uDE00\uD83D""#, "\u{1f600} \u{fffd}\u{fffd}"),
            (br#""\\udcff \"\udcff\\""#, "\\udcff \"\u{fffd}\\"),
            (b"\"caf\xe9\xff\"", "caf\u{fffd}\u{fffd}"),
            ("\"\u{e9}\"".as_bytes(), "\u{e9}"),
        ] {
            assert_eq!(parse::<String>(sent).unwrap(), read, "{}", String::from_utf8_lossy(sent));
        }
        for cut in [&br#""\ud"#[..], br#""\u"#, b"\"\\", br#""\udcfg""#, br#""\uD83D\u""#] {
            assert!(parse::<String>(cut).is_err());
        }
    }

    #[test]
    fn what_is_deep_or_no_json_is_refused_and_nothing_overflows() {
        for bytes in [
            "[".repeat(1_000),
            format!("{{\"other\": {}1{}}}", "[".repeat(1_000), "]".repeat(1_000)),
            "{\"a\":".repeat(1_000_000),
            "{".to_owned(),
            "{\"name\": NaN}".to_owned(),
            "\u{0}".to_owned(),
            String::new(),
        ] {
            let fault = parse::<Post>(bytes.as_bytes()).unwrap_err();
            assert_eq!(fault.status(), StatusCode::BAD_REQUEST, "{}", &bytes[..bytes.len().min(20)]);
        }
        let text = format!("{{\"name\": \"{}\"}}", "[{\\\"".repeat(100));
        assert!(parse::<Post>(text.as_bytes()).is_ok(), "brackets in a text are text");
        let many = format!("{{\"processes\": [{}1]}}", "1,".repeat(MAX_PROCESSES));
        assert_eq!(parse::<Post>(many.as_bytes()).unwrap_err().status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
}
