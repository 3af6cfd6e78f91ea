//! `fleetps-ingestor`: the ingestor by itself, for a fleet.

mod cli;

use std::process::ExitCode;

use clap::Parser;
use fleetps_nats::{admission::AdmissionService, output, patience::patiently};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("FLEETPS_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(output::may_be_coloured())
        // Where nobody reads the log, saying so would panic.
        .log_internal_errors(false)
        .init();
    let failed = run(cli::Cli::parse()).await.err();
    output::end("fleetps-ingestor", failed.map(|error| format!("{error:#}")))
}

async fn run(cli: cli::Cli) -> anyhow::Result<()> {
    let (broker, admission, settings) = cli.resolve()?;
    fleetps_ingestor::check_library()?;
    fleetps_ingestor::descriptors::raise_limit();
    let cancel = CancellationToken::new();
    tokio::spawn(cancel_on_signal(cancel.clone()));
    let start = async {
        let client = patiently("the ingestor", || broker.connect("fleetps-ingestor")).await?;
        let admitting = patiently("admission", || async {
            AdmissionService::of_settings(&broker, client.clone(), admission.clone()).await
        });
        anyhow::Ok((admitting.await?, client))
    };
    let Some(started) = cancel.run_until_cancelled(start).await else { return Ok(()) };
    let (_admission, client) = started?;
    fleetps_ingestor::run(client, settings, cancel).await?;
    Ok(())
}

/// Ctrl-C, and SIGTERM where there is such a thing.
async fn cancel_on_signal(cancel: CancellationToken) {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return cancel.cancel();
        }
    }
    let _ = tokio::signal::ctrl_c().await;
    cancel.cancel();
}
