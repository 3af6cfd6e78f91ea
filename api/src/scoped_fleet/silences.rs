//! Silences and maintenance windows: what nobody is told of for a while, by whom and why.
//!
//! Nobody silences hosts that are not theirs. A silence carries the groups of its maker, and holds only for hosts in one of
//! them; one by who may change rules for every host holds for all. Who looks at silences sees no names of hosts and groups
//! that are hidden from them.

use axum::http::StatusCode;
use fleetps_ingestor::alerts::{Change, Severity as Grave, Transition};
use fleetps_nats::{audit::Outcome, now_us};

use super::{ScopedFleet, channels::bad_record};
use crate::{
    authz::{HostGroups, Permission},
    display,
    notify::{BadChannel, Facts, Kind, Matcher, Notification, Severity, Silence, Subject, When},
    refusal::Refusal,
    view::silences::SilenceEntry,
};

/// The latest alerts that silences are compared with, to say what they muted: some days of a busy fleet.
const LOOKED_AT: usize = 2_000;
/// Of these, those that are named.
const NAMED: usize = 5;

/// A silence that is to be made.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewSilence {
    /// What it is about.
    pub matcher: Matcher,
    /// When it holds.
    pub when: When,
    /// Why.
    pub why: String,
}

impl ScopedFleet {
    /// The silences that the person may see, those that hold first.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub(crate) async fn silences(&self) -> Result<Vec<SilenceEntry>, Refusal> {
        if self.shared.broker.is_none() {
            return Ok(Vec::new());
        }
        let records = self.records()?;
        let all = self.ask_broker("read the silences", records.silences()).await?;
        let all = all.into_iter().map(|(id, entry)| (id, entry.value)).collect();
        let (mut silences, now_us) = (self.entries(all).await?, now_us());
        silences.sort_by_key(|entry| {
            let is_over = matches!(entry.silence.when, When::Once { until_us, .. } if until_us <= now_us);
            (!entry.holds, is_over, std::cmp::Reverse(entry.silence.made_at_us))
        });
        Ok(silences)
    }

    /// These silences as the person may see them. On a thread that serves no requests: each is compared with [`LOOKED_AT`]
    /// alerts.
    async fn entries(&self, silences: Vec<(String, Silence)>) -> Result<Vec<SilenceEntry>, Refusal> {
        let asked = self.clone();
        let comparing = self.shared.fleet_views.aside(move || {
            let (raised, now_us) = (asked.latest_raised(), now_us());
            let entry = |(id, silence)| asked.entry(id, silence, &raised, now_us);
            silences.into_iter().filter_map(entry).collect::<Vec<_>>()
        });
        comparing.await.map_err(|error| Refusal::fault("could not compare silences with alerts", &error))
    }

    /// A silence with what it muted of these alerts; absent where the person may not see it.
    fn entry(
        &self,
        id: String,
        silence: Silence,
        raised: &[Notification],
        now_us: i64,
    ) -> Option<SilenceEntry> {
        let muted: Vec<&Notification> = raised.iter().filter(|alert| muted(&silence, alert)).collect();
        let name = |alert: &&Notification| (alert.rule.clone(), alert.subject.text());
        Some(SilenceEntry {
            id,
            holds: silence.holds_at(now_us),
            may_end: self.may_on(Permission::ManageAlerts, silence.within.as_ref()),
            muted: muted.len(),
            latest: muted.iter().take(NAMED).map(name).collect(),
            silence: self.as_shown(silence)?,
        })
    }

    /// Keeps a silence for the hosts of the person's groups, and writes it down.
    ///
    /// # Errors
    /// When the person operates no host, a field is wrong, there are too many, or the broker refuses.
    pub(crate) async fn add_silence(&self, new: NewSilence) -> Result<SilenceEntry, Refusal> {
        let Some(groups) = self.groups_of_new_rule(None) else { return Err(may_not()) };
        let within = (!groups.is_empty()).then_some(groups);
        let NewSilence { matcher, when, why } = new;
        let (who, made_at_us) = (self.person.name.clone(), now_us());
        let silence = Silence { matcher, when, why, who, within, made_at_us };
        // The same for names that are hidden and for names that nothing has.
        if self.as_shown(silence.clone()).as_ref() != Some(&silence) {
            let problem = "a name is of no host or group that you see".to_owned();
            return Err(bad_record(BadChannel { field: "matcher", problem }));
        }
        let records = self.records()?;
        let id = self.ask_records("keep the silence", records.add_silence(&silence, made_at_us)).await?;
        self.shared.audit_log.note(&self.person, "silence.add", None, in_words(&id, &silence), Outcome::Done);
        let mut entries = self.entries(vec![(id.clone(), silence)]).await?;
        entries.pop().ok_or_else(|| no_such_silence(&id))
    }

    /// Ends a silence now, or removes a maintenance window, and writes it down.
    ///
    /// # Errors
    /// When there is none that the person may see, when it is for hosts that they do not operate, or when the broker refuses.
    pub(crate) async fn end_silence(&self, id: &str) -> Result<(), Refusal> {
        let records = self.records()?;
        let mut all = self.ask_broker("read the silences", records.silences()).await?;
        let entry = all.remove(id).filter(|entry| self.as_shown(entry.value.clone()).is_some());
        let entry = entry.ok_or_else(|| no_such_silence(id))?;
        if !self.may_on(Permission::ManageAlerts, entry.value.within.as_ref()) {
            return Err(may_not());
        }
        let what = in_words(id, &entry.value);
        if !self.ask_records("end the silence", records.end_silence(id, entry, now_us())).await? {
            let error = format!("the silence {id} was changed meanwhile");
            return Err(Refusal::new(StatusCode::CONFLICT, error, "look at it again, and repeat the change"));
        }
        self.shared.audit_log.note(&self.person, "silence.end", None, what, Outcome::Done);
        Ok(())
    }

    /// The silence without names of hosts and groups that the person may not see; absent where it is about nothing else.
    fn as_shown(&self, mut silence: Silence) -> Option<Silence> {
        if self.may_on(Permission::SeeHosts, None) {
            return Some(silence);
        }
        let scope = self.scope();
        let sees_group =
            |group: &String| self.may_on(Permission::SeeHosts, Some(&HostGroups::from([group.clone()])));
        // A pattern is one's own where all of its groups are; beyond them it may tell how others call their hosts.
        let is_own = silence.within.as_ref().is_some_and(|within| within.iter().all(sees_group));
        let sees_host = |name: &String| match name.contains('*') {
            true => is_own,
            false => name.parse().is_ok_and(|host| scope.sees(&host)),
        };
        let is_left = |before: usize, after: usize| before == 0 || after > 0;
        let before = (silence.matcher.hosts.len(), silence.matcher.groups.len());
        silence.matcher.hosts.retain(sees_host);
        silence.matcher.groups.retain(|name| if name.contains('*') { is_own } else { sees_group(name) });
        let is_within = match &mut silence.within {
            Some(within) => {
                within.retain(sees_group);
                !within.is_empty()
            }
            None => true,
        };
        let is_seen = is_within
            && is_left(before.0, silence.matcher.hosts.len())
            && is_left(before.1, silence.matcher.groups.len());
        is_seen.then_some(silence)
    }

    /// The latest alerts that were raised on hosts that the person may see, the latest first.
    fn latest_raised(&self) -> Vec<Notification> {
        let (scope, groups) = (self.scope(), self.shared.groups.now());
        let is_raised =
            |it: &Transition| it.change.change == Change::Raised && scope.sees(&it.change.alert.host);
        let (raised, _) = self.shared.alerts.changes(LOOKED_AT, is_raised);
        raised
            .iter()
            .map(|transition| subject_of(transition, groups.of(&transition.change.alert.host)))
            .collect()
    }
}

