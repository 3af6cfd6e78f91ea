//! A channel as the broker keeps it: where notifications go, and the secrets that this takes.

use std::fmt;

use lettre::message::Mailbox;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The bucket of channels; a key is a channel's id.
pub const BUCKET: &str = "notify_channels";
/// The longest id. It is a part of subjects and of consumers' names.
const MAX_ID: usize = 40;
/// Channels at most: each has a consumer of the broker and a task.
pub const MAX_CHANNELS: usize = 100;
/// The longest name, address or argument.
const MAX_TEXT: usize = 1_000;
/// Recipients of one mail: more is a mailing list's work.
pub(super) const MAX_RECIPIENTS: usize = 50;

/// A channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// What people call it.
    pub name: String,
    /// How it is reached.
    pub means: Means,
    /// The channel that is told instead what this one could not deliver.
    #[serde(default)]
    pub fallback: Option<String>,
}

/// How a channel is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[schemars(rename = "ChannelMeans")]
pub enum Means {
    /// Mail over SMTP.
    Mail(Mail),
    /// Slack, by an incoming webhook.
    SlackWebhook(SlackWebhook),
    /// Slack, by a bot's token.
    SlackToken(SlackToken),
    /// A signed post of JSON.
    Webhook(Webhook),
    /// A program on the server.
    Command(Command),
    /// An outside watcher that hears every minute that alerts are evaluated, and of no alert.
    Heartbeat(Heartbeat),
}

/// Mail over SMTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MailChannel")]
pub struct Mail {
    /// The relay's name or address.
    pub server: String,
    /// Its port; 587 with `required`, 465 with `implicit`, 25 with `none` where it is left out.
    #[serde(default)]
    pub port: Option<u16>,
    /// How the connection is protected.
    #[serde(default)]
    pub tls: MailTls,
    /// Certificate authorities of the relay in PEM, where it has no public certificate.
    #[serde(default)]
    pub authority: Option<String>,
    /// The user to sign in as; without one, nobody.
    #[serde(default)]
    pub user: Option<String>,
    /// The user's password.
    #[serde(default, skip_serializing_if = "Secret::is_empty")]
    pub password: Secret,
    /// The name by which this machine greets the relay; the domain of `from` where it is left out.
    #[serde(default)]
    pub hello_name: Option<String>,
    /// The sender, as in "fleetps <fleetps@example.com>".
    pub from: String,
    /// The recipients.
    pub to: Vec<String>,
}

/// How a connection to a relay is protected. There is no way to accept what the network offers: it could be a man in the
/// middle who does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MailTls {
    /// STARTTLS, or nothing is sent.
    #[default]
    Required,
    /// TLS from the first byte.
    Implicit,
    /// None, for a relay on this machine only.
    None,
}

/// Slack, by an incoming webhook: one line of text, without threads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SlackWebhookChannel")]
pub struct SlackWebhook {
    /// The address that Slack made, which is a secret.
    #[serde(default, skip_serializing_if = "Secret::is_empty")]
    pub url: Secret,
}

/// Slack, by a bot's token: everything in one message, answers in its thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SlackTokenChannel")]
pub struct SlackToken {
    /// The bot's token, with the scope `chat:write`.
    #[serde(default, skip_serializing_if = "Secret::is_empty")]
    pub token: Secret,
    /// The id of the conversation, as in C0123456789.
    pub conversation: String,
}

/// A signed post of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "WebhookChannel")]
pub struct Webhook {
    /// Where it goes: `https`, or `http` within the networks that the server's settings name.
    pub url: String,
    /// The key of the signature.
    #[serde(default, skip_serializing_if = "Secret::is_empty")]
    pub secret: Secret,
    /// Certificate authorities of the receiver in PEM, where it has no public certificate.
    #[serde(default)]
    pub authority: Option<String>,
}

/// A program on the server, which reads JSON on its standard input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "CommandChannel")]
pub struct Command {
    /// Its absolute path, one of those that the server's settings name.
    pub program: String,
    /// Its arguments.
    #[serde(default)]
    pub arguments: Vec<String>,
}

