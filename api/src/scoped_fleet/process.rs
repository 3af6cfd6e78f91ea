//! One process, whether it runs or has exited: what the present and the history know of it together.

use axum::http::StatusCode;
use fleetps_ingestor::history::{Identity, ProcessLife, SAME_START_US};
use fleetps_nats::{HostName, snapshot::Process};

use super::{
    ScopedFleet,
    travel::{self, PastLookup},
};
use crate::{live::Moment, refusal::Refusal, view::subject::Subject};

/// The process with `pid` that started at `started_at_us`; without that the running one with that pid, or the last one
/// that had it.
///
/// # Errors
/// When the process is unknown, or the history cannot be read.
pub(crate) async fn find(
    scoped: &ScopedFleet,
    host: &HostName,
    pid: u32,
    started_at_us: Option<i64>,
) -> Result<Subject, Refusal> {
    let live = scoped.moment(host).filter(|moment| moment.summary.state.is_current());
    // A start may have been told before the host's clock was corrected a little.
    let is_it = |process: &&Process| {
        process.pid == pid
            && started_at_us
                .is_none_or(|started_at_us| process.started_at_us.abs_diff(started_at_us) <= SAME_START_US)
    };
    let running = live.as_ref().and_then(|moment| moment.snapshot().processes.iter().find(is_it).cloned());
    let asked_us = running.as_ref().map(|process| process.started_at_us).or(started_at_us);
    let life = life(scoped, host, pid, asked_us).await?;
    match (running, live, life) {
        (Some(process), Some(moment), life) => Ok(of_the_present(process, moment, life)),
        (_, _, Some(life)) => of_the_past(scoped, host, life).await,
        _ => Err(no_such_process(host, pid)),
    }
}

async fn life(
    scoped: &ScopedFleet,
    host: &HostName,
    pid: u32,
    started_at_us: Option<i64>,
) -> Result<Option<ProcessLife>, Refusal> {
    // A server without a history still knows what runs.
    if scoped.history().is_none() {
        return Ok(None);
    }
    let host = host.clone();
    scoped.ask(move |history| history.process(&host, pid, started_at_us)).await
}

fn of_the_present(process: Process, moment: Moment, life: Option<ProcessLife>) -> Subject {
    let identity = Identity::of(&moment.summary.host, &moment.snapshot().boot_id, &process);
    // Another boot may have had a process with the same pid and start.
    let life = life.filter(|life| life.identity == identity);
    Subject { identity, process, moment: Some(moment), is_live: true, life }
}

async fn of_the_past(scoped: &ScopedFleet, host: &HostName, life: ProcessLife) -> Result<Subject, Refusal> {
    let moment = match travel::to(scoped, host, life.last_seen_us).await? {
        PastLookup::PastMoment(then) => Some(then.moment),
        PastLookup::Nothing(_) => None,
    };
    let is_it = |process: &&Process| process.key() == (life.identity.pid, life.identity.start);
    let seen = moment.as_ref().and_then(|moment| moment.snapshot().processes.iter().find(is_it).cloned());
    let process = seen.unwrap_or_else(|| life.process.clone());
    Ok(Subject { identity: life.identity.clone(), process, moment, is_live: false, life: Some(life) })
}

fn no_such_process(host: &HostName, pid: u32) -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        format!("no process {pid} is known on {host}"),
        "one that has just exited comes into the history within a minute; without `started` the last process with a pid is meant",
    )
}
