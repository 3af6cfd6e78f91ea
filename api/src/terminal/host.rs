//! `fleetps host`: which hosts may publish. It talks to the broker, and needs only the broker's key.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use async_nats::Client;
use clap::Subcommand;
use fleetps_nats::{
    HostName,
    admission::network_meant,
    agent_settings,
    audit::{Audit, AuditEntry, Outcome},
    bucket::{Bucket, Entry},
    hosts::{self, Admission, Group, HostRecord, MAX_GROUPS},
};

use super::table::{Heading, render};
use crate::{audit_log::groups_changed, auth::By, config::Config, display::time};

/// How often a change is tried that others are faster with.
const MAX_ATTEMPTS: usize = 10;

const HEADINGS: [Heading<'_>; 5] =
    [heading("NAME"), heading("STATE"), heading("GROUPS"), heading("FIRST CONTACT"), heading("KEY")];

const fn heading(name: &str) -> Heading<'_> {
    Heading { name, is_number: false }
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum HostCommand {
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
    /// Cut a host off and free its name: for a machine that was reinstalled, or is gone; or forget hosts that wait
    Forget {
        /// The host
        #[arg(required_unless_present = "waiting", conflicts_with = "waiting")]
        name: Option<HostName>,
        /// All hosts that wait for approval, or those of one network, as in 192.0.2.0/24 (the list has them)
        #[arg(long, value_name = "NETWORK", num_args = 0..=1)]
        waiting: Option<Option<String>>,
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
pub(crate) fn host(config: &Config, command: HostCommand) -> anyhow::Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let client = config.broker()?.connect("fleetps host").await?;
        let hosts = hosts::open(&client).await?;
        if let HostCommand::List = command {
            fleetps_nats::out!("{}", list(&hosts).await?);
            return Ok(());
        }
        let done = carry_out(&hosts, &command).await;
        if let (Ok(_), HostCommand::Forget { name: Some(name), .. }) = (&done, &command) {
            agent_settings::forget(&client, name).await?;
        }
        record(&client, &command, &done).await?;
        fleetps_nats::outln!("{}", done?.told);
        Ok(())
    })
}

