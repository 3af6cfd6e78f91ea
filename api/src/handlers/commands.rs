//! The pages of commands to hosts: all of them, what becomes of one, and the form that asks for one.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
};
use fleetps_nats::{
    HostName,
    command::{CommandId, ProcessId, Signal, UnitAction, UnitName, What},
};
use futures_util::{FutureExt, future::ready};
use serde::{Deserialize, Serialize};

use super::{
    commands_json::{each_once, pace},
    page::{self, Layout},
    push::{self, Live},
};
use crate::{
    auth::{Person, Visit},
    command::{CommandRecord, Was},
    display,
    extract::{CommandPath, Form, Query, accounts},
    query::parameter::{self, Count, is_default},
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    state::AppState,
    url::{HostTab, Url},
    view::{
        View, commands,
        span::Stamp,
        table::{Cell, Link},
    },
};

/// Commands on the page: some screens; all are in the JSON.
const SHOWN_COMMANDS: usize = 200;
/// Hosts of a plan that begin with the usual numbers.
const USUAL_PARALLEL: usize = 5;

/// The query of the list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CommandsPageQuery {
    #[serde(with = "parameter::optional", skip_serializing_if = "Option::is_none")]
    host: Option<HostName>,
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    limit: Count<SHOWN_COMMANDS, 10_000, 1>,
}

/// The page of all commands.
#[derive(Template)]
#[template(path = "commands.html")]
struct CommandsPage {
    layout: Layout,
    query: CommandsPageQuery,
    view: View,
    live_url: Url,
    may_command: bool,
    more: Option<Url>,
}

fn list_view(scoped: &ScopedFleet, query: &CommandsPageQuery, version: u64) -> (View, usize) {
    let (records, total) = scoped.commands(query.host.as_ref(), query.limit.get());
    (commands::list(&records, version), total)
}

/// The page of all commands.
pub async fn list(
    layout: Layout,
    scoped: ScopedFleet,
    Query(query): Query<CommandsPageQuery>,
) -> Result<Response, Refusal> {
    let version = *scoped.watch_commands()?.borrow();
    let (view, total) = list_view(&scoped, &query, version);
    let more = CommandsPageQuery { limit: Count::near(query.limit.get() * 10), ..query.clone() };
    let is_more = total > query.limit.get() && more != query;
    page::render(&CommandsPage {
        layout,
        view,
        live_url: Url::commands_live().with(&query),
        may_command: scoped.may_command_some(),
        more: is_more.then(|| Url::commands().with(&more)),
        query,
    })
}

/// Its live updates.
pub async fn list_live(
    scoped: ScopedFleet,
    Query(Live { query, since }): Query<Live<CommandsPageQuery>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (asked, changed) = (scoped.clone(), scoped.watch_commands()?);
    let told = changed.clone();
    let render = move || ready(Some(list_view(&asked, &query, *told.borrow()).0)).boxed();
    push::stream(&scoped, &headers, since, changed, Box::new(render))
}

/// The page of one command, or of a plan.
#[derive(Template)]
#[template(path = "command.html")]
struct CommandPage {
    layout: Layout,
    id: CommandId,
    first: Arc<CommandRecord>,
    view: View,
    live_url: Url,
    /// How many commands there are.
    count: usize,
    is_over: bool,
    /// Whether some can still be cancelled, by this person.
    may_cancel: bool,
    sees_command_line: bool,
}

impl CommandPage {
    fn title(&self) -> String {
        match self.count {
            1 => format!("{} on {}", commands::what(&self.first), self.first.host),
            count => format!("{} on {count} hosts", self.first.what),
        }
    }

    fn asked(&self) -> Stamp {
        Stamp::of(self.first.asked_at_us)
    }

    /// What the process was, with labels.
    fn was(&self) -> Vec<(&'static str, Cell)> {
        let was = self.first.was.as_ref().filter(|_| self.count == 1);
        was.map(|was| facts(was, self.sees_command_line)).unwrap_or_default()
    }

    fn host_url(&self) -> Url {
        Url::host(self.first.host.as_str(), HostTab::Processes)
    }

    fn plan_url(&self) -> Option<Url> {
        let plan = self.first.plan.as_ref().filter(|_| self.count == 1)?;
        Some(Url::command(plan.id.as_str()))
    }
}

