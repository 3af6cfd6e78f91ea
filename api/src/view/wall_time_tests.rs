//! Times as people type them, in Berlin, where clocks change.

use super::*;

/// A Friday, 16:45 in Berlin and 15:45 in UTC.
const NOW: &str = "2026-11-27T16:45:00[Europe/Berlin]";

/// What `text` means when a clock in the zone of `now` shows `now`, in UTC.
fn at_clock(text: &str, now: &str) -> Result<String, String> {
    let now: Zoned = now.parse().unwrap();
    read(text, &now).map(|time_us| Timestamp::from_microsecond(time_us).unwrap().to_string())
}

#[test]
fn a_time_is_read_in_the_zone_of_its_reader() {
    for (text, expected) in [
        ("16:28", "2026-11-27T15:28:00Z"),
        ("16:28:55", "2026-11-27T15:28:55Z"),
        ("16:28:55.25", "2026-11-27T15:28:55.25Z"),
        ("4:28 PM", "2026-11-27T15:28:00Z"),
        ("4pm", "2026-11-27T15:00:00Z"),
        ("4 p.m.", "2026-11-27T15:00:00Z"),
        ("12:05 am", "2026-11-26T23:05:00Z"),
        ("12:05 pm", "2026-11-27T11:05:00Z"),
        ("today 03:12", "2026-11-27T02:12:00Z"),
        ("yesterday 03:12", "2026-11-26T02:12:00Z"),
        ("03:12 yesterday", "2026-11-26T02:12:00Z"),
        ("Yesterday at 3:12 AM", "2026-11-26T02:12:00Z"),
        ("yesterday", "2026-11-25T23:00:00Z"),
        ("Nov 27, 4:28 PM", "2026-11-27T15:28:00Z"),
        ("27 Nov 16:28", "2026-11-27T15:28:00Z"),
        ("2026-11-27 16:28", "2026-11-27T15:28:00Z"),
        ("2026-11-27T16:28:55", "2026-11-27T15:28:55Z"),
        ("2026-11-27", "2026-11-26T23:00:00Z"),
        ("2026/11/27 16:28:55", "2026-11-27T15:28:55Z"),
        ("27.11.2026, 16:28:57", "2026-11-27T15:28:57Z"),
        ("Mon 09:00", "2026-11-23T08:00:00Z"),
        ("friday 16:28", "2026-11-27T15:28:00Z"),
        ("friday 17:28", "2026-11-20T16:28:00Z"),
        ("2027-01-01 00:00", "2026-12-31T23:00:00Z"),
    ] {
        assert_eq!(at_clock(text, NOW).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn what_pages_and_browsers_write_can_be_pasted() {
    for (text, expected) in [
        ("Nov 27, 2026, 4:28:57 PM", "2026-11-27T15:28:57Z"),
        ("Nov 27, 2026, 4:28:57\u{202f}PM", "2026-11-27T15:28:57Z"),
        ("27 Nov 2026, 16:28:57", "2026-11-27T15:28:57Z"),
        ("27 nov. 2026 16:28:57", "2026-11-27T15:28:57Z"),
        ("Fri, 27 Nov 2026 15:28:57 GMT", "2026-11-27T15:28:57Z"),
        ("2026-11-27 15:28:57 UTC", "2026-11-27T15:28:57Z"),
        ("2026-11-27T15:28:57.391Z", "2026-11-27T15:28:57.391Z"),
    ] {
        assert_eq!(at_clock(text, NOW).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn a_zone_in_the_text_counts_and_its_day_is_the_day_there() {
    for (text, expected) in [
        ("16:28Z", "2026-11-26T16:28:00Z"),
        ("15:28 UTC", "2026-11-27T15:28:00Z"),
        ("09:28-05:00", "2026-11-27T14:28:00Z"),
        ("2026-11-27 16:28 +0100", "2026-11-27T15:28:00Z"),
        ("2026-11-27T16:28+01", "2026-11-27T15:28:00Z"),
        ("today 00:30 +10:00", "2026-11-27T14:30:00Z"),
    ] {
        assert_eq!(at_clock(text, NOW).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn what_is_left_out_makes_it_the_latest_moment_that_is_over() {
    for (text, now, expected) in [
        ("16:46", NOW, "2026-11-27T15:46:00Z"),
        ("16:47", NOW, "2026-11-26T15:47:00Z"),
        ("23:50", "2026-11-28T00:10:00[Europe/Berlin]", "2026-11-27T22:50:00Z"),
        ("Nov 28 12:00", NOW, "2025-11-28T11:00:00Z"),
        ("Feb 29", NOW, "2024-02-28T23:00:00Z"),
        ("Tue, Nov 25", NOW, "2025-11-24T23:00:00Z"),
    ] {
        assert_eq!(at_clock(text, now).as_deref(), Ok(expected), "{text} at {now}");
    }
}

#[test]
fn a_time_that_clocks_skip_is_later_and_one_that_occurs_twice_is_the_first() {
    let spring = "2026-03-29T12:00:00[Europe/Berlin]";
    assert_eq!(at_clock("02:30", spring).as_deref(), Ok("2026-03-29T01:30:00Z"));
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    let autumn = "2026-10-25T12:00:00[Europe/Berlin]";
    for (text, expected, again) in [
        ("02:30", "2026-10-25T00:30:00Z", "2026-10-25 02:30:00+02:00"),
        ("02:30+01:00", "2026-10-25T01:30:00Z", "2026-10-25 02:30:00+01:00"),
        ("01:30", "2026-10-24T23:30:00Z", "2026-10-25 01:30:00"),
    ] {
        assert_eq!(at_clock(text, autumn).as_deref(), Ok(expected), "{text}");
        let time_us = read(text, &autumn.parse().unwrap()).unwrap();
        assert_eq!(written(time_us, &berlin), again);
        assert_eq!(read(again, &autumn.parse().unwrap()), Ok(time_us));
    }
}

#[test]
fn what_is_written_is_read_again() {
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    let now: Zoned = NOW.parse().unwrap();
    for (time_us, expected) in [
        (1_795_793_337_000_000, "2026-11-27 16:28:57"),
        (1_795_793_337_391_000, "2026-11-27 16:28:57.391"),
        (1_795_793_337_391_007, "2026-11-27 16:28:57.391007"),
    ] {
        assert_eq!(written(time_us, &berlin), expected);
        assert_eq!(read(expected, &now), Ok(time_us));
    }
}

#[test]
fn what_is_no_time_is_refused_with_what_is_wrong_about_it() {
    for (text, problem) in [
        ("", "the day is not complete, or said twice"),
        ("yesterdy", "“yesterdy” is neither a day nor a time of day"),
        ("25:00", "“25:00” is neither a day nor a time of day"),
        ("13pm", "“13pm” is neither a day nor a time of day"),
        ("2026-13-01", "there is no day 2026-13-01"),
        ("2026-02-30 10:00", "there is no day 2026-02-30"),
        ("11/27/2026", "“11/27/2026” can be read in several ways; write the day as 2026-11-27 or Nov 27"),
        ("Thu, Nov 27, 2026", "2026-11-27 was no such day of the week"),
        ("16:28 17:28", "it has more than one time of day"),
        ("Nov", "the day is not complete, or said twice"),
        ("27", "the day is not complete, or said twice"),
        ("yesterday Nov 27", "the day is not complete, or said twice"),
        ("16:28 CET", "“cet” is neither a day nor a time of day"),
        ("<script>", "“<script>” is neither a day nor a time of day"),
        ("-15", "the day is not complete, or said twice"),
    ] {
        assert_eq!(at_clock(text, NOW), Err(problem.to_owned()), "{text}");
    }
    assert_eq!(at_clock(&"1 ".repeat(100), NOW), Err(String::new()));
}
