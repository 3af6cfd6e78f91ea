//! Answers the questions of the broker and the hellos of hosts.

use std::{sync::Arc, time::Instant};

use async_nats::Message;

use super::{
    Denial,
    connections::Next,
    decide::Admitted,
    disconnect,
    enrolment::{Enrolled, Enrolment},
    hello::{self, Hello},
    request::{Credentials, Question},
    response,
    service::Shared,
};
use crate::{
    HostName,
    audit::{AuditEntry, Outcome},
    error_chain, now_us, subject,
};

/// Who asks to be let in, for the log and the audit.
struct Asker<'a> {
    /// The name that it gives, as it is.
    name: String,
    address: &'a str,
}

impl Shared {
    /// Answers one question of the broker.
    pub(super) async fn answer_question(self: Arc<Self>, message: Message) {
        let (Some(question), Some(reply)) = (Question::read(&message.payload), message.reply) else {
            tracing::warn!("cannot parse a request of the broker; is it newer than this program?");
            return;
        };
        let now_s = jiff::Timestamp::now().as_second();
        let asker = Asker { name: question.claimed_name(), address: question.address() };
        let answered = match self.admit_connection(&asker, question.claimant()).await {
            Ok(host) => response::admit(&question, &host, &self.issuer, now_s),
            Err(refusal) => {
                self.note(&asker, &refusal);
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

    async fn admit_connection(
        &self,
        asker: &Asker<'_>,
        claimant: Result<Credentials, Denial>,
    ) -> Result<HostName, Denial> {
        let claimant = claimant?;
        // A new host has no connections, and those of a former key are ended.
        if self.admit(asker, &claimant).await? == Admitted::Known {
            self.check_connections(&claimant.host).await?;
        }
        Ok(claimant.host)
    }

    async fn admit(&self, asker: &Asker<'_>, claimant: &Credentials) -> Result<Admitted, Denial> {
        let host = &claimant.host;
        let admitted = self.rules.decide(claimant).await?;
        match admitted {
            Admitted::Known => {}
            Admitted::New => {
                tracing::info!(host = %host, from = asker.address, "admitted a new host");
                self.write_down(asker, "host.admit", String::new(), Outcome::Done);
            }
            Admitted::WithNewKey => {
                tracing::info!(host = %host, "the host uses its new key; the former one is no longer valid");
                self.write_down(asker, "host.key", String::new(), Outcome::Done);
                self.disconnect(host).await;
            }
        }
        Ok(admitted)
    }

    /// Answers a web server's question about a host that speaks HTTP.
    pub(super) async fn answer_enrolment(self: Arc<Self>, message: Message) {
        let (Some(enrolment), Some(reply)) = (Enrolment::read(&message.payload), message.reply) else {
            return;
        };
        let asker = Asker { name: enrolment.host.to_string(), address: &enrolment.address };
        let answer = match self.admit(&asker, &enrolment.credentials()).await {
            Ok(_) => Enrolled::Admitted,
            Err(refusal) => {
                self.note(&asker, &refusal);
                Enrolled::of(&refusal)
            }
        };
        let answer = serde_json::to_vec(&answer).unwrap_or_default();
        // A host that hears nothing asks again.
        let _ = self.fleet.publish(reply, answer.into()).await;
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

    fn note(&self, asker: &Asker<'_>, refusal: &Denial) {
        if let Some(times) = self.refusals.count(refusal.reason(), Instant::now()) {
            tracing::warn!(
                host = ?asker.name, from = asker.address, times, reason = error_chain(refusal),
                "refused a host"
            );
            let what = format!("{refusal} ({} since last written down: {times})", refusal.reason());
            self.write_down(asker, "host.refuse", what, Outcome::Refused);
        }
    }

    /// Audits it in the background, so that the host does not wait.
    fn write_down(&self, asker: &Asker<'_>, action: &str, what: String, outcome: Outcome) {
        self.record(AuditEntry {
            at_us: now_us(),
            who: format!("host {}", asker.name),
            from: asker.address.parse().ok(),
            action: action.to_owned(),
            host: asker.name.parse().ok(),
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
        let Ok(mut hello) = serde_json::from_slice::<Hello>(&message.payload) else { return };
        let applied = hello.applied.take();
        match hello::welcome(&self.rules.hosts, &host, hello).await {
            Ok(welcome) => {
                let welcome = self.control.answer(&host, applied, welcome).await;
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
