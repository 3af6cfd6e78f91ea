//! The fields of the form of a channel, which are those of its record, and what became of notifications.

use serde_json::{Map, Value, json};

use crate::{
    display,
    notify::{Channel, Means, Record, State},
};

/// The kinds of channels: the name in records, and on pages.
pub(crate) const KINDS: [(&str, &str); 6] = [
    ("mail", "Mail"),
    ("slack_webhook", "Slack webhook"),
    ("slack_token", "Slack bot"),
    ("webhook", "Webhook"),
    ("command", "Program"),
    ("heartbeat", "Heartbeat"),
];

/// How a field is filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// One line.
    Line,
    /// A whole number.
    Number,
    /// A secret: never shown.
    Secret,
    /// Several lines, one text each.
    Lines,
    /// One text of several lines.
    Text,
    /// One of these.
    Choice(&'static [&'static str]),
}

/// A field of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its label.
    pub label: &'static str,
    /// How it is filled in.
    pub input: Input,
    /// What it looks like.
    pub example: &'static str,
}

/// A field with what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filled {
    /// The field.
    pub field: Field,
    /// What is in it; of a secret nothing.
    pub value: String,
}

const fn field(name: &'static str, label: &'static str, input: Input, example: &'static str) -> Field {
    Field { name, label, input, example }
}

const AUTHORITY: Field =
    field("authority", "Certificate authority (PEM)", Input::Text, "only without a public certificate");
const MAIL: [Field; 9] = [
    field("server", "Relay", Input::Line, "smtp.example.com"),
    field("tls", "TLS", Input::Choice(&["required", "implicit", "none"]), ""),
    field("port", "Port", Input::Number, "587"),
    field("user", "User", Input::Line, "none"),
    field("password", "Password", Input::Secret, ""),
    field("from", "From", Input::Line, "fleetps <fleetps@example.com>"),
    field("to", "To, one a line", Input::Lines, "ops@example.com"),
    field("hello_name", "Own name", Input::Line, "the domain of From"),
    AUTHORITY,
];
const SLACK_WEBHOOK: [Field; 1] =
    [field("url", "Webhook address", Input::Secret, "https://hooks.slack.com/services/…")];
const SLACK_TOKEN: [Field; 2] = [
    field("token", "Bot token", Input::Secret, "xoxb-…"),
    field("conversation", "Conversation", Input::Line, "C0123456789"),
];
const WEBHOOK: [Field; 3] = [
    field("url", "Address", Input::Line, "https://hooks.example.com/fleetps"),
    field("secret", "Signature key", Input::Secret, ""),
    AUTHORITY,
];
const COMMAND: [Field; 2] = [
    field("program", "Program", Input::Line, "/usr/local/bin/page"),
    field("arguments", "Arguments, one a line", Input::Lines, ""),
];

const HEARTBEAT: [Field; 1] =
    [field("url", "Address of the watcher", Input::Secret, "https://watcher.example.com/…")];

/// A kind as pages call it.
pub(crate) fn label(kind: &str) -> &'static str {
    KINDS.iter().find(|(known, _)| *known == kind).map_or("Unknown", |(_, label)| label)
}

/// What the page of a channel of this kind calls a field of its record.
pub(crate) fn label_of(kind: &str, name: &str) -> Option<&'static str> {
    match name {
        "id" => Some("Id"),
        "name" => Some("Name"),
        "fallback" => Some("Fallback"),
        name => fields(kind).iter().find(|field| field.name == name).map(|field| field.label),
    }
}

/// The fields of a kind; none of a kind that there is not.
pub(crate) fn fields(kind: &str) -> &'static [Field] {
    match kind {
        "mail" => &MAIL,
        "slack_webhook" => &SLACK_WEBHOOK,
        "slack_token" => &SLACK_TOKEN,
        "webhook" => &WEBHOOK,
        "command" => &COMMAND,
        "heartbeat" => &HEARTBEAT,
        _ => &[],
    }
}

/// The fields of a channel with what is in them.
pub(crate) fn of_channel(channel: &Channel) -> Vec<Filled> {
    // Structs of texts and lists of texts can always be written.
    let record = serde_json::to_value(&channel.means).unwrap_or_default();
    let value = |field: &Field| match &record[field.name] {
        _ if field.input == Input::Secret => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(texts) => texts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    fields(channel.means.kind()).iter().map(|field| Filled { field: *field, value: value(field) }).collect()
}

/// How a channel of this kind is reached, as its fields were filled in; `typed` has the text of each.
///
/// # Errors
/// When there is no such kind, or something is no value of its field.
pub(crate) fn read(kind: &str, typed: impl Fn(&str) -> String) -> Result<Means, String> {
    let mut record = Map::from_iter([("kind".to_owned(), json!(kind))]);
    for field in fields(kind) {
        let text = typed(field.name).replace("\r\n", "\n");
        let text = text.trim();
        let value = match field.input {
            Input::Lines => {
                json!(text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>())
            }
            _ if text.is_empty() => continue,
            Input::Number => match text.parse::<u16>() {
                Ok(number) => json!(number),
                Err(_) => return Err(format!("{}: expected a number from 1 to 65535", field.label)),
            },
            _ => json!(text),
        };
        record.insert(field.name.to_owned(), value);
    }
    serde_json::from_value(Value::Object(record)).map_err(|error| in_words(kind, &error.to_string()))
}

/// Why a record is no channel, by the label where a field is missing: people know no names of records' fields.
fn in_words(kind: &str, error: &str) -> String {
    let is_missing = |field: &&Field| error.contains(&format!("missing field `{}`", field.name));
    match fields(kind).iter().find(is_missing) {
        Some(field) => format!("{}: is missing", field.label),
        None => error.to_owned(),
    }
}

/// The word for what became of a notification, and its colour.
pub(crate) fn state(state: &State) -> (&'static str, &'static str) {
    match state {
        State::Sending { .. } => ("sending", ""),
        State::Waiting { .. } => ("waiting", "silent"),
        State::Sent { .. } => ("sent", "up"),
        State::Undeliverable { .. } => ("undeliverable", "down"),
    }
}

/// A notification on its way to a channel, or what became of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Delivery {
    /// Its id.
    pub id: String,
    /// What became of it.
    pub record: Record,
}

