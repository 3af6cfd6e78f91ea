use std::{os::unix::fs::PermissionsExt, path::Path, time::Duration};

use fleetps::testing::notify::{Again, Allowed, Sender};
use serde_json::{Value, json};

use super::{channel, notification};
use crate::support::PATIENCE;

/// A program of these lines.
fn program(folder: &Path, name: &str, lines: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn sender(programs: &[&String], limit: Duration) -> Sender {
    let programs = programs.iter().map(|program| program.as_str().into()).collect();
    Sender::new(Allowed { networks: Vec::new(), programs }).with_limit(limit, "")
}

#[tokio::test]
async fn a_program_that_the_settings_name_gets_json_and_arguments_without_a_shell() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("got");
    let page = program(
        folder.path(),
        "page",
        &format!("cat > {0}; printf '%s' \"$1\" > {0}.1; env > {0}.env", to.display()),
    );
    let words = "$(touch /tmp/x); `id` ' \" \r\n";
    let channel = channel(json!({ "kind": "command", "program": page, "arguments": ["$(id) ; x"] }));
    let refused = sender(&[], PATIENCE).send(&channel, &notification("a", words), None).await.unwrap_err();
    assert_eq!(refused.again, Again::Never);
    assert!(!to.exists());
    sender(&[&page], PATIENCE).send(&channel, &notification("a", words), None).await.unwrap();
    let got: Value = serde_json::from_slice(&std::fs::read(&to).unwrap()).unwrap();
    assert_eq!(got["rule"], "memory");
    assert_eq!(std::fs::read_to_string(to.with_extension("1")).unwrap(), "$(id) ; x");
    let environment = std::fs::read_to_string(to.with_extension("env")).unwrap();
    assert!(!environment.contains("CARGO"), "{environment}");
}

#[tokio::test]
async fn a_program_that_fails_is_tried_again_and_its_words_are_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let fails = program(folder.path(), "fails", "echo 'no pager' >&2; exit 3");
    let loud =
        program(folder.path(), "loud", "head -c 10000000 /dev/zero >&2; head -c 10000000 /dev/zero; exit 1");
    let missing = folder.path().join("missing").to_str().unwrap().to_owned();
    let sender = sender(&[&fails, &loud, &missing], PATIENCE);
    for (program, words) in [(&fails, "no pager"), (&loud, "ended with"), (&missing, "cannot start")] {
        let channel = channel(json!({ "kind": "command", "program": program }));
        let failure = sender.send(&channel, &notification("a", "a"), None).await.unwrap_err();
        assert_eq!(failure.again, Again::Later);
        assert!(failure.reason.contains(words), "{}", failure.reason);
    }
}

#[tokio::test]
async fn a_program_that_hangs_is_killed_with_what_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    let lines = format!("sleep 1000 & echo $! > {0}.new; mv {0}.new {0}; wait", pid.display());
    let hangs = program(folder.path(), "hangs", &lines);
    let leaves =
        program(folder.path(), "leaves", &format!("sleep 1000 & echo $! > {}; exit 0", pid.display()));
    for (program, is_sent) in [(&hangs, false), (&leaves, true)] {
        let channel = channel(json!({ "kind": "command", "program": program }));
        let sent =
            sender(&[program], Duration::from_secs(3)).send(&channel, &notification("a", "a"), None).await;
        assert_eq!(sent.is_ok(), is_sent, "{sent:?}");
        let child = std::fs::read_to_string(&pid).unwrap().trim().to_owned();
        let ended = async {
            // A zombie whose parent is gone is reaped by the machine's own first process.
            let is_alive = || {
                let state = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
                !state.is_empty() && !state.contains(") Z ")
            };
            while is_alive() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ended).await.expect("what it started lives on");
    }
}
