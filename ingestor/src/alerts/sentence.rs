//! Reads a rule as people type it.
//!
//! ```text
//! rule    := measure sign value ["clear" value] [lasting] ["over" over] ["where" filter]
//!          | "silent" ["for" duration]
//!          | "gone" "for" duration ["over" ("unit" | "program")]
//!          | "restart_loop"
//! measure := "count" | "disk" | "disk_full_in" | "memory_full_in" | "unusual" | a figure of the host, as `memory` or `load_1` | a number of the filter language, as `cpu`
//!          | a figure of fleetps's own, as `history_behind`
//! sign    := ">" | "<"
//! lasting := "for" duration | number "of" number
//! over    := "host" | "process" | "program" | "unit" | "user" | "filesystem"
//! ```
//!
//! As in `cpu > 90% for 10m over program where user:www-data` and `disk > 90% clear 85%`. What stands behind `where` is a filter
//! as on every page. Of a host without a filter, `cpu` is its own, in percent of all cores; with one it is the sum of those
//! processes, in percent of one core.

use std::time::Duration;

use fleetps_nats::units;

use super::{
    presence::FORGOTTEN_AFTER_MS,
    rule::{Lasting, Measure, Over, Rule, Severity, Threshold},
    sentence_terms::{measured, read_value},
};
use crate::filter::{Filter, FilterError};

/// Longest sentence, in bytes: the longest filter, and as much again.
const MAX_BYTES: usize = 2_000;
/// The longest time that anything must last: a state that takes a week to be noticed is a report.
const MAX_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// The most samples that are looked back at: they fit into a word, and ten minutes at 10 s are as many.
const MAX_SAMPLES: u8 = 60;
/// How far within the threshold a value must be to be well, where the rule does not say: a tenth.
const CLEAR_AT: f64 = 0.9;

/// The text is no rule. `Display` says where, and what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {message}")]
pub struct SentenceError {
    /// Where, in characters from 1.
    pub column: usize,
    /// The problem, and what was expected.
    pub message: String,
}

impl Rule {
    /// Reads a rule as people type it; module documentation has the language.
    ///
    /// # Errors
    /// Where and why it is none.
    pub fn parse(id: &str, revision: u64, severity: Severity, sentence: &str) -> Result<Self, SentenceError> {
        let sentence = sentence.trim();
        let mut words = Words::of(sentence)?;
        let read = words.rule()?;
        let Parts { measure, over, filter, threshold, lasting } = read;
        let (id, sentence) = (id.to_owned(), sentence.to_owned());
        Ok(Self { id, revision, severity, measure, over, filter, threshold, lasting, sentence, groups: None })
    }
}

/// The sentence without what stands behind `where`, for people who may not see what the filter asks for: `count < 1 where …`.
/// It still reads as a rule. Itself where it has no filter.
pub fn without_filter(sentence: &str) -> String {
    match Words::of(sentence) {
        Ok(Words { filter: Some((column, _)), .. }) => {
            sentence.chars().take(column - 1).chain(" …".chars()).collect()
        }
        _ => sentence.to_owned(),
    }
}

struct Parts {
    measure: Measure,
    over: Over,
    filter: Filter,
    threshold: Threshold,
    lasting: Lasting,
}

/// A word, and the column where it begins.
type Word<'a> = (usize, &'a str);

struct Words<'a> {
    words: Vec<Word<'a>>,
    at: usize,
    /// The filter, and the column where it begins.
    filter: Option<Word<'a>>,
    /// The column behind the last word.
    end: usize,
}

impl<'a> Words<'a> {
    fn of(text: &'a str) -> Result<Self, SentenceError> {
        if text.len() > MAX_BYTES {
            return Err(error(1, format!("a rule has at most {MAX_BYTES} bytes")));
        }
        let (mut words, mut filter, mut rest, mut column) = (Vec::new(), None, text, 1);
        loop {
            let trimmed = rest.trim_start();
            column += rest[..rest.len() - trimmed.len()].chars().count();
            if trimmed.is_empty() {
                break;
            }
            let length = trimmed.find(char::is_whitespace).unwrap_or(trimmed.len());
            let (word, behind) = trimmed.split_at(length);
            if word.eq_ignore_ascii_case("where") {
                filter = Some((column + 5, behind));
                break;
            }
            // Signs need no blanks around them.
            let mut at = column;
            for part in split_signs(word) {
                words.push((at, part));
                at += part.chars().count();
            }
            column += word.chars().count();
            rest = behind;
        }
        let end = words.last().map_or(1, |(column, word)| column + word.chars().count() + 1);
        Ok(Self { words, at: 0, filter, end })
    }