impl Means {
    /// The name of its kind, as records have it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Mail(_) => "mail",
            Self::SlackWebhook(_) => "slack_webhook",
            Self::SlackToken(_) => "slack_token",
            Self::Webhook(_) => "webhook",
            Self::Command(_) => "command",
            Self::Heartbeat(_) => "heartbeat",
        }
    }

    /// Where it leads, for people, without what may be secret.
    pub fn target(&self) -> String {
        match self {
            Self::Mail(mail) => mail.to.join(", "),
            Self::SlackWebhook(_) => "Slack".to_owned(),
            Self::SlackToken(slack) => format!("Slack, {}", slack.conversation),
            // Behind the host there may be a key.
            Self::Webhook(webhook) => webhook.url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/"),
            Self::Command(command) => command.program.clone(),
            Self::Heartbeat(_) => "an outside watcher".to_owned(),
        }
    }
}

/// An outside watcher, such as a dead man's switch: it tells somebody when it hears nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "HeartbeatChannel")]
pub struct Heartbeat {
    /// The address that is posted to, which is a secret.
    #[serde(default, skip_serializing_if = "Secret::is_empty")]
    pub url: Secret,
}

/// A secret: written to the broker, never shown or logged.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "writeOnly": true})
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.is_empty() { "none" } else { "(secret)" })
    }
}

/// A channel that cannot be kept as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct BadChannel {
    /// The field of the record.
    pub field: &'static str,
    /// What is wrong with it, and what was expected.
    pub problem: String,
}

impl BadChannel {
    pub(super) fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self { field, problem: problem.into() }
    }
}

impl Channel {
    /// Whether alerts can be sent to it.
    pub fn hears_of_alerts(&self) -> bool {
        !matches!(self.means, Means::Heartbeat(_))
    }

    /// The same without what is secret, to show it.
    pub fn without_secrets(&self) -> Self {
        let mut shown = self.clone();
        if let Some(secret) = shown.secret_mut() {
            *secret = Secret::default();
        }
        shown
    }

    /// Takes over the secret of `before` where this has none and goes to the same place. A secret never moves to another
    /// receiver: whoever could change an address could read it there.
    pub fn keep_secret_of(&mut self, before: &Self) {
        let is_same = match (&self.means, &before.means) {
            (Means::Mail(new), Means::Mail(old)) => {
                (&new.server, new.port, new.tls, &new.authority, &new.user)
                    == (&old.server, old.port, old.tls, &old.authority, &old.user)
            }
            (Means::SlackWebhook(_), Means::SlackWebhook(_))
            | (Means::Heartbeat(_), Means::Heartbeat(_))
            | (Means::SlackToken(_), Means::SlackToken(_)) => true,
            (Means::Webhook(new), Means::Webhook(old)) => new.url == old.url,
            _ => false,
        };
        let (kept, secret) = (before.clone().secret_mut().map(|secret| secret.clone()), self.secret_mut());
        if let (true, Some(kept), Some(secret)) = (is_same, kept, secret)
            && secret.is_empty()
        {
            *secret = kept;
        }
    }

    /// Whether it has a secret.
    pub fn has_secret(&self) -> bool {
        self.clone().secret_mut().is_some_and(|secret| !secret.is_empty())
    }

    fn secret_mut(&mut self) -> Option<&mut Secret> {
        match &mut self.means {
            Means::Mail(mail) => Some(&mut mail.password),
            Means::SlackWebhook(slack) => Some(&mut slack.url),
            Means::SlackToken(slack) => Some(&mut slack.token),
            Means::Webhook(webhook) => Some(&mut webhook.secret),
            Means::Heartbeat(heartbeat) => Some(&mut heartbeat.url),
            Means::Command(_) => None,
        }
    }
}

/// Whether a text can be a channel's id.
///
/// # Errors
/// When it is empty, too long or has other characters than lower-case letters, digits and hyphens.
pub fn check_id(id: &str) -> Result<(), BadChannel> {
    let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    match (1..=MAX_ID).contains(&id.len()) && id.chars().all(is_plain) {
        true => Ok(()),
        false => Err(BadChannel::new(
            "id",
            format!("expected 1 to {MAX_ID} lower-case letters, digits and hyphens"),
        )),
    }
}

