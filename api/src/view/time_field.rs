//! Fields for times: in the reader's zone, which is shown beside them, and with what was typed where that is no time.

use axum::http::{HeaderMap, header};
use fleetps_ingestor::history::Span;
use jiff::{Timestamp, Zoned, tz::TimeZone};

use super::{travel::Links, wall_time};
use crate::{query::BadParameter, url::Url};

/// The cookie in which the script of pages tells the zone of the browser (`assets/times.js`).
const COOKIE: &str = "fleetps-zone";
/// The longest name of a zone is `America/Argentina/ComodRivadavia`.
const MAX_NAME_BYTES: usize = 40;

/// The time zone of a reader.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ReaderZone {
    /// Its name.
    pub name: String,
    /// The zone.
    pub zone: TimeZone,
}

impl Default for ReaderZone {
    fn default() -> Self {
        Self { name: "UTC".to_owned(), zone: TimeZone::UTC }
    }
}

impl ReaderZone {
    /// The zone of this name, as in `Europe/Berlin`; none where this machine does not know it.
    pub(crate) fn find(name: &str) -> Option<Self> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte);
        if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(is_name) {
            return None;
        }
        let zone = TimeZone::get(name).ok()?;
        Some(Self { name: name.to_owned(), zone })
    }

    /// The zone that a browser tells; UTC without it.
    pub(crate) fn of_browser(headers: &HeaderMap) -> Self {
        let lists = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = lists.flat_map(|list| list.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| *name == COOKIE).and_then(|(_, name)| Self::find(name)).unwrap_or_default()
    }

    /// What its clock shows at `now_us`.
    pub(crate) fn now(&self, now_us: i64) -> Zoned {
        Timestamp::from_microsecond(now_us).unwrap_or_default().to_zoned(self.zone.clone())
    }

    /// A time as a field has it. What is not to the millisecond is now, and nobody typed it: to the second is enough to read.
    pub(crate) fn written(&self, time_us: i64) -> String {
        let shown_us = match time_us % 1_000 {
            0 => time_us,
            _ => time_us.div_euclid(1_000_000).saturating_mul(1_000_000),
        };
        wall_time::written(shown_us, &self.zone)
    }
}

/// What a request says about times: the reader's zone, and what was typed that is no time.
#[derive(Debug, Clone, Default)]
pub(crate) struct TypedTimes {
    /// The zone of the fields.
    pub zone: ReaderZone,
    /// What could not be read, by parameter.
    pub wrong: Vec<BadParameter>,
}

/// A field for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TimeField {
    /// Its parameter.
    pub name: &'static str,
    /// Its label.
    pub label: &'static str,
    /// The time, or what was typed.
    pub value: String,
    /// What is wrong with it.
    pub problem: Option<String>,
}

impl TypedTimes {
    /// The field of a parameter that means this time; an empty one without it.
    pub(crate) fn field(&self, name: &'static str, label: &'static str, time_us: Option<i64>) -> TimeField {
        match self.wrong.iter().find(|wrong| wrong.parameter == name) {
            Some(wrong) => {
                TimeField { name, label, value: wrong.given.clone(), problem: Some(wrong.advice()) }
            }
            None => {
                let value = time_us.map(|time_us| self.zone.written(time_us)).unwrap_or_default();
                TimeField { name, label, value, problem: None }
            }
        }
    }
}

/// A form for a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SpanForm {
    /// Where it leads.
    pub path: String,
    /// Its hidden fields.
    pub carried: Vec<(String, String)>,
    /// Its beginning and its end.
    pub fields: [TimeField; 2],
    /// The zone of the fields.
    pub zone: String,
}

impl SpanForm {
    /// The form that leads to `page`, with the rest of its parameters, over another span than this one.
    pub(crate) fn of(times: &TypedTimes, page: &Url, span: Span) -> Self {
        let is_other = |(name, _): &(String, String)| !["from", "to", "range"].contains(&name.as_str());
        Self {
            path: page.path().to_owned(),
            carried: page.parameters().into_iter().filter(is_other).collect(),
            fields: [
                times.field("from", "From", Some(span.from_us)),
                times.field("to", "To", Some(span.to_us)),
            ],
            zone: times.zone.name.clone(),
        }
    }

    /// Whether something that was typed is no time.
    pub(crate) fn has_problem(&self) -> bool {
        self.fields.iter().any(|field| field.problem.is_some())
    }
}

/// A form that leads to another moment of the same page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MomentForm {
    /// Where it leads.
    pub path: String,
    /// Its hidden fields.
    pub carried: Vec<(String, String)>,
    /// The moment.
    pub field: TimeField,
    /// The zone of the field.
    pub zone: String,
}

impl MomentForm {
    /// The form of a page with these links.
    pub(crate) fn of(times: &TypedTimes, links: &Links) -> Self {
        let live = links.live();
        Self {
            path: live.path().to_owned(),
            carried: live.parameters(),
            field: times.field("at", "At", links.when.at_us),
            zone: times.zone.name.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_browser_tells_its_zone_and_anything_else_is_utc() {
        for (cookie, expected) in [
            ("fleetps=x; fleetps-zone=Europe/Berlin", "Europe/Berlin"),
            ("fleetps-zone=Etc/GMT+5", "Etc/GMT+5"),
            ("", "UTC"),
            ("fleetps-zone=", "UTC"),
            ("fleetps-zone=Mars/Olympus", "UTC"),
            ("fleetps-zone=../../etc/passwd", "UTC"),
            ("fleetps-zone=/etc/localtime", "UTC"),
            ("other=Europe/Berlin", "UTC"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, HeaderValue::from_static(cookie));
            assert_eq!(ReaderZone::of_browser(&headers).name, expected, "{cookie}");
        }
    }

    #[test]
    fn a_form_for_a_span_carries_everything_but_the_span() {
        let times = TypedTimes {
            zone: ReaderZone::find("Europe/Berlin").unwrap(),
            wrong: vec![BadParameter::new("to", "soon", "a time")],
        };
        let page = Url::top().with(&[("by", "memory"), ("range", "3h"), ("from", "-1h")]);
        let span = Span { from_us: 1_795_793_337_000_000, to_us: 1_795_793_400_000_000 };
        let form = SpanForm::of(&times, &page, span);
        assert_eq!((form.path.as_str(), form.zone.as_str()), ("/top", "Europe/Berlin"));
        assert_eq!(form.carried, [("by".to_owned(), "memory".to_owned())]);
        let [from, to] = &form.fields;
        assert_eq!((from.value.as_str(), from.problem.as_deref()), ("2026-11-27 16:28:57", None));
        assert_eq!((to.value.as_str(), to.problem.as_deref()), ("soon", Some("Expected a time.")));
    }
}
