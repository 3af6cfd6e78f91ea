//! The greeting that a nats-server sends before authentication.

use std::{
    io::{BufRead, BufReader, Read},
    net::{IpAddr, SocketAddr, TcpStream},
    time::Duration,
};

/// It greets in a millisecond; while it reads its store, it does not listen at all.
const GREETING_TIMEOUT: Duration = Duration::from_secs(1);
/// The greeting has some 500 bytes, and as many again for every server of a cluster.
const MAX_GREETING_BYTES: u64 = 64 << 10;

/// The name of the server that listens there; `None` where none does, or it does not greet.
pub(super) fn server_name(ip: IpAddr, port: u16) -> Option<String> {
    let stream = TcpStream::connect_timeout(&SocketAddr::from((ip, port)), GREETING_TIMEOUT).ok()?;
    stream.set_read_timeout(Some(GREETING_TIMEOUT)).ok()?;
    let mut line = String::new();
    BufReader::new(stream.take(MAX_GREETING_BYTES)).read_line(&mut line).ok()?;
    let info: serde_json::Value = serde_json::from_str(line.strip_prefix("INFO ")?).ok()?;
    info["server_name"].as_str().map(str::to_owned)
}
