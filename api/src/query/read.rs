//! Reading a query.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde_html_form::de::Error;

use super::parameter::BadParameter;

/// Name and value.
type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Reads the part of a URL behind the question mark.
///
/// # Errors
/// Names the parameter that has a value it cannot have.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, BadParameter> {
    let pairs: Vec<Pair<'_>> =
        form_urlencoded::parse(text.as_bytes()).filter(|(_, value)| !value.is_empty()).collect();
    parse(&pairs).map_err(|error| refused::<T>(&pairs, &error))
}

fn parse<T: DeserializeOwned>(pairs: &[Pair<'_>]) -> Result<T, Error> {
    let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    serde_html_form::from_str(&text)
}

/// Which of the parameters is to blame: the first without which those before it can be read. The error does not say,
/// because flattened structs lose the names.
fn refused<T: DeserializeOwned>(pairs: &[Pair<'_>], error: &Error) -> BadParameter {
    let counts: Vec<usize> = (1..=pairs.len()).collect();
    let good = counts.partition_point(|count| parse::<T>(&pairs[..*count]).is_ok());
    let (name, value) = pairs.get(good).or(pairs.last()).cloned().unwrap_or_default();
    // Others behind it may be wrong too, and the whole query's error may be theirs.
    let of_its_own = parse::<T>(pairs.get(..=good).unwrap_or(pairs)).err();
    BadParameter::new(&name, &value, expected(&of_its_own.as_ref().unwrap_or(error).to_string()))
}

/// The error's text completes "expected …"; an unknown parameter has serde's own text.
fn expected(error: &str) -> String {
    match error.strip_prefix("unknown field ").and_then(|rest| rest.split_once(", expected ")) {
        Some((_, known)) => format!("another name: {}", known.replace('`', "")),
        None => error.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::query::parameter::{self, Count};

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Strict {
        #[serde(with = "parameter")]
        rows: Count<5, 10>,
        #[serde(with = "parameter::list")]
        pids: Vec<u32>,
    }

    #[test]
    fn a_parameter_that_is_empty_counts_as_absent_and_of_a_repeated_one_the_last_counts() {
        let query: Strict = read("rows=&pids=&rows=3&rows=7").unwrap();
        assert_eq!((query.rows.get(), query.pids.as_slice()), (7, [].as_slice()));
    }

    #[test]
    fn a_list_has_commas_or_is_repeated() {
        let query: Strict = read("pids=1,2&rows=1&pids=3&pids=,").unwrap();
        assert_eq!(query.pids, [1, 2, 3]);
    }

    #[test]
    fn a_refusal_names_the_parameter_its_value_and_what_is_expected() {
        for (text, parameter, given, expected) in [
            ("pids=1&rows=x", "rows", "x", "a whole number from 0 to 10"),
            ("rows=2&pids=1,b", "pids", "1,b", "process ids with commas between; \"b\" is not one"),
            ("rows=1&rwos=2&pids=1", "rwos", "2", "another name: rows or pids"),
            ("pids=b&rows=x", "pids", "b", "process ids with commas between"),
            ("rows=x&pids=b", "rows", "x", "a whole number from 0 to 10"),
        ] {
            let refusal = read::<Strict>(text).unwrap_err();
            assert_eq!(
                (refusal.parameter.as_str(), refusal.given.as_str(), refusal.expected.as_str()),
                (parameter, given, expected)
            );
        }
    }
}
