//! `fleetps history`: whether the files of the history can be read.

use anyhow::bail;
use clap::Subcommand;
use fleetps_ingestor::check;

use super::write;
use crate::{
    config::Config,
    display::{count, visible},
};

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum HistoryCommand {
    /// List the files that are missing from answers, and why; while everything runs. Fails where there are any
    Check {
        /// Read every value of every file, which DuckDB compares with its checksums
        #[arg(long)]
        verify: bool,
        /// Put back the files that were set aside as damaged and can be read after all
        #[arg(long)]
        restore: bool,
    },
}

/// Runs a subcommand.
///
/// # Errors
/// When the folder cannot be listed, and where a file cannot be read.
pub fn history(config: &Config, command: &HistoryCommand) -> anyhow::Result<()> {
    let HistoryCommand::Check { verify, restore } = command;
    let folder = &config.history.history;
    if *restore {
        let (restored, problems) = check::restore(folder)?;
        let restored = restored.iter().map(|file| format!("{file} was put back\n"));
        let problems = problems.iter().map(|problem| line(problem) + "\n");
        write(&restored.chain(problems).collect::<String>())?;
    }
    let checked = check::check(folder, *verify)?;
    let problems: String = checked.problems.iter().map(|problem| line(problem) + "\n").collect();
    let how = if *verify { "were read whole" } else { "can be opened" };
    let files = count(checked.readable as u64);
    write(&format!("{problems}{files} files of the history in {} {how}\n", folder.display()))?;
    match checked.problems.len() {
        0 => Ok(()),
        missing => bail!("{} files of the history are missing from answers", count(missing as u64)),
    }
}

fn line(problem: &check::Problem) -> String {
    visible(&format!("{}: {}", problem.file, problem.reason)).into_owned()
}
