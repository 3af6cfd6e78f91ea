//! `fleetps enrol-token`: a token with which new hosts enrol themselves.

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use fleetps_agent::sample::os_host_name;
use fleetps_nats::{
    admission::EnrolmentTokens,
    audit::{Audit, AuditEntry, Outcome},
    bounds,
    hosts::Group,
    units,
};

use crate::{auth::By, config::Config};

/// The limits of the token.
#[derive(Debug, Args)]
pub(crate) struct EnrolTokenArgs {
    /// How long it can be used
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = units::parse_duration)]
    ttl: Duration,
    /// How many hosts it admits
    #[arg(long, value_name = "HOSTS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    uses: u32,
    /// A group for these hosts, as in web or env=prod; may be given again
    #[arg(long, value_name = "GROUP")]
    group: Vec<Group>,
}

/// Makes a token and prints it: it is kept by its hash only, so this is the one time.
///
/// # Errors
/// When the broker cannot be reached.
pub(crate) fn enrol_token(config: &Config, args: EnrolTokenArgs) -> anyhow::Result<()> {
    tokio::runtime::Runtime::new()?.block_on(make(config, args))
}

async fn make(config: &Config, EnrolTokenArgs { ttl, uses, group }: EnrolTokenArgs) -> anyhow::Result<()> {
    let lasts =
        "a token that is valid for long may be stolen, and a person needs time to bring it to the host";
    bounds::duration(Duration::from_secs(1)..=Duration::from_secs(366 * 24 * 3600), lasts)
        .check("ttl", &ttl)?;
    let broker = config.broker()?;
    let client = broker.connect("fleetps enrol-token").await?;
    let groups: Vec<String> = group.iter().cloned().map(String::from).collect();
    let ttl_text = units::format_duration(ttl);
    let entry = AuditEntry {
        at_us: jiff::Timestamp::now().as_microsecond(),
        who: By::command().name,
        from: None,
        action: "enrolment-token.make".to_owned(),
        host: None,
        what: format!("for {uses} hosts within {ttl_text}, groups {groups:?}"),
        outcome: Outcome::Done,
    };
    // A token must be audited before it is handed out.
    Audit::open(&client).await?.record(entry).await?;
    let tokens = EnrolmentTokens::open(&client).await?;
    let token = tokens.make(ttl, uses, group).await.context("the token was not made")?;
    fleetps_nats::outln!("{token}\n\nadmits {uses} within {ttl_text}. On each host:\n");
    fleetps_nats::outln!("  fleetps-agent join {} --token {token}", address(config, &broker.url));
    Ok(())
}

/// The broker's address for other machines, as far as it is known here.
fn address(config: &Config, url: &str) -> String {
    match config.managed.broker_listen {
        Some(listen) if config.broker.nats.is_none() => {
            let ca = if config.tls.plaintext { "" } else { " --ca ca.pem" };
            format!("nats://{}:{}{ca}", os_host_name(), listen.port())
        }
        _ => url.to_owned(),
    }
}
