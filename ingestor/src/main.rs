//! `fleetps-ingestor`: the ingestor by itself, for a fleet.

mod cli;

use std::process::ExitCode;

use clap::Parser;
use fleetps_nats::admission::AdmissionService;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("FLEETPS_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(cli::Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fleetps-ingestor: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: cli::Cli) -> anyhow::Result<()> {
    let (broker, admission, settings) = cli.resolve()?;
    fleetps_ingestor::check_library()?;
    fleetps_ingestor::descriptors::raise_limit();
    let cancel = CancellationToken::new();
    tokio::spawn(cancel_on_signal(cancel.clone()));
    let client = tokio::select! {
        client = broker.connect("fleetps-ingestor") => client?,
        () = cancel.cancelled() => return Ok(()),
    };
    let _admission = AdmissionService::of_settings(&broker, client.clone(), admission).await?;
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
