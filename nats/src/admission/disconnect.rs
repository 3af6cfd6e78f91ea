//! A host's connections, on every server of the broker: how many there are, and ending them.

use std::time::Duration;

use async_nats::Client;
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::json;

use crate::HostName;

/// Where every server says which connections it has.
const CONNECTIONS: &str = "$SYS.REQ.SERVER.PING.CONNZ";
/// How long to wait for one more server to answer; each takes about a millisecond.
const TIMEOUT: Duration = Duration::from_millis(300);
/// Connections that one server lists in one answer: the broker's own default.
const PAGE: usize = 1024;
/// Connections ended at the same time; each is a question to a server.
const ENDED_AT_ONCE: usize = 64;

#[derive(Debug, Deserialize)]
struct Answer {
    server: Server,
    data: Option<Connections>,
}

#[derive(Debug, Deserialize)]
struct Server {
    id: String,
}

#[derive(Debug, Deserialize)]
struct Connections {
    /// How many there are, listed or not.
    #[serde(default)]
    total: usize,
    #[serde(default)]
    connections: Vec<Connection>,
}

#[derive(Debug, Deserialize)]
struct Connection {
    cid: u64,
}

/// How many connections `host` has. `system` is a client of the broker's
/// system account.
pub(crate) async fn count(system: &Client, host: &HostName) -> Result<usize, async_nats::Error> {
    let mut found = 0;
    let mut answers = ask(1, system, host).await?;
    while let Some(listed) = answers.next().await? {
        found += listed.total;
    }
    Ok(found)
}

/// Ends all connections that `host` has now, and says how many. What cannot be ended is left and logged, and the others
/// are ended.
pub(super) async fn disconnect(system: &Client, host: &HostName) -> Result<usize, async_nats::Error> {
    disconnect_by(PAGE, system, host).await
}

pub(crate) async fn disconnect_by(
    page: usize,
    system: &Client,
    host: &HostName,
) -> Result<usize, async_nats::Error> {
    let (mut ended, mut looks, mut pages) = (0, 0, 1);
    // Reads as many pages as there were at first: a host that reconnects is at the end of the list, and is left for the
    // next look.
    while looks < pages {
        let mut answers = ask(page, system, host).await?;
        while let Some(listed) = answers.next().await? {
            if looks == 0 {
                pages = pages.max(listed.total.div_ceil(page));
            }
            ended += end(system, &listed).await;
        }
        looks += 1;
    }
    Ok(ended)
}

/// Ends what a server listed, and says how many.
async fn end(system: &Client, Listed { server, connections, .. }: &Listed) -> usize {
    let subject = format!("$SYS.REQ.SERVER.{server}.KICK");
    let kick = |cid: u64| {
        // The server ignores a request without a reply subject.
        let asked = system.request(subject.clone(), json!({"cid": cid}).to_string().into());
        async move {
            let error = asked.await.err()?;
            tracing::warn!(cid, %error, "a connection could not be ended; looking again");
            Some(())
        }
    };
    let failed = stream::iter(connections.clone()).map(kick).buffer_unordered(ENDED_AT_ONCE);
    connections.len() - failed.filter_map(std::future::ready).count().await
}

/// The connections that one server listed.
struct Listed {
    server: String,
    total: usize,
    connections: Vec<u64>,
}

/// The servers' answers.
struct Answers(async_nats::Subscriber);

async fn ask(page: usize, system: &Client, host: &HostName) -> Result<Answers, async_nats::Error> {
    let inbox = system.new_inbox();
    let answers = system.subscribe(inbox.clone()).await?;
    let wanted = json!({"acc": "AGENTS", "user": host.as_str(), "auth": true, "limit": page});
    system.publish_with_reply(CONNECTIONS, inbox, wanted.to_string().into()).await?;
    Ok(Answers(answers))
}

impl Answers {
    /// The next answer; `None` when all servers have answered.
    async fn next(&mut self) -> Result<Option<Listed>, async_nats::Error> {
        let Ok(Some(message)) = tokio::time::timeout(TIMEOUT, self.0.next()).await else { return Ok(None) };
        let Answer { server, data } = serde_json::from_slice(&message.payload)?;
        let (total, connections) = data.map(|data| (data.total, data.connections)).unwrap_or_default();
        let connections = connections.into_iter().map(|connection| connection.cid).collect();
        Ok(Some(Listed { server: server.id, total, connections }))
    }
}
