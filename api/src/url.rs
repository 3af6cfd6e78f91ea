//! The URLs of this server: every link, form and redirect gets its URL here, with each part of it encoded.

use std::fmt;

use fleetps_ingestor::history::Identity;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use crate::display;

/// The characters that stay unescaped in a path: the unreserved ones of RFC 3986.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Below this, answers are as Prometheus has them.
pub(crate) const PROMETHEUS: &str = "/prometheus/";

/// Whether an address is for programs, which get JSON and no way to the sign-in.
pub(crate) fn is_of_programs(path: &str) -> bool {
    path.starts_with("/api/") || path.starts_with(PROMETHEUS)
}

/// A URL of this server: a path, and what stands behind it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Url {
    path: String,
    query: String,
    fragment: String,
}

/// The pages of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostTab {
    /// Its processes.
    Processes,
    /// Its description.
    System,
    /// Its charts.
    History,
    /// Its events.
    Events,
    /// The differences between two moments.
    Diff,
}

impl Url {
    /// The path of these parts.
    fn of(parts: &[&str]) -> Self {
        let mut path = String::new();
        for part in parts {
            path.push('/');
            path.extend(utf8_percent_encode(part, PART));
        }
        Self { path, ..Self::default() }
    }

    /// The main part of the page itself.
    pub fn main_part() -> Self {
        Self { fragment: "main".to_owned(), ..Self::default() }
    }

    /// What the words on pages mean.
    pub fn glossary() -> Self {
        Self::of(&["glossary"])
    }

    /// The page of a request: its path as it came, but for further slashes at its beginning. With them it would be the
    /// address of another server, to which nobody is to be sent from here.
    pub fn of_page(path: &str) -> Self {
        Self { path: format!("/{}", path.trim_start_matches(['/', '\\'])), ..Self::default() }
    }

    /// All hosts.
    pub fn fleet() -> Self {
        Self::of(&[""])
    }

    /// The live updates of all hosts.
    pub fn fleet_live() -> Self {
        Self::of(&["live"])
    }

    /// The JSON of all hosts.
    pub fn hosts() -> Self {
        Self::of(&["hosts"]).api()
    }

    /// A page of a host.
    pub fn host(host: &str, page: HostTab) -> Self {
        let below = match page {
            HostTab::Processes => return Self::of(&["hosts", host]),
            HostTab::System => "system",
            HostTab::History => "history",
            HostTab::Events => "events",
            HostTab::Diff => "diff",
        };
        Self::of(&["hosts", host, below])
    }

    /// The live updates of a host's processes.
    pub fn host_live(host: &str) -> Self {
        Self::of(&["hosts", host, "live"])
    }

    /// The live updates of what a host is.
    pub fn system_live(host: &str) -> Self {
        Self::of(&["hosts", host, "system", "live"])
    }

    /// Where the groups of a host are changed.
    pub fn host_groups(host: &str) -> Self {
        Self::of(&["hosts", host, "groups"])
    }

    /// Where it is changed how a host is sampled.
    pub fn host_settings(host: &str) -> Self {
        Self::of(&["hosts", host, "settings"])
    }

    /// The picture of a host's timeline.
    pub fn timeline(host: &str) -> Self {
        Self::of(&["hosts", host, "timeline.svg"])
    }

    /// The JSON of a host's processes.
    pub fn host_processes(host: &str) -> Self {
        Self::of(&["hosts", host, "processes"]).api()
    }

    /// The JSON of a host's metrics.
    pub fn host_metrics(host: &str) -> Self {
        Self::of(&["hosts", host, "metrics"]).api()
    }

    /// The process that has this pid on a host now.
    pub fn pid(host: &str, pid: u32) -> Self {
        Self::of(&["hosts", host, "processes", &pid.to_string()])
    }

    /// A process: a pid alone would mean another one after it was used again.
    pub fn process(host: &str, pid: u32, started_at_us: i64) -> Self {
        Self::pid(host, pid).with(&[("started", display::time_exact(started_at_us))])
    }

    /// The page of a process.
    pub fn of_process(identity: &Identity) -> Self {
        Self::process(identity.host.as_str(), identity.pid, identity.started_at_us)
    }

    /// The JSON of the metrics of the process that has this pid on a host now.
    pub fn pid_metrics(host: &str, pid: u32) -> Self {
        Self::of(&["hosts", host, "processes", &pid.to_string(), "metrics"]).api()
    }

    /// The events on all hosts.
    pub fn events() -> Self {
        Self::of(&["events"])
    }

