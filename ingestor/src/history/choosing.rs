//! Which segments hold something of some hosts and of some time, for questions in SQL, which attach segments themselves.

use std::collections::BTreeSet;

use fleetps_nats::HostName;

use super::{History, Span};

/// Segments by whether they hold what is asked about, by file name. A segment that is in neither came after the index of the
/// history was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holding {
    /// Those that hold something of it.
    pub with: BTreeSet<String>,
    /// Those that hold nothing of it.
    pub without: BTreeSet<String>,
}

impl History {
    /// Which segments hold anything of `hosts` that are in the scope, or of any host where none is named, from within `span`.
    pub fn holding(&self, hosts: &[HostName], span: Span) -> Holding {
        let index = &self.state().index;
        let held = match hosts.is_empty() {
            true => index.overlapping(None, span),
            false => {
                let seen = hosts.iter().filter(|host| self.scope.sees(host));
                seen.flat_map(|host| index.overlapping(Some(host), span)).collect()
            }
        };
        let with: BTreeSet<String> = held.into_iter().map(|segment| segment.name.to_string()).collect();
        let all = index.segments().iter().map(|segment| segment.name.to_string());
        let without = all.filter(|name| !with.contains(name)).collect();
        Holding { with, without }
    }
}
