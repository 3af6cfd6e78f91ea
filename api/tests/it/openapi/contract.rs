//! What programs rely on: the routes, their parameters, and the fields of their answers, a line each in `contract.txt`. A line
//! that is broken needs a line in the changelog which says so.
//!
//! `contract.txt` is of the last release, or of the first document before there is one. After a release it is written anew:
//! `FLEETPS_TEST_RENEW_CONTRACT=1 cargo test -p fleetps --test it -- openapi::contract`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use fleetps::testing::{openapi::outline, routes::interface};
use serde_json::{Value, json};

use super::{file, operations};

/// A part of the contract: the route, and what of it.
type Part = (String, String);

/// The parts of a document with what is promised of each: for a field, its types; for a parameter, `needed` or not.
fn contract(document: &Value) -> BTreeMap<Part, BTreeSet<String>> {
    let mut parts: BTreeMap<Part, BTreeSet<String>> = BTreeMap::new();
    for (method, path, operation) in operations(document) {
        let route = format!("{} {path}", method.to_ascii_uppercase());
        let mut promise = |what: String, words: BTreeSet<String>| {
            parts.entry((route.clone(), what)).or_default().extend(words);
        };
        promise("route".to_owned(), BTreeSet::new());
        for parameter in operation["parameters"].as_array().unwrap() {
            let name = parameter["name"].as_str().unwrap();
            let is_needed = parameter["required"] == true && parameter["in"] == "query";
            promise(format!("takes {name}"), is_needed.then(|| "needed".to_owned()).into_iter().collect());
            let schema = if parameter["schema"]["items"].is_object() {
                &parameter["schema"]["items"]
            } else {
                &parameter["schema"]
            };
            for choice in schema["enum"].as_array().into_iter().flatten() {
                promise(format!("takes {name}={}", choice.as_str().unwrap_or("null")), BTreeSet::new());
            }
        }
        let good =
            operation["responses"].as_object().unwrap().iter().filter(|(status, _)| status.starts_with('2'));
        for (kind, content) in good.filter_map(|(_, response)| response["content"].as_object()).flatten() {
            promise(format!("answers {kind}"), BTreeSet::new());
            let data = &content["x-event-data"];
            let schema = if data.is_null() { &content["schema"] } else { data };
            for line in outline(document, schema).into_iter().filter(|line| !line.place.is_empty()) {
                let types = line.kind.split(':').next().unwrap_or_default();
                let mut types: BTreeSet<String> = types.split(" or ").map(str::to_owned).collect();
                types.extend(line.place.contains('?').then(|| "absent".to_owned()));
                promise(format!("field {}", line.place.replace('?', "")), types);
            }
        }
    }
    parts
}

/// A contract as lines of a file.
fn written(contract: &BTreeMap<Part, BTreeSet<String>>) -> String {
    let line = |((route, what), words): (&Part, &BTreeSet<String>)| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        format!("{route} | {what} | {}\n", words.join(", "))
    };
    contract.iter().map(line).collect()
}

fn read(text: &str) -> BTreeMap<Part, BTreeSet<String>> {
    let line = |line: &str| {
        let mut parts = line.split('|').map(|part| part.trim().to_owned());
        let (route, what, words) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        let words = words.split(", ").filter(|word| !word.is_empty()).map(str::to_owned).collect();
        ((route, what), words)
    };
    text.lines().map(line).collect()
}

/// What of `before` is broken in `after`: what is gone, and what says more than it did. A parameter that is needed now is
/// broken even where it is new.
fn broken(
    before: &BTreeMap<Part, BTreeSet<String>>,
    after: &BTreeMap<Part, BTreeSet<String>>,
) -> Vec<(Part, String)> {
    let mut all = Vec::new();
    for (part, promised) in before {
        // A route that is gone is one fault, not one for each of its fields.
        let is_of_a_route_that_is_gone =
            part.1 != "route" && !after.contains_key(&(part.0.clone(), "route".to_owned()));
        match after.get(part) {
            None if is_of_a_route_that_is_gone => {}
            None => all.push((part.clone(), "is gone".to_owned())),
            Some(now) if !now.is_subset(promised) => {
                let (now, before) = (Vec::from_iter(now).len(), Vec::from_iter(promised).len());
                all.push((part.clone(), format!("may be something else ({before} kinds, now {now})")));
            }
            Some(_) => {}
        }
    }
    let is_old = |route: &str| before.contains_key(&(route.to_owned(), "route".to_owned()));
    for (part, words) in after.iter().filter(|(part, _)| !before.contains_key(*part)) {
        if is_old(&part.0) && words.contains("needed") {
            all.push((part.clone(), "is needed now".to_owned()));
        }
    }
    all
}

