//! What travels is read as it was written, and what was changed on the way is not believed.

use nkeys::KeyPair;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    HostName,
    agent_settings::{ControlKey, Kind, NotBelieved},
};

fn host() -> HostName {
    "web-01.example.com".parse().unwrap()
}

fn unit(name: &str) -> UnitName {
    name.parse().unwrap()
}

fn process() -> ProcessId {
    ProcessId { boot_id: "5f0c".to_owned(), pid: 1234, start_ticks: 99 }
}

fn command(what: What) -> Command {
    Command {
        id: CommandId::new().unwrap(),
        ticket: Ticket::new().unwrap(),
        valid_ms: 30_000,
        what,
        who: "ann".to_owned(),
        why: "it hangs".to_owned(),
        audit: Some(7),
    }
}

fn restart() -> Command {
    command(What::Unit { action: UnitAction::Restart, unit: unit("nginx.service") })
}

fn terminate() -> Command {
    command(What::Signal { signal: Signal::Term, process: process() })
}

/// What a host that pinned `key` makes of a question in these bytes.
fn believed(bytes: &[u8], key: &ControlKey) -> Option<Command> {
    match Ask::read(bytes) {
        Ok(Ask::Run { frame }) => Command::open(&frame, &host(), &key.public()).ok(),
        _ => None,
    }
}

#[test]
fn questions_and_answers_are_read_as_they_were_written() {
    let key = ControlKey::from(KeyPair::new_operator());
    let id = CommandId::new().unwrap();
    for ask in [
        Ask::Ticket,
        Ask::Run { frame: restart().sign(&host(), &key).unwrap() },
        Ask::Wait { id: id.clone(), known: Some(Stage::Running) },
        Ask::Look { target: Target::Process(process()) },
        Ask::Look { target: Target::Unit(unit("app@1.service")) },
    ] {
        let bytes = ask.to_bytes();
        assert!(!bytes.contains(&b'\n'), "one line");
        assert_eq!(Ask::read(&bytes), Ok(ask));
    }
    let allows = Allowed {
        actions: UnitAction::ALL.into(),
        signals: Signal::ALL.into(),
        rules: vec!["* nginx.service".to_owned()],
    };
    let ticket = Answer::Ticket {
        ticket: Ticket::new().unwrap(),
        boot_id: "5f0c".to_owned(),
        valid_ms: 60_000,
        allows,
    };
    let progress = Progress { gone: Some(true), took_ms: Some(3), ..Progress::new(id, Stage::Done) };
    for answer in [
        ticket,
        Answer::Stage(progress),
        Answer::Looked(Sight { exists: true, main_pid: Some(7), ..Sight::default() }),
        Answer::refused(Reason::TooMany, "10 in a minute"),
    ] {
        assert_eq!(Answer::read(&answer.to_bytes()), Ok(answer));
    }
}

#[test]
fn the_form_on_the_wire_is_this() {
    let ask = Ask::Look { target: Target::Process(process()) };
    assert_eq!(
        serde_json::to_value(ask).unwrap(),
        json!({"ask": "look", "target": {"process": {"boot_id": "5f0c", "pid": 1234, "start_ticks": 99}}})
    );
    assert_eq!(
        serde_json::to_value(restart().what).unwrap(),
        json!({"verb": "unit", "action": "restart", "unit": "nginx.service"})
    );
    assert_eq!(serde_json::to_value(terminate().what).unwrap()["signal"], "TERM");
    assert_eq!(serde_json::to_value(Reason::NoPidfd).unwrap(), "no_pidfd");
    assert_eq!(Signal::ALL.map(|signal| json!(signal)), Signal::ALL.map(|signal| json!(signal.name())));
    assert_eq!(
        UnitAction::ALL.map(|action| json!(action)),
        UnitAction::ALL.map(|action| json!(action.name()))
    );
}

#[test]
fn answers_of_a_later_version_are_understood_as_far_as_they_can_be() {
    let later = json!({"answer": "refused", "reason": "full_moon", "detail": "x", "more": 1});
    let expected = Answer::refused(Reason::Other, "x");
    assert_eq!(Answer::read(later.to_string().as_bytes()), Ok(expected));
    let later = json!({"actions": ["freeze", "stop"], "signals": ["WINCH", "TERM"], "users": []});
    let allowed: Allowed = serde_json::from_value(later).unwrap();
    assert_eq!((allowed.actions, allowed.signals), ([UnitAction::Stop].into(), [Signal::Term].into()));
}

