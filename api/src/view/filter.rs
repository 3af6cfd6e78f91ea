//! The filter of the fleet page: plain words, which must all occur, in any case; and `group:web`, which is that group
//! and no other. Processes have a language of their own, [`fleetps_ingestor::filter`].

use std::collections::BTreeSet;

/// The prefix of a word that names a group.
const GROUP: &str = "group:";

/// A filter; the empty one lets everything through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    words: Vec<String>,
    groups: Vec<String>,
}

impl Filter {
    /// Reads a filter as people type it.
    pub fn parse(text: &str) -> Self {
        let mut parsed = Self::default();
        for word in text.split_whitespace().map(str::to_lowercase) {
            match word.strip_prefix(GROUP) {
                Some(group) => parsed.groups.push(group.to_owned()),
                None => parsed.words.push(word),
            }
        }
        parsed
    }

    /// Whether it lets everything through.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty() && self.groups.is_empty()
    }

    /// Whether every word occurs in one of `texts`, and every group is one of `groups`.
    pub fn matches(&self, texts: &[&str], groups: &BTreeSet<String>) -> bool {
        if self.is_empty() {
            return true;
        }
        let texts: Vec<String> = texts.iter().map(|text| text.to_lowercase()).collect();
        self.words.iter().all(|word| texts.iter().any(|text| text.contains(word)))
            && self.groups.iter().all(|wanted| groups.iter().any(|group| is_group(group, wanted)))
    }
}

/// Whether `wanted` is the group, or the name of one that has a value: `env` is `env=prod` and `env=test`.
fn is_group(group: &str, wanted: &str) -> bool {
    let name = group.split_once('=').map(|(name, _)| name);
    group.eq_ignore_ascii_case(wanted) || name.is_some_and(|name| name.eq_ignore_ascii_case(wanted))
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
            let texts = ["nginx", "nginx: master worker process"];
            assert_eq!(Filter::parse(filter).matches(&texts, &BTreeSet::new()), matches, "{filter}");
        }
    }

    #[test]
    fn a_group_is_that_group_or_one_of_that_name_with_any_value_and_never_one_that_begins_like_it() {
        let groups = ["web-2", "env=prod", "Team=Web"].map(str::to_owned).into();
        for (filter, matches) in [
            ("group:web-2", true),
            ("GROUP:WEB-2", true),
            ("group:web", false),
            ("group:web-", false),
            ("group:web-22", false),
            ("group:env", true),
            ("group:env=prod", true),
            ("group:env=pro", false),
            ("group:env=", false),
            ("group:en", false),
            ("group:prod", false),
            ("group:team=web", true),
            ("group:", false),
            ("group:web-2 group:env=prod one", true),
            ("group:web-2 group:env=test", false),
            ("group:web-2 two", false),
        ] {
            assert_eq!(Filter::parse(filter).matches(&["one"], &groups), matches, "{filter}");
        }
    }
}
