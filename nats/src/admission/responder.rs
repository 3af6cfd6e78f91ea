//! Answers the questions of the broker and the hellos of hosts.

use std::{sync::Arc, time::Instant};

use async_nats::Message;

use super::{
    Denial,
    connections::Next,
    decide::Admitted,
    disconnect,
    hello::{self, Hello},
    request::Question,
    response,
    service::Shared,
};
use crate::{
    HostName,
    audit::{AuditEntry, Outcome},
    error_chain, now_us, subject,
};

impl Shared {
    /// Answers one question of the broker.
    pub(super) async fn answer_question(self: Arc<Self>, message: Message) {
        let (Some(question), Some(reply)) = (Question::read(&message.payload), message.reply) else {
            tracing::warn!("cannot parse a request of the broker; is it newer than this program?");
            return;
        };
        let now_s = jiff::Timestamp::now().as_second();
        let answered = match self.admit(&question).await {
            Ok(host) => response::admit(&question, &host, &self.issuer, now_s),
            Err(refusal) => {
                self.note(&question, &refusal);
                response::refuse(&question, &refusal.to_string(), &self.issuer, now_s)
            }
        };
        let sent = match answered {
            Ok(jwt) => self.auth.publish(reply, jwt.into()).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = sent {
            tracing::warn!(error, "an answer to the broker could not be sent; the host will try again");
        }
    }

    async fn admit(&self, question: &Question) -> Result<HostName, Denial> {
        let claimant = question.claimant()?;
        let host = claimant.host.clone();
        match self.rules.decide(&claimant).await? {
            // A new host has no connections, and those of a former key are ended.
            Admitted::Known => self.check_connections(&host).await?,
            Admitted::New => {
                tracing::info!(host = %host, from = question.address(), "admitted a new host");
                self.write_down(question, "host.admit", String::new(), Outcome::Done);
            }
            Admitted::WithNewKey => {
                tracing::info!(host = %host, "the host uses its new key; the former one is no longer valid");
                self.write_down(question, "host.key", String::new(), Outcome::Done);
                self.disconnect(&host).await;
            }
        }
        Ok(host)
    }

    /// Whether `host` may make one more connection. Where the servers do not say how many it has, it may.
    async fn check_connections(&self, host: &HostName) -> Result<(), Denial> {
        let may = match self.connections.one_more(host, Instant::now()) {
            Next::Admit => true,
            Next::Refuse => false,
            Next::Look => {
                let found = disconnect::count(&self.system, host).await.unwrap_or_default();
                self.connections.counted(host, found)
            }
        };
        if may { Ok(()) } else { Err(Denial::TooManyConnections) }
    }

    fn note(&self, question: &Question, refusal: &Denial) {
        if let Some(times) = self.refusals.count(refusal.reason(), Instant::now()) {
            tracing::warn!(
                host = ?question.claimed_name(), from = question.address(), times, reason = error_chain(refusal),
                "refused a connection to the broker"
            );
            let what = format!("{refusal} ({} since last written down: {times})", refusal.reason());
            self.write_down(question, "host.refuse", what, Outcome::Refused);
        }
    }

    /// Audits it in the background, so that the host does not wait.
    fn write_down(&self, question: &Question, action: &str, what: String, outcome: Outcome) {
        let name = question.claimed_name();
        self.record(AuditEntry {
            at_us: now_us(),
            who: format!("host {name}"),
            from: question.address().parse().ok(),
            action: action.to_owned(),
            host: name.parse().ok(),
            what,
            outcome,
        });
    }

    /// Answers one hello of a host.
    pub(super) async fn answer_hello(self: Arc<Self>, message: Message) {
        let (Some(host), Some(reply)) = (subject::host_of_hello(&message.subject), message.reply) else {
            return;
        };
        if !self.said.may(&host, Instant::now()) {
            self.refusals.add("too-many-hellos", 1);
            return;
        }
        let Ok(hello) = serde_json::from_slice::<Hello>(&message.payload) else { return };
        match hello::welcome(&self.rules.hosts, &host, hello).await {
            Ok(welcome) => {
                let answer = serde_json::to_vec(&welcome).unwrap_or_default();
                // A host that hears nothing asks again when it connects the next time.
                let _ = self.fleet.publish(reply, answer.into()).await;
            }
            Err(error) => {
                tracing::warn!(host = %host, error = error_chain(&error), "a hello was not answered")
            }
        }
    }
}
