//! The command line of `fleetps`. Every flag that sets something has a variable `FLEETPS_…` and a key in the settings file
//! (`--recover`, which is for one start, has neither); the flag wins over the variable, the variable over the file, the file
//! over the default.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use fleetps_nats::{HostName, units};

use crate::{
    commands::{
        Asked, AuditCommand, EnrolTokenArgs, Format, HistoryCommand, HostCommand, PsArgs, TlsCommand,
        TopArgs, UserCommand,
    },
    people::Auth,
};

/// `ps` and `top` for a whole fleet, with a memory. Without a command: the whole pipeline on this machine.
#[derive(Debug, Parser)]
#[command(name = "fleetps", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What holds for all of them.
    #[command(flatten)]
    pub overrides: Overrides,
}

/// What to do instead of running everything.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve pages and JSON only, for a broker given with --nats
    Serve,
    /// Print the settings file that stands for the flags, variables and file in force
    Config,
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
    },
    /// List the hosts that a running fleetps knows
    Hosts(Asked),
    /// List the processes of a host, now or at a moment
    Ps(PsArgs),
    /// Show who used most over any time: CPU, memory or disk
    Top(TopArgs),
    /// Make certificates, for browsers and agents to reach this machine safely
    #[command(subcommand)]
    Tls(TlsCommand),
    /// Check the record of who did what
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Look after users: who may sign in, and what they may do
    #[command(subcommand)]
    User(UserCommand),
    /// Make a token with which new hosts enrol themselves
    EnrolToken(EnrolTokenArgs),
    /// Look after hosts: which may publish, and what they belong to
    #[command(subcommand)]
    Host(HostCommand),
    /// Look after the files of the history: which cannot be read, and why
    #[command(subcommand)]
    History(HistoryCommand),
    /// Copy the history, settings, certificates, users and hosts into DIR while everything runs; again into the same DIR copies
    /// what is new
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

/// Settings given on the command line or in the environment.
#[derive(Debug, Default, Args)]
pub struct Overrides {
    /// The settings file [default: fleetps.toml in the platform's configuration folder, if it is there]
    #[arg(long, env = "FLEETPS_CONFIG", global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where everything is kept [default: the platform's data folder]
    #[arg(long, env = "FLEETPS_DATA", global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where the pages are served [default: 127.0.0.1:8080]; port 0 takes a free one
    #[arg(long, env = "FLEETPS_LISTEN", global = true, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// The certificate to serve them with, as PEM [default: the one that `fleetps tls init` made, if it did]
    #[arg(long, env = "FLEETPS_TLS_CERT", global = true, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The private key of that certificate, as PEM
    #[arg(long, env = "FLEETPS_TLS_KEY", global = true, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Serve other machines, and reach a broker on one, without TLS all the same
    #[arg(long, env = "FLEETPS_PLAINTEXT", global = true)]
    pub plaintext: bool,
    /// Whether people have to sign in [default: on]; off lets anybody on this machine do everything
    #[arg(long, env = "FLEETPS_AUTH", global = true, value_enum)]
    pub auth: Option<Auth>,
    /// Where agents on other machines reach the managed broker, as in 0.0.0.0:4222 [default: nowhere]
    #[arg(long, env = "FLEETPS_BROKER_LISTEN", global = true, value_name = "ADDR")]
    pub broker_listen: Option<SocketAddr>,
    /// The authority that signed the certificates of the server and of the broker that are named, as PEM [default: that of
    /// the data folder, if it has one, else the public ones]
    #[arg(long, env = "FLEETPS_CA", global = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Use this broker instead of a managed local one
    #[arg(long, env = "FLEETPS_NATS", global = true, value_name = "URL")]
    pub nats: Option<String>,
    /// The key for that broker
    #[arg(long, env = "FLEETPS_NKEY", global = true, value_name = "FILE")]
    pub nkey: Option<PathBuf>,
    /// The nats-server to run [default: the one on PATH, else one installed in the cache folder]
    #[arg(long, env = "FLEETPS_NATS_SERVER", global = true, value_name = "PATH")]
    pub nats_server: Option<PathBuf>,
    /// The folder with the keys to admit hosts to that broker: auth.nk, issuer.nk, system.nk
    #[arg(long, env = "FLEETPS_ADMISSION_KEYS", global = true, value_name = "DIR")]
    pub admission_keys: Option<PathBuf>,
    /// Let hosts without an enrolment token wait until somebody approves them
    #[arg(long, env = "FLEETPS_APPROVE", global = true)]
    pub approve: bool,
    /// This host's name in the fleet [default: the machine's own]
    #[arg(long, env = "FLEETPS_HOST", global = true, value_name = "NAME")]
    pub host: Option<HostName>,
    /// The time between two samples of this host [default: 10s]
    #[arg(long, env = "FLEETPS_INTERVAL", global = true, value_name = "TIME", value_parser = units::parse_duration)]
    pub interval: Option<Duration>,
    /// Do not sample this host
    #[arg(long, env = "FLEETPS_NO_AGENT", global = true)]
    pub no_agent: bool,
    /// Bring back what the broker lost of users, hosts and tokens from what was saved in the data folder; where no
    /// administrator can be brought back, make a link for a new one
    #[arg(long, global = true)]
    pub recover: bool,
    /// Run a simulated fleet of this many hosts beside the real one
    #[arg(long, env = "FLEETPS_DEMO", global = true, value_name = "HOSTS")]
    pub demo: Option<usize>,
}
