//! Which boot of the machine this is, and when it was.
//!
//! A process's start is counted from the boot, and its identity must be the same in every snapshot of that boot, also
//! after the agent restarts. But "now minus uptime" moves with every correction of the clock (and the kernel's own
//! `btime` jitters by a second). So the first answer is kept in a small file and believed for as long as the boot lasts.

use std::{fs, io, path::Path, time::Duration};

use fleetps_nats::{file, now_us};
use serde::{Deserialize, Serialize};

/// Where a boot has no id of its own, two boot times closer than this are the same boot: clocks are corrected by less,
/// and no machine boots twice in that time.
const SAME_BOOT_US: u64 = 10_000_000;
const FILE_NAME: &str = "boot.json";

/// A boot of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// Identifies it.
    pub id: String,
    /// When it was, in µs since 1970 UTC.
    pub at_us: i64,
    /// Whether the system itself has an id for it.
    has_own_id: bool,
}

impl Boot {
    /// The current boot, as it was first seen by an agent with this state folder.
    pub fn current(state_folder: &Path) -> Self {
        let file = state_folder.join(FILE_NAME);
        let kept = file::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let boot = Self::measured(own_id(), now_us(), since_boot()).believing(kept.as_ref());
        if kept.as_ref() != Some(&boot)
            && let Err(error) = boot.keep(state_folder, &file)
        {
            tracing::warn!(
                folder = %state_folder.display(), error = %error,
                "cannot keep the boot time; if the clock is corrected, processes get another identity after a \
                 restart of the agent (name a folder that can be written with --state)"
            );
        }
        boot
    }

    fn measured(own_id: Option<String>, now_us: i64, since_boot: Duration) -> Self {
        let at_us = now_us.saturating_sub(i64::try_from(since_boot.as_micros()).unwrap_or_default()).max(0);
        let has_own_id = own_id.is_some();
        Self { id: own_id.unwrap_or_else(|| format!("boot-{}", at_us / 1_000_000)), at_us, has_own_id }
    }

    /// The kept one, if it is the same boot.
    fn believing(self, kept: Option<&Self>) -> Self {
        let is_same = |kept: &&Self| {
            if self.has_own_id { kept.id == self.id } else { kept.at_us.abs_diff(self.at_us) < SAME_BOOT_US }
        };
        kept.filter(is_same).cloned().unwrap_or(self)
    }

    fn keep(&self, folder: &Path, file: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        fleetps_nats::file::replace(file, &serde_json::to_vec(self)?)
    }
}

/// Time since the boot, suspended time included; no correction of the clock moves it. Not /proc/uptime, which says
/// something else inside a container.
#[cfg(target_os = "linux")]
pub fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// Time since the boot.
#[cfg(not(target_os = "linux"))]
pub fn since_boot() -> Duration {
    use std::{sync::OnceLock, time::Instant};
    // sysinfo counts in seconds; a clock that runs on from there is finer and never goes back.
    static START: OnceLock<(Duration, Instant)> = OnceLock::new();
    let (uptime, started) = START
        .get_or_init(|| (Duration::from_secs(sysinfo::System::uptime().unwrap_or_default()), Instant::now()));
    *uptime + started.elapsed()
}

fn own_id() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned()).filter(|id| !id.is_empty() && id.len() <= 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_keeps_its_first_time_until_the_machine_boots_again() {
        let folder = tempfile::tempdir().unwrap();
        let first = Boot::current(folder.path());
        let measured =
            |id: Option<&str>, now_us| Boot::measured(id.map(str::to_owned), now_us, Duration::from_secs(9));
        assert_eq!(Boot::current(folder.path()), first);
        let day_us = 86_400_000_000;
        let kept = measured(Some("a"), day_us);
        assert_eq!(measured(Some("a"), 3 * day_us).believing(Some(&kept)), kept);
        assert_ne!(measured(Some("b"), day_us).believing(Some(&kept)), kept);
        let kept = measured(None, day_us);
        assert_eq!(measured(None, day_us + 1_500_000).believing(Some(&kept)), kept);
        assert_ne!(measured(None, day_us + 20_000_000).believing(Some(&kept)), kept);
    }

    #[test]
    fn a_state_folder_that_cannot_be_used_costs_a_warning_only() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "x").unwrap();
        assert!(!Boot::current(&folder.path().join("file")).id.is_empty());
        fs::write(folder.path().join(FILE_NAME), "{broken").unwrap();
        assert!(!Boot::current(folder.path()).id.is_empty());
    }
}
