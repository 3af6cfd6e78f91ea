//! `fleetps-agent control …`: for the owner of a host, and the control helper itself.

use std::{path::PathBuf, sync::Arc};

use clap::Subcommand;
use fleetps_nats::shutdown::shutdown_signal;

use super::CliError;
use crate::{
    control::{self, Helper, HelperOptions, Listener, Question, RulesFile, USER, explain, polkit_rule},
    settings::AgentFile,
};

/// What can be done about commands on this host.
#[derive(Debug, Subcommand)]
pub(super) enum ControlCommand {
    /// Runs the control helper, which executes what [control] of the settings file allows
    Run {
        /// The socket to listen on, where systemd gives none [default: as in the settings file]
        #[arg(long, value_name = "PATH")]
        socket: Option<PathBuf>,
    },
    /// Says who may do something here, and which line decides; ends with 0 only if somebody may
    Explain {
        /// As in restart, or TERM
        verb: String,
        /// A unit, or the pid of a process
        target: String,
    },
    /// Prints the rule of polkit that lets the control helper do what [control] allows
    Polkit {
        /// The user that the control helper runs as
        #[arg(long, default_value = USER)]
        user: String,
    },
}

/// Does what the command line says. Of `file`, only what is in `config` itself decides about commands.
pub(super) async fn execute(
    command: ControlCommand,
    config: PathBuf,
    file: AgentFile,
) -> Result<(), CliError> {
    match command {
        ControlCommand::Run { socket } => run(config, socket.unwrap_or(file.commands.socket)).await,
        ControlCommand::Explain { verb, target } => {
            let question = Question::read(&verb, &target)?;
            let explained = explain(&RulesFile::new(config), &question).await?;
            fleetps_nats::outln!("{}", explained.text);
            if explained.is_allowed { Ok(()) } else { Err("nobody may do that here".into()) }
        }
        ControlCommand::Polkit { user } => {
            let file = AgentFile::read(Some(&config))?;
            fleetps_nats::out!("{}", polkit_rule(&file.commands.policy(), &user));
            Ok(())
        }
    }
}

async fn run(config: PathBuf, socket: PathBuf) -> Result<(), CliError> {
    let shutdown = shutdown_signal()?;
    let listener = match Listener::given()? {
        Some(given) => given,
        None => Listener::bind(&socket)?,
    };
    let rules = RulesFile::new(&config);
    // Told at the start, too; each command reads the file again.
    if let Err(error) = control::check(&rules) {
        let problem = fleetps_nats::error_chain(&error);
        tracing::warn!(problem, "no command is executed until the settings file can be used");
    }
    tracing::info!(config = %config.display(), "executing commands that the settings file allows");
    // systemd names the folder that it made for the helper.
    let state = std::env::var_os("STATE_DIRECTORY").map(PathBuf::from);
    let options = HelperOptions { state, ..HelperOptions::new(config) };
    listener.serve(Arc::new(Helper::new(options)), shutdown).await;
    Ok(())
}