/// Whether nobody was told of an alert because of a silence. People were told of what was raised before it was made, also in
/// the hours of a maintenance window.
fn muted(silence: &Silence, alert: &Notification) -> bool {
    alert.at_us >= silence.made_at_us && silence.keeps_back(alert)
}

/// What silences ask of an alert.
fn subject_of(transition: &Transition, groups: &HostGroups) -> Notification {
    let alert = &transition.change.alert;
    let severity = match alert.severity {
        Grave::Info => Severity::Info,
        Grave::Warning => Severity::Warning,
        Grave::Critical => Severity::Critical,
    };
    Notification {
        kind: Kind::Raised,
        severity,
        rule: alert.rule.clone(),
        subject: Subject::Host(alert.host.to_string()),
        groups: groups.iter().cloned().collect(),
        facts: Facts::default(),
        ..Notification::test(alert.id.clone(), "", String::new(), transition.change.at_us)
    }
}

fn may_not() -> Refusal {
    let hint = "an operator of these hosts may";
    Refusal::new(StatusCode::FORBIDDEN, "you may not silence alerts of these hosts", hint)
}

fn no_such_silence(id: &str) -> Refusal {
    let error = format!("there is no silence {:?}", display::cut(id, 64));
    let hint = "the silences are listed at /alerts/silences and /api/v1/alerts/silences";
    Refusal::new(StatusCode::NOT_FOUND, error, hint)
}

fn in_words(id: &str, silence: &Silence) -> String {
    // Structs of texts can always be written.
    let text = |value: Result<String, _>| value.unwrap_or_default();
    let (matcher, when) =
        (text(serde_json::to_string(&silence.matcher)), text(serde_json::to_string(&silence.when)));
    let within = silence.within.iter().flatten().cloned().collect::<Vec<_>>().join(" ");
    let within = if within.is_empty() { String::new() } else { format!(", within {within}") };
    display::cut(&format!("{id}: {matcher} {when}{within}; why: {}", silence.why), 2_000).into_owned()
}
