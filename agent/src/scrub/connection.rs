//! Connection strings: `Server=db;User Id=sa;Password=two words;`. A value ends at the semicolon, whatever is in it.

use std::fmt::Write;

use super::{HIDDEN, names};

/// Longest name of a value.
const MAX_NAME_BYTES: usize = 60;

/// The text with its named secrets hidden; `None` where it is no connection string, or has none. What stands before the
/// first semicolon may be anything, as `jdbc:sqlserver://db`.
pub(super) fn scrub(text: &str) -> Option<String> {
    let (first, others) = text.split_once(';')?;
    let is_last_empty = others.trim().is_empty();
    let has_pairs = parts(others).filter(|part| !part.trim().is_empty()).all(is_pair);
    if !has_pairs || (is_last_empty && !is_pair(first)) {
        return None;
    }
    if !parts(text).any(|part| secret_from(part).is_some()) {
        return None;
    }
    let mut scrubbed = String::with_capacity(text.len());
    for (place, part) in parts(text).enumerate() {
        if place > 0 {
            scrubbed.push(';');
        }
        match secret_from(part) {
            Some(from) => _ = write!(scrubbed, "{}{HIDDEN}", &part[..from]),
            None => scrubbed.push_str(part),
        }
    }
    Some(scrubbed)
}

/// The parts between semicolons that are not in quotes.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut quote = None;
    text.split(move |letter: char| {
        match (quote, letter) {
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), _) if open == letter => quote = None,
            _ => {}
        }
        quote.is_none() && letter == ';'
    })
}

fn is_pair(part: &str) -> bool {
    part.split_once('=').is_some_and(|(name, _)| {
        let name = name.trim();
        (1..=MAX_NAME_BYTES).contains(&name.len())
            && name.chars().all(|letter| letter.is_ascii_alphanumeric() || " _-.:/".contains(letter))
    })
}

/// Where the value of a secret begins, which goes on to the end. A value may be a pair of its own: `--db=Password=x`.
fn secret_from(part: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = part[from..].find('=').map(|at| from + at) {
        if names::is_secret(part[from..at].trim()) && at + 1 < part.len() {
            return Some(at + 1);
        }
        from = at + 1;
    }
    None
}
