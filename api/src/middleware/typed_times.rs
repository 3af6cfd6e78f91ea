//! Times as people type them, on every page: `at`, `from` and `to` are read in the reader's zone and become exact, so that
//! the address of the page means the same to everybody and later. JSON reads them in UTC.
//!
//! The zone is that of the form (its hidden field `zone`, which says what stood beside the fields), else the browser's. What
//! is no time is taken off the request and told to the page ([`TypedTimes`]), which shows it at its field.

use axum::{
    extract::Request,
    http::{Method, StatusCode, Uri},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};

use jiff::Zoned;

use crate::{
    live::now_us,
    query::{BadParameter, parameter::Value},
    refusal::Refusal,
    url::{Url, is_of_programs},
    view::{
        search,
        time_field::{ReaderZone, TypedTimes},
        when::TimeParam,
    },
};

/// The parameters of all pages that are times.
const TIMES: [&str; 3] = ["at", "from", "to"];
/// Clocks of readers and hosts may be ahead of this server's by so much: what is that near counts as now.
const CLOCKS_APART_US: i64 = 60_000_000;
/// The parameter of forms that says in which zone their times are.
const ZONE: &str = "zone";
/// The parameter of a search that may end with a time.
const TEXT: &str = "q";

/// A parameter and its value.
type Pair = (String, String);

/// Makes the times of a page exact.
pub(crate) async fn typed_times(mut request: Request, next: Next) -> Response {
    if is_of_programs(request.uri().path()) {
        return next.run(request).await;
    }
    let zone = ReaderZone::of_browser(request.headers());
    let mut wrong = Vec::new();
    // What is posted is answered by a page, too, which has fields for times.
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        request.extensions_mut().insert(TypedTimes { zone, wrong });
        return next.run(request).await;
    }
    let is_search = request.uri().path() == Url::search().path();
    if let Some(query) = request.uri().query().filter(|query| has_time(query) || is_search) {
        let read = match Read::of(query, is_search, &zone, now_us()) {
            Ok(read) => read,
            Err(refusal) => return refusal.into_response(),
        };
        let page = Url::of_page(request.uri().path());
        if read.is_typed {
            return Redirect::to(&page.with(&read.parameters).to_string()).into_response();
        }
        if let (false, Ok(uri)) = (read.wrong.is_empty(), page.with(&read.right()).to_string().parse::<Uri>())
        {
            *request.uri_mut() = uri;
        }
        wrong = read.wrong;
    }
    request.extensions_mut().insert(TypedTimes { zone, wrong });
    next.run(request).await
}

/// Whether one of the parameters may be a time; most requests have none.
fn has_time(query: &str) -> bool {
    let mut names = query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name));
    names.any(|name| TIMES.contains(&name))
}

/// The parameters of a request.
#[derive(Debug, Default, PartialEq)]
struct Read {
    /// All of them, with exact times.
    parameters: Vec<Pair>,
    /// Whether some time was not exact.
    is_typed: bool,
    /// What is no time.
    wrong: Vec<BadParameter>,
}

impl Read {
    /// # Errors
    /// When the form is in a zone that is not known here.
    fn of(query: &str, is_search: bool, browser: &ReaderZone, now_us: i64) -> Result<Self, Refusal> {
        let given: Vec<Pair> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let of_form = given.iter().rev().find(|(name, value)| name == ZONE && !value.is_empty());
        let now = match of_form {
            Some((_, name)) => ReaderZone::find(name).ok_or_else(|| unknown_zone(name))?.now(now_us),
            None => browser.now(now_us),
        };
        let mut read = Self::default();
        for (name, value) in given.into_iter().filter(|(name, _)| name != ZONE) {
            let is_time = TIMES.contains(&name.as_str()) && !value.trim().is_empty();
            let value = if is_time { read.time(&name, value, &now) } else { value };
            read.parameters.push((name, value));
        }
        read.refuse_the_future(browser, now_us);
        if is_search && read.moment("at", now_us).is_none() && read.wrong.is_empty() {
            read.take_time_of_text(&now);
        }
        // Without an end, a span ends at the moment that the page shows.
        let to_us = read.past("to", now_us).or_else(|| read.past("at", now_us)).unwrap_or(now_us);
        if let Some(from_us) = read.moment("from", now_us).filter(|from_us| *from_us >= to_us) {
            let given = browser.written(from_us);
            read.wrong.push(BadParameter::new("from", &given, "a time before the end of the span"));
        }
        Ok(read)
    }

