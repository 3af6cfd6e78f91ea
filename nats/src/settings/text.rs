//! Reads a value for a setting.

use toml::{Table, Value};

use super::names::Declared;

/// `value`, where the setting can have it, its range aside.
///
/// # Errors
/// What is expected instead.
pub(super) fn accepted(declared: Declared, value: Value) -> Result<Value, String> {
    let table = Table::from_iter([(declared.setting.key.to_owned(), value.clone())]);
    let refused = |error: toml::de::Error| error.message().trim().to_owned();
    (declared.room.accepts)(table).map(|()| value).map_err(refused)
}

/// Reads `text`, which has no type, as the setting's: as text, as a number or truth, as a list with commas, in this order.
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
    let listed = text.split(',').map(|item| Value::String(item.trim().to_owned()));
    let list = Some(Value::Array(listed.collect()));
    [Some(Value::String(text.to_owned())), number, truth, list].into_iter().flatten()
}
