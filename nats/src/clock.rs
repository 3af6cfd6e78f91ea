//! The time by this machine's clock, and by the monotonic clock.

use std::{
    sync::LazyLock,
    time::{Instant, SystemTime},
};

/// This machine's wall clock and monotonic clock at the first call.
static BEGINNING: LazyLock<(i64, Instant)> = LazyLock::new(|| (now_us(), Instant::now()));

/// Now, in µs since 1970 UTC; 0 where the clock stands before that.
pub fn now_us() -> i64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX)
}

/// Now, in µs since 1970 UTC, by a clock that is never set while the program runs: where this machine's clock stood when it
/// was first asked, going on from there. For how long something has lasted.
pub fn steady_us() -> i64 {
    let (began_us, began) = *BEGINNING;
    began_us.saturating_add(i64::try_from(began.elapsed().as_micros()).unwrap_or(i64::MAX))
}
