//! `fleetps`: the whole pipeline in one command, or one part of it.

use std::process::ExitCode;

use clap::Parser;
use fleetps::{
    cli::{Cli, Command},
    config::Config,
    pipeline,
};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("FLEETPS_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fleetps: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let config = Config::load(cli.overrides)?;
    match cli.command {
        None => pipeline::run_everything(config, pipeline::ended_by_signal()?).await,
        Some(Command::Serve) => pipeline::serve(config, pipeline::ended_by_signal()?).await,
        Some(Command::Config) => {
            print!("{}", config.to_toml()?);
            Ok(())
        }
        Some(Command::Key { file }) => {
            println!("{}", fleetps_nats::server::make_key(&file)?);
            Ok(())
        }
    }
}
