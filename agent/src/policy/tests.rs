//! Tables of rules and decisions.

use fleetps_nats::command::{Reason, Signal, UnitAction};
use proptest::prelude::*;

use super::{pattern::matches, *};

fn policy(units: &[&str], signals: &[&str]) -> Policy {
    Policy {
        is_enabled: true,
        units: units.iter().map(|rule| rule.parse().unwrap()).collect(),
        signals: signals.iter().map(|rule| rule.parse().unwrap()).collect(),
    }
}

fn unit(action: UnitAction, name: &str) -> UnitSubject {
    UnitSubject { action, name: name.to_owned(), names: [name.to_owned()].into(), own: None }
}

fn process(signal: Signal) -> ProcessSubject {
    ProcessSubject {
        signal,
        pid: 1234,
        name: "php-fpm".to_owned(),
        user: ["www-data".to_owned(), "33".to_owned()].into(),
        unit: Some("app-shop.service".to_owned()),
        is_kernel: false,
        own: None,
    }
}

/// The reason and the line of a refusal.
fn refusal(decision: Decision) -> (Reason, String) {
    match decision {
        Decision::Refused { reason, line } => (reason, line),
        Decision::Allowed { line } => panic!("allowed by {line}"),
    }
}

#[test]
fn units_are_allowed_by_the_first_line_that_names_action_and_unit() {
    use UnitAction::{Reload, Restart, Start, Stop};
    let policy =
        policy(&["restart,reload nginx.service", "start,stop,restart app-*.service", "* job@*.timer"], &[]);
    for (action, name, line) in [
        (Restart, "nginx.service", Some(1)),
        (Reload, "nginx.service", Some(1)),
        (Stop, "nginx.service", None),
        (Restart, "nginx2.service", None),
        (Restart, "xnginx.service", None),
        (Stop, "app-shop.service", Some(2)),
        (Reload, "app-shop.service", None),
        (Stop, "app-.service", Some(2)),
        (Stop, "app-shop.socket", None),
        (Start, "job@1.timer", Some(3)),
        (Start, "job@1.service", None),
    ] {
        match (policy.unit(&unit(action, name)), line) {
            (Decision::Allowed { line: said }, Some(line)) => {
                assert!(said.starts_with(&format!("line {line} of [control] units")), "{said}");
            }
            (Decision::Refused { reason, line }, None) => {
                assert_eq!(reason, Reason::NotAllowed);
                assert!(line.contains("none of the 3 lines") && line.contains(name), "{line}");
            }
            (decision, _) => panic!("{action} {name}: {decision:?}"),
        }
    }
}

#[test]
fn an_alias_neither_allows_nor_hides() {
    let policy = policy(&["* *.service"], &[]);
    let alias = UnitSubject {
        names: ["web.service", "dbus-org.example.service"].map(str::to_owned).into(),
        ..unit(UnitAction::Stop, "web.service")
    };
    let (reason, line) = refusal(policy.unit(&alias));
    assert_eq!(reason, Reason::Protected);
    assert!(line.contains("dbus-org.example.service") && line.contains("dbus*"), "{line}");
    // Only the primary name is allowed.
    let policy = super::tests::policy(&["* httpd.service"], &[]);
    let alias = UnitSubject {
        names: ["httpd.service", "apache2.service"].map(str::to_owned).into(),
        ..unit(UnitAction::Stop, "apache2.service")
    };
    assert_eq!(refusal(policy.unit(&alias)).0, Reason::NotAllowed);
}

