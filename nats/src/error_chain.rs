//! An error as one line of text.

use std::{error::Error, fmt::Write};

/// An error and everything that caused it, on one line.
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outside")]
    struct Outer(#[source] std::num::ParseIntError);

    #[test]
    fn every_cause_is_named_in_order() {
        let cause = "x".parse::<u8>().unwrap_err();
        assert_eq!(error_chain(&Outer(cause)), "outside: invalid digit found in string");
    }
}
