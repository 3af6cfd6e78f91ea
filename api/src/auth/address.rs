//! Where a request came from, behind proxies too, and whether it may come from there.

use std::net::{IpAddr, Ipv4Addr};

use axum::http::{HeaderMap, header, uri::Authority};
use ipnet::IpNet;

use super::SignInSettings;

/// How a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientInfo {
    /// The client's address.
    pub from: IpAddr,
    /// Whether the browser speaks TLS, to this server or to the proxy before it.
    pub over_tls: bool,
    /// The port that the browser calls this server by, where it names one.
    pub port: Option<u16>,
}

impl ClientInfo {
    /// Over no connection, as in tests.
    pub fn nowhere() -> Self {
        Self { from: IpAddr::V4(Ipv4Addr::UNSPECIFIED), over_tls: false, port: None }
    }
}

/// Which addresses are believed, and which may ask.
#[derive(Debug, Clone, Default)]
pub struct Addresses {
    trusted_proxies: Vec<IpNet>,
    allowed_from: Vec<IpNet>,
    /// Whether this server speaks TLS itself.
    serves_tls: bool,
}

impl Addresses {
    /// As the settings say.
    pub fn new(settings: &SignInSettings, serves_tls: bool) -> Self {
        let (trusted_proxies, allowed_from) =
            (settings.trusted_proxies.clone(), settings.allowed_from.clone());
        Self { trusted_proxies, allowed_from, serves_tls }
    }

    /// How a request with these headers came over a connection with `peer`; without one, as in tests, the unspecified
    /// address stands for it. A proxy adds its own peer at the end of `X-Forwarded-For`, so the list is read from
    /// there, as long as the adding address is trusted.
    pub fn came(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> ClientInfo {
        let from = peer.map_or(ClientInfo::nowhere().from, |address| address.to_canonical());
        let mut came = ClientInfo { from, over_tls: self.serves_tls, port: port(headers) };
        if !self.is_proxy(came.from) {
            return came;
        }
        let last_text = |name| headers.get_all(name).iter().next_back().and_then(|value| value.to_str().ok());
        came.over_tls |= last_text("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
        let lists = headers.get_all("x-forwarded-for").iter().rev();
        let hops = lists.flat_map(|list| list.to_str().unwrap_or_default().rsplit(','));
        for hop in hops {
            let Ok(address) = hop.trim().parse::<IpAddr>() else { break };
            came.from = address.to_canonical();
            if !self.is_proxy(came.from) {
                break;
            }
        }
        came
    }

    /// Whether requests from there are answered.
    pub fn lets_in(&self, from: IpAddr) -> bool {
        self.allowed_from.is_empty() || self.allowed_from.iter().any(|net| net.contains(&from))
    }

    /// Whether it is one of the trusted proxies.
    pub fn is_proxy(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|net| net.contains(&address))
    }
}

fn port(headers: &HeaderMap) -> Option<u16> {
    let host: Authority = headers.get(header::HOST)?.to_str().ok()?.parse().ok()?;
    host.port_u16()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn addresses(proxies: &[&str], allowed: &[&str]) -> Addresses {
        let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let settings = SignInSettings {
            trusted_proxies: nets(proxies),
            allowed_from: nets(allowed),
            ..SignInSettings::default()
        };
        Addresses::new(&settings, false)
    }

    #[test]
    fn only_what_trusted_proxies_added_is_believed() {
        let addresses = addresses(&["127.0.0.1/32", "10.0.0.0/8"], &[]);
        for (peer, forwarded, expected) in [
            ("192.0.2.1", vec!["198.51.100.7"], "192.0.2.1"),
            ("127.0.0.1", vec![], "127.0.0.1"),
            ("127.0.0.1", vec!["198.51.100.7"], "198.51.100.7"),
            ("127.0.0.1", vec!["1.1.1.1, 198.51.100.7, 10.1.1.1"], "198.51.100.7"),
            ("127.0.0.1", vec!["1.1.1.1", "198.51.100.7"], "198.51.100.7"),
            ("127.0.0.1", vec!["198.51.100.7, nonsense"], "127.0.0.1"),
            ("127.0.0.1", vec!["2001:db8::1"], "2001:db8::1"),
            ("127.0.0.1", vec!["::ffff:192.0.2.9"], "192.0.2.9"),
        ] {
            let mut headers = HeaderMap::new();
            for list in &forwarded {
                headers.append("x-forwarded-for", HeaderValue::from_static(list));
            }
            headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
            let came = addresses.came(Some(peer.parse().unwrap()), &headers);
            assert_eq!(came.from.to_string(), expected, "{peer} {forwarded:?}");
            assert_eq!(came.over_tls, peer == "127.0.0.1", "{peer}");
        }
    }

    #[test]
    fn everybody_may_ask_or_only_those_who_are_listed() {
        let from = |text: &str| text.parse().unwrap();
        assert!(addresses(&[], &[]).lets_in(from("203.0.113.1")));
        let office = addresses(&[], &["192.0.2.0/24", "2001:db8::/32"]);
        assert!(office.lets_in(from("192.0.2.200")) && office.lets_in(from("2001:db8::5")));
        assert!(!office.lets_in(from("203.0.113.1")) && !office.lets_in(from("::1")));
    }
}
