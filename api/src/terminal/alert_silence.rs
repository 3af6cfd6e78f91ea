//! `fleetps alert silence` and `fleetps alert route`: who is told of alerts, and who is not for a while.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use ureq::http::Method;

use super::{
    ServerArgs,
    alert_channel::record,
    field::{Field, Form, listed},
};
use crate::{config::Config, notify::Matcher, url::Url, view::silences::matcher_words};

const SILENCES: [Field; 7] = [
    Field::new("id", "ID", Form::Text),
    Field::new("holds", "HOLDS", Form::Text),
    Field::new("muted", "MUTED", Form::Count),
    Field::new("who", "BY", Form::Text),
    Field::new("when", "WHEN", Form::Text),
    // These may be long.
    Field::new("about", "ABOUT", Form::Text),
    Field::new("why", "WHY", Form::Text),
];

/// The subcommands about silences.
#[derive(Debug, Subcommand)]
pub(crate) enum SilenceCommand {
    /// List the silences and maintenance windows
    List {
        /// The server to ask
        #[command(flatten)]
        asked: ServerArgs,
    },
    /// Silence alerts for a time, or in hours of every week
    Add(AddArgs),
    /// End a silence now, or remove a maintenance window
    End {
        /// Its id, as `list` has it
        id: String,
        /// The server to ask
        #[command(flatten)]
        asked: ServerArgs,
    },
}

/// A silence to add. In names, * stands for any characters.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// Why
    #[arg(long)]
    why: String,
    /// From now on for this time, as in 2h; at most 90d
    #[arg(long = "for", value_name = "TIME", required_unless_present = "weekly", conflicts_with = "weekly")]
    length: Option<String>,
    /// In these hours of every week, as in 22:00-07:00
    #[arg(long, value_name = "FROM-UNTIL")]
    weekly: Option<String>,
    /// With --weekly: on this day, as in saturday; more than once for more, every day without it
    #[arg(long = "day", value_name = "DAY", requires = "weekly")]
    days: Vec<String>,
    /// With --weekly: the time zone of these hours
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    zone: String,
    /// Only this rule; more than once for more
    #[arg(long = "rule", value_name = "ID")]
    rules: Vec<String>,
    /// Only this host; more than once for more
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
    /// Only hosts of this group; more than once for more
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// Only alerts that are at least so bad: info, warning or critical
    #[arg(long)]
    severity: Option<String>,
    /// The server to ask
    #[command(flatten)]
    asked: ServerArgs,
}

/// The subcommands about routes.
#[derive(Debug, Subcommand)]
pub(crate) enum RouteCommand {
    /// Print the routes as JSON, in the order in which they are asked
    List {
        /// The server to ask
        #[command(flatten)]
        asked: ServerArgs,
    },
    /// Save all routes
    Set {
        /// A file with the routes as JSON, as `list` prints them; - reads standard input
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// The server to ask
        #[command(flatten)]
        asked: ServerArgs,
    },
}

/// Does it.
///
/// # Errors
/// When the server cannot be reached or refuses.
pub(super) fn silence(config: &Config, command: &SilenceCommand) -> anyhow::Result<()> {
    match command {
        SilenceCommand::List { asked } => asked.show(config, &Url::silences().api(), &[], silences),
        SilenceCommand::Add(args) => {
            let (url, body) = (Url::silences().api(), body(args)?);
            let is_of_all = args.severity.is_none()
                && [&args.rules, &args.hosts, &args.groups].into_iter().all(|names| names.is_empty());
            let about =
                if is_of_all { "; it is about every alert of every host that you may silence" } else { "" };
            let added = |answer: &Value| {
                let id = answer["id"].as_str().unwrap_or_default();
                format!("The silence {} is added{about}\n", crate::display::visible(id))
            };
            args.asked.show_answer(config, (Method::POST, &url, Some(body)), added)
        }
        SilenceCommand::End { id, asked } => {
            let url = Url::silence(id).api();
            asked.show_answer(config, (Method::DELETE, &url, None), |_| format!("The silence {id} is over\n"))
        }
    }
}

fn body(args: &AddArgs) -> anyhow::Result<Value> {
    let AddArgs { why, length, weekly, days, zone, rules, hosts, groups, severity, .. } = args;
    let weekly = match weekly {
        Some(hours) => {
            let hours = hours.split_once('-');
            let (from, until) =
                hours.ok_or_else(|| anyhow::anyhow!("--weekly: expected hours as in 22:00-07:00"))?;
            Some(json!({"zone": zone, "days": days, "from": from, "until": until}))
        }
        None => None,
    };
    let matcher = json!({"severity": severity, "rules": rules, "hosts": hosts, "groups": groups});
    Ok(json!({"matcher": matcher, "for": length, "weekly": weekly, "why": why}))
}

fn silences(answer: &Value) -> String {
    let mut answer = answer.clone();
    for silence in answer["silences"].as_array_mut().into_iter().flatten() {
        (silence["when"], silence["about"]) = (json!(when(silence)), json!(about(silence)));
    }
    listed(&answer, "silences", &SILENCES)
}

/// When a silence of the JSON holds, as in `weekly 22:00-07:00 UTC on saturday`.
fn when(silence: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let weekly = &silence["weekly"];
    if weekly.is_null() {
        return format!("until {}", text(&silence["until"]));
    }
    let days = names(&weekly["days"]).join(", ");
    let on = if days.is_empty() { "" } else { " on " };
    let [from, until, zone] = ["from", "until", "zone"].map(|part| text(&weekly[part]));
    format!("weekly {from}-{until} {zone}{on}{days}")
}

/// What a silence of the JSON is about, as in `rule busy; host web-1; within web`.
fn about(silence: &Value) -> String {
    // One of a later version may have more in it.
    let about = serde_json::from_value::<Matcher>(silence["matcher"].clone())
        .map_or_else(|_| silence["matcher"].to_string(), |matcher| matcher_words(&matcher));
    let within = names(&silence["within"]).join(" ");
    if within.is_empty() { about } else { format!("{about}; within {within}") }
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Does it.
///
/// # Errors
/// When the server cannot be reached or refuses.
pub(super) fn route(config: &Config, command: &RouteCommand) -> anyhow::Result<()> {
    let url = Url::alert_routes().api();
    match command {
        RouteCommand::List { asked } => asked.show(config, &url, &[], |answer| {
            let list = json!({"routes": answer["routes"], "revision": answer["revision"]});
            // What could drive a terminal is escaped.
            super::json(&list)
        }),
        RouteCommand::Set { file, asked } => {
            let saved = |_: &Value| "The routes are saved\n".to_owned();
            asked.show_answer(config, (Method::PUT, &url, Some(record(file)?)), saved)
        }
    }
}
