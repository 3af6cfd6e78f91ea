//! A schema as lines, one for each field, as people read it and as two versions can be compared.

use serde_json::Value as Json;

/// A field of an answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// Its place, as in `hosts[].state`; empty for what is no object.
    pub place: String,
    /// Its type, as in `string or null`.
    pub kind: String,
    /// What it is, where that is said.
    pub words: String,
}

/// The deepest schema that is followed: deeper than any answer, so that one which holds itself comes to an end.
const DEEPEST: usize = 12;

/// The fields that values of `schema` have, where `document` has the schemas that it refers to.
pub fn outline(document: &Json, schema: &Json) -> Vec<Line> {
    let mut lines = Vec::new();
    add(document, schema, "", DEEPEST, &mut lines);
    lines
}

fn add(document: &Json, schema: &Json, place: &str, depth: usize, lines: &mut Vec<Line>) {
    let resolved = followed(document, schema);
    let Some(deeper) = depth.checked_sub(1) else { return };
    let words = [schema, resolved].into_iter().find_map(|schema| schema["description"].as_str());
    let line = |kind: String| Line {
        place: place.to_owned(),
        kind,
        words: words.unwrap_or_default().replace('\n', " "),
    };
    if let Some(fields) = resolved["properties"].as_object() {
        let required = resolved["required"].as_array();
        let is_there = |name: &str| required.is_some_and(|names| names.iter().any(|given| given == name));
        lines.extend((!place.is_empty()).then(|| line(kind(resolved))));
        for (name, field) in fields {
            let dot = if place.is_empty() { "" } else { "." };
            let optional = if is_there(name) { "" } else { "?" };
            add(document, field, &format!("{place}{dot}{name}{optional}"), deeper, lines);
        }
    } else if resolved["items"].is_object() {
        lines.push(line(kind(resolved)));
        add(document, &resolved["items"], &format!("{place}[]"), deeper, lines);
    } else if let Some(choices) = ["anyOf", "oneOf"].iter().find_map(|name| resolved[*name].as_array()) {
        choices.iter().for_each(|choice| add(document, choice, place, deeper, lines));
    } else {
        lines.push(line(kind(resolved)));
    }
}

/// The schema that `$ref` names, or the schema itself.
fn followed<'a>(document: &'a Json, schema: &'a Json) -> &'a Json {
    let named = schema["$ref"].as_str().and_then(|place| document.pointer(place.trim_start_matches('#')));
    named.unwrap_or(schema)
}

/// The type of a value in words.
pub fn kind(schema: &Json) -> String {
    let types = match &schema["type"] {
        Json::String(one) => one.clone(),
        Json::Array(several) => several.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(" or "),
        _ if schema["anyOf"].is_array() => "string".to_owned(),
        _ => "any".to_owned(),
    };
    let choices = schema["enum"].as_array().map(|choices| {
        choices.iter().map(|choice| choice.as_str().unwrap_or("null")).collect::<Vec<_>>().join(", ")
    });
    match (choices, schema["format"].as_str()) {
        (Some(choices), _) => format!("{types}: {choices}"),
        (None, Some("date-time")) => types.replace("string", "time"),
        (None, _) => types,
    }
}
