//! Adds hosts: makes a token with the line to paste on them, and shows who waits and who has come.

use std::{net::IpAddr, time::Duration};

use askama::Template;
use axum::{
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};

use super::{
    confirmed::ConfirmedWhereSignedIn,
    groups,
    page::{self, Layout},
};
use crate::{
    extract::Form,
    refusal::Refusal,
    scoped_fleet::{Joining, NewToken, ScopedFleet},
    url::Url,
};

/// How long a token may last; what is stolen is of no use for long.
const LASTS: [(&str, &str, Duration); 3] = [
    ("1h", "an hour", Duration::from_secs(3_600)),
    ("1d", "a day", Duration::from_secs(24 * 3_600)),
    ("7d", "a week", Duration::from_secs(7 * 24 * 3_600)),
];
/// Hosts that one token admits, as `fleetps enrol-token` takes them.
const MAX_USES: u32 = 1_000_000;

/// The page.
#[derive(Template)]
#[template(path = "add_host.html")]
struct AddHostPage {
    layout: Layout,
    joining: Joining,
    /// What is to be pasted on a host, once a token was made.
    made: Option<Made>,
    /// The form as it was filled in, where it was refused.
    given: Form,
    problem: Option<Refusal>,
}

/// A token that was made.
struct Made {
    /// The line.
    line: String,
    /// The same for a host whose agent runs in a container, beside the release's compose file.
    container_line: String,
    /// What it admits, and for how long.
    limits: String,
    /// What is wrong with the address of this page for other machines.
    warning: Option<&'static str>,
}

impl AddHostPage {
    fn of(layout: Layout, scoped: &ScopedFleet) -> Self {
        Self { layout, joining: scoped.joining(), made: None, given: Form::default(), problem: None }
    }

    fn lasts() -> [(&'static str, &'static str); 3] {
        LASTS.map(|(value, words, _)| (value, words))
    }
}

/// The form, and who is coming.
pub(crate) async fn page(layout: Layout, scoped: ScopedFleet) -> Result<Response, Refusal> {
    page::render(&AddHostPage::of(layout, &scoped))
}

/// Makes a token, and shows the line to paste: once.
pub(crate) async fn make(
    layout: Layout,
    scoped: ScopedFleet,
    headers: HeaderMap,
    ConfirmedWhereSignedIn(form): ConfirmedWhereSignedIn,
) -> Result<Response, Refusal> {
    let made = match read(&form) {
        Ok((new, limits)) => scoped.make_enrolment_token(new).await.map(|token| (token, limits)),
        Err(problem) => Err(problem),
    };
    match made {
        Ok((token, limits)) => {
            let address = Address::of(&headers, layout.over_tls);
            let made = Some(Made {
                line: address.line(&token),
                container_line: address.container_line(&token),
                limits,
                warning: address.warning(),
            });
            page::render(&AddHostPage { made, ..AddHostPage::of(layout, &scoped) })
        }
        Err(problem) => refused(layout, &scoped, form, problem),
    }
}

/// Approves a host that waits, or turns it away, as the button says that was pressed.
pub(crate) async fn decide(
    layout: Layout,
    scoped: ScopedFleet,
    ConfirmedWhereSignedIn(form): ConfirmedWhereSignedIn,
) -> Result<Response, Refusal> {
    let decided = match (form.field("host").parse(), form.field("asked").parse(), form.field("do").as_str()) {
        (Ok(host), Ok(asked_at_us), "approve") => scoped.approve(&host, asked_at_us).await,
        (Ok(host), Ok(asked_at_us), "turn-away") => scoped.turn_away(&host, asked_at_us).await,
        _ => {
            let error = "the form does not say which host is meant, or what becomes of it";
            let hint = "press one of the buttons beside the hosts that wait";
            Err(Refusal::new(StatusCode::BAD_REQUEST, error, hint))
        }
    };
    match decided {
        Ok(()) => Ok(Redirect::to(&Url::add_host().to_string()).into_response()),
        Err(problem) => refused(layout, &scoped, Form::default(), problem),
    }
}

fn refused(layout: Layout, scoped: &ScopedFleet, given: Form, problem: Refusal) -> Result<Response, Refusal> {
    let status = problem.status;
    let page = AddHostPage { given, problem: Some(problem), ..AddHostPage::of(layout, scoped) };
    Ok((status, page::render(&page)?).into_response())
}