    /// The exact text of a time; what is none stays as it is.
    fn time(&mut self, name: &str, value: String, now: &Zoned) -> String {
        if TimeParam::exact(&value).is_some() {
            return value;
        }
        match TimeParam::typed(&value, now) {
            Ok(time) => {
                self.is_typed = true;
                time.written()
            }
            Err(expected) => {
                self.wrong.push(BadParameter::new(name, &value, expected));
                value
            }
        }
    }

    /// Tells which moments are still to come: a page of them would show the present under another time.
    fn refuse_the_future(&mut self, browser: &ReaderZone, now_us: i64) {
        for name in ["at", "to"] {
            let time_us = self.moment(name, now_us).filter(|time_us| *time_us > now_us + CLOCKS_APART_US);
            if let Some(time_us) = time_us {
                let expected = "a moment that has been; this one is still to come, so the page ends now";
                self.wrong.push(BadParameter::new(name, &browser.written(time_us), expected));
            }
        }
    }

    /// The moment that a parameter means, unless it is wrong.
    fn past(&self, wanted: &str, now_us: i64) -> Option<i64> {
        let is_wrong = self.wrong.iter().any(|wrong| wrong.parameter == wanted);
        self.moment(wanted, now_us).filter(|_| !is_wrong)
    }

    /// Makes `q=xz at 16:28` a text and its moment.
    fn take_time_of_text(&mut self, now: &Zoned) {
        let Some((_, text)) = self.parameters.iter_mut().find(|(name, _)| name == TEXT) else { return };
        let Some((before, at)) = search::split_time(text, now) else { return };
        *text = before;
        self.is_typed = true;
        self.parameters.retain(|(name, _)| name != "at");
        self.parameters.push(("at".to_owned(), at.written()));
    }

    /// The moment that a parameter means; of one that is repeated, the last.
    fn moment(&self, wanted: &str, now_us: i64) -> Option<i64> {
        let (_, value) = self.parameters.iter().rev().find(|(name, _)| name == wanted)?;
        TimeParam::exact(value).map(|time| time.resolve(now_us))
    }

    /// The parameters without those that are wrong.
    fn right(&self) -> Vec<&Pair> {
        let is_wrong = |name: &str| self.wrong.iter().any(|wrong| wrong.parameter == name);
        self.parameters.iter().filter(|(name, _)| !is_wrong(name)).collect()
    }
}

