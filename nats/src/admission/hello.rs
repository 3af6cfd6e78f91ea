//! The handshake of a host and the fleet right after it connected: whether the host is to rotate its key, and its next
//! key.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use nkeys::{KeyPair, KeyPairType};
use serde::{Deserialize, Serialize};

use crate::{
    HostName,
    bucket::{Bucket, BucketError, Entry},
    hosts::{Admission, HostRecord},
};

/// Hellos of one host that are answered at once, and in a second over a longer time. An agent says one or two after it
/// connected; each reads the host's record, and one with a key writes it.
const AT_ONCE: f64 = 50.0;
const PER_S: f64 = 5.0;
/// Keys of one host: the one in use, and what it announced before the first use of a next one. A host announces one, and
/// another where it did not learn that the first was accepted.
const MAX_KEYS: usize = 4;
/// Hosts with a count of their own. When it is full, all are counted anew.
const MAX_HOSTS: usize = 100_000;

/// Bounds how often each host says hello.
#[derive(Debug, Default)]
pub(super) struct Hellos {
    /// How many are left to each host, and since when.
    hosts: Mutex<HashMap<HostName, (f64, Instant)>>,
}

impl Hellos {
    /// Whether one more hello of `host` is to be answered.
    pub(super) fn may(&self, host: &HostName, now: Instant) -> bool {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= MAX_HOSTS && !hosts.contains_key(host) {
            hosts.clear();
        }
        let (left, since) = hosts.entry(host.clone()).or_insert((AT_ONCE, now));
        *left = (*left + now.saturating_duration_since(*since).as_secs_f64() * PER_S).min(AT_ONCE);
        *since = now;
        let may = *left >= 1.0;
        if may {
            *left -= 1.0;
        }
        may
    }
}

/// A host's first word.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The public half of the key that it wants to use from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_key: Option<String>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The host is to make a new key and to announce it.
    pub rotate: bool,
    /// The key that was announced is good from now on.
    pub accepted: bool,
}

/// Answers what `host` said; the broker has checked that it is this host.
pub(super) async fn welcome(
    hosts: &Bucket<HostRecord>,
    host: &HostName,
    hello: Hello,
) -> Result<Welcome, BucketError> {
    let nothing = Welcome { rotate: false, accepted: false };
    let known = hosts.get(host.as_str()).await?;
    // The agent of the broker's own machine is known by the broker's configuration alone.
    let Some(Entry { value: record, revision }) = known else { return Ok(nothing) };
    if record.admission != Admission::Admitted {
        return Ok(nothing);
    }
    let Some(next) = hello.next_key else { return Ok(Welcome { rotate: record.rotate, ..nothing }) };
    let is_key = KeyPair::from_public_key(&next).is_ok_and(|key| key.key_pair_type() == KeyPairType::User);
    if !is_key || record.keys.first() == Some(&next) {
        return Ok(nothing);
    }
    let changed = HostRecord { keys: with_next(&record.keys, next), ..record };
    // Where the record was changed meanwhile, the host asks again at its next connection.
    let accepted = hosts.update(host.as_str(), &changed, revision).await?;
    Ok(Welcome { accepted, ..nothing })
}

/// The present key, the next one, and those announced earlier, the latest first. A hello that arrives late or twice
/// displaces none of them, so the host may use whichever it kept; its first use ends all others.
fn with_next(keys: &[String], next: String) -> Vec<String> {
    let present = keys.first().cloned();
    let earlier: Vec<_> = keys.iter().skip(1).filter(|key| **key != next).cloned().collect();
    present.into_iter().chain([next]).chain(earlier).take(MAX_KEYS).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_host_that_says_hello_all_the_time_is_answered_a_few_times_a_second() {
        let (hellos, start) = (Hellos::default(), Instant::now());
        let (loud, quiet): (HostName, HostName) = ("loud".parse().unwrap(), "quiet".parse().unwrap());
        let answered = |second| {
            let now = start + Duration::from_secs(second);
            (0..1000).filter(|_| hellos.may(&loud, now)).count()
        };
        assert_eq!([answered(0), answered(1), answered(1), answered(3)], [50, 5, 0, 10]);
        assert!(hellos.may(&quiet, start));
    }

    #[test]
    fn an_announced_key_displaces_no_other_until_there_are_four() {
        let mut keys = vec!["K1".to_owned()];
        let mut announced = |next: &str| {
            keys = with_next(&keys, next.to_owned());
            keys.join(" ")
        };
        assert_eq!(announced("K2"), "K1 K2");
        assert_eq!(announced("K3"), "K1 K3 K2");
        assert_eq!(announced("K2"), "K1 K2 K3");
        assert_eq!(announced("K4"), "K1 K4 K2 K3");
        assert_eq!(announced("K5"), "K1 K5 K4 K2");
    }
}
