//! The clock that tickets and commands are aged by.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The time since the boot, the time that the machine slept included: a command must not outlive a night in a closed lid.
pub(super) fn now() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}
