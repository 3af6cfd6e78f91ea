//! Requests over HTTP that a host signs with its key: how they are signed, and how a signature is checked.
//!
//! A host that cannot reach the broker sends the same snapshots over HTTP ([`INGEST`]). The host signs each request with the key
//! that it would answer the broker's challenge with, and the key never crosses the network, so a proxy that ends TLS can read a
//! request, but not make or change one. The signature covers the body's hash and not the body, so a server knows who sends
//! before it reads any of that. One secret does cross: the enrolment token in the body of a first [`ENROL`]. A proxy that ends
//! TLS could enrol another host with it, so behind one a token is for one use, or the host waits for approval.
//!
//! Signed is this text, in UTF-8, each line ended by a line feed. A line whose header is absent is empty:
//!
//! ```text
//! fleetps-signed-1
//! POST
//! the path, as in /api/v1/ingest
//! Fp-Host      the host's name
//! Fp-Key       its public key, an nkey of a user
//! Fp-Time      when it was signed, in µs since 1970 by the host's clock, which may be off by any time
//! Fp-Run       of a snapshot: its run
//! Fp-Seq       of a snapshot: its sequence within the run
//! Fp-Age       of a snapshot: its age in µs by the host's monotonic clock, where that is known
//! Fp-After     of a snapshot: what the server asked for, the sequence of the host's last message in the stream; 0 at first
//! Fp-Body      the SHA-256 of the body, in hexadecimal
//! ```
//!
//! The signature (ed25519) is in `Fp-Signature`, as URL-safe Base64 without padding. Numbers have no sign but a minus, and no
//! zeros before them.

use std::{str::FromStr, time::Duration};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use nkeys::{KeyPair, KeyPairType};
use sha2::{Digest, Sha256};

use crate::{HostName, now_us};

/// Where snapshots are posted.
pub const INGEST: &str = "/api/v1/ingest";
/// Where a host asks to be admitted, with an enrolment token or without.
pub const ENROL: &str = "/api/v1/enrol";
/// Where an admitted host announces its next key.
pub const HELLO: &str = "/api/v1/hello";
/// Where an admitted host hears what is asked of it ([`crate::exchange`]).
pub const EXCHANGE: &str = "/api/v1/exchange";
/// Where an admitted host posts snapshots for those who watch, between those of the stream.
pub const SHARP: &str = "/api/v1/sharp";

const VERSION: &str = "fleetps-signed-1";
/// The header with the signature.
pub const SIGNATURE: &str = "fp-signature";
/// The header with the revision of the last settings that a host believed, 0 for none. It is not signed: it only spares an
/// answer the settings that the host has.
pub const SETTINGS: &str = "fp-settings";
/// The header with the host's name.
pub const HOST: &str = "fp-host";
const KEY: &str = "fp-key";
const TIME: &str = "fp-time";
const RUN: &str = "fp-run";
const SEQUENCE: &str = "fp-seq";
const AGE: &str = "fp-age";
const AFTER: &str = "fp-after";
const BODY: &str = "fp-body";
/// As long as a snapshot's run may be.
const MAX_RUN_BYTES: usize = 64;

/// What a host says of a request that it signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRequest {
    /// The path.
    pub path: String,
    /// The host that speaks, as it says; the signature shows only that the sender has the key.
    pub host: HostName,
    /// The public half of the key.
    pub key: String,
    /// When it was signed, in µs since 1970 UTC by the host's clock.
    pub time_us: i64,
    /// The snapshot in the body, where it is one.
    pub label: Option<Label>,
    /// The SHA-256 of the body.
    pub body: [u8; 32],
}

/// What a host says of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The run: up to 64 visible characters of ASCII.
    pub run: String,
    /// The sequence within the run.
    pub sequence: u64,
    /// How old the snapshot is when it is sent.
    pub age: Option<Duration>,
    /// The sequence of the host's last message in the stream, as far as the host knows; 0 for none.
    pub after: u64,
}

/// A request is not signed as it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSigned {
    /// A header is missing, or has another form.
    #[error("the header {0} is missing or cannot be read")]
    Header(&'static str),
    /// The signature is not the key's.
    #[error("the signature is not that of the key")]
    Signature,
}

/// The hash of a body, as it is signed.
pub fn body_hash(body: &[u8]) -> [u8; 32] {
    Sha256::digest(body).into()
}

