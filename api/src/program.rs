//! The program `fleetps`: does what the command line says. It is in the library because async code is compiled where it is
//! started: in `main.rs` all of it would be compiled again for every change.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use fleetps_nats::{log, output, service_manager, shutdown::shutdown_signal};
use tokio_util::sync::CancellationToken;

use crate::{
    cli::{Cli, Command},
    config::Config,
    pipeline, terminal,
};

/// How long work that cannot be interrupted may keep the program from ending.
const BLOCKED_FOR: std::time::Duration = std::time::Duration::from_secs(1);

/// The command line, for what describes it: man pages and completions.
pub fn command_line() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// Parses the command line and does what it says.
pub fn main() -> ExitCode {
    log::start("warn", None);
    let failed = run(Cli::parse()).err();
    output::end("fleetps", failed.map(|error| format!("{error:#}")))
}

fn run(Cli { command, flags, recover }: Cli) -> anyhow::Result<()> {
    let config = || {
        let config = Config::of(&flags.layers()?, flags.file(), recover)?;
        config.log.apply();
        anyhow::Ok(config)
    };
    match command {
        None => until_a_signal(pipeline::run_everything, config()?),
        Some(Command::Serve) => until_a_signal(pipeline::serve, config()?),
        Some(Command::Config) => {
            fleetps_nats::out!("{}", config()?.to_toml()?);
            Ok(())
        }
        Some(Command::Openapi) => {
            fleetps_nats::out!("{:#}\n", crate::routes::interface().document());
            Ok(())
        }
        Some(Command::BrokerKeys { dir }) => {
            fleetps_nats::out!("{}", fleetps_nats::server::by_hand(&dir)?);
            Ok(())
        }
        Some(Command::Sql { question, format, span }) => {
            terminal::sql(config()?.history.history, &question, span.span()?, format)
        }
        Some(Command::Hosts(asked)) => terminal::hosts(&asked, &config()?),
        Some(Command::Ps(args)) => terminal::ps(&args, &config()?),
        Some(Command::Top(args)) => terminal::top(&args, &config()?),
        Some(Command::Alert(asked)) => terminal::alert(&config()?, &asked),
        Some(Command::ToHosts(asked)) => terminal::command(&config()?, &asked),
        Some(Command::Tls(asked)) => terminal::tls(&config()?, &asked),
        Some(Command::Audit(asked)) => terminal::audit(&config()?, &asked),
        Some(Command::User(asked)) => terminal::user(&config()?, asked),
        Some(Command::EnrolToken(args)) => terminal::enrol_token(&config()?, args),
        Some(Command::ControlKey(asked)) => terminal::control_key(&config()?, &asked),
        Some(Command::Host(asked)) => terminal::host(&config()?, asked),
        Some(Command::Legacy(asked)) => terminal::legacy(&config()?, asked),
        Some(Command::History(asked)) => terminal::history(&config()?, &asked),
        Some(Command::Backup { dir }) => terminal::backup(&config()?, &dir),
        Some(Command::Restore { dir, check }) => terminal::restore(&config()?, &dir, check),
        Some(Command::SqlWorker { history }) => Ok(fleetps_ingestor::sql::serve(&history)?),
    }
}

fn until_a_signal<Work: Future<Output = anyhow::Result<()>>>(
    work: impl FnOnce(Config, CancellationToken) -> Work,
    config: Config,
) -> anyhow::Result<()> {
    fleetps_ingestor::descriptors::raise_limit();
    let runtime = tokio::runtime::Runtime::new()?;
    let done = runtime.block_on(async {
        let ended = shutdown_signal().context("cannot listen for signals")?;
        service_manager::watch(&ended);
        work(config, ended).await
    });
    // A blocked thread (a long question, a download) does not delay the end.
    runtime.shutdown_timeout(BLOCKED_FOR);
    done
}
