//! Puts on record what the broker refused to hosts.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    broker_log::BrokerLog,
    service::Shared,
    violations::{Counted, Violation, Violations},
};
use crate::{
    audit::{AuditEntry, Outcome},
    bucket::Followed,
    hosts::HostRecord,
    now_us,
};

/// How often the log is read; where the broker writes more than two logs full in between, what was in them is not counted.
const READ_EVERY: Duration = Duration::from_millis(500);

impl Shared {
    /// Reads the broker's log, counts what it refused, and says whose it was as `hosts` have their keys.
    pub(super) async fn watch(self: Arc<Self>, mut log: BrokerLog, hosts: Followed<HostRecord>) {
        let (mut violations, mut ticks) = (Violations::default(), tokio::time::interval(READ_EVERY));
        loop {
            ticks.tick().await;
            let (lines, read) = match tokio::task::spawn_blocking(move || (log.lines(), log)).await {
                Ok(done) => done,
                Err(_) => return,
            };
            log = read;
            match lines {
                Ok(lines) => lines.iter().filter_map(|line| Violation::read(line)).for_each(|violation| {
                    self.refusals.add(violation.reason, 1);
                    violations.count(violation);
                }),
                Err(error) => tracing::warn!(%error, "the broker's log cannot be read; trying again"),
            }
            for counted in violations.due(Instant::now()) {
                self.speak_of(&counted, &hosts);
            }
        }
    }

    fn speak_of(&self, counted: &Counted, hosts: &Followed<HostRecord>) {
        let Counted { latest: Violation { key, reason, subject }, times } = counted;
        let known = hosts.all().into_iter().find(|(_, record)| record.keys.contains(key));
        let host = known.and_then(|(host, _)| host.parse().ok());
        let who = host.as_ref().map_or_else(|| format!("key {key}"), |host| format!("host {host}"));
        tracing::warn!(
            who,
            reason,
            subject,
            times,
            "the broker refused subjects that are not this host's own"
        );
        self.record(AuditEntry {
            at_us: now_us(),
            who,
            from: None,
            action: "host.refuse".to_owned(),
            host,
            what: format!("not its own: \"{subject}\" ({reason}; refused since last written down: {times})"),
            outcome: Outcome::Refused,
        });
    }
}
