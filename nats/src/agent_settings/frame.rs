//! A frame: what is sent to one host's agent, signed with the control key of the fleet.
//!
//! Signed is this text, in UTF-8, each line ended by a line feed:
//!
//! ```text
//! fleetps-control-1
//! the kind, as in settings
//! the host's name
//! the public half of the control key
//! the revision
//! the SHA-256 of the body, in hexadecimal
//! ```
//!
//! The signature (ed25519) is URL-safe Base64 without padding. The revision only grows: it is when the frame was signed, in µs
//! since 1970 UTC by the clock of the server that signs, or one more than the former revision where that is more. A host refuses
//! a frame that is no newer than the one it has, so that a frame cannot be replayed, whatever the host's clock says. A command
//! has a ticket for that ([`crate::command`]), and its revision counts for nothing.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use nkeys::KeyPair;
use serde::{Deserialize, Serialize};

use super::succession::{MAX_SUCCESSIONS, Succession, trusts};
use crate::{HostName, now_us, signed::body_hash};

const VERSION: &str = "fleetps-control-1";
/// The longest frame, in bytes, as it travels: two lists of names as long as they may be have a fifth of it.
pub const MAX_FRAME_BYTES: usize = 64 << 10;

/// What a frame asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The settings of an agent: [`AskedOfAgent`](super::AskedOfAgent).
    Settings,
    /// More samples for a while, because somebody watches: [`Watch`](super::Watch).
    Watch,
    /// A command: [`Command`](crate::command::Command).
    Command,
}

/// A frame for one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedFrame {
    kind: Kind,
    host: HostName,
    key: String,
    revision: i64,
    body: String,
    signature: String,
    /// How its key follows older ones, for hosts that trust one of these. Signed by those.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    successions: Vec<Succession>,
}

/// A frame that a host does not believe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotBelieved {
    /// It is no frame, or too long.
    #[error("it is no frame")]
    Shape,
    /// It asks for something else.
    #[error("it is of another kind")]
    Kind,
    /// It is for another host.
    #[error("it is for another host")]
    OtherHost,
    /// It names another key than the one that was pinned, and none that follows that one.
    #[error(
        "it is signed with another key than the one pinned when this host joined, and none that follows it"
    )]
    OtherKey,
    /// The signature is wrong.
    #[error("its signature is wrong")]
    Signature,
    /// It is no newer than the last one.
    #[error("it is older than the one in force")]
    Old,
    /// What it asks for cannot be done.
    #[error("what it asks for cannot be read, or is out of range")]
    Body,
}

impl SignedFrame {
    /// Signs `body` for `host`; `after` is the revision of the host's last frame, 0 for none.
    ///
    /// # Errors
    /// When `key` has no private half.
    pub fn sign(
        kind: Kind,
        host: &HostName,
        after: i64,
        body: String,
        key: &KeyPair,
    ) -> Result<Self, nkeys::error::Error> {
        let revision = now_us().max(after.saturating_add(1));
        let (host, signature, successions) = (host.clone(), String::new(), Vec::new());
        let mut frame = Self { kind, host, key: key.public_key(), revision, body, signature, successions };
        frame.signature = BASE64URL_NOPAD.encode(&key.sign(frame.text().as_bytes())?);
        Ok(frame)
    }

    /// The same with the last of these, by which a host that trusts an older key finds this one.
    #[must_use]
    pub fn with_successions(self, successions: &[Succession]) -> Self {
        let first = successions.len().saturating_sub(MAX_SUCCESSIONS);
        Self { successions: successions[first..].to_vec(), ..self }
    }

    /// Reads a frame; nothing of it is believed yet.
    ///
    /// # Errors
    /// When it is none, or longer than [`MAX_FRAME_BYTES`].
    pub fn read(bytes: &[u8]) -> Result<Self, NotBelieved> {
        let bytes = Some(bytes).filter(|bytes| bytes.len() <= MAX_FRAME_BYTES).ok_or(NotBelieved::Shape)?;
        serde_json::from_slice(bytes).map_err(|_| NotBelieved::Shape)
    }

    /// The frame as it travels.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Texts and a number always become JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What the frame asks of `host`, if the holder of the key with the public half `trusted`, or of one that follows it, has
    /// signed it.
    ///
    /// # Errors
    /// When it is of another kind, for another host, or not signed with such a key.
    pub fn open(&self, kind: Kind, host: &HostName, trusted: &str) -> Result<&str, NotBelieved> {
        if self.kind != kind {
            return Err(NotBelieved::Kind);
        }
        if self.host != *host {
            return Err(NotBelieved::OtherHost);
        }
        if !trusts(trusted, &self.key, &self.successions) {
            return Err(NotBelieved::OtherKey);
        }
        let key = KeyPair::from_public_key(&self.key).map_err(|_| NotBelieved::OtherKey)?;
        let signature =
            BASE64URL_NOPAD.decode(self.signature.as_bytes()).map_err(|_| NotBelieved::Signature)?;
        key.verify(self.text().as_bytes(), &signature).map_err(|_| NotBelieved::Signature)?;
        Ok(&self.body)
    }