fn unknown_zone(name: &str) -> Refusal {
    let name = crate::display::cut(name, 100);
    let hint = "type the time with its offset, as in 16:28+01:00; the zones of the server's machine come with its tzdata";
    Refusal::new(StatusCode::BAD_REQUEST, format!("no time zone is called {name:?} here"), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-27 16:45 in Berlin.
    const NOW_US: i64 = 1_795_794_300_000_000;

    fn read(query: &str) -> Read {
        read_of(query, false)
    }

    fn read_of(query: &str, is_search: bool) -> Read {
        Read::of(query, is_search, &ReaderZone::find("Europe/Berlin").unwrap(), NOW_US).unwrap()
    }

    fn written(read: &Read) -> String {
        Url::top().with(&read.parameters).to_string()
    }

    #[test]
    fn a_typed_time_becomes_exact_in_the_zone_of_its_form_or_of_the_browser() {
        for (query, expected) in [
            ("by=cpu&from=16:28&to=16:40", "/top?by=cpu&from=2026-11-27T15:28:00Z&to=2026-11-27T15:40:00Z"),
            ("from=16:28&zone=America/New_York", "/top?from=2026-11-26T21:28:00Z"),
            ("at=yesterday+03:12&zone=", "/top?at=2026-11-26T02:12:00Z"),
        ] {
            let read = read(query);
            assert_eq!((written(&read).as_str(), read.is_typed), (expected, true), "{query}");
            assert_eq!(read.wrong, [], "{query}");
        }
    }

    #[test]
    fn what_is_exact_or_relative_stays_as_it_is() {
        for query in
            ["from=-2h&to=now", "at=2026-11-27T15:28:00Z", "at=1795793337000", "q=16:28&at=", "at=15m+ago"]
        {
            let read = read(query);
            assert!(!read.is_typed && read.wrong.is_empty(), "{query}: {read:?}");
        }
    }

    #[test]
    fn what_is_no_time_is_told_and_the_rest_is_kept() {
        let read = read("q=a+b&at=yesterdy");
        assert_eq!(read.right(), [&("q".to_owned(), "a b".to_owned())]);
        assert_eq!((read.wrong[0].parameter.as_str(), read.wrong[0].given.as_str()), ("at", "yesterdy"));
        assert!(Read::of("at=16:28&zone=Mars", false, &ReaderZone::default(), NOW_US).is_err());
    }

    #[test]
    fn a_searched_text_may_end_with_its_time() {
        for (query, expected) in [
            ("q=xz+at+16:28", Some("/top?q=xz&at=2026-11-27T15:28:00Z")),
            ("q=xz+at+16:28&at=&fold=host", Some("/top?q=xz&fold=host&at=2026-11-27T15:28:00Z")),
            ("q=cpu+%3E+5+at+yesterday+at+03:12&zone=UTC", Some("/top?q=cpu+%3E+5&at=2026-11-26T03:12:00Z")),
            ("q=xz+at+-15m", Some("/top?q=xz&at=-15m")),
            ("q=xz+at+16:28&at=now", None),
            ("q=sleep+at+5", None),
            ("q=look+at+me", None),
            ("q=at+16:28", None),
            ("q=cmd:%22meet+at+16:28%22", None),
        ] {
            let read = read_of(query, true);
            assert_eq!(read.is_typed.then(|| written(&read)).as_deref(), expected, "{query}");
            assert!(read.wrong.is_empty(), "{query}");
        }
        assert!(!read("q=xz+at+16:28&from=-1h").is_typed, "only of a search");
    }

    #[test]
    fn a_span_that_ends_before_it_begins_is_told_at_its_beginning() {
        let read = read("from=2026-11-27T15:28:00Z&to=2026-11-27T15:00:00Z");
        assert_eq!(
            (read.wrong[0].parameter.as_str(), read.wrong[0].given.as_str()),
            ("from", "2026-11-27 16:28:00")
        );
        assert_eq!(read.right(), [&("to".to_owned(), "2026-11-27T15:00:00Z".to_owned())]);
    }

    #[test]
    fn a_moment_that_is_still_to_come_is_told_at_its_field() {
        for (query, wrong, right) in [
            ("at=2026-11-28T15:28:00Z", &["at"][..], ""),
            ("at=tomorrow+03:12&q=x", &["at"], "q=x"),
            ("at=2026-11-27T15:45:30Z", &[], "at=2026-11-27T15:45:30Z"),
            ("from=2026-11-27T15:00:00Z&to=2026-11-29T00:00:00Z", &["to"], "from=2026-11-27T15:00:00Z"),
            ("from=2026-11-28T15:00:00Z&to=2026-11-29T00:00:00Z", &["to", "from"], ""),
            ("at=now", &[], "at=now"),
        ] {
            let read = read(query);
            let names: Vec<&str> = read.wrong.iter().map(|wrong| wrong.parameter.as_str()).collect();
            assert_eq!(names, wrong, "{query}");
            let kept: Vec<String> =
                read.right().iter().map(|(name, value)| format!("{name}={value}")).collect();
            assert_eq!(kept.join("&"), right, "{query}");
        }
        assert_eq!(read("at=2026-11-28T15:28:00Z").wrong[0].given, "2026-11-28 16:28:00");
    }

    #[test]
    fn a_span_without_an_end_ends_at_the_moment_of_the_page_or_now() {
        for (query, is_wrong) in [
            ("from=2027-01-01T00:00:00Z&to=", true),
            ("from=2027-01-01T00:00:00Z", true),
            ("from=2026-11-27T15:00:00Z&to=", false),
            ("from=2026-11-27T15:00:00Z&at=2026-11-27T14:00:00Z", true),
            ("from=2026-11-27T15:00:00Z&at=2026-11-27T15:30:00Z", false),
        ] {
            let read = read(query);
            let wrong: Vec<&str> = read.wrong.iter().map(|wrong| wrong.parameter.as_str()).collect();
            assert_eq!(wrong, if is_wrong { vec!["from"] } else { vec![] }, "{query}");
        }
    }
}