/// The token that the form asks for, and its limits in words.
fn read(form: &Form) -> Result<(NewToken, String), Refusal> {
    let bad = |error: String, hint: &'static str| Refusal::new(StatusCode::BAD_REQUEST, error, hint);
    let groups = groups::read(&form.field("groups"))?;
    let text = form.field("uses");
    let uses = text.trim().parse().ok().filter(|uses| (1..=MAX_USES).contains(uses));
    let not_a_number = || {
        let given = crate::display::cut(&text, 20);
        bad(format!("the number of hosts cannot be {given:?}"), "expected a whole number from 1 to 1,000,000")
    };
    let uses: u32 = uses.ok_or_else(not_a_number)?;
    let chosen = form.field("lasts");
    let chosen = LASTS.into_iter().find(|(value, ..)| *value == chosen);
    let (_, words, lasts) =
        chosen.ok_or_else(|| bad("the token needs an end".to_owned(), "choose one of the times"))?;
    let hosts = if uses == 1 { "one host".to_owned() } else { format!("{uses} hosts") };
    Ok((NewToken { lasts, uses, groups }, format!("It admits {hosts}, within {words}.")))
}

/// The address of this server, as the browser calls it.
pub(super) struct Address {
    host: String,
    over_tls: bool,
}

impl Address {
    pub(super) fn of(headers: &HeaderMap, over_tls: bool) -> Self {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        Self { host: host.to_owned(), over_tls }
    }

    /// The beginning of the addresses of all pages.
    pub(super) fn origin(&self) -> String {
        let scheme = if self.over_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.host)
    }

    /// What the agent is told to join the fleet by this address.
    fn join(&self) -> String {
        let plaintext = if self.over_tls || self.is_loopback() { "" } else { " --plaintext" };
        format!("join {}{plaintext}", self.origin())
    }

    /// The line that does it with a token.
    fn line(&self, token: &str) -> String {
        format!("sudo fleetps-agent {} --token {token}", self.join())
    }

    /// The same in a container, which is then started: as `api/packaging/compose.yml` says.
    fn container_line(&self, token: &str) -> String {
        let compose = "docker compose --file compose.yml";
        let join = self.join();
        format!(
            "FLEETPS_ENROL_TOKEN={token} {compose} run --rm --env FLEETPS_ENROL_TOKEN agent {join} --folder /var/lib/fleetps-agent --host \"$(hostname)\" && {compose} up --detach agent"
        )
    }

    fn warning(&self) -> Option<&'static str> {
        match (self.is_loopback(), self.over_tls) {
            (true, _) => Some(
                "Only this machine reaches the server by this address. For other hosts, put the server's name into the line.",
            ),
            (false, false) => Some(
                "This page came without TLS. The token, and command lines later, cross the network as they are.",
            ),
            (false, true) => None,
        }
    }

    fn is_loopback(&self) -> bool {
        let name = self.host.rsplit_once(':').map_or(self.host.as_str(), |(name, port)| {
            if port.bytes().all(|digit| digit.is_ascii_digit()) { name } else { self.host.as_str() }
        });
        let name = name.trim_start_matches('[').trim_end_matches(']');
        name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_the_address_that_the_browser_uses_and_says_where_that_is_not_enough() {
        let line = |host: &str, over_tls| {
            let address = Address { host: host.to_owned(), over_tls };
            (address.line("T"), address.warning().is_some())
        };
        for (host, over_tls, expected, warns) in [
            ("fleet.example.com", true, "sudo fleetps-agent join https://fleet.example.com", false),
            ("fleet:8080", false, "sudo fleetps-agent join http://fleet:8080 --plaintext", true),
            ("localhost:8080", false, "sudo fleetps-agent join http://localhost:8080", true),
            ("[::1]:8080", false, "sudo fleetps-agent join http://[::1]:8080", true),
            ("127.0.0.1", true, "sudo fleetps-agent join https://127.0.0.1", true),
        ] {
            assert_eq!(line(host, over_tls), (format!("{expected} --token T"), warns));
        }
    }

    #[test]
    fn the_line_for_a_container_is_that_of_the_compose_file() {
        let address = Address { host: "127.0.0.1:4222".to_owned(), over_tls: false };
        let line = address.container_line("fpse_…").replace("http://", "nats://");
        let file = include_str!("../../packaging/compose.yml");
        for part in line.split(" && ") {
            assert!(file.contains(part), "{part}");
        }
    }
}
