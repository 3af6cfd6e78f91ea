//! The web server of the pipeline, and what keeps the broker's records beside it.

use fleetps_nats::{patience::patiently, server::Part};

use super::{
    auth::{first_sign_in, people},
    broker::Brokers,
    parts::Parts,
};
use crate::{
    backups::{Backups, keep_backing_up},
    config::{Config, NotifySettings},
    dispatch::DispatchSettings,
    legacy::LegacyDoor,
    notify::Allowed,
    recovery::{self, Found, StateHealth},
    server::{self, Doors},
    starting::Starting,
};

/// Where pages are served: the doors, what answers there until the server does, and the address.
pub(super) struct Entrance {
    pub(super) doors: Doors,
    pub(super) starting: Starting,
    pub(super) address: String,
}

/// Starts the web server; returns how a first administrator comes in, empty where there is one. Waits for the broker.
pub(super) async fn start(
    parts: &mut Parts,
    config: &Config,
    brokers: &Brokers,
    found: &Found,
    entrance: Entrance,
) -> anyhow::Result<String> {
    let api = brokers.of(Part::Api);
    let client = patiently("the web server", || api.connect("fleetps")).await?;
    let people = people(config, &client, &entrance.address).await?;
    let sign_in = first_sign_in(&people, &entrance.address, found, config).await?;
    let records = found.health();
    keep_state(parts, client.clone(), config, records.clone());
    entrance.starting.end().await;
    let health = server::Health { broker: brokers.health(), records };
    let legacy = LegacyDoor::open(&config.legacy, &config.tls, &config.data).await?;
    let dispatch = Some(dispatching(config, &entrance.address));
    let (control_key, commands_need_reason) = (brokers.control_key(config)?, config.control.needs_reason());
    let doors = Doors { legacy, control_key, commands_need_reason, dispatch, ..entrance.doors };
    let (history, questions, stop) = (config.history.clone(), config.questions, parts.stop_token());
    let serving = server::run(doors, client, health, history, questions, people, stop);
    parts.spawn("the web server", serving);
    Ok(sign_in)
}

/// How people are told of alerts by the server at `address`.
pub(super) fn dispatching(config: &Config, address: &str) -> DispatchSettings {
    let NotifySettings { networks, programs, address: public } = config.notify.clone();
    let address = public.unwrap_or_else(|| address.to_owned());
    DispatchSettings::new(Allowed { networks, programs }, address)
}

/// Saves the broker's records from now on, and takes scheduled backups.
fn keep_state(parts: &mut Parts, client: async_nats::Client, config: &Config, health: StateHealth) {
    let (data, stop) = (config.data.clone(), parts.stop_token());
    let backups = Backups {
        settings: config.backup.clone(),
        data: data.clone(),
        settings_file: config.settings_file.clone(),
    };
    let backing_up = keep_backing_up(client.clone(), backups, health.clone(), stop.clone());
    parts.spawn("saving the broker's records", async move {
        tokio::join!(recovery::keep_saving(client, &data, &health, stop), backing_up);
        Ok(())
    });
}
