//! The command line of `fleetps-agent`.

#[cfg(target_os = "linux")]
mod control_cli;

use std::{error::Error, io, path::PathBuf, thread, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum, builder::RangedU64ValueParser};
use fleetps_nats::{
    HostName, log, service_manager,
    settings::{Flags, Origin},
    shutdown::shutdown_signal,
    snapshot::MAX_PROCESSES,
    units::parse_duration,
};
use serde_json::{Value, json};
use tokio::{runtime::Handle, sync::oneshot};

use crate::{
    join::{self, JoinArguments, LeaveArguments},
    own_name::{self, own_name_at},
    publish::{Outbox, RING_BYTES},
    run,
    sample::{Boot, FIRST_WAIT, Sampler},
    settings::{AgentFile, AgentProgram},
    simulate::{self, SimulationSettings},
    uplink::Uplink,
};

/// Any failure, to be printed with its causes.
pub type CliError = Box<dyn Error + Send + Sync>;

/// Samples every process of this host and publishes it. Without a subcommand it runs until Ctrl-C or SIGTERM
#[derive(Debug, Parser)]
#[command(name = "fleetps-agent", version)]
pub struct Cli {
    #[command(flatten)]
    flags: Flags<AgentProgram>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints one snapshot of this machine
    Once {
        /// As what
        #[arg(long, value_enum, default_value_t = Format::Json)]
        format: Format,
    },
    /// Makes this host part of a fleet: its key, its settings and its service
    Join(JoinArguments),
    /// Undoes `join`: ends the service, and removes this host's key and settings
    Leave(LeaveArguments),
    /// Prints the settings as a file
    Config,
    /// Commands from the fleet on this host: who may do what, and the helper that does it
    #[cfg(target_os = "linux")]
    #[command(subcommand)]
    Control(ControlCommand),
    /// Publishes a fleet that does not exist, for demonstrations, tests and load
    Simulate(SimulateArguments),
}

#[cfg(target_os = "linux")]
use control_cli::ControlCommand;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Json,
}

#[derive(Debug, Args)]
struct SimulateArguments {
    /// How many hosts
    #[arg(long, default_value_t = 100, value_parser = up_to(100_000))]
    hosts: usize,
    /// Processes of each, about
    #[arg(long, default_value_t = 300, value_parser = up_to(MAX_PROCESSES))]
    processes: usize,
    /// Time between two snapshots of a host; where it is too short, this machine goes as fast as it can
    #[arg(long = "interval", id = "simulated_interval", default_value = "10s", value_parser = seconds_or_duration)]
    interval: Duration,
    /// The same seed gives the same fleet
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// End after this many snapshots of every host
    #[arg(long)]
    rounds: Option<u64>,
    /// Fill the past instead: begin this long ago, and go as fast as the broker accepts it
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    since: Option<Duration>,
}

/// Does what the command line says.
pub fn execute(cli: Cli) -> Result<(), CliError> {
    log::start("info", Some(log::OLD_AGENT_VARIABLE));
    crate::sample::prepare_program();
    let mut flags = cli.flags;
    if let Some(Command::Join(arguments)) = &cli.command {
        // Settings of the host's owner stay.
        flags.or_file(arguments.earlier_settings());
    }
    if let Some(Command::Leave(arguments)) = &cli.command {
        flags.or_file(arguments.settings());
    }
    let layers = flags.layers()?;
    let mut file = AgentFile::of(&layers)?;
    file.log.apply();
    if let Some(Command::Join(arguments)) = &cli.command
        && [&file.broker.nats, &file.server].into_iter().flatten().all(|url| !arguments.is_to(url))
        && matches!(layers.origin("wire", "plaintext"), Origin::File { .. })
    {
        // An earlier broker reached without TLS says nothing about another.
        file.wire.plaintext = false;
    }
    match cli.command {
        None => until_done(run_agent(file)),
        Some(Command::Once { format: Format::Json }) => print_once(&file),
        Some(Command::Join(arguments)) => until_done(async { Ok(join::join(arguments, file).await?) }),
        Some(Command::Leave(arguments)) => Ok(join::leave(&arguments, &file)?),
        Some(Command::Config) => {
            fleetps_nats::out!("{}", file.to_toml()?);
            Ok(())
        }
        #[cfg(target_os = "linux")]
        Some(Command::Control(command)) => {
            let config =
                flags.file().ok_or("which settings file? Say --config FILE: nothing else is believed")?;
            until_done(control_cli::execute(command, config, file))
        }
        Some(Command::Simulate(arguments)) => until_done(run_simulation(file, arguments)),
    }
}