fn facts(was: &Was, sees_command_line: bool) -> Vec<(&'static str, Cell)> {
    let text = |text: Option<&str>| Cell::hostile("", text.unwrap_or(display::MISSING), 240);
    let command_line = was.command_line.as_deref().filter(|_| sees_command_line);
    vec![
        ("Process", text(Some(&was.name))),
        ("User", text(was.user_name.as_deref())),
        ("Unit", text(was.unit.as_deref())),
        ("CPU", Cell::field(display::percent(was.cpu_percent.map(f64::from)))),
        ("Memory", Cell::field(display::size(was.resident_bytes.map(|bytes| bytes as f64)))),
        ("Started", Cell::moment("", was.started_at_us)),
        ("Command line", Cell { column: "mono", ..text(command_line) }),
    ]
}

/// The query of the page of one command, which has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NoQuery {}

/// The page of one command, or of a plan.
pub async fn one(
    layout: Layout,
    scoped: ScopedFleet,
    CommandPath(id): CommandPath,
) -> Result<Response, Refusal> {
    let records = scoped.command_of(&id)?;
    let Some(first) = records.first().cloned() else { return Err(Refusal::no_such_command(id.as_str())) };
    let is_unsent = records.iter().any(|record| record.state().is_unsent() && !record.is_over);
    let may = |record: &Arc<CommandRecord>| scoped.check_may_command(&record.host).is_ok();
    page::render(&CommandPage {
        layout,
        view: commands::progress(&records),
        live_url: Url::command_live(id.as_str()),
        count: records.len(),
        is_over: records.iter().all(|record| record.is_over),
        may_cancel: is_unsent && records.iter().all(may),
        sees_command_line: scoped.sees_command_lines(&first.host),
        id,
        first,
    })
}

/// Its live updates.
pub async fn one_live(
    scoped: ScopedFleet,
    Query(Live { query: NoQuery {}, since }): Query<Live<NoQuery>>,
    CommandPath(id): CommandPath,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    scoped.command_of(&id)?;
    let (asked, changed) = (scoped.clone(), scoped.watch_commands()?);
    let render =
        move || ready(asked.command_of(&id).ok().map(|records| commands::progress(&records))).boxed();
    push::stream(&scoped, &headers, since, changed, Box::new(render))
}

/// Cancels what was not sent yet.
pub async fn cancel(scoped: ScopedFleet, CommandPath(id): CommandPath) -> Result<Response, Refusal> {
    scoped.cancel_command(&id).await?;
    Ok(Redirect::to(&Url::command(id.as_str()).to_string()).into_response())
}

/// The query of the form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NewCommandQuery {
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
pub async fn new(
    layout: Layout,
    scoped: ScopedFleet,
    Query(query): Query<NewCommandQuery>,
) -> Result<Response, Refusal> {
    let hosts = read_hosts(&scoped, &query.host)?;
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
        parallel: USUAL_PARALLEL,
        stop_after: 1,
        needs_reason: scoped.commands_need_reason(),
        asks_password: scoped.must_confirm(),
        problem: None,
    })
}

fn not_running(pid: u32) -> Refusal {
    let hint = "go back to the host and choose a process that runs; only hosts with Linux say exactly when it started";
    Refusal::new(StatusCode::NOT_FOUND, format!("no process {pid} runs there that can be signalled"), hint)
}

/// Sends what the form says, after the password where that was given some time ago. What cannot be sent stays in the form.
pub async fn send(
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
    let number = |name: &str, usual: usize| form.field(name).parse().unwrap_or(usual);
    Ok(NewCommandPage {
        layout,
        processes: form.fields("process").iter().filter_map(chosen).collect(),
        hosts,
        unit: form.field("unit"),
        verb: form.field("verb"),
        why: form.field("why"),
        parallel: number("parallel", USUAL_PARALLEL),
        stop_after: number("stop_after", 1),
        needs_reason: scoped.commands_need_reason(),
        asks_password: scoped.must_confirm(),
        problem: None,
    })
}

/// What the form asks for.
fn targets(page: &NewCommandPage) -> Result<Vec<(HostName, What)>, Refusal> {
    let bad = |error: String| Refusal::new(StatusCode::BAD_REQUEST, error, "choose again");
    let Some(first) = page.hosts.first() else { return Err(bad("no host is chosen".to_owned())) };
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
