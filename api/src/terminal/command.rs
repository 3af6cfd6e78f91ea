//! `fleetps command`: has hosts start, stop, restart or reload a unit or signal a process, and shows what becomes of it.

use clap::{Args, Subcommand};
use fleetps_nats::command::UnitName;
use serde_json::{Value, json};
use ureq::http::Method;

use super::{
    ServerArgs,
    field::{Field, Form, rows},
    table::render,
};
use crate::{config::Config, display::visible, live::now_us, url::Url};

const COMMANDS: [Field; 6] = [
    Field::new("id", "ID", Form::Text),
    Field::new("asked_at", "AGE", Form::Age),
    Field::new("host", "HOST", Form::Text),
    Field::new("state", "STATE", Form::Text),
    Field::new("who", "WHO", Form::Text),
    // It may be long.
    Field::new("what", "COMMAND", Form::Text),
];
const STEPS: [Field; 4] = [
    Field::new("host", "HOST", Form::Text),
    Field::new("at", "AGE", Form::Age),
    Field::new("state", "STATE", Form::Text),
    Field::new("words", "DETAIL", Form::Text),
];
const UNITS: [Field; 6] = [
    Field::new("host", "HOST", Form::Text),
    Field::new("unit", "UNIT", Form::Text),
    Field::new("state", "STATE", Form::Text),
    Field::new("since", "FOR", Form::Age),
    Field::new("main_pid", "PID", Form::Id),
    Field::new("detail", "DETAIL", Form::Text),
];
/// How long one answer is waited for; the server holds it back that long, and then it is asked for again.
const WAIT: &str = "30s";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum CommandCommand {
    /// Start a unit
    Start(UnitArgs),
    /// Stop a unit
    Stop(UnitArgs),
    /// Restart a unit
    Restart(UnitArgs),
    /// Have a unit reload its configuration
    Reload(UnitArgs),
    /// Show how a unit is
    Status(StatusArgs),
    /// Send a signal to a process: TERM, KILL, HUP, INT, QUIT, USR1, USR2, STOP or CONT
    Signal(SignalArgs),
    /// List the latest commands
    List {
        /// Only to this host
        #[arg(id = "of_host", long = "to", value_name = "HOST")]
        host: Option<String>,
        /// The server to ask
        #[command(flatten)]
        asked: ServerArgs,
    },
    /// Show what became of a command
    Show(IdArgs),
    /// Cancel what was not sent yet of a command
    Cancel(IdArgs),
}

/// A command to a unit.
#[derive(Debug, Args)]
pub(crate) struct UnitArgs {
    /// The host, or several with commas between
    #[arg(id = "of_hosts", value_name = "HOST", value_delimiter = ',', required = true)]
    hosts: Vec<String>,
    /// The unit, as in nginx.service
    unit: String,
    /// Hosts at a time, after the first on which it succeeds
    #[arg(long, value_name = "HOSTS", default_value_t = 5)]
    parallel: usize,
    /// Hosts on which it may not succeed before the rest is cancelled
    #[arg(long, value_name = "HOSTS", default_value_t = 1)]
    stop_after: usize,
    #[command(flatten)]
    common: Common,
}

/// A unit to look at.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The host, or several with commas between
    #[arg(id = "of_hosts", value_name = "HOST", value_delimiter = ',', required = true)]
    hosts: Vec<String>,
    /// The unit, as in nginx.service
    unit: String,
    /// The server to ask
    #[command(flatten)]
    asked: ServerArgs,
}

/// A signal to a process.
#[derive(Debug, Args)]
pub(crate) struct SignalArgs {
    /// The signal, as in TERM
    signal: String,
    /// The host
    #[arg(id = "of_host", value_name = "HOST")]
    host: String,
    /// The process that has this id now
    pid: u32,
    #[command(flatten)]
    common: Common,
}

/// What every command has.
#[derive(Debug, Args)]
struct Common {
    /// The reason, for the audit
    #[arg(long, value_name = "TEXT", default_value = "")]
    why: String,
    /// Do not wait for what becomes of it
    #[arg(long)]
    no_wait: bool,
    /// The server to ask
    #[command(flatten)]
    asked: ServerArgs,
}

/// Which command.
#[derive(Debug, Args)]
pub(crate) struct IdArgs {
    /// Its id
    id: String,
    /// The server to ask
    #[command(flatten)]
    asked: ServerArgs,
}

/// Does it.
///
/// # Errors
/// When the server cannot be reached or refuses, or a host does not do what it is told.
pub(crate) fn command(config: &Config, command: &CommandCommand) -> anyhow::Result<()> {
    match command {
        CommandCommand::Start(args) => unit(config, "start", args),
        CommandCommand::Stop(args) => unit(config, "stop", args),
        CommandCommand::Restart(args) => unit(config, "restart", args),
        CommandCommand::Reload(args) => unit(config, "reload", args),
        CommandCommand::Status(args) => status(config, args),
        CommandCommand::Signal(args) => signal(config, args),
        CommandCommand::List { host, asked } => {
            let of_host = host.iter().map(|host| ("host", host.clone())).collect::<Vec<_>>();
            asked.show(config, &Url::commands().api(), &of_host, |answer| table(rows(answer, "commands")))
        }
        CommandCommand::Show(IdArgs { id, asked }) => asked.show(config, &Url::command(id).api(), &[], steps),
        CommandCommand::Cancel(IdArgs { id, asked }) => {
            asked.show_answer(config, (Method::DELETE, &Url::command(id).api(), None), steps)
        }
    }
}

