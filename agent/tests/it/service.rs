//! What the agent tells the service manager that starts it, and its units.

use std::{
    os::unix::net::UnixDatagram,
    process::{Command, Stdio},
    time::Duration,
};

use crate::support::until;

/// What is heard next, within a minute.
fn hear(listener: &UnixDatagram) -> String {
    let mut message = [0; 256];
    let length = listener.recv(&mut message).expect("nothing was told within a minute");
    String::from_utf8_lossy(&message[..length]).into_owned()
}

#[tokio::test]
async fn it_says_that_it_works_goes_on_and_ends_although_the_broker_is_away() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("notify");
    let listener = UnixDatagram::bind(&socket).unwrap();
    listener.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut agent = Command::new(env!("CARGO_BIN_EXE_fleetps-agent"))
        .args(["--nats", "nats://127.0.0.1:1", "--interval", "100ms", "--state"])
        .arg(folder.path())
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", "100000")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut told = vec![hear(&listener)];
    while !told.iter().any(|text| text == "READY=1") || told.last().is_none_or(|text| text != "WATCHDOG=1") {
        told.push(hear(&listener));
    }
    let pid = rustix::process::Pid::from_child(&agent);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    loop {
        match hear(&listener).as_str() {
            "WATCHDOG=1" => {}
            "STOPPING=1" => break,
            other => panic!("{other} after {told:?}"),
        }
    }
    until("the end of the agent", || agent.try_wait().unwrap().is_some()).await;
    assert!(agent.wait().unwrap().success());
}

#[test]
fn the_units_are_understood_by_systemd_and_let_it_do_little() {
    let packaging = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/");
    // A point above what they have: 2.3 are the capability and what is seen of other users, 0.9 the signals.
    for (unit, most) in [("fleetps-agent.service", "24"), ("fleetps-control.service", "11")] {
        let mut command = Command::new("systemd-analyze");
        command.args(["security", "--no-pager", "--offline=true", "--threshold", most]);
        let Ok(output) = command.arg(format!("{packaging}{unit}")).output() else {
            eprintln!("skipped: there is no systemd-analyze here");
            return;
        };
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{unit}: {said}");
    }
}
