//! An alert, and what becomes of it.

use data_encoding::HEXLOWER;
use fleetps_nats::HostName;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    instance::{Raise, Told},
    measure::{Culprit, Key},
    rule::{Measure, Rule, Severity},
};

/// Bytes of an alert's id: the chance that two of a million are the same is one in 10^7.
const ID_BYTES: usize = 8;

/// Something that needs a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// The same whoever evaluates it, and of no other alert: of the rule and its revision, the instance, and the message that
    /// raised it.
    pub id: String,
    /// The rule.
    pub rule: String,
    /// The rule's revision.
    pub revision: u64,
    /// What the rule says, so that the alert is understood when the rule is another one.
    pub sentence: String,
    /// How bad it is.
    pub severity: Severity,
    /// The host that it is of.
    pub host: HostName,
    /// What on that host. Names in it are texts from the host.
    pub key: Key,
    /// When it was raised, by the time of the snapshot, in µs since 1970 UTC.
    pub raised_at_us: i64,
    /// The sequence in the stream of the message that raised it.
    pub raised_by: u64,
}

impl Alert {
    /// Whether it says that its host sends nothing: it was raised a while after the last snapshot.
    pub fn is_of_silence(&self) -> bool {
        self.sentence.starts_with("silent")
    }
}

/// What happened to an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is raised.
    Raised,
    /// It was raised and cleared three times within an hour; nothing more is told of it until it is steady.
    Flapping,
    /// It flaps no longer, and is raised.
    Steady,
    /// The value was within the threshold for as long as the rule says.
    Cleared,
    /// The process exited.
    Exited,
    /// There is no such program, unit, user or file system any longer, or no such host.
    Gone,
    /// The rule was changed or removed, or is no longer for this host.
    RuleChanged,
    /// The rule has [`super::MAX_INSTANCES_OF_HOST`] on the host, or [`super::MAX_INSTANCES`]; further ones are left alone.
    TooMany,
}

impl Change {
    /// Every change.
    pub const ALL: [Self; 8] = [
        Self::Raised,
        Self::Flapping,
        Self::Steady,
        Self::Cleared,
        Self::Exited,
        Self::Gone,
        Self::RuleChanged,
        Self::TooMany,
    ];

    /// Whether the alert needs nobody any longer.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Cleared | Self::Exited | Self::Gone | Self::RuleChanged)
    }

    /// Its name in JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Flapping => "flapping",
            Self::Steady => "steady",
            Self::Cleared => "cleared",
            Self::Exited => "exited",
            Self::Gone => "gone",
            Self::RuleChanged => "rule_changed",
            Self::TooMany => "too_many",
        }
    }
}

/// A change of an alert, with what explains it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertChange {
    /// The alert.
    pub alert: Alert,
    /// What happened.
    pub change: Change,
    /// When, by the time of the snapshot, in µs since 1970 UTC.
    pub at_us: i64,
    /// The value then, in the unit of the measure, where there is one.
    pub value: Option<f64>,
    /// The processes that make the value what it is, those with the largest part first; only where it is raised.
    pub culprits: Vec<Culprit>,
}

impl Alert {
    /// The alert that `raise` began.
    pub(super) fn of(rule: &Rule, host: &HostName, key: &Key, (raised_at_us, raised_by): Raise) -> Self {
        let id = digest(&[
            rule.id.clone(),
            rule.revision.to_string(),
            rule.sentence.clone(),
            host.to_string(),
            format!("{key:?}"),
            raised_at_us.to_string(),
            raised_by.to_string(),
        ]);
        Self {
            id,
            rule: rule.id.clone(),
            revision: rule.revision,
            sentence: rule.sentence.clone(),
            severity: rule.severity,
            host: host.clone(),
            key: key.clone(),
            raised_at_us,
            raised_by,
        }
    }

    /// What on its host it is about, in words; empty for the host itself. A text from the host.
    pub fn instance(&self) -> String {
        self.key.to_string()
    }

    /// Names the instance of the rule, whatever the rule's revision, as hexadecimal digits.
    pub fn instance_id(&self) -> String {
        digest(&[self.rule.clone(), self.host.to_string(), format!("{:?}", self.key)])
    }
}

impl AlertChange {
    /// When what is gone was seen last, in µs since 1970 UTC: where that raised the alert.
    pub fn last_seen_us(&self) -> Option<i64> {
        let Alert { rule, revision, severity, sentence, .. } = &self.alert;
        let rule = Rule::parse(rule, *revision, *severity, sentence).ok()?;
        // The value of an end is no such time, and that of too many is their number.
        let is_open = matches!(self.change, Change::Raised | Change::Flapping | Change::Steady);
        let missed_s = self.value.filter(|_| rule.measure == Measure::Gone && is_open)?;
        Some(self.at_us.saturating_sub((missed_s * 1e6) as i64))
    }

    /// The end of `alert`.
    pub(super) fn end(alert: Alert, change: Change, at_us: i64) -> Self {
        Self { alert, change, at_us, value: None, culprits: Vec::new() }
    }
}

impl From<Told> for Change {
    fn from(told: Told) -> Self {
        match told {
            Told::Raised => Self::Raised,
            Told::Cleared => Self::Cleared,
            Told::Flapping => Self::Flapping,
            Told::Steady => Self::Steady,
        }
    }
}

fn digest(parts: &[String]) -> String {
    HEXLOWER.encode(&Sha256::digest(parts.join("\n"))[..ID_BYTES])
}
