//! The form that asks for a command to hosts: what it would do spelled out, a reason, and the password where that is due.

use askama::Template;
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use fleetps_nats::{
    HostName,
    command::{ProcessId, Signal, UnitAction, UnitName, What},
};
use serde::{Deserialize, Serialize};

use super::{
    commands_json::{each_once, pace},
    page::{self, Layout},
};
use crate::{
    auth::{Person, Visit},
    command::{Pace, Was},
    extract::{Form, Query, accounts},
    query::parameter::{self, is_default},
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    state::AppState,
    url::{HostTab, Url},
    view::{
        commands::facts,
        table::{Cell, Link},
    },
};

/// The most processes of a form: a host takes ten commands a minute.
const MAX_PROCESSES: usize = 10;

/// The query of the form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct NewCommandQuery {
    /// The hosts, with commas or blanks between.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub host: String,
    /// The processes that have these pids on the one host now.
    #[serde(rename = "pid", with = "parameter::list", skip_serializing_if = "is_default")]
    pub pids: Vec<u32>,
    /// The unit.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub unit: String,
}

/// A process in the form.
struct Chosen {
    id: ProcessId,
    was: Option<Was>,
}

impl Chosen {
    /// As the form sends it.
    fn written(&self) -> String {
        format!("{}-{}-{}", self.id.pid, self.id.start_ticks, self.id.boot_id)
    }

    fn read(text: &str) -> Option<ProcessId> {
        let mut parts = text.splitn(3, '-');
        let (pid, start_ticks) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some(ProcessId { pid, start_ticks, boot_id: parts.next()?.to_owned() })
    }

    fn facts(&self) -> Vec<(&'static str, Cell)> {
        self.was.as_ref().map(|was| facts(was, true)).unwrap_or_default()
    }
}

/// The form that asks for a command.
#[derive(Template)]
#[template(path = "new_command.html")]
struct NewCommandPage {
    layout: Layout,
    hosts: Vec<HostName>,
    processes: Vec<Chosen>,
    unit: String,
    /// What is chosen: an action or a signal.
    verb: String,
    why: String,
    parallel: usize,
    stop_after: usize,
    needs_reason: bool,
    asks_password: bool,
    problem: Option<Refusal>,
}

impl NewCommandPage {
    /// Whether everything is known but the verb, so that it can be sent.
    fn is_ready(&self) -> bool {
        !self.hosts.is_empty() && (!self.processes.is_empty() || !self.unit.is_empty())
    }

    fn verbs(&self) -> Vec<(&'static str, &'static str)> {
        let action = |action: UnitAction| match action {
            UnitAction::Restart => ("restart", "Restart"),
            UnitAction::Reload => ("reload", "Reload"),
            UnitAction::Stop => ("stop", "Stop"),
            UnitAction::Start => ("start", "Start"),
        };
        use UnitAction::{Reload, Restart, Start, Stop};
        match self.processes.is_empty() {
            true => [Restart, Reload, Stop, Start].map(action).into(),
            false => Signal::ALL.map(|signal| (signal.name(), signal_words(signal))).into(),
        }
    }

    fn host_links(&self) -> Vec<Link> {
        let link = |host: &HostName| Link {
            href: Url::host(host.as_str(), HostTab::Processes),
            text: host.to_string(),
        };
        self.hosts.iter().map(link).collect()
    }

    fn count(&self) -> usize {
        self.hosts.len().max(self.processes.len())
    }

    fn with(self, problem: Refusal) -> Result<Response, Refusal> {
        let status = problem.status;
        Ok((status, page::render(&Self { problem: Some(problem), ..self })?).into_response())
    }
}

fn signal_words(signal: Signal) -> &'static str {
    match signal {
        Signal::Term => "TERM: asks it to end",
        Signal::Kill => "KILL: ends it at once",
        Signal::Hup => "HUP: daemons reload their configuration",
        Signal::Int => "INT: as Ctrl-C",
        Signal::Quit => "QUIT: ends it with a core dump",
        Signal::Usr1 => "USR1: the program's own",
        Signal::Usr2 => "USR2: the program's own",
        Signal::Stop => "STOP: holds it",
        Signal::Cont => "CONT: lets it go on",
    }
}

fn read_hosts(scoped: &ScopedFleet, text: &str) -> Result<Vec<HostName>, Refusal> {
    let names = text.split(|character: char| character == ',' || character.is_whitespace());
    let names = names.filter(|name| !name.is_empty());
    let hosts = names.map(|name| name.parse().map_err(|_| Refusal::no_such_host(name)));
    let hosts = each_once(hosts.collect::<Result<Vec<_>, _>>()?)?;
    hosts.iter().try_for_each(|host| scoped.check_may_command(host))?;
    Ok(hosts)
}

