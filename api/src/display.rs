//! How numbers, times and strings from hosts are written.
//!
//! At most three significant digits, tabular; an unknown value is [`MISSING`], never zero. Strings from hosts are
//! hostile: characters that could reorder, hide or break text are made visible here, and the templates escape HTML.

use std::borrow::Cow;

use jiff::Timestamp;

/// Stands for a value that is not known.
pub(crate) const MISSING: &str = "–";
/// Shade classes by strength: none, then sixteen steps of the column's hue.
const SHADES: [&str; 17] = [
    "", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "s12", "s13", "s14", "s15", "s16",
];
/// A binary step each: a process's 182 M is 182 MiB.
const SIZE_UNITS: [&str; 6] = ["", " k", " M", " G", " T", " P"];

/// A percentage, as in "0.0", "14.2", "119" or "2,030".
pub(crate) fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| MISSING.to_owned(), |value| three_digits(value, 1))
}

/// A load average, as in "0.42", "26.5" or "130".
pub(crate) fn load(value: Option<f32>) -> String {
    value.map_or_else(|| MISSING.to_owned(), |value| three_digits(f64::from(value), 2))
}

/// Bytes in binary steps, as in "12.4 M".
pub(crate) fn size(bytes: Option<f64>) -> String {
    bytes.map_or_else(|| MISSING.to_owned(), scaled)
}

/// By how many bytes something grew or shrank, as in "+355 M" or "−3.40 M": the minus is as long as a plus.
pub(crate) fn change(bytes: i64) -> String {
    let sign = if bytes >= 0 { "+" } else { "−" };
    format!("{sign}{}", scaled(bytes.unsigned_abs() as f64))
}

/// Bytes in binary steps with the unit written out, as in "31.2 GiB".
pub(crate) fn size_long(bytes: Option<u64>) -> String {
    let Some(bytes) = bytes else { return MISSING.to_owned() };
    match scaled(bytes as f64).split_once(' ') {
        Some((number, unit)) => format!("{number} {}iB", unit.replace('k', "K")),
        None => format!("{bytes} B"),
    }
}

/// A count, as in "5,214".
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A count that may be unknown.
pub(crate) fn count_or_missing(value: Option<u64>) -> String {
    value.map_or_else(|| MISSING.to_owned(), count)
}

/// A duration in its largest unit, as in "3 s", "12 m", "5 h" or "41 d".
pub(crate) fn duration(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ ..60 => format!("{seconds} s"),
        seconds @ ..3_600 => format!("{} m", seconds / 60),
        seconds @ ..86_400 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", count(u64::try_from(seconds / 86_400).unwrap_or_default())),
    }
}

/// CPU time, as in "4.21 s", "12:05" (minutes and seconds) or "31:00:07" (hours, minutes and seconds).
pub(crate) fn cpu_time(time_ms: Option<u64>) -> String {
    let Some(time_ms) = time_ms else { return MISSING.to_owned() };
    match time_ms / 1000 {
        0..60 => format!("{} s", three_digits(time_ms as f64 / 1000.0, 2)),
        seconds @ 60..3_600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        seconds => format!("{}:{:02}:{:02}", count(seconds / 3600), seconds / 60 % 60, seconds % 60),
    }
}

/// A time as people read it, in UTC: "2026-11-17 02:56:20 UTC".
pub(crate) fn time(time_us: i64) -> String {
    formatted(time_us, "%Y-%m-%d %H:%M:%S UTC")
}

/// A time whose day is known: "02:56 UTC".
pub(crate) fn clock(time_us: i64) -> String {
    formatted(time_us, "%H:%M UTC")
}

/// The same to the second: "02:56:07 UTC".
pub(crate) fn clock_to_the_second(time_us: i64) -> String {
    formatted(time_us, "%H:%M:%S UTC")
}

/// A time whose year is known: "17 Nov 02:56".
pub(crate) fn day_and_clock(time_us: i64) -> String {
    formatted(time_us, "%-d %b %H:%M")
}

