//! The pages of commands to hosts: all of them, and what becomes of one.

use std::sync::Arc;

use askama::Template;
use axum::{
    http::HeaderMap,
    response::{IntoResponse, Redirect, Response},
};
use fleetps_nats::{HostName, command::CommandId};
use futures_util::{FutureExt, future::ready};
use serde::{Deserialize, Serialize};

use super::{
    page::{self, Layout},
    push::{self, Live},
};
use crate::{
    command::CommandRecord,
    extract::{CommandPath, Query},
    query::parameter::{self, Count, is_default},
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    url::{HostTab, Url},
    view::{View, commands, span::Stamp, table::Cell},
};

/// Commands on the page: some screens; all are in the JSON.
const SHOWN_COMMANDS: usize = 200;

/// The query of the list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CommandsPageQuery {
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
pub(crate) async fn list(
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
pub(crate) async fn list_live(
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
        was.map(|was| commands::facts(was, self.sees_command_line)).unwrap_or_default()
    }

    fn host_url(&self) -> Url {
        Url::host(self.first.host.as_str(), HostTab::Processes)
    }

    fn plan_url(&self) -> Option<Url> {
        let plan = self.first.plan.as_ref().filter(|_| self.count == 1)?;
        Some(Url::command(plan.id.as_str()))
    }
}

/// The query of the page of one command, which has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct NoQuery {}

/// The page of one command, or of a plan.
pub(crate) async fn one(
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
pub(crate) async fn one_live(
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
pub(crate) async fn cancel(scoped: ScopedFleet, CommandPath(id): CommandPath) -> Result<Response, Refusal> {
    scoped.cancel_command(&id).await?;
    Ok(Redirect::to(&Url::command(id.as_str()).to_string()).into_response())
}
