//! Strings from the system: hostile, so never longer than a snapshot takes.
//!
//! What identifies a process stands at both ends of a command line: the program, and behind a class path of kilobytes
//! the main class. So a text that is too long loses the middle of its longest words, and a mark says how many bytes
//! stood there: `java -cp /opt/a.jar:…[5,812 bytes]…:/opt/z.jar com.example.Main --port 8080`. The text with `n` bytes
//! in place of each mark is as long as the original.
//!
//! Command lines come here scrubbed ([`crate::scrub`]), so a cut never parts a secret from what tells that it is one.

use fleetps_nats::snapshot::MAX_STRING_BYTES;

use crate::scrub::Part;

/// A word is cut to no less: a mark of about 20 bytes and 14 at both ends.
const MIN_WORD_BYTES: usize = 48;
const MARK_START: &str = "…[";
const MARK_END: &str = " bytes]…";

/// The text, cut at 4 KiB, between two characters.
pub(super) fn cut(mut text: String) -> String {
    if text.len() > MAX_STRING_BYTES {
        text.truncate(text.floor_char_boundary(MAX_STRING_BYTES));
    }
    text
}

/// The same for a text that may be absent.
pub(super) fn cut_option(text: Option<String>) -> Option<String> {
    text.map(cut)
}

/// The command line of these parts, joined by spaces, of at most 4 KiB, and whether something is missing in it.
pub(super) fn line(parts: &[Part]) -> (String, bool) {
    let words: Vec<Word<'_>> = parts.iter().map(Word::from).collect();
    let is_begun = words.iter().any(|word| word.left_out > 0);
    if length(&words) <= MAX_STRING_BYTES {
        return (written(&words), is_begun);
    }
    (fitted(words, MAX_STRING_BYTES), true)
}

/// A text of several words shortened to `most` bytes (128 at least); `None` where it is no longer.
pub(super) fn shorter_line(text: &str, most: usize) -> Option<String> {
    (text.len() > most).then(|| fitted(words_of(text), most))
}

/// A text that is one word, such as a path, shortened to `most` bytes; `None` where it is no longer.
pub(super) fn shorter_word(text: &str, most: usize) -> Option<String> {
    (text.len() > most).then(|| written(&[Word::read(text).within(most)]))
}

/// A word: its beginning, how many bytes are left out after it, and its end.
#[derive(Debug, Clone, Copy)]
struct Word<'a> {
    head: &'a str,
    left_out: usize,
    tail: &'a str,
}

impl<'a> From<&'a Part> for Word<'a> {
    fn from(part: &'a Part) -> Self {
        Self { head: &part.text, left_out: part.left_out, tail: "" }
    }
}

impl<'a> Word<'a> {
    /// A word as it was written, with or without a mark in it.
    fn read(text: &'a str) -> Self {
        match find_mark(text) {
            Some((start, end, left_out)) => Self { head: &text[..start], left_out, tail: &text[end..] },
            None => Self { head: text, left_out: 0, tail: "" },
        }
    }

    /// The bytes that it had before any were left out.
    fn original_len(&self) -> usize {
        self.head.len().saturating_add(self.left_out).saturating_add(self.tail.len())
    }

    fn len(&self) -> usize {
        self.head.len() + self.tail.len() + if self.left_out > 0 { mark(self.left_out).len() } else { 0 }
    }

    /// Cut to `most` bytes where it is longer: as much is kept at its beginning as at its end.
    fn within(self, most: usize) -> Self {
        if self.len() <= most {
            return self;
        }
        // A whole word's end is the end of its head.
        let (head, tail) = if self.left_out == 0 { (self.head, self.head) } else { (self.head, self.tail) };
        let kept = most.saturating_sub(mark(self.original_len()).len());
        let from_tail = (kept / 2).min(tail.len()).max(kept.saturating_sub(head.len()));
        let tail = &tail[tail.ceil_char_boundary(tail.len().saturating_sub(from_tail))..];
        let head = &head[..head.floor_char_boundary(kept.saturating_sub(from_tail))];
        Self { head, left_out: self.original_len().saturating_sub(head.len() + tail.len()), tail }
    }
}

