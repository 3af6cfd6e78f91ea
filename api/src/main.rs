//! `fleetps`: the whole pipeline in one command, or one part of it.

use std::process::ExitCode;

fn main() -> ExitCode {
    fleetps::main()
}