#[test]
fn what_the_machine_or_fleetps_depends_on_is_refused_whatever_the_lines_say() {
    let policy = policy(
        &["* *.service", "* *.target", "* *.socket", "* *.scope", "* *.slice"],
        &["* user:root", "* user:www-data", "* unit:*.service", "* unit:*.scope"],
    );
    for name in [
        "fleetps-agent.service",
        "fleetps-control.socket",
        "fleetps.service",
        "nats-server.service",
        "nats-server@1.service",
        "dbus.service",
        "dbus-broker.service",
        "dbus.socket",
        "systemd-journald.service",
        "systemd-logind.service",
        "init.scope",
        "reboot.target",
        "poweroff.target",
        "rescue.target",
        "runlevel6.target",
        "suspend-then-hibernate.target",
        "user.slice",
    ] {
        for action in UnitAction::ALL {
            assert_eq!(refusal(policy.unit(&unit(action, name))).0, Reason::Protected, "{name}");
        }
    }
    let own = UnitSubject { own: Some("runs the broker"), ..unit(UnitAction::Stop, "mq.service") };
    let (reason, line) = refusal(policy.unit(&own));
    assert!(reason == Reason::Protected && line.contains("runs the broker"), "{line}");
    assert!(policy.unit(&unit(UnitAction::Stop, "mq.service")).is_allowed());

    type Change = fn(&mut ProcessSubject);
    let changes: [(&str, Change); 9] = [
        ("process 1 ", |subject| subject.pid = 1),
        ("the kernel's own", |subject| subject.is_kernel = true),
        ("is the agent", |subject| subject.own = Some("is the agent")),
        ("fleetps-agent.service", |subject| subject.unit = Some("fleetps-agent.service".to_owned())),
        ("systemd-udevd.service", |subject| subject.unit = Some("systemd-udevd.service".to_owned())),
        ("init.scope", |subject| subject.unit = Some("init.scope".to_owned())),
        ("called systemd", |subject| subject.name = "systemd".to_owned()),
        ("called fleetps-ingesto", |subject| subject.name = "fleetps-ingesto".to_owned()),
        ("called nats-server", |subject| subject.name = "nats-server".to_owned()),
    ];
    for signal in Signal::ALL {
        assert!(policy.process(&process(signal)).is_allowed());
        for (said, change) in changes {
            let mut subject = process(signal);
            change(&mut subject);
            let (reason, line) = refusal(policy.process(&subject));
            assert!(reason == Reason::Protected && line.contains(said), "{line}");
        }
    }
}

#[test]
fn processes_are_allowed_by_user_by_unit_or_by_both() {
    let subject = process(Signal::Term);
    for (rule, is_allowed) in [
        ("TERM user:www-data", true),
        ("TERM user:33", true),
        ("HUP,TERM user:www-data", true),
        ("* user:www-data", true),
        ("KILL user:www-data", false),
        ("TERM user:root", false),
        ("TERM user:www", false),
        ("TERM unit:app-*.service", true),
        ("TERM unit:app-shop.service", true),
        ("TERM unit:app-shop.scope", false),
        ("TERM unit:app-*.service user:www-data", true),
        ("TERM user:root unit:app-*.service", false),
        ("TERM user:www-data unit:php*.service", false),
    ] {
        let policy = policy(&[], &[rule]);
        assert_eq!(policy.process(&subject).is_allowed(), is_allowed, "{rule}");
        // Without a unit, or with the rights of several users.
        let nowhere = ProcessSubject { unit: None, user: Default::default(), ..subject.clone() };
        assert_eq!(refusal(policy.process(&nowhere)).0, Reason::NotAllowed, "{rule}");
    }
    let (_, line) = refusal(policy(&[], &[]).process(&subject));
    assert_eq!(
        line,
        "none of the 0 lines of [control] signals allows TERM to process 1234 (php-fpm, user 33/www-data, unit app-shop.service)"
    );
}

#[test]
fn nothing_is_allowed_while_commands_are_off() {
    let policy = Policy { is_enabled: false, ..policy(&["* *.service"], &["* user:www-data"]) };
    assert_eq!(refusal(policy.unit(&unit(UnitAction::Start, "a.service"))).0, Reason::Off);
    assert_eq!(refusal(policy.process(&process(Signal::Term))).0, Reason::Off);
    assert_eq!(policy.allowed(), Default::default());
}

