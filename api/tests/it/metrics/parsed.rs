//! A strict parser of both text formats, and the Python client's where that is installed.

use std::{
    collections::BTreeSet,
    io::Write,
    process::{Command, Stdio},
};

/// A scrape, parsed.
#[derive(Debug, Default)]
pub struct Scrape {
    pub families: Vec<ParsedFamily>,
    pub samples: Vec<Sample>,
}

#[derive(Debug)]
pub struct ParsedFamily {
    pub name: String,
    pub kind: String,
    pub help: String,
}

#[derive(Debug, Clone)]
pub struct Sample {
    pub name: String,
    pub labels: Vec<(String, String)>,
    pub value: f64,
}

impl Scrape {
    /// The value of a series with exactly these labels.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.series(name).find(|sample| sample.has(labels)).map(|sample| sample.value)
    }

    /// The series of this name.
    pub fn series<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().filter(move |sample| sample.name == name)
    }
}

impl Sample {
    pub fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(label, _)| label == name).map_or("", |(_, value)| value)
    }

    fn has(&self, labels: &[(&str, &str)]) -> bool {
        self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).eq(labels.iter().copied())
    }
}

/// Parses a scrape; panics at anything that a reader may refuse.
pub fn parse(text: &str, is_open: bool) -> Scrape {
    let mut scrape = Scrape::default();
    assert!(text.ends_with('\n'));
    let mut lines: Vec<&str> = text.split('\n').collect();
    assert_eq!(lines.pop(), Some(""));
    if is_open {
        assert_eq!(lines.pop(), Some("# EOF"));
    }
    let mut seen = BTreeSet::new();
    for line in lines {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            let name = family_name(name, &mut seen);
            scrape.families.push(ParsedFamily { name, kind: String::new(), help: help.to_owned() });
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let family = scrape.families.last_mut().unwrap();
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name.trim_end_matches("_total").trim_end_matches("_info"), family.name);
            assert!(["gauge", "counter", "histogram", "info"].contains(&kind), "{line}");
            family.kind = kind.to_owned();
        } else if let Some(rest) = line.strip_prefix("# UNIT ") {
            let (name, unit) = rest.split_once(' ').unwrap();
            assert!(is_open && name.ends_with(&format!("_{unit}")), "{line}");
        } else {
            let sample = sample(line);
            let family = scrape.families.last().unwrap();
            let suffix = sample.name.strip_prefix(&family.name).unwrap_or_else(|| panic!("{line} is astray"));
            let expected: &[&str] = match family.kind.as_str() {
                "counter" => &["_total"],
                "info" => &["_info"],
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => &["", "_info"],
            };
            assert!(expected.contains(&suffix), "{line} in {family:?}");
            assert!(family.kind != "counter" || sample.value >= 0.0, "{line}");
            let mut identity = sample.labels.clone();
            identity.sort();
            assert!(seen.insert(format!("{} {identity:?}", sample.name)), "{line} is there twice");
            scrape.samples.push(sample);
        }
    }
    scrape
}

/// The name without the suffix of the earlier format; each family is there once.
fn family_name(name: &str, seen: &mut BTreeSet<String>) -> String {
    assert!(
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
        "{name}"
    );
    assert!(seen.insert(format!("family {name}")), "{name} is there twice");
    name.trim_end_matches("_total").trim_end_matches("_info").to_owned()
}

fn sample(line: &str) -> Sample {
    let name_end = line.find(['{', ' ']).unwrap();
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, behind) = rest.split_once("=\"").unwrap();
            let (value, behind) = unescaped(behind, line);
            labels.push((label.to_owned(), value));
            match behind.strip_prefix(',') {
                Some(next) => rest = next,
                None => {
                    rest = behind.strip_prefix('}').unwrap_or_else(|| panic!("{line}"));
                    break;
                }
            }
        }
    }
    let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("{line}"));
    let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
    Sample { name: name.to_owned(), labels, value }
}

/// The value up to the quotation mark that ends it, and what is behind.
fn unescaped<'a>(text: &'a str, line: &str) -> (String, &'a str) {
    let (mut value, mut characters) = (String::new(), text.char_indices());
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.push(match characters.next() {
                Some((_, 'n')) => '\n',
                Some((_, escaped @ ('\\' | '"'))) => escaped,
                other => panic!("{other:?} in {line}"),
            }),
            other => value.push(other),
        }
    }
    panic!("{line} does not end")
}

/// Parses a scrape with the Python client, and returns its series as `name {sorted labels as JSON}`; `None` where it is not
/// installed.
pub fn parse_with_python(text: &str, is_open: bool) -> Option<Vec<String>> {
    const SCRIPT: &str = "
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as strict
from prometheus_client.parser import text_string_to_metric_families as plain
text = sys.stdin.buffer.read().decode()
for family in (strict if sys.argv[1] == 'open' else plain)(text):
    for sample in family.samples:
        print(sample.name, json.dumps(sample.labels, sort_keys=True), float(sample.value))
";
    let has_client = Command::new("python3").args(["-c", "import prometheus_client"]).output();
    if !has_client.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: python3 has no prometheus_client; `python3 -m pip install prometheus-client`");
        return None;
    }
    let format = if is_open { "open" } else { "plain" };
    let mut python = Command::new("python3");
    let python = python.args(["-c", SCRIPT, format]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = python.stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = running.stdin.take().unwrap();
    let text = text.to_owned();
    let writing = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = running.wait_with_output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{complaint}");
    writing.join().unwrap().unwrap();
    Some(String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect())
}
