//! Commands to hosts: the server's side of them, against hosts that answer as they are told.

pub mod helper;
mod left_over;
mod plans;
#[cfg(target_os = "linux")]
pub mod real;
mod rights;
pub mod scene;
mod sent;
