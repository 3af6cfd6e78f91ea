//! Which hosts the fleet page shows: plain words, all of which must occur, whatever their case. Processes have a language
//! of their own, [`fleetps_ingestor::filter`].

/// A filter; the empty one lets everything through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    words: Vec<String>,
}

impl Filter {
    /// Reads a filter as people type it.
    pub fn parse(text: &str) -> Self {
        Self { words: text.split_whitespace().map(str::to_lowercase).collect() }
    }

    /// Whether it lets everything through.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Whether every word occurs in one of `texts`.
    pub fn matches(&self, texts: &[&str]) -> bool {
        if self.words.is_empty() {
            return true;
        }
        let texts: Vec<String> = texts.iter().map(|text| text.to_lowercase()).collect();
        self.words.iter().all(|word| texts.iter().any(|text| text.contains(word)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_must_occur_somewhere() {
        for (filter, matches) in [
            ("", true),
            ("nginx", true),
            ("NGINX", true),
            ("worker nginx", true),
            ("ster proc", true),
            ("nginx postgres", false),
            ("nginx: worker", true),
        ] {
            assert_eq!(
                Filter::parse(filter).matches(&["nginx", "nginx: master worker process"]),
                matches,
                "{filter}"
            );
        }
    }
}
