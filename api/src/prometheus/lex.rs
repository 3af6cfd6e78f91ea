//! A question as words, each with its column.

use super::problem::Problem;

/// The longest question, in bytes: dashboards have some hundred, with long lists of hosts some thousand.
const MAX_BYTES: usize = 16 << 10;

/// A word with the column of its first character, from 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) word: Word,
    pub(super) column: usize,
}

/// A word.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Word {
    /// A name or a keyword.
    Name(String),
    /// A number.
    Number(f64),
    /// A length of time, in ms.
    Duration(i64),
    /// A text in quotes.
    Text(String),
    /// An operator or a bracket.
    Sign(&'static str),
    /// The end of the question.
    End,
}

/// Operators and brackets; of two with the same beginning, the longer comes first.
const SIGNS: [&str; 27] = [
    "=~", "!~", "!=", "==", "<=", ">=", "(", ")", "{", "}", "[", "]", ",", "=", "<", ">", "+", "-", "*", "/",
    "%", "^", "@", ":", ";", "&", "|",
];
/// The units of a length of time, in ms; of two with the same beginning, the longer comes first.
const UNITS: [(&str, i64); 7] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 604_800_000),
    ("y", 31_536_000_000),
];

/// The words of `text`.
///
/// # Errors
/// When there is a character that begins no word, or a text without an end.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Problem> {
    if text.len() > MAX_BYTES {
        return Err(Problem::of_all(format!("the question is longer than {MAX_BYTES} bytes")));
    }
    let (mut rest, mut column, mut tokens) = (text, 1, Vec::new());
    loop {
        let trimmed = rest.trim_start();
        column += rest.len() - trimmed.len();
        rest = match trimmed.strip_prefix('#') {
            Some(comment) => {
                let end = comment.find('\n').unwrap_or(comment.len());
                column += 1 + comment[..end].chars().count();
                &comment[end..]
            }
            None if trimmed.is_empty() => break,
            None => {
                let (word, after) = word(trimmed, column)?;
                tokens.push(Token { word, column });
                column += trimmed[..trimmed.len() - after.len()].chars().count();
                after
            }
        };
    }
    tokens.push(Token { word: Word::End, column });
    Ok(tokens)
}

/// The first word, and what is behind it.
fn word(text: &str, column: usize) -> Result<(Word, &str), Problem> {
    let first = text.chars().next().unwrap_or_default();
    let has_digit = |text: &str| text.starts_with(|digit: char| digit.is_ascii_digit());
    match first {
        '"' | '\'' | '`' => quoted(text, first, column),
        'a'..='z' | 'A'..='Z' | '_' => {
            let is_part = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':');
            let end = text.find(|letter| !is_part(letter)).unwrap_or(text.len());
            let (name, after) = text.split_at(end);
            Ok((Word::Name(name.to_owned()), after))
        }
        _ if has_digit(text) || text.strip_prefix('.').is_some_and(has_digit) => number(text, column),
        _ => SIGNS
            .into_iter()
            .find_map(|sign| Some((Word::Sign(sign), text.strip_prefix(sign)?)))
            .ok_or_else(|| Problem::at(column, format!("{first:?} begins nothing that is known"))),
    }
}

/// A number or a length of time.
fn number(text: &str, column: usize) -> Result<(Word, &str), Problem> {
    if let Some((length_ms, after)) = duration(text) {
        return Ok((Word::Duration(length_ms), after));
    }
    let bad = || Problem::at(column, "this is no number");
    if let Some(digits) = text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        let end = digits.find(|digit: char| !digit.is_ascii_hexdigit()).unwrap_or(digits.len());
        let value = u64::from_str_radix(&digits[..end], 16).map_err(|_| bad())?;
        return Ok((Word::Number(value as f64), &digits[end..]));
    }
    let mut end = 0;
    let bytes = text.as_bytes();
    while let Some(byte) = bytes.get(end) {
        let is_sign = matches!(byte, b'+' | b'-')
            && end > 0
            && bytes.get(end - 1).is_some_and(|before| matches!(before, b'e' | b'E'));
        if !(byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E') || is_sign) {
            break;
        }
        end += 1;
    }
    let (digits, after) = text.split_at(end);
    if after.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_') {
        return Err(bad());
    }
    digits.parse().map(|value| (Word::Number(value), after)).map_err(|_| bad())
}

/// A length of time in ms, as in `1h30m`.
pub(crate) fn duration_ms(text: &str) -> Option<i64> {
    duration(text).filter(|(_, rest)| rest.is_empty()).map(|(length_ms, _)| length_ms)
}

/// A length of time in ms, as in `1h30m`; `None` where it is none, or longer than can be counted.
fn duration(text: &str) -> Option<(i64, &str)> {
    let (mut rest, mut length_ms, mut parts) = (text, 0_i64, 0);
    while rest.starts_with(|digit: char| digit.is_ascii_digit()) {
        let end = rest.find(|digit: char| !digit.is_ascii_digit())?;
        let (digits, behind) = rest.split_at(end);
        let (unit_ms, after) =
            UNITS.into_iter().find_map(|(unit, ms)| Some((ms, behind.strip_prefix(unit)?)))?;
        length_ms = length_ms.checked_add(digits.parse::<i64>().ok()?.checked_mul(unit_ms)?)?;
        (rest, parts) = (after, parts + 1);
    }
    let goes_on = rest.starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '_');
    (parts > 0 && !goes_on).then_some((length_ms, rest))
}

/// A text in quotes, with Go's escapes unless they are backticks.
fn quoted(text: &str, quote: char, column: usize) -> Result<(Word, &str), Problem> {
    let mut found = String::new();
    let mut letters = text.char_indices().skip(1);
    while let Some((place, letter)) = letters.next() {
        match letter {
            end if end == quote => return Ok((Word::Text(found), &text[place + 1..])),
            '\\' if quote != '`' => {
                let escape = letters.next().map(|(_, letter)| letter);
                found.push(match escape {
                    Some('n') => '\n',
                    Some('t') => '\t',
                    Some('r') => '\r',
                    Some(same @ ('\\' | '"' | '\'')) => same,
                    _ => {
                        return Err(Problem::at(
                            column,
                            "a backslash in this text begins no escape; write \\\\ for one",
                        ));
                    }
                });
            }
            letter => found.push(letter),
        }
    }
    Err(Problem::at(column, "this text has no end"))
}
