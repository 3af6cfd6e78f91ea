//! Times as people type them: `16:28`, `yesterday 03:12`, `Nov 27, 4:28 PM`, `2026-11-27 16:28+01:00`.
//!
//! A text is a day, a time of day and a zone, in any order, each of them optional. What it leaves out is filled in so that
//! it means the latest such moment that is over: `16:28` is yesterday's in the morning, `Nov 27` is last year's in October.
//! A day without a time of day begins at midnight.
//!
//! * **Zone.** A time without one is in the reader's.
//! * **A time that a change of clocks skips** (02:30 when clocks go from 02:00 to 03:00) is as much later: 03:30.
//! * **A time that occurs twice** is the first of the two. [`written`] adds the offset then, so a reader sees which of them
//!   it is, and can type the other.
//! * **Days in digits** are `2026-11-27`, `2026/11/27` or `27.11.2026`. `11/27/2026` is refused: `11/12/2026` is one day in
//!   Boston and another in Bristol.

use jiff::{
    Span, Timestamp, Zoned,
    civil::{Date, DateTime, Time, Weekday},
    tz::{Offset, TimeZone},
};

/// Longer texts are no times.
pub(super) const MAX_BYTES: usize = 64;
/// How far ahead of the server's clock the reader's may be: a time of day is today's until then.
const AHEAD_S: i64 = 60;
/// Years to look back for a day without a year: there is a February 29 in eight.
const YEARS_BACK: i16 = 8;
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [(&str, Weekday); 7] = [
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];

/// Reads a time as somebody types it whose clock shows `now`; in µs since 1970 UTC.
///
/// # Errors
/// The problem, as a clause; empty where nothing can be said but that it is no time.
pub(super) fn read(text: &str, now: &Zoned) -> Result<i64, String> {
    if text.len() > MAX_BYTES {
        return Err(String::new());
    }
    let parts = Parts::of(&words(text))?;
    let zone = parts.offset.map_or_else(|| now.time_zone().clone(), TimeZone::fixed);
    let now = now.timestamp().to_zoned(zone);
    let moment = parts.latest(&now)?;
    Ok(moment.timestamp().as_microsecond())
}

/// A time so that [`read`] reads it again: in `zone`, with its offset where that time of day occurs twice.
pub(super) fn written(time_us: i64, zone: &TimeZone) -> String {
    let Ok(time) = Timestamp::from_microsecond(time_us) else { return String::new() };
    let local = time.to_zoned(zone.clone());
    let digits = match time_us {
        whole if whole % 1_000_000 == 0 => "",
        milliseconds if milliseconds % 1_000 == 0 => "%.3f",
        _ => "%.6f",
    };
    let is_twice = zone.to_ambiguous_timestamp(local.datetime()).is_ambiguous();
    let offset = if is_twice { "%:z" } else { "" };
    local.strftime(&format!("%Y-%m-%d %H:%M:%S{digits}{offset}")).to_string()
}

/// The words of a text, in lower case. Browsers write narrow spaces before AM, and commas behind days.
fn words(text: &str) -> Vec<String> {
    let is_between = |character: char| character.is_whitespace() || character == ',';
    let words = text.split(is_between).filter(|word| !word.is_empty());
    words.map(|word| word.trim_end_matches('.').to_lowercase()).collect()
}

/// A day, as far as it was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Day {
    /// A number of days ago.
    Ago(i64),
    /// With its year.
    Date(Date),
}

/// What a text says, each at most once.
#[derive(Debug, Default)]
struct Parts {
    day: Option<Day>,
    weekday: Option<Weekday>,
    month: Option<i8>,
    day_of_month: Option<i8>,
    year: Option<i16>,
    time: Option<Time>,
    offset: Option<Offset>,
}

impl Parts {
    fn of(words: &[String]) -> Result<Self, String> {
        let mut parts = Self::default();
        let mut rest = words.iter().map(String::as_str).peekable();
        while let Some(word) = rest.next() {
            let meridiem = rest.next_if(|next| is_meridiem(next));
            match meridiem {
                Some(meridiem) => parts.take_time(&format!("{word}{meridiem}"))?,
                None => parts.take(word)?,
            }
        }
        Ok(parts)
    }

