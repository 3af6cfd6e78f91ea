//! The unit file for systemd.

use std::process::Command;

const UNIT: &str = include_str!("../../packaging/fleetps.service");

#[test]
fn the_unit_of_the_server_is_one_that_systemd_understands() {
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("fleetps.service");
    let program = env!("CARGO_BIN_EXE_fleetps");
    std::fs::write(&unit, UNIT.replace("/usr/local/bin/fleetps", program)).unwrap();
    let Ok(output) = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output() else {
        eprintln!("skipped: there is no systemd-analyze here");
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let of_ours: Vec<&str> = said.lines().filter(|line| line.contains("fleetps")).collect();
    assert!(of_ours.is_empty() && output.status.success(), "{said}");
}

#[test]
fn the_unit_asks_the_program_alone_to_end_and_starts_it_always() {
    for line in ["KillMode=mixed", "Restart=always", "StartLimitIntervalSec=0", "NoNewPrivileges=yes"] {
        assert!(UNIT.lines().any(|there| there == line), "{line}");
    }
}
