//! Signals to real processes: to the right one, once, in time, and only where the policy says so.

use std::time::Duration;

use fleetps_nats::command::{Answer, Ask, ProcessId, Reason, Sight, Signal, Stage, Target, UnitAction};

use super::desk::{Desk, Running, after, boot_id, noted, outcome, own_processes, signal, until};

#[tokio::test]
async fn the_process_that_is_meant_ends_and_no_other() {
    let desk = Desk::start(&own_processes());
    let mut processes: Vec<_> = (0..3).map(|_| Running::sleeping()).collect();
    let target = processes[1].identity();
    let look = Ask::Look { target: Target::Process(target.clone()) };
    let Answer::Looked(sight) = desk.ask(&look).await else { panic!("it is looked at") };
    assert!(sight.exists && sight.detail == "sleep", "{sight:?}");
    let ended = desk.run(signal(Signal::Term, target)).await;
    assert_eq!((outcome(&ended), ended.gone), ((Stage::Done, None), Some(true)), "{ended:?}");
    assert!(ended.detail.contains("line 1 of [control] signals"), "{}", ended.detail);
    until("it is seen to have ended", || !processes[1].is_running()).await;
    assert!(processes[0].is_running() && processes[2].is_running());
    let ended = Sight { state: "ended".to_owned(), ..Sight::default() };
    assert_eq!(desk.ask(&look).await, Answer::Looked(ended));
}

#[tokio::test]
async fn what_the_policy_does_not_allow_is_refused_with_the_line_and_a_change_counts_at_once() {
    let desk = Desk::start(&own_processes().replace('*', "HUP,CONT"));
    let mut process = Running::sleeping();
    let term = || signal(Signal::Term, process.identity());
    let refused = desk.run(term()).await;
    assert_eq!(outcome(&refused), (Stage::Refused, Some(Reason::NotAllowed)));
    let expected =
        format!("none of the 1 lines of [control] signals allows TERM to process {}", process.pid());
    assert!(refused.detail.starts_with(&expected), "{}", refused.detail);
    let allowed = desk.run(signal(Signal::Cont, process.identity())).await;
    assert_eq!((outcome(&allowed), allowed.gone), ((Stage::Done, None), None));

    desk.write("enabled = true\nsignals = [\"TERM user:nobody-of-this-name\", \"TERM unit:x*.service\"]");
    assert_eq!(outcome(&desk.run(term()).await), (Stage::Refused, Some(Reason::NotAllowed)));
    let what = term();
    let command = desk.command(what).await;
    desk.write("enabled = false");
    let off = desk.ask(&desk.sign(&command)).await;
    assert!(matches!(off, Answer::Refused { reason: Reason::Off, .. }), "{off:?}");
    let off = desk.ask(&Ask::Ticket).await;
    assert!(matches!(off, Answer::Refused { reason: Reason::Off, .. }), "{off:?}");
    assert!(process.is_running());
}

#[tokio::test]
async fn what_the_machine_and_fleetps_depend_on_is_not_touched() {
    let desk = Desk::start("enabled = true\nsignals = [\"* user:root\", \"* user:0\"]");
    let own = std::process::id();
    // The first of the kernel's own, where they can be seen.
    let kernel = std::fs::read_to_string("/proc/2/comm").is_ok_and(|name| name.trim() == "kthreadd");
    for pid in [Some(1), Some(own), kernel.then_some(2)].into_iter().flatten() {
        let refused = desk.run(signal(Signal::Cont, super::desk::identity(pid))).await;
        assert_eq!(outcome(&refused), (Stage::Refused, Some(Reason::Protected)), "{refused:?}");
    }
}

#[tokio::test]
async fn a_pid_of_another_process_boot_or_of_none_is_not_signalled() {
    let desk = Desk::start(&own_processes());
    let mut process = Running::sleeping();
    let identity = process.identity();
    let of = |boot_id: &str, pid, start_ticks| ProcessId { boot_id: boot_id.to_owned(), pid, start_ticks };
    let (boot, ticks) = (boot_id(), identity.start_ticks);
    for (process, reason) in [
        (of(&boot, identity.pid, ticks + 1), Reason::OtherProcess),
        (of(&boot, identity.pid, ticks - 1), Reason::OtherProcess),
        (of(&boot, identity.pid, 0), Reason::OtherProcess),
        (of("another", identity.pid, ticks), Reason::OtherProcess),
        (of("", identity.pid, ticks), Reason::OtherProcess),
        (of(&boot, i32::MAX as u32, ticks), Reason::NoSuchProcess),
    ] {
        let refused = desk.run(signal(Signal::Kill, process.clone())).await;
        assert_eq!(outcome(&refused), (Stage::Refused, Some(reason)), "{process:?}");
    }
    assert!(process.is_running());
    // A zombie is no process any more.
    process.0.kill().unwrap();
    let pid = identity.pid;
    until("it has ended", || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") Z "))
        .await;
    let refused = desk.run(signal(Signal::Kill, identity)).await;
    assert_eq!(outcome(&refused), (Stage::Refused, Some(Reason::NoSuchProcess)));
}

