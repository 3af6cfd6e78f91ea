//! fleetps's own secrets: each begins with what no other text does, so it is found wherever it stands in an argument, glued
//! to other text or percent-encoded.

use std::borrow::Cow;

use super::HIDDEN;

/// The prefixes of own secrets, with their least number of letters.
const PREFIXES: [(&str, usize); 3] = [
    // Enrolment tokens: 52 letters, and a part of one is worth hiding too.
    ("fpse_", 16),
    // API tokens: 43 letters. Less would hide the names of crates.
    ("fleetps_", 40),
    // One-time links: 43 letters.
    ("/welcome/", 40),
];
/// The names of cookies, with the port and `__Host-` left out.
const COOKIES: [&str; 2] = ["fleetps-browser", "fleetps"];
/// Letters of a cookie's secret.
const COOKIE_LETTERS: usize = 40;
/// Letters of the seed of a key.
const SEED_LETTERS: usize = 58;
/// The beginnings of a seed: S, and the kind of key.
const SEED_STARTS: [&str; 6] = ["SU", "SA", "SO", "SN", "SC", "SX"];

/// The text with every own secret in it replaced.
pub(super) fn without_own_secrets(text: &str) -> Cow<'_, str> {
    let mut found = secrets(text);
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    found.sort_unstable();
    let (mut hidden, mut end) = (String::new(), 0);
    for (from, to) in found {
        if from >= end {
            hidden.push_str(&text[end..from]);
            hidden.push_str(HIDDEN);
        }
        end = end.max(to);
    }
    hidden.push_str(&text[end..]);
    Cow::Owned(hidden)
}

/// Where secrets begin and end. All they consist of is ASCII, so these are boundaries of characters.
fn secrets(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (prefix, least) in PREFIXES {
        for (at, _) in text.match_indices(prefix) {
            let start = at + prefix.len();
            let length = letters(&text[start..]);
            if length >= least {
                // A token's prefix is part of the token; a link's prefix is an address.
                found.push((if prefix.starts_with('/') { start } else { at }, start + length));
            }
        }
    }
    for name in COOKIES {
        found.extend(text.match_indices(name).filter_map(|(at, _)| cookie(text, at + name.len())));
    }
    for run in text.split(|letter: char| !is_base32(letter)) {
        // `run` is a part of `text`.
        let start = run.as_ptr() as usize - text.as_ptr() as usize;
        found.extend(seed_in(run).map(|at| (start + at, start + run.len())));
    }
    found
}

/// The number of letters, as tokens have them, at the beginning of a text.
fn letters(text: &str) -> usize {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    text.bytes().position(|byte| !is_letter(byte)).unwrap_or(text.len())
}

/// The secret of a cookie whose name, but for a port, ends at `end`.
fn cookie(text: &str, end: usize) -> Option<(usize, usize)> {
    let rest = &text[end..];
    let port = rest
        .strip_prefix('-')
        .map_or(0, |port| 1 + port.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(port.len()));
    let equals = ["=", "%3D", "%3d"].into_iter().find(|equals| rest[port..].starts_with(equals))?;
    let start = end + port + equals.len();
    let length = letters(&text[start..]);
    (length >= COOKIE_LETTERS).then_some((start, start + length))
}

fn is_base32(letter: char) -> bool {
    letter.is_ascii_uppercase() || ('2'..='7').contains(&letter)
}

/// Where a seed may begin in letters of base32. What stands before one may be such letters, too, as the `3D` of `%3D` is.
fn seed_in(run: &str) -> Option<usize> {
    let last = (run.len() + 1).saturating_sub(SEED_LETTERS);
    (0..last).find(|at| SEED_STARTS.iter().any(|start| run[*at..].starts_with(start)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_found_behind_letters_that_it_could_have_itself() {
        let seed = format!("SU{}", "A".repeat(SEED_LETTERS - 2));
        for before in ["", "key=", "key%3D", "key%3A"] {
            let text = format!("{before}{seed}&rest");
            let hidden = without_own_secrets(&text);
            assert!(!hidden.contains(&seed) && hidden.ends_with("&rest"), "{hidden}");
        }
    }

    #[test]
    fn names_that_merely_look_alike_stay() {
        for text in [
            "target/release/deps/fleetps_ingestor-6c8ae81f5853092b",
            "--features fleetps_nats/managed",
            "https://example.com/welcome/back",
            "fleetps-agent join nats://fleet.example.com:4222",
            "cp fpse_notes.txt /tmp",
            "SUMMARY",
        ] {
            assert_eq!(without_own_secrets(text), text);
        }
    }
}
