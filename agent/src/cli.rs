//! The command line of `fleetps-agent`.

use std::{error::Error, io, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use fleetps_nats::connection::Broker;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::simulate::{self, SimulationSettings};

/// Any failure, to be printed with its causes.
pub type CliError = Box<dyn Error + Send + Sync>;

/// Samples every process of this host and publishes it.
#[derive(Debug, Parser)]
#[command(name = "fleetps-agent", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Publishes a fleet that does not exist, for demonstrations, tests and load
    Simulate(SimulateArguments),
}

#[derive(Debug, Args)]
struct SimulateArguments {
    /// How many hosts
    #[arg(long, default_value_t = 100)]
    hosts: usize,
    /// Processes of each, about
    #[arg(long, default_value_t = 300)]
    processes: usize,
    /// Time between two snapshots of a host; one that is too short means as fast as this machine can
    #[arg(long, default_value = "10s", value_parser = seconds_or_duration)]
    interval: Duration,
    /// The same seed gives the same fleet
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// End after so many snapshots of every host
    #[arg(long)]
    rounds: Option<u64>,
    /// Address of the broker
    #[arg(long, value_name = "URL", env = "FLEETPS_NATS", default_value = "nats://127.0.0.1:4222")]
    nats: String,
    /// File with the simulator's key for the broker
    #[arg(long, value_name = "FILE", env = "FLEETPS_NKEY")]
    nkey: Option<PathBuf>,
}

/// Does what the command line says.
pub fn execute(cli: Cli) -> Result<(), CliError> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
    // One thread: an agent hardly ever has two things to do at once.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match cli.command {
        None => Ok(()),
        Some(Command::Simulate(arguments)) => runtime.block_on(simulate(arguments)),
    }
}

async fn simulate(arguments: SimulateArguments) -> Result<(), CliError> {
    let settings = SimulationSettings {
        hosts: arguments.hosts,
        processes: arguments.processes,
        interval: arguments.interval,
        seed: arguments.seed,
        rounds: arguments.rounds,
        ..SimulationSettings::default()
    };
    let broker = Broker { url: arguments.nats, nkey_file: arguments.nkey };
    let end = simulate::run(settings, broker, stop_signal()?).await?;
    println!("{} snapshots made, {} dropped, {} not sent", end.made, end.dropped, end.unsent);
    Ok(())
}

/// A token that Ctrl-C or SIGTERM cancels.
fn stop_signal() -> io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let cancelled = token.clone();
    #[cfg(unix)]
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::spawn(async move {
        #[cfg(unix)]
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
        cancelled.cancel();
    });
    Ok(token)
}

/// An error and what caused it, in one line.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// A time with a unit, or a plain number of seconds.
fn seconds_or_duration(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string()),
        Err(_) => fleetps_nats::units::parse_duration(text),
    }
}
