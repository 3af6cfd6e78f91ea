//! Passwords: which are taken, and how they are kept: as Argon2id, 19 MiB and two passes each (the least that OWASP
//! names, and the library's default).

use std::{
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use argon2::{Argon2, PasswordHasher, PasswordVerifier, password_hash::phc::PasswordHash};

use super::network;
use crate::{
    metrics::Bounded,
    shares::{Bounds, Shares},
};

/// The 3,000 most common of at least eight characters in the list of Royce Williams that Django has (BSD licence).
const COMMON: &str = include_str!("common_passwords.txt");
/// Characters that a password has at least: NIST and OWASP.
const MIN_CHARACTERS: usize = 8;
/// Bytes that a password has at most: more than any passphrase, and nothing that costs to hash.
const MAX_BYTES: usize = 1024;
/// Hashes computed at once: 76 MiB and four processors at most, and a few seconds' worth that wait. Networks take turns, and
/// half is left to others than the one that tries the most; who sends that many at once is an attacker.
const BOUNDS: Bounds = Bounds {
    what: "passwords being checked",
    most: 4,
    of_a_person: 2,
    waiting: 64,
    waiting_of_a_person: 32,
    wait: Duration::from_secs(20),
};
/// A hash of 32 random bytes, which belongs to no password: it is checked for unknown names.
const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$F1XWFuyMAxtTUME1d/p71A$6OBUZctIXkCy8jeo8b9kvB9IPzFi2p8rWmFSD/jOHZ8";

/// Computes hashes, a few at a time.
#[derive(Debug)]
pub(super) struct Passwords {
    turns: Shares,
    computed: AtomicU64,
}

/// No hash could be computed now.
#[derive(Debug, thiserror::Error)]
#[error("too many passwords are being checked just now")]
pub struct Unavailable;

impl Default for Passwords {
    fn default() -> Self {
        Self { turns: Shares::new(BOUNDS), computed: AtomicU64::new(0) }
    }
}

impl Passwords {
    /// How full the room for hashes is.
    pub(super) fn bounded(&self) -> Vec<Bounded> {
        self.turns.bounded("password-checks", Some("password-checks-waiting"))
    }

    /// The hash of a password that came from an address, with a salt of its own, as a PHC string.
    ///
    /// # Errors
    /// When too many wait, or the system has no random numbers.
    pub(super) async fn hash(&self, password: String, from: IpAddr) -> Result<String, Unavailable> {
        let hash = self.compute(from, move || Argon2::default().hash_password(password.as_bytes())).await?;
        hash.map(|hash| hash.to_string()).map_err(|_| Unavailable)
    }

    /// Whether `password`, sent from an address, has this hash. Without a hash the answer is no, after the same work,
    /// so that the time of an answer does not tell which names exist.
    ///
    /// # Errors
    /// When too many wait.
    pub(super) async fn verify(
        &self,
        password: String,
        hash: Option<String>,
        from: IpAddr,
    ) -> Result<bool, Unavailable> {
        self.compute(from, move || {
            let is_known = hash.is_some();
            let parsed = PasswordHash::new(hash.as_deref().unwrap_or(NOBODYS));
            let is_right = password.len() <= MAX_BYTES
                && parsed
                    .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
            is_right && is_known
        })
        .await
    }

    /// How many hashes were computed so far.
    pub(super) fn computed(&self) -> u64 {
        self.computed.load(Ordering::Relaxed)
    }

    async fn compute<T: Send + 'static>(
        &self,
        from: IpAddr,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        let turn = self.turns.take(&network(from).to_string()).await.map_err(|_| Unavailable)?;
        self.computed.fetch_add(1, Ordering::Relaxed);
        let computing = tokio::task::spawn_blocking(move || {
            // Also when who asked is gone: until then it takes its processor.
            let _turn = turn;
            work()
        });
        computing.await.map_err(|_| Unavailable)
    }
}

/// Why a password is refused, in words for the person who chose it.
pub(super) fn problem(password: &str, user: &str) -> Option<&'static str> {
    let lower = password.to_lowercase();
    if password.chars().count() < MIN_CHARACTERS {
        Some("it has fewer than 8 characters")
    } else if password.len() > MAX_BYTES {
        Some("it is longer than 1,024 bytes")
    } else if lower == user || lower == "fleetps1" || COMMON.lines().any(|common| common == lower) {
        Some("it is too common")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use futures_util::FutureExt;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn short_long_and_common_passwords_are_not_taken_and_any_other_is() {
        let long = "ä".repeat(513);
        for bad in ["", "seven77", "password", "PassWord1", "qwertyuiop", "annelies", long.as_str()] {
            assert!(problem(bad, "annelies").is_some(), "{bad}");
        }
        for good in ["eight…88", "correct horse battery staple", "пароль пароль", &long[2..]] {
            assert_eq!(problem(good, "annelies"), None, "{good}");
        }
        assert_eq!(COMMON.lines().count(), 3000);
    }

    #[tokio::test]
    async fn a_password_matches_its_own_hash_only_and_an_unknown_name_costs_as_much_as_a_known_one() {
        let passwords = Passwords::default();
        let hash = passwords.hash("correct horse".to_owned(), HERE).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hash, passwords.hash("correct horse".to_owned(), HERE).await.unwrap());
        let before = passwords.computed();
        for (password, hash, expected) in [
            ("correct horse", Some(hash.clone()), true),
            ("correct horsE", Some(hash.clone()), false),
            ("correct horse", None, false),
            ("", Some(String::new()), false),
        ] {
            assert_eq!(
                passwords.verify(password.to_owned(), hash, HERE).await.unwrap(),
                expected,
                "{password}"
            );
        }
        assert_eq!(passwords.computed() - before, 4);
    }

    #[tokio::test]
    async fn who_would_have_to_wait_long_is_told_so() {
        let passwords = Passwords::default();
        let mut all: Vec<_> = (0..BOUNDS.of_a_person + BOUNDS.waiting_of_a_person)
            .map(|_| Box::pin(passwords.turns.take("127.0.0.1")))
            .collect();
        let taken: Vec<_> = all.iter_mut().map(|turn| turn.now_or_never()).collect();
        assert!(passwords.hash("correct horse".to_owned(), HERE).await.is_err());
        // A password from another address need not wait for it.
        let elsewhere = IpAddr::from([192, 0, 2, 1]);
        assert!(passwords.hash("correct horse".to_owned(), elsewhere).await.is_ok());
        drop((taken, all));
        assert!(passwords.hash("correct horse".to_owned(), HERE).await.is_ok());
    }
}