#[test]
fn what_a_host_says_at_length_is_cut() {
    let detail = "é".repeat(MAX_DETAIL_BYTES);
    let progress = Progress { detail, ..Progress::new(CommandId::new().unwrap(), Stage::Failed) };
    let Ok(Answer::Stage(read)) = Answer::read(&Answer::Stage(progress).to_bytes()) else {
        panic!("it is one")
    };
    assert_eq!(read.detail.len(), MAX_DETAIL_BYTES);
    let long = vec![b' '; MAX_MESSAGE_BYTES + 1];
    assert_eq!(Answer::read(&long), Err(NotAMessage::TooLong));
    assert_eq!(Ask::read(&long), Err(NotAMessage::TooLong));
}

#[test]
fn the_longest_answer_fits_into_a_message() {
    let rules = vec![format!("* {}*.service", r"a\x2d".repeat(70)); 200];
    let allows = Allowed { rules, ..Allowed::default() };
    let ticket = Answer::Ticket {
        ticket: Ticket::new().unwrap(),
        boot_id: "5f0c".to_owned(),
        valid_ms: 60_000,
        allows,
    };
    let bytes = ticket.within_limits().to_bytes();
    let Ok(Answer::Ticket { allows, .. }) = Answer::read(&bytes) else { panic!("{} bytes", bytes.len()) };
    assert!(allows.rules.len() > 50, "{}", allows.rules.len());
}

#[test]
fn a_command_is_believed_by_its_host_alone_and_as_a_command_alone() {
    let (key, other) = (ControlKey::from(KeyPair::new_operator()), ControlKey::from(KeyPair::new_operator()));
    for command in [restart(), terminate()] {
        let frame = command.sign(&host(), &key).unwrap();
        let pinned = key.public();
        assert_eq!(Command::open(&frame, &host(), &pinned), Ok(command));
        assert_eq!(Command::open(&frame, &"web-02".parse().unwrap(), &pinned), Err(NotBelieved::OtherHost));
        assert_eq!(Command::open(&frame, &host(), &other.public()), Err(NotBelieved::OtherKey));
        for kind in [Kind::Settings, Kind::Watch] {
            assert_eq!(frame.open(kind, &host(), &pinned), Err(NotBelieved::Kind));
            let body = frame.body().to_owned();
            let wrong = key.sign(kind, &host(), 0, body).unwrap();
            assert_eq!(Command::open(&wrong, &host(), &pinned), Err(NotBelieved::Kind));
        }
    }
}

#[test]
fn a_signed_command_that_is_out_of_range_is_not_believed() {
    let key = ControlKey::from(KeyPair::new_operator());
    let opened = |command: &Command| {
        Command::open(&command.sign(&host(), &key).unwrap(), &host(), &key.public()).map(drop)
    };
    let process = |process| What::Signal { signal: Signal::Kill, process };
    let changes: [fn(&mut Command); 6] = [
        |command| command.valid_ms = 0,
        |command| command.valid_ms = 60_001,
        |command| command.valid_ms = u64::MAX,
        |command| command.who = "x".repeat(MAX_WHO_BYTES + 1),
        |command| command.why = "x".repeat(MAX_WHY_BYTES + 1),
        |command| command.why = "a\nb".to_owned(),
    ];
    for change in changes {
        let mut command = restart();
        change(&mut command);
        assert_eq!(opened(&command), Err(NotBelieved::Body), "{command:?}");
    }
    for pid in [0, 1 << 31, u32::MAX] {
        let command = command(process(ProcessId { pid, ..self::process() }));
        assert_eq!(opened(&command), Err(NotBelieved::Body), "{pid}");
    }
    let mut more: serde_json::Value = serde_json::to_value(restart()).unwrap();
    more["shell"] = json!("rm");
    let frame = key.sign(Kind::Command, &host(), 0, more.to_string()).unwrap();
    assert_eq!(Command::open(&frame, &host(), &key.public()), Err(NotBelieved::Body));
}

