//! Audits the broker's refusals to hosts.

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
    now_us,
};

/// How often the log is read. Where the broker fills more than one log in between, the lost lines are not counted.
const READ_EVERY: Duration = Duration::from_millis(500);

impl Shared {
    /// Reads the broker's log, and counts what it refused.
    pub(super) async fn watch(self: Arc<Self>, mut log: BrokerLog) {
        let (mut violations, mut ticks) = (Violations::default(), tokio::time::interval(READ_EVERY));
        loop {
            ticks.tick().await;
            let reading = tokio::task::spawn_blocking(move || (log.lines(), log)).await;
            let Ok((lines, read)) = reading else { return };
            log = read;
            match lines {
                Ok(lines) => lines.iter().filter_map(|line| Violation::read(line)).for_each(|violation| {
                    self.refusals.add(violation.reason, 1);
                    violations.count(violation);
                }),
                Err(error) => tracing::warn!(%error, "the broker's log cannot be read; trying again"),
            }
            for counted in violations.due(Instant::now()) {
                self.speak_of(counted);
            }
        }
    }

    fn speak_of(&self, Counted { latest: Violation { host, reason, subject }, times }: Counted) {
        tracing::warn!(host = %host, reason, subject, times, "the broker refused a subject that is not this host's own");
        self.record(AuditEntry {
            at_us: now_us(),
            who: format!("host {host}"),
            from: None,
            action: "host.refuse".to_owned(),
            host: Some(host),
            what: format!("not its own: \"{subject}\" ({reason}; since last written down: {times})"),
            outcome: Outcome::Refused,
        });
    }
}