impl SignedRequest {
    /// A request of `host` to `path`, to be signed now with `key`.
    pub fn new(path: &str, host: &HostName, key: &KeyPair, label: Option<Label>, body: &[u8]) -> Self {
        let (path, host, key) = (path.to_owned(), host.clone(), key.public_key());
        Self { path, host, key, time_us: now_us(), label, body: body_hash(body) }
    }

    /// The headers of the request, with the signature.
    ///
    /// # Errors
    /// When `key` has no private half.
    pub fn sign(&self, key: &KeyPair) -> Result<Vec<(&'static str, String)>, nkeys::error::Error> {
        let signature = key.sign(self.text().as_bytes())?;
        let mut headers: Vec<_> = self.headers().into_iter().filter(|(_, value)| !value.is_empty()).collect();
        headers.push((SIGNATURE, BASE64URL_NOPAD.encode(&signature)));
        Ok(headers)
    }

    /// Reads a request to `path`, whose headers `header` knows by name. The signature is not checked yet.
    ///
    /// # Errors
    /// When a header is missing or cannot be read.
    pub fn read<'a>(path: &str, header: impl Fn(&str) -> Option<&'a str>) -> Result<Self, NotSigned> {
        let text = |name| header(name).ok_or(NotSigned::Header(name));
        let label = match header(RUN) {
            None => None,
            Some(run) => {
                let is_run = run.len() <= MAX_RUN_BYTES && run.bytes().all(|byte| byte.is_ascii_graphic());
                let run = Some(run).filter(|run| !run.is_empty() && is_run).ok_or(NotSigned::Header(RUN))?;
                let age = header(AGE).map(|age| number(AGE, age).map(Duration::from_micros)).transpose()?;
                Some(Label {
                    run: run.to_owned(),
                    sequence: number(SEQUENCE, text(SEQUENCE)?)?,
                    age,
                    after: number(AFTER, text(AFTER)?)?,
                })
            }
        };
        let body = HEXLOWER.decode(text(BODY)?.as_bytes()).ok().and_then(|hash| hash.try_into().ok());
        Ok(Self {
            path: path.to_owned(),
            host: text(HOST)?.parse().map_err(|_| NotSigned::Header(HOST))?,
            key: text(KEY)?.to_owned(),
            time_us: number(TIME, text(TIME)?)?,
            label,
            body: body.ok_or(NotSigned::Header(BODY))?,
        })
    }

    /// Whether the holder of the key has signed this request.
    ///
    /// # Errors
    /// When `signature` is another one, or the key is no user's.
    pub fn verify(&self, signature: Option<&str>) -> Result<(), NotSigned> {
        let key = KeyPair::from_public_key(&self.key).map_err(|_| NotSigned::Header(KEY))?;
        // As the key itself writes it, so that one key has one spelling.
        if key.key_pair_type() != KeyPairType::User || key.public_key() != self.key {
            return Err(NotSigned::Header(KEY));
        }
        let signature = signature.ok_or(NotSigned::Header(SIGNATURE))?;
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).map_err(|_| NotSigned::Signature)?;
        key.verify(self.text().as_bytes(), &signature).map_err(|_| NotSigned::Signature)
    }

    fn text(&self) -> String {
        let lines = self.headers();
        let values = lines.iter().map(|(_, value)| value.as_str());
        let lines = [VERSION, "POST", &self.path].into_iter().chain(values);
        lines.flat_map(|line| [line, "\n"]).collect()
    }

    /// The headers in the order in which they are signed; those that are absent are empty.
    fn headers(&self) -> [(&'static str, String); 8] {
        let of_label = |value: fn(&Label) -> String| self.label.as_ref().map(value).unwrap_or_default();
        let age = |label: &Label| label.age.map(|age| age.as_micros().to_string()).unwrap_or_default();
        [
            (HOST, self.host.to_string()),
            (KEY, self.key.clone()),
            (TIME, self.time_us.to_string()),
            (RUN, of_label(|label| label.run.clone())),
            (SEQUENCE, of_label(|label| label.sequence.to_string())),
            (AGE, of_label(age)),
            (AFTER, of_label(|label| label.after.to_string())),
            (BODY, HEXLOWER.encode(&self.body)),
        ]
    }
}

