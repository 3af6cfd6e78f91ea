//! `fleetps ps HOST`: the processes of a host, now or at a moment.

use clap::Args;
use fleetps_nats::model::{FieldRole, Kind, Unit, process::PROCESS};
use serde_json::Value;

use super::{
    ServerArgs,
    field::{Field, Form, rows, time_us},
    table::render,
    time, tree,
};
use crate::{config::Config, display, url::Url};

/// The name of what stands last in every row, behind the branches of the tree.
const COMMAND: &str = "command_line";

/// Every column that there is: the fields and rates of the model that have a heading.
fn fields() -> impl Iterator<Item = Field> {
    PROCESS.iter().flat_map(|field| {
        let form = match (field.kind, field.unit) {
            (Kind::Text | Kind::Letter | Kind::Flag, _) => Form::Text,
            (Kind::Time, _) => Form::Age,
            (_, Unit::Percent) => Form::Percent,
            (_, Unit::Bytes) => Form::Bytes,
            (_, Unit::Milliseconds) => Form::Milliseconds,
            // Numbers that identify a process have no separators.
            _ if field.role == FieldRole::Figure => Form::Count,
            _ => Form::Id,
        };
        let itself = field.heading.map(|heading| Field::new(field.column, heading, form));
        let rate = field.rate.and_then(|rate| Some(Field::new(rate.name, rate.heading?, form)));
        itself.into_iter().chain(rate)
    })
}

/// The columns of `ps u`.
const USUAL: &str = "pid,user_name,state,cpu_percent,resident_bytes,cpu_time_ms,started_at";
/// Which processes, and how they are shown.
#[derive(Debug, Args)]
pub(crate) struct PsArgs {
    /// The host, as `fleetps hosts` names it
    // Another name than the flag --host has, which goes before every command.
    #[arg(id = "of_host", value_name = "HOST")]
    host: String,
    /// The moment: a time as in 16:28, "yesterday 03:12" or 2026-11-21T03:12:00Z, or how long ago as in -15m; without a zone, in
    /// this machine's [default: now]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = time::exact)]
    at: Option<String>,
    /// Show which process started which
    #[arg(long)]
    tree: bool,
    /// Only these, as in "java and mem > 2G"
    #[arg(short, long = "filter", value_name = "FILTER")]
    q: Option<String>,
    /// The field to sort by; a `-` in front turns it round
    #[arg(long, value_name = "FIELD", allow_hyphen_values = true)]
    sort: Option<String>,
    /// The columns before the command, by their names in JSON
    #[arg(long, value_name = "FIELDS", default_value = USUAL, value_delimiter = ',')]
    columns: Vec<String>,
    /// The server to ask
    #[command(flatten)]
    asked: ServerArgs,
}

/// Writes the table of processes.
///
/// # Errors
/// When a column is unknown, or the server cannot be reached or refuses.
pub(crate) fn ps(args: &PsArgs, config: &Config) -> anyhow::Result<()> {
    let fields = args.columns.iter().map(|name| field(name.trim())).collect::<anyhow::Result<Vec<_>>>()?;
    let path = Url::host_processes(&args.host);
    args.asked.show(config, &path, &parameters(args, &fields), |answer| {
        if let (Some(_), Some(captured_at_us)) = (&args.at, time_us(&answer["captured_at"])) {
            fleetps_nats::errln!("As of {}, the last snapshot then.", display::time(captured_at_us));
        }
        table(args, &fields, answer)
    })
}

fn field(name: &str) -> anyhow::Result<Field> {
    let before_command = || fields().filter(|field| field.name != COMMAND);
    let known = || before_command().map(|field| field.name).collect::<Vec<_>>().join(", ");
    before_command().find(|field| field.name == name).ok_or_else(|| {
        anyhow::anyhow!("there is no column {name:?}; those before the command can be {}", known())
    })
}

/// Whether the server leaves a field out unless `include` names it.
fn is_on_request(name: &str) -> bool {
    PROCESS.iter().any(|field| field.column == name && field.is_on_request)
}

fn parameters(args: &PsArgs, fields: &[Field]) -> Vec<(&'static str, String)> {
    let included: Vec<_> = fields.iter().map(|field| field.name).filter(|name| is_on_request(name)).collect();
    let given = [
        ("at", args.at.clone()),
        ("q", args.q.clone()),
        ("sort", args.sort.clone()),
        ("include", (!included.is_empty()).then(|| included.join(","))),
    ];
    given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn table(args: &PsArgs, fields: &[Field], answer: &Value) -> String {
    let processes = rows(answer, "processes");
    let captured_at_us = time_us(&answer["captured_at"]).unwrap_or_default();
    let drawn: Vec<(String, &Value)> = match args.tree {
        true => tree::draw(processes),
        false => processes.iter().map(|process| (String::new(), process)).collect(),
    };
    let cells = drawn.into_iter().map(|(branches, process)| {
        let mut row: Vec<_> = fields.iter().map(|field| field.cell(process, captured_at_us)).collect();
        row.push(branches + &command(process));
        row
    });
    let command = Field::new(COMMAND, "COMMAND", Form::Text);
    render(&fields.iter().chain([&command]).map(Field::heading).collect::<Vec<_>>(), cells)
}

/// The command line; the name in brackets where there is none, as `ps` has it.
fn command(process: &Value) -> String {
    match process[COMMAND].as_str().filter(|command| !command.is_empty()) {
        Some(command) => command.to_owned(),
        None => format!("[{}]", process["name"].as_str().unwrap_or_default()),
    }
}
