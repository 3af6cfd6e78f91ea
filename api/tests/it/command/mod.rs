//! Commands to hosts: the server's side of them, against hosts that answer as they are told.

pub mod helper;
#[cfg(target_os = "linux")]
mod kills;
mod left_over;
mod many;
mod plans;
#[cfg(target_os = "linux")]
pub mod real;
mod rights;
pub mod scene;
#[cfg(target_os = "linux")]
mod seen;
mod sent;
#[cfg(target_os = "linux")]
#[path = "../../../../agent/tests/it/control/systemd.rs"]
#[allow(dead_code, reason = "the agent's tests use the rest")]
mod systemd;
#[cfg(target_os = "linux")]
mod way;
