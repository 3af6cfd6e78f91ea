//! The command line of `fleetps`. Its flags that set something are declared with the settings (`config`); `--recover`, which
//! is for one start, is no setting.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use fleetps_nats::settings::Flags;

use crate::{
    config::FleetpsProgram,
    terminal::{
        AlertCommand, AuditCommand, CommandCommand, ControlKeyCommand, EnrolTokenArgs, Format,
        HistoryCommand, HostCommand, LegacyCommand, PsArgs, ServerArgs, SpanArgs, TlsCommand, TopArgs,
        UserCommand,
    },
};

/// `ps` and `top` for a whole fleet, with a memory. Without a command: the whole pipeline on this machine.
#[derive(Debug, Parser)]
#[command(name = "fleetps", version)]
pub(crate) struct Cli {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The settings.
    #[command(flatten)]
    pub flags: Flags<FleetpsProgram>,
    /// Restore the users, hosts and tokens that the broker lost from the records saved in the data folder; where no
    /// administrator can be restored, make a link for a new one
    #[arg(long, global = true)]
    pub recover: bool,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve pages and JSON only, for a broker given with --nats
    Serve,
    /// Print the settings file that stands for the flags, variables and file in force
    Config,
    /// Print the OpenAPI document of the JSON interface
    Openapi,
    /// Make the keys for a broker set up by hand in DIR, those that are missing, and print its configuration
    BrokerKeys {
        /// The folder for the keys
        dir: PathBuf,
    },
    /// Ask the history in the data folder a question in SQL (DuckDB's): one statement that only reads
    Sql {
        /// The question; - reads it from standard input
        question: String,
        /// How the answer is written
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
        #[command(flatten)]
        span: SpanArgs,
    },
    /// List the hosts that a running fleetps knows
    Hosts(ServerArgs),
    /// List the processes of a host, now or at a moment
    Ps(PsArgs),
    /// Top consumers over any range: CPU, memory or disk
    Top(TopArgs),
    /// See alerts and their rules, change rules, and try them on the past
    #[command(subcommand)]
    Alert(AlertCommand),
    /// Have hosts start, stop, restart or reload a unit, or signal a process, and see what becomes of it
    #[command(subcommand, name = "command")]
    ToHosts(CommandCommand),
    /// Make certificates, for browsers and agents to reach this machine safely
    #[command(subcommand)]
    Tls(TlsCommand),
    /// Check the record of who did what
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Manage users: who may sign in, and what they may do
    #[command(subcommand)]
    User(UserCommand),
    /// Create an enrolment token for new hosts
    EnrolToken(EnrolTokenArgs),
    /// Manage the key that signs what is asked of hosts
    #[command(subcommand)]
    ControlKey(ControlKeyCommand),
    /// Manage hosts: which may publish, and what they belong to
    #[command(subcommand)]
    Host(HostCommand),
    /// Let hosts of older systems in, whose agents post JSON over HTTP
    #[command(subcommand)]
    Legacy(LegacyCommand),
    /// Manage the files of the history: which cannot be read, and why
    #[command(subcommand)]
    History(HistoryCommand),
    /// Copy the history, settings, certificates, users and hosts into DIR while everything runs; again into the same
    /// DIR copies only what is new
    Backup {
        /// Where the backup goes
        dir: PathBuf,
    },
    /// Make the data folder, which must be empty, from the backup in DIR
    Restore {
        /// Where the backup is
        dir: PathBuf,
        /// Read all of the backup and say whether it could be restored; write nothing
        #[arg(long)]
        check: bool,
    },
    /// Answer the question on standard input; what `sql` and the page run
    #[command(hide = true)]
    SqlWorker {
        /// The folder with the history
        history: PathBuf,
    },
}