    /// Reads one word.
    fn take(&mut self, word: &str) -> Result<(), String> {
        match word {
            "at" | "on" => return Ok(()),
            "today" => return once(&mut self.day, Day::Ago(0), "day"),
            "yesterday" => return once(&mut self.day, Day::Ago(1), "day"),
            _ => {}
        }
        if let Some(weekday) = named(word, WEEKDAYS) {
            return once(&mut self.weekday, weekday, "day of the week");
        }
        if let Some(month) = named(word, MONTHS.into_iter().zip(1..)) {
            return once(&mut self.month, month, "month");
        }
        if let Some(offset) = offset(word) {
            return once(&mut self.offset, offset, "zone");
        }
        if let Some(number) = number(word) {
            return self.take_number(number, word);
        }
        if let Some((date, time)) = date(word)? {
            once(&mut self.day, Day::Date(date), "day")?;
            return if time.is_empty() { Ok(()) } else { self.take_time(time) };
        }
        self.take_time(word)
    }

    /// A day of a month, or a year.
    fn take_number(&mut self, number: i16, word: &str) -> Result<(), String> {
        match i8::try_from(number) {
            Ok(day @ 1..=31) => once(&mut self.day_of_month, day, "day"),
            _ if word.len() == 4 => once(&mut self.year, number, "year"),
            _ => Err(format!("{word} is no day and no year")),
        }
    }

    /// A time of day, perhaps with a zone at its end.
    fn take_time(&mut self, word: &str) -> Result<(), String> {
        let zone_at = word.find(['z', '+']).or_else(|| word.rfind('-')).filter(|at| *at > 0);
        let (time, zone) = word.split_at(zone_at.unwrap_or(word.len()));
        if !zone.is_empty() {
            let offset = offset(zone).ok_or_else(|| not_understood(word))?;
            once(&mut self.offset, offset, "zone")?;
        }
        let time = time_of_day(time).ok_or_else(|| not_understood(word))?;
        once(&mut self.time, time, "time of day")
    }

    /// The latest moment that this can mean and that is over at `now`; a day with its year is taken as it is.
    fn latest(&self, now: &Zoned) -> Result<Zoned, String> {
        let time = self.time.unwrap_or_default();
        let limit = now.timestamp().as_second().saturating_add(AHEAD_S);
        let is_over = |moment: &Zoned| moment.timestamp().as_second() <= limit;
        let on = |date: Date| at(date.to_datetime(time), now.time_zone());
        let days_ago = |days: i64| now.date().checked_sub(Span::new().days(days)).map_err(no_time);
        if let Some(date) = self.date()? {
            return on(date);
        }
        match (self.day, self.month.zip(self.day_of_month), self.weekday) {
            (Some(Day::Ago(days)), None, None) => on(days_ago(days)?),
            (None, Some((month, day)), weekday) => {
                let years = (0..=YEARS_BACK).map(|back| now.year() - back);
                let dates = years.filter_map(|year| Date::new(year, month, day).ok());
                let fits = |date: &Date| weekday.is_none_or(|weekday| weekday == date.weekday());
                let mut moments = dates.filter(fits).filter_map(|date| on(date).ok());
                moments.find(is_over).ok_or_else(|| format!("there was no such {} {day}", month_name(month)))
            }
            (None, None, Some(weekday)) => {
                let dates = (0..=7).filter_map(|days| days_ago(days).ok());
                let mut moments =
                    dates.filter(|date| date.weekday() == weekday).filter_map(|date| on(date).ok());
                moments.find(is_over).ok_or_else(String::new)
            }
            (None, None, None) if self.time.is_some() => {
                let today = on(days_ago(0)?)?;
                if is_over(&today) { Ok(today) } else { on(days_ago(1)?) }
            }
            _ => Err("the day is not complete, or said twice".to_owned()),
        }
    }

    /// The day, where it was said with its year.
    ///
    /// # Errors
    /// When there is no such day, or only parts of it were said.
    fn date(&self) -> Result<Option<Date>, String> {
        let date = match (self.day, self.year, self.month, self.day_of_month) {
            (Some(Day::Date(date)), None, None, None) => date,
            (None, Some(year), Some(month), Some(day)) => Date::new(year, month, day)
                .map_err(|_| format!("{} {year} has no day {day}", month_name(month)))?,
            (None | Some(Day::Ago(_)), None, None, None) | (None, None, Some(_), Some(_)) => return Ok(None),
            _ => return Err("the day is not complete, or said twice".to_owned()),
        };
        match self.weekday.filter(|weekday| *weekday != date.weekday()) {
            Some(_) => Err(format!("{date} was no such day of the week")),
            None => Ok(Some(date)),
        }
    }
}

fn month_name(month: i8) -> String {
    let name = usize::try_from(month - 1).ok().and_then(|at| MONTHS.get(at)).copied().unwrap_or_default();
    name.chars().take(1).flat_map(char::to_uppercase).chain(name.chars().skip(1)).collect()
}

fn at(time: DateTime, zone: &TimeZone) -> Result<Zoned, String> {
    zone.to_ambiguous_zoned(time).compatible().map_err(no_time)
}

