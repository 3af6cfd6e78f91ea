//! Rate limits for sign-ins and requests. They delay, and never lock an account.

use std::{
    fmt,
    hash::{BuildHasher, Hash, RandomState},
    net::IpAddr,
    num::NonZeroU32,
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    state::keyed::DashMapStateStore,
};

/// The number of counters: names and addresses are an attacker's choice, and a counter for each would fill the memory.
/// Two keys that share a counter share its attempts; which ones do depends on a secret that is new at every start.
const PLACES: u64 = 1 << 14;

/// Tries with one account: five at once, ten in any minute.
const ACCOUNT: (NonZeroU32, Duration) = (NonZeroU32::new(5).expect("five"), Duration::from_secs(12));
/// Tries from a browser that has signed in to the account before: as many as the account's own.
const BROWSER: (NonZeroU32, Duration) = ACCOUNT;
/// Tries from one network, where more than one person may be: twenty at once, then one every two seconds.
const NETWORK: (NonZeroU32, Duration) = (NonZeroU32::new(20).expect("twenty"), Duration::from_secs(2));

/// Counts tries to sign in.
#[derive(Debug)]
pub(super) struct Tries {
    by_account: Throttle,
    by_browser: Throttle,
    by_network: Throttle,
}

impl Default for Tries {
    fn default() -> Self {
        Self {
            by_account: Throttle::new(ACCOUNT.0, ACCOUNT.1),
            by_browser: Throttle::new(BROWSER.0, BROWSER.1),
            by_network: Throttle::new(NETWORK.0, NETWORK.1),
        }
    }
}

impl Tries {
    /// Counts one attempt with `account` from an address. An attempt from a known browser counts for that browser
    /// alone, so that attempts elsewhere do not block it.
    ///
    /// # Errors
    /// The time to wait, when there have been too many.
    pub(super) fn check(&self, account: &str, browser: Option<&str>, from: IpAddr) -> Result<(), Duration> {
        if let Some(browser) = browser {
            return self.by_browser.check(browser);
        }
        self.by_network.check(network(from))?;
        self.by_account.check(account)
    }
}

/// Counts by key.
pub(super) struct Throttle {
    limiter: RateLimiter<u64, DashMapStateStore<u64>, DefaultClock>,
    hasher: RandomState,
}

impl Throttle {
    /// Lets `burst` through at once, then one every `period`.
    pub(super) fn new(burst: NonZeroU32, period: Duration) -> Self {
        // The library does not accept a period of zero, which is no useful limit.
        let quota = Quota::with_period(period).unwrap_or(Quota::per_second(burst)).allow_burst(burst);
        Self { limiter: RateLimiter::dashmap(quota), hasher: RandomState::new() }
    }

    /// Counts one try.
    ///
    /// # Errors
    /// The time to wait, when there have been too many.
    pub(super) fn check(&self, key: impl Hash) -> Result<(), Duration> {
        let place = self.hasher.hash_one(key) % PLACES;
        let clock = self.limiter.clock();
        self.limiter.check_key(&place).map_err(|until| until.wait_time_from(clock.now()))
    }
}

impl fmt::Debug for Throttle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Throttle").field("places", &self.limiter.len()).finish()
    }
}

/// The part of an address that one customer of a provider has: with IPv6, 64 bits are everybody's own.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_none() => {
            IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into())
        }
        other => other.to_canonical(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIVE: NonZeroU32 = NonZeroU32::new(5).unwrap();

    #[test]
    fn a_thousand_tries_get_as_many_through_as_one_key_may_and_others_are_not_in_the_way() {
        let throttle = Throttle::new(FIVE, Duration::from_secs(12));
        let through = (0..1000).filter(|_| throttle.check("anna").is_ok()).count();
        assert_eq!(through, 5);
        let wait = throttle.check("anna").unwrap_err();
        assert!(wait <= Duration::from_secs(12), "{wait:?}");
        assert!(throttle.check("bert").is_ok() || throttle.check("carl").is_ok());
    }

    #[test]
    fn a_hundred_thousand_names_take_a_bounded_place() {
        let throttle = Throttle::new(FIVE, Duration::from_secs(12));
        for name in 0..100_000 {
            let _ = throttle.check(name);
        }
        assert!(throttle.limiter.len() as u64 <= PLACES);
    }

    #[test]
    fn all_addresses_of_one_customer_count_as_one() {
        let network = |text: &str| super::network(text.parse().unwrap()).to_string();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
    }
}
