//! Silences, routes and what they are about, in words; and what was typed about them in forms.

use std::time::Duration;

use fleetps_nats::units;

use crate::{
    display,
    notify::{Day, Escalation, Matcher, Quiet, Route, Schedule, Severity, Silence, When},
};

/// What a matcher is about.
pub(crate) fn matcher_words(matcher: &Matcher) -> String {
    let list = |word: &str, names: &[String]| match names {
        [] => String::new(),
        names => format!("{word} {}", display::visible(&names.join(", "))),
    };
    let severity = matcher.severity.map(|severity| match severity_word(severity) {
        "critical" => "critical".to_owned(),
        word => format!("{word} or worse"),
    });
    let parts = [
        severity.unwrap_or_default(),
        list("rule", &matcher.rules),
        list("host", &matcher.hosts),
        list("group", &matcher.groups),
    ];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "everything".to_owned() } else { parts.join("; ") }
}

/// A day as pages call it.
pub(crate) fn day_label(day: Day) -> String {
    let word = day.word();
    word[..1].to_uppercase() + &word[1..]
}

/// The hours of a week.
pub(crate) fn schedule_words(schedule: &Schedule) -> String {
    let day = |day: &Day| day_label(*day)[..3].to_owned();
    let days = match schedule.days.as_slice() {
        [] => "every day".to_owned(),
        days => days.iter().map(day).collect::<Vec<_>>().join(", "),
    };
    format!("{days} {}–{} {}", schedule.from, schedule.until, schedule.zone)
}

/// A severity as forms and records have it.
pub(crate) fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}

/// The severity that a form names; absent for any.
///
/// # Errors
/// When it is none.
pub(crate) fn read_severity(text: &str) -> Result<Option<Severity>, String> {
    match text {
        "" | "any" => Ok(None),
        text => {
            let found = Severity::ALL.into_iter().find(|severity| severity_word(*severity) == text);
            found.map(Some).ok_or_else(|| "severity: expected info, warning or critical".to_owned())
        }
    }
}

/// Names with blanks or commas between.
pub(crate) fn read_names(text: &str) -> Vec<String> {
    let is_between = |letter: char| letter.is_whitespace() || letter == ',';
    text.split(is_between).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// What the fields of a form say that something is about; `typed` has the text of each.
///
/// # Errors
/// When the severity is none.
pub(crate) fn read_matcher(typed: &impl Fn(&str) -> String) -> Result<Matcher, String> {
    Ok(Matcher {
        severity: read_severity(&typed("severity"))?,
        groups: read_names(&typed("groups")),
        rules: read_names(&typed("rules")),
        hosts: read_names(&typed("hosts")),
    })
}

/// The hours in the fields of a form.
pub(crate) fn read_schedule(typed: &impl Fn(&str) -> String) -> Schedule {
    let is_ticked = |day: &Day| !typed(&format!("day_{}", day.word())).is_empty();
    let zone = typed("zone").trim().to_owned();
    Schedule {
        zone: if zone.is_empty() { "UTC".to_owned() } else { zone },
        days: Day::ALL.into_iter().filter(is_ticked).collect(),
        from: typed("from").trim().to_owned(),
        until: typed("until").trim().to_owned(),
    }
}

/// When the silence of a form holds: from now on for a time, or every week.
///
/// # Errors
/// When the time is none.
pub(crate) fn read_when(typed: &impl Fn(&str) -> String, now_us: i64) -> Result<When, String> {
    if typed("repeat") == "weekly" {
        return Ok(When::Weekly(read_schedule(typed)));
    }
    let length = units::parse_duration(typed("for").trim());
    let length = length.map_err(|_| "for: expected a length of time, as in 2h or 3d".to_owned())?;
    Ok(once(now_us, length))
}

/// From `from_us` on for a time.
pub(crate) fn once(from_us: i64, length: Duration) -> When {
    let length_us = i64::try_from(length.as_micros()).unwrap_or(i64::MAX);
    When::Once { from_us, until_us: from_us.saturating_add(length_us) }
}

/// The route of a form.
///
/// # Errors
/// When a severity or a time is none.
pub(crate) fn read_route(typed: &impl Fn(&str) -> String, channels: &[String]) -> Result<Route, String> {
    let ticked = |prefix: &str| -> Vec<String> {
        channels.iter().filter(|id| !typed(&format!("{prefix}_{id}")).is_empty()).cloned().collect()
    };
    let has_hours = !typed("from").trim().is_empty() || !typed("until").trim().is_empty();
    let unless = read_severity(&typed("unless"))?.unwrap_or(Severity::Critical);
    let after = typed("after");
    let escalate = match after.trim() {
        "" => None,
        text => {
            let after = units::parse_duration(text);
            let after = after.map_err(|_| "escalate: expected a length of time, as in 15m".to_owned())?;
            Some(Escalation { after, channels: ticked("escalate") })
        }
    };
    Ok(Route {
        name: typed("name").trim().to_owned(),
        matcher: read_matcher(typed)?,
        channels: ticked("channel"),
        quiet: has_hours.then(|| Quiet { hours: read_schedule(typed), unless }),
        is_last: !typed("is_last").is_empty(),
        escalate,
    })
}

/// A silence, as a person may see it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SilenceEntry {
    /// Its id.
    pub id: String,
    /// The silence, without what is hidden.
    pub silence: Silence,
    /// Whether it holds now.
    pub holds: bool,
    /// Whether the person may end it.
    pub may_end: bool,
    /// How many of the latest alerts it muted.
    pub muted: usize,
    /// The latest of them: rule and host.
    pub latest: Vec<(String, String)>,
}

