//! The web layer from outside: pages by selector, JSON by value, streams as streams, and all of it in a browser.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on should panic")]

mod accounts;
mod alert_on;
mod alert_rights;
mod alerts;
mod apart;
mod askers;
mod audit;
mod audit_of_looks;
mod auth;
mod authz;
mod backup;
mod broker_away;
mod broker_tls;
mod browser;
mod browser_cross_origin;
mod browser_over_time;
mod browser_people;
mod browser_travel;
#[path = "../../../ingestor/tests/it/chance.rs"]
#[allow(dead_code, reason = "the ingestor's tests use the rest")]
mod chance;
#[cfg(unix)]
mod channels;
mod closed_pipe;
mod commands;
mod console;
mod console_scoped;
mod described;
mod dispatch;
#[cfg(unix)]
mod files;
mod flood;
mod gate;
mod groups;
mod guarded;
mod history;
mod hostile;
mod hostile_corpus;
mod hostile_over_time;
mod hostile_processes;
mod ingest;
mod ingest_hostile;
mod ingest_kills;
mod json;
mod legacy;
mod listener;
mod live;
mod metrics;
mod modules;
#[cfg(unix)]
mod notify;
mod omitted;
mod openapi;
mod over_time;
mod own_secrets;
mod pages;
mod pages_over_time;
mod past_hour;
mod patterns;
mod pipeline;
mod program;
mod prometheus;
mod prometheus_dashboards;
mod prometheus_exact;
mod prometheus_hours;
mod prometheus_limits;
mod prometheus_tools;
mod readme;
mod recovery;
mod service;
mod settings;
mod shares;
mod silences;
mod sql_page;
mod starts;
mod sums;
mod support;
mod tls;
mod travel;
mod websocket;
mod websocket_docs;
mod websocket_hostile;
mod websocket_resume;
mod websocket_rights;
mod websocket_slow;
