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
        let mut of_choices = Vec::new();
        let known = choices.iter().filter(|choice| !is_null(choice));
        known.for_each(|choice| add(document, choice, place, deeper, &mut of_choices));
        let (own, within): (Vec<Line>, Vec<Line>) =
            of_choices.into_iter().partition(|line| line.place == place);
        let null = choices.iter().any(is_null).then_some("null");
        let kinds = joined(own.iter().map(|line| line.kind.as_str()).chain(null));
        let words = own.iter().map(|line| line.words.as_str()).find(|words| !words.is_empty());
        let words = words.unwrap_or_default().to_owned();
        let own = (!own.is_empty()).then(|| line(kinds));
        lines.extend(own.map(|line| if line.words.is_empty() { Line { words, ..line } } else { line }));
        lines.extend(within);
    } else {
        lines.push(line(kind(resolved)));
    }
}

/// The schema that `$ref` names, or the schema itself.
fn followed<'a>(document: &'a Json, schema: &'a Json) -> &'a Json {
    let named = schema["$ref"].as_str().and_then(|place| document.pointer(place.trim_start_matches('#')));
    named.unwrap_or(schema)
}

fn is_null(schema: &Json) -> bool {
    schema["type"] == "null"
}

/// Several types in words, each once: first all types, then the choices of those that have some.
fn joined<'a>(kinds: impl Iterator<Item = &'a str>) -> String {
    let (mut types, mut choices): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for kind in kinds {
        let (of_kind, of_choices) = kind.split_once(": ").unwrap_or((kind, ""));
        for single in of_kind.split(" or ").filter(|single| !types.contains(single)).collect::<Vec<_>>() {
            types.push(single);
        }
        choices.extend(Some(of_choices).filter(|choices| !choices.is_empty()));
    }
    let types = types.join(" or ");
    if choices.is_empty() { types } else { format!("{types}: {}", choices.join(", ")) }
}

/// The type of a value in words.
pub(crate) fn kind(schema: &Json) -> String {
    let types = match &schema["type"] {
        Json::String(one) => one.clone(),
        Json::Array(several) => several.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(" or "),
        _ => match schema["anyOf"].as_array() {
            Some(choices) => {
                let kinds: Vec<String> = choices.iter().map(kind).collect();
                return joined(kinds.iter().map(String::as_str));
            }
            None => "any".to_owned(),
        },
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_choice_of_types_is_one_line_with_all_of_them_and_null_is_none_of_its_own() {
        let document = json!({"schemas": {"Disk": {"type": "object", "description": "A disk.",
            "properties": {"bytes": {"type": "integer"}}, "required": ["bytes"]}}});
        let disk = json!({"$ref": "#/schemas/Disk"});
        let state = json!({"type": "string", "enum": ["up", "down"]});
        let schema = json!({"properties": {
            "disk": {"anyOf": [disk, {"type": "null"}]},
            "named": {"description": "Its own words.", "anyOf": [disk, {"type": "null"}]},
            "state": {"anyOf": [state, {"type": "null"}]},
            "value": {"oneOf": [{"type": ["integer", "null"]}, {"type": "string"}]},
        }, "required": ["disk", "named", "state", "value"]});
        let lines = outline(&document, &schema);
        let lines: Vec<_> =
            lines.iter().map(|line| (line.place.as_str(), line.kind.as_str(), line.words.as_str())).collect();
        let expected = [
            ("disk", "object or null", "A disk."),
            ("disk.bytes", "integer", ""),
            ("named", "object or null", "Its own words."),
            ("named.bytes", "integer", ""),
            ("state", "string or null: up, down", ""),
            ("value", "integer or null or string", ""),
        ];
        assert_eq!(lines, expected);
        assert_eq!(kind(&json!({"anyOf": [{"type": "integer"}, state]})), "integer or string: up, down");
    }
}
