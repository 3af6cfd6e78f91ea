//! Strings from the system: hostile, so never longer than a snapshot takes.

use fleetps_nats::snapshot::MAX_STRING_BYTES;

/// The text, cut at 4 KiB, between two characters.
pub fn cut(mut text: String) -> String {
    if text.len() > MAX_STRING_BYTES {
        text.truncate(text.floor_char_boundary(MAX_STRING_BYTES));
    }
    text
}

/// The same for a text that may be absent.
pub fn cut_option(text: Option<String>) -> Option<String> {
    text.map(cut)
}

/// A command line travels cut to 4 KiB; a secret that begins before and ends after that must still be seen whole to be
/// recognised. Nothing beyond this is read or sent, so that a hostile command line of megabytes costs little.
const MAX_LOOKED_AT_BYTES: usize = 16 << 10;

/// The arguments up to 16 KiB together.
pub fn within_budget(mut arguments: Vec<String>) -> Vec<String> {
    let mut left = MAX_LOOKED_AT_BYTES;
    for argument in &mut arguments {
        argument.truncate(argument.floor_char_boundary(left));
        // An empty argument still takes a space.
        left = left.saturating_sub(argument.len() + 1);
    }
    let kept = arguments.iter().rposition(|argument| !argument.is_empty()).map_or(0, |last| last + 1);
    arguments.truncate(kept);
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut("short".to_owned()), "short");
        assert_eq!(cut("x".repeat(5000)).len(), 4096);
        let cut_text = cut("€".repeat(2000));
        assert_eq!(cut_text.len(), 4095);
        assert!(cut_text.ends_with('€'));
    }

    #[test]
    fn of_a_huge_command_line_the_beginning_is_looked_at() {
        let arguments = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert_eq!(within_budget(arguments(&["a", "", "b"])), arguments(&["a", "", "b"]));
        let huge = "€".repeat(4_000);
        let kept = within_budget(arguments(&["a", &huge, &huge, "b"]));
        assert_eq!((kept.len(), kept[1].len()), (3, 12_000));
        assert!(kept[2].len() > 4_300 && kept[2].ends_with('€'));
        assert!(within_budget(vec![String::new(); 1_000_000]).is_empty());
    }
}
