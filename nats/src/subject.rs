//! The subjects, and which host a subject belongs to.
//!
//! The broker authorises an agent for its own host's subjects only, so the host in a subject is the host's identity;
//! nothing in a payload is. It stands there as one token ([`HostName::token`]), so that no host's subject or inbox is among
//! another's.

use std::borrow::Cow;

use crate::HostName;

/// Every host's snapshots: what the stream holds.
pub const ALL_SNAPSHOTS: &str = "fleetps.*.snapshot";
/// The tick of the stream: an empty message that the ingestor publishes while nothing else comes, so that time goes on for
/// whoever reads the stream. One that is not empty also says how a part of fleetps is doing ([`crate::own_figures`]).
pub const TICK: &str = "fleetps-tick";
/// What happened, as the ingestor decides it: [`crate::stream::EVENTS`].
pub const EVENTS: &str = "fleetps-event";
/// What became of alerts, as the ingestor evaluates them: [`crate::stream::ALERTS`].
pub const ALL_ALERTS: &str = "fleetps-alert.>";
/// Every message that was refused.
pub const ALL_DEAD_LETTERS: &str = "fleetps-dead.>";
/// How each ingestor is doing.
pub const ALL_INGESTOR_STATUS: &str = "fleetps-status.ingestor.*";
/// Every web server that looks after commands says that it runs.
pub const ALL_COMMANDERS: &str = "fleetps-status.commands.*";
/// Where admission publishes counts of refusals.
pub const ADMISSION_STATUS: &str = "fleetps-status.admission";

/// Where one host's agent publishes its snapshots.
pub fn snapshot(host: &HostName) -> String {
    format!("fleetps.{}.snapshot", host.token())
}

/// Every host's first word after it connected.
pub const ALL_HELLOS: &str = "fleetps.*.hello";

/// Where one host's agent asks, after it connected, whether there is something for it to do.
pub fn hello(host: &HostName) -> String {
    format!("fleetps.{}.hello", host.token())
}

/// Where a web server asks whether a host that speaks HTTP is admitted. Agents cannot publish there.
pub const ENROL: &str = "fleetps-enrol";

/// The host that asks; `None` when it is no such subject.
pub fn host_of_hello(subject: &str) -> Option<HostName> {
    HostName::from_token(subject.strip_prefix("fleetps.")?.strip_suffix(".hello")?)
}

/// Where a host's agent hears that other settings are asked of it.
pub fn settings(host: &HostName) -> String {
    format!("fleetps.{}.settings", host.token())
}

/// Where a host is asked about commands: [`Ask`](crate::command::Ask), one reply each.
pub fn commands(host: &HostName) -> String {
    format!("fleetps.{}.cmd", host.token())
}

/// Every host's snapshots between those of the stream, while somebody watches the host; nothing stores them.
pub const ALL_SHARP: &str = "fleetps.*.sharp";

/// Where one host's agent publishes snapshots while somebody watches.
pub fn sharp(host: &HostName) -> String {
    format!("fleetps.{}.sharp", host.token())
}

/// The host that such a subject names; `None` when it is none.
pub fn host_of_sharp(subject: &str) -> Option<HostName> {
    HostName::from_token(subject.strip_prefix("fleetps.")?.strip_suffix(".sharp")?)
}

/// All that one host's agent may publish to: its snapshots, those while somebody watches, its hello, and the question for its
/// settings.
pub fn agent_publishes(host: &HostName) -> [String; 4] {
    let settings = format!("$JS.API.DIRECT.GET.KV_settings.$KV.settings.{}", host.token());
    [snapshot(host), sharp(host), hello(host), settings]
}

/// All that one host's agent may listen to: its settings, its commands and its inbox.
pub fn agent_hears(host: &HostName) -> [String; 3] {
    [settings(host), commands(host), format!("{}.>", inbox_prefix(host))]
}

/// The prefix of reply subjects for one host's agent: the only inbox that agent may subscribe to.
pub fn inbox_prefix(host: &HostName) -> String {
    format!("_INBOX_{}", host.token())
}

/// Where a refused message of `host` goes, by the short name of the reason. Without a host, its sender is unknown.
pub fn dead_letter(host: Option<&HostName>, reason: &str) -> String {
    let token = host.map_or(Cow::Borrowed("unknown"), HostName::token);
    format!("fleetps-dead.{token}.{reason}")
}

/// Where the changes of one instance's alerts go: `instance` is the name of a rule on one host, process, program, …, as
/// hexadecimal digits.
pub fn alert(partition: u32, instance: &str) -> String {
    format!("fleetps-alert.{partition}.{instance}")
}

/// Where the ingestor of one partition says how it is doing.
pub fn ingestor_status(partition: u32) -> String {
    format!("fleetps-status.ingestor.{partition}")
}

/// Where the web server of this run says that it looks after commands.
pub fn commander(run: &str) -> String {
    format!("fleetps-status.commands.{run}")
}

/// The host that a snapshot's subject names; `None` when it is no snapshot subject or the name is not allowed.
pub fn host_of_snapshot(subject: &str) -> Option<HostName> {
    HostName::from_token(subject.strip_prefix("fleetps.")?.strip_suffix(".snapshot")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_read_from_the_subject() {
        for name in ["web-01", "db.example.com"] {
            let host: HostName = name.parse().unwrap();
            assert_eq!(snapshot(&host).split('.').count(), 3);
            assert_eq!(host_of_hello(&hello(&host)), Some(host.clone()));
            assert_eq!(host_of_snapshot(&snapshot(&host)), Some(host));
        }
        for subject in [
            "fleetps..snapshot",
            "fleetps.a.b.snapshot",
            "fleetps.a.hello",
            "other.a.snapshot",
            "fleetps.*.snapshot",
            "fleetps.a=.snapshot",
        ] {
            assert_eq!(host_of_snapshot(subject), None, "{subject}");
        }
    }
}
