//! Sends one notification to one channel, once. Trying again is the outbox's part.
//!
//! Each file is one kind of channel. All of them get a [`Notification`] that was cleaned, have a time limit, read a bounded
//! answer and say whether a failure is worth another try.

mod address;
mod chart;
mod command;
mod http;
mod mail;
mod slack;
mod webhook;

use std::{path::PathBuf, time::Duration};

use data_encoding::HEXLOWER;
use ipnet::IpNet;
use sha2::{Digest, Sha256};

use super::{
    channel::{BadChannel, Channel, Means, check_id, short},
    failure::{Failure, Sent},
    notification::{Kind, Notification},
};

/// How long a receiver may take, resolving names and connecting included: a chat's servers answer in a second, and a courier
/// waits for one receiver at a time.
const HTTP_LIMIT: Duration = Duration::from_secs(10);
/// A relay may look up senders and recipients before it answers.
const MAIL_LIMIT: Duration = Duration::from_secs(45);
/// A program may ask something else in turn.
const COMMAND_LIMIT: Duration = Duration::from_secs(30);
/// Characters of a key: 128 bits of a hash.
const KEY_CHARACTERS: usize = 32;

/// What the server's own settings allow, which no record in the broker can widen.
#[derive(Debug, Clone, Default)]
pub struct Allowed {
    /// Networks that webhooks may reach although they are not public.
    pub networks: Vec<IpNet>,
    /// Programs that channels may run, by absolute path.
    pub programs: Vec<PathBuf>,
}

impl Allowed {
    /// Why nothing can be delivered to `channel`, before anything is sent: its program or its address is not allowed. Names are
    /// looked up when something is sent.
    pub fn obstacle_to(&self, channel: &Channel) -> Option<String> {
        let url = match &channel.means {
            Means::Command(command) => return command::obstacle(command, &self.programs),
            Means::Webhook(webhook) => webhook.url.as_str(),
            Means::Heartbeat(heartbeat) => heartbeat.url.reveal(),
            Means::SlackWebhook(slack) => slack.url.reveal(),
            Means::Mail(_) | Means::SlackToken(_) => return None,
        };
        address::obstacle(url, &self.networks)
    }
}

/// Sends; cheap to clone.
#[derive(Debug, Clone)]
pub struct Sender {
    allowed: Allowed,
    http_limit: Duration,
    mail_limit: Duration,
    command_limit: Duration,
    slack_api: String,
}

impl Sender {
    /// One that does what the server's settings allow.
    pub fn new(allowed: Allowed) -> Self {
        Self {
            allowed,
            http_limit: HTTP_LIMIT,
            mail_limit: MAIL_LIMIT,
            command_limit: COMMAND_LIMIT,
            slack_api: slack::API.to_owned(),
        }
    }

    /// The same with one time limit for everything, and Slack at another address: for tests.
    pub fn with_limit(self, limit: Duration, slack_api: &str) -> Self {
        let slack_api = slack_api.to_owned();
        Self { http_limit: limit, mail_limit: limit, command_limit: limit, slack_api, ..self }
    }

    /// Sends to `channel`. `opening` is what the channel said when the first message of the thread was sent.
    ///
    /// # Errors
    /// When the receiver did not take it, or the channel or the server's settings don't allow it.
    pub async fn send(
        &self,
        channel: &Channel,
        notification: &Notification,
        opening: Option<&str>,
    ) -> Result<Sent, Failure> {
        let notification = notification.clone().cleaned();
        let networks = || self.allowed.networks.clone();
        match &channel.means {
            Means::Mail(mail) => mail::send(mail, &notification, self.mail_limit).await,
            Means::SlackWebhook(slack) => {
                let post = slack::incoming(slack, &notification);
                slack::judge_incoming(http::post(post, networks(), self.http_limit).await?)
            }
            Means::SlackToken(slack) => {
                let post = slack::message(&self.slack_api, slack, &notification, opening);
                slack::judge_message(http::post(post, networks(), self.http_limit).await?)
            }
            Means::Webhook(webhook) => {
                let post = webhook::post(webhook, &notification, fleetps_nats::now_us());
                http::post(post, networks(), self.http_limit).await?.judge()
            }
            Means::Heartbeat(heartbeat) if notification.kind == Kind::Test => {
                self.beat(heartbeat.url.reveal(), true).await
            }
            Means::Heartbeat(_) => {
                Err(Failure::lasting("this channel hears that alerts are evaluated, and of no alert"))
            }
            Means::Command(command) => {
                command::run(command, &self.allowed.programs, &notification, self.command_limit).await
            }
        }
    }
}

impl Sender {
    /// Tells an outside watcher at `url` that alerts are evaluated.
    ///
    /// # Errors
    /// When it did not take that, or the server's settings don't allow the address.
    pub async fn beat(&self, url: &str, is_test: bool) -> Result<Sent, Failure> {
        let body = serde_json::json!({
            "version": 1,
            "kind": if is_test { "test" } else { "heartbeat" },
            "at_us": fleetps_nats::now_us(),
        });
        let post = http::Post {
            url: url.to_owned(),
            headers: Vec::new(),
            body: body.to_string().into_bytes(),
            authority: None,
            reads_answer: false,
        };
        http::post(post, self.allowed.networks.clone(), self.http_limit).await?.judge()
    }
}

/// What a receiver recognises a notification by: the same for every attempt, of letters and digits only.
pub(super) fn key_of(id: &str) -> String {
    let mut key = HEXLOWER.encode(&Sha256::digest(id.as_bytes()));
    key.truncate(KEY_CHARACTERS);
    key
}

/// Whether a channel can be kept; what the server's settings allow is asked when it sends.
///
/// # Errors
/// Names the first field that is wrong.
pub fn check(channel: &Channel) -> Result<(), BadChannel> {
    short("name", &channel.name)?;
    if let Some(fallback) = &channel.fallback {
        check_id(fallback).map_err(|bad| BadChannel::new("fallback", bad.problem))?;
    }
    match &channel.means {
        Means::Mail(mail) => mail::check(mail),
        Means::SlackWebhook(slack) => check_url("url", slack.url.reveal()),
        Means::SlackToken(slack) => {
            short("token", slack.token.reveal())?;
            let is_id = |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit();
            match slack.conversation.chars().all(is_id) && (2..=40).contains(&slack.conversation.len()) {
                true => Ok(()),
                false => Err(BadChannel::new(
                    "conversation",
                    "expected the id of a conversation, as in C0123456789",
                )),
            }
        }
        Means::Webhook(webhook) => check_url("url", &webhook.url),
        Means::Heartbeat(heartbeat) => check_url("url", heartbeat.url.reveal()),
        Means::Command(command) => command::check(command),
    }
}

/// Whether a text can be the address of a receiver.
fn check_url(field: &'static str, text: &str) -> Result<(), BadChannel> {
    match address::parse_url(text) {
        Some(_) => Ok(()),
        None => Err(BadChannel::new(
            field,
            "expected an address as in https://hooks.example.com/x, in ASCII and without a user name",
        )),
    }
}
