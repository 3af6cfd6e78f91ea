//! Ending the connections of a host, on every server of the broker.

use std::time::Duration;

use async_nats::Client;
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::json;

use crate::HostName;

/// Where every server says which connections it has.
const CONNECTIONS: &str = "$SYS.REQ.SERVER.PING.CONNZ";
/// How long to wait for one more server to answer; each takes about a millisecond.
const PATIENCE: Duration = Duration::from_millis(300);

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
    #[serde(default)]
    connections: Vec<Connection>,
}

#[derive(Debug, Deserialize)]
struct Connection {
    cid: u64,
}

/// Ends all connections of `host`, and says how many. `system` is a client of the broker's system account.
pub(super) async fn disconnect(system: &Client, host: &HostName) -> Result<usize, async_nats::Error> {
    let inbox = system.new_inbox();
    let mut answers = system.subscribe(inbox.clone()).await?;
    let wanted = json!({"acc": "AGENTS", "user": host.as_str(), "auth": true});
    system.publish_with_reply(CONNECTIONS, inbox, wanted.to_string().into()).await?;
    let mut ended = 0;
    while let Ok(Some(message)) = tokio::time::timeout(PATIENCE, answers.next()).await {
        let answer: Answer = serde_json::from_slice(&message.payload)?;
        for Connection { cid } in answer.data.map(|data| data.connections).unwrap_or_default() {
            let subject = format!("$SYS.REQ.SERVER.{}.KICK", answer.server.id);
            // Without somewhere to answer to, the server does nothing.
            system.request(subject, json!({"cid": cid}).to_string().into()).await?;
            ended += 1;
        }
    }
    Ok(ended)
}