fn unit(config: &Config, action: &str, args: &UnitArgs) -> anyhow::Result<()> {
    let UnitArgs { hosts, unit, parallel, stop_after, common } = args;
    let unit = UnitName::of_person(unit)?;
    let mut body = json!({"action": action, "unit": unit, "why": common.why});
    if let [host] = hosts.as_slice() {
        return send(config, &Url::host_commands(host).api(), body, common);
    }
    (body["hosts"], body["parallel"], body["stop_after"]) =
        (json!(hosts), json!(parallel), json!(stop_after));
    send(config, &Url::commands().api(), body, common)
}

/// Shows how the unit is on each host, also where some do not say it.
fn status(config: &Config, args: &StatusArgs) -> anyhow::Result<()> {
    let StatusArgs { hosts, unit, asked } = args;
    let unit = UnitName::of_person(unit)?;
    let (mut seen, mut silent) = (Vec::new(), Vec::new());
    for host in hosts {
        match asked.answer(config, (Method::GET, &Url::unit(host, unit.as_str()).api(), None)) {
            Ok(answer) => seen.push(answer),
            Err(error) => silent.push(format!("{host}: {error:#}")),
        }
    }
    asked.write(&json!({"units": seen}), |answer| {
        let now_us = now_us();
        let cells = rows(answer, "units")
            .iter()
            .map(|row| UNITS.iter().map(|field| field.cell(row, now_us)).collect());
        render(&UNITS.iter().map(Field::heading).collect::<Vec<_>>(), cells)
    })?;
    anyhow::ensure!(silent.is_empty(), "{}", silent.join("\n"));
    Ok(())
}

fn signal(config: &Config, args: &SignalArgs) -> anyhow::Result<()> {
    let SignalArgs { signal, host, pid, common } = args;
    let process = common.asked.answer(config, (Method::GET, &Url::pid(host, *pid).api(), None))?;
    anyhow::ensure!(process["is_live"] == true, "process {pid} of {host} has ended; nothing was sent");
    let name = signal.trim_start_matches("SIG");
    let id = json!({"boot_id": process["boot_id"], "pid": pid, "start_ticks": process["start_ticks"]});
    let body = json!({"signal": name, "process": id, "why": common.why});
    send(config, &Url::host_commands(host).api(), body, common)
}

/// Sends it, and shows what became of it when it is over.
fn send(config: &Config, url: &Url, body: Value, common: &Common) -> anyhow::Result<()> {
    let mut answer = common.asked.answer(config, (Method::POST, url, Some(body)))?;
    let id = answer["id"].as_str().unwrap_or_default().to_owned();
    while answer["is_over"] == false && !common.no_wait {
        let waiting = Url::command(&id).api().with(&[("wait", WAIT)]);
        answer = common.asked.answer(config, (Method::GET, &waiting, None))?;
    }
    common.asked.write(&answer, steps)?;
    let is_done = |command: &Value| command["state"] == "done";
    anyhow::ensure!(
        common.no_wait || rows(&answer, "commands").iter().all(is_done),
        "not every host has done it; fleetps command show {id} says more"
    );
    Ok(())
}

fn table(commands: &[Value]) -> String {
    let with_what = commands.iter().map(|command| {
        let mut row = command.clone();
        row["what"] = json!(what(command));
        row
    });
    let now_us = now_us();
    let cells = with_what.map(|row| COMMANDS.iter().map(|field| field.cell(&row, now_us)).collect());
    render(&COMMANDS.iter().map(Field::heading).collect::<Vec<_>>(), cells)
}

fn what(command: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match command["signal"].as_str() {
        Some(signal) => {
            let process = &command["process"];
            format!("{signal} to {} {}", process["pid"], text(&process["name"]))
        }
        None => format!("{} {}", text(&command["action"]), text(&command["unit"])),
    }
}

/// The commands, the states that each was in, and what units wrote meanwhile.
fn steps(answer: &Value) -> String {
    let now_us = now_us();
    let commands = rows(answer, "commands");
    let cells = commands.iter().flat_map(|command| {
        rows(command, "steps").iter().map(move |step| {
            let mut row = step.clone();
            row["host"] = command["host"].clone();
            STEPS.iter().map(|field| field.cell(&row, now_us)).collect()
        })
    });
    let steps = render(&STEPS.iter().map(Field::heading).collect::<Vec<_>>(), cells);
    table(commands) + "\n" + &steps + &written(commands)
}

/// What the units of commands wrote, under the names of their hosts.
fn written(commands: &[Value]) -> String {
    let of_host = |command: &Value| {
        let lines = rows(command, "steps").iter().flat_map(|step| rows(step, "output"));
        let lines: String =
            lines.map(|line| format!("  {}\n", visible(line.as_str().unwrap_or_default()))).collect();
        (!lines.is_empty()).then(|| {
            format!("\n{}: written meanwhile\n{lines}", command["host"].as_str().unwrap_or_default())
        })
    };
    commands.iter().filter_map(of_host).collect()
}