/// The form.
pub(crate) async fn new(
    layout: Layout,
    scoped: ScopedFleet,
    Query(query): Query<NewCommandQuery>,
) -> Result<Response, Refusal> {
    let hosts = read_hosts(&scoped, &query.host)?;
    check_processes(hosts.len(), query.pids.len())?;
    let usual = Pace::default();
    let chosen = |pid: &u32| {
        let known = hosts.first().and_then(|host| scoped.process_id(host, *pid));
        let (id, was) = known.ok_or_else(|| not_running(*pid))?;
        Ok(Chosen { id, was: Some(was) })
    };
    let processes = query.pids.iter().map(chosen).collect::<Result<Vec<_>, Refusal>>()?;
    let verb = if processes.is_empty() { "restart" } else { "TERM" };
    page::render(&NewCommandPage {
        layout,
        hosts,
        processes,
        unit: query.unit,
        verb: verb.to_owned(),
        why: String::new(),
        parallel: usual.parallel,
        stop_after: usual.stop_after,
        needs_reason: scoped.commands_need_reason(),
        asks_password: scoped.must_confirm(),
        problem: None,
    })
}

/// Refuses processes of which it would not be clear on which host they are, and more than a host takes.
fn check_processes(hosts: usize, processes: usize) -> Result<(), Refusal> {
    let bad = |error: String, hint| Err(Refusal::new(StatusCode::BAD_REQUEST, error, hint));
    match (hosts, processes) {
        (_, 0) | (1, 1..=MAX_PROCESSES) => Ok(()),
        (1, _) => bad(
            format!("{processes} processes are chosen, and a host takes {MAX_PROCESSES} commands a minute"),
            "choose fewer processes, or stop or restart their unit",
        ),
        _ => bad(
            format!("processes are signalled on one host, and {hosts} are named"),
            "name one host, and choose its processes",
        ),
    }
}

fn not_running(pid: u32) -> Refusal {
    let hint = "go back to the host and choose a process that runs; only hosts with Linux say exactly when it started";
    Refusal::new(StatusCode::NOT_FOUND, format!("no process {pid} runs there that can be signalled"), hint)
}

/// Sends what the form says, after the password where that was given some time ago. What cannot be sent stays in the form.
pub(crate) async fn send(
    layout: Layout,
    scoped: ScopedFleet,
    person: Person,
    State(shared): State<AppState>,
    visit: Visit,
    form: Form,
) -> Result<Response, Refusal> {
    let page = filled(layout, &scoped, &form)?;
    let (targets, why) = match targets(&page) {
        Ok(targets) => (targets, page.why.clone()),
        Err(problem) => return page.with(problem),
    };
    if page.asks_password {
        let confirmed = accounts(&shared)?.confirm(&person, form.field("password"), &visit).await;
        if let Err(error) = confirmed {
            return page.with(error.into());
        }
    }
    let asked = match pace(Some(page.parallel), Some(page.stop_after)) {
        Ok(pace) => scoped.command(targets, &why, pace).await,
        Err(problem) => Err(problem),
    };
    match asked {
        Ok(id) => Ok(Redirect::to(&Url::command(id.as_str()).to_string()).into_response()),
        Err(problem) if problem.status == StatusCode::BAD_REQUEST => {
            // The password was right: it is not asked for again.
            NewCommandPage { asks_password: scoped.must_confirm(), ..page }.with(problem)
        }
        Err(problem) => Err(problem),
    }
}

/// The form as it was sent.
fn filled(layout: Layout, scoped: &ScopedFleet, form: &Form) -> Result<NewCommandPage, Refusal> {
    let hosts = read_hosts(scoped, &form.fields("host").join(" "))?;
    let chosen = |text: &String| {
        let id = Chosen::read(text)?;
        let now = hosts.first().and_then(|host| scoped.process_id(host, id.pid));
        Some(Chosen { was: now.filter(|(now, _)| *now == id).map(|(_, was)| was), id })
    };
    let usual = Pace::default();
    let number = |name: &str, usual: usize| form.field(name).parse().unwrap_or(usual);
    Ok(NewCommandPage {
        layout,
        processes: form.fields("process").iter().filter_map(chosen).collect(),
        hosts,
        unit: form.field("unit"),
        verb: form.field("verb"),
        why: form.field("why"),
        parallel: number("parallel", usual.parallel),
        stop_after: number("stop_after", usual.stop_after),
        needs_reason: scoped.commands_need_reason(),
        asks_password: scoped.must_confirm(),
        problem: None,
    })
}

/// What the form asks for.
fn targets(page: &NewCommandPage) -> Result<Vec<(HostName, What)>, Refusal> {
    let bad = |error: String| Refusal::new(StatusCode::BAD_REQUEST, error, "choose again");
    let Some(first) = page.hosts.first() else { return Err(bad("no host is chosen".to_owned())) };
    check_processes(page.hosts.len(), page.processes.len())?;
    if page.processes.is_empty() {
        let action: UnitAction = page.verb.parse().map_err(|error| bad(format!("{error}")))?;
        let unit = UnitName::of_person(page.unit.trim()).map_err(|error| bad(error.to_string()))?;
        let what = |host: &HostName| (host.clone(), What::Unit { action, unit: unit.clone() });
        return Ok(page.hosts.iter().map(what).collect());
    }
    let signal: Signal = page.verb.parse().map_err(|error| bad(format!("{error}")))?;
    let what = |chosen: &Chosen| (first.clone(), What::Signal { signal, process: chosen.id.clone() });
    Ok(page.processes.iter().map(what).collect())
}