#[tokio::test]
async fn a_frame_that_comes_again_is_answered_and_not_executed() {
    let desk = Desk::start(&own_processes());
    let file = desk.folder().join("noted");
    let process = Running::noting(&file);
    until("it is ready", || noted(&file, "ready") == 1).await;
    let command = desk.command(signal(Signal::Usr1, process.identity())).await;
    let ask = desk.sign(&command);
    // At once, and one after the other.
    let answers = futures_util::future::join_all((0..20).map(|_| desk.ask(&ask))).await;
    for answer in answers {
        assert!(matches!(&answer, Answer::Stage(progress) if progress.id == command.id), "{answer:?}");
    }
    let Answer::Stage(again) = desk.ask(&ask).await else { panic!("it is known") };
    assert_eq!(outcome(&again), (Stage::Done, None));
    // The same ticket for another command.
    let other = super::desk::command(command.ticket.clone(), signal(Signal::Usr1, process.identity()));
    let refused = desk.ask(&desk.sign(&other)).await;
    assert!(matches!(refused, Answer::Refused { reason: Reason::UnknownTicket, .. }), "{refused:?}");
    // The same command with another ticket, as from a server that was made to believe that the first was not known: it is told
    // what became of it.
    let twice = fleetps_nats::command::Command { ticket: desk.ticket().await, ..command.clone() };
    let Answer::Stage(again) = desk.ask(&desk.sign(&twice)).await else { panic!("it is known") };
    assert_eq!(outcome(&again), (Stage::Done, None));
    // Whatever was sent before this has arrived.
    desk.run(signal(Signal::Usr2, process.identity())).await;
    until("the last is noted", || noted(&file, "two") == 1).await;
    assert_eq!(noted(&file, "one"), 1);
}

#[tokio::test]
async fn a_command_that_comes_too_late_is_never_executed() {
    let desk = Desk::start(&own_processes());
    let mut process = Running::sleeping();
    let mut command = desk.command(signal(Signal::Kill, process.identity())).await;
    command.valid_ms = 5;
    after(Duration::from_millis(6)).await;
    let ask = desk.sign(&command);
    for _ in 0..3 {
        let Answer::Stage(late) = desk.ask(&ask).await else { panic!("it is known") };
        assert_eq!(outcome(&late), (Stage::Expired, Some(Reason::Expired)));
    }
    // Signed again with more time, it has no ticket.
    command.valid_ms = super::desk::VALID_MS;
    command.id = fleetps_nats::command::CommandId::new().unwrap();
    let refused = desk.ask(&desk.sign(&command)).await;
    assert!(matches!(refused, Answer::Refused { reason: Reason::UnknownTicket, .. }), "{refused:?}");
    assert!(process.is_running());
}

#[tokio::test]
async fn nothing_of_an_earlier_run_of_the_helper_is_executed() {
    let mut desk = Desk::start(&own_processes());
    let (mut process, mut spared) = (Running::sleeping(), Running::sleeping());
    let executed = desk.command(signal(Signal::Kill, process.identity())).await;
    let unused = desk.command(signal(Signal::Kill, spared.identity())).await;
    let first = desk.ask(&desk.sign(&executed)).await;
    assert_eq!(desk.end(executed.id.clone(), first).await.stage, Stage::Done);
    until("it has ended", || !process.is_running()).await;
    desk.restart();
    for command in [&executed, &unused] {
        let refused = desk.ask(&desk.sign(command)).await;
        assert!(matches!(refused, Answer::Refused { reason: Reason::UnknownTicket, .. }), "{refused:?}");
        let unknown = desk.ask(&Ask::Wait { id: command.id.clone(), known: None }).await;
        assert!(matches!(unknown, Answer::Refused { reason: Reason::UnknownCommand, .. }), "{unknown:?}");
    }
    assert!(spared.is_running());
}

#[tokio::test]
async fn a_ticket_says_what_the_host_allows() {
    let units = "units = [\"restart nginx.service\"]";
    let desk = Desk::start(&format!("enabled = true\n{units}\nsignals = [\"TERM,HUP user:www-data\"]"));
    let Answer::Ticket { boot_id, valid_ms, allows, .. } = desk.ask(&Ask::Ticket).await else {
        panic!("it is given")
    };
    assert_eq!((boot_id, valid_ms), (super::desk::boot_id(), 60_000));
    assert_eq!(allows.actions, [UnitAction::Restart].into());
    assert_eq!(allows.signals, [Signal::Term, Signal::Hup].into());
    assert_eq!(allows.rules, ["restart nginx.service", "TERM,HUP user:www-data"]);
}

#[tokio::test]
async fn a_process_that_does_not_end_is_said_to_be_still_there() {
    let desk = Desk::start(&own_processes());
    let file = desk.folder().join("noted");
    let mut process = Running::noting(&file);
    until("it is ready", || noted(&file, "ready") == 1).await;
    let stopped = desk.run(signal(Signal::Stop, process.identity())).await;
    assert_eq!((outcome(&stopped), stopped.gone), ((Stage::Done, None), None));
    // Until it is, TERM would come first: of the signals that wait, the lowest number does.
    let stat = format!("/proc/{}/stat", process.pid());
    until("it is stopped", || std::fs::read_to_string(&stat).unwrap().contains(") T ")).await;
    let command = desk.command(signal(Signal::Term, process.identity())).await;
    let Answer::Stage(first) = desk.ask(&desk.sign(&command)).await else { panic!("it is believed") };
    assert!(matches!(first.stage, Stage::Accepted | Stage::Running), "{first:?}");
    // It cannot end while it is stopped.
    let ended = desk.end(command.id, Answer::Stage(first)).await;
    assert_eq!((outcome(&ended), ended.gone), ((Stage::Done, None), Some(false)), "{ended:?}");
    assert!(process.is_running() && ended.detail.contains("still there"), "{ended:?}");
}
