//! Who looks after an alert: operators of its host acknowledge it, so that nobody else is told.

use std::sync::Arc;

use axum::http::StatusCode;
use fleetps_ingestor::alerts::Transition;
use fleetps_nats::{audit::Outcome, now_us};

use super::{AlertFilter, ScopedFleet};
use crate::{authz::Permission, display, live::OpenAlert, notify::Acknowledgement, refusal::Refusal};

/// The changes of one alert that are shown: one that flaps for a day has some hundred.
const MAX_CHANGES: usize = 200;

impl ScopedFleet {
    /// An alert that the person may see: as it is open, if it is, and what became of it, newest first.
    ///
    /// # Errors
    /// When there is none, as far as that is kept.
    pub(crate) fn alert(&self, id: &str) -> Result<(Option<OpenAlert>, Vec<Arc<Transition>>), Refusal> {
        let filter = AlertFilter { id: id.to_owned(), ..AlertFilter::default() };
        let (changes, _) = self.alert_changes(&filter, MAX_CHANGES);
        let open = self.open_alerts(&filter).into_iter().next();
        match id.is_empty() || (open.is_none() && changes.is_empty()) {
            true => Err(no_such_alert(id)),
            false => Ok((open, changes)),
        }
    }

    /// Whether the person may acknowledge an alert.
    pub(crate) fn may_acknowledge(&self, alert: &OpenAlert) -> bool {
        self.permission_of(Permission::ManageAlerts, &alert.last.change.alert.host)
    }

    /// Acknowledges an open alert, or takes that back, and writes it down.
    ///
    /// # Errors
    /// When no such alert is open, the person may not, somebody was faster, or the broker refuses.
    pub(crate) async fn acknowledge(
        &self,
        id: &str,
        why: &str,
        is_withdrawn: bool,
    ) -> Result<OpenAlert, Refusal> {
        let open = self.open_alert(id)?;
        let alert = &open.last.change.alert;
        if !self.may_acknowledge(&open) {
            let error = format!("you may not acknowledge alerts of {}", alert.host);
            return Err(Refusal::new(StatusCode::FORBIDDEN, error, "an operator of this host may"));
        }
        let by =
            Acknowledgement { who: self.person.name.clone(), why: why.trim().to_owned(), at_us: now_us() };
        let records = self.records()?;
        let is_done = match is_withdrawn {
            true => self.ask_records("write it down", records.withdraw_acknowledgement(id)).await?,
            false => self.ask_records("write it down", records.acknowledge(id, &by)).await?,
        };
        if !is_done {
            return Err(was_faster(id, is_withdrawn));
        }
        let (action, why) = match is_withdrawn {
            true => ("alert.unacknowledge", String::new()),
            false => ("alert.acknowledge", format!("; why: {}", by.why)),
        };
        let what = format!("{id}: {} {}{why}", alert.rule, alert.instance());
        let host = Some(alert.host.clone());
        self.shared.audit_log.note(&self.person, action, host, what, Outcome::Done);
        let acknowledged = (!is_withdrawn).then_some(by);
        self.shared.acknowledged.note(id, acknowledged.clone());
        self.shared.alerts.touch();
        Ok(OpenAlert { acknowledged: acknowledged.map(Arc::new), ..open })
    }

    /// The open alert of this id.
    fn open_alert(&self, id: &str) -> Result<OpenAlert, Refusal> {
        let filter = AlertFilter { id: id.to_owned(), ..AlertFilter::default() };
        match self.open_alerts(&filter).into_iter().next() {
            Some(open) if !id.is_empty() => Ok(open),
            // Only now are all changes gone through: was there ever one?
            _ => self.alert(id).and(Err(is_over(id))),
        }
    }
}

fn no_such_alert(id: &str) -> Refusal {
    let error = format!("no alert has the id {:?}", display::cut(id, 64));
    Refusal::new(
        StatusCode::NOT_FOUND,
        error,
        "alerts are listed at /alerts and /api/v1/alerts, and kept for 90 days",
    )
}

fn is_over(id: &str) -> Refusal {
    let error = format!("the alert {id} is over");
    Refusal::new(StatusCode::CONFLICT, error, "there is nothing to look after any longer")
}

fn was_faster(id: &str, is_withdrawn: bool) -> Refusal {
    let error = match is_withdrawn {
        true => format!("nobody has acknowledged the alert {id}"),
        false => format!("somebody has acknowledged the alert {id} already"),
    };
    Refusal::new(StatusCode::CONFLICT, error, "look at it again: its page says who looks after it")
}
