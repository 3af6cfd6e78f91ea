//! `fleetps alert channel`: the channels that notifications go to, and what could not be delivered.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Subcommand;
use serde_json::Value;
use ureq::http::Method;

use super::{
    ServerArgs,
    field::{Field, Form, listed},
};
use crate::{config::Config, url::Url};

const CHANNELS: [Field; 4] = [
    Field::new("id", "ID", Form::Text),
    Field::new("kind", "KIND", Form::Text),
    Field::new("fallback", "FALLBACK", Form::Text),
    Field::new("name", "NAME", Form::Text),
];
const DELIVERIES: [Field; 6] = [
    Field::new("id", "ID", Form::Text),
    Field::new("state", "STATE", Form::Text),
    Field::new("attempts", "ATTEMPTS", Form::Count),
    Field::new("at", "AGE", Form::Age),
    Field::new("reason", "REASON", Form::Text),
    // It may be long.
    Field::new("headline", "MESSAGE", Form::Text),
];

/// The longest record that is read: certificates of an authority take most of it.
const MAX_RECORD_BYTES: u64 = 64 << 10;

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum ChannelCommand {
    /// List the channels, without their secrets
    List {
        /// The server to ask
        #[command(flatten)]
        asked: ServerArgs,
    },
    /// Save a channel; without its secret it keeps the one that it has
    Set {
        /// Its id, as in ops-mail
        id: String,
        /// A file with the channel as JSON: name, means, fallback; - reads standard input. docs/notifications.md has the
        /// fields
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// The server to ask
        #[command(flatten)]
        asked: ServerArgs,
    },
    /// Remove a channel; what waits for it is not sent
    Remove {
        /// Its id
        id: String,
        /// The server to ask
        #[command(flatten)]
        asked: ServerArgs,
    },
    /// Send a message that says that nothing is wrong, and say what became of it
    Test {
        /// Its id
        id: String,
        /// The server to ask
        #[command(flatten)]
        asked: ServerArgs,
    },
    /// List what became of messages, undeliverable ones first
    Deliveries {
        /// Only to this channel
        #[arg(default_value = "")]
        id: String,
        /// The server to ask
        #[command(flatten)]
        asked: ServerArgs,
    },
    /// Send again what could not be delivered
    Again {
        /// The id of the delivery
        id: String,
        /// The server to ask
        #[command(flatten)]
        asked: ServerArgs,
    },
}

/// Does it.
///
/// # Errors
/// When the server cannot be reached or refuses.
pub(super) fn channel(config: &Config, command: &ChannelCommand) -> anyhow::Result<()> {
    match command {
        ChannelCommand::List { asked } => asked.show(config, &Url::channels().api(), &[], channels),
        ChannelCommand::Set { id, file, asked } => {
            let (url, body) = (Url::channel(id).api(), record(file)?);
            asked.show_answer(config, (Method::PUT, &url, Some(body)), |_| {
                format!("The channel {id} is saved\n")
            })
        }
        ChannelCommand::Remove { id, asked } => {
            let url = Url::channel(id).api();
            asked.show_answer(config, (Method::DELETE, &url, None), |_| {
                format!("The channel {id} is removed\n")
            })
        }
        ChannelCommand::Test { id, asked } => {
            let answer = asked.answer(config, (Method::POST, &Url::channel_test(id).api(), None))?;
            asked.write(&answer, tested)?;
            anyhow::ensure!(!has_failed(&answer), "the channel {id} has not delivered the test message");
            Ok(())
        }
        ChannelCommand::Deliveries { id, asked } => {
            let url = Url::deliveries().api();
            asked.show(config, &url, &[("channel", id.clone())], |answer| {
                listed(answer, "deliveries", &DELIVERIES)
            })
        }
        ChannelCommand::Again { id, asked } => {
            let url = Url::delivery_again(id).api();
            asked.show_answer(config, (Method::POST, &url, None), |_| format!("{id} is on its way\n"))
        }
    }
}

/// A record as JSON. It may hold a secret, so it comes from a file and not from the arguments, which others may see.
pub(super) fn record(file: &Path) -> anyhow::Result<Value> {
    let text = match file.as_os_str() == "-" {
        true => {
            let mut text = String::new();
            std::io::stdin()
                .take(MAX_RECORD_BYTES)
                .read_to_string(&mut text)
                .context("cannot read standard input")?;
            text
        }
        false => {
            fleetps_nats::file::read_text(file).with_context(|| format!("cannot read {}", file.display()))?
        }
    };
    serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.display()))
}

fn channels(answer: &Value) -> String {
    let mut answer = answer.clone();
    for channel in answer["channels"].as_array_mut().into_iter().flatten() {
        channel["kind"] = channel["means"]["kind"].clone();
    }
    listed(&answer, "channels", &CHANNELS)
}

/// Whether the receiver did not take the test message.
fn has_failed(answer: &Value) -> bool {
    matches!(answer["state"].as_str(), Some("waiting" | "undeliverable"))
}

fn tested(answer: &Value) -> String {
    let reason = crate::display::visible(answer["reason"].as_str().unwrap_or_default()).into_owned();
    match answer["state"].as_str() {
        Some("sent") => "The receiver has the test message\n".to_owned(),
        Some("queued") => "Nothing has taken the test message yet: it is in the outbox\n".to_owned(),
        Some("waiting") => format!("Not delivered: {reason}. It is tried again for 24 hours\n"),
        Some("undeliverable") => format!("Not delivered: {reason}. It is not tried again\n"),
        _ => "The receiver has not answered yet\n".to_owned(),
    }
}
