//! `fleetps alert`: the open alerts and the rules of a running fleetps, changes of rules, and what a rule would have said.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use ureq::http::Method;

use super::{
    ServerArgs,
    alert_channel::{ChannelCommand, channel},
    alert_silence::{RouteCommand, SilenceCommand, route, silence},
    field::{Field, Form, listed, rows, time_us},
};
use crate::{config::Config, url::Url};

const ALERTS: [Field; 8] = [
    Field::new("id", "ID", Form::Text),
    Field::new("severity", "SEVERITY", Form::Text),
    Field::new("host", "HOST", Form::Text),
    Field::new("rule", "RULE", Form::Text),
    Field::new("raised_at", "AGE", Form::Age),
    Field::new("acknowledged_by", "ACKNOWLEDGED", Form::Text),
    Field::new("sentence", "SENTENCE", Form::Text),
    // It may be long.
    Field::new("instance", "WHAT", Form::Text),
];
const RULES: [Field; 6] = [
    Field::new("id", "ID", Form::Text),
    Field::new("severity", "SEVERITY", Form::Text),
    Field::new("enabled", "ON", Form::Text),
    Field::new("open", "OPEN", Form::Count),
    Field::new("raised", "RAISED", Form::Count),
    Field::new("sentence", "SENTENCE", Form::Text),
];
const EPISODES: [Field; 4] = [
    Field::new("from", "AGE", Form::Age),
    Field::new("end", "END", Form::Text),
    Field::new("host", "HOST", Form::Text),
    Field::new("instance", "WHAT", Form::Text),
];

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum AlertCommand {
    /// List the open alerts, or the rules
    List {
        /// The rules instead of the alerts
        #[arg(long)]
        rules: bool,
        /// The server to ask
        #[command(flatten)]
        asked: ServerArgs,
    },
    /// Save a rule under an id; a built-in rule of this id no longer counts
    Add(AddArgs),
    /// Remove a saved rule; a built-in rule of this id counts again
    Remove {
        /// Its id
        id: String,
        /// The server to ask
        #[command(flatten)]
        asked: ServerArgs,
    },
    /// Say that you look after an open alert
    Ack {
        /// The alert's id, as `list` has it
        id: String,
        /// What is done about it
        #[arg(long, default_value = "")]
        why: String,
        /// Take an acknowledgement back instead
        #[arg(long)]
        withdraw: bool,
        /// The server to ask
        #[command(flatten)]
        asked: ServerArgs,
    },
    /// Silence alerts for a time or in hours of every week, and end that
    #[command(subcommand)]
    Silence(SilenceCommand),
    /// See and change the routes by which notifications go to channels
    #[command(subcommand)]
    Route(RouteCommand),
    /// See, change and try the channels that notifications go to
    #[command(subcommand)]
    Channel(ChannelCommand),
    /// Show what a rule would have said in the past, saved or not
    Test {
        /// The rule, as in `cpu > 90% for 10m over program`
        sentence: String,
        /// How far back: at most 7d
        #[arg(long, value_name = "TIME", default_value = "1d")]
        range: String,
        /// Only hosts of this group; more than once for more
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<String>,
        /// The server to ask
        #[command(flatten)]
        asked: ServerArgs,
    },
}

/// A rule to save.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// Its id, as in disk-full
    id: String,
    /// The rule, as in `cpu > 90% for 10m over program`
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    sentence: Option<String>,
    /// A file with the rule as JSON, as `GET /api/v1/alerts/rules` has it: sentence, severity, enabled, groups, note
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How bad it is: info, warning or critical
    #[arg(long, default_value = "warning")]
    severity: String,
    /// Only hosts of this group; more than once for more
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// What it means and what to do
    #[arg(long, default_value = "")]
    note: String,
    /// Save it without evaluating it: switches a built-in rule off
    #[arg(long)]
    off: bool,
    /// The server to ask
    #[command(flatten)]
    asked: ServerArgs,
}

/// Does it.
///
/// # Errors
/// When the server cannot be reached or refuses.
pub(crate) fn alert(config: &Config, command: &AlertCommand) -> anyhow::Result<()> {
    match command {
        AlertCommand::List { rules: false, asked } => asked.show(config, &Url::alerts().api(), &[], open),
        AlertCommand::List { rules: true, asked } => {
            asked.show(config, &Url::alert_rules().api(), &[], |answer| listed(answer, "rules", &RULES))
        }
        AlertCommand::Add(args) => add(config, args),
        AlertCommand::Remove { id, asked } => {
            let url = Url::alert_rule(id).api();
            asked.show_answer(config, (Method::DELETE, &url, None), |_| format!("The rule {id} is removed\n"))
        }
        AlertCommand::Ack { id, why, withdraw, asked } => {
            let (method, body, done) = match withdraw {
                true => (Method::DELETE, None, "is no longer acknowledged"),
                false => (Method::POST, Some(json!({"why": why})), "is acknowledged"),
            };
            let url = Url::acknowledge(id).api();
            asked.show_answer(config, (method, &url, body), |_| format!("The alert {id} {done}\n"))
        }
        AlertCommand::Silence(command) => silence(config, command),
        AlertCommand::Route(command) => route(config, command),
        AlertCommand::Channel(command) => channel(config, command),
        AlertCommand::Test { sentence, range, groups, asked } => {
            let body = json!({"sentence": sentence, "range": range, "groups": given(groups)});
            asked.show_answer(config, (Method::POST, &Url::alert_test().api(), Some(body)), tried)
        }
    }
}

fn add(config: &Config, args: &AddArgs) -> anyhow::Result<()> {
    let AddArgs { id, sentence, file, severity, groups, note, off, asked } = args;
    let body = match file {
        Some(file) => {
            let text = fleetps_nats::file::read_text(file);
            let text = text.with_context(|| format!("cannot read {}", file.display()))?;
            serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.display()))?
        }
        None => json!({
            "sentence": sentence,
            "severity": severity,
            "groups": given(groups),
            "note": note,
            "enabled": !off,
        }),
    };
    let url = Url::alert_rule(id).api();
    asked.show_answer(config, (Method::PUT, &url, Some(body)), |_| format!("The rule {id} is saved\n"))
}

/// Groups as they are sent: none for every host.
fn given(groups: &[String]) -> Option<&[String]> {
    (!groups.is_empty()).then_some(groups)
}

fn open(answer: &Value) -> String {
    let mut answer = answer.clone();
    for alert in answer["alerts"].as_array_mut().into_iter().flatten() {
        alert["acknowledged_by"] = alert["acknowledged"]["who"].clone();
    }
    listed(&answer, "alerts", &ALERTS)
}

/// What a rule would have said.
fn tried(answer: &Value) -> String {
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let mut text = format!(
        "It would have told somebody {} times, on {} hosts with {} snapshots.\n",
        number(&answer["told"]),
        number(&answer["hosts"]),
        number(&answer["snapshots"])
    );
    for other in rows(answer, "others") {
        let lasting = other["lasting"].as_str().unwrap_or_default();
        text += &format!("With \"{lasting}\": {} times.\n", number(&other["told"]));
    }
    if time_us(&answer["from"]).is_some() && !rows(answer, "episodes").is_empty() {
        text += &listed(answer, "episodes", &EPISODES);
    }
    text
}
