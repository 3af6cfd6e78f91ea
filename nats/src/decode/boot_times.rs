//! When hosts were booted, as they first said it: a boot time that is worked out anew differs by milliseconds, and with it the
//! starts of all processes. Only a clock that was set moves them.

use std::collections::HashMap;

use crate::{HostName, Snapshot};

/// Hosts remembered, of 200 bytes: the largest fleets have fewer. Beyond them all are forgotten, and starts may move once by
/// some milliseconds.
const MAX_HOSTS: usize = 200_000;

/// The boot of each host and its time, in µs since 1970 UTC.
#[derive(Debug, Default)]
pub(super) struct BootTimes(HashMap<HostName, (String, i64)>);

impl BootTimes {
    /// Lets `snapshot` say the boot time that its host said first.
    pub(super) fn settle(&mut self, host: &HostName, snapshot: &mut Snapshot) {
        match self.0.get(host) {
            Some((boot_id, boot_at_us)) if *boot_id == snapshot.boot_id => snapshot.settle_boot(*boot_at_us),
            Some(_) => {}
            None if self.0.len() >= MAX_HOSTS => self.0.clear(),
            None => {}
        }
        let Some(boot_at_us) = snapshot.host_info.boot_at_us else { return };
        match self.0.get_mut(host) {
            Some((boot_id, known_us)) => {
                if *boot_id != snapshot.boot_id {
                    boot_id.clone_from(&snapshot.boot_id);
                }
                *known_us = boot_at_us;
            }
            None => _ = self.0.insert(host.clone(), (snapshot.boot_id.clone(), boot_at_us)),
        }
    }
}
