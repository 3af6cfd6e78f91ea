//! Hours of the week in a time zone: quiet hours of a route, recurring maintenance windows.

use jiff::{
    Span, Timestamp, Zoned,
    civil::{Date, Time, Weekday},
    tz::TimeZone,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::channel::BadChannel;

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the days have their names")]
pub enum Day {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl Day {
    /// Every day, in the order of the week.
    pub const ALL: [Self; 7] = [
        Self::Monday,
        Self::Tuesday,
        Self::Wednesday,
        Self::Thursday,
        Self::Friday,
        Self::Saturday,
        Self::Sunday,
    ];

    /// Its name, as records have it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Monday => "monday",
            Self::Tuesday => "tuesday",
            Self::Wednesday => "wednesday",
            Self::Thursday => "thursday",
            Self::Friday => "friday",
            Self::Saturday => "saturday",
            Self::Sunday => "sunday",
        }
    }

    fn of(date: Date) -> Self {
        match date.weekday() {
            Weekday::Monday => Self::Monday,
            Weekday::Tuesday => Self::Tuesday,
            Weekday::Wednesday => Self::Wednesday,
            Weekday::Thursday => Self::Thursday,
            Weekday::Friday => Self::Friday,
            Weekday::Saturday => Self::Saturday,
            Weekday::Sunday => Self::Sunday,
        }
    }
}

/// From one time of day to another, on some days of the week. Hours past midnight belong to the day on which they began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// The time zone by its IANA name, as in Europe/Berlin.
    pub zone: String,
    /// The days on which it begins; every day where there are none.
    #[serde(default)]
    pub days: Vec<Day>,
    /// The beginning, as in 22:00.
    pub from: String,
    /// The end, as in 07:00; the next day's where it is not after `from`.
    pub until: String,
}

impl Schedule {
    /// Whether it can be kept.
    ///
    /// # Errors
    /// Names the field that is wrong. Zones are those that this machine knows.
    pub fn check(&self) -> Result<(), BadChannel> {
        for (field, time) in [("from", &self.from), ("until", &self.until)] {
            parse_time(time).ok_or_else(|| BadChannel::new(field, "expected a time of day, as in 22:00"))?;
        }
        let zone = TimeZone::get(&self.zone);
        zone.map(|_| ()).map_err(|_| {
            BadChannel::new(
                "zone",
                "expected a time zone that this machine knows, as in Europe/Berlin or UTC",
            )
        })
    }

    /// Whether it never ends: every day from one moment to the same of the next.
    pub fn is_always(&self) -> bool {
        let days: std::collections::BTreeSet<_> = self.days.iter().map(|day| *day as u8).collect();
        self.from == self.until && matches!(days.len(), 0 | 7)
    }

    /// The end of the hours that `at_us` lies in, in µs since 1970 UTC; `None` where it lies in none. A schedule that does
    /// not pass [`Schedule::check`] has no hours: what cannot be understood must silence nothing.
    pub fn end_of(&self, at_us: i64) -> Option<i64> {
        let zone = TimeZone::get(&self.zone).ok()?;
        let (from, until) = (parse_time(&self.from)?, parse_time(&self.until)?);
        let now = Timestamp::from_microsecond(at_us).ok()?.to_zoned(zone.clone());
        let at =
            |date: Date, time: Time| -> Option<Zoned> { date.to_datetime(time).to_zoned(zone.clone()).ok() };
        let days = [now.date().yesterday().ok(), Some(now.date())];
        days.into_iter().flatten().find_map(|day| {
            if !self.days.is_empty() && !self.days.contains(&Day::of(day)) {
                return None;
            }
            let last_day = if until > from { day } else { day.checked_add(Span::new().days(1)).ok()? };
            let (begin, end) = (at(day, from)?, at(last_day, until)?);
            (begin <= now && now < end).then(|| end.timestamp().as_microsecond())
        })
    }
}

fn parse_time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let part = |text: &str| {
        text.parse::<i8>().ok().filter(|_| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit()))
    };
    Time::new(part(hour)?, part(minute)?, 0, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_microsecond()
    }

    fn schedule(zone: &str, days: &[Day], from: &str, until: &str) -> Schedule {
        Schedule {
            zone: zone.to_owned(),
            days: days.to_vec(),
            from: from.to_owned(),
            until: until.to_owned(),
        }
    }

    #[test]
    fn hours_end_where_they_are_said_to() {
        let night = |days: &[Day]| schedule("Europe/Berlin", days, "22:00", "07:00");
        let noon = schedule("UTC", &[], "12:00", "13:00");
        let all_day = schedule("UTC", &[Day::Sunday], "00:00", "00:00");
        for (schedule, at, end) in [
            // Berlin is one hour ahead in winter, two in summer.
            (night(&[]), "2026-11-28T20:59:59Z", None),
            (night(&[]), "2026-11-28T21:00:00Z", Some("2026-11-29T06:00:00Z")),
            (night(&[]), "2026-11-29T05:59:59Z", Some("2026-11-29T06:00:00Z")),
            (night(&[]), "2026-11-29T06:00:00Z", None),
            (night(&[]), "2026-07-01T20:00:00Z", Some("2026-07-02T05:00:00Z")),
            // The nights in which clocks are set back and forward.
            (night(&[]), "2026-10-24T21:00:00Z", Some("2026-10-25T06:00:00Z")),
            (night(&[]), "2026-03-28T21:00:00Z", Some("2026-03-29T05:00:00Z")),
            // 2026-11-28 is a Saturday; its night goes on on Sunday.
            (night(&[Day::Saturday]), "2026-11-29T03:00:00Z", Some("2026-11-29T06:00:00Z")),
            (night(&[Day::Sunday]), "2026-11-29T03:00:00Z", None),
            (noon.clone(), "2026-11-28T12:30:00Z", Some("2026-11-28T13:00:00Z")),
            (noon, "2026-11-28T13:00:00Z", None),
            (all_day.clone(), "2026-11-29T23:59:59Z", Some("2026-11-30T00:00:00Z")),
            (all_day, "2026-11-30T00:00:00Z", None),
            (schedule("Nowhere/Town", &[], "00:00", "00:00"), "2026-11-30T00:00:00Z", None),
        ] {
            assert_eq!(schedule.end_of(us(at)), end.map(us), "{schedule:?} at {at}");
        }
    }

    #[test]
    fn any_moment_has_an_answer() {
        for at_us in [i64::MIN, -1, 0, i64::MAX] {
            schedule("Europe/Berlin", &[], "22:00", "07:00").end_of(at_us);
        }
    }

    #[test]
    fn bad_schedules_are_refused_by_the_field() {
        let check = |zone, from, until| schedule(zone, &[], from, until).check().map_err(|bad| bad.field);
        assert_eq!(check("Europe/Berlin", "22:00", "07:00"), Ok(()));
        assert_eq!(check("Berlin", "22:00", "07:00"), Err("zone"));
        assert_eq!(check("UTC", "24:00", "07:00"), Err("from"));
        assert_eq!(check("UTC", "1:00", "07:00"), Err("from"));
        assert_eq!(check("UTC", "22:00", "-1:00"), Err("until"));
    }
}
