//! Limits the connections of each host. An agent has one.
//!
//! A host may make a few without a look; then the servers are asked how many it has. So a fleet that comes back all at
//! once costs no look, and a host that holds many is found after a few.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::HostName;

/// Connections that one host may have. An agent has one; where its network changes or it changes its key, former ones
/// stay for the minute until the broker notices, and an agent tries again every 8 s.
const MAX_CONNECTIONS: usize = 8;
/// Connections that a host may make between two looks; by as many each service that admits may go beyond the bound.
const BETWEEN_LOOKS: usize = 4;
/// How long a host that has too many is refused without another look: shorter than an agent's longest wait.
const REFUSED_FOR: Duration = Duration::from_secs(2);
/// Hosts with a count of their own. When it is full, all are counted anew.
const MAX_HOSTS: usize = 100_000;

/// The decision about a host's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// It may.
    Admit,
    /// Count its connections first, and say so to [`Connections::counted`].
    Look,
    /// It has too many, or its connections are being counted.
    Refuse,
}

/// Counts what hosts connect.
#[derive(Debug, Default)]
pub(super) struct Connections {
    hosts: Mutex<HashMap<HostName, Count>>,
}

#[derive(Debug)]
struct Count {
    /// Connections that it may make before the next look.
    left: usize,
    /// Since when it waits for a look to end, or has too many.
    refused_at: Option<Instant>,
}

impl Connections {
    /// Decides about one more connection of `host`.
    pub(super) fn one_more(&self, host: &HostName, now: Instant) -> Next {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= MAX_HOSTS && !hosts.contains_key(host) {
            hosts.clear();
        }
        let count = hosts.entry(host.clone()).or_insert(Count { left: BETWEEN_LOOKS, refused_at: None });
        if count.left > 0 {
            count.left -= 1;
            return Next::Admit;
        }
        if count.refused_at.is_some_and(|at| now.saturating_duration_since(at) < REFUSED_FOR) {
            return Next::Refuse;
        }
        count.refused_at = Some(now);
        Next::Look
    }

    /// Takes how many connections a look has found; whether one more may be made.
    pub(super) fn counted(&self, host: &HostName, found: usize) -> bool {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(count) = hosts.get_mut(host) else { return found < MAX_CONNECTIONS };
        let free = MAX_CONNECTIONS.saturating_sub(found).min(BETWEEN_LOOKS);
        if free > 0 {
            *count = Count { left: free - 1, refused_at: None };
        }
        free > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_looked_at_after_a_few_connections_and_refused_while_it_has_too_many() {
        let (connections, start) = (Connections::default(), Instant::now());
        let (a, b): (HostName, HostName) = ("a".parse().unwrap(), "b".parse().unwrap());
        let next = |host, second| connections.one_more(host, start + Duration::from_secs(second));
        assert!((0..BETWEEN_LOOKS).all(|_| next(&a, 0) == Next::Admit));
        assert_eq!([next(&a, 0), next(&a, 0)], [Next::Look, Next::Refuse]);
        assert!(connections.counted(&a, BETWEEN_LOOKS));
        assert!((1..BETWEEN_LOOKS).all(|_| next(&a, 0) == Next::Admit));
        assert_eq!(next(&a, 1), Next::Look);
        assert!(!connections.counted(&a, MAX_CONNECTIONS));
        assert_eq!([next(&a, 2), next(&a, 3), next(&a, 4)], [Next::Refuse, Next::Look, Next::Refuse]);
        assert_eq!(next(&b, 4), Next::Admit);
    }
}
