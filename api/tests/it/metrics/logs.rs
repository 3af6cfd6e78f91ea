//! The log in JSON of a whole session: each event is one line, requests have ids, and no secret is in any line.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use scraper::Html;
use serde_json::Value;

use crate::{
    guarded::PASSWORD,
    program::{fleetps, until},
    support::{attributes, texts},
};

/// A browser with its cookies, which sends an id of its own with each request.
struct Browser {
    agent: ureq::Agent,
    address: String,
    cookies: BTreeMap<String, String>,
    /// What must not be logged.
    secrets: Vec<String>,
}

impl Browser {
    fn new(address: &str) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0);
        let (agent, address) = (config.build().into(), address.to_owned());
        Self { agent, address, cookies: BTreeMap::new(), secrets: Vec::new() }
    }

    fn send(&mut self, path: &str, form: Option<&[(&str, &str)]>) -> (u16, String) {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let (cookies, url) = (cookies.join("; "), format!("{}{path}", self.address));
        let answer = match form {
            None => self.agent.get(&url).header("cookie", &cookies).call(),
            Some(form) => self.agent.post(&url).header("cookie", &cookies).send_form(form.iter().copied()),
        };
        let mut answer = answer.unwrap();
        assert!(answer.headers().contains_key("x-request-id"));
        for set in answer.headers().get_all("set-cookie") {
            let (name, value) = set.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
            self.secrets.extend((!value.is_empty()).then(|| value.to_owned()));
        }
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    }

    /// Fills in the form of a page.
    fn fill(&mut self, page: &str, url: &str, fields: &[(&str, &str)]) -> (u16, String) {
        let html = Html::parse_document(&self.send(page, None).1);
        let token = attributes(&html, "main input[name=form_token]", "value").swap_remove(0);
        self.secrets.push(token.clone());
        let fields = [fields, &[("form_token", token.as_str())]].concat();
        self.send(url, Some(&fields))
    }
}

#[test]
fn a_session_in_the_log_is_a_line_of_json_for_each_event_with_request_ids_and_without_secrets() {
    let data = tempfile::tempdir().unwrap();
    let log = data.path().join("log");
    let mut command = fleetps(data.path());
    command.args(["--auth", "on", "--log-format", "json", "--metrics-listen", "127.0.0.1:0"]);
    command.env("FLEETPS_LOG", "debug").stdout(Stdio::piped()).stderr(fs::File::create(&log).unwrap());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut behind = |word: &str| {
        let found = lines.find_map(|line| line.trim().strip_prefix(word).map(|rest| rest.trim().to_owned()));
        found.unwrap_or_else(|| panic!("it did not say {word}"))
    };
    let (address, link) = (behind("look "), behind("sign in "));
    let metrics = behind("metrics ");
    std::thread::spawn(move || lines.for_each(drop));

    let mut anna = Browser::new(&address);
    let path = link.strip_prefix(&address).unwrap();
    let link_secret = path.rsplit('/').next().unwrap().to_owned();
    let chosen = [("name", "anna"), ("password", PASSWORD), ("repeated", PASSWORD)];
    assert_eq!(anna.fill(path, path, &chosen).0, 303);
    let made =
        anna.fill("/account", "/account/tokens", &[("name", "reads"), ("role", "metrics"), ("days", "7")]);
    let token = texts(&Html::parse_document(&made.1), "#new-token").swap_remove(0);
    let (sql_secret, search_secret) = ("swordfish-in-sql", "swordfish-in-search");
    anna.fill("/sql", "/sql", &[("sql", &format!("SELECT '{sql_secret}'"))]);
    anna.send(&format!("/search?q={search_secret}"), None);
    let wrong = "a wrong passphrase";
    let mut stranger = Browser::new(&address);
    stranger.fill("/sign-in", "/sign-in", &[("name", "anna"), ("password", wrong)]);
    let bearer = format!("Bearer {token}");
    let request = anna.agent.get(format!("{address}/metrics")).header("authorization", &bearer);
    let mut answer = request.header("x-request-id", "from-a-proxy.1").call().unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.headers()["x-request-id"].to_str().unwrap()),
        (200, "from-a-proxy.1")
    );
    let body = answer.body_mut().read_to_string().unwrap();
    assert!(body.contains("route=\"/welcome/{link}\",method=\"POST\",status=\"3xx\""), "{body}");
    check_loopback_metrics(&anna.agent, &metrics);

    until("the access log", || fs::read_to_string(&log).unwrap().contains("from-a-proxy.1").then_some(()));
    Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().unwrap();
    assert!(child.wait().unwrap().success());
    let text = fs::read_to_string(&log).unwrap();
    let mut secrets = [anna.secrets, stranger.secrets].concat();
    secrets.extend([link_secret, token, PASSWORD.to_owned(), wrong.to_owned()]);
    secrets.extend([sql_secret.to_owned(), search_secret.to_owned()]);
    assert!(secrets.len() > 8);
    check_events(&text);
    for secret in secrets {
        let found = text.lines().find(|line| line.contains(&secret));
        assert!(found.is_none(), "{secret} is logged: {found:?}");
    }
}

/// The metrics of this machine need no token, and there is nothing else there.
fn check_loopback_metrics(agent: &ureq::Agent, metrics: &str) {
    let status = |path: &str| {
        let base = metrics.strip_suffix("/metrics").unwrap();
        agent.get(format!("{base}{path}")).call().unwrap().status().as_u16()
    };
    assert_eq!(
        ["/metrics", "/metrics/hosts", "/", "/api/v1/hosts", "/sign-in", "/readyz"].map(status),
        [200, 200, 404, 404, 404, 404]
    );
    let foreign = agent.get(metrics).header("host", "fleet.example.com").call().unwrap();
    assert_eq!(foreign.status().as_u16(), 421, "a page of another site that points at this machine");
}

/// Each event is a line of JSON, and says its request.
fn check_events(text: &str) {
    let events: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    assert!(events.len() > 20, "{text}");
    let access = |event: &&Value| event["target"] == "fleetps::access";
    let answered = events.iter().filter(access).find(|event| event["span"]["id"] == "from-a-proxy.1");
    let answered = answered.unwrap_or_else(|| panic!("{text}"));
    assert_eq!(
        (&answered["span"]["route"], &answered["fields"]["status"]),
        (&"/metrics".into(), &200.into())
    );
    assert!(events.iter().filter(access).any(|event| event["span"]["route"] == "/welcome/{link}"));
}
