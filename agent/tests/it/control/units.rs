//! Actions on units, against a real bus and a manager that goes wrong in every way that systemd is known to.

use std::{sync::Arc, time::Duration};

use fleetps_nats::command::{
    Answer, Ask, MAX_OUTPUT_LINE_BYTES, Reason, Sight, Stage, Target, UnitAction, What,
};

use super::{
    desk::{Desk, outcome},
    systemd::{Bus, Job, Manager, Unit},
};

/// Shorter than anybody would wait, longer than a job takes here.
const JOB_WITHIN: Duration = Duration::from_millis(700);

fn unit(action: UnitAction, name: &str) -> What {
    What::Unit { action, unit: name.parse().unwrap() }
}

/// A helper that finds this bus, and the manager on it.
async fn start(rules: &str) -> Option<(Desk, Bus, Arc<Manager>)> {
    let bus = Bus::start()?;
    let manager = Manager::start(&bus.address).await;
    let address = Some(bus.address.clone());
    let desk = Desk::start_with(&format!("enabled = true\nunits = [{rules}]"), |options| {
        options.bus = address.clone();
        options.job_within = JOB_WITHIN;
    });
    Some((desk, bus, manager))
}

#[tokio::test]
async fn a_unit_is_started_stopped_restarted_and_reloaded_and_seen() {
    let Some((desk, _bus, manager)) = start("\"* nginx.service\"").await else { return };
    let look = Ask::Look { target: Target::Unit("nginx.service".parse().unwrap()) };
    for (action, call, state) in [
        (UnitAction::Restart, "RestartUnit", "active (running)"),
        (UnitAction::Reload, "ReloadUnit", "active (running)"),
        (UnitAction::Stop, "StopUnit", "inactive (dead)"),
        (UnitAction::Start, "StartUnit", "active (running)"),
    ] {
        let ended = desk.run(unit(action, "nginx.service")).await;
        assert_eq!(outcome(&ended), (Stage::Done, None), "{ended:?}");
        assert!(ended.detail.contains(&format!("now: {state}")), "{}", ended.detail);
        assert_eq!(manager.called().last().unwrap(), &format!("{call} nginx.service replace"));
        let Answer::Looked(sight) = desk.ask(&look).await else { panic!("it is looked at") };
        assert_eq!((sight.exists, sight.state.as_str()), (true, state));
        assert_eq!(sight.since_us, Some(1_700_000_000_000_000));
    }
    let missing = Ask::Look { target: Target::Unit("missing.service".parse().unwrap()) };
    assert_eq!(desk.ask(&missing).await, Answer::Looked(Sight::default()));
}

/// A program in the place of `journalctl`.
fn journal(folder: &std::path::Path, script: &str) -> std::path::PathBuf {
    let program = folder.join("journal");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    program
}

#[tokio::test]
async fn what_a_unit_wrote_last_is_told_with_the_end_of_the_command() {
    let Some(bus) = Bus::start() else { return };
    let manager = Manager::start(&bus.address).await;
    let folder = tempfile::tempdir().unwrap();
    let asked = folder.path().join("asked");
    let ended = async |script: &str, rules: &str, job: Job| {
        *manager.job.lock().unwrap() = job;
        let program = journal(folder.path(), script);
        let rules = format!("enabled = true\nunits = [\"* nginx.service\"]\n{rules}");
        let desk = Desk::start_with(&rules, |options| {
            (options.bus, options.journal) = (Some(bus.address.clone()), program.clone());
            options.job_within = JOB_WITHIN;
        });
        desk.run(unit(UnitAction::Restart, "nginx.service")).await
    };
    // Anything may be in it: the last lines are told, without what moves a cursor.
    let script =
        format!("echo \"$@\" > {}; seq 1 5000; printf 'bad \\033[2J\\377\\n%05000d\\n' 7", asked.display());
    let told = ended(&script, "", Job::Fails).await;
    assert_eq!(outcome(&told), (Stage::Failed, Some(Reason::JobFailed)));
    assert_eq!(told.output.len(), 10, "{:?}", told.output);
    assert_eq!((told.output[0].as_str(), told.output[7].as_str()), ("4993", "5000"));
    assert_eq!(told.output[8], "bad \u{fffd}[2J\u{fffd}");
    assert_eq!(told.output[9].len(), MAX_OUTPUT_LINE_BYTES);
    let asked = std::fs::read_to_string(&asked).unwrap();
    assert!(asked.contains("--lines=10 --since=@"), "{asked}");
    assert!(asked.trim_end().ends_with("--unit=nginx.service"), "{asked}");
    // The host decides how many.
    assert_eq!(ended("seq 1 50", "output_lines = 2", Job::SaidFirst).await.output, ["49", "50"]);
    let none = ended("echo no; exit 1", "output_lines = 0", Job::SaidFirst).await;
    assert!(none.output.is_empty() && !none.detail.contains("cannot be read"), "{none:?}");
    // The journal may be behind: where it has nothing, it is read again.
    let late = folder.path().join("late");
    let script = format!("test -e {0} && echo ready; touch {0}", late.display());
    assert_eq!(ended(&script, "", Job::SaidFirst).await.output, ["ready"]);
    assert!(ended("true", "", Job::SaidFirst).await.output.is_empty());
    // Where it cannot be read, the command has its end all the same, and it is said.
    for (script, problem) in [
        ("echo 'insufficient permissions' >&2; exit 1", "cannot be read: insufficient permissions"),
        ("exec sleep 600", "cannot be read: journalctl takes longer"),
        ("exec yes", "cannot be read: journalctl takes longer"),
    ] {
        let told = ended(script, "", Job::SaidFirst).await;
        assert_eq!(outcome(&told), (Stage::Done, None), "{told:?}");
        assert!(told.output.is_empty() && told.detail.contains(problem), "{told:?}");
    }
}

