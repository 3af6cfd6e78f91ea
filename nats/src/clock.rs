//! The time by this machine's clock.

use std::time::SystemTime;

/// Now, in µs since 1970 UTC; 0 where the clock stands before that.
pub fn now_us() -> i64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX)
}
