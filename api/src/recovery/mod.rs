//! The records that the broker must not lose (users, hosts, tokens), and how to restore them.
//!
//! `keep` saves the buckets into the data folder whenever they change; `losses` compares the saved records with the
//! broker's; `before` looks for signs of an earlier administrator. A start that finds a loss says so, and makes no link
//! for a new administrator: damaging a file of the broker must not be a way to become one. `--recover` (`recover`)
//! restores the saved records, and is audited.

mod before;
mod health;
mod keep;
mod losses;
mod recover;

use std::path::Path;

use anyhow::Context;
use async_nats::Client;
use fleetps_ingestor::backup::{SavedState, SavedStates};
use fleetps_nats::{HostName, audit::Audit};

pub(crate) use before::sign_of_administrator;
pub(crate) use health::StateHealth;
pub(crate) use keep::keep_saving;
pub(crate) use losses::{Loss, Losses};
pub(crate) use recover::without_keys;

use crate::display::time;

/// The findings of a start.
#[derive(Debug)]
pub(crate) struct Found {
    /// The state that was saved last and is whole.
    pub saved: Option<SavedState>,
    /// The records that the broker has lost since, and still lacks.
    pub losses: Losses,
}

impl Found {
    /// The loss and what to do about it, for readiness.
    pub(crate) fn problem(&self) -> Option<String> {
        (!self.losses.is_empty()).then(|| format!("{}; {}", self.losses, way_on(self.saved.as_ref())))
    }

    /// The health of the records from this start on.
    pub(crate) fn health(&self) -> StateHealth {
        let health = StateHealth::default();
        health.set_lost(self.problem());
        health
    }
}

/// Looks for losses, tells of them on standard error, and with `recover` mends them. `this_host` is this machine's name
/// in the fleet, where a managed broker serves it.
///
/// # Errors
/// When the broker or the data folder cannot be read, or the recovery cannot be done or audited.
pub(crate) async fn at_start(
    client: &Client,
    data: &Path,
    recover: bool,
    this_host: Option<&HostName>,
) -> anyhow::Result<Found> {
    let saved = SavedStates::of(data).newest()?;
    let losses = Losses::find(client, saved.as_ref()).await;
    let mut losses = losses.context(
        "the broker's records cannot be read. If it cannot read its files any more, stop it, move nats/jetstream out of the \
         data folder, and start with --recover",
    )?;
    if !losses.is_empty() {
        fleetps_nats::errln!("fleetps: the broker lost records of its own: {losses}");
    }
    match (recover, losses.is_empty()) {
        (true, true) => {
            fleetps_nats::errln!("fleetps: --recover has nothing to bring back: every record can be read")
        }
        (true, false) => {
            let audit = Audit::open(client).await?;
            let told = recover::recover(client, &audit, saved.as_ref(), &losses, this_host).await?;
            fleetps_nats::errln!("fleetps: {told}");
            losses = Losses::find(client, saved.as_ref()).await?;
        }
        (false, false) => fleetps_nats::errln!("fleetps: {}", way_on(saved.as_ref())),
        (false, true) => {}
    }
    Ok(Found { saved, losses })
}

/// What a person can do about a loss.
pub(crate) fn way_on(saved: Option<&SavedState>) -> String {
    match saved {
        Some(saved) => format!(
            "start with --recover to bring back what was saved at {}; what was removed on purpose since then comes back too",
            time(saved.made_at_us)
        ),
        None => "nothing was saved that could be brought back. Restore a backup with `fleetps restore DIR --data NEW`, or \
                 start with --recover: it removes what cannot be read, and makes a link for a new administrator where there \
                 is none"
            .to_owned(),
    }
}