    /// The open alerts.
    pub fn alerts() -> Self {
        Self::of(&["alerts"])
    }

    /// The open alerts of a host.
    pub fn alerts_of(host: &str) -> Self {
        Self::alerts().with(&[("host", host)])
    }

    /// The live updates of the open alerts.
    pub fn alerts_live() -> Self {
        Self::of(&["alerts", "live"])
    }

    /// What became of alerts.
    pub fn alert_history() -> Self {
        Self::of(&["alerts", "history"])
    }

    /// The form that acknowledges alerts: `alert` by id, or those of `host` and `rule`.
    pub fn acknowledge_alerts() -> Self {
        Self::of(&["alerts", "acknowledge"])
    }

    /// The silences and maintenance windows.
    pub fn silences() -> Self {
        Self::of(&["alerts", "silences"])
    }

    /// The form for a new silence: of `host`, `rule` or `group`.
    pub fn new_silence() -> Self {
        Self::of(&["alerts", "silences", "new"])
    }

    /// The rules of alerts.
    pub fn alert_rules() -> Self {
        Self::of(&["alerts", "rules"])
    }

    /// The form for a new rule.
    pub fn new_alert_rule() -> Self {
        Self::of(&["alerts", "new"])
    }

    /// Where a rule is tried on the past.
    pub fn alert_test() -> Self {
        Self::of(&["alerts", "test"])
    }

    /// A rule of alerts.
    pub fn alert_rule(id: &str) -> Self {
        Self::of(&["alerts", "rules", id])
    }

    /// An alert.
    pub fn alert(id: &str) -> Self {
        Self::of(&["alerts", id])
    }

    /// Where an alert is acknowledged.
    pub fn acknowledge(id: &str) -> Self {
        Self::of(&["alerts", id, "acknowledge"])
    }

    /// A silence.
    pub fn silence(id: &str) -> Self {
        Self::of(&["alerts", "silences", id])
    }

    /// The routes by which notifications go to channels.
    pub fn alert_routes() -> Self {
        Self::of(&["alerts", "routes"])
    }

    /// The form for a new route.
    pub fn new_alert_route() -> Self {
        Self::of(&["alerts", "new-route"])
    }

    /// The route at this place, counted from 1.
    pub fn alert_route(place: usize) -> Self {
        Self::of(&["alerts", "routes", &place.to_string()])
    }

    /// The channels of notifications.
    pub fn channels() -> Self {
        Self::of(&["alerts", "channels"])
    }

    /// The form for a new channel.
    pub fn new_channel() -> Self {
        Self::of(&["alerts", "new-channel"])
    }

    /// A channel of notifications.
    pub fn channel(id: &str) -> Self {
        Self::of(&["alerts", "channels", id])
    }

    /// Where a channel is tried.
    pub fn channel_test(id: &str) -> Self {
        Self::of(&["alerts", "channels", id, "test"])
    }

    /// What became of notifications, and where undeliverable ones are sent again.
    pub fn deliveries() -> Self {
        Self::of(&["alerts", "deliveries"])
    }

    /// Where an undeliverable notification is sent again.
    pub fn delivery_again(id: &str) -> Self {
        Self::of(&["alerts", "deliveries", id, "again"])
    }

    /// The commands to hosts.
    pub fn commands() -> Self {
        Self::of(&["commands"])
    }

    /// The live updates of the commands to hosts.
    pub fn commands_live() -> Self {
        Self::of(&["commands", "live"])
    }

    /// The commands to one host.
    pub fn commands_of(host: &str) -> Self {
        Self::commands().with(&[("host", host)])
    }

    /// A command, or a plan of several.
    pub fn command(id: &str) -> Self {
        Self::of(&["commands", id])
    }

    /// The live updates of a command.
    pub fn command_live(id: &str) -> Self {
        Self::of(&["commands", id, "live"])
    }

    /// Where a command is cancelled.
    pub fn cancel_command(id: &str) -> Self {
        Self::of(&["commands", id, "cancel"])
    }

    /// The form for a new command.
    pub fn new_command() -> Self {
        Self::of(&["commands", "new"])
    }

    /// Where a host is commanded by programs.
    pub fn host_commands(host: &str) -> Self {
        Self::of(&["hosts", host, "commands"])
    }

    /// How a unit of a host is, for programs.
    pub fn unit(host: &str, unit: &str) -> Self {
        Self::of(&["hosts", host, "units", unit])
    }

    /// The top users.
    pub fn top() -> Self {
        Self::of(&["top"])
    }