fn formatted(time_us: i64, format: &str) -> String {
    timestamp(time_us).map_or_else(|| MISSING.to_owned(), |time| time.strftime(format).to_string())
}

/// A time as programs read it: RFC 3339 in UTC with microseconds.
pub fn time_exact(time_us: i64) -> String {
    timestamp(time_us).map_or_else(String::new, |time| format!("{time:.6}"))
}

fn timestamp(time_us: i64) -> Option<Timestamp> {
    Timestamp::from_microsecond(time_us).ok()
}

/// The shade class for a share from 0 to 1.
pub(crate) fn shade(share: f64) -> &'static str {
    let steps = (SHADES.len() - 1) as f64;
    let step = (share.clamp(0.0, 1.0) * steps).round();
    SHADES.get(step as usize).copied().unwrap_or_default()
}

/// The shade class for a share whose small values matter too: 1 % is visible, 25 % is half the strength.
pub(crate) fn shade_small(share: f64) -> &'static str {
    shade(share.max(0.0).sqrt())
}

/// A string from a host with everything visible that would hide or reorder text: control characters become their
/// pictures, characters that change direction or have no width their code points.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_treacherous) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match u32::from(character) {
            code @ 0..=0x1f => shown.push(char::from_u32(0x2400 + code).unwrap_or('␀')),
            0x7f => shown.push('␡'),
            code if is_treacherous(character) => shown.push_str(&format!("‹U+{code:04X}›")),
            _ => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