/// Whether the changelog has a line that says `Breaking` and names the route and the part in backticks.
fn is_told((route, what): &Part, changelog: &str) -> bool {
    let name = what.split_once(' ').map_or("", |(_, name)| name);
    changelog.lines().any(|line| {
        line.contains("Breaking")
            && line.contains(&format!("`{route}`"))
            && (name.is_empty() || line.contains(&format!("`{name}`")))
    })
}

#[test]
fn what_programs_rely_on_stays_unless_the_changelog_says_otherwise() {
    let now = contract(&interface().document());
    let path = file("api/tests/it/openapi/contract.txt");
    if std::env::var_os("FLEETPS_TEST_RENEW_CONTRACT").is_some() {
        fs::write(&path, written(&now)).unwrap();
        return;
    }
    let promised = fs::read_to_string(&path).unwrap();
    let changelog = fs::read_to_string(file("CHANGELOG.md")).unwrap();
    let untold: Vec<String> = broken(&read(&promised), &now)
        .into_iter()
        .filter(|(part, _)| !is_told(part, &changelog))
        .map(|((route, what), how)| format!("{route}: {what} {how}"))
        .collect();
    assert!(
        untold.is_empty(),
        "programs that use the JSON interface break; undo it, or say it in CHANGELOG.md in a line such as \
         \"Breaking: `GET /api/v1/hosts` no longer has `hosts[].os`\":\n{}",
        untold.join("\n")
    );
}

/// A document with one route, which takes `by`, and answers these fields.
fn document(parameters: Value, fields: Value) -> Value {
    let schema = json!({"type": "object", "properties": fields, "required": ["name"]});
    json!({"paths": {"/top": {"get": {
        "parameters": parameters,
        "responses": {"200": {"content": {"application/json": {"schema": schema}}}},
    }}}})
}

#[test]
fn what_is_gone_changed_or_needed_is_broken_and_what_is_new_is_not() {
    let by = |required: bool, choices: &[&str]| json!([{"name": "by", "in": "query", "required": required, "schema": {"type": "string", "enum": choices}}]);
    let fields = json!({"name": {"type": "string"}, "pid": {"type": ["integer", "null"]}});
    let before = contract(&document(by(false, &["cpu", "memory"]), fields.clone()));
    assert_eq!(read(&written(&before)), before);
    let faults = |after: &Value| -> Vec<String> {
        let faults = broken(&before, &contract(after));
        faults.into_iter().map(|((_, what), how)| format!("{what} {how}")).collect()
    };
    let with = |parameters: Value, fields: Value| faults(&document(parameters, fields));
    let more = json!({"name": {"type": "string"}, "pid": {"type": "integer"}, "new": {"type": "string"}});
    assert_eq!(with(by(false, &["cpu", "memory", "read"]), more), [""; 0]);
    assert_eq!(with(by(false, &["cpu"]), fields.clone()), ["takes by=memory is gone"]);
    assert_eq!(with(json!([]), fields.clone())[0], "takes by is gone");
    let needed = with(by(true, &["cpu", "memory"]), fields.clone());
    assert_eq!(needed, ["takes by may be something else (0 kinds, now 1)"]);
    let without = json!({"name": {"type": "string"}});
    assert_eq!(with(by(false, &["cpu", "memory"]), without), ["field pid is gone"]);
    let other = json!({"name": {"type": ["string", "null"]}, "pid": {"type": "string"}});
    assert_eq!(with(by(false, &["cpu", "memory"]), other).len(), 2);
    assert_eq!(faults(&json!({"paths": {}})), ["route is gone"]);
    let another = json!([{"name": "by", "in": "query", "required": false, "schema": {"type": "string", "enum": ["cpu", "memory"]}},
        {"name": "who", "in": "query", "required": true, "schema": {"type": "string"}}]);
    assert_eq!(with(another, fields), ["takes who is needed now"]);
}

#[test]
fn a_line_of_the_changelog_excuses_what_it_names() {
    let part = ("GET /api/v1/hosts".to_owned(), "field hosts[].os".to_owned());
    for (line, is_told_by) in [
        ("- Breaking: `GET /api/v1/hosts` no longer has `hosts[].os`.", true),
        ("- `GET /api/v1/hosts` no longer has `hosts[].os`.", false),
        ("- Breaking: `GET /api/v1/hosts` no longer has `hosts[].state`.", false),
        ("- Breaking: `GET /api/v1/top` no longer has `hosts[].os`.", false),
    ] {
        assert_eq!(is_told(&part, line), is_told_by, "{line}");
    }
}