    /// What grew in memory, as JSON.
    pub fn growth_json() -> Self {
        Self::of(&["api", "v1", "growth"])
    }

    /// The search for processes.
    pub fn search() -> Self {
        Self::of(&["search"])
    }

    /// The SQL console.
    pub fn sql() -> Self {
        Self::of(&["sql"])
    }

    /// Where a question in SQL is cancelled.
    pub fn sql_cancel() -> Self {
        Self::of(&["sql", "cancel"])
    }

    /// The description of the JSON interface.
    pub fn interface() -> Self {
        Self::of(&["api"])
    }

    /// The same as an OpenAPI document.
    pub fn openapi() -> Self {
        Self::of(&["openapi.json"]).api()
    }

    /// The audit.
    pub fn audit() -> Self {
        Self::of(&["audit"])
    }

    /// How fleetps itself is, for Prometheus.
    pub fn metrics() -> Self {
        Self::of(&["metrics"])
    }

    /// The form that begins a session.
    pub fn sign_in() -> Self {
        Self::of(&["sign-in"])
    }

    /// Where a session is ended.
    pub fn sign_out() -> Self {
        Self::of(&["sign-out"])
    }

    /// A one-time link.
    pub fn welcome(secret: &str) -> Self {
        Self::of(&["welcome", secret])
    }

    /// One's own account.
    pub fn account() -> Self {
        Self::of(&["account"])
    }

    /// Where one's own password is changed.
    pub fn password() -> Self {
        Self::of(&["account", "password"])
    }

    /// Where a session of one's own is ended.
    pub fn end_session() -> Self {
        Self::of(&["account", "sessions", "end"])
    }

    /// Where an API token is made.
    pub fn tokens() -> Self {
        Self::of(&["account", "tokens"])
    }

    /// Where an API token is revoked.
    pub fn revoke_token() -> Self {
        Self::of(&["account", "tokens", "revoke"])
    }

    /// Where hosts are added.
    pub fn add_host() -> Self {
        Self::of(&["add-host"])
    }

    /// Where it is decided about hosts that wait.
    pub fn waiting_hosts() -> Self {
        Self::of(&["add-host", "waiting"])
    }

    /// The page of all users.
    pub fn users() -> Self {
        Self::of(&["users"])
    }

    /// One of them.
    pub fn user(name: &str) -> Self {
        Self::of(&["users", name])
    }

    /// Whether this server is ready.
    pub fn ready() -> Self {
        Self::of(&["readyz"])
    }

    /// The folder of the assets of a build.
    pub fn assets(version: &str) -> Self {
        Self::of(&["assets", version])
    }

    /// An asset of a build.
    pub fn asset(version: &str, file: &str) -> Self {
        Self::of(&["assets", version, file])
    }

    /// The same as JSON.
    pub fn api(self) -> Self {
        Self { path: format!("/api/v1{}", self.path), ..self }
    }

    /// With these parameters, behind those that it has.
    pub fn with(mut self, parameters: &(impl Serialize + ?Sized)) -> Self {
        // Structs of texts and pairs of texts can always be written.
        let query = serde_html_form::to_string(parameters).unwrap_or_default();
        let query = readable(&query);
        if !self.query.is_empty() && !query.is_empty() {
            self.query.push('&');
        }
        self.query += &query;
        self
    }

    /// The place on the page that has this id.
    pub fn at(self, id: &str) -> Self {
        Self { fragment: utf8_percent_encode(id, PART).to_string(), ..self }
    }

    /// The path alone: what a form is sent to.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Name and value of every parameter: what a form that leads there carries along.
    pub fn parameters(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(self.query.as_bytes()).into_owned().collect()
    }
}

/// With the commas of lists and the colons of times written out, which mean the same and are easier to read.
fn readable(query: &str) -> String {
    let is_digit = |character: char| character.is_ascii_digit();
    let mut text = String::with_capacity(query.len());
    for part in query.replace("%2C", ",").split_inclusive("%3A") {
        let before = text.strip_suffix("%3A").filter(|before| before.ends_with(is_digit));
        if let (Some(before), true) = (before.map(str::len), part.starts_with(is_digit)) {
            text.replace_range(before.., ":");
        }
        text += part;
    }
    text
}

impl fmt::Display for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.path)?;
        if !self.query.is_empty() {
            write!(formatter, "?{}", self.query)?;
        }
        if !self.fragment.is_empty() {
            write!(formatter, "#{}", self.fragment)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "url_tests.rs"]
mod tests;