fn no_time(_: jiff::Error) -> String {
    "this is beyond every calendar".to_owned()
}

fn not_understood(word: &str) -> String {
    format!("“{word}” is neither a day nor a time of day")
}

fn once<T>(place: &mut Option<T>, value: T, what: &str) -> Result<(), String> {
    match place.replace(value) {
        Some(_) => Err(format!("it has more than one {what}")),
        None => Ok(()),
    }
}

/// The value of the name that begins with `word`, of at least three letters.
fn named<T>(word: &str, names: impl IntoIterator<Item = (&'static str, T)>) -> Option<T> {
    let mut names = names.into_iter().filter(|_| word.len() >= 3);
    names.find(|(name, _)| name.starts_with(word)).map(|(_, value)| value)
}

fn is_meridiem(word: &str) -> bool {
    matches!(word, "am" | "pm" | "a.m" | "p.m")
}

/// A whole number, as in `27`, `27th` or `2026`.
fn number(word: &str) -> Option<i16> {
    let digits = ["st", "nd", "rd", "th"].into_iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word);
    let is_one = (1..=4).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
    digits.parse().ok().filter(|_| is_one)
}

/// A day in digits, and what stands behind its `T`.
fn date(word: &str) -> Result<Option<(Date, &str)>, String> {
    let is_digit = |character: char| character.is_ascii_digit();
    let Some(sign) =
        word.chars().find(|character| !is_digit(*character)).filter(|sign| "-/.".contains(*sign))
    else {
        return Ok(None);
    };
    let (day, time) = word.split_once('t').unwrap_or((word, ""));
    let numbers: Vec<&str> = day.split(sign).collect();
    let (year, month, day) = match (sign, numbers.as_slice()) {
        ('-' | '/', [year, month, day]) if year.len() == 4 => (*year, *month, *day),
        ('.', [day, month, year]) if year.len() == 4 => (*year, *month, *day),
        _ => {
            return Err(format!(
                "“{word}” can be read in several ways; write the day as 2026-11-27 or Nov 27"
            ));
        }
    };
    let nothing = || format!("there is no day {word}");
    let read = |text: &str| text.parse::<i8>().map_err(|_| nothing());
    let year = year.parse().map_err(|_| nothing())?;
    let date = Date::new(year, read(month)?, read(day)?).map_err(|_| nothing())?;
    Ok(Some((date, time)))
}

/// `16:28`, `16:28:55.250`, `4:28pm` or `4pm`.
fn time_of_day(text: &str) -> Option<Time> {
    let pm = [("am", 0), ("pm", 12), ("a.m", 0), ("p.m", 12)];
    let (text, pm) = pm
        .into_iter()
        .find_map(|(end, hours)| Some((text.strip_suffix(end)?, Some(hours))))
        .unwrap_or((text, None));
    let mut parts = text.split(':');
    let hour = two_digits(parts.next()?)?;
    let (minute, seconds) = (parts.next(), parts.next().unwrap_or("0"));
    if parts.next().is_some() || (minute.is_none() && pm.is_none()) {
        return None;
    }
    let hour = match pm {
        None => hour,
        Some(half) => Some(hour % 12 + half).filter(|_| (1..=12).contains(&hour))?,
    };
    let (second, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let is_fraction =
        (1..=9).contains(&fraction.len()) && fraction.bytes().all(|digit| digit.is_ascii_digit());
    let nanoseconds = format!("{fraction:0<9}").parse().ok().filter(|_| is_fraction)?;
    Time::new(hour, two_digits(minute.unwrap_or("0"))?, two_digits(second)?, nanoseconds).ok()
}

fn two_digits(text: &str) -> Option<i8> {
    let is_one = (1..=2).contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_digit());
    text.parse().ok().filter(|_| is_one)
}

/// `Z`, `UTC`, `+01:00`, `+0100` or `-5`. Names as CET and EST are no zones: they mean other offsets elsewhere.
fn offset(word: &str) -> Option<Offset> {
    if matches!(word, "z" | "utc" | "gmt") {
        return Some(Offset::UTC);
    }
    let (sign, text) = match word.split_at_checked(1)? {
        ("+", text) => (1, text),
        ("-", text) => (-1, text),
        _ => return None,
    };
    let (hours, minutes) = match text.split_once(':') {
        Some(parts) => parts,
        None if text.len() == 4 => text.split_at_checked(2)?,
        None => (text, "0"),
    };
    let minutes = Some(two_digits(minutes)?).filter(|minutes| *minutes < 60)?;
    Offset::from_seconds(sign * (i32::from(two_digits(hours)?) * 3_600 + i32::from(minutes) * 60)).ok()
}

#[cfg(test)]
#[path = "wall_time_tests.rs"]
mod tests;