/// A notification and what became of it, as a page shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeliveryLine {
    /// Its id.
    pub id: String,
    /// The channel.
    pub channel: String,
    /// What it says.
    pub headline: String,
    /// What became of it, and the colour of that.
    pub state: (&'static str, &'static str),
    /// Why the last attempt failed; empty where none did.
    pub reason: String,
    /// The last change, in µs since 1970 UTC.
    pub at_us: i64,
}

impl DeliveryLine {
    /// The line of `delivery`.
    pub(crate) fn of(delivery: &Delivery) -> Self {
        let record = &delivery.record;
        Self {
            id: delivery.id.clone(),
            channel: record.channel.clone(),
            headline: display::visible(&record.headline).into_owned(),
            state: state(&record.state),
            reason: display::visible(&record.reason).into_owned(),
            at_us: record.at_us,
        }
    }

    /// Whether it can be sent again.
    pub(crate) fn is_undeliverable(&self) -> bool {
        self.state.0 == "undeliverable"
    }
}

/// What became of a test, in words, and its colour.
pub(crate) fn tested(record: Option<&Record>) -> (String, &'static str) {
    let Some(record) = record else {
        return ("Nothing has taken the test message yet: it is in the outbox.".to_owned(), "silent");
    };
    let reason = display::visible(&record.reason);
    let text = match &record.state {
        State::Sent { .. } => "The receiver has the test message.".to_owned(),
        State::Sending { .. } => "The receiver has not answered yet.".to_owned(),
        State::Waiting { .. } => format!("Not delivered: {reason}. It is tried again for 24 hours."),
        State::Undeliverable { .. } => format!("Not delivered: {reason}. It is not tried again."),
    };
    (text, state(&record.state).1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn every_kind_has_a_form_that_reads_what_it_shows_but_secrets() {
        let records = [
            json!({"kind": "mail", "server": "mx.example", "port": 25, "tls": "none", "user": "u", "password": "hush",
                "hello_name": "h.example", "from": "a@b.example", "to": ["c@d.example", "e@f.example"], "authority": "PEM\nx"}),
            json!({"kind": "slack_webhook", "url": "https://hush.example"}),
            json!({"kind": "slack_token", "token": "hush", "conversation": "C01"}),
            json!({"kind": "webhook", "url": "https://a.example", "secret": "hush", "authority": "PEM"}),
            json!({"kind": "command", "program": "/bin/x", "arguments": ["a", "b"]}),
            json!({"kind": "heartbeat", "url": "https://hush.example"}),
        ];
        assert_eq!(records.len(), KINDS.len());
        for (record, (kind, _)) in records.into_iter().zip(KINDS) {
            let means: Means = serde_json::from_value(record.clone()).unwrap();
            let channel = Channel { name: "n".to_owned(), means, fallback: None };
            let filled = of_channel(&channel);
            assert!(!format!("{filled:?}").contains("hush"), "{filled:?}");
            let typed: HashMap<&str, String> =
                filled.iter().map(|filled| (filled.field.name, filled.value.replace('\n', "\r\n"))).collect();
            let read = read(kind, |name| typed[name].clone()).unwrap();
            assert_eq!(read, channel.without_secrets().means);
            // Each field of the record has a place in the form.
            let known = record.as_object().unwrap().keys().filter(|key| *key != "kind");
            assert!(
                known.eq(fields(kind)
                    .iter()
                    .map(|field| field.name)
                    .collect::<std::collections::BTreeSet<_>>())
            );
        }
    }

    #[test]
    fn what_is_no_value_is_refused() {
        assert!(read("pigeon", |_| String::new()).is_err());
        let port = |name: &str| if name == "port" { "x".to_owned() } else { "a@b.example".to_owned() };
        assert!(read("mail", port).unwrap_err().starts_with("Port"));
        for (kind, label) in [
            ("mail", "Relay"),
            ("slack_token", "Conversation"),
            ("webhook", "Address"),
            ("command", "Program"),
        ] {
            assert_eq!(read(kind, |_| String::new()), Err(format!("{label}: is missing")));
        }
    }
}
