//! What is said: plain data, the same for every channel.
//!
//! Every string is hostile. [`Notification::cleaned`] bounds each and makes characters visible that would hide or reorder
//! text; each channel escapes what its own format needs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::display::{cut, visible};

/// Processes in one message: five fit a screen, and the fifth rarely explains anything.
pub(super) const MAX_CULPRITS: usize = 5;
/// Titles of other alerts in the same message; the rest is a number.
pub(super) const MAX_ALSO: usize = 10;
/// Hosts that a message about many names; the rest is a number.
pub(super) const MAX_FIRST_HOSTS: usize = 5;
/// Points of a chart: one for four pixels of its width.
pub(super) const MAX_POINTS: usize = 260;
/// Groups of a host that routes may ask for.
const MAX_GROUPS: usize = 50;
/// The longest title: what a mail's subject and a line of chat show.
const MAX_TITLE: usize = 200;
/// The longest name, user, value or comparison.
const MAX_TEXT: usize = 120;
/// The longest id or link. A link to a moment with a filter has some hundred characters.
const MAX_LINK: usize = 1_000;

/// What a notification says has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An alert began.
    Raised,
    /// It is over.
    Resolved,
    /// It goes on: a reminder.
    Still,
    /// It begins and ends so often that nothing more is said until it is calm.
    Flapping,
    /// Nobody acknowledged it in time, and somebody else is told.
    Escalated,
    /// Somebody tries a channel.
    Test,
}

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "LeastSeverity")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth a look during the day.
    Warning,
    /// Worth waking somebody.
    Critical,
}

impl Severity {
    /// Every severity, the worst last.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// As people read it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "Info",
            Self::Warning => "Warning",
            Self::Critical => "Critical",
        }
    }
}

/// What it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// One host.
    Host(String),
    /// Many hosts at once.
    Hosts {
        /// How many.
        count: usize,
        /// The names of the first of them.
        first: Vec<String>,
    },
    /// The fleet or fleetps itself.
    Fleet,
}

impl Subject {
    /// As people read it: a name, "12 hosts" or "the fleet".
    pub fn text(&self) -> String {
        match self {
            Self::Host(name) => name.clone(),
            Self::Hosts { count, .. } => format!("{count} hosts"),
            Self::Fleet => "the fleet".to_owned(),
        }
    }
}

/// A value as a number, for programs, and as text with its unit, for people.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Figure {
    /// The number in the unit of the measure; `None` where it has none.
    pub number: Option<f64>,
    /// With the unit, as in "97 %".
    pub text: String,
}

/// The alert's own facts; an empty text is left out of messages.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// What was measured, as in "memory".
    pub measure: String,
    /// Its value now.
    pub value: Figure,
    /// The threshold of the rule.
    pub threshold: Figure,
    /// Since when the condition holds, in µs since 1970 UTC.
    pub since_us: Option<i64>,
    /// What to do: text or an address, by the author of the rule.
    pub runbook: String,
}

/// A process that explains the alert.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Culprit {
    /// Its name.
    pub name: String,
    /// Its process id.
    pub pid: u32,
    /// Its user.
    pub user: String,
    /// Its share of the measure, with the unit.
    pub value: String,
    /// What changed against before, as in "+3.1 GiB since 14:00"; empty where nothing did.
    pub change: String,
}

/// A point of a chart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The moment, in µs since 1970 UTC.
    pub at_us: i64,
    /// The value; `None` is a gap, and the line breaks there.
    pub value: Option<f64>,
}

/// The measure around the moment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Chart {
    /// In the order of time.
    pub points: Vec<Point>,
    /// Drawn as a dashed line.
    pub threshold: Option<f64>,
}

/// One message about an alert, or about several that belong together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// The id of the alert's transition: the same whoever computes it, and no other has it.
    pub id: String,
    /// What happened.
    pub kind: Kind,
    /// How much it matters.
    pub severity: Severity,
    /// The id of the notification that opened this thread; its own where it opens one.
    pub thread: String,
    /// The rule's id.
    pub rule: String,
    /// What it is about.
    pub subject: Subject,
    /// The groups of its host.
    #[serde(default)]
    pub groups: Vec<String>,
    /// The moment of the sample that decided it, in µs since 1970 UTC.
    pub at_us: i64,
    /// One sentence.
    pub title: String,
    /// The alert's facts.
    #[serde(default)]
    pub facts: Facts,
    /// Titles of other alerts that this message stands for.
    #[serde(default)]
    pub also: Vec<String>,
    /// How many other alerts this message stands for; at least as many as `also` has.
    #[serde(default)]
    pub also_count: usize,
    /// The processes that explain it, the first most.
    #[serde(default)]
    pub culprits: Vec<Culprit>,
    /// The page of this moment; empty where there is none.
    #[serde(default)]
    pub link: String,
    /// The form that acknowledges what this is about; empty where there is nothing to acknowledge. Following the link changes
    /// nothing: mail scanners do.
    #[serde(default)]
    pub acknowledge: String,
    /// The form that silences the like of it; empty where there is none.
    #[serde(default)]
    pub silence: String,
    /// The measure around the moment.
    #[serde(default)]
    pub chart: Option<Chart>,
}

impl Notification {
    /// A message that tries a channel.
    pub fn test(id: String, by: &str, link: String, now_us: i64) -> Self {
        Self {
            thread: id.clone(),
            id,
            kind: Kind::Test,
            severity: Severity::Info,
            rule: "test".to_owned(),
            subject: Subject::Fleet,
            groups: Vec::new(),
            at_us: now_us,
            title: format!("{by} tries this channel. Nothing is wrong."),
            facts: Facts::default(),
            also: Vec::new(),
            also_count: 0,
            culprits: Vec::new(),
            link,
            acknowledge: String::new(),
            silence: String::new(),
            chart: None,
        }
    }

