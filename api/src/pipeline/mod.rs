//! The whole pipeline in one process, and the web server alone.
//!
//! `run` starts the parts along the stream: broker, ingestor, web server, agent. Each waits for the broker, and
//! meanwhile a page says what is missing. It stops everything but the ingestor first, then the ingestor, which seals
//! its rows, then the broker. `serve` runs the web server for a broker elsewhere.
//!
//! `broker`, `history`, `web` and `agent` start one part each; `parts` holds those that run; `losses` finds what the broker
//! lost, `auth` opens the accounts, `announce` says where to look.

mod agent;
mod announce;
mod auth;
mod broker;
mod history;
mod losses;
mod parts;
mod run;
mod serve;
mod web;

pub(crate) use run::run_everything;
pub(crate) use serve::serve;
