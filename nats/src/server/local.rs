//! How the parts on this machine reach the managed server.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use super::ServerSettings;
use crate::{TlsOptions, connection::Broker};

/// How parts on this machine reach a server; the port is known once it runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct LocalConnection {
    ip: IpAddr,
    wire: TlsOptions,
}

impl LocalConnection {
    pub(super) fn to(settings: &ServerSettings) -> Self {
        let Some(public) = &settings.public else { return Self::default() };
        // To an address of this machine, so nothing leaves it.
        let open = TlsOptions { plaintext: true, ..TlsOptions::default() };
        let wire = public.tls.as_ref().map_or(open, |tls| {
            let (certificate, key) = tls.clients.clone().unzip();
            TlsOptions { certificate, key, ..TlsOptions::trusting(tls.authority.clone()) }
        });
        Self { ip: reached_by(public.listen.ip()), wire }
    }

    pub(super) fn broker(self, port: impl std::fmt::Display, nkey_file: PathBuf) -> Broker {
        let ip = match self.ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Broker { url: format!("nats://{ip}:{port}"), nkey_file: Some(nkey_file), wire: self.wire }
    }
}

impl Default for LocalConnection {
    fn default() -> Self {
        Self { ip: Ipv4Addr::LOCALHOST.into(), wire: TlsOptions::default() }
    }
}

/// The address by which this machine reaches a listener on `ip`.
pub(super) fn reached_by(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}
