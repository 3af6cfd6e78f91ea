//! How a host is sampled: its own settings, and over them what the fleet asks, except where the host pins a setting.

use std::collections::BTreeSet;

use fleetps_nats::agent_settings::{AskedOfAgent, CommandLines, Setting};

use crate::{scrub::CommandLineMode, settings::AgentSettings};

/// How this host is sampled.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// How, and how often.
    pub settings: AgentSettings,
    /// Whether at all.
    pub enabled: bool,
    /// Whether the samples for those who watch go to the stream, too.
    pub keeps_watched: bool,
    /// The revision of the frame that asked for it; absent where none did.
    pub revision: Option<i64>,
}

/// What is in force with `own` settings where the fleet asks for `asked`, of this revision. Names are left out in addition to
/// those that the host's own file leaves out, so that nothing which is hidden there can be shown from elsewhere.
pub(super) fn effective(
    own: &AgentSettings,
    pinned: &[Setting],
    asked: Option<(AskedOfAgent, Option<i64>)>,
) -> Sampling {
    let (mut asked, revision) = asked.unwrap_or_default();
    for setting in pinned {
        // Null is in every range.
        let _ = asked.set(*setting, &serde_json::Value::Null);
    }
    let mut settings = own.clone();
    settings.interval = asked.interval().unwrap_or(own.interval);
    settings.command_line = match asked.command_line {
        Some(CommandLines::Scrubbed) => CommandLineMode::Scrubbed,
        Some(CommandLines::Off) => CommandLineMode::Off,
        None => own.command_line,
    };
    let number = |asked: Option<u32>| asked.and_then(|number| usize::try_from(number).ok());
    settings.top = number(asked.top).or(own.top);
    settings.max_processes = number(asked.max_processes).unwrap_or(own.max_processes);
    settings.exclude_names = with(&own.exclude_names, asked.exclude_names);
    settings.exclude_users = with(&own.exclude_users, asked.exclude_users);
    let (enabled, keeps_watched) = (asked.enabled.unwrap_or(true), asked.keep_watched.unwrap_or(false));
    Sampling { settings, enabled, keeps_watched, revision }
}

fn with(own: &[String], asked: Option<Vec<String>>) -> Vec<String> {
    let more = asked.unwrap_or_default().into_iter().filter(|name| !own.contains(name));
    own.iter().cloned().chain(more).collect()
}

/// The same as a host reports it. Command lines are absent where they leave the host with their secrets.
pub(super) fn in_force(sampling: &Sampling) -> AskedOfAgent {
    let settings = &sampling.settings;
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    AskedOfAgent {
        interval_ms: Some(settings.interval_ms()),
        enabled: Some(sampling.enabled),
        keep_watched: Some(sampling.keeps_watched),
        command_line: match settings.command_line {
            CommandLineMode::Scrubbed => Some(CommandLines::Scrubbed),
            CommandLineMode::Off => Some(CommandLines::Off),
            CommandLineMode::Full => None,
        },
        top: settings.top.map(number),
        max_processes: Some(number(settings.max_processes)),
        exclude_names: Some(settings.exclude_names.clone()),
        exclude_users: Some(settings.exclude_users.clone()),
    }
}

/// The settings that `own` has other values for than the defaults.
pub(super) fn own(own: &AgentSettings) -> BTreeSet<Setting> {
    let usual = AgentSettings::default();
    let differs = |setting: &Setting| match setting {
        Setting::Interval => own.interval != usual.interval,
        Setting::Enabled | Setting::KeepWatched => false,
        Setting::CommandLine => own.command_line != usual.command_line,
        Setting::Top => own.top != usual.top,
        Setting::MaxProcesses => own.max_processes != usual.max_processes,
        Setting::ExcludeNames => own.exclude_names != usual.exclude_names,
        Setting::ExcludeUsers => own.exclude_users != usual.exclude_users,
    };
    Setting::ALL.into_iter().filter(differs).collect()
}
