//! The strings of a segment that repeat, as numbers.

use std::collections::HashMap;

/// Strings and their numbers.
#[derive(Debug, Default)]
pub(super) struct Strings {
    numbers: HashMap<String, u32>,
    texts: Vec<String>,
    text_bytes: usize,
}

impl Strings {
    pub(super) fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        // One number per snapshot and name at most, so far fewer than 2^32.
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.numbers.insert(text.to_owned(), number);
        self.texts.push(text.to_owned());
        // Kept as the key, and once more as the text.
        self.text_bytes += 2 * text.len();
        number
    }

    pub(super) fn text(&self, number: u32) -> &str {
        self.texts.get(number as usize).map_or("", String::as_str)
    }

    /// The memory that the texts take.
    pub(super) fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// The place of each number in alphabetical order.
    pub(super) fn ranks(&self) -> Vec<u32> {
        let mut by_text: Vec<usize> = (0..self.texts.len()).collect();
        by_text.sort_unstable_by_key(|number| &self.texts[*number]);
        let mut ranks = vec![0; by_text.len()];
        for (rank, number) in (0..).zip(by_text) {
            ranks[number] = rank;
        }
        ranks
    }
}