    /// What it asks for, unchecked.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Which of a host's frames it is: each has a larger number than the one before.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// What it asks for, unchecked: for the server that signs.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// The public half of the key that it names, unchecked.
    pub fn key(&self) -> &str {
        &self.key
    }

    fn text(&self) -> String {
        let kind = match self.kind {
            Kind::Settings => "settings",
            Kind::Watch => "watch",
            Kind::Command => "command",
        };
        let body = HEXLOWER.encode(&body_hash(self.body.as_bytes()));
        let (host, revision) = (self.host.as_str(), self.revision.to_string());
        [VERSION, kind, host, &self.key, &revision, &body].into_iter().flat_map(|line| [line, "\n"]).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::agent_settings::is_control_key;

    fn host() -> HostName {
        "web-01.example.com".parse().unwrap()
    }

    fn frame(key: &KeyPair) -> SignedFrame {
        SignedFrame::sign(Kind::Settings, &host(), 0, r#"{"interval_ms":500}"#.to_owned(), key).unwrap()
    }

    /// What a host that pinned `key` makes of these bytes.
    fn believed(bytes: &[u8], key: &KeyPair) -> Result<(i64, String), NotBelieved> {
        let frame = SignedFrame::read(bytes)?;
        let body = frame.open(Kind::Settings, &host(), &key.public_key())?;
        Ok((frame.revision(), body.to_owned()))
    }

    #[test]
    fn a_frame_is_believed_by_the_host_that_it_is_for_and_pinned_its_key() {
        let (key, other) = (KeyPair::new_operator(), KeyPair::new_operator());
        let signed = frame(&key);
        assert_eq!(believed(&signed.to_bytes(), &key), Ok((signed.revision(), signed.body().to_owned())));
        assert_eq!(believed(&signed.to_bytes(), &other), Err(NotBelieved::OtherKey));
        assert_eq!(
            signed.open(Kind::Settings, &"web-02".parse().unwrap(), &key.public_key()),
            Err(NotBelieved::OtherHost)
        );
        let forged = SignedFrame { key: key.public_key(), ..frame(&other) };
        assert_eq!(believed(&forged.to_bytes(), &key), Err(NotBelieved::Signature));
        let later = SignedFrame::sign(Kind::Settings, &host(), i64::MAX - 1, String::new(), &key).unwrap();
        assert_eq!(later.revision(), i64::MAX);
        assert!(is_control_key(&key.public_key()) && !is_control_key(&KeyPair::new_user().public_key()));
    }

    /// One change of a frame in bytes, so that the property holds for what an attacker can send, and not for what serde writes.
    fn mutate(mut bytes: Vec<u8>, kind: u8, place: usize, with: u8) -> Vec<u8> {
        let place = place % bytes.len();
        match kind % 5 {
            0 => bytes[place] ^= 1 << (with % 8),
            1 => bytes[place] = with,
            2 => bytes.truncate(place),
            3 => bytes.insert(place, with),
            _ => drop(bytes.remove(place)),
        }
        bytes
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        /// 1,000 keys, each with 100 mutated, forged, or re-targeted frames.
        #[test]
        fn of_a_hundred_thousand_mutated_frames_none_is_believed_that_says_something_else(
            changes in prop::collection::vec((any::<u8>(), any::<usize>(), any::<u8>()), 100),
        ) {
            let (key, other) = (KeyPair::new_operator(), KeyPair::new_operator());
            let signed = frame(&key);
            let meant = (signed.revision(), signed.body().to_owned());
            let retargeted = SignedFrame { host: "web-02".parse().unwrap(), ..signed.clone() };
            let newer = SignedFrame { revision: signed.revision + 1, ..signed.clone() };
            let bodied = SignedFrame { body: r#"{"enabled":false}"#.to_owned(), ..signed.clone() };
            let forged = SignedFrame { key: key.public_key(), ..frame(&other) };
            for (number, (kind, place, with)) in changes.into_iter().enumerate() {
                let from = [&signed, &retargeted, &newer, &bodied, &forged][number % 5];
                if let Ok(found) = believed(&mutate(from.to_bytes(), kind, place, with), &key) {
                    // A blank between two fields says the same.
                    prop_assert_eq!(&found, &meant);
                }
            }
        }

        #[test]
        fn no_bytes_make_a_panic(bytes: Vec<u8>) {
            let _ = SignedFrame::read(&bytes);
        }
    }
}