/// Runs on one thread: an agent hardly ever has two things to do at once. What still waits for a name server or a file
/// after the end is left behind; dropping the runtime would wait for it.
fn until_done(program: impl Future<Output = Result<(), CliError>>) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(program);
    runtime.shutdown_background();
    outcome
}

async fn run_agent(file: AgentFile) -> Result<(), CliError> {
    let shutdown = shutdown_signal()?;
    service_manager::watch(&shutdown);
    let uplink = file.uplink();
    let finding = own_name(file.host, file.sample.state.clone(), uplink.clone())?;
    let Some(host) = shutdown.run_until_cancelled(finding).await else { return Ok(()) };
    let outbox = Outbox::new(RING_BYTES);
    let asked = (file.remote, file.commands);
    Ok(run::run_commanded(file.sample, asked, uplink, host?, outbox, shutdown).await?)
}

/// The name of this host, found by a thread of its own: its state folder may lie on a mount that never answers.
fn own_name(
    configured: Option<HostName>,
    state: PathBuf,
    uplink: Uplink,
) -> io::Result<oneshot::Receiver<HostName>> {
    let (found, name) = oneshot::channel();
    let runtime = Handle::current();
    let find = move || {
        let name = match uplink {
            Uplink::Broker(broker) => runtime.block_on(own_name_at(configured, &state, &broker)),
            Uplink::Server(_) => own_name::own_name(configured, &state),
        };
        let _ = found.send(name);
    };
    thread::Builder::new().name("own-name".to_owned()).spawn(find)?;
    Ok(name)
}

fn print_once(file: &AgentFile) -> Result<(), CliError> {
    let mut sampler = Sampler::new(&file.sample, Boot::current(&file.sample.state))?;
    thread::sleep(FIRST_WAIT);
    let mut snapshot = sampler.sample(0);
    snapshot.processes.sort_unstable_by_key(|process| process.pid);
    let mut value = serde_json::to_value(&snapshot)?;
    if let Some(columns) = value.get_mut("processes") {
        *columns = rows(columns);
    }
    fleetps_nats::outln!("{}", serde_json::to_string_pretty(&value)?);
    Ok(())
}

/// On the wire processes are columns (and `state` a text with a letter for each); people read rows.
fn rows(columns: &Value) -> Value {
    let Some(columns) = columns.as_object() else { return Value::Null };
    let count = columns.get("pid").and_then(Value::as_array).map_or(0, Vec::len);
    let states: Vec<char> =
        columns.get("state").and_then(Value::as_str).unwrap_or_default().chars().collect();
    let row = |place: usize| {
        let field = |column: &Value| match column {
            Value::Array(values) => values.get(place).cloned().unwrap_or_default(),
            _ => json!(states.get(place)),
        };
        columns.iter().map(|(name, column)| (name.clone(), field(column))).collect()
    };
    (0..count).map(|place| Value::Object(row(place))).collect()
}

async fn run_simulation(file: AgentFile, arguments: SimulateArguments) -> Result<(), CliError> {
    let since_us =
        |since: Duration| fleetps_nats::now_us() - i64::try_from(since.as_micros()).unwrap_or_default();
    let settings = SimulationSettings {
        hosts: arguments.hosts,
        processes: arguments.processes,
        interval: arguments.interval,
        seed: arguments.seed,
        rounds: arguments.rounds.or_else(|| Some(rounds_in(arguments.since?, arguments.interval))),
        starts_at_us: arguments.since.map(since_us),
        ..SimulationSettings::default()
    };
    let broker = file.broker.broker(&file.wire);
    let end = simulate::run(settings, broker, shutdown_signal()?).await?;
    fleetps_nats::outln!("{} snapshots made, {} dropped, {} not sent", end.made, end.dropped, end.unsent);
    Ok(())
}

/// Up to now, and no further.
fn rounds_in(time: Duration, interval: Duration) -> u64 {
    u64::try_from(time.as_micros() / interval.as_micros().max(1)).unwrap_or(u64::MAX)
}

/// A number from 1 to `most`.
fn up_to(most: usize) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=most as u64)
}

/// A time with a unit, or a plain number of seconds.
fn seconds_or_duration(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string()),
        Err(_) => parse_duration(text),
    }
}
