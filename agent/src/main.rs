//! `fleetps-agent`: parses, builds, calls.

use std::process::ExitCode;

use clap::Parser;
use fleetps_agent::cli::{Cli, execute};

fn main() -> ExitCode {
    match execute(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fleetps-agent: {}", fleetps_agent::cli::with_causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
