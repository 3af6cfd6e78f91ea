//! `fleetps-agent control …` as a program.

use std::{
    os::unix::{fs::PermissionsExt, net::UnixStream},
    process::{Command, Output, Stdio},
};

use fleetps_nats::command::{Answer, Ask, Reason, Signal, Stage};

use super::desk::{Desk, Running, outcome, own_processes, signal};

fn control(desk: &Desk, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleetps-agent"));
    // No bus, and none of the machine's own.
    command.env("DBUS_SYSTEM_BUS_ADDRESS", format!("unix:path={}", desk.folder().join("no-bus").display()));
    command.arg("--config").arg(desk.config()).arg("control").args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn a_host_explains_who_may_do_what_and_which_line_decides() {
    let process = Running::sleeping();
    let pid = process.pid().to_string();
    let desk = Desk::start(&format!("{}\nunits = [\"restart nginx.service\"]", own_processes()));
    for (arguments, is_allowed, expected) in [
        (["restart", "nginx"], true, "restart nginx.service: allowed by line 1 of [control] units"),
        (["restart", "nginx"], true, "Only the name was looked at"),
        (["restart", "nginx"], true, &format!("signed with the control key {}", desk.key.public())),
        (["stop", "nginx"], false, "none of the 1 lines of [control] units allows stop of nginx.service"),
        (["stop", "dbus"], false, "dbus.service is always refused (dbus*)"),
        (["TERM", &pid], true, "allowed by line 1 of [control] signals"),
        (["sigterm", &pid], true, "allowed by line 1 of [control] signals"),
        (["TERM", "1"], false, "process 1 is always refused"),
        (["TERM", "2147483647"], false, "there is no process 2147483647"),
        (["freeze", "nginx"], false, "expected start, stop, restart, reload and a unit"),
    ] {
        let output = control(&desk, &[&["explain"], arguments.as_slice()].concat());
        assert_eq!(output.status.success(), is_allowed, "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(expected), "{arguments:?}: {}", said(&output));
    }
    desk.write("enabled = false");
    let output = control(&desk, &["explain", "TERM", &pid]);
    assert!(!output.status.success() && said(&output).contains("enabled = false"), "{}", said(&output));
}

#[tokio::test]
async fn the_rule_of_polkit_is_what_the_file_says() {
    let desk = Desk::start("enabled = true\nunits = [\"restart,reload nginx.service\"]");
    let output = control(&desk, &["polkit", "--user", "helper"]);
    let rule = String::from_utf8(output.stdout).unwrap();
    assert!(rule.contains(r#"[["restart", "reload"], /^nginx\.service$/]"#), "{rule}");
    assert!(rule.contains(r#"subject.user != "helper""#), "{rule}");
}

/// The rule as polkit runs it, in Node: it is the same language.
#[tokio::test]
async fn polkit_allows_the_user_what_the_file_does_and_nothing_else() {
    let desk = Desk::start(
        "enabled = true\nunits = [\"restart,reload nginx.service\", \"* app-*.service\", \"* *.target\"]",
    );
    let rule = String::from_utf8(control(&desk, &["polkit"]).stdout).unwrap();
    let units = "org.freedesktop.systemd1.manage-units";
    let asked = [
        (units, "fleetps-control", "nginx.service", "restart", "yes"),
        (units, "fleetps-control", "nginx.service", "stop", "no"),
        (units, "fleetps-control", "nginx.service", "kill", "no"),
        (units, "fleetps-control", "xnginx.service", "restart", "no"),
        (units, "fleetps-control", "nginxXservice", "restart", "no"),
        (units, "fleetps-control", "app-a.b.service", "start", "yes"),
        (units, "fleetps-control", "app.service", "start", "no"),
        (units, "fleetps-control", "some.target", "start", "yes"),
        (units, "fleetps-control", "reboot.target", "start", "no"),
        (units, "fleetps-control", "", "", "no"),
        (units, "ann", "nginx.service", "restart", "none"),
        ("org.freedesktop.systemd1.manage-unit-files", "fleetps-control", "nginx.service", "restart", "none"),
    ];
    let asked = serde_json::to_string(&asked).unwrap();
    let script = format!(
        "let rule; const polkit = {{addRule: (f) => rule = f, Result: {{YES: 'yes', NO: 'no', NOT_HANDLED: 'none'}}}};
        {rule}
        for (const [id, user, unit, verb, expected] of {asked}) {{
          const said = rule({{id, lookup: (key) => ({{unit, verb}})[key]}}, {{user}});
          if (said != expected) throw new Error([id, user, unit, verb, said, expected].join(' '));
        }}"
    );
    match Command::new("node").args(["-e", &script]).output() {
        Ok(output) => assert!(output.status.success(), "{}", said(&output)),
        Err(error) => println!("SKIPPED: no node ({error})"),
    }
}

#[tokio::test]
async fn without_a_settings_file_nothing_is_believed() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleetps-agent"));
    let output = command.args(["control", "explain", "restart", "nginx"]).output().unwrap();
    assert!(!output.status.success() && said(&output).contains("--config FILE"), "{}", said(&output));
}

/// The helper as a program of its own, which `wrapper` starts, on the socket of `desk`.
async fn given(desk: &mut Desk, wrapper: &[&str]) -> Running {
    desk.stop();
    let _ = std::fs::remove_file(&desk.socket);
    // As systemd does: the socket is descriptor 3 of the process that is told so.
    let script = "import os, socket, sys\n\
        s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()\n\
        os.dup2(s.fileno(), 3); os.set_inheritable(3, True)\n\
        os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))\n\
        os.execvp(sys.argv[2], sys.argv[2:])";
    let mut python = Command::new("python3");
    python.args(["-c", script]).arg(&desk.socket).args(wrapper).arg(env!("CARGO_BIN_EXE_fleetps-agent"));
    python.arg("--config").arg(desk.config()).args(["control", "run"]).stdin(Stdio::null());
    let helper = Running(python.spawn().unwrap());
    super::desk::until("it listens", || UnixStream::connect(&desk.socket).is_ok()).await;
    helper
}

#[tokio::test]
async fn the_helper_takes_the_socket_that_systemd_listens_on_and_ends_when_told() {
    let mut desk = Desk::start(&own_processes());
    let mut helper = given(&mut desk, &[]).await;
    let answer = desk.ask(&Ask::Ticket).await;
    assert!(matches!(answer, Answer::Ticket { .. }), "{answer:?}");
    let own = desk.run(signal(Signal::Kill, helper.identity())).await;
    assert_eq!(outcome(&own), (Stage::Refused, Some(Reason::Protected)), "{own:?}");
    let pid = rustix::process::Pid::from_raw(i32::try_from(helper.pid()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    super::desk::until("it has ended", || !helper.is_running()).await;
}

#[tokio::test]
async fn a_user_with_one_capability_is_all_that_the_helper_takes() {
    if !rustix::process::geteuid().is_root() || Command::new("setpriv").arg("--version").output().is_err() {
        println!("SKIPPED: it takes root and setpriv to be somebody else");
        return;
    }
    let mut desk = Desk::start("enabled = true\nsignals = [\"* user:root\"]");
    std::fs::set_permissions(desk.folder(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"];
    let with = ["--inh-caps=+kill", "--ambient-caps=+kill", "--bounding-set=-all,+kill"];
    for (wrapper, expected) in [
        (nobody.to_vec(), (Stage::Refused, Some(Reason::Denied))),
        ([&nobody[..], &with[..]].concat(), (Stage::Done, None)),
    ] {
        let _helper = given(&mut desk, &wrapper).await;
        let process = Running::sleeping();
        let ended = desk.run(signal(Signal::Term, process.identity())).await;
        assert_eq!(outcome(&ended), expected, "{ended:?}");
    }
}