/// Controls, direction marks, embeddings and isolates, zero-width characters, line separators, tags, fillers.
pub fn is_treacherous(character: char) -> bool {
    matches!(character,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// At most `most` characters of `text`, with "…" when there were more.
pub(crate) fn cut(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
    }
}

/// What JSON says of a problem, as a sentence of a page: it begins with a capital and ends, and what JSON has between backticks
/// is between quotation marks. What begins with a name stays as it is.
pub(crate) fn sentence(text: &str) -> String {
    // A path, a command, a host or the name of a field is written as it is.
    let is_word = text.split(' ').next().is_some_and(|word| word.chars().all(char::is_alphabetic));
    let mut sentence = quoted(text);
    if let (true, Some(first)) = (is_word, text.chars().next()) {
        sentence.replace_range(..first.len_utf8(), &first.to_uppercase().to_string());
    }
    if !sentence.is_empty() && !sentence.ends_with(['.', '!', '?', '…', ':']) {
        sentence.push('.');
    }
    sentence
}

/// What JSON has between backticks, between quotation marks.
pub(crate) fn quoted(text: &str) -> String {
    let mut is_open = false;
    let quote = |character: char| match character {
        '`' => {
            is_open = !is_open;
            if is_open { '“' } else { '”' }
        }
        other => other,
    };
    text.chars().map(quote).collect()
}

/// Three significant digits, at most `decimals` of them behind the point, thousands grouped.
fn three_digits(value: f64, decimals: usize) -> String {
    let value = value.max(0.0);
    if value < 9.995 {
        return format!("{value:.decimals$}");
    }
    if value < 99.95 {
        return format!("{value:.1}");
    }
    let mut step = 1.0;
    while value / step >= 999.5 && step < 1e15 {
        step *= 10.0;
    }
    count(((value / step).round() * step) as u64)
}

fn scaled(bytes: f64) -> String {
    let mut value = bytes.max(0.0);
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < SIZE_UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = match () {
        () if unit == 0 || value >= 99.95 => 0,
        () if value >= 9.995 => 1,
        () => 2,
    };
    format!("{value:.decimals$}{}", SIZE_UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_at_most_three_significant_digits() {
        for (value, text) in [
            (0.0, "0.0"),
            (0.04, "0.0"),
            (9.96, "10.0"),
            (14.23, "14.2"),
            (99.94, "99.9"),
            (99.97, "100"),
            (118.6, "119"),
            (2034.0, "2,030"),
            (999.6, "1,000"),
            (1_234_567.0, "1,230,000"),
        ] {
            assert_eq!(percent(Some(value)), text, "{value}");
        }
        assert_eq!(percent(None), MISSING);
        assert_eq!(
            (load(Some(0.416)), load(Some(26.47)), load(None)),
            ("0.42".into(), "26.5".into(), "–".into())
        );
    }

    #[test]
    fn sizes_go_in_binary_steps() {
        for (bytes, text, long) in [
            (0, "0", "0 B"),
            (999, "999", "999 B"),
            (1_000, "0.98 k", "0.98 KiB"),
            (217_088, "212 k", "212 KiB"),
            (13_002_342, "12.4 M", "12.4 MiB"),
            (34_359_738_368, "32.0 G", "32.0 GiB"),
            (u64::MAX, "16,384 P", "16,384 PiB"),
        ] {
            if bytes != u64::MAX {
                assert_eq!(size(Some(bytes as f64)), text);
                assert_eq!(size_long(Some(bytes)), long);
            }
        }
        assert_eq!((size(None), size_long(None)), (MISSING.to_owned(), MISSING.to_owned()));
        let changes = [355 << 20, -3_565_158, 0].map(change);
        assert_eq!(changes, ["+355 M", "−3.40 M", "+0"].map(str::to_owned));
    }

    #[test]
    fn durations_and_times_are_short() {
        for (seconds, text) in [
            (-1, "0 s"),
            (59, "59 s"),
            (60, "1 m"),
            (7_199, "1 h"),
            (86_400, "1 d"),
            (864_000_000, "10,000 d"),
        ] {
            assert_eq!(duration(seconds), text);
        }
        for (ms, text) in [
            (4_210, "4.21 s"),
            (59_000, "59.0 s"),
            (725_000, "12:05"),
            (6_000_000, "1:40:00"),
            (111_607_000, "31:00:07"),
        ] {
            assert_eq!(cpu_time(Some(ms)), text);
        }
        assert_eq!(count(5_214), "5,214");
        assert_eq!(time_exact(1_795_000_000_123_456), "2026-11-18T11:06:40.123456Z");
        assert_eq!(time(1_795_000_000_123_456), "2026-11-18 11:06:40 UTC");
        assert_eq!(clock(1_795_000_000_123_456), "11:06 UTC");
        assert_eq!(day_and_clock(1_795_000_000_123_456), "18 Nov 11:06");
        assert_eq!(time(i64::MAX), MISSING);
    }

    #[test]
    fn treacherous_characters_become_visible() {
        for (text, shown) in [
            ("nginx: worker", "nginx: worker"),
            ("größe 日本", "größe 日本"),
            ("a\0b\x1b[31mc\n", "a␀b␛[31mc␊"),
            ("\u{202e}gpj.exe", "‹U+202E›gpj.exe"),
            ("a\u{200b}b\u{feff}", "a‹U+200B›b‹U+FEFF›"),
            ("\u{7f}\u{85}", "␡‹U+0085›"),
        ] {
            assert_eq!(visible(text), shown);
        }
        assert_eq!((cut("äbc", 2), cut("äb", 2)), ("äb…".into(), "äb".into()));
    }

    #[test]
    fn problems_are_sentences_on_pages() {
        for (text, shown) in [
            ("wrong name or password", "Wrong name or password."),
            ("the parameter `at` cannot be \"x\"", "The parameter “at” cannot be \"x\"."),
            ("`fleetps serve` needs it.", "“fleetps serve” needs it."),
            ("ärger", "Ärger."),
            ("until: expected a time", "until: expected a time."),
            ("docs/tls.md says how", "docs/tls.md says how."),
            ("web-01 is down", "web-01 is down."),
            ("", ""),
        ] {
            assert_eq!(sentence(text), shown);
        }
    }

    #[test]
    fn shades_grow_with_the_value() {
        assert_eq!((shade(0.0), shade(0.5), shade(7.0), shade(f64::NAN)), ("", "s8", "s16", ""));
        assert_eq!((shade_small(0.01), shade_small(0.25)), ("s2", "s8"));
    }
}
