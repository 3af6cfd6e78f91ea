//! Reads a value for a setting.

use toml::{Table, Value};

use super::names::Declared;

/// `value`, where the setting can have it, its range aside.
///
/// # Errors
/// What is expected instead.
pub(super) fn accepted(declared: Declared, value: Value) -> Result<Value, String> {
    let table = Table::from_iter([(declared.setting.key.to_owned(), value.clone())]);
    let refused = |error: toml::de::Error| expected(error.message().trim());
    (declared.room.accepts)(table).map(|()| value).map_err(refused)
}

/// A problem with what is expected, where a library only says that something is wrong.
fn expected(problem: &str) -> String {
    match problem {
        "invalid socket address syntax" => {
            "expected an address and a port, as in 127.0.0.1:8080 or [::1]:8080; names are not looked up".to_owned()
        }
        "invalid IP address syntax" => {
            "expected an address, as in 192.0.2.1, or a network, as in 192.0.2.0/24; several with commas between".to_owned()
        }
        other => other.to_owned(),
    }
}

/// Reads `text`, which has no type, as the setting's: as text, as a number or truth, as a list, in this order. A list has commas
/// between its parts, or is written as in a settings file (`["a", "b"]`), which is how settings are printed.
///
/// # Errors
/// What is expected instead.
pub(super) fn read(declared: Declared, text: &str) -> Result<Value, String> {
    let mut problems = Vec::new();
    for candidate in candidates(text) {
        match accepted(declared, candidate) {
            Ok(value) => return Ok(value),
            Err(problem) => problems.push(problem),
        }
    }
    // A problem of type only says that the guess was wrong.
    let of_value = problems.iter().position(|problem| !problem.starts_with("invalid type"));
    Err(problems.swap_remove(of_value.unwrap_or(0)))
}

fn candidates(text: &str) -> impl Iterator<Item = Value> {
    let number = text.parse().ok().map(Value::Integer);
    let truth = text.parse().ok().map(Value::Boolean);
    [Some(Value::String(text.to_owned())), number, truth, list(text)].into_iter().flatten()
}

/// The list that is meant; `None` where one in brackets and quotes does not end as it should.
fn list(text: &str) -> Option<Value> {
    let text = text.trim();
    let in_brackets = || toml::from_str::<Table>(&format!("list = {text}")).ok()?.remove("list");
    let listed = text.split(',').filter(|_| !text.is_empty());
    let listed = || Value::Array(listed.map(|item| Value::String(item.trim().to_owned())).collect());
    match text.starts_with('[') {
        // An address may begin with a bracket, too.
        true => in_brackets().filter(Value::is_array).or_else(|| (!text.contains(['"', '\''])).then(listed)),
        false => Some(listed()),
    }
}