    /// Whether it opens its thread.
    pub fn opens(&self) -> bool {
        self.id == self.thread
    }

    /// What happened in one word or two, as in "Critical" or "Resolved".
    pub fn word(&self) -> String {
        match self.kind {
            Kind::Raised => self.severity.word().to_owned(),
            Kind::Resolved => "Resolved".to_owned(),
            Kind::Still => format!("Still {}", self.severity.word().to_lowercase()),
            Kind::Flapping => "Flapping".to_owned(),
            Kind::Escalated => format!("Unacknowledged {}", self.severity.word().to_lowercase()),
            Kind::Test => "Test".to_owned(),
        }
    }

    /// Its links that are there, each with its words; the moment first.
    pub fn links(&self) -> Vec<(&'static str, &str)> {
        let all =
            [("This moment", &self.link), ("Acknowledge", &self.acknowledge), ("Silence", &self.silence)];
        all.into_iter()
            .filter(|(_, link)| !link.is_empty())
            .map(|(words, link)| (words, link.as_str()))
            .collect()
    }

    /// All of it in one line.
    pub fn headline(&self) -> String {
        let also = match self.also_count {
            0 => String::new(),
            count => format!(" (and {count} more)"),
        };
        format!("{}: {}: {}{also}", self.word(), self.subject.text(), self.title)
    }

    /// The same with every text bounded and visible, numbers that are numbers, and links that are links.
    pub fn cleaned(mut self) -> Self {
        for (text, most) in [
            (&mut self.id, MAX_LINK),
            (&mut self.thread, MAX_LINK),
            (&mut self.rule, MAX_TEXT),
            (&mut self.title, MAX_TITLE),
            (&mut self.facts.measure, MAX_TEXT),
            (&mut self.facts.runbook, MAX_LINK),
        ] {
            clean(text, most);
        }
        for figure in [&mut self.facts.value, &mut self.facts.threshold] {
            clean(&mut figure.text, MAX_TEXT);
            figure.number = figure.number.filter(|number| number.is_finite());
        }
        match &mut self.subject {
            Subject::Host(name) => clean(name, MAX_TEXT),
            Subject::Hosts { first, .. } => clean_list(first, MAX_FIRST_HOSTS, MAX_TEXT),
            Subject::Fleet => {}
        }
        self.also_count = self.also_count.max(self.also.len());
        clean_list(&mut self.also, MAX_ALSO, MAX_TITLE);
        clean_list(&mut self.groups, MAX_GROUPS, MAX_TEXT);
        self.culprits.truncate(MAX_CULPRITS);
        for culprit in &mut self.culprits {
            for text in [&mut culprit.name, &mut culprit.user, &mut culprit.value, &mut culprit.change] {
                clean(text, MAX_TEXT);
            }
        }
        for link in [&mut self.link, &mut self.acknowledge, &mut self.silence] {
            if !is_link(link) {
                link.clear();
            }
        }
        self.chart = self.chart.and_then(clean_chart);
        self
    }
}

fn clean(text: &mut String, most: usize) {
    *text = visible(&cut(text, most)).into_owned();
}

fn clean_list(list: &mut Vec<String>, most: usize, characters: usize) {
    list.truncate(most);
    list.iter_mut().for_each(|text| clean(text, characters));
}

/// Finite values in the order of time; none where there is nothing to draw.
fn clean_chart(mut chart: Chart) -> Option<Chart> {
    let finite = |value: &f64| value.is_finite() && value.abs() < f64::from(f32::MAX);
    if chart.points.len() > MAX_POINTS {
        chart.points.drain(..chart.points.len() - MAX_POINTS);
    }
    chart.points.iter_mut().for_each(|point| point.value = point.value.filter(finite));
    chart.points.sort_by_key(|point| point.at_us);
    chart.threshold = chart.threshold.filter(finite);
    let known = chart.points.iter().filter(|point| point.value.is_some()).count();
    (known >= 2).then_some(chart)
}

/// Whether a text is an address of a page that can stand in HTML, chat and text without being taken for anything else.
pub(crate) fn is_link(text: &str) -> bool {
    let is_web = text.starts_with("https://") || text.starts_with("http://");
    let is_plain = |letter: char| letter.is_ascii_graphic() && !"<>\"'`|\\{}^".contains(letter);
    is_web && text.len() <= MAX_LINK && text.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_texts_are_bounded_and_visible() {
        let mut notification = crate::notify::examples::raised();
        notification.title = format!("a\r\nBcc: x@y\u{202e}{}", "z".repeat(9_999));
        notification.link = "javascript:alert(1)".to_owned();
        notification.facts.value.number = Some(f64::NAN);
        notification.culprits = vec![notification.culprits[0].clone(); 40];
        let cleaned = notification.cleaned();
        assert!(!cleaned.title.contains(['\r', '\n', '\u{202e}']), "{}", cleaned.title);
        assert!(cleaned.title.chars().count() < MAX_TITLE + 20);
        assert_eq!((cleaned.link.as_str(), cleaned.facts.value.number), ("", None));
        assert_eq!(cleaned.culprits.len(), MAX_CULPRITS);
    }

    #[test]
    fn a_link_is_an_address_of_a_page_and_nothing_else() {
        for good in ["https://ps.example/hosts/a?at=1&q=%22x%22", "http://127.0.0.1:8080/"] {
            assert!(is_link(good), "{good}");
        }
        for bad in [
            "",
            "ftp://x",
            "javascript:x",
            "https://x/ y",
            "https://x/>",
            "https://x|y",
            "https://x/\n",
            "HTTPS",
        ] {
            assert!(!is_link(bad), "{bad}");
        }
    }
}
