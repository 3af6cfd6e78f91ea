//! The line to one host: one question, one answer.

use std::time::Duration;

use async_nats::{Client, Request, client::RequestErrorKind};
use fleetps_nats::{
    HostName,
    command::{Answer, Ask},
    subject,
};

use crate::broker;

/// Asks one host.
#[derive(Debug, Clone)]
pub(super) struct Line {
    client: Client,
    subject: String,
}

/// A host did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoAnswer {
    /// Nobody listens: the question reached nobody.
    #[error("no agent of this host is connected to the broker")]
    NotThere,
    /// It may have been heard, or not.
    #[error("the host did not answer in time")]
    Silent,
    /// The connection to the broker is gone. What was sent before may have been heard.
    #[error("the broker cannot be reached just now")]
    BrokerAway,
    /// It answered, and the answer cannot be understood.
    #[error("the host's answer cannot be understood: {0}")]
    Unreadable(String),
}

impl Line {
    /// The line to `host`.
    pub(super) fn to(client: &Client, host: &HostName) -> Self {
        Self { client: client.clone(), subject: subject::commands(host) }
    }

    /// The host's answer, if it comes within this time.
    pub(super) async fn ask(&self, question: &Ask, within: Duration) -> Result<Answer, NoAnswer> {
        // The client would keep the question until it is connected again, and send it then.
        if !broker::is_there(&self.client) {
            return Err(NoAnswer::BrokerAway);
        }
        let request = Request::new().payload(question.to_bytes().into()).timeout(Some(within));
        match self.client.send_request(self.subject.clone(), request).await {
            Ok(message) => {
                Answer::read(&message.payload).map_err(|error| NoAnswer::Unreadable(error.to_string()))
            }
            Err(error) => Err(match error.kind() {
                RequestErrorKind::NoResponders => NoAnswer::NotThere,
                RequestErrorKind::TimedOut => NoAnswer::Silent,
                _ => NoAnswer::BrokerAway,
            }),
        }
    }
}
