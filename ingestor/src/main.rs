//! `fleetps-ingestor`: the ingestor by itself, for a fleet.

mod cli;

use std::process::ExitCode;

use clap::Parser;
use fleetps_nats::{
    admission::AdmissionService, log, output, patience::patiently, service_manager, shutdown::shutdown_signal,
};

use cli::{Cli, Command, Settings};

#[tokio::main]
async fn main() -> ExitCode {
    log::start("info", None);
    let failed = run(Cli::parse()).await.err();
    output::end("fleetps-ingestor", failed.map(|error| format!("{error:#}")))
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let settings = Settings::of(&cli.flags.layers()?)?;
    settings.log.apply();
    if let Some(Command::Config) = cli.command {
        fleetps_nats::out!("{}", settings.to_toml()?);
        return Ok(());
    }
    let broker = settings.broker();
    fleetps_ingestor::check_library()?;
    fleetps_ingestor::descriptors::raise_limit();
    let cancel = shutdown_signal()?;
    service_manager::watch(&cancel);
    service_manager::ready();
    let start = async {
        let client = patiently("the ingestor", || broker.connect("fleetps-ingestor")).await?;
        let admitting = patiently("admission", || async {
            AdmissionService::of_settings(&broker, client.clone(), settings.admission.clone()).await
        });
        anyhow::Ok((admitting.await?, client))
    };
    let Some(started) = cancel.run_until_cancelled(start).await else { return Ok(()) };
    let (_admission, client) = started?;
    fleetps_ingestor::run(client, settings.history, cancel).await?;
    Ok(())
}