/// The words with the longest cut until they have at most `most` bytes together; where that is not enough because they
/// are many, those in the middle are left out.
fn fitted(mut words: Vec<Word<'_>>, most: usize) -> String {
    let fits = |longest: usize| {
        let bytes = words.iter().map(|word| word.len().min(longest)).sum::<usize>();
        bytes + words.len().saturating_sub(1) <= most
    };
    let (mut longest, mut too_long) = (MIN_WORD_BYTES, most + 1);
    while fits(longest) && too_long - longest > 1 {
        let middle = longest.midpoint(too_long);
        if fits(middle) { longest = middle } else { too_long = middle }
    }
    // Between two steps of the search `longest` fits; before the first it may not.
    for word in &mut words {
        *word = word.within(longest);
    }
    if length(&words) > most {
        leave_out_middle(&mut words, most);
    }
    written(&words)
}

/// Puts one mark in place of the words in the middle.
fn leave_out_middle(words: &mut Vec<Word<'_>>, most: usize) {
    let original = words.iter().fold(words.len(), |sum, word| sum.saturating_add(word.original_len()));
    // The mark and the spaces around it.
    let half = most.saturating_sub(mark(original).len() + 2) / 2;
    let within_half = |words: &mut dyn Iterator<Item = &Word<'_>>| {
        let mut bytes = 0;
        words
            .take_while(|word| {
                bytes += word.len() + 1;
                bytes <= half
            })
            .count()
    };
    let head = within_half(&mut words.iter());
    let tail = words.len() - within_half(&mut words[head..].iter().rev());
    let bytes =
        words[head..tail].iter().fold(0_usize, |sum, word| sum.saturating_add(word.original_len() + 1));
    words.splice(head..tail, [Word { head: "", left_out: bytes.saturating_sub(1), tail: "" }]);
}

fn length(words: &[Word<'_>]) -> usize {
    words.iter().map(Word::len).sum::<usize>() + words.len().saturating_sub(1)
}

fn written(words: &[Word<'_>]) -> String {
    let mut text = String::with_capacity(length(words));
    for (place, word) in words.iter().enumerate() {
        if place > 0 {
            text.push(' ');
        }
        text.push_str(word.head);
        if word.left_out > 0 {
            text.push_str(&mark(word.left_out));
        }
        text.push_str(word.tail);
    }
    text
}

/// The words of a line; a mark's own space parts none.
fn words_of(text: &str) -> Vec<Word<'_>> {
    let (mut words, mut rest) = (Vec::new(), text);
    loop {
        let marked = find_mark(rest);
        let space = rest.find(' ');
        let end = match (space, marked) {
            // The mark is in this word: the word ends at the first space behind it.
            (Some(space), Some((start, end, _))) if start < space => {
                rest[end..].find(' ').map_or(rest.len(), |behind| end + behind)
            }
            (Some(space), _) => space,
            (None, _) => rest.len(),
        };
        words.push(Word::read(&rest[..end]));
        match rest.get(end + 1..) {
            Some(behind) if end < rest.len() => rest = behind,
            _ => return words,
        }
    }
}

fn mark(left_out: usize) -> String {
    let digits = left_out.to_string();
    let mut number = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            number.push(',');
        }
        number.push(digit);
    }
    format!("{MARK_START}{number}{MARK_END}")
}

/// Where the first mark stands in a text, and its number.
fn find_mark(text: &str) -> Option<(usize, usize, usize)> {
    let mut from = 0;
    while let Some(start) = text[from..].find(MARK_START).map(|start| from + start) {
        let number = start + MARK_START.len();
        let digits = text[number..].bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b',').count();
        let end = number + digits;
        let left_out = text[number..end].replace(',', "").parse().ok();
        if let Some(left_out) = left_out.filter(|_| text[end..].starts_with(MARK_END)) {
            return Some((start, end + MARK_END.len(), left_out));
        }
        from = number;
    }
    None
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
