//! Whoever has the broker or the agent: floods, forged and mutated lines, and files that others can write.

use std::{fs, os::unix::fs::PermissionsExt};

use fleetps_nats::{
    agent_settings::{ControlKey, Kind},
    command::{Answer, Ask, MAX_MESSAGE_BYTES, ProcessId, Reason, Signal, Stage},
};
use futures_util::future::join_all;
use nkeys::KeyPair;
use tokio::net::UnixStream;

use super::desk::{Desk, Running, command, noted, outcome, own_processes, signal, until};
use crate::support::{host, scale};

/// Frames that are mutated; 100,000 with `FLEETPS_TEST_SCALE=20`.
const MUTATED: usize = 5_000;

/// The reason of an answer that refuses.
fn refusal(answer: &Answer) -> Option<Reason> {
    match answer {
        Answer::Refused { reason, .. } => Some(*reason),
        _ => None,
    }
}

#[tokio::test]
async fn a_flood_of_tickets_is_refused_and_takes_none_away() {
    let desk = Desk::start(&own_processes());
    let process = Running::sleeping();
    let first = desk.ticket().await;
    let mut refused = 0;
    for _ in 0..200 {
        refused += usize::from(refusal(&desk.ask(&Ask::Ticket).await) == Some(Reason::TooMany));
    }
    assert_eq!(refused, 200 - 63);
    let command = command(first, signal(Signal::Cont, process.identity()));
    let done = desk.ask(&desk.sign(&command)).await;
    assert_eq!(desk.end(command.id, done).await.stage, Stage::Done);
}

#[tokio::test]
async fn more_than_ten_commands_a_minute_are_refused_whoever_signs_them() {
    let desk = Desk::start(&own_processes());
    let process = Running::sleeping();
    for number in 0..12 {
        let ended = desk.run(signal(Signal::Cont, process.identity())).await;
        let expected =
            if number < 10 { (Stage::Done, None) } else { (Stage::Refused, Some(Reason::TooMany)) };
        assert_eq!(outcome(&ended), expected, "{number}: {ended:?}");
    }
}

#[tokio::test]
async fn connections_are_bounded() {
    let desk = Desk::start(&own_processes());
    let idle = join_all((0..32).map(|_| UnixStream::connect(&desk.socket))).await;
    // Connected is not yet accepted; those before this one are.
    let full = desk.ask(&Ask::Ticket).await;
    assert_eq!(refusal(&full), Some(Reason::TooMany), "{full:?}");
    drop(idle);
    let mut given = None;
    for _ in 0..1000 {
        given = desk.ask_bytes(&Ask::Ticket.to_bytes()).await.filter(|answer| refusal(answer).is_none());
        if given.is_some() {
            break;
        }
    }
    assert!(given.is_some(), "there is room again");
}

#[tokio::test]
async fn lines_that_are_no_questions_are_answered_and_execute_nothing() {
    let desk = Desk::start(&own_processes());
    let long = vec![b' '; MAX_MESSAGE_BYTES + 100];
    let nested = "[".repeat(60_000);
    for line in [
        b"".as_slice(),
        b"null",
        b"{}",
        b"\xff\xfe",
        br#"{"ask":"run"}"#,
        br#"{"ask":"run","frame":{}}"#,
        br#"{"ask":"shell","line":"rm -rf /"}"#,
        br#"{"ask":"look","target":{"unit":"../../x"}}"#,
        br#"{"ask":"look","target":{"unit":"x.service","more":1}}"#,
        nested.as_bytes(),
        &long,
    ] {
        if let Some(answer) = desk.ask_bytes(line).await {
            assert_eq!(refusal(&answer), Some(Reason::NotBelieved), "{line:?} {answer:?}");
        }
    }
    desk.ticket().await;
}