#[tokio::test]
async fn a_job_is_judged_by_its_own_end_and_by_the_unit_whatever_happens_to_the_signal() {
    let Some((desk, _bus, manager)) = start("\"* nginx.service\"").await else { return };
    for (job, expected) in [
        (Job::SaidFirst, (Stage::Done, None)),
        (Job::AmongOthers, (Stage::Done, None)),
        (Job::Lost, (Stage::Done, None)),
        (Job::Fails, (Stage::Failed, Some(Reason::JobFailed))),
        (Job::Skipped, (Stage::Failed, Some(Reason::JobFailed))),
        (Job::Hangs, (Stage::Failed, Some(Reason::JobLate))),
        (Job::Forged, (Stage::Failed, Some(Reason::JobLate))),
        (Job::Denied, (Stage::Refused, Some(Reason::Denied))),
    ] {
        *manager.job.lock().unwrap() = job;
        let ended = desk.run(unit(UnitAction::Restart, "nginx.service")).await;
        assert_eq!(outcome(&ended), expected, "{job:?}: {ended:?}");
    }
    assert_eq!(manager.called().len(), 8, "each was called once");
}

#[tokio::test]
async fn a_bus_that_ends_in_the_middle_leaves_the_outcome_to_a_second_look() {
    let Some((desk, mut bus, manager)) = start("\"* nginx.service\"").await else { return };
    *manager.job.lock().unwrap() = Job::BusEnds;
    let command = desk.command(unit(UnitAction::Restart, "nginx.service")).await;
    let begun = manager.begun.notified();
    let first = desk.ask(&desk.sign(&command)).await;
    crate::support::within(begun).await;
    bus.kill();
    let ended = desk.end(command.id, first).await;
    assert_eq!(outcome(&ended), (Stage::Failed, Some(Reason::JobLate)), "{ended:?}");
    let refused = desk.run(unit(UnitAction::Restart, "nginx.service")).await;
    assert_eq!(outcome(&refused), (Stage::Refused, Some(Reason::Internal)), "{refused:?}");
    assert!(refused.detail.contains("D-Bus"), "{}", refused.detail);
}

#[tokio::test]
async fn what_the_policy_does_not_allow_is_never_called() {
    let Some((desk, _bus, manager)) = start("\"restart www.service\", \"stop,start *.service\"").await else {
        return;
    };
    let more = |id: &str, names: &[&str], main_pid| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let unit = Unit { names, active: "active", invocation: 1, main_pid };
        manager.units.lock().unwrap().insert(id.to_owned(), unit);
    };
    more("dbus-broker.service", &["dbus-broker.service", "bus.service"], 0);
    more("own.service", &["own.service"], std::process::id());
    let refused = (Stage::Refused, Some(Reason::NotAllowed));
    let protected = (Stage::Refused, Some(Reason::Protected));
    for (action, name, expected) in [
        // Lines name primary names: this one is an alias.
        (UnitAction::Restart, "www.service", refused),
        (UnitAction::Restart, "nginx.service", refused),
        (UnitAction::Reload, "nginx.service", refused),
        (UnitAction::Stop, "bus.service", protected),
        (UnitAction::Stop, "dbus-broker.service", protected),
        (UnitAction::Stop, "own.service", protected),
        (UnitAction::Stop, "missing.service", (Stage::Refused, Some(Reason::NoSuchUnit))),
    ] {
        let ended = desk.run(unit(action, name)).await;
        assert_eq!(outcome(&ended), expected, "{action} {name}: {ended:?}");
    }
    assert_eq!(manager.called(), Vec::<String>::new());
    let ended = desk.run(unit(UnitAction::Stop, "www.service")).await;
    assert_eq!(outcome(&ended), (Stage::Done, None), "{ended:?}");
    assert_eq!(manager.called(), ["StopUnit nginx.service replace"]);
}

#[tokio::test]
async fn a_restart_that_comes_again_is_called_once() {
    let Some((desk, _bus, manager)) = start("\"* nginx.service\"").await else { return };
    let command = desk.command(unit(UnitAction::Restart, "nginx.service")).await;
    let ask = desk.sign(&command);
    let answers = futures_util::future::join_all((0..20).map(|_| desk.ask(&ask))).await;
    for answer in answers {
        assert_eq!(desk.end(command.id.clone(), answer).await.stage, Stage::Done);
    }
    assert_eq!(manager.called(), ["RestartUnit nginx.service replace"]);
}
