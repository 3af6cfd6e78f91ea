//! Which requests are written down, by what they are and what came of them.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use axum::http::{Method, StatusCode, Uri};
use fleetps_nats::{HostName, audit::Outcome};
use parking_lot::Mutex;

use super::Records;
use crate::{display::cut, people::Person, rules::Action};

/// Looking at a host again within this is the same look: an open page asks all the time.
const ONE_LOOK: Duration = Duration::from_secs(15 * 60);
/// Looks remembered; when there are more, all are forgotten, and written down again.
const MAX_LOOKS: usize = 10_000;
/// Characters of an address that are kept: filters are in it.
const MAX_ADDRESS: usize = 1_000;

/// When who was seen looking at which host.
#[derive(Default)]
pub(super) struct Views(Mutex<HashMap<(String, HostName), Instant>>);

impl Views {
    /// Whether this is another look.
    fn is_another(&self, person: &Person, host: &HostName, now: Instant) -> bool {
        let mut looks = self.0.lock();
        let look = (person.name.clone(), host.clone());
        if looks.get(&look).is_some_and(|last| now.duration_since(*last) < ONE_LOOK) {
            return false;
        }
        if looks.len() >= MAX_LOOKS {
            looks.clear();
        }
        looks.insert(look, now);
        true
    }
}

/// A request that was let in and answered, or refused.
#[derive(Debug)]
pub struct Asked<'a> {
    /// Whoever asked.
    pub person: &'a Person,
    /// What it takes to be allowed.
    pub action: Action,
    /// How.
    pub method: &'a Method,
    /// For what.
    pub uri: &'a Uri,
    /// The host that the address names.
    pub host: Option<HostName>,
    /// Whether the answer shows that host's command lines.
    pub shows_command_lines: bool,
    /// What came of it.
    pub status: StatusCode,
}

impl Records {
    /// Writes a request down where it is of a kind that is: everything that changes something, what was refused, looks at
    /// command lines, searches and exports. Questions in SQL and what is done about people are written down where they are
    /// done, with more.
    pub fn request(&self, asked: Asked<'_>) {
        let Some((action, outcome)) = self.kind(&asked) else { return };
        let address = asked.uri.path_and_query().map_or(asked.uri.path(), |address| address.as_str());
        let what = format!("{} {}", asked.method, cut(address, MAX_ADDRESS));
        self.note(asked.person, action, asked.host, what, outcome);
    }

    fn kind(&self, asked: &Asked<'_>) -> Option<(&'static str, Outcome)> {
        let path = asked.uri.path();
        let outcome = match asked.status {
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => {
                return Some(("request.refuse", Outcome::Refused));
            }
            status if status.is_client_error() || status.is_server_error() => Outcome::Failed,
            _ => Outcome::Done,
        };
        let parameter = |name: &str| {
            let query = asked.uri.query().unwrap_or_default();
            form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value)
        };
        if *asked.method != Method::GET {
            // These are written down where they are done, with what they were.
            let is_elsewhere = matches!(asked.action, Action::Sql | Action::OwnAccount | Action::ManageUsers);
            return (!is_elsewhere).then_some(("change", outcome));
        }
        if parameter("format").is_some_and(|format| format == "csv") {
            return Some(("export", outcome));
        }
        if parameter("q").is_some_and(|q| !q.is_empty()) && path.ends_with("/search") {
            return Some(("search", outcome));
        }
        let host = asked.host.as_ref().filter(|_| asked.shows_command_lines && outcome == Outcome::Done)?;
        let views = &self.0.as_ref()?.views;
        views.is_another(asked.person, host, Instant::now()).then_some(("command-lines.view", outcome))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    #[test]
    fn an_open_page_is_one_look_and_another_person_or_host_another() {
        let views = Views::default();
        let anna = Person::nobody_in_particular(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let bob = Person { name: "bob".to_owned(), ..anna.clone() };
        let host = |name: &str| name.parse::<HostName>().unwrap();
        let start = Instant::now();
        assert!(views.is_another(&anna, &host("web-01"), start));
        assert!(!views.is_another(&anna, &host("web-01"), start + ONE_LOOK / 2));
        assert!(views.is_another(&bob, &host("web-01"), start));
        assert!(views.is_another(&anna, &host("db-01"), start));
        assert!(views.is_another(&anna, &host("web-01"), start + ONE_LOOK));
    }
}