/// A silence as a page shows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SilenceLine {
    /// Its id.
    pub id: String,
    /// Whether it holds now, in a word, and the colour of that.
    pub state: (&'static str, &'static str),
    /// What it is about.
    pub about: String,
    /// Its groups; empty for every host.
    pub within: String,
    /// The hours, of a maintenance window.
    pub weekly: Option<String>,
    /// The end, of a silence, in µs since 1970 UTC.
    pub until_us: Option<i64>,
    /// Why.
    pub why: String,
    /// Who made it.
    pub who: String,
    /// What it muted.
    pub muted: String,
    /// Whether the person may end it.
    pub may_end: bool,
}

impl SilenceLine {
    /// The line of `entry`.
    pub(crate) fn of(entry: &SilenceEntry, now_us: i64) -> Self {
        let silence = &entry.silence;
        let (weekly, until_us) = match &silence.when {
            When::Weekly(schedule) => (Some(schedule_words(schedule)), None),
            When::Once { until_us, .. } => (None, Some(*until_us)),
        };
        let is_over = until_us.is_some_and(|until_us| until_us <= now_us);
        let state = match () {
            () if entry.holds => ("active", "silent"),
            () if is_over => ("over", ""),
            () => ("waiting", ""),
        };
        let named = entry.latest.iter().map(|(rule, host)| format!("{rule} on {host}"));
        let named = display::visible(&named.collect::<Vec<_>>().join(", ")).into_owned();
        let muted = match entry.muted {
            0 => "nothing".to_owned(),
            count if count > entry.latest.len() => format!("{}: {named}, …", display::count(count as u64)),
            count => format!("{count}: {named}"),
        };
        Self {
            id: entry.id.clone(),
            state,
            about: matcher_words(&silence.matcher),
            within: silence.within.as_ref().map(super::host_filter::words).unwrap_or_default(),
            weekly,
            until_us,
            why: display::visible(&silence.why).into_owned(),
            who: display::visible(&silence.who).into_owned(),
            muted,
            may_end: entry.may_end && !is_over,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed<'a>(fields: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> String + 'a {
        |name| fields.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value).to_owned()
    }

    #[test]
    fn a_form_says_what_a_silence_is_about_and_when_it_holds() {
        let fields = [
            ("rules", "disk-full, cpu-*"),
            ("hosts", " web-1  web-2"),
            ("severity", "warning"),
            ("for", "2h"),
        ];
        let matcher = read_matcher(&typed(&fields)).unwrap();
        assert_eq!(matcher_words(&matcher), "warning or worse; rule disk-full, cpu-*; host web-1, web-2");
        assert_eq!(matcher_words(&Matcher::default()), "everything");
        assert_eq!(read_when(&typed(&fields), 5), Ok(When::Once { from_us: 5, until_us: 5 + 7_200_000_000 }));
        assert!(read_when(&typed(&[("for", "soon")]), 5).unwrap_err().starts_with("for"));
        assert!(read_severity("awful").is_err());
        let weekly = [
            ("repeat", "weekly"),
            ("from", "22:00"),
            ("until", "07:00"),
            ("day_saturday", "1"),
            ("zone", "Europe/Berlin"),
        ];
        let When::Weekly(schedule) = read_when(&typed(&weekly), 5).unwrap() else { panic!("not weekly") };
        assert_eq!(schedule_words(&schedule), "Sat 22:00–07:00 Europe/Berlin");
        assert_eq!(day_label(Day::Monday), "Monday");
        assert_eq!(schedule.check(), Ok(()));
    }

    #[test]
    fn a_form_says_where_a_route_leads() {
        let channels = ["ops".to_owned(), "boss".to_owned()];
        let fields = [
            ("channel_ops", "1"),
            ("after", "15m"),
            ("escalate_boss", "1"),
            ("from", "22:00"),
            ("until", "07:00"),
            ("unless", "critical"),
        ];
        let route = read_route(&typed(&fields), &channels).unwrap();
        assert_eq!(route.channels, ["ops"]);
        assert_eq!(route.escalate.as_ref().unwrap().channels, ["boss"]);
        assert_eq!(route.quiet.as_ref().unwrap().hours.zone, "UTC");
        assert_eq!(route.check(), Ok(()));
        assert!(read_route(&typed(&[("after", "x")]), &channels).is_err());
        assert_eq!(
            read_route(&typed(&[]), &channels).unwrap().check().map_err(|bad| bad.field),
            Err("channels")
        );
    }
}
