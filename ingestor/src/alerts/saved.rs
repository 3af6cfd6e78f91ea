//! Rules that people save: records in the broker's bucket `alert_rules`.

use std::collections::{BTreeMap, BTreeSet};

use async_nats::Client;
use fleetps_nats::bucket::{Bucket, BucketError, Entry};
use serde::{Deserialize, Serialize};

use super::{
    built_in::{BuiltIn, built_in},
    rule::{Rule, Severity},
    sentence::SentenceError,
};

/// The bucket's name; its keys are ids of rules.
pub const ALERT_RULES: &str = "alert_rules";
/// The most rules that are saved: each costs a look at every process of every snapshot.
pub const MAX_RULES: usize = 500;
/// The longest id, in bytes: a few words.
const MAX_ID_BYTES: usize = 64;
/// The longest note, in bytes: what to do, or a link to it.
const MAX_NOTE_BYTES: usize = 2_000;

/// A rule as it is saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedRule {
    /// The rule, as [`Rule::parse`] reads it.
    pub sentence: String,
    /// How bad it is.
    #[serde(default)]
    pub severity: Severity,
    /// Whether it is evaluated.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The groups whose hosts it is for: those in any of them; every host where it is absent.
    #[serde(default)]
    pub groups: Option<BTreeSet<String>>,
    /// What it means and what to do, for who is woken by it.
    #[serde(default)]
    pub note: String,
    /// Who changed it last.
    pub changed_by: String,
    /// When, in µs since 1970 UTC.
    pub changed_at_us: i64,
}

fn yes() -> bool {
    true
}

/// A rule that cannot be saved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRule {
    /// The id is none.
    #[error(
        "{0:?} is not an id: expected letters, digits and `-`, beginning with a letter (at most 64), as in disk-full"
    )]
    Id(String),
    /// The sentence is no rule.
    #[error("{0}")]
    Sentence(#[from] SentenceError),
    /// The note is too long.
    #[error("the note is longer than 2,000 bytes")]
    Note,
}

impl SavedRule {
    /// Checks the record of the rule `id`.
    ///
    /// # Errors
    /// What is wrong with it, and what was expected.
    pub fn check(&self, id: &str) -> Result<Rule, BadRule> {
        let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_id = id.starts_with(|first: char| first.is_ascii_lowercase()) && id.bytes().all(is_word);
        if !is_id || id.len() > MAX_ID_BYTES {
            return Err(BadRule::Id(id.to_owned()));
        }
        if self.note.len() > MAX_NOTE_BYTES {
            return Err(BadRule::Note);
        }
        Ok(self.rule(id, 0)?)
    }

    fn rule(&self, id: &str, revision: u64) -> Result<Rule, SentenceError> {
        let rule = Rule::parse(id, revision, self.severity, &self.sentence)?;
        Ok(Rule { groups: self.groups.clone(), ..rule })
    }
}

/// Opens the bucket.
///
/// # Errors
/// When the broker does not answer or cannot make it.
pub async fn open_rules(client: &Client) -> Result<Bucket<SavedRule>, BucketError> {
    Bucket::open(client, ALERT_RULES).await
}

/// A rule that there is: built in, saved, or both.
#[derive(Debug, Clone)]
pub struct RuleEntry {
    /// Its id.
    pub id: String,
    /// The built-in rule of this id, also where a saved one takes its place.
    pub built_in: Option<&'static BuiltIn>,
    /// The saved rule with its revision.
    pub saved: Option<Entry<SavedRule>>,
    /// The rule, or why the saved sentence is none any longer.
    pub rule: Result<Rule, SentenceError>,
}

impl RuleEntry {
    /// Whether it is evaluated.
    pub fn is_on(&self) -> bool {
        self.rule.is_ok() && self.saved.as_ref().is_none_or(|saved| saved.value.enabled)
    }

