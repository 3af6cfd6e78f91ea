//! Passwords: which are taken, and how they are kept: as Argon2id, 19 MiB and two passes each (the least that OWASP
//! names, and the library's default).

use std::sync::atomic::{AtomicU64, Ordering};

use argon2::{Argon2, PasswordHasher, PasswordVerifier, password_hash::phc::PasswordHash};
use tokio::sync::Semaphore;

/// The 3,000 most common of at least eight characters in the list of Royce Williams that Django has (BSD licence).
const COMMON: &str = include_str!("common_passwords.txt");
/// Characters that a password has at least: NIST and OWASP.
const MIN_CHARACTERS: usize = 8;
/// Bytes that a password has at most: more than any passphrase, and nothing that costs to hash.
const MAX_BYTES: usize = 1024;
/// Hashes computed at once: 76 MiB and four processors at most.
const AT_ONCE: usize = 4;
/// A hash of 32 random bytes, which belongs to no password: what is computed for names that nobody has.
const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$F1XWFuyMAxtTUME1d/p71A$6OBUZctIXkCy8jeo8b9kvB9IPzFi2p8rWmFSD/jOHZ8";
/// Those that wait for their turn; a few seconds' worth, then who asks is told to come again.
const MAX_WAITING: usize = 64;

/// Computes hashes, a few at a time.
#[derive(Debug)]
pub struct Passwords {
    turn: Semaphore,
    waiting: Semaphore,
    computed: AtomicU64,
}

/// No hash could be computed now.
#[derive(Debug, thiserror::Error)]
#[error("too many passwords are being checked just now")]
pub struct Unavailable;

impl Default for Passwords {
    fn default() -> Self {
        Self {
            turn: Semaphore::new(AT_ONCE),
            waiting: Semaphore::new(MAX_WAITING),
            computed: AtomicU64::new(0),
        }
    }
}

impl Passwords {
    /// The hash of a password, with a salt of its own, as a PHC string.
    ///
    /// # Errors
    /// When too many wait, or the system has no random numbers.
    pub async fn hash(&self, password: String) -> Result<String, Unavailable> {
        let hash = self.compute(move || Argon2::default().hash_password(password.as_bytes())).await?;
        hash.map(|hash| hash.to_string()).map_err(|_| Unavailable)
    }

    /// Whether `password` is the one with this hash. Without a hash the answer is no, and takes the same work, so that
    /// nobody learns by the clock which names there are.
    ///
    /// # Errors
    /// When too many wait.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, Unavailable> {
        self.compute(move || {
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
    pub fn computed(&self) -> u64 {
        self.computed.load(Ordering::Relaxed)
    }

    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        let _waiting = self.waiting.try_acquire().map_err(|_| Unavailable)?;
        let _turn = self.turn.acquire().await.map_err(|_| Unavailable)?;
        self.computed.fetch_add(1, Ordering::Relaxed);
        tokio::task::spawn_blocking(work).await.map_err(|_| Unavailable)
    }
}

/// Why a password is not taken, in words for whoever chose it.
pub fn problem(password: &str, user: &str) -> Option<&'static str> {
    let lower = password.to_lowercase();
    if password.chars().count() < MIN_CHARACTERS {
        Some("it has fewer than 8 characters")
    } else if password.len() > MAX_BYTES {
        Some("it is longer than 1,024 bytes")
    } else if lower == user || lower == "fleetps1" || COMMON.lines().any(|common| common == lower) {
        Some("it is one of the first that anybody would try")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let hash = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hash, passwords.hash("correct horse".to_owned()).await.unwrap());
        let before = passwords.computed();
        for (password, hash, expected) in [
            ("correct horse", Some(hash.clone()), true),
            ("correct horsE", Some(hash.clone()), false),
            ("correct horse", None, false),
            ("", Some(String::new()), false),
        ] {
            assert_eq!(passwords.verify(password.to_owned(), hash).await.unwrap(), expected, "{password}");
        }
        assert_eq!(passwords.computed() - before, 4);
    }

    #[tokio::test]
    async fn who_would_have_to_wait_long_is_told_so() {
        let passwords = Passwords::default();
        let all = passwords.waiting.acquire_many(MAX_WAITING as u32).await.unwrap();
        assert!(passwords.hash("correct horse".to_owned()).await.is_err());
        drop(all);
        assert!(passwords.hash("correct horse".to_owned()).await.is_ok());
    }
}
