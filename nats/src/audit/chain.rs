//! How one audit entry follows another.
//!
//! The hash of an entry is the SHA-256, in lower-case hexadecimal, of this JSON array without blanks: `[previous hash,
//! sequence, at_us, who, from, action, host, what, outcome]`. An entry that is changed, left out or moved does not fit
//! its neighbours. The check needs no fleetps.

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{AuditEntry, Outcome};

/// The action of an entry that says which sequences before it have no entry. It has the hash of the last one that is there.
pub const GAP: &str = "audit.gap";
/// The hash before the first entry.
pub const NO_HASH: &str = "";

/// A place in the chain that the next entry can follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its sequence in the stream; 0 before the first.
    pub sequence: u64,
    /// Its hash; [`NO_HASH`] before the first.
    pub hash: String,
}

/// An entry in its place in the chain; as JSON, the message in the stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chained {
    /// Its sequence in the stream.
    pub sequence: u64,
    /// The hash of the entry before it.
    pub previous: String,
    /// Its own hash.
    pub hash: String,
    /// The entry.
    #[serde(flatten)]
    pub entry: AuditEntry,
}

/// A message of the stream is no audit entry.
#[derive(Debug, thiserror::Error)]
pub enum BadMessage {
    /// It cannot be read.
    #[error("it is no JSON of an audit entry")]
    Json(#[from] serde_json::Error),
    /// It says that it is another one.
    #[error("it says that it is entry {said}, but is number {found} in the stream")]
    Sequence {
        /// The sequence that it says it has.
        said: u64,
        /// Where it is.
        found: u64,
    },
}

impl Link {
    /// The place before the first entry.
    pub fn before_the_first() -> Self {
        Self { sequence: 0, hash: NO_HASH.to_owned() }
    }
}

impl Chained {
    /// `entry` right behind `last`.
    pub fn new(last: &Link, entry: AuditEntry) -> Self {
        let unhashed =
            Self { sequence: last.sequence + 1, previous: last.hash.clone(), hash: String::new(), entry };
        Self { hash: unhashed.computed_hash(), ..unhashed }
    }

    /// What follows `last` where the broker has given out the sequences up to `end` to entries that it does not have: it says so.
    pub(super) fn behind_gap(last: &Link, end: u64) -> Self {
        let first = last.sequence.saturating_add(1);
        let entry = AuditEntry {
            at_us: crate::now_us(),
            who: "fleetps".to_owned(),
            from: None,
            action: GAP.to_owned(),
            host: None,
            what: format!(
                "the broker has no entries {first} to {end}: it could not write them, or lost them"
            ),
            outcome: Outcome::Done,
        };
        Self::new(&Link { sequence: end, hash: last.hash.clone() }, entry)
    }

    /// Its place, for the next one.
    pub fn link(&self) -> Link {
        Link { sequence: self.sequence, hash: self.hash.clone() }
    }

    /// The hash that it should have.
    pub fn computed_hash(&self) -> String {
        let Self { sequence, previous, entry, hash: _ } = self;
        let AuditEntry { at_us, who, from, action, host, what, outcome } = entry;
        let hashed = serde_json::to_vec(&(previous, sequence, at_us, who, from, action, host, what, outcome));
        // Texts and numbers always become JSON.
        HEXLOWER.encode(&Sha256::digest(hashed.unwrap_or_default()))
    }

    /// The message in the stream.
    pub fn to_message(&self) -> Vec<u8> {
        // Texts and numbers always become JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads the message with this sequence in the stream.
    ///
    /// # Errors
    /// When it is not an entry; its hashes are not checked here.
    pub fn from_message(payload: &[u8], sequence: u64) -> Result<Self, BadMessage> {
        let chained: Self = serde_json::from_slice(payload)?;
        match chained.sequence == sequence {
            true => Ok(chained),
            false => Err(BadMessage::Sequence { said: chained.sequence, found: sequence }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Outcome;

    fn entry() -> AuditEntry {
        AuditEntry {
            at_us: 1_763_712_000_000_001,
            who: "anna \"x\" ä\n\u{1b}".to_owned(),
            from: Some("2001:db8::1".parse().unwrap()),
            action: "sql".to_owned(),
            host: Some("web-01".parse().unwrap()),
            what: "SELECT '</td>'".to_owned(),
            outcome: Outcome::Refused,
        }
    }

    #[test]
    fn the_hash_is_what_other_programs_compute() {
        let first = Chained::new(&Link::before_the_first(), entry());
        // python3: hashlib.sha256(json.dumps(["", 1, 1763712000000001, "anna \"x\" ä\n\x1b", "2001:db8::1", "sql",
        // "web-01", "SELECT '</td>'", "refused"], separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()
        assert_eq!(first.hash, "01297a2d9899006aa7b84cfa04d397065c5a759f94f49f4f125302196a82ce01");
    }

    #[test]
    fn every_field_counts() {
        let chained = Chained::new(&Link { sequence: 6, hash: "06".to_owned() }, entry());
        assert_eq!((chained.sequence, chained.hash.clone()), (7, chained.computed_hash()));
        let edits: [fn(&mut Chained); 9] = [
            |changed| changed.sequence += 1,
            |changed| changed.previous.push('0'),
            |changed| changed.entry.at_us += 1,
            |changed| changed.entry.who.push('x'),
            |changed| changed.entry.from = None,
            |changed| changed.entry.action.push('x'),
            |changed| changed.entry.host = None,
            |changed| changed.entry.what.clear(),
            |changed| changed.entry.outcome = Outcome::Done,
        ];
        for (number, edit) in edits.into_iter().enumerate() {
            let mut changed = chained.clone();
            edit(&mut changed);
            assert_ne!(changed.computed_hash(), chained.hash, "edit {number} was not noticed");
        }
    }

    #[test]
    fn a_message_reads_back_in_its_own_place_only() {
        let chained = Chained::new(&Link::before_the_first(), entry());
        assert_eq!(Chained::from_message(&chained.to_message(), 1).unwrap(), chained);
        assert!(Chained::from_message(&chained.to_message(), 2).is_err());
        assert!(Chained::from_message(b"{}", 1).is_err());
    }
}