async fn list(hosts: &Bucket<HostRecord>) -> anyhow::Result<String> {
    let row = |(name, Entry { value: record, .. }): (String, Entry<HostRecord>)| {
        let groups: Vec<_> = record.groups.iter().cloned().collect();
        let older = record.legacy.as_ref().map(|agent| format!("legacy {}", agent.system));
        let key = record.keys.first().cloned().or(older).unwrap_or_default();
        let network = record.network.as_ref().filter(|_| record.admission == Admission::Waiting);
        let state = network.map_or_else(|| state(&record).to_owned(), |network| format!("waits ({network})"));
        vec![name, state, groups.join(" "), time(record.first_contact_at_us), key]
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

/// The outcome of a change.
struct Done {
    /// The message for the person who asked.
    told: String,
    /// The change, for the audit.
    what: String,
}

/// Does what changes something.
async fn carry_out(hosts: &Bucket<HostRecord>, command: &HostCommand) -> anyhow::Result<Done> {
    match command {
        HostCommand::List => Ok(Done { told: String::new(), what: String::new() }),
        HostCommand::Approve { name } => {
            let was = change(hosts, name, |record| match record.admission {
                Admission::Admitted => bail!("{name} is admitted already"),
                Admission::Waiting | Admission::Revoked => {
                    record.admit();
                    Ok(())
                }
            })
            .await?;
            let told = format!("{name} is admitted; it tries again within seconds");
            Ok(Done { told, what: format!("{} → admitted", known_as(&was)) })
        }
        HostCommand::Revoke { name } => {
            let was = change(hosts, name, |record| {
                record.admission = Admission::Revoked;
                Ok(())
            })
            .await?;
            let told = format!("{name} is revoked; its connections are being ended");
            Ok(Done { told, what: format!("{} → revoked", known_as(&was)) })
        }
        HostCommand::Forget { name: None, waiting } => {
            let given = waiting.as_ref().and_then(Option::as_deref);
            let network = given.map(meant).transpose()?;
            let count = hosts::end_all_waiting(hosts, network.as_deref()).await?;
            let of = network.as_ref().map_or_else(String::new, |network| format!(" of {network}"));
            let told = format!("{count} hosts{of} wait no longer; those that run ask again within seconds");
            Ok(Done { told, what: format!("{count} hosts{of} that waited → forgotten") })
        }
        HostCommand::Forget { name: Some(name), .. } => {
            let was = known(hosts, name).await?.value;
            hosts::forget(hosts, name).await?;
            let told = format!("{name} is forgotten; its connections are being ended, and its history stays");
            let groups = groups_changed(&was.groups, &BTreeSet::new());
            Ok(Done { told, what: format!("{} → forgotten; groups {groups}", known_as(&was)) })
        }
        HostCommand::Rotate { name } => {
            let was = change(hosts, name, |record| {
                record.rotate = true;
                Ok(())
            })
            .await?;
            let told =
                format!("{name} makes itself a new key when it next connects, which is now if it runs");
            Ok(Done { told, what: format!("{} → changes its key", known_as(&was)) })
        }
        HostCommand::Group { name, groups } => {
            if groups.len() > MAX_GROUPS {
                bail!("{name} cannot be in more than {MAX_GROUPS} groups");
            }
            let groups: BTreeSet<String> = groups.iter().cloned().map(String::from).collect();
            let was = change(hosts, name, |record| {
                record.groups.clone_from(&groups);
                Ok(())
            })
            .await?;
            let told = format!("{name} is in {} groups", groups.len());
            Ok(Done { told, what: groups_changed(&was.groups, &groups) })
        }
    }
}

/// A network of hosts that wait, as the list of hosts names it.
fn meant(network: &str) -> anyhow::Result<String> {
    network_meant(network).with_context(|| {
        format!(
            "{network:?} is no network of hosts that wait; they are written as 192.0.2.0/24 and 2001:db8::/64"
        )
    })
}

/// A host's state, and the key that speaks for it.
fn known_as(record: &HostRecord) -> String {
    format!("{} with the key {}", state(record), record.keys.first().map_or("none", String::as_str))
}

async fn known(hosts: &Bucket<HostRecord>, name: &HostName) -> anyhow::Result<Entry<HostRecord>> {
    let known = hosts.get(name.as_str()).await?;
    known.with_context(|| format!("no host is called {name}; `fleetps host list` has those that are known"))
}

/// Changes the record of a host; returns what it was.
async fn change(
    hosts: &Bucket<HostRecord>,
    name: &HostName,
    change: impl Fn(&mut HostRecord) -> anyhow::Result<()>,
) -> anyhow::Result<HostRecord> {
    for _ in 0..MAX_ATTEMPTS {
        let Entry { value: was, revision } = known(hosts, name).await?;
        let mut value = was.clone();
        change(&mut value)?;
        if hosts.update(name.as_str(), &value, revision).await? {
            return Ok(was);
        }
    }
    bail!("{name} was changed by others {MAX_ATTEMPTS} times in this moment; try again")
}

/// Audits the change, or why it failed.
async fn record(client: &Client, command: &HostCommand, done: &anyhow::Result<Done>) -> anyhow::Result<()> {
    let (action, name) = match command {
        HostCommand::List => return Ok(()),
        HostCommand::Approve { name } => ("host.approve", Some(name)),
        HostCommand::Revoke { name } => ("host.revoke", Some(name)),
        HostCommand::Forget { name, .. } => ("host.forget", name.as_ref()),
        HostCommand::Rotate { name } => ("host.rotate", Some(name)),
        HostCommand::Group { name, .. } => ("host.group", Some(name)),
    };
    let (what, outcome) = match done {
        Ok(done) => (done.what.clone(), Outcome::Done),
        Err(error) => (format!("{error:#}"), Outcome::Failed),
    };
    let entry = AuditEntry {
        at_us: jiff::Timestamp::now().as_microsecond(),
        who: By::command().name,
        from: None,
        action: action.to_owned(),
        host: name.cloned(),
        what,
        outcome,
    };
    Audit::open(client).await?.record(entry).await?;
    Ok(())
}