    /// The sentence.
    pub fn sentence(&self) -> &str {
        match (&self.saved, self.built_in) {
            (Some(saved), _) => &saved.value.sentence,
            (None, Some(built_in)) => built_in.sentence,
            (None, None) => "",
        }
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        let of_built_in = self.built_in.map(|built_in| built_in.severity);
        self.saved.as_ref().map(|saved| saved.value.severity).or(of_built_in).unwrap_or_default()
    }

    /// What it means and what to do.
    pub fn note(&self) -> &str {
        let of_saved = self.saved.as_ref().map(|saved| saved.value.note.as_str());
        of_saved.filter(|note| !note.is_empty()).or(self.built_in.map(|it| it.note)).unwrap_or_default()
    }

    /// The groups whose hosts it is for; every host where it is absent.
    pub fn groups(&self) -> Option<&BTreeSet<String>> {
        self.saved.as_ref().and_then(|saved| saved.value.groups.as_ref())
    }
}

/// All rules with these saved ones, by id.
pub fn rules_in_force(saved: impl IntoIterator<Item = (String, Entry<SavedRule>)>) -> Vec<RuleEntry> {
    let mut entries: BTreeMap<String, RuleEntry> = BTreeMap::new();
    for it in built_in() {
        let (id, rule) = (it.id.to_owned(), Rule::parse(it.id, 0, it.severity, it.sentence));
        entries.insert(id.clone(), RuleEntry { id, built_in: Some(it), saved: None, rule });
    }
    for (id, entry) in saved.into_iter().take(MAX_RULES) {
        let rule = entry.value.rule(&id, entry.revision);
        let built_in = built_in().iter().find(|it| it.id == id);
        entries.insert(id.clone(), RuleEntry { id, built_in, saved: Some(entry), rule });
    }
    entries.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(sentence: &str) -> SavedRule {
        SavedRule {
            sentence: sentence.to_owned(),
            severity: Severity::Info,
            enabled: true,
            groups: None,
            note: String::new(),
            changed_by: "ada".to_owned(),
            changed_at_us: 1,
        }
    }

    #[test]
    fn a_saved_rule_takes_the_place_of_a_built_in_one_or_switches_it_off() {
        let off = SavedRule { enabled: false, ..saved("silent for 1m") };
        let entries = [
            ("disk-full", Entry { value: saved("disk > 99%"), revision: 7 }),
            ("host-silent", Entry { value: off, revision: 8 }),
            ("java", Entry { value: saved("count < 1 where name:java"), revision: 9 }),
            ("later", Entry { value: saved("telepathy > 5"), revision: 10 }),
        ];
        let entries = rules_in_force(entries.map(|(id, entry)| (id.to_owned(), entry)));
        assert_eq!(entries.len(), built_in().len() + 2);
        let find = |id: &str| entries.iter().find(|entry| entry.id == id).unwrap();
        assert_eq!((find("disk-full").sentence(), find("disk-full").is_on()), ("disk > 99%", true));
        assert_eq!(find("disk-full").rule.as_ref().unwrap().revision, 7);
        assert!(find("disk-full").note().contains("written"));
        assert!(!find("host-silent").is_on() && find("java").is_on() && !find("later").is_on());
        assert_eq!(find("core-pegged").rule.as_ref().unwrap().revision, 0);
    }

    #[test]
    fn what_is_no_rule_is_not_saved() {
        for id in ["", "-", "9lives", "Disk", "a b", "ä", "a/b", &"x".repeat(65)] {
            assert!(matches!(saved("cpu > 1").check(id), Err(BadRule::Id(_))), "{id}");
        }
        assert!(saved("cpu > 1").check("my-rule-2").is_ok());
        let refused = saved("cpu > much").check("my-rule").unwrap_err();
        assert!(refused.to_string().starts_with("column 7:"), "{refused}");
        let long = SavedRule { note: "x".repeat(2_001), ..saved("cpu > 1") };
        assert_eq!(long.check("my-rule"), Err(BadRule::Note));
    }
}
