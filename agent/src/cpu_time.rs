//! What work costs: CPU time, which a machine that is busy with others does not lengthen.

use std::time::Duration;

/// The CPU time that this thread has used.
#[cfg(target_os = "linux")]
pub(crate) fn of_this_thread() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// The time since the first call: no less than the CPU time that this thread has used since.
#[cfg(not(target_os = "linux"))]
pub(crate) fn of_this_thread() -> Duration {
    use std::{sync::OnceLock, time::Instant};
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_another_thread_uses_meanwhile_does_not_count() {
        const WORK: Duration = Duration::from_millis(50);
        let before = of_this_thread();
        let other = std::thread::spawn(|| {
            let before = of_this_thread();
            while of_this_thread() - before < WORK {}
        });
        other.join().unwrap();
        assert!(of_this_thread() - before < WORK);
    }
}
