//! The text that a scrape is answered with: OpenMetrics 1.0, or the earlier text format of Prometheus (0.0.4).
//!
//! The two differ in few places: OpenMetrics ends with `# EOF`, names a counter without `_total` in front of its series,
//! has units and infos, and escapes quotation marks in help. Values of labels are exact in both, except that a NUL, which
//! ends the text for some readers, becomes the replacement character.

use std::{borrow::Cow, fmt::Write};

use super::{Family, Kind};

/// What a label may have, in bytes: longer ones are cut. A host name fits, and 50,000 series stay below 50 MB.
const MAX_LABEL_BYTES: usize = 256;

/// The format of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextFormat {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// Prometheus text 0.0.4.
    Prometheus,
}

/// A text with metrics.
#[derive(Debug)]
pub(crate) struct Exposition {
    text: String,
    format: TextFormat,
}

/// The series of one family, as they are added.
#[derive(Debug)]
pub struct Samples<'a> {
    exposition: &'a mut Exposition,
    family: &'a Family,
}

/// The value of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A whole number, written exactly.
    Whole(u64),
    /// Any other number.
    Number(f64),
}

impl TextFormat {
    /// The better of the two for a client with this `Accept` header.
    pub(crate) fn accepted(accept: &str) -> Self {
        let (mut open, mut plain) = (0.0_f32, 0.0_f32);
        for item in accept.split(',') {
            let mut parts = item.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let (mut quality, mut version) = (1.0_f32, None);
            for (name, value) in parts.filter_map(|part| part.split_once('=')) {
                match name.trim() {
                    "q" => quality = value.trim().parse().unwrap_or(0.0),
                    "version" => version = Some(value.trim()),
                    _ => {}
                }
            }
            match kind.as_str() {
                "application/openmetrics-text" if version.is_none_or(|version| version == "1.0.0") => {
                    open = open.max(quality);
                }
                "text/plain" => plain = plain.max(quality),
                _ => {}
            }
        }
        if open > 0.0 && open >= plain { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// The content type of such a text.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

impl Exposition {
    /// An empty text.
    pub(crate) fn new(format: TextFormat) -> Self {
        Self { text: String::new(), format }
    }

    /// Begins a family; each is begun once.
    pub(crate) fn family<'a>(&'a mut self, family: &'a Family) -> Samples<'a> {
        let (name, text) = (family.name, &mut self.text);
        let (suffix, kind) = match (self.format, family.kind) {
            (TextFormat::OpenMetrics, kind) => ("", kind.word()),
            (TextFormat::Prometheus, Kind::Info) => (family.sample_suffix(), Kind::Gauge.word()),
            (TextFormat::Prometheus, kind) => (family.sample_suffix(), kind.word()),
        };
        text.push_str("# HELP ");
        push_all(text, [name, suffix, " "]);
        for character in family.help.chars() {
            match character {
                '\n' => text.push_str("\\n"),
                '\\' => text.push_str("\\\\"),
                '"' if self.format == TextFormat::OpenMetrics => text.push_str("\\\""),
                other => text.push(other),
            }
        }
        push_all(text, ["\n# TYPE ", name, suffix, " ", kind, "\n"]);
        if let (TextFormat::OpenMetrics, Some(unit)) = (self.format, family.unit()) {
            push_all(text, ["# UNIT ", name, " ", unit, "\n"]);
        }
        Samples { exposition: self, family }
    }

    /// A family with one series without labels.
    pub(crate) fn one(&mut self, family: &Family, value: impl Into<Value>) {
        self.family(family).add(&[], value);
    }

    /// The whole text.
    pub(crate) fn finish(mut self) -> String {
        if self.format == TextFormat::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

impl Samples<'_> {
    /// Adds a series, with the values of the family's labels in order. One without a value is left out, which is the same.
    pub fn add(&mut self, labels: &[&str], value: impl Into<Value>) {
        let (suffix, value) = (self.family.sample_suffix(), value.into());
        self.line(suffix, labels, None, value);
    }

    /// Adds a histogram: how many values were at most each bound, how many there were, and their sum.
    pub fn add_histogram(&mut self, labels: &[&str], buckets: &[(f64, u64)], count: u64, sum: f64) {
        for (bound, at_most) in buckets {
            self.line("_bucket", labels, Some(&format!("{bound:?}")), Value::Whole(*at_most));
        }
        self.line("_bucket", labels, Some("+Inf"), Value::Whole(count));
        self.line("_sum", labels, None, Value::Number(sum));
        self.line("_count", labels, None, Value::Whole(count));
    }

    fn line(&mut self, suffix: &str, labels: &[&str], bound: Option<&str>, value: Value) {
        debug_assert_eq!(labels.len(), self.family.labels.len(), "{}", self.family.name);
        let text = &mut self.exposition.text;
        push_all(text, [self.family.name, suffix]);
        let named = self.family.labels.iter().copied().zip(labels.iter().copied());
        let mut before = '{';
        let all = named.chain(bound.map(|bound| ("le", bound)));
        for (name, value) in all.filter(|(_, value)| !value.is_empty()) {
            text.push(before);
            push_all(text, [name, "=\""]);
            push_label(text, value);
            text.push('"');
            before = ',';
        }
        if before == ',' {
            text.push('}');
        }
        text.push(' ');
        value.push_to(text);
        text.push('\n');
    }
}

/// A label's value as series have it: cut to [`MAX_LABEL_BYTES`], without NUL. Two texts may become the same one.
pub(crate) fn label(value: &str) -> Cow<'_, str> {
    let cut = match value.len() > MAX_LABEL_BYTES {
        true => &value[..value.floor_char_boundary(MAX_LABEL_BYTES)],
        false => value,
    };
    match cut.contains('\0') {
        true => cut.replace('\0', "\u{fffd}").into(),
        false => cut.into(),
    }
}

fn push_label(text: &mut String, value: &str) {
    for character in label(value).chars() {
        match character {
            '\n' => text.push_str("\\n"),
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            other => text.push(other),
        }
    }
}

fn push_all<const COUNT: usize>(text: &mut String, parts: [&str; COUNT]) {
    parts.into_iter().for_each(|part| text.push_str(part));
}

impl Value {
    fn push_to(self, text: &mut String) {
        let written = match self {
            Self::Whole(whole) => write!(text, "{whole}"),
            Self::Number(number) if number == f64::INFINITY => write!(text, "+Inf"),
            Self::Number(number) if number == f64::NEG_INFINITY => write!(text, "-Inf"),
            Self::Number(number) => write!(text, "{number}"),
        };
        // Writing to a string cannot fail.
        debug_assert!(written.is_ok());
    }
}

impl From<u64> for Value {
    fn from(whole: u64) -> Self {
        Self::Whole(whole)
    }
}

impl From<usize> for Value {
    fn from(whole: usize) -> Self {
        Self::Whole(whole as u64)
    }
}

impl From<u32> for Value {
    fn from(whole: u32) -> Self {
        Self::Whole(u64::from(whole))
    }
}

impl From<bool> for Value {
    fn from(is: bool) -> Self {
        Self::Whole(u64::from(is))
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<f32> for Value {
    /// By the shortest text that stands for the same number: 31.4, and not what its bits are as a longer one.
    fn from(number: f32) -> Self {
        Self::Number(number.to_string().parse().unwrap_or_else(|_| f64::from(number)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWERS: Family =
        Family { name: "x_answers", kind: Kind::Counter, labels: &["of"], help: "A \"b\"\\ and\nc." };
    const BUILD: Family = Family { name: "x_build", kind: Kind::Info, labels: &["version"], help: "Build." };
    const WAIT: Family = Family { name: "x_wait_seconds", kind: Kind::Histogram, labels: &[], help: "Wait." };
    const LOAD: Family = Family { name: "x_load", kind: Kind::Gauge, labels: &[], help: "Load." };

    fn written(format: TextFormat) -> String {
        let mut exposition = Exposition::new(format);
        exposition.family(&ANSWERS).add(&["a\"b\\c\nd\0e\u{1b}é"], 3_u64);
        exposition.family(&BUILD).add(&["1.0"], true);
        exposition.family(&WAIT).add_histogram(&[], &[(0.1, 1), (1.0, 2)], 4, 7.5);
        exposition.one(&LOAD, 31.4_f32);
        exposition.finish()
    }

    #[test]
    fn both_formats_are_written_as_their_readers_expect() {
        let open = "# HELP x_answers A \\\"b\\\"\\\\ and\\nc.\n# TYPE x_answers counter\n\
            x_answers_total{of=\"a\\\"b\\\\c\\nd\u{fffd}e\u{1b}é\"} 3\n\
            # HELP x_build Build.\n# TYPE x_build info\nx_build_info{version=\"1.0\"} 1\n\
            # HELP x_wait_seconds Wait.\n# TYPE x_wait_seconds histogram\n# UNIT x_wait_seconds seconds\n\
            x_wait_seconds_bucket{le=\"0.1\"} 1\nx_wait_seconds_bucket{le=\"1.0\"} 2\n\
            x_wait_seconds_bucket{le=\"+Inf\"} 4\nx_wait_seconds_sum 7.5\nx_wait_seconds_count 4\n\
            # HELP x_load Load.\n# TYPE x_load gauge\nx_load 31.4\n# EOF\n";
        assert_eq!(written(TextFormat::OpenMetrics), open);
        let plain = written(TextFormat::Prometheus);
        assert!(
            plain.contains("# HELP x_answers_total A \"b\"\\\\ and\\nc.\n# TYPE x_answers_total counter\n")
        );
        assert!(plain.contains("# TYPE x_build_info gauge\nx_build_info{"), "{plain}");
        assert!(!plain.contains("# EOF") && !plain.contains("# UNIT"), "{plain}");
    }

    #[test]
    fn numbers_are_exact_and_labels_are_cut_between_characters() {
        let value = |value: Value| {
            let mut text = String::new();
            value.push_to(&mut text);
            text
        };
        assert_eq!(value(u64::MAX.into()), "18446744073709551615");
        assert_eq!(value(f64::INFINITY.into()), "+Inf");
        assert_eq!(value(f64::NEG_INFINITY.into()), "-Inf");
        assert_eq!(value(f64::NAN.into()), "NaN");
        let long = "é".repeat(200);
        assert_eq!(label(&long).len(), MAX_LABEL_BYTES);
        assert_eq!(label(&format!("a{long}")).len(), MAX_LABEL_BYTES - 1);
    }

    #[test]
    fn a_client_gets_the_format_that_it_prefers() {
        use TextFormat::{OpenMetrics, Prometheus};
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, expected) in [
            ("", Prometheus),
            ("*/*", Prometheus),
            ("text/plain", Prometheus),
            ("text/html,application/xhtml+xml", Prometheus),
            (prometheus, OpenMetrics),
            ("Application/OpenMetrics-Text", OpenMetrics),
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", OpenMetrics),
            ("application/openmetrics-text; version=2.0.0, text/plain; q=0.1", Prometheus),
            ("application/openmetrics-text; q=0", Prometheus),
            ("application/openmetrics-text; q=x", Prometheus),
            ("application/openmetrics-text;q=0.2, text/plain;q=0.9", Prometheus),
        ] {
            assert_eq!(TextFormat::accepted(accept), expected, "{accept}");
        }
    }
}
