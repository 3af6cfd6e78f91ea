//! Which boot of the machine this is, and when it was.
//!
//! The kernel counts starts from the boot. When that was by the clock is "now minus uptime", which moves with every correction
//! of the clock (and the kernel's own `btime` jitters by a second). So the first answer is kept in a small file, and
//! believed until the clock was set by more than a second. Nothing depends on it but the times that people read.

use std::{fs, io, path::Path, time::Duration};

use fleetps_nats::{file, now_us};
use serde::{Deserialize, Serialize};

/// Where a boot has no id of its own, two boot times closer than this are the same boot: clocks are corrected by less,
/// and no machine boots twice in that time.
const SAME_BOOT_US: u64 = 10_000_000;
const FILE_NAME: &str = "boot.json";
/// Where the boot seems to have been at another time by more than this, in µs, the clock was set. Time daemons slew less.
const CLOCK_SET_US: u64 = 1_000_000;

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
        let kept = file::read(&state_folder.join(FILE_NAME)).ok();
        let kept = kept.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let boot = Self::measured(own_id(), now_us(), since_boot()).believing(kept.as_ref());
        if kept.as_ref() != Some(&boot) {
            boot.keep(state_folder);
        }
        boot
    }

    /// Moves it where the clock was set: `now_us` is the clock, in µs since 1970 UTC, `since_boot` after the boot. Whether that
    /// was necessary.
    pub fn correct(&mut self, now_us: i64, since_boot: Duration) -> bool {
        let at_us = boot_at_us(now_us, since_boot);
        let was_set = at_us.abs_diff(self.at_us) > CLOCK_SET_US;
        if was_set {
            self.at_us = at_us;
        }
        was_set
    }

    /// Writes it into the state folder. Where that fails, starts move by some milliseconds when the agent restarts.
    pub fn keep(&self, state_folder: &Path) {
        if let Err(error) = self.write(state_folder) {
            tracing::info!(
                folder = %state_folder.display(), error = %error,
                "cannot keep the boot time; after a restart of the agent, starts of processes are shown some \
                 milliseconds off (name a folder that can be written with --state)"
            );
        }
    }

    fn measured(own_id: Option<String>, now_us: i64, since_boot: Duration) -> Self {
        let at_us = boot_at_us(now_us, since_boot);
        let has_own_id = own_id.is_some();
        Self { id: own_id.unwrap_or_else(|| format!("boot-{}", at_us / 1_000_000)), at_us, has_own_id }
    }

    /// The kept one, if it is the same boot.
    fn believing(self, kept: Option<&Self>) -> Self {
        let is_same = |kept: &&Self| {
            if self.has_own_id { kept.id == self.id } else { kept.at_us.abs_diff(self.at_us) < SAME_BOOT_US }
        };
        let Some(kept) = kept.filter(is_same) else { return self };
        let at_us = if kept.at_us.abs_diff(self.at_us) > CLOCK_SET_US { self.at_us } else { kept.at_us };
        Self { at_us, ..kept.clone() }
    }

    fn write(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        file::replace(&folder.join(FILE_NAME), &serde_json::to_vec(self)?)
    }
}

/// When the boot was by a clock that says `now_us`, in µs since 1970 UTC.
fn boot_at_us(now_us: i64, since_boot: Duration) -> i64 {
    now_us.saturating_sub(i64::try_from(since_boot.as_micros()).unwrap_or_default()).max(0)
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
    fn a_boot_keeps_its_first_time_until_the_clock_is_set_or_the_machine_boots_again() {
        let folder = tempfile::tempdir().unwrap();
        let first = Boot::current(folder.path());
        let measured =
            |id: Option<&str>, now_us| Boot::measured(id.map(str::to_owned), now_us, Duration::from_secs(9));
        assert_eq!(Boot::current(folder.path()), first);
        let day_us = 86_400_000_000;
        let kept = measured(Some("a"), day_us);
        assert_eq!(measured(Some("a"), day_us + 9_000).believing(Some(&kept)), kept);
        let set = measured(Some("a"), 3 * day_us);
        assert_eq!(set.clone().believing(Some(&kept)), set);
        assert_ne!(measured(Some("b"), day_us).believing(Some(&kept)), kept);
        let kept = measured(None, day_us);
        assert_eq!(measured(None, day_us + 900_000).believing(Some(&kept)), kept);
        assert_eq!(measured(None, day_us + 1_500_000).believing(Some(&kept)).id, kept.id);
        assert_ne!(measured(None, day_us + 20_000_000).believing(Some(&kept)), kept);
    }

    #[test]
    fn a_clock_that_is_set_moves_when_the_boot_was_and_not_which_it_is() {
        let mut boot = Boot::measured(Some("a".to_owned()), 7_000_000, Duration::from_secs(5));
        assert!(!boot.correct(17_900_000, Duration::from_secs(15)), "slewed");
        assert!(boot.correct(1_795_000_000_000_000, Duration::from_secs(20)));
        assert_eq!((boot.id.as_str(), boot.at_us), ("a", 1_794_999_980_000_000));
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
