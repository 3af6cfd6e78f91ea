//! How one control key follows another: the older one signs the public half of the newer one.
//!
//! Signed is this text, in UTF-8, each line ended by a line feed:
//!
//! ```text
//! fleetps-control-key-1
//! the public half of the older key
//! the public half of the newer key
//! ```
//!
//! Every frame carries the last few successions, so a host that was away learns the newer key with the first frame that
//! it hears, in whichever way that comes. [`trusts`] is the only rule.

use data_encoding::BASE64URL_NOPAD;
use nkeys::{KeyPair, KeyPairType};
use serde::{Deserialize, Serialize};

const VERSION: &str = "fleetps-control-key-1";
/// The most that a frame carries, some 3 KB: a key that changes every quarter is found after four years.
pub const MAX_SUCCESSIONS: usize = 16;

/// That one key follows another, in the word of the older one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Succession {
    older: String,
    newer: String,
    signature: String,
}

impl Succession {
    /// Says that `newer`, the public half of a control key, follows `older`.
    ///
    /// # Errors
    /// When `older` has no private half.
    pub fn sign(older: &KeyPair, newer: &str) -> Result<Self, nkeys::error::Error> {
        let (public, newer) = (older.public_key(), newer.to_owned());
        let signature = BASE64URL_NOPAD.encode(&older.sign(text(&public, &newer).as_bytes())?);
        Ok(Self { older: public, newer, signature })
    }

    /// The public half of the older key.
    pub(super) fn older(&self) -> &str {
        &self.older
    }

    fn is_genuine(&self) -> bool {
        let verified = || {
            let signature = BASE64URL_NOPAD.decode(self.signature.as_bytes()).ok()?;
            let key = KeyPair::from_public_key(&self.older).ok()?;
            key.verify(text(&self.older, &self.newer).as_bytes(), &signature).ok()
        };
        is_control_key(&self.newer) && verified().is_some()
    }
}

/// Whether `text` is the public half of a control key. It is of a type that no broker lets in as a login.
pub fn is_control_key(text: &str) -> bool {
    KeyPair::from_public_key(text)
        .is_ok_and(|key| key.key_pair_type() == KeyPairType::Operator && key.public_key() == text)
}

fn text(older: &str, newer: &str) -> String {
    [VERSION, older, newer].into_iter().flat_map(|line| [line, "\n"]).collect()
}

/// Whether a host that trusts `pinned` trusts `key`: it is the same one, or follows it, directly or over others. Of the
/// successions the first [`MAX_SUCCESSIONS`] count: whoever makes up a thousand has none of them verified.
pub(super) fn trusts(pinned: &str, key: &str, successions: &[Succession]) -> bool {
    let successions = &successions[..successions.len().min(MAX_SUCCESSIONS)];
    let mut trusted = pinned;
    // Each step takes one succession, so a circle ends.
    for _ in 0..=successions.len() {
        if trusted == key {
            return true;
        }
        let next = successions.iter().find(|next| next.older == trusted && next.is_genuine());
        match next {
            Some(next) => trusted = &next.newer,
            None => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follows(older: &KeyPair, newer: &KeyPair) -> Succession {
        Succession::sign(older, &newer.public_key()).unwrap()
    }

    #[test]
    fn a_key_is_trusted_that_follows_over_others_in_the_word_of_each() {
        let keys: Vec<_> = (0..4).map(|_| KeyPair::new_operator()).collect();
        let names: Vec<_> = keys.iter().map(KeyPair::public_key).collect();
        let chain: Vec<_> = keys.windows(2).map(|pair| follows(&pair[0], &pair[1])).collect();
        assert!(trusts(&names[0], &names[0], &[]) && trusts(&names[0], &names[3], &chain));
        assert!(trusts(&names[2], &names[3], &chain));
        assert!(!trusts(&names[3], &names[0], &chain), "an older key is trusted no longer");
        assert!(!trusts(&names[0], &names[3], &chain[1..]), "one is missing");
        let stranger = KeyPair::new_operator();
        let forged = Succession { older: names[0].clone(), ..follows(&stranger, &stranger) };
        assert!(!trusts(&names[0], &stranger.public_key(), &[forged]));
        let no_control_key = Succession::sign(&keys[0], &KeyPair::new_user().public_key()).unwrap();
        assert!(!trusts(&names[0], &no_control_key.newer, std::slice::from_ref(&no_control_key)));
    }

    #[test]
    fn a_circle_ends() {
        let (one, other) = (KeyPair::new_operator(), KeyPair::new_operator());
        let circle = [follows(&one, &other), follows(&other, &one)];
        assert!(!trusts(&one.public_key(), &KeyPair::new_operator().public_key(), &circle));
        assert!(trusts(&one.public_key(), &other.public_key(), &circle));
    }
}
