//! Alerts of the hosts that a person may see.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use fleetps_ingestor::{
    alerts::{Alert, AlertChange, Change, Rule, Transition},
    history::{Scope, Span},
};
use fleetps_nats::HostName;
use tokio::sync::watch;

use super::{ScopedFleet, alert_rules::withheld};
use crate::{
    history_service::AskedFor,
    live::OpenAlert,
    refusal::Refusal,
    view::{alerts::Tried, chart::bands::Band},
};

/// The most alerts that a chart and the list below it show, the latest: more bands cannot be told apart.
const MAX_BANDS: usize = 200;

/// Which alerts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AlertFilter {
    /// Only of this host.
    pub host: Option<HostName>,
    /// Only of this rule; of any where it is empty.
    pub rule: String,
    /// Only the alert of this id; any where it is empty.
    pub id: String,
}

impl AlertFilter {
    fn wants(&self, transition: &Transition) -> bool {
        let alert = &transition.change.alert;
        self.host.as_ref().is_none_or(|host| alert.host == *host)
            && (self.rule.is_empty() || alert.rule == self.rule)
            && (self.id.is_empty() || alert.id == self.id)
    }
}

impl ScopedFleet {
    /// The open alerts, the worst first and then the newest.
    pub(crate) fn open_alerts(&self, filter: &AlertFilter) -> Vec<OpenAlert> {
        let scope = self.scope();
        let wants = |alert: &Transition| filter.wants(alert) && scope.sees(&alert.change.alert.host);
        let mut open = self.shared.alerts.open(wants);
        for alert in &mut open {
            alert.acknowledged = self.shared.acknowledged.of(&alert.last.change.alert.id);
            let raised = as_seen(&scope, &alert.raised);
            alert.last = match Arc::ptr_eq(&alert.raised, &alert.last) {
                true => Arc::clone(&raised),
                false => as_seen(&scope, &alert.last),
            };
            alert.raised = raised;
        }
        open
    }

    /// The latest changes of alerts, newest first, at most `limit`; and how many there are in all.
    pub(crate) fn alert_changes(&self, filter: &AlertFilter, limit: usize) -> (Vec<Arc<Transition>>, usize) {
        let scope = self.scope();
        let wants = |it: &Transition| filter.wants(it) && scope.sees(&it.change.alert.host);
        let (changes, total) = self.shared.alerts.changes(limit, wants);
        (changes.iter().map(|change| as_seen(&scope, change)).collect(), total)
    }

    /// When alerts of a host were open within `span`, the latest first, at most [`MAX_BANDS`]; of those that `wants` is true for.
    /// Ended ones as far as changes are kept.
    pub(crate) fn alert_bands(
        &self,
        host: &HostName,
        span: Span,
        wants: impl Fn(&Alert) -> bool,
    ) -> Vec<Band> {
        if !self.scope().sees(host) {
            return Vec::new();
        }
        let is_of_host = |it: &Transition| it.change.alert.host == *host;
        // An alert may be open for longer than the change that raised it is kept.
        let open = self.shared.alerts.open(is_of_host);
        let (changes, _) = self.shared.alerts.changes(usize::MAX, is_of_host);
        // The oldest first, so that an end comes after its beginning.
        let all = open.iter().map(|open| &open.raised).chain(changes.iter().rev());
        let mut bands: HashMap<&str, Band> = HashMap::new();
        let silent_since_us = self.silent_since(host);
        for AlertChange { alert, change, at_us, .. } in all.map(|it| &it.change) {
            if *change == Change::TooMany || !wants(alert) {
                continue;
            }
            let band = bands.entry(&alert.id).or_insert_with(|| Band {
                id: alert.id.clone(),
                rule: alert.rule.clone(),
                instance: alert.instance(),
                severity: alert.severity,
                from_us: alert.raised_at_us,
                to_us: None,
            });
            if change.is_end() {
                band.to_us = Some(*at_us);
            }
            // One about silence comes a while after the last snapshot.
            if let (Some(since_us), true, None) = (silent_since_us, alert.is_of_silence(), band.to_us) {
                band.from_us = since_us.min(alert.raised_at_us);
            }
        }
        let is_within =
            |band: &Band| band.from_us < span.to_us && band.to_us.is_none_or(|to_us| to_us >= span.from_us);
        let mut bands: Vec<Band> = bands.into_values().filter(is_within).collect();
        bands.sort_by(|a, b| (b.from_us, &b.id).cmp(&(a.from_us, &a.id)));
        bands.truncate(MAX_BANDS);
        bands
    }

    /// Tells of every change of alerts and of who looks after them, by a number that grows.
    pub(crate) fn watch_alerts(&self) -> watch::Receiver<u64> {
        self.shared.alerts.watch()
    }

    /// Whether the alerts were read from the broker once; until then there may be others.
    pub(crate) fn knows_alerts(&self) -> bool {
        self.shared.alerts.is_read()
    }

    /// How many alerts of a rule are open, and how often it raised one, as far as that is kept.
    pub(crate) fn alert_counts(&self, rule: &str) -> (usize, usize) {
        let filter = AlertFilter { rule: rule.to_owned(), ..AlertFilter::default() };
        let scope = self.scope();
        let is_raise = |it: &Transition| {
            it.change.change == Change::Raised && filter.wants(it) && scope.sees(&it.change.alert.host)
        };
        (self.open_alerts(&filter).len(), self.shared.alerts.changes(0, is_raise).1)
    }

    /// What a rule would have said within `span` of the hosts that the person may see, and of these the ones in `groups`; with
    /// rules beside it that tell less.
    ///
    /// # Errors
    /// When the history cannot be read, or it takes too long.
    pub(crate) async fn back_test(
        &self,
        rule: Rule,
        groups: Option<BTreeSet<String>>,
        span: Span,
    ) -> Result<Tried, Refusal> {
        let tagged = self.shared.groups.now();
        let steadier = rule.steadier();
        let rules: Vec<Rule> = std::iter::once(rule).chain(steadier).collect();
        let lastings = rules.iter().map(|rule| rule.lasting).collect();
        let is_for =
            move |host: &HostName| groups.as_ref().is_none_or(|groups| !groups.is_disjoint(tagged.of(host)));
        let test =
            self.ask_for(AskedFor::Export, move |history| history.back_test(&rules, span, &is_for)).await?;
        Ok(Tried { test, lastings, span })
    }
}

/// A change as who has this scope may see it: without a filter of command lines that are withheld. What else a change says is
/// of names and numbers.
fn as_seen(scope: &Scope, transition: &Arc<Transition>) -> Arc<Transition> {
    let alert = &transition.change.alert;
    if scope.sees_command_lines(&alert.host) {
        return Arc::clone(transition);
    }
    let Some(sentence) = withheld(&alert.sentence) else { return Arc::clone(transition) };
    let mut seen = Transition::clone(transition);
    seen.change.alert.sentence = sentence;
    Arc::new(seen)
}
