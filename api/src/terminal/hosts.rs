//! `fleetps hosts`: every host, with its state and load.

use super::{
    ServerArgs,
    field::{Field, Form, rows},
    table::render,
};
use crate::{config::Config, live::now_us, url::Url};

const FIELDS: [Field; 11] = [
    Field::new("host", "HOST", Form::Text),
    Field::new("state", "STATE", Form::Text),
    Field::new("os", "SYSTEM", Form::Text),
    Field::new("cpu_percent", "%CPU", Form::Percent),
    Field::new("memory_used_bytes", "MEMORY", Form::Bytes),
    Field::new("memory_total_bytes", "OF", Form::Bytes),
    Field::new("load_1", "LOAD", Form::Percent),
    Field::new("process_count", "PROCESSES", Form::Count),
    Field::new("last_seen", "SEEN", Form::Age),
    Field::new("clock_offset_ms", "CLOCK", Form::Offset),
    Field::new("warning", "WARNING", Form::Text),
];

/// Writes the table of hosts.
///
/// # Errors
/// When the server cannot be reached.
pub(crate) fn hosts(asked: &ServerArgs, config: &Config) -> anyhow::Result<()> {
    asked.show(config, &Url::hosts(), &[], |answer| {
        let cells =
            rows(answer, "hosts").iter().map(|host| FIELDS.map(|field| field.cell(host, now_us())).to_vec());
        render(&FIELDS.map(|field| field.heading()), cells)
    })
}