/// A number as [`SignedRequest`] writes it.
fn number<T: FromStr + ToString>(name: &'static str, text: &str) -> Result<T, NotSigned> {
    let number: T = text.parse().map_err(|_| NotSigned::Header(name))?;
    if number.to_string() == text { Ok(number) } else { Err(NotSigned::Header(name)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(key: &KeyPair) -> SignedRequest {
        let age = Some(Duration::from_micros(1_500));
        let label = Label { run: "5f0c-run".to_owned(), sequence: 7, age, after: 12 };
        SignedRequest::new(INGEST, &"web-01.example.com".parse().unwrap(), key, Some(label), b"the body")
    }

    /// What a server makes of these headers.
    fn checked(path: &str, headers: &[(&str, String)]) -> Result<SignedRequest, NotSigned> {
        let header =
            |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
        let read = SignedRequest::read(path, header)?;
        read.verify(header(SIGNATURE))?;
        Ok(read)
    }

    #[test]
    fn a_signed_request_is_read_as_it_was_signed() {
        let key = KeyPair::new_user();
        let request = request(&key);
        assert_eq!(checked(INGEST, &request.sign(&key).unwrap()), Ok(request.clone()));
        let plain = SignedRequest { label: None, ..request };
        let plain = SignedRequest { path: ENROL.to_owned(), ..plain };
        assert_eq!(checked(ENROL, &plain.sign(&key).unwrap()), Ok(plain));
    }

    #[test]
    fn a_request_of_another_key_path_or_host_is_not_signed() {
        let (key, other) = (KeyPair::new_user(), KeyPair::new_user());
        let request = request(&key);
        assert_eq!(checked(INGEST, &request.sign(&other).unwrap()), Err(NotSigned::Signature));
        assert_eq!(checked(HELLO, &request.sign(&key).unwrap()), Err(NotSigned::Signature));
        for (name, value) in [
            (HOST, "web-02.example.com"),
            (TIME, "1"),
            (RUN, "5f0c-other"),
            (SEQUENCE, "8"),
            (AGE, "1501"),
            (AFTER, "13"),
            (BODY, &HEXLOWER.encode(&body_hash(b"another"))),
            (KEY, &other.public_key()),
        ] {
            let mut headers = request.sign(&key).unwrap();
            headers.iter_mut().find(|(known, _)| *known == name).unwrap().1 = value.to_owned();
            assert_eq!(checked(INGEST, &headers), Err(NotSigned::Signature), "{name}");
        }
        for (name, value) in [
            (HOST, "a b"),
            (TIME, "01"),
            (RUN, ""),
            (RUN, "a\tb"),
            (SEQUENCE, "+7"),
            (SEQUENCE, "-1"),
            (AGE, "1.5"),
            (AFTER, ""),
            (BODY, "ab"),
            (KEY, "UNOKEY"),
            (KEY, &KeyPair::new_account().public_key()),
        ] {
            let mut headers = request.sign(&key).unwrap();
            headers.iter_mut().find(|(known, _)| *known == name).unwrap().1 = value.to_owned();
            assert_eq!(checked(INGEST, &headers), Err(NotSigned::Header(name)), "{name} {value:?}");
        }
        for name in [HOST, KEY, TIME, SEQUENCE, AFTER, BODY, SIGNATURE] {
            let mut headers = request.sign(&key).unwrap();
            headers.retain(|(known, _)| *known != name);
            assert_eq!(checked(INGEST, &headers), Err(NotSigned::Header(name)));
        }
    }

    proptest! {
        #[test]
        fn one_changed_bit_anywhere_is_found(header in 0_usize..9, place in any::<prop::sample::Index>(), bit in 0_u8..7) {
            let key = KeyPair::new_user();
            let mut headers = request(&key).sign(&key).unwrap();
            let value = &mut headers[header].1;
            let place = place.index(value.len());
            let mut bytes = value.clone().into_bytes();
            bytes[place] ^= 1 << bit;
            *value = String::from_utf8(bytes).unwrap();
            prop_assert!(checked(INGEST, &headers).is_err());
        }

        #[test]
        fn no_header_makes_a_panic(values in prop::collection::vec(".{0,70}", 9)) {
            let names = [HOST, KEY, TIME, RUN, SEQUENCE, AGE, AFTER, BODY, SIGNATURE];
            let headers: Vec<_> = names.into_iter().zip(values).collect();
            prop_assert!(checked(INGEST, &headers).is_err());
        }
    }
}
