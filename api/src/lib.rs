//! The front door of fleetps: pages, JSON and live push.
//!
//! * **Web:** `server` runs the web server over the `state` that requests share; `connections` serves its connections,
//!   with `tls`. `routes` is the table of addresses, `middleware` the layers around them, `extract` reads typed
//!   arguments of a handler. `handlers` has one file per page, named as its template. `answer` is every answer in JSON, `refusal`
//!   every error; `openapi` is the description of the JSON interface. `websocket` serves programs several live topics on one
//!   connection; `sockets` is what all of these share.
//! * **Who:** `auth` has accounts and principals, `authz` what each person may do, `scoped_fleet` what each person sees.
//!   `audit_log` audits requests.
//! * **What:** `live` holds the present of the fleet, fed from the broker; `history_service` asks the history;
//!   `console` asks in SQL. `filtering` evaluates filters over the present with a deadline; `shares` limits what one
//!   person has of anything; `broker` asks the broker for a request.
//!   `control` asks hosts for settings, `command` commands them. `gate` puts snapshots that came over HTTP into the stream;
//!   `lines` hand hosts that speak HTTP what the broker says to them. `prometheus` answers questions of monitoring systems;
//!   `metrics` declares what is measured, and writes it for Prometheus.
//!   `fleet_views` renders the fleet page once for everybody who looks at the same.
//! * **Notifications:** `dispatch` decides who is told of which alert; `notify` tells people and programs what happened, by mail,
//!   chat, webhook or a command.
//! * **How it looks:** `view` makes the rows of a page, and the patches that keep an open page up to date; `display`
//!   writes numbers, times and hostile strings; `csv` and `spreadsheet` write tables; `url` writes addresses.
//! * **Older systems:** `legacy` answers their agents and pages at an address of its own.
//! * **Program:** `pipeline` runs every part in one process, as `cli` and `config` say (`starting` answers until then);
//!   `terminal` has the commands that a person types, one file each. `recovery` saves and restores the broker's records, `backups` takes backups.
//!
//! The program takes `main` from here; benchmarks and integration tests take `testing`.

// They panic when the pipe is closed; `fleetps_nats::output` does not.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]
#![warn(unreachable_pub)]

mod answer;
mod audit_log;
mod auth;
mod authz;
mod backups;
mod broker;
mod cli;
mod command;
mod config;
mod connections;
mod console;
mod control;
mod counts;
mod csv;
mod demonstration;
mod dispatch;
mod display;
mod extract;
mod filtering;
mod fleet_views;
mod gate;
mod handlers;
mod history_service;
mod legacy;
mod lines;
mod live;
mod metrics;
mod middleware;
mod notify;
mod openapi;
mod pipeline;
mod program;
mod prometheus;
mod query;
mod recovery;
mod refusal;
mod routes;
mod scoped_fleet;
mod server;
mod shares;
mod sockets;
mod spreadsheet;
mod starting;
mod state;
mod terminal;
pub mod testing;
mod tls;
mod url;
mod view;
mod watching;
mod websocket;

pub use program::{command_line, main};
