//! Secrets for clients: session ids, API tokens, one-time links. The server stores their hashes only, so a reader of
//! its buckets cannot use them.

use std::fmt;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use sha2::{Digest, Sha256};

/// One of 2^256 cannot be guessed.
const BYTES: usize = 32;

/// A secret of 256 bits.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; BYTES]);

impl Secret {
    /// A new one.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn new() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// The one that [`Secret::text`] wrote.
    pub fn read(text: &str) -> Option<Self> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// The secret as text for its owner: 43 letters, digits, `-` and `_`.
    pub fn text(&self) -> String {
        BASE64URL_NOPAD.encode(&self.0)
    }

    /// The key under which the server keeps what belongs to it.
    pub fn key(&self) -> String {
        self.derive("key")
    }

    /// Another secret that follows from this one for `purpose`, and from which this one does not follow.
    pub fn derive(&self, purpose: &str) -> String {
        HEXLOWER.encode(&Sha256::new().chain_update(self.0).chain_update(purpose).finalize())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_back_and_never_shown_or_repeated() {
        let (one, other) = (Secret::new().unwrap(), Secret::new().unwrap());
        assert_ne!(one, other);
        assert_eq!(Secret::read(&one.text()), Some(one.clone()));
        assert_eq!(one.key(), one.derive("key"));
        assert_ne!(one.key(), one.derive("form"));
        assert!(!format!("{one:?}").contains(&one.text()));
        for bad in ["", "AAAA", "ä", &format!("{}A", one.text())] {
            assert_eq!(Secret::read(bad), None, "{bad}");
        }
    }
}
