//! Sign-in for the pipeline, and the link for a first administrator.

use fleetps_nats::{audit::Audit, patience::patiently};

use super::losses::StartError;
use crate::{
    auth::{Accounts, Addresses, Auth, Local, People, Secret},
    config::Config,
    recovery::{self, Found},
    url::Url,
};

/// Sets up sign-in by the settings. Commands on this machine find their token in the data folder.
pub(super) async fn people(
    config: &Config,
    client: &async_nats::Client,
    address: &str,
) -> anyhow::Result<People> {
    let addresses = Addresses::new(&config.sign_in, config.tls.files(&config.data)?.is_some());
    let local = Secret::new()?;
    let people = match config.web.auth {
        Auth::On => {
            let audit = patiently("the audit", || Audit::open(client)).await?;
            let accounts = patiently("sign-in", || async {
                Accounts::open(client, audit.clone(), config.sign_in.clone(), Some(&local)).await
            });
            People::of(accounts.await?, addresses)
        }
        Auth::Off => People::anybody(addresses),
    };
    let local = Local::new(address.to_owned(), Some(&local).filter(|_| config.web.auth == Auth::On));
    if let Err(error) = local.write(&config.data) {
        tracing::warn!(%error, data = %config.data.display(), "commands on this machine need --server and a token");
    }
    Ok(people)
}

/// How a first administrator comes in, where there is none; empty otherwise. Waits for the broker.
pub(super) async fn first_sign_in(
    people: &People,
    address: &str,
    found: &Found,
    config: &Config,
) -> anyhow::Result<String> {
    let asking = || async { try_first_sign_in(people, address, found, config).await.map_err(StartError) };
    Ok(patiently("the first link", asking).await?)
}

/// Where there was an administrator before, only `--recover` makes another.
async fn try_first_sign_in(
    people: &People,
    address: &str,
    found: &Found,
    config: &Config,
) -> anyhow::Result<String> {
    let Some(accounts) = people.accounts().filter(|accounts| !accounts.has_administrator()) else {
        return Ok(String::new());
    };
    let sign = recovery::sign_of_administrator(found, accounts.audit(), &config.history.history).await?;
    let link = match sign {
        Some(sign) if !config.recover => {
            return Ok(format!(
                "\n    sign in   no administrator can, and no link makes one: {sign}\n              {}",
                recovery::way_on(found.saved.as_ref())
            ));
        }
        Some(sign) => Some(accounts.recovery_link(&sign).await?),
        None => accounts.first_link().await?,
    };
    Ok(link.map_or_else(String::new, |link| {
        let link = format!("{address}{}", Url::welcome(&link.text()));
        format!("\n    sign in   {link}\n              (works once, within an hour, and makes the first administrator)")
    }))
}
