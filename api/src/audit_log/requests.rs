//! Decides which requests are audited, by their kind and outcome.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use axum::http::{Method, StatusCode, Uri};
use fleetps_nats::{HostName, audit::Outcome};
use parking_lot::Mutex;

use super::{AuditClass, AuditLog};
use crate::{auth::Person, display::cut};

/// Looking at the same again within this is the same look: an open page asks all the time.
const ONE_LOOK: Duration = Duration::from_secs(15 * 60);
/// Looks remembered; when there are more, all are forgotten, and audited again.
const MAX_LOOKS: usize = 10_000;
/// Characters of an address that are kept: filters are in it.
const MAX_ADDRESS: usize = 1_000;

/// Probes of one person that are audited in a minute; the others are counted.
const PROBES_A_MINUTE: u64 = 10;
const MINUTE: Duration = Duration::from_secs(60);
/// People whose probes are counted apart; when there are more, all begin anew.
const MAX_PROBERS: usize = 1_000;

/// When a person was last seen looking at a host, or at a page about many.
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

/// Persons who asked for unknown or hidden hosts, and how often within this minute.
#[derive(Default)]
pub(super) struct Probes(Mutex<HashMap<String, Probed>>);

struct Probed {
    since: Instant,
    noted: u64,
    left_out: u64,
}

impl Probes {
    /// Whether this one is audited, and how many before it were not.
    fn is_noted(&self, person: &str, now: Instant) -> Option<u64> {
        let mut people = self.0.lock();
        if people.len() >= MAX_PROBERS && !people.contains_key(person) {
            people.clear();
        }
        let new = || Probed { since: now, noted: 0, left_out: 0 };
        let probed = people.entry(person.to_owned()).or_insert_with(new);
        if now.duration_since(probed.since) >= MINUTE {
            (probed.since, probed.noted) = (now, 0);
        }
        if probed.noted >= PROBES_A_MINUTE {
            probed.left_out += 1;
            return None;
        }
        probed.noted += 1;
        Some(std::mem::take(&mut probed.left_out))
    }
}

/// A request that was let in and answered, or refused.
#[derive(Debug)]
pub struct AuditedRequest<'a> {
    /// The principal of the request.
    pub person: &'a Person,
    /// The route's audit class.
    pub class: AuditClass,
    /// The method.
    pub method: &'a Method,
    /// The address.
    pub uri: &'a Uri,
    /// The host that the address names.
    pub host: Option<HostName>,
    /// The page of a route about many hosts: its JSON and its stream are the same page.
    pub page: &'static str,
    /// Whether it was about a host that does not exist, or is hidden from the person.
    pub is_unseen: bool,
    /// Whether the answer may show command lines that the person may see.
    pub shows_command_lines: bool,
    /// Whether the answer is a file to take away.
    pub is_export: bool,
    /// Whether something was searched for.
    pub is_search: bool,
    /// The answer's status.
    pub status: StatusCode,
}

impl AuditLog {
    /// Audits a request if its kind is audited: changes, refusals, looks at command lines, searches and exports. SQL
    /// questions and changes of users are audited where they are done, with more detail.
    pub fn request(&self, asked: AuditedRequest<'_>) {
        if asked.is_unseen {
            return self.probe(&asked);
        }
        let Some((action, outcome)) = self.kind(&asked) else { return };
        let address = asked.uri.path_and_query().map_or(asked.uri.path(), |address| address.as_str());
        let what = format!("{} {}", asked.method, cut(address, MAX_ADDRESS));
        self.note(asked.person, action, asked.host, what, outcome);
    }

    /// Audits a request for an unknown or hidden host, within a limit for each person.
    fn probe(&self, asked: &AuditedRequest<'_>) {
        let now = Instant::now();
        let noted = self.0.as_ref().and_then(|open| open.probes.is_noted(&asked.person.name, now));
        let Some(left_out) = noted else { return };
        let mut what = format!("{} {}", asked.method, cut(asked.uri.path(), MAX_ADDRESS));
        if left_out > 0 {
            what += &format!(" (and {left_out} more before, too many to write down)");
        }
        self.note(asked.person, "host.probe", asked.host.clone(), what, Outcome::Refused);
    }

    fn kind(&self, asked: &AuditedRequest<'_>) -> Option<(&'static str, Outcome)> {
        let outcome = match asked.status {
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => {
                return Some(("request.refuse", Outcome::Refused));
            }
            status if status.is_client_error() || status.is_server_error() => Outcome::Failed,
            _ => Outcome::Done,
        };
        let kind = match asked.class {
            AuditClass::ByHandler => return None,
            AuditClass::FailedChanges if outcome == Outcome::Done => return None,
            AuditClass::Changes | AuditClass::FailedChanges => "change",
            AuditClass::Looks | AuditClass::Searches if asked.is_export => "export",
            AuditClass::Searches if asked.is_search => "search",
            AuditClass::Looks | AuditClass::Searches => {
                let is_shown = asked.shows_command_lines && outcome == Outcome::Done;
                let views = &self.0.as_ref().filter(|_| is_shown)?.views;
                let looked_at = asked.host.as_ref().map_or(asked.page, HostName::as_str);
                return views
                    .is_another(asked.person, looked_at, Instant::now())
                    .then_some(("command-lines.view", outcome));
            }
        };
        Some((kind, outcome))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    #[test]
    fn probes_beyond_what_is_written_down_are_counted_and_told_with_the_next() {
        let (probes, start) = (Probes::default(), Instant::now());
        for _ in 0..PROBES_A_MINUTE {
            assert_eq!(probes.is_noted("bert", start), Some(0));
        }
        for _ in 0..7 {
            assert_eq!(probes.is_noted("bert", start), None);
        }
        assert_eq!(probes.is_noted("carl", start), Some(0));
        assert_eq!(probes.is_noted("bert", start + MINUTE), Some(7));
        assert_eq!(probes.is_noted("bert", start + MINUTE), Some(0));
        for person in 0..2 * MAX_PROBERS {
            probes.is_noted(&person.to_string(), start);
        }
        assert!(probes.0.lock().len() <= MAX_PROBERS);
    }

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
