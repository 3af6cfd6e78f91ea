//! The agent and the simulator with a real nats-server.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on should panic")]

mod agent;
#[cfg(target_os = "linux")]
mod control;
mod dead_mount;
mod differential_machine;
#[cfg(target_os = "linux")]
mod differential_processes;
mod join;
mod publisher;
mod remote;
mod server;
#[cfg(target_os = "linux")]
mod service;
mod simulator;
mod support;
