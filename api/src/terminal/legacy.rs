//! `fleetps legacy`: when new hosts of older systems are let in.

use std::{
    collections::BTreeSet,
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use async_nats::Client;
use clap::{Args, Subcommand};
use fleetps_nats::{
    audit::{Audit, AuditEntry, Outcome},
    bounds,
    bucket::Bucket,
    hosts::{self, Group},
    now_us, units,
};

use super::table::{Heading, render};
use crate::{
    auth::By,
    config::Config,
    display::{count, time},
    legacy::{Import, KeyHash, Report, System, WINDOWS, Window},
};

/// The longest key that is read from a file, in bytes.
const MAX_KEY_BYTES: u64 = 4096;

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum LegacyCommand {
    /// Let new hosts of an older system in for a while; hosts that are known need nothing
    Allow(AllowArgs),
    /// Let no further new hosts of an older system in
    Close {
        /// The older system: 000, 001, 002 or 003
        system: System,
    },
    /// List what is let in, and the hosts of older systems
    List,
    /// Bring the hosts and the history of system 001 or 002 from its SQLite database, while everything runs; again for what came
    /// since. Needs the data folder
    Import(ImportArgs),
}

/// What is imported.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The database, as in db.sqlite3
    file: PathBuf,
    /// A group for hosts that are new, as in web or env=prod; may be given again
    #[arg(long, value_name = "GROUP")]
    group: Vec<Group>,
}

/// What is let in.
#[derive(Debug, Args)]
pub(crate) struct AllowArgs {
    /// The older system: 000, 001, 002 or 003
    system: System,
    /// How many new hosts are let in
    #[arg(long, value_name = "HOSTS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    uses: u32,
    /// For how long
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = units::parse_duration)]
    ttl: Duration,
    /// A group for these hosts, as in web or env=prod; may be given again
    #[arg(long, value_name = "GROUP")]
    group: Vec<Group>,
    /// File with the one key that these hosts have in common; - reads it from standard input. They are unverified: each can
    /// speak for another of them
    #[arg(long, value_name = "FILE")]
    shared_key_from: Option<PathBuf>,
    /// Take a key that is in public copies of the older system, as one that hosts have in common
    #[arg(long)]
    accept_known_keys: bool,
}

/// Does it.
///
/// # Errors
/// When the broker cannot be reached, or it is not possible.
pub(crate) fn legacy(config: &Config, command: LegacyCommand) -> anyhow::Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let client = config.broker()?.connect("fleetps legacy").await?;
        let windows: Bucket<Window> = Bucket::open(&client, WINDOWS).await?;
        match command {
            LegacyCommand::Allow(args) => allow(&client, &windows, args).await,
            LegacyCommand::Close { system } => {
                record(&client, "legacy.close", format!("system {system}")).await?;
                windows.delete(system.number()).await?;
                fleetps_nats::outln!("no new hosts of system {system} are let in; known ones go on");
                Ok(())
            }
            LegacyCommand::List => list(&client, &windows).await,
            LegacyCommand::Import(args) => import(config, &client, args).await,
        }
    })
}

async fn allow(client: &Client, windows: &Bucket<Window>, args: AllowArgs) -> anyhow::Result<()> {
    let AllowArgs { system, uses, ttl, group, shared_key_from, accept_known_keys } = args;
    let lasts = "a window that is open for long lets in whoever finds it, and a rollout needs time";
    bounds::duration(Duration::from_secs(1)..=Duration::from_secs(366 * 24 * 3600), lasts)
        .check("ttl", &ttl)?;
    ensure!(
        system.has_keys() || shared_key_from.is_none(),
        "agents of system {system} have no keys; the setting allowed_from in [legacy] says from where they may post"
    );
    let shared_key = shared_key_from.as_deref().map(read_key).transpose()?;
    if system == System::S000 && shared_key.is_none() {
        bail!(
            "agents of system 000 have one key in common: name the file that has it with --shared-key-from FILE"
        );
    }
    if shared_key.as_ref().is_some_and(KeyHash::is_known) && !accept_known_keys {
        bail!(
            "everybody has this key: it is in public copies of system {system}; --accept-known-keys takes it all the same"
        );
    }
    let groups: BTreeSet<String> = group.into_iter().map(String::from).collect();
    let ttl_text = units::format_duration(ttl);
    let how = match (&shared_key, accept_known_keys) {
        (Some(_), _) => ", with a shared key",
        (None, true) => ", known keys accepted",
        (None, false) => "",
    };
    record(
        client,
        "legacy.allow",
        format!("{uses} hosts of system {system} within {ttl_text}, groups {groups:?}{how}"),
    )
    .await?;
    let ttl_us = i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX);
    let window = Window {
        expires_at_us: now_us().saturating_add(ttl_us),
        uses_left: uses,
        groups,
        shared_key,
        accepts_known_keys: accept_known_keys,
    };
    windows.put(system.number(), &window).await.context("nothing was changed")?;
    fleetps_nats::outln!("lets in {uses} new hosts of system {system} within {ttl_text}{how}");
    Ok(())
}

