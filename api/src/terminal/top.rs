//! `fleetps top`: who used most, over any time.

use clap::Args;

use super::{
    ServerArgs,
    field::{Field, Form, rows},
    table::render,
    time,
};
use crate::{config::Config, url::Url};

const HOST_AND_PID: [Field; 2] = [Field::new("host", "HOST", Form::Text), Field::new("pid", "PID", Form::Id)];
const COUNTS: [Field; 2] =
    [Field::new("hosts", "HOSTS", Form::Count), Field::new("processes", "PROCESSES", Form::Count)];
const FIGURES: [Field; 6] = [
    Field::new("share_percent", "%", Form::Percent),
    Field::new("cpu_time_ms", "CPU TIME", Form::Milliseconds),
    Field::new("memory_bytes", "MEMORY", Form::Bytes),
    Field::new("peak_resident_bytes", "PEAK RSS", Form::Bytes),
    Field::new("read_bytes", "READ", Form::Bytes),
    Field::new("written_bytes", "WRITTEN", Form::Bytes),
];
/// The group stands last: it may be long.
const KEY: Field = Field::new("key", "NAME", Form::Text);

/// Which top.
#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// Only this host, as `fleetps hosts` names it
    // Another name than the flag --host has, which goes before every command.
    #[arg(id = "of_host", value_name = "HOST")]
    host: Option<String>,
    /// The figure: cpu, memory, peak, read or written
    #[arg(long, default_value = "cpu")]
    by: String,
    /// Group by name, user, unit or host; process does not group
    #[arg(long, default_value = "name")]
    group: String,
    /// Since when: a time as in 16:28, "yesterday 03:12" or 2026-11-21T03:12:00Z, or how long ago as in -15m; without a zone, in
    /// this machine's
    #[arg(long, value_name = "TIME", default_value = "-1h", allow_hyphen_values = true, value_parser = time::exact)]
    from: String,
    /// Until when
    #[arg(long, value_name = "TIME", default_value = "now", allow_hyphen_values = true, value_parser = time::exact)]
    to: String,
    /// How many lines
    #[arg(long, default_value_t = 20)]
    limit: usize,
    /// The server to ask
    #[command(flatten)]
    asked: ServerArgs,
}

/// Writes the table.
///
/// # Errors
/// When the server cannot be reached or refuses.
pub(crate) fn top(args: &TopArgs, config: &Config) -> anyhow::Result<()> {
    let mut parameters = vec![
        ("by", args.by.clone()),
        ("group", args.group.clone()),
        ("from", args.from.clone()),
        ("to", args.to.clone()),
        ("limit", args.limit.to_string()),
    ];
    parameters.extend(args.host.clone().map(|host| ("host", host)));
    let whose = if args.group == "process" { HOST_AND_PID } else { COUNTS };
    let fields: Vec<_> = whose.into_iter().chain(FIGURES).chain([KEY]).collect();
    args.asked.show(config, &Url::top().api(), &parameters, |answer| {
        // No column is an age, so the moment of the answer does not matter.
        let cells =
            rows(answer, "top").iter().map(|row| fields.iter().map(|field| field.cell(row, 0)).collect());
        render(&fields.iter().map(Field::heading).collect::<Vec<_>>(), cells)
    })
}
