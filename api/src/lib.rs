//! The front door of fleetps: pages, JSON and live push.
//!
//! `server` runs the web server over the `state` that requests share; `connections` are those to it; `routes` says which
//! address leads where; `middleware` is what every request passes on the way there, and `extract` reads what a handler
//! needs of it. `handlers` has one file per page, named as its template.
//!
//! `people` are those who may ask, `rules` what each may do, `sight` what each sees. `live` holds the present of the fleet,
//! fed from the broker; `past` asks the history; `console` asks in SQL. `filtering` is where filters over the present take
//! their time; `shares` is how much of anything one person has. `view` turns all of it into the rows a page shows, and into
//! the patches that keep an open page up to date; `display` is how numbers, times and hostile strings are written, `csv`
//! and `spreadsheet` how a table is.
//!
//! `records` is who did what; `recovery` saves the broker's records and brings them back, `backups` takes backups;
//! `broker` is how requests ask it; `refusal` is every answer that is not a yes.
//!
//! `program` is what the command line leads to: `pipeline` runs everything in one process, as `cli` and `config` say
//! (`starting` is what is answered until then); `commands` answers in a terminal.

// They panic where nobody reads any more; `fleetps_nats::output` does not.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod backups;
mod broker;
pub mod cli;
pub mod commands;
pub mod config;
pub mod connections;
pub mod console;
mod csv;
pub mod display;
mod extract;
mod filtering;
mod handlers;
pub mod live;
mod middleware;
pub mod past;
pub mod people;
pub mod pipeline;
pub mod program;
pub mod query;
pub mod records;
pub mod recovery;
mod refusal;
pub mod routes;
pub mod rules;
pub mod server;
pub mod shares;
mod sight;
mod spreadsheet;
mod starting;
pub mod state;
pub mod tls;
mod url;
pub mod view;
