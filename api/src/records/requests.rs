//! Which requests are written down, by what they are and what came of them.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use axum::http::{Method, StatusCode, Uri};
use fleetps_nats::{HostName, audit::Outcome};
use parking_lot::Mutex;

use super::Records;
use crate::{display::cut, handlers::csv, people::Person, rules::Action};

/// Looking at the same again within this is the same look: an open page asks all the time.
const ONE_LOOK: Duration = Duration::from_secs(15 * 60);
/// Looks remembered; when there are more, all are forgotten, and written down again.
const MAX_LOOKS: usize = 10_000;
/// Characters of an address that are kept: filters are in it.
const MAX_ADDRESS: usize = 1_000;

/// Pages about many hosts that show nobody a command line; a test asks all others for one.
const WITHOUT_COMMAND_LINES: [&str; 3] = ["/", "/live", "/hosts"];

/// When who was seen looking at what: a host, or a page about many.
#[derive(Default)]
pub(super) struct Views(Mutex<HashMap<(String, String), Instant>>);

impl Views {
    /// Whether this is another look.
    fn is_another(&self, person: &Person, at: &str, now: Instant) -> bool {
        let mut looks = self.0.lock();
        let look = (person.name.clone(), at.to_owned());
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
    /// Whether whoever asked may see that host's command lines; where the address names none, those of any host.
    pub sees_command_lines: bool,
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
        let outcome = match asked.status {
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => {
                return Some(("request.refuse", Outcome::Refused));
            }
            status if status.is_client_error() || status.is_server_error() => Outcome::Failed,
            _ => Outcome::Done,
        };
        if !asked.method.is_safe() {
            // These are written down where they are done, with what they were.
            let is_elsewhere = match asked.action {
                Action::Sql | Action::OwnAccount | Action::ManageUsers => true,
                Action::ManageHosts => outcome == Outcome::Done,
                _ => false,
            };
            return (!is_elsewhere).then_some(("change", outcome));
        }
        let query = asked.uri.query().unwrap_or_default();
        if csv::is_asked_for(query) {
            return Some(("export", outcome));
        }
        let searched =
            || form_urlencoded::parse(query.as_bytes()).any(|(name, q)| name == "q" && !q.is_empty());
        if asked.uri.path().ends_with("/search") && searched() {
            return Some(("search", outcome));
        }
        let looked_at = asked.shows_command_lines_of().filter(|_| outcome == Outcome::Done)?;
        let views = &self.0.as_ref()?.views;
        views.is_another(asked.person, looked_at, Instant::now()).then_some(("command-lines.view", outcome))
    }
}

impl Asked<'_> {
    /// Whose command lines the answer may show: the host that the address names, else the page about many. Its JSON and
    /// its stream are the same page.
    fn shows_command_lines_of(&self) -> Option<&str> {
        if !self.sees_command_lines || self.action != Action::SeeHosts {
            return None;
        }
        if let Some(host) = &self.host {
            return Some(host.as_str());
        }
        let path = self.uri.path();
        Some(path.strip_prefix("/api/v1").unwrap_or(path))
            .filter(|page| !WITHOUT_COMMAND_LINES.contains(page))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    #[test]
    fn an_open_page_is_one_look_and_another_person_host_or_page_another() {
        let views = Views::default();
        let anna = Person::nobody_in_particular(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let bob = Person { name: "bob".to_owned(), ..anna.clone() };
        let start = Instant::now();
        assert!(views.is_another(&anna, "web-01", start));
        assert!(!views.is_another(&anna, "web-01", start + ONE_LOOK / 2));
        assert!(views.is_another(&bob, "web-01", start));
        assert!(views.is_another(&anna, "db-01", start));
        assert!(views.is_another(&anna, "/events", start));
        assert!(views.is_another(&anna, "web-01", start + ONE_LOOK));
    }
}
