//! Hosts that wait for approval: limited in total and for each network, so that invented names from one network keep no
//! other network's hosts out.
//!
//! When there is no place left, the host that has waited longest makes room: of the same network when that has its
//! share, else of the network with the most. It asks again within seconds, as every agent does.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

use crate::hosts::{Admission, HostRecord};

/// Hosts that may wait at a time: enough for a rollout, and few enough for a person to read.
pub const MAX_WAITING: usize = 1000;
/// Hosts of one network that may wait at a time: all machines of an IPv4 network of the usual size, which has 254.
pub const MAX_WAITING_OF_NETWORK: usize = 256;
/// Hosts that make room in a second: each is two writes to the broker's disk. Beyond that, new hosts are refused.
const MAX_MOVES_PER_S: u32 = 20;

/// The network of an address: of IPv4 the first 24 bits, the smallest that is routed on the Internet; of IPv6 the first 64,
/// within which one machine may choose its addresses.
pub(super) fn network_of(address: &str) -> String {
    match address.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => {
            let [a, b, c, _] = address.octets();
            format!("{}/24", Ipv4Addr::new(a, b, c, 0))
        }
        Ok(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        Err(_) => "unknown".to_owned(),
    }
}

/// The network that somebody means by `text`: as it is listed (`192.0.2.0/24`, `2001:db8::/64`), or by an address in it.
pub fn network_meant(text: &str) -> Option<String> {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let address: IpAddr = address.parse().ok()?;
    let is_usual = bits.is_none_or(|bits| bits == if address.is_ipv4() { "24" } else { "64" });
    is_usual.then(|| network_of(&address.to_string()))
}

/// The waiting hosts by network.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Since when each host of a network waits, and its name.
    networks: BTreeMap<String, BTreeSet<(i64, String)>>,
    places: HashMap<String, (String, i64)>,
    moves: Moves,
}

impl Waiting {
    /// Takes what the broker keeps of a host now.
    pub(super) fn set(&mut self, host: &str, record: Option<&HostRecord>) {
        if let Some((network, since_us)) = self.places.remove(host)
            && let Some(hosts) = self.networks.get_mut(&network)
        {
            hosts.remove(&(since_us, host.to_owned()));
            if hosts.is_empty() {
                self.networks.remove(&network);
            }
        }
        let Some(record) = record.filter(|record| record.admission == Admission::Waiting) else { return };
        let network = record.network.clone().unwrap_or_else(|| "unknown".to_owned());
        let since_us = record.first_contact_at_us;
        self.networks.entry(network.clone()).or_default().insert((since_us, host.to_owned()));
        self.places.insert(host.to_owned(), (network, since_us));
    }

