//! Commands whose output is a closed pipe, and logs without a reader.

use std::{
    io::Read,
    process::{Command, Stdio},
};

/// A pipe whose reader is gone.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn programs() -> Vec<Command> {
    let folder = std::path::Path::new(env!("CARGO_BIN_EXE_fleetps")).parent().unwrap();
    let command = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(folder.join(program));
        command.args(arguments);
        command
    };
    vec![
        command("fleetps", &["config"]),
        command("fleetps", &["--help"]),
        command("fleetps", &["sql", "--help"]),
        command("fleetps", &["ps", "--server", "http://127.0.0.1:9", "x"]),
        command("fleetps-agent", &["config"]),
        command("fleetps-agent", &["once"]),
        command("fleetps-ingestor", &["--help"]),
    ]
}

#[test]
fn no_command_panics_where_nobody_reads_what_it_says() {
    for mut command in programs() {
        let output = command.stdout(closed()).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("panicked"), "{command:?}: {said}");
        // An error of its own is an error all the same.
        assert_eq!(output.status.success(), said.is_empty(), "{command:?}: {said}");
        let status = command.stdout(closed()).stderr(closed()).status().unwrap();
        assert_ne!(status.code(), Some(101), "{command:?} panicked");
    }
}

#[test]
fn a_log_that_is_no_terminal_has_no_colours() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleetps"));
    let folder = tempfile::tempdir().unwrap();
    let mut child = command
        .args(["serve", "--nats", "nats://127.0.0.1:9", "--listen", "127.0.0.1:0", "--data"])
        .arg(folder.path())
        .env_remove("NO_COLOR")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It waits for a broker that is never there, and says so.
    let mut said = [0; 200];
    child.stderr.as_mut().unwrap().read_exact(&mut said).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.contains("waits for the broker") && !said.contains('\u{1b}'), "{said:?}");
}
