//! The nats-server program: its file name, and its version as it says it itself.

use std::{path::Path, process::Command};

use super::pins;

/// The program's file name here.
pub(super) const PROGRAM: &str = if cfg!(windows) { "nats-server.exe" } else { "nats-server" };

/// The oldest version that works, for messages.
pub(super) fn minimum() -> String {
    let (major, minor) = pins::MINIMUM_VERSION;
    format!("{major}.{minor}")
}

/// Major and minor version, as the program itself says it.
pub(super) fn version_of(program: &Path) -> Result<(u32, u32), String> {
    let output = Command::new(program).arg("--version").output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    parse_version(&text).ok_or_else(|| format!("it does not say its version but {:?}", text.trim()))
}

/// Reads "nats-server: v2.15.1".
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim().strip_prefix("nats-server: v")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_the_program_prints() {
        assert_eq!(parse_version("nats-server: v2.15.1\n"), Some((2, 15)));
        assert_eq!(parse_version("nats-server: v2.9.11-debian\n"), Some((2, 9)));
        assert_eq!(parse_version("command not found"), None);
    }
}