/// Whether a text is there, bounded and in one line.
pub(super) fn short(field: &'static str, text: &str) -> Result<(), BadChannel> {
    match () {
        () if text.is_empty() => Err(BadChannel::new(field, "is missing")),
        () if text.len() > MAX_TEXT => {
            Err(BadChannel::new(field, format!("is longer than {MAX_TEXT} bytes")))
        }
        () if text.chars().any(char::is_control) => Err(BadChannel::new(field, "has a control character")),
        () => Ok(()),
    }
}

/// A sender or recipient, as in "Anna <anna@example.com>".
pub(super) fn mailbox(field: &'static str, text: &str) -> Result<Mailbox, BadChannel> {
    short(field, text)?;
    let expected =
        || BadChannel::new(field, "expected an address, as in anna@example.com or Anna <anna@example.com>");
    text.parse().map_err(|_| expected())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::send::check;

    fn webhook(url: &str, secret: &str) -> Channel {
        let means = Means::Webhook(Webhook { url: url.to_owned(), secret: secret.into(), authority: None });
        Channel { name: "hook".to_owned(), means, fallback: None }
    }

    #[test]
    fn a_secret_is_never_shown_and_stays_with_its_receiver() {
        let before = webhook("https://a.example/", "hush");
        assert!(!format!("{before:?}").contains("hush"));
        assert!(!serde_json::to_string(&before.without_secrets()).unwrap().contains("hush"));
        let mut same = webhook("https://a.example/", "");
        same.keep_secret_of(&before);
        assert_eq!(same, before);
        let mut elsewhere = webhook("https://evil.example/", "");
        elsewhere.keep_secret_of(&before);
        assert_eq!(elsewhere, webhook("https://evil.example/", ""));
        let mut new = webhook("https://a.example/", "other");
        new.keep_secret_of(&before);
        assert_eq!(new, webhook("https://a.example/", "other"));
        assert!(before.has_secret() && !elsewhere.has_secret());
    }

    #[test]
    fn a_channel_is_what_its_record_says_and_unknown_fields_are_refused() {
        let text = r#"{"name":"m","means":{"kind":"mail","server":"127.0.0.1","tls":"none","from":"a@b.example","to":["c@d.example"]}}"#;
        let channel: Channel = serde_json::from_str(text).unwrap();
        assert_eq!(check(&channel), Ok(()));
        assert!(serde_json::from_str::<Channel>(&text.replace("\"server\"", "\"sever\"")).is_err());
        assert!(serde_json::from_str::<Channel>(&text.replace("\"none\"", "\"opportunistic\"")).is_err());
    }

    #[test]
    fn bad_channels_are_refused_by_the_field() {
        let mail = |change: fn(&mut Mail)| {
            let mut mail = Mail {
                server: "mx.example".to_owned(),
                port: None,
                tls: MailTls::Required,
                authority: None,
                user: None,
                password: Secret::default(),
                hello_name: None,
                from: "a@b.example".to_owned(),
                to: vec!["c@d.example".to_owned()],
            };
            change(&mut mail);
            check(&Channel { name: "m".to_owned(), means: Means::Mail(mail), fallback: None })
                .map_err(|bad| bad.field)
        };
        assert_eq!(mail(|_| ()), Ok(()));
        assert_eq!(mail(|mail| mail.tls = MailTls::None), Err("tls"));
        assert_eq!(mail(|mail| mail.server = "a b".to_owned()), Err("server"));
        assert_eq!(mail(|mail| mail.from = "a@b\r\nBcc: c@d".to_owned()), Err("from"));
        assert_eq!(mail(|mail| mail.to.clear()), Err("to"));
        assert_eq!(mail(|mail| mail.to = vec!["nobody".to_owned()]), Err("to"));
        assert_eq!(mail(|mail| mail.authority = Some("none".to_owned())), Err("authority"));
        assert_eq!(mail(|mail| mail.hello_name = Some("a\nb".to_owned())), Err("hello_name"));
        for url in [
            "",
            "x",
            "ftp://a.example/",
            "https://u:p@a.example/",
            "https://a.example/\n",
            "https://ä.example/",
        ] {
            assert_eq!(check(&webhook(url, "")).map_err(|bad| bad.field), Err("url"), "{url}");
        }
        for id in ["", "A", "a.b", "a>b", &"a".repeat(41)] {
            assert!(check_id(id).is_err(), "{id}");
        }
    }
}