async fn import(config: &Config, client: &Client, args: ImportArgs) -> anyhow::Result<()> {
    let ImportArgs { file, group } = args;
    let named = file.display().to_string();
    ensure!(
        config.history.history.is_dir(),
        "there is no history in {}; import where the data folder is, and name it with --data DIR",
        config.history.history.display()
    );
    record(client, "legacy.import", format!("the database {named}")).await?;
    let import = Import {
        file,
        history: config.history.history.clone(),
        keep: config.history.keep_hours,
        groups: group.into_iter().map(String::from).collect(),
        command_lines: config.legacy.command_lines,
    };
    let report = import.run(client).await.with_context(|| format!("cannot import {named}"))?;
    fleetps_nats::out!("{}", told(&report));
    Ok(())
}

/// What an import did, in lines.
fn told(report: &Report) -> String {
    let Report { system, new_hosts, without_name, snapshots, known, too_old, unusable } = report;
    let hosts = if new_hosts.is_empty() { "none".to_owned() } else { new_hosts.join(" ") };
    let mut lines = vec![
        format!("added {} snapshots of system {system}", count(*snapshots)),
        format!("new hosts: {hosts}"),
    ];
    let mut note = |number: u64, what: &str| {
        if number > 0 {
            lines.push(format!("{} {what}", count(number)));
        }
    };
    note(*known, "were in the history already");
    note(*too_old, "are older than is kept (setting keep_hours), and were left out");
    note(*unusable, "are of no machine, or of more than a day from now, and were left out");
    note(without_name.len() as u64, "machines were left out, because every name for them is taken");
    lines.join("\n") + "\n"
}

/// The hash of the key in a file, without a line break at its end.
fn read_key(path: &Path) -> anyhow::Result<KeyHash> {
    let mut key = Vec::new();
    match path == Path::new("-") {
        true => std::io::stdin().lock().take(MAX_KEY_BYTES).read_to_end(&mut key)?,
        false => {
            let file =
                std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
            file.take(MAX_KEY_BYTES).read_to_end(&mut key)?
        }
    };
    let key = key.trim_ascii_end();
    ensure!(!key.is_empty(), "{} has no key in it", path.display());
    Ok(KeyHash::of(key))
}

async fn list(client: &Client, windows: &Bucket<Window>) -> anyhow::Result<()> {
    let heading = |name| Heading { name, is_number: false };
    let open = windows.all().await?.into_iter().filter(|(_, window)| window.value.is_open());
    let row = |(system, window): (String, fleetps_nats::bucket::Entry<Window>)| {
        let window = window.value;
        let groups = window.groups.into_iter().collect::<Vec<_>>().join(" ");
        let keys = if window.shared_key.is_some() { "shared" } else { "" };
        vec![system, window.uses_left.to_string(), time(window.expires_at_us), groups, keys.to_owned()]
    };
    let headings = ["SYSTEM", "LETS IN", "UNTIL", "GROUPS", "KEYS"].map(heading);
    fleetps_nats::out!("{}\n", render(&headings, open.map(row)));
    let hosts = hosts::open(client).await?.all().await?;
    let row = |(name, record): (String, fleetps_nats::bucket::Entry<hosts::HostRecord>)| {
        let record = record.value;
        let is_superseded = record.is_superseded();
        let agent = record.legacy?;
        let verified = if agent.verified { "verified" } else { "unverified" };
        let state = if is_superseded { "replaced by an agent of fleetps" } else { verified };
        Some(vec![name, agent.system, agent.name, state.to_owned()])
    };
    let headings = ["NAME", "SYSTEM", "CALLS ITSELF", "STATE"].map(heading);
    fleetps_nats::out!("{}", render(&headings, hosts.into_iter().filter_map(row)));
    Ok(())
}

/// What was let in must be in the audit before it is.
async fn record(client: &Client, action: &str, what: String) -> anyhow::Result<()> {
    let entry = AuditEntry {
        at_us: now_us(),
        who: By::command().name,
        from: None,
        action: action.to_owned(),
        host: None,
        what,
        outcome: Outcome::Done,
    };
    Audit::open(client).await?.record(entry).await?;
    Ok(())
}