    /// Forgets all waiting hosts.
    pub(super) fn clear(&mut self) {
        (self.networks, self.places) = Default::default();
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The networks at their limit; when all places are taken, every network with a waiting host.
    pub(super) fn full_networks(&self) -> Vec<String> {
        let is_full = self.len() >= MAX_WAITING;
        let full = self.networks.iter().filter(|(_, hosts)| is_full || hosts.len() >= MAX_WAITING_OF_NETWORK);
        full.map(|(network, _)| network.clone()).collect()
    }

    /// The hosts that must make room before one more of `network` may wait: one, or more where several came at once before
    /// any of them was known here.
    ///
    /// # Errors
    /// When too many made room within this second.
    pub(super) fn in_the_way(&mut self, network: &str, now: Instant) -> Result<Vec<String>, TooFast> {
        let of_network = self.networks.get(network).map(|hosts| (hosts, MAX_WAITING_OF_NETWORK, hosts.len()));
        let largest = self.networks.values().max_by_key(|hosts| hosts.len());
        let of_all = largest.map(|hosts| (hosts, MAX_WAITING, self.places.len()));
        let is_full = |(_, most, waiting): &(_, usize, usize)| waiting >= most;
        let Some((hosts, most, waiting)) = of_network.filter(is_full).or(of_all.filter(is_full)) else {
            return Ok(Vec::new());
        };
        let first = hosts.iter().take(waiting + 1 - most);
        let hosts: Vec<String> =
            first.map(|(_, host)| host.clone()).take_while(|_| self.moves.may(now)).collect();
        if hosts.is_empty() { Err(TooFast) } else { Ok(hosts) }
    }
}

/// Too many made room within this second.
#[derive(Debug)]
pub(super) struct TooFast;

/// Counts who made room within the present second.
#[derive(Debug, Default)]
struct Moves {
    second: Option<Instant>,
    count: u32,
}

impl Moves {
    fn may(&mut self, now: Instant) -> bool {
        let is_over = |second: Instant| now.saturating_duration_since(second) >= Duration::from_secs(1);
        if self.second.is_none_or(is_over) {
            *self = Self { second: Some(now), count: 0 };
        }
        self.count += 1;
        self.count <= MAX_MOVES_PER_S
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_meant_as_it_is_listed_or_by_an_address_in_it() {
        for (given, meant) in [
            ("192.0.2.0/24", Some("192.0.2.0/24")),
            ("192.0.2.7", Some("192.0.2.0/24")),
            ("2001:db8::9/64", Some("2001:db8::/64")),
            ("2001:db8::9", Some("2001:db8::/64")),
            ("192.0.2.0/99", None),
            ("192.0.2.0/64", None),
            ("rubbish", None),
            ("", None),
        ] {
            assert_eq!(network_meant(given).as_deref(), meant, "{given}");
        }
    }

    fn record(network: &str, since_us: i64) -> HostRecord {
        HostRecord {
            keys: vec!["U".to_owned()],
            admission: Admission::Waiting,
            first_contact_at_us: since_us,
            network: Some(network.to_owned()),
            ..HostRecord::in_groups(BTreeSet::new())
        }
    }

    #[test]
    fn a_network_is_what_one_party_usually_has() {
        for (address, network) in [
            ("192.0.2.77", "192.0.2.0/24"),
            ("::ffff:192.0.2.77", "192.0.2.0/24"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("", "unknown"),
        ] {
            assert_eq!(network_of(address), network, "{address}");
        }
    }

    const NOBODY: [&str; 0] = [];

    #[test]
    fn the_longest_waiting_of_the_largest_network_makes_room() {
        let (mut waiting, mut now) = (Waiting::default(), Instant::now());
        let mut asked = |waiting: &mut Waiting, network: &str| {
            now += Duration::from_secs(1);
            waiting.in_the_way(network, now).unwrap()
        };
        for number in 0..MAX_WAITING_OF_NETWORK {
            assert_eq!(asked(&mut waiting, "loud"), NOBODY);
            waiting.set(&format!("loud-{number}"), Some(&record("loud", i64::try_from(number).unwrap())));
        }
        waiting.set("quiet", Some(&record("quiet", -1)));
        waiting.set("loud-late", Some(&record("loud", 1_000)));
        assert_eq!(asked(&mut waiting, "loud"), ["loud-0", "loud-1"], "two came at once");
        waiting.set("loud-late", None);
        assert_eq!(asked(&mut waiting, "loud"), ["loud-0"]);
        assert_eq!(asked(&mut waiting, "quiet"), NOBODY);
        assert_eq!(waiting.full_networks(), ["loud"]);
        for number in waiting.len()..MAX_WAITING {
            let network = format!("n{}", number % 50);
            waiting.set(&format!("h{number}"), Some(&record(&network, 1)));
        }
        assert_eq!(asked(&mut waiting, "quiet"), ["loud-0"]);
        waiting.set("loud-0", None);
        assert_eq!(asked(&mut waiting, "quiet"), NOBODY);
        waiting.set("quiet", Some(&HostRecord { admission: Admission::Admitted, ..record("quiet", 0) }));
        assert_eq!(waiting.len(), MAX_WAITING - 2);
    }

    #[test]
    fn who_makes_room_in_a_second_is_bounded() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        for number in 0..MAX_WAITING_OF_NETWORK {
            waiting.set(&format!("h{number}"), Some(&record("n", 0)));
        }
        let moved = (0..100).filter(|_| waiting.in_the_way("n", now).is_ok()).count();
        assert_eq!(moved, MAX_MOVES_PER_S as usize);
        assert!(waiting.in_the_way("n", now + Duration::from_secs(1)).is_ok());
    }
}
