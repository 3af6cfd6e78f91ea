//! Which addresses a webhook may reach: a record in the broker must not turn this server into a way into its own network.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use ureq::{
    config::Config,
    http::Uri,
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::NextTimeout,
    },
};

/// IPv4 that is no address of a public host (IANA's special-purpose registry), with multicast and what is reserved.
const NOT_PUBLIC_V4: [(Ipv4Addr, u8); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];
/// Public IPv6 is within this; mapped, local, link-local, translated and multicast addresses are not.
const PUBLIC_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
/// … without special purposes (Teredo among them), documentation, 6to4, which leads to any IPv4, and documentation again.
const NOT_PUBLIC_V6: [(Ipv6Addr, u8); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// Whether an address is one of a public host.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let is_in = |(network, length): &(Ipv4Addr, u8)| contains_v4(*network, *length, address);
            !NOT_PUBLIC_V4.iter().any(is_in)
        }
        IpAddr::V6(address) => {
            let is_in = |(network, length): &(Ipv6Addr, u8)| contains_v6(*network, *length, address);
            is_in(&PUBLIC_V6) && !NOT_PUBLIC_V6.iter().any(is_in)
        }
    }
}

fn contains_v4(network: Ipv4Addr, length: u8, address: Ipv4Addr) -> bool {
    Ipv4Net::new(network, length).is_ok_and(|network| network.contains(&address))
}

fn contains_v6(network: Ipv6Addr, length: u8, address: Ipv6Addr) -> bool {
    Ipv6Net::new(network, length).is_ok_and(|network| network.contains(&address))
}

/// Resolves names, and passes on addresses only where all of them may be reached. The connection is made to the address that
/// was checked, so an answer that changes afterwards changes nothing.
#[derive(Debug)]
pub(super) struct CheckedResolver {
    /// Networks that may be reached although they are not public.
    pub(super) networks: Vec<IpNet>,
}

/// The addresses of a receiver are none that a webhook may reach.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0} is not an address that a webhook may reach; a network of your own is allowed by `notify.networks` in the settings"
)]
pub(super) struct NotAllowed(IpAddr);

impl CheckedResolver {
    fn may_reach(&self, address: IpAddr, is_https: bool) -> bool {
        let address = address.to_canonical();
        // What is not encrypted stays in networks of one's own.
        (is_https && is_public(address)) || self.networks.iter().any(|network| network.contains(&address))
    }
}

impl Resolver for CheckedResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let addresses = DefaultResolver::default().resolve(uri, config, timeout)?;
        let is_https = uri.scheme_str() == Some("https");
        let refused =
            addresses.iter().map(|address| address.ip()).find(|address| !self.may_reach(*address, is_https));
        match refused {
            Some(address) => Err(ureq::Error::Other(Box::new(NotAllowed(address)))),
            None => Ok(addresses),
        }
    }
}

/// Why an address of a receiver is never reached, as far as that is known before its name is looked up.
pub(super) fn obstacle(url: &str, networks: &[IpNet]) -> Option<String> {
    let uri = parse_url(url)?;
    let is_https = uri.scheme_str() == Some("https");
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(address) => {
            let resolver = CheckedResolver { networks: networks.to_vec() };
            (!resolver.may_reach(address, is_https)).then(|| NotAllowed(address).to_string())
        }
        Err(_) if !is_https && networks.is_empty() => Some(
            "without https only networks of your own are reached, and `notify.networks` in the settings allows none".to_owned(),
        ),
        Err(_) => None,
    }
}

/// An address of a receiver, with what could mean two things refused.
pub(super) fn parse_url(text: &str) -> Option<Uri> {
    let uri = Uri::from_str(text).ok()?;
    let authority = uri.authority()?;
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    let is_plain = text.len() <= 2_000 && text.bytes().all(|byte| byte.is_ascii_graphic());
    // A name in front of the host is taken for the host by some readers.
    (is_web && is_plain && !authority.as_str().contains('@') && !authority.host().is_empty()).then_some(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_public() {
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "2606:4700::1111",
            "2a00::1",
        ] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn what_is_never_reached_is_known_before_anything_is_sent() {
        let own: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        for (url, networks, is_reached) in [
            ("https://hooks.example.com/x", &[][..], true),
            ("http://hooks.example.com/x", &[], false),
            ("http://hooks.example.com/x", &own, true),
            ("https://127.0.0.1:9/x", &own, false),
            ("https://[::1]/x", &[], false),
            ("http://10.1.2.3/x", &own, true),
            ("https://10.1.2.3/x", &[], false),
            ("https://1.1.1.1/x", &[], true),
        ] {
            assert_eq!(obstacle(url, networks).is_none(), is_reached, "{url} {networks:?}");
        }
    }

    #[test]
    fn a_network_of_ones_own_is_allowed_by_name_also_as_a_mapped_address() {
        let resolver = CheckedResolver { networks: vec!["10.0.0.0/8".parse().unwrap()] };
        assert!(resolver.may_reach("10.1.1.1".parse().unwrap(), false));
        assert!(resolver.may_reach("::ffff:10.1.1.1".parse().unwrap(), true));
        assert!(!resolver.may_reach("127.0.0.1".parse().unwrap(), true));
        assert!(resolver.may_reach("1.1.1.1".parse().unwrap(), true));
        assert!(!resolver.may_reach("1.1.1.1".parse().unwrap(), false), "without TLS over the Internet");
    }
}
