//! `fleetps history`: whether the files of the history can be read, and scripts that attach them.

use std::path::Path;

use anyhow::bail;
use clap::Subcommand;
use fleetps_ingestor::{
    catalog::{AttachScript, MAX_ATTACHED, attach_script},
    check,
};

use super::{time::SpanArgs, write};
use crate::{
    config::Config,
    display::{count, visible},
};

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum HistoryCommand {
    /// List the files that are missing from answers, and why; while everything runs. Fails where there are any
    Check {
        /// Read every value of every file, which DuckDB compares with its checksums
        #[arg(long)]
        verify: bool,
        /// Put back the files that were set aside as damaged and can be read after all
        #[arg(long)]
        restore: bool,
    },
    /// Print the script that attaches the files of a time to any DuckDB, as in
    /// `fleetps history attach --from 2026-11-01 --to 2026-11-02 > some.sql; duckdb -init some.sql`
    Attach {
        #[command(flatten)]
        span: SpanArgs,
        /// The most files to attach: each needs one of the files that a program may open (`ulimit -n`)
        #[arg(long, default_value_t = MAX_ATTACHED)]
        most: usize,
    },
}

/// Runs a subcommand.
///
/// # Errors
/// When the folder cannot be listed, and where a file cannot be read.
pub(crate) fn history(config: &Config, command: &HistoryCommand) -> anyhow::Result<()> {
    let folder = &config.history.history;
    match command {
        HistoryCommand::Check { verify, restore } => check(folder, *verify, *restore),
        HistoryCommand::Attach { span, most } => attach(folder, span, *most),
    }
}

fn attach(folder: &Path, span: &SpanArgs, most: usize) -> anyhow::Result<()> {
    let folder = std::path::absolute(folder)?;
    let AttachScript { sql, segments, of } = attach_script(&folder, span.span()?)?;
    anyhow::ensure!(
        segments <= most,
        "this is {} of {} files, more than the {} that are attached at once: choose a shorter time, or let a program open \
         more files (ulimit -n) and add --most {segments}",
        count(segments as u64),
        count(of as u64),
        count(most as u64),
    );
    write(&sql)
}

fn check(folder: &Path, verify: bool, restore: bool) -> anyhow::Result<()> {
    if restore {
        let (restored, problems) = check::restore(folder)?;
        let restored = restored.iter().map(|file| format!("{file} was put back\n"));
        let problems = problems.iter().map(|problem| line(problem) + "\n");
        write(&restored.chain(problems).collect::<String>())?;
    }
    let checked = check::check(folder, verify)?;
    let problems: String = checked.problems.iter().map(|problem| line(problem) + "\n").collect();
    let how = if verify { "were read whole" } else { "can be opened" };
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