#[test]
fn a_line_that_is_no_rule_is_refused_with_its_column_and_what_was_expected() {
    for (rule, column, found, expected) in [
        ("", 1, "", "start, stop, restart, reload or *"),
        ("restart", 8, "", "a unit"),
        ("restart,relod nginx.service", 9, "relod", "start, stop, restart, reload or *"),
        ("restart, nginx.service", 9, "", "start, stop"),
        ("status nginx.service", 1, "status", "start, stop"),
        ("RESTART nginx.service", 1, "RESTART", "start, stop"),
        ("restart nginx", 9, "nginx", "whole name"),
        ("restart  nginx", 10, "nginx", "whole name"),
        ("restart *", 9, "*", "whole name"),
        ("restart ../x.service", 9, "../x.service", "whole name"),
        ("restart a.service b.service", 19, "b.service", "one unit"),
        ("restart nginx.service\n", 1, "restart nginx.service\n", "control characters"),
        ("stört nginx.service", 1, "stört", "start, stop"),
    ] {
        let error = rule.parse::<UnitRule>().unwrap_err().to_string();
        let place = format!("column {column}: {found:?}; expected ");
        assert!(error.contains(&place) && error.contains(expected), "{error}");
    }
    for (rule, column, found, expected) in [
        ("TERM", 5, "", "user:NAME"),
        ("SIGTERM user:a", 1, "SIGTERM", "TERM, KILL"),
        ("TERM,FOO user:a", 6, "FOO", "TERM, KILL"),
        ("TERM a", 6, "a", "user:NAME"),
        ("TERM user:", 6, "user:", "user:NAME"),
        ("TERM user:a user:b", 13, "user:b", "each once"),
        ("TERM name:java", 6, "name:java", "user:NAME"),
        ("TERM user:a unit:app", 18, "app", "whole name"),
    ] {
        let error = rule.parse::<SignalRule>().unwrap_err().to_string();
        let place = format!("column {column}: {found:?}; expected ");
        assert!(error.contains(&place) && error.contains(expected), "{error}");
    }
    let long = format!("restart {}.service", "x".repeat(400));
    assert!(long.parse::<UnitRule>().unwrap_err().to_string().len() < 400);
}

#[test]
fn patterns_match_whole_names() {
    for (pattern, name, is_match) in [
        ("a.service", "a.service", true),
        ("a.service", "a.services", false),
        ("a*.service", "a.service", true),
        ("a*b*.service", "axxbyy.service", true),
        ("a*b*.service", "axx.service", false),
        ("*a*a*.service", "a.service", false),
        ("*a*a*.service", "aa.service", true),
        ("a*.service", "a.service.service", true),
        ("ab*ba.service", "aba.service", false),
    ] {
        assert_eq!(matches(pattern, name), is_match, "{pattern} {name}");
    }
    assert_eq!(Pattern::read("a-*.service").unwrap().to_regex(), r"^a\-.*\.service$");
}

proptest! {
    #[test]
    fn a_pattern_and_its_regular_expression_match_the_same(pattern in r"[ab*.\\-]{0,6}", name in r"[ab.\\-]{0,8}") {
        let Some(pattern) = Pattern::read(&format!("a{pattern}.service")) else { return Ok(()) };
        let name = format!("a{name}.service");
        let regex = regex::Regex::new(&pattern.to_regex()).unwrap();
        prop_assert_eq!(pattern.matches(&name), regex.is_match(&name));
    }

    #[test]
    fn no_text_makes_a_panic_and_every_rule_is_read_as_it_is_written(text in "[ -~ä\n]{0,40}") {
        if let Ok(rule) = text.parse::<UnitRule>() {
            prop_assert_eq!(rule.to_string(), text.clone());
        }
        if let Ok(rule) = text.parse::<SignalRule>() {
            prop_assert_eq!(rule.to_string(), text);
        }
    }
}