    fn next(&mut self) -> Option<Word<'a>> {
        let word = self.words.get(self.at).copied();
        self.at += 1;
        word
    }

    fn expect(&mut self, what: &str) -> Result<Word<'a>, SentenceError> {
        let end = self.end;
        self.next().ok_or_else(|| error(end, format!("expected {what}")))
    }

    /// Goes on behind the word `word` if that is next.
    fn keyword(&mut self, word: &str) -> bool {
        let is_next = self.words.get(self.at).is_some_and(|(_, next)| next.eq_ignore_ascii_case(word));
        self.at += usize::from(is_next);
        is_next
    }

    fn rule(&mut self) -> Result<Parts, SentenceError> {
        let (column, name) = self.expect("what is measured, as in `cpu > 90% for 10m`")?;
        let name = name.to_ascii_lowercase();
        if name == "silent" {
            return self.silent();
        }
        if name == "gone" {
            return self.gone();
        }
        if name == "restart_loop" {
            return self.restart_loop();
        }
        let over = self.find_over()?;
        let filter = self.read_filter()?;
        let (measure, over) = measured(&name, over, &filter).map_err(|message| error(column, message))?;
        let threshold = self.threshold(measure)?;
        let lasting = self.lasting()?;
        self.over_again();
        self.nothing_more()?;
        Ok(Parts { measure, over, filter, threshold, lasting })
    }

    fn silent(&mut self) -> Result<Parts, SentenceError> {
        let lasting = self.lasting()?;
        let Lasting::For(length) = lasting else {
            return Err(error(self.end, "a host that is silent sends no samples; say `silent for 2m`"));
        };
        self.nothing_more()?;
        let filter = self.read_filter()?;
        if !filter.is_empty() {
            return Err(error(self.end, "`silent` is a host's; there are no processes to choose by `where`"));
        }
        let raise = length.as_secs_f64();
        let threshold = Threshold { is_above: true, raise, clear: 0.0 };
        let lasting = Lasting::For(Duration::ZERO);
        Ok(Parts { measure: Measure::Silent, over: Over::Host, filter, threshold, lasting })
    }

    fn gone(&mut self) -> Result<Parts, SentenceError> {
        let over = self.find_over()?.unwrap_or(Over::Unit);
        if !matches!(over, Over::Unit | Over::Program) {
            let place = self.words.iter().position(|(_, word)| word.eq_ignore_ascii_case("over"));
            let column = place.and_then(|place| self.words.get(place + 1)).map_or(self.end, |word| word.0);
            return Err(error(column, "`gone` is measured over unit or over program"));
        }
        self.over_again();
        let length = match self.lasting()? {
            Lasting::For(length) if !length.is_zero() => length,
            _ => return Err(error(self.end, "expected for how long, as in `gone for 5m`")),
        };
        if length >= Duration::from_millis(u64::from(FORGOTTEN_AFTER_MS)) {
            // The length is the last word that was read.
            let column = self.words.get(self.at.saturating_sub(1)).map_or(self.end, |word| word.0);
            let message = "what is gone for three days is forgotten; say less, as in `gone for 5m`";
            return Err(error(column, message));
        }
        self.over_again();
        self.nothing_more()?;
        if let Some((column, _)) = self.filter {
            let message = "`gone` takes no `where`: what is gone has no processes to choose";
            return Err(error(column - 5, message));
        }
        let threshold = Threshold { is_above: true, raise: length.as_secs_f64(), clear: 0.0 };
        let lasting = Lasting::For(Duration::ZERO);
        Ok(Parts { measure: Measure::Gone, over, filter: Filter::default(), threshold, lasting })
    }

    fn restart_loop(&mut self) -> Result<Parts, SentenceError> {
        if let Some((column, word)) = self.next() {
            return Err(error(column, format!("`restart_loop` stands alone, without `{word}`")));
        }
        if let Some((column, _)) = self.filter {
            return Err(error(column - 5, "`restart_loop` stands alone, without `where`"));
        }
        let (measure, over, filter) = (Measure::RestartLoop, Over::Program, Filter::default());
        // A program loops or does not: one or none.
        let threshold = Threshold { is_above: true, raise: 0.5, clear: 0.5 };
        Ok(Parts { measure, over, filter, threshold, lasting: Lasting::For(Duration::ZERO) })
    }

    /// What stands behind `over`, wherever that is.
    fn find_over(&self) -> Result<Option<Over>, SentenceError> {
        let Some(place) = self.words.iter().position(|(_, word)| word.eq_ignore_ascii_case("over")) else {
            return Ok(None);
        };
        let words = Over::ALL.map(Over::word).join(", ");
        let Some((column, word)) = self.words.get(place + 1) else {
            return Err(error(self.end, format!("expected one of {words}")));
        };
        let over = Over::ALL.into_iter().find(|over| over.word().eq_ignore_ascii_case(word));
        over.map(Some).ok_or_else(|| error(*column, format!("`{word}` is not one of {words}")))
    }

    /// Goes on behind `over` and what it is, which was found before.
    fn over_again(&mut self) {
        if self.keyword("over") {
            self.next();
        }
    }

    fn read_filter(&self) -> Result<Filter, SentenceError> {
        let Some((column, text)) = self.filter else { return Ok(Filter::default()) };
        let at = |FilterError { column: within, message }| error(column + within - 1, message);
        let filter = Filter::parse(text).map_err(at)?;
        if filter.is_empty() {
            return Err(error(column, "expected a filter behind `where`, as in `where name:java`"));
        }
        Ok(filter)
    }

    fn threshold(&mut self, measure: Measure) -> Result<Threshold, SentenceError> {
        let (column, sign) = self.expect("> or <")?;
        let is_above = match sign {
            ">" => true,
            "<" => false,
            other => return Err(error(column, format!("expected > or <, not `{other}`"))),
        };
        let column = self.words.get(self.at).map_or(self.end, |word| word.0);
        let raise = self.value(measure)?;
        if is_above && raise >= 100.0 && measure.is_share() {
            return Err(error(column, "it is a share of the whole, which is never above 100 %"));
        }
        let clear = match self.keyword("clear") {
            true => Some((self.words.get(self.at).map_or(self.end, |word| word.0), self.value(measure)?)),
            false => None,
        };
        if let Some((column, clear)) = clear
            && (if is_above { clear > raise } else { clear < raise })
        {
            let message = "the value at which it is well again lies beyond the one at which it is raised";
            return Err(error(column, message));
        }
        let usual = match (measure, is_above) {
            (Measure::Count, _) => raise,
            (_, true) => raise * CLEAR_AT,
            (_, false) => (raise / CLEAR_AT).min(f64::MAX),
        };
        Ok(Threshold { is_above, raise, clear: clear.map_or(usual, |(_, clear)| clear) })
    }

    fn value(&mut self, measure: Measure) -> Result<f64, SentenceError> {
        let (column, text) = self.expect("a value")?;
        read_value(measure, text).map_err(|message| error(column, message))
    }

    fn lasting(&mut self) -> Result<Lasting, SentenceError> {
        if self.keyword("for") {
            let (column, text) = self.expect("a length of time, as in 5m")?;
            let length = units::parse_duration(text).map_err(|message| error(column, message))?;
            return match length <= MAX_FOR {
                true => Ok(Lasting::For(length)),
                false => Err(error(column, "nothing may have to last longer than 7d")),
            };
        }
        let is_of = self.words.get(self.at + 1).is_some_and(|(_, word)| word.eq_ignore_ascii_case("of"));
        if !is_of {
            return Ok(Lasting::For(Duration::ZERO));
        }
        let number = |(column, text): Word<'_>| match text.parse::<u8>() {
            Ok(number) if (1..=MAX_SAMPLES).contains(&number) => Ok((column, number)),
            _ => Err(error(column, format!("expected a number of samples from 1 to {MAX_SAMPLES}"))),
        };
        let (column, hits) = number(self.expect("a number of samples")?)?;
        self.next();
        let (_, of) = number(self.expect("a number of samples")?)?;
        match hits <= of {
            true => Ok(Lasting::Samples { hits, of }),
            false => Err(error(column, format!("{hits} of {of} samples are more than all of them"))),
        }
    }

    fn nothing_more(&mut self) -> Result<(), SentenceError> {
        let expected = "expected `clear`, `for`, as in `3 of 5`, `over` or `where`";
        self.next().map_or(Ok(()), |(column, word)| Err(error(column, format!("{expected}, not `{word}`"))))
    }
}

/// The parts of a word with signs as parts of their own.
fn split_signs(word: &str) -> impl Iterator<Item = &str> {
    let mut rest = word;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let length = match first {
            '<' | '>' => 1,
            _ => rest.find(['<', '>']).unwrap_or(rest.len()),
        };
        let (part, behind) = rest.split_at(length);
        rest = behind;
        Some(part)
    })
}

fn error(column: usize, message: impl Into<String>) -> SentenceError {
    SentenceError { column, message: message.into() }
}

#[cfg(test)]
#[path = "sentence_tests.rs"]
mod tests;
