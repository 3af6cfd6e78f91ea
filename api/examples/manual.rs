//! Writes the man pages and the completions of all three programs into a folder, for their packages:
//! `cargo run --release -p fleetps --example manual -- FOLDER`.

#[path = "../../ingestor/src/cli.rs"]
#[allow(dead_code, reason = "only its flags are looked at")]
mod ingestor;

use std::{fs, path::Path};

use anyhow::Context;
use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate_to};

fn main() -> anyhow::Result<()> {
    let folder = std::env::args_os().nth(1).context("into which folder?")?;
    let programs = [
        fleetps_agent::cli::Cli::command(),
        fleetps::command_line(),
        ingestor::Cli::command().name("fleetps-ingestor").bin_name("fleetps-ingestor"),
    ];
    programs.into_iter().try_for_each(|program| write(program, Path::new(&folder)))
}

/// The man page of a program and of each of its commands, and what shells read.
fn write(mut program: Command, folder: &Path) -> anyhow::Result<()> {
    let name = program.get_name().to_owned();
    let pages = folder.join(&name).join("man");
    fs::create_dir_all(&pages).with_context(|| format!("cannot write into {}", pages.display()))?;
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        generate_to(shell, &mut program, &name, folder.join(&name))?;
    }
    clap_mangen::generate_to(program.disable_help_subcommand(true), &pages)?;
    Ok(())
}
