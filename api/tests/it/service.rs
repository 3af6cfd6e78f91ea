//! The units for systemd.

use std::process::{Command, Output};

/// Each with the program that it runs, and a tenth above what `systemd-analyze security` says of it, in tenths. The first two see
/// this machine's processes; fleetps also runs programs of its owner's, which tell of alerts.
const UNITS: [(&str, &str, &str); 4] = [
    ("fleetps.service", "/usr/bin/fleetps", "25"),
    ("fleetps-ingestor.service", "/usr/bin/fleetps-ingestor", "15"),
    ("fleetps-serve.service", "/usr/bin/fleetps", "15"),
    ("fleetps-broker.service", "/usr/lib/fleetps/nats-server", "15"),
];

fn text(unit: &str) -> String {
    std::fs::read_to_string(format!("{}/packaging/{unit}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// `systemd-analyze` about a unit whose program is one that is here; `None` where there is no systemd.
fn analyze(unit: &str, program: &str, arguments: &[&str]) -> Option<Output> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(unit);
    let here = format!("ExecStart={}", env!("CARGO_BIN_EXE_fleetps"));
    std::fs::write(&file, text(unit).replace(&format!("ExecStart={program} "), &format!("{here} "))).unwrap();
    let output = Command::new("systemd-analyze").args(arguments).arg(&file).output().ok();
    if output.is_none() {
        eprintln!("skipped: there is no systemd-analyze here");
    }
    output
}

#[test]
fn the_units_are_ones_that_systemd_understands() {
    for (unit, program, _) in UNITS {
        assert!(text(unit).contains(&format!("ExecStart={program} ")), "{unit}");
        let Some(output) = analyze(unit, program, &["verify", "--man=no"]) else { return };
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let of_ours: Vec<&str> = said.lines().filter(|line| line.contains("fleetps")).collect();
        assert!(of_ours.is_empty() && output.status.success(), "{unit}: {said}");
    }
}

#[test]
fn the_units_let_the_programs_do_little() {
    for (unit, program, most) in UNITS {
        let arguments = ["security", "--no-pager", "--offline=true", "--threshold", most];
        let Some(output) = analyze(unit, program, &arguments) else { return };
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{unit}: {said}");
    }
}

#[test]
fn the_units_are_started_always_and_all_but_the_brokers_are_watched() {
    for (unit, ..) in UNITS {
        let text = text(unit);
        let mut lines = vec!["Restart=always", "StartLimitIntervalSec=0", "NoNewPrivileges=yes"];
        if unit != "fleetps-broker.service" {
            lines.extend(["Type=notify", "WatchdogSec=60"]);
        }
        for line in lines {
            assert!(text.lines().any(|there| there == line), "{unit}: {line}");
        }
    }
    // It stops the broker itself, after what was sampled is stored.
    assert!(text("fleetps.service").lines().any(|line| line == "KillMode=mixed"));
}
