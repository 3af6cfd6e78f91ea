//! The whole way: a server asks over the broker, the agent passes it on, the helper answers.

use std::time::{Duration, Instant};

use fleetps_agent::{
    AgentSettings,
    publish::Outbox,
    run_commanded,
    settings::{CommandSettings, RemoteSettings},
};
use fleetps_nats::{
    agent_settings::{Kind, Watch},
    command::{Answer, Ask, Reason, Signal, Stage},
    now_us,
    server::{ManagedServer, Part},
    snapshot::Decoder,
    subject,
};
use futures_util::{FutureExt, StreamExt};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::desk::{Desk, Running, command, noted, outcome, own_processes, signal, until};
use crate::support::{admit, host, start_server, within};

/// An agent that passes questions on to the helper of `desk`.
fn agent(
    server: &ManagedServer,
    desk: &Desk,
    enabled: bool,
    stop: &CancellationToken,
) -> JoinHandle<Result<(), fleetps_agent::run::AgentError>> {
    let settings = AgentSettings {
        interval: Duration::from_secs(600),
        state: desk.folder().join("state"),
        ..AgentSettings::default()
    };
    let control_key = Some(desk.key.public());
    let remote = RemoteSettings { control_key, ..RemoteSettings::default() };
    let commands = CommandSettings { enabled, socket: desk.socket.clone(), ..CommandSettings::default() };
    let (broker, outbox) = (server.broker(Part::Agent), Outbox::new(16 << 20));
    tokio::spawn(run_commanded(settings, (remote, commands), broker, host(), outbox, stop.clone()))
}

