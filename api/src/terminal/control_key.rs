//! `fleetps control-key`: the key that signs what is asked of hosts.

use std::{collections::HashMap, fmt::Write as _, path::Path};

use anyhow::Context;
use async_nats::Client;
use clap::Subcommand;
use fleetps_nats::{
    HostName,
    agent_settings::{self, ControlKey},
    audit::{Audit, AuditEntry, Outcome},
};

use crate::{auth::By, config::Config};

/// Hosts that are named; of the others there is a count.
const MAX_NAMED: usize = 20;

/// What is to be done with the key.
#[derive(Debug, Subcommand)]
pub(crate) enum ControlKeyCommand {
    /// Print its public half, and which hosts do not trust it yet
    Show,
    /// Make a new key in its place, which hosts trust in the word of the old one; then restart the servers that have it
    Rotate,
}

/// Does it.
///
/// # Errors
/// When the key or the broker cannot be reached, or the new key cannot be written.
pub(crate) fn control_key(config: &Config, asked: &ControlKeyCommand) -> anyhow::Result<()> {
    let file = config.control_key_file();
    let text = tokio::runtime::Runtime::new()?.block_on(async {
        let broker = config.broker()?;
        let client = broker.connect("fleetps control-key").await?;
        match asked {
            ControlKeyCommand::Show => show(&client, &file).await,
            ControlKeyCommand::Rotate => rotate(&client, &file).await,
        }
    })?;
    super::write(&text)
}

async fn rotate(client: &Client, file: &Path) -> anyhow::Result<String> {
    let before = ControlKey::read(file)?.public();
    let entry = AuditEntry {
        at_us: jiff::Timestamp::now().as_microsecond(),
        who: By::command().name,
        from: None,
        action: "control-key.rotate".to_owned(),
        host: None,
        what: format!("in place of {before}"),
        outcome: Outcome::Done,
    };
    // It is on record before anything can be signed with the new one.
    Audit::open(client).await?.record(entry).await?;
    let public = ControlKey::rotate(file)?.public();
    let file = file.display();
    Ok(format!(
        "The new control key is {public}, in {file}.\n\
         Restart fleetps, or every server that has this file: hosts then get what is asked of them under the new key.\n\
         `fleetps control-key show` lists those that do not trust it yet.\n"
    ))
}

async fn show(client: &Client, file: &Path) -> anyhow::Result<String> {
    let key = ControlKey::read(file)?;
    let public = key.public();
    let (waiting, all) = waiting(client, &key).await.context("cannot ask which hosts trust the key")?;
    let mut text = format!("{public}\nof {all} hosts that take settings, {} trust it\n", all - waiting.len());
    for host in waiting.iter().take(MAX_NAMED) {
        let _ = writeln!(text, "not yet: {host}");
    }
    if waiting.len() > MAX_NAMED {
        let _ = writeln!(text, "and {} more", waiting.len() - MAX_NAMED);
    }
    Ok(text)
}

/// The hosts that do not trust `key` as far as they have said, and how many take settings at all. A host that has no frame yet
/// trusts the key that it pinned, which may be an older one.
async fn waiting(client: &Client, key: &ControlKey) -> anyhow::Result<(Vec<HostName>, usize)> {
    let (frames, applied) =
        (agent_settings::frames(client).await?, agent_settings::applied_bucket(client).await?);
    let frames: HashMap<_, _> = frames.all().await?.into_iter().collect();
    let mut applied = applied.all().await?;
    applied.retain(|(_, entry)| entry.value.is_controlled);
    let all = applied.len();
    let waiting =
        applied.into_iter().filter(|(token, entry)| match frames.get(token).map(|frame| &frame.value) {
            Some(frame) => frame.key() != key.public() || entry.value.revision < Some(frame.revision()),
            None => key.has_followed(),
        });
    Ok((waiting.filter_map(|(token, _)| HostName::from_token(&token)).collect(), all))
}
