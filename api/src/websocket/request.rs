//! What clients send: `{"watch": TOPIC, …}` and `{"unwatch": TOPIC, …}`.

use axum::http::StatusCode;
use fleetps_ingestor::history::{EventKind, EventQuery, Span};
use fleetps_nats::HostName;
use serde::Deserialize;

use crate::{live::Position, refusal::Refusal};

/// Kinds, names and texts in a filter of events are no longer than the address of a request could have them.
const MAX_TEXT: usize = 4_096;

/// A kind of topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// Every host, a line each.
    Fleet,
    /// One host with its processes.
    Host,
    /// What happens.
    Events,
}

/// A message of a client; a field that it does not know is a mistake.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Raw {
    watch: Option<Kind>,
    unwatch: Option<Kind>,
    host: Option<String>,
    since: Option<String>,
    kind: Vec<EventKind>,
    program: Option<String>,
    text: Option<String>,
}

/// A topic of a socket, by which its messages are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Topic {
    /// Every host.
    Fleet,
    /// One host; the name may be no name of a host.
    Host(String),
    /// What happens.
    Events,
}

/// A message of a client, read.
#[derive(Debug)]
pub(super) enum Request {
    /// Send this topic from now on, or from behind this position.
    Watch(Topic, Option<Position>, Box<EventQuery>),
    /// Send it no longer.
    Unwatch(Topic),
}

fn bad(error: impl Into<String>) -> Refusal {
    let hint = "send {\"watch\": \"fleet\"}, {\"watch\": \"host\", \"host\": \"web-01\"} or {\"watch\": \"events\"}, with \
         \"since\" to go on behind a position; {\"unwatch\": …} ends it. The manual's page websocket.md has more";
    Refusal::new(StatusCode::BAD_REQUEST, error, hint)
}

impl Request {
    /// Reads a message.
    ///
    /// # Errors
    /// When it is none that is known.
    pub(super) fn read(text: &str) -> Result<Self, Refusal> {
        let raw: Raw = serde_json::from_str(text).map_err(|error| {
            let error = error.to_string();
            bad(format!("this message cannot be read: {}", crate::display::cut(&error, 200)))
        })?;
        let (kind, is_watch) = match (raw.watch, raw.unwatch) {
            (Some(kind), None) => (kind, true),
            (None, Some(kind)) => (kind, false),
            _ => return Err(bad("a message says either what to watch or what to watch no longer")),
        };
        let has_filter = !raw.kind.is_empty() || raw.program.is_some() || raw.text.is_some();
        if has_filter && kind != Kind::Events {
            return Err(bad("only events can be filtered by kind, program and text"));
        }
        let topic = match (kind, raw.host.clone()) {
            (Kind::Fleet, None) => Topic::Fleet,
            (Kind::Fleet, Some(_)) => return Err(bad("the fleet has no host to name; watch \"host\"")),
            (Kind::Host, Some(host)) => Topic::Host(host),
            (Kind::Host, None) => return Err(bad("the host to watch is missing")),
            (Kind::Events, _) => Topic::Events,
        };
        if !is_watch {
            return Ok(Self::Unwatch(topic));
        }
        let since = raw.since.as_deref().map(str::parse).transpose();
        let since = since.map_err(|error: crate::live::NotAPosition| bad(error.to_string()))?;
        Ok(Self::Watch(topic, since, Box::new(query(raw, kind)?)))
    }
}

/// The events that are asked for, whenever they happen.
fn query(raw: Raw, kind: Kind) -> Result<EventQuery, Refusal> {
    let mut query = EventQuery::of(Span { from_us: i64::MIN, to_us: i64::MAX }, 0);
    let is_long = |text: &Option<String>| text.as_ref().is_some_and(|text| text.len() > MAX_TEXT);
    if is_long(&raw.program) || is_long(&raw.text) {
        return Err(bad(format!("`program` and `text` have at most {MAX_TEXT} bytes")));
    }
    if kind == Kind::Events {
        let host = raw.host.map(|host| host.parse::<HostName>().map_err(|_| Refusal::no_such_host(&host)));
        query.host = host.transpose()?;
    }
    query.kinds = raw.kind;
    query.program = raw.program.filter(|program| !program.is_empty());
    query.text = raw.text.filter(|text| !text.is_empty());
    Ok(query)
}

impl Topic {
    /// Its kind.
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Fleet => Kind::Fleet,
            Self::Host(_) => Kind::Host,
            Self::Events => Kind::Events,
        }
    }

    /// The host in its messages.
    pub(super) fn host(&self) -> Option<&str> {
        match self {
            Self::Host(host) => Some(host),
            Self::Fleet | Self::Events => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_watched_is_read_and_everything_else_is_refused_with_a_hint() {
        let read = |text: &str| Request::read(text).map(|request| format!("{request:?}"));
        for good in [
            r#"{"watch":"fleet"}"#,
            r#"{"watch":"host","host":"web-01","since":"12-3"}"#,
            r#"{"watch":"events","kind":["started","silent"],"program":"java","text":"shop","host":"web-01"}"#,
            r#"{"unwatch":"host","host":"web-01"}"#,
            r#"{"watch":"host","host":"no name\u0000"}"#,
        ] {
            assert!(read(good).is_ok(), "{good}: {:?}", read(good));
        }
        let deep = format!("{}{}", r#"{"watch":"#.repeat(1_000), "}".repeat(1_000));
        let lists = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
        for bad in [
            "",
            "null",
            "[]",
            "\"watch\"",
            "{}",
            r#"{"watch":"alerts"}"#,
            r#"{"watch":"fleet","unwatch":"fleet"}"#,
            r#"{"watch":"host"}"#,
            r#"{"watch":"fleet","host":"a"}"#,
            r#"{"watch":"fleet","since":5}"#,
            r#"{"watch":"fleet","since":"now"}"#,
            r#"{"watch":"fleet","kind":["started"]}"#,
            r#"{"watch":"events","kind":["eaten"]}"#,
            r#"{"watch":"events","host":"../etc"}"#,
            r#"{"watch":"fleet","token":"x"}"#,
            r#"{"watch":"fleet"}{"watch":"fleet"}"#,
            &deep,
            &lists,
            &format!(r#"{{"watch":"events","text":"{}"}}"#, "x".repeat(5_000)),
        ] {
            let refusal = Request::read(bad).unwrap_err();
            assert!(!refusal.hint.is_empty() && refusal.error.len() < 400, "{bad}: {refusal:?}");
        }
    }
}
