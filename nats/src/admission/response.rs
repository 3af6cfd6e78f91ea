//! The answer to the broker: what an admitted host may do, as a JWT for this one connection.

use nkeys::KeyPair;
use serde_json::{Value, json};

use super::{jwt, request::Question};
use crate::{HostName, subject};

/// The account that agents are put into; it has no JetStream.
const AGENTS: &str = "AGENTS";
/// An answer to a command goes back within this.
const RESPONSE_TTL_NS: i64 = 60_000_000_000;

/// Lets the connection in as `host`.
pub(super) fn admit(
    question: &Question,
    host: &HostName,
    issuer: &KeyPair,
    now_s: i64,
) -> Result<String, nkeys::error::Error> {
    let user = json!({
        "aud": AGENTS,
        "sub": question.connection(),
        "name": host.as_str(),
        "nats": rights(host),
    });
    let user = jwt::sign(user, issuer, now_s)?;
    answer(question, "jwt", &user, issuer, now_s)
}

/// Keeps the connection out. The reason goes to the broker's log; a client is only told that it is refused.
pub(super) fn refuse(
    question: &Question,
    reason: &str,
    issuer: &KeyPair,
    now_s: i64,
) -> Result<String, nkeys::error::Error> {
    answer(question, "error", reason, issuer, now_s)
}

fn answer(
    question: &Question,
    key: &str,
    value: &str,
    issuer: &KeyPair,
    now_s: i64,
) -> Result<String, nkeys::error::Error> {
    let mut nats = json!({"type": "authorization_response", "version": 2});
    nats[key] = json!(value);
    jwt::sign(json!({"aud": question.server(), "sub": question.connection(), "nats": nats}), issuer, now_s)
}

/// The permissions of one host's agent. An empty list would allow everything, so none is empty. Message sizes and
/// subscriptions are limited by the account: the broker ignores such limits in this kind of JWT.
fn rights(host: &HostName) -> Value {
    json!({
        "type": "user",
        "version": 2,
        "pub": {"allow": subject::agent_publishes(host)},
        "sub": {"allow": subject::agent_hears(host)},
        "resp": {"max": 1, "ttl": RESPONSE_TTL_NS},
    })
}
