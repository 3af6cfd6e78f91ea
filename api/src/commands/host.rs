//! `fleetps host`: which hosts may publish. It talks to the broker; whoever has the broker's key may do all of this.

use anyhow::{Context, bail};
use async_nats::Client;
use clap::Subcommand;
use fleetps_nats::{
    HostName,
    audit::{Audit, AuditEntry, Outcome},
    bucket::{Bucket, Entry},
    hosts::{self, Admission, Group, HostRecord, MAX_GROUPS},
};

use super::table::{Heading, render};
use crate::{config::Config, display::time, people::By};

/// How often a change is tried that others are faster with.
const MAX_ATTEMPTS: usize = 10;

const HEADINGS: [Heading<'_>; 5] =
    [heading("NAME"), heading("STATE"), heading("GROUPS"), heading("FIRST CONTACT"), heading("KEY")];

const fn heading(name: &str) -> Heading<'_> {
    Heading { name, is_number: false }
}

/// What to do about hosts.
#[derive(Debug, Subcommand)]
pub enum HostCommand {
    /// List every host that is known to the broker, and whether it may publish
    List,
    /// Admit a host that waits; compare the key in the list with the one that the host's `join` printed
    Approve {
        /// The host
        name: HostName,
    },
    /// Cut a host off at once, and keep it out
    Revoke {
        /// The host
        name: HostName,
    },
    /// Cut a host off and free its name: for a machine that was made anew, or is gone
    Forget {
        /// The host
        name: HostName,
    },
    /// Have a host make itself a new key, at once where it is connected
    Rotate {
        /// The host
        name: HostName,
    },
    /// Put a host into these groups and no others
    Group {
        /// The host
        name: HostName,
        /// As in web or env=prod; none for none
        groups: Vec<Group>,
    },
}

/// Does it.
///
/// # Errors
/// When the broker cannot be reached, or it is not possible.
pub fn host(config: &Config, command: HostCommand) -> anyhow::Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let client = config.broker()?.connect("fleetps host").await?;
        let hosts = hosts::open(&client).await?;
        if let HostCommand::List = command {
            print!("{}", list(&hosts).await?);
            return Ok(());
        }
        let outcome = carry_out(&hosts, &command).await;
        record(&client, &command, outcome.is_ok()).await?;
        println!("{}", outcome?);
        Ok(())
    })
}

async fn list(hosts: &Bucket<HostRecord>) -> anyhow::Result<String> {
    let row = |(name, Entry { value: record, .. }): (String, Entry<HostRecord>)| {
        let groups: Vec<_> = record.groups.iter().cloned().collect();
        let key = record.keys.first().cloned().unwrap_or_default();
        vec![name, state(&record).to_owned(), groups.join(" "), time(record.first_contact_at_us), key]
    };
    Ok(render(&HEADINGS, hosts.all().await?.into_iter().map(row)))
}

fn state(record: &HostRecord) -> &'static str {
    match record.admission {
        Admission::Waiting => "waits",
        Admission::Admitted if record.rotate => "changes its key",
        Admission::Admitted => "admitted",
        Admission::Revoked => "revoked",
    }
}

/// Does what changes something; what to tell about it.
async fn carry_out(hosts: &Bucket<HostRecord>, command: &HostCommand) -> anyhow::Result<String> {
    match command {
        HostCommand::List => Ok(String::new()),
        HostCommand::Approve { name } => {
            change(hosts, name, |record| match record.admission {
                Admission::Admitted => bail!("{name} is admitted already"),
                Admission::Waiting | Admission::Revoked => {
                    record.admission = Admission::Admitted;
                    Ok(())
                }
            })
            .await?;
            Ok(format!("{name} is admitted; it tries again within seconds"))
        }
        HostCommand::Revoke { name } => {
            change(hosts, name, |record| {
                record.admission = Admission::Revoked;
                Ok(())
            })
            .await?;
            Ok(format!("{name} is revoked; its connections are being ended"))
        }
        HostCommand::Forget { name } => {
            known(hosts, name).await?;
            hosts.delete(name.as_str()).await?;
            Ok(format!("{name} is forgotten; its connections are being ended, and its history stays"))
        }
        HostCommand::Rotate { name } => {
            change(hosts, name, |record| {
                record.rotate = true;
                Ok(())
            })
            .await?;
            Ok(format!("{name} makes itself a new key when it next connects, which is now if it runs"))
        }
        HostCommand::Group { name, groups } => {
            if groups.len() > MAX_GROUPS {
                bail!("{name} cannot be in more than {MAX_GROUPS} groups");
            }
            change(hosts, name, |record| {
                record.groups = groups.iter().cloned().map(String::from).collect();
                Ok(())
            })
            .await?;
            Ok(format!("{name} is in {} groups", groups.len()))
        }
    }
}

async fn known(hosts: &Bucket<HostRecord>, name: &HostName) -> anyhow::Result<Entry<HostRecord>> {
    let known = hosts.get(name.as_str()).await?;
    known.with_context(|| format!("no host is called {name}; `fleetps host list` has those that are known"))
}

async fn change(
    hosts: &Bucket<HostRecord>,
    name: &HostName,
    change: impl Fn(&mut HostRecord) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for _ in 0..MAX_ATTEMPTS {
        let Entry { mut value, revision } = known(hosts, name).await?;
        change(&mut value)?;
        if hosts.update(name.as_str(), &value, revision).await? {
            return Ok(());
        }
    }
    bail!("{name} was changed by others {MAX_ATTEMPTS} times in this moment; try again")
}

/// Writes down what was done.
async fn record(client: &Client, command: &HostCommand, is_done: bool) -> anyhow::Result<()> {
    let (action, name, what) = match command {
        HostCommand::List => return Ok(()),
        HostCommand::Approve { name } => ("host.approve", name, String::new()),
        HostCommand::Revoke { name } => ("host.revoke", name, String::new()),
        HostCommand::Forget { name } => ("host.forget", name, String::new()),
        HostCommand::Rotate { name } => ("host.rotate", name, String::new()),
        HostCommand::Group { name, groups } => ("host.group", name, format!("{groups:?}")),
    };
    let entry = AuditEntry {
        at_us: jiff::Timestamp::now().as_microsecond(),
        who: By::command().name,
        from: None,
        action: action.to_owned(),
        host: Some(name.clone()),
        what,
        outcome: if is_done { Outcome::Done } else { Outcome::Failed },
    };
    Ok(Audit::open(client).await?.record(entry).await?)
}