/// Asks until the agent listens.
async fn asked(fleet: &async_nats::Client, ask: &Ask) -> Answer {
    let asking = async {
        loop {
            match fleet.request(subject::commands(&host()), ask.to_bytes().into()).await {
                Ok(answer) => return Answer::read(&answer.payload).unwrap(),
                // Nobody listens yet, or the broker is away.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    within(asking).await
}

#[tokio::test]
async fn a_process_is_signalled_over_the_broker_and_its_end_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = start_server(folder.path()).await;
    let _admission = admit(&server).await;
    let mut desk = Desk::start(&own_processes());
    let stop = CancellationToken::new();
    let running = agent(&server, &desk, true, &stop);
    let fleet = server.broker(Part::Api).connect("test").await.unwrap();
    for _ in 0..5 {
        let process = Running::sleeping();
        let Answer::Ticket { ticket, .. } = asked(&fleet, &Ask::Ticket).await else { panic!("it is given") };
        let began = Instant::now();
        let command = command(ticket, signal(Signal::Term, process.identity()));
        let mut progress = asked(&fleet, &desk.sign(&command)).await;
        let ended = loop {
            let Answer::Stage(known) = progress else { panic!("{progress:?}") };
            if known.stage.is_final() {
                break known;
            }
            progress = asked(&fleet, &Ask::Wait { id: command.id.clone(), known: Some(known.stage) }).await;
        };
        println!("signalled, gone and told in {:?}", began.elapsed());
        assert_eq!((outcome(&ended), ended.gone), ((Stage::Done, None), Some(true)), "{ended:?}");
    }
    // Two lines are no question.
    let mut lines = Ask::Ticket.to_bytes();
    lines.extend(b"\n{\"ask\":\"ticket\"}");
    let request = fleet.request(subject::commands(&host()), lines.into());
    let refused = Answer::read(&within(request).await.unwrap().payload).unwrap();
    assert!(matches!(refused, Answer::Refused { reason: Reason::NotBelieved, .. }), "{refused:?}");
    desk.stop();
    std::fs::remove_file(&desk.socket).unwrap();
    let refused = asked(&fleet, &Ask::Ticket).await;
    assert!(matches!(refused, Answer::Refused { reason: Reason::NoHelper, .. }), "{refused:?}");
    stop.cancel();
    within(running).await.unwrap().unwrap();
    within(server.stop()).await;
}

#[tokio::test]
async fn those_who_watch_are_shown_that_a_signalled_process_is_gone_before_the_next_sample_is_due() {
    let folder = tempfile::tempdir().unwrap();
    let server = start_server(folder.path()).await;
    let _admission = admit(&server).await;
    let desk = Desk::start(&own_processes());
    let stop = CancellationToken::new();
    let running = agent(&server, &desk, true, &stop);
    let fleet = server.broker(Part::Api).connect("test").await.unwrap();
    let mut sharp = fleet.subscribe(subject::sharp(&host())).await.unwrap();
    let mut process = Running::sleeping();
    let identity = process.identity();
    let Answer::Ticket { ticket, .. } = asked(&fleet, &Ask::Ticket).await else { panic!("it is given") };
    // Far longer than this test is patient: one sample at the beginning, and none after it.
    let wish = serde_json::to_string(&Watch::new(Duration::from_secs(300), Duration::from_secs(60))).unwrap();
    let wish = desk.key.sign(Kind::Watch, &host(), 0, wish).unwrap();
    fleet.publish(subject::settings(&host()), wish.to_bytes().into()).await.unwrap();
    let mut decoder = Decoder::new().unwrap();
    let mut is_listed = async || {
        let message = within(sharp.next()).await.unwrap();
        let snapshot = decoder.decode(&message.payload, now_us()).unwrap();
        snapshot.processes.iter().any(|process| process.pid == identity.pid)
    };
    assert!(is_listed().await);
    let pid = process.pid();
    // Its parent takes note of its end, as parents do.
    let reaping = tokio::task::spawn_blocking(move || process.0.wait().map(drop));
    // The server that asked for it says no more: the agent waits for the end itself.
    let command = command(ticket, signal(Signal::Term, identity.clone()));
    asked(&fleet, &desk.sign(&command)).await;
    within(reaping).await.unwrap().unwrap();
    // One that began in the moment before may still have it.
    assert!(!is_listed().await || !is_listed().await, "{pid}");
    stop.cancel();
    within(running).await.unwrap().unwrap();
    within(server.stop()).await;
}

#[tokio::test]
async fn a_host_with_commands_off_says_so_and_asks_no_helper() {
    let folder = tempfile::tempdir().unwrap();
    let server = start_server(folder.path()).await;
    let _admission = admit(&server).await;
    let desk = Desk::start(&own_processes());
    let stop = CancellationToken::new();
    let running = agent(&server, &desk, false, &stop);
    let fleet = server.broker(Part::Api).connect("test").await.unwrap();
    let refused = asked(&fleet, &Ask::Ticket).await;
    assert!(matches!(refused, Answer::Refused { reason: Reason::Off, .. }), "{refused:?}");
    stop.cancel();
    within(running).await.unwrap().unwrap();
    within(server.stop()).await;
}

#[tokio::test]
async fn a_broker_that_is_killed_in_the_middle_neither_repeats_nor_forgets_a_command() {
    let folder = tempfile::tempdir().unwrap();
    let server = start_server(folder.path()).await;
    let _admission = admit(&server).await;
    let desk = Desk::start(&own_processes());
    let file = desk.folder().join("noted");
    let process = Running::noting(&file);
    until("it is ready", || noted(&file, "ready") == 1).await;
    let stop = CancellationToken::new();
    let running = agent(&server, &desk, true, &stop);
    let fleet = server.broker(Part::Api).connect("test").await.unwrap();
    let Answer::Ticket { ticket, .. } = asked(&fleet, &Ask::Ticket).await else { panic!("it is given") };
    let command = command(ticket, signal(Signal::Usr1, process.identity()));
    let run = desk.sign(&command);
    let first = asked(&fleet, &run).await;
    assert!(matches!(&first, Answer::Stage(progress) if progress.stage == Stage::Done), "{first:?}");

    let before = server.pid();
    let pid = rustix::process::Pid::from_raw(i32::try_from(before).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    until("the broker is back", || server.pid() != before).await;
    // The question and the command again, as a server does that has heard nothing.
    let question = Ask::Wait { id: command.id.clone(), known: None };
    for ask in [&question, &run] {
        let again = asked(&fleet, ask).await;
        assert!(matches!(&again, Answer::Stage(progress) if progress.stage == Stage::Done), "{again:?}");
    }
    desk.run(signal(Signal::Usr2, process.identity())).await;
    until("the last is noted", || noted(&file, "two") == 1).await;
    assert_eq!(noted(&file, "one"), 1);
    stop.cancel();
    within(running).await.unwrap().unwrap();
    within(server.stop()).await;
}

#[tokio::test]
async fn a_command_whose_answer_is_lost_is_not_said_to_be_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = start_server(folder.path()).await;
    let _admission = admit(&server).await;
    let mut desk = Desk::start(&own_processes());
    let process = Running::sleeping();
    let run = desk.sign(&desk.command(signal(Signal::Cont, process.identity())).await);
    // A helper that ends when it is asked something.
    desk.stop();
    std::fs::remove_file(&desk.socket).unwrap();
    let ending = tokio::net::UnixListener::bind(&desk.socket).unwrap();
    let end = async || drop(within(ending.accept()).await.unwrap());
    let stop = CancellationToken::new();
    let running = agent(&server, &desk, true, &stop);
    let fleet = server.broker(Part::Api).connect("test").await.unwrap();
    let asks = fleet.clone();
    let mut silent = tokio::spawn(async move { asked(&asks, &run).await });
    end().await;
    let asks = fleet.clone();
    let refused = tokio::spawn(async move { asked(&asks, &Ask::Ticket).await });
    end().await;
    let refused = within(refused).await.unwrap();
    assert!(matches!(refused, Answer::Refused { reason: Reason::NoHelper, .. }), "{refused:?}");
    assert!((&mut silent).now_or_never().is_none(), "it may have been executed");
    silent.abort();
    stop.cancel();
    within(running).await.unwrap().unwrap();
    within(server.stop()).await;
}

#[tokio::test]
async fn sixteen_questions_are_passed_on_at_once_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let server = start_server(folder.path()).await;
    let _admission = admit(&server).await;
    let mut desk = Desk::start(&own_processes());
    // A helper that takes connections and never answers.
    desk.stop();
    std::fs::remove_file(&desk.socket).unwrap();
    let silent = tokio::net::UnixListener::bind(&desk.socket).unwrap();
    let stop = CancellationToken::new();
    let running = agent(&server, &desk, true, &stop);
    let fleet = server.broker(Part::Api).connect("test").await.unwrap();
    let ask = |client: async_nats::Client| tokio::spawn(async move { asked(&client, &Ask::Ticket).await });
    let mut waiting = vec![ask(fleet.clone())];
    let mut taken = vec![within(silent.accept()).await.unwrap()];
    for _ in 1..16 {
        waiting.push(ask(fleet.clone()));
        taken.push(within(silent.accept()).await.unwrap());
    }
    let refused = asked(&fleet, &Ask::Ticket).await;
    assert!(matches!(refused, Answer::Refused { reason: Reason::TooMany, .. }), "{refused:?}");
    drop(taken);
    for answer in waiting {
        let answer = within(answer).await.unwrap();
        assert!(matches!(answer, Answer::Refused { reason: Reason::NoHelper, .. }), "{answer:?}");
    }
    stop.cancel();
    within(running).await.unwrap().unwrap();
    within(server.stop()).await;
}