#[test]
fn names_of_units_are_these_and_no_others() {
    for name in
        ["nginx.service", "app@1.service", "app-x_y:z.timer", "dev-disk-by\\x2duuid.device", "a.b.slice"]
    {
        assert_eq!(unit(name).as_str(), name);
    }
    let long = format!("{}.service", "x".repeat(250));
    for name in [
        "",
        "nginx",
        ".service",
        "-.slice",
        "--now.service",
        "app@.service",
        "a b.service",
        "a/b.service",
        "a;b.service",
        "a\n.service",
        "ä.service",
        "nginx.services",
        "nginx.service ",
        &long,
    ] {
        assert!(name.parse::<UnitName>().is_err(), "{name:?}");
    }
    assert_eq!(UnitName::of_person("nginx").unwrap(), unit("nginx.service"));
    assert_eq!(UnitName::of_person("a.timer").unwrap(), unit("a.timer"));
    assert!(UnitName::of_person("a b").is_err());
}

#[test]
fn random_names_have_one_form_and_are_never_the_same() {
    let (one, other) = (CommandId::new().unwrap(), CommandId::new().unwrap());
    assert_ne!(one, other);
    assert_eq!(one.to_string().parse(), Ok(one.clone()));
    let upper = one.to_string().to_uppercase();
    for text in ["", "a", &one.to_string()[1..], "aaaaaaaaaaaaaaaaaaaaaaaaa1", &format!("{one}a"), &upper] {
        assert_eq!(text.parse::<Ticket>(), Err(NotARandomName), "{text}");
    }
}

#[test]
fn every_reason_has_a_sentence() {
    for reason in Reason::ALL {
        assert!(reason.words().len() > 20 && !reason.words().contains("  "), "{reason:?}");
        assert_eq!(serde_json::from_value::<Reason>(json!(reason)).unwrap(), reason);
    }
}

/// One change of a message in bytes, so that the property holds for what an attacker can send, and not for what serde writes.
fn mutate(mut bytes: Vec<u8>, kind: u8, place: usize, with: u8) -> Vec<u8> {
    let place = place % bytes.len();
    match kind % 5 {
        0 => bytes[place] ^= 1 << (with % 8),
        1 => bytes[place] = with,
        2 => bytes.truncate(place),
        3 => bytes.insert(place, with),
        _ => drop(bytes.remove(place)),
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    /// 1,000 keys, each with 100 mutated, forged or re-targeted frames.
    #[test]
    fn of_a_hundred_thousand_mutated_commands_none_is_believed_that_says_something_else(
        changes in prop::collection::vec((any::<u8>(), any::<usize>(), any::<u8>()), 100),
    ) {
        let (key, other) = (ControlKey::from(KeyPair::new_operator()), ControlKey::from(KeyPair::new_operator()));
        let meant = terminate();
        let signed = meant.sign(&host(), &key).unwrap();
        let told = |frame: &serde_json::Value| json!({"ask": "run", "frame": frame}).to_string().into_bytes();
        let written = serde_json::to_value(&signed).unwrap();
        let with = |name: &str, value: serde_json::Value| {
            let mut frame = written.clone();
            frame[name] = value;
            told(&frame)
        };
        let elsewhere = restart();
        let from = [
            told(&written),
            with("host", json!("web-02")),
            with("kind", json!("settings")),
            with("body", json!(serde_json::to_string(&elsewhere).unwrap())),
            with("revision", json!(signed.revision() + 1)),
            with("key", json!(other.public())),
            told(&serde_json::to_value(meant.sign(&host(), &other).unwrap()).unwrap()),
            told(&serde_json::to_value(meant.sign(&"web-02".parse().unwrap(), &key).unwrap()).unwrap()),
        ];
        prop_assert_eq!(believed(&from[0], &key), Some(meant.clone()));
        prop_assert!(from[1..].iter().all(|bytes| believed(bytes, &key).is_none()));
        for (number, (kind, place, with)) in changes.into_iter().enumerate() {
            let bytes = mutate(from[number % from.len()].clone(), kind, place, with);
            if let Some(found) = believed(&bytes, &key) {
                // A blank between two fields says the same.
                prop_assert_eq!(&found, &meant);
            }
        }
    }

    #[test]
    fn no_bytes_make_a_panic(bytes: Vec<u8>, text: String) {
        let _ = (Ask::read(&bytes), Answer::read(&bytes), serde_json::from_slice::<Command>(&bytes));
        let _ = (text.parse::<UnitName>(), text.parse::<CommandId>(), text.parse::<Signal>());
    }
}
