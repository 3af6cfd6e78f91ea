//! How busy a host was in the past hour: its greatest CPU use of every minute.

/// Minutes that are kept, the present one among them.
pub(super) const MINUTES: usize = 60;
const MINUTE_US: i64 = 60_000_000;
/// Stands for a minute without a sample.
const NOTHING: u8 = u8::MAX;

/// The greatest CPU use of each of the past 60 minutes, in whole percent of all cores together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastHour {
    /// By minute since 1970, modulo [`MINUTES`].
    percent: [u8; MINUTES],
    /// The latest minute that anything is known of.
    last_minute: i64,
}

impl Default for PastHour {
    fn default() -> Self {
        Self { percent: [NOTHING; MINUTES], last_minute: i64::MIN }
    }
}

impl PastHour {
    /// Takes a sample of `captured_at_us`, in any order; samples older than an hour before the latest are left out.
    pub fn take(&mut self, captured_at_us: i64, cpu_percent: f32) {
        let minute = captured_at_us.div_euclid(MINUTE_US);
        let behind = self.last_minute.saturating_sub(minute);
        if behind >= MINUTES as i64 {
            return;
        }
        if behind < 0 {
            for passed in (self.last_minute.saturating_add(1)..=minute).rev().take(MINUTES) {
                self.percent[place(passed)] = NOTHING;
            }
            self.last_minute = minute;
        }
        // Cast to whole percent; values beyond the bounds become the bound.
        let percent = cpu_percent.round().clamp(0.0, 100.0) as u8;
        let known = &mut self.percent[place(minute)];
        *known = if *known == NOTHING { percent } else { percent.max(*known) };
    }

    /// Each of the 60 minutes up to the one of `now_us`, the oldest first; `None` where nothing was sampled.
    pub fn until(&self, now_us: i64) -> [Option<u8>; MINUTES] {
        let first = now_us.div_euclid(MINUTE_US).saturating_sub(MINUTES as i64 - 1);
        std::array::from_fn(|index| {
            let minute = first.saturating_add(index as i64);
            let age = self.last_minute.checked_sub(minute)?;
            let is_kept = (0..MINUTES as i64).contains(&age);
            is_kept.then(|| self.percent[place(minute)]).filter(|percent| *percent != NOTHING)
        })
    }
}

fn place(minute: i64) -> usize {
    minute.rem_euclid(MINUTES as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON_US: i64 = 1_763_726_400_000_000;

    fn at(minute: i64) -> i64 {
        NOON_US + minute * MINUTE_US
    }

    /// The known values as of `minute`, as minutes before it and percent.
    fn known(hour: &PastHour, minute: i64) -> Vec<(usize, u8)> {
        let minutes = hour.until(at(minute)).into_iter().rev().enumerate();
        minutes.filter_map(|(age, percent)| Some((age, percent?))).collect()
    }

    #[test]
    fn the_greatest_of_every_minute_is_kept_for_an_hour() {
        let mut hour = PastHour::default();
        for (minute, percent) in [(0, 3.4), (0, 90.6), (0, 5.0), (1, 0.0), (3, 400.0), (3, f32::NAN)] {
            hour.take(at(minute), percent);
        }
        assert_eq!(known(&hour, 3), [(0, 100), (2, 0), (3, 91)]);
        assert_eq!(known(&hour, 59), [(56, 100), (58, 0), (59, 91)]);
        assert_eq!(known(&hour, 61), [(58, 100)]);
        assert_eq!(known(&hour, 63), []);
        assert_eq!(known(&hour, 1), [(0, 0), (1, 91)]);
    }

    #[test]
    fn older_minutes_may_come_later_and_what_is_over_an_hour_old_is_left_out() {
        let mut hour = PastHour::default();
        hour.take(at(100), 7.0);
        for minute in [40, 41, 99, 100] {
            hour.take(at(minute), 5.0);
        }
        assert_eq!(known(&hour, 100), [(0, 7), (1, 5), (59, 5)]);
        hour.take(at(170), 1.0);
        assert_eq!(known(&hour, 170), [(0, 1)]);
        hour.take(i64::MAX, 1.0);
        hour.take(i64::MIN, 1.0);
        assert_eq!(known(&hour, 170), []);
    }
}