#[tokio::test]
async fn forged_retargeted_and_mutated_frames_execute_nothing() {
    let desk = Desk::start(&own_processes());
    let file = desk.folder().join("noted");
    let process = Running::noting(&file);
    until("it is ready", || noted(&file, "ready") == 1).await;
    let other = ControlKey::from(KeyPair::new_operator());
    let command = desk.command(signal(Signal::Usr1, process.identity())).await;
    let body = serde_json::to_string(&command).unwrap();
    let as_settings = desk.key.sign(Kind::Settings, &host(), 0, body.clone()).unwrap();
    let forged = [
        command.sign(&host(), &other).unwrap(),
        command.sign(&"elsewhere".parse().unwrap(), &desk.key).unwrap(),
        as_settings,
    ];
    for frame in &forged {
        let refused = desk.ask(&Ask::Run { frame: frame.clone() }).await;
        assert_eq!(refusal(&refused), Some(Reason::NotBelieved), "{refused:?}");
    }
    // Each with the ticket that works: what one of them executes uses it up.
    let good = Ask::Run { frame: desk.frame(&command) }.to_bytes();
    let mut random = fastrand::Rng::with_seed(7);
    for number in 0..MUTATED * scale() {
        let mut bytes = match number % 4 {
            0 => Ask::Run { frame: forged[number / 4 % forged.len()].clone() }.to_bytes(),
            _ => good.clone(),
        };
        let place = random.usize(..bytes.len());
        bytes[place] ^= 1 << random.u8(..7);
        if bytes[place] == b'\n' || bytes[place].is_ascii_whitespace() {
            continue;
        }
        let answer = desk.ask_bytes(&bytes).await.unwrap();
        assert_eq!(refusal(&answer), Some(Reason::NotBelieved), "{}", String::from_utf8_lossy(&bytes));
    }
    assert_eq!(noted(&file, "one"), 0);
    let done = desk.ask_bytes(&good).await.unwrap();
    assert_eq!(desk.end(command.id, done).await.stage, Stage::Done);
    until("the one that is signed is executed", || noted(&file, "one") == 1).await;
}

#[tokio::test]
async fn after_a_command_of_a_newer_control_key_the_older_one_commands_nothing_also_in_the_next_run() {
    let state = tempfile::tempdir().unwrap();
    let mut desk =
        Desk::start_with(&own_processes(), |options| options.state = Some(state.path().to_owned()));
    let file = state.path().join("control.nk");
    let pair = KeyPair::new_operator();
    fleetps_nats::key::write(&pair, &file).unwrap();
    desk.key = ControlKey::from(pair);
    desk.write(&own_processes());
    let old = desk.key.clone();
    desk.key = ControlKey::rotate(&file).unwrap();
    let missing =
        || signal(Signal::Usr1, ProcessId { pid: 1, start_ticks: 1, ..Running::sleeping().identity() });
    for _ in 0..2 {
        let command = desk.command(missing()).await;
        let answer = desk.ask(&Ask::Run { frame: command.sign(&host(), &desk.key).unwrap() }).await;
        assert!(matches!(answer, Answer::Stage(_)), "{answer:?}");
        let command = desk.command(missing()).await;
        let answer = desk.ask(&Ask::Run { frame: command.sign(&host(), &old).unwrap() }).await;
        assert_eq!(refusal(&answer), Some(Reason::NotBelieved), "{answer:?}");
        desk.restart();
    }
    let command = desk.command(missing()).await;
    let answer = desk.ask(&Ask::Run { frame: command.sign(&host(), &old).unwrap() }).await;
    assert_eq!(refusal(&answer), Some(Reason::NotBelieved), "{answer:?}");
}

#[tokio::test]
async fn another_user_is_not_answered_whatever_the_mode_of_the_socket_says() {
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: it takes root to be somebody else");
        return;
    }
    let desk = Desk::start(&own_processes());
    for (path, mode) in [(desk.folder(), 0o755), (&desk.socket, 0o666)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let asked = |user: u32, group: u32| {
        let script = "import os, socket, sys\n\
            os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[3]))\n\
            s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n\
            s.sendall(b'{\"ask\":\"ticket\"}\\n'); print(s.makefile().readline())";
        let mut python = tokio::process::Command::new("python3");
        let ids = [group, user].map(|id| id.to_string());
        python.args(["-c", script]).arg(&desk.socket).args(ids);
        async move { String::from_utf8_lossy(&python.output().await.unwrap().stdout).into_owned() }
    };
    // 65534 is nobody. In the socket's group, it is as good as the agent.
    let group = rustix::process::getegid().as_raw();
    assert!(crate::support::within(asked(65534, group)).await.contains("ticket"));
    assert!(!crate::support::within(asked(65534, 65534)).await.contains("answer"));
}

#[tokio::test]
async fn a_settings_file_that_others_can_write_allows_nothing() {
    let desk = Desk::start(&own_processes());
    let mode = |path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    for (path, unsafe_mode, safe_mode) in
        [(desk.config(), 0o664, 0o644), (desk.config(), 0o646, 0o644), (desk.folder(), 0o777, 0o700)]
    {
        mode(path, unsafe_mode);
        let answer = desk.ask(&Ask::Ticket).await;
        assert_eq!(refusal(&answer), Some(Reason::Internal), "{answer:?}");
        mode(path, safe_mode);
        desk.ticket().await;
    }
    desk.write("enabled = true\nunits = [\"restart nginx\"]");
    let Answer::Refused { detail, .. } = desk.ask(&Ask::Ticket).await else { panic!("it has an error") };
    assert!(detail.contains("column 9") && detail.contains("agent.toml"), "{detail}");
}
