//! The settings that can be asked of an agent, each with its range, declared once for API, page and agent.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::snapshot::MAX_PROCESSES;

/// More often, a pass would cost more than it tells: the kernel counts CPU time in steps of 10 ms.
const MIN_INTERVAL_MS: u64 = 100;
/// Readers refuse more: a day.
const MAX_INTERVAL_MS: u64 = 24 * 3600 * 1000;
/// Names in one list: all of them travel in one frame, and each is compared with every process.
const MAX_EXCLUDED: usize = 100;
/// The longest of these names, in bytes: Linux has 15 for programs and 32 for users.
const MAX_NAME_BYTES: usize = 64;

/// How command lines leave a host. Sending them with their secrets (`full`) can only be set on the host itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CommandLines {
    /// With secrets replaced.
    Scrubbed,
    /// Not at all.
    Off,
}

/// What is asked of a host's agent; absent where its own settings count.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AskedOfAgent {
    /// The time between two samples, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_ms: Option<u32>,
    /// Whether it samples at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Whether the samples that are taken while somebody watches are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_watched: Option<bool>,
    /// How command lines leave the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_line: Option<CommandLines>,
    /// Number of processes sent, the busiest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top: Option<u32>,
    /// Largest number of processes sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_processes: Option<u32>,
    /// Processes with these names are not sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclude_names: Option<Vec<String>>,
    /// Processes of these users are not sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclude_users: Option<Vec<String>>,
}

/// One setting that can be asked, by the name that it has in a host's own file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Setting {
    /// The time between two samples.
    Interval,
    /// Whether the host is sampled.
    Enabled,
    /// Whether samples for those who watch are kept.
    KeepWatched,
    /// How command lines leave the host.
    CommandLine,
    /// Number of processes sent.
    Top,
    /// Largest number of processes sent.
    MaxProcesses,
    /// Processes left out by name.
    ExcludeNames,
    /// Processes left out by user.
    ExcludeUsers,
}

/// A value that cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} cannot be {value}; expected {}", setting.key(), setting.allowed())]
pub struct BadSetting {
    setting: Setting,
    value: String,
}

/// Who decides the value of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decider {
    /// What was asked of the host itself.
    Host,
    /// What was asked of a group that the host is in.
    Group(String),
}

impl fmt::Display for Decider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => formatter.write_str("asked of this host"),
            Self::Group(group) => write!(formatter, "asked of the group {group}"),
        }
    }
}

/// What is asked of one host, and who decided each value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolved {
    /// The values.
    pub asked: AskedOfAgent,
    /// Who decided those that are not absent.
    pub deciders: BTreeMap<Setting, Decider>,
}

/// What is asked of a host: its own values, then those of its groups, of which the first by name counts.
pub fn resolve<'a>(
    of_host: Option<&AskedOfAgent>,
    of_groups: impl IntoIterator<Item = (&'a str, &'a AskedOfAgent)>,
) -> Resolved {
    let mut resolved = Resolved::default();
    let mut of_groups: Vec<_> = of_groups.into_iter().collect();
    of_groups.sort_unstable_by_key(|(group, _)| *group);
    let of_groups = of_groups.into_iter().map(|(group, asked)| (Decider::Group(group.to_owned()), asked));
    let all = of_host.map(|asked| (Decider::Host, asked)).into_iter().chain(of_groups);
    for (decider, asked) in all {
        for setting in Setting::ALL {
            let value = asked.value(setting);
            if !value.is_null() && !resolved.deciders.contains_key(&setting) {
                // A value that is kept was checked when it was asked.
                if resolved.asked.set(setting, &value).is_ok() {
                    resolved.deciders.insert(setting, decider.clone());
                }
            }
        }
    }
    resolved
}

impl Setting {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Interval,
        Self::Enabled,
        Self::CommandLine,
        Self::Top,
        Self::MaxProcesses,
        Self::ExcludeNames,
        Self::ExcludeUsers,
        Self::KeepWatched,
    ];

    /// Its name in JSON, with the unit.
    pub fn key(self) -> &'static str {
        match self {
            Self::Interval => "interval_ms",
            Self::Enabled => "enabled",
            Self::KeepWatched => "keep_watched",
            Self::CommandLine => "command_line",
            Self::Top => "top",
            Self::MaxProcesses => "max_processes",
            Self::ExcludeNames => "exclude_names",
            Self::ExcludeUsers => "exclude_users",
        }
    }

    /// The setting with this name in JSON.
    pub fn of_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|setting| setting.key() == key)
    }

    /// Its label on pages.
    pub fn label(self) -> &'static str {
        match self {
            Self::Interval => "Interval",
            Self::Enabled => "Sampling",
            Self::KeepWatched => "Samples while watched",
            Self::CommandLine => "Command lines",
            Self::Top => "Busiest processes",
            Self::MaxProcesses => "Process limit",
            Self::ExcludeNames => "Excluded names",
            Self::ExcludeUsers => "Excluded users",
        }
    }

    /// The allowed values, in words.
    pub fn allowed(self) -> String {
        match self {
            Self::Interval => {
                format!("{MIN_INTERVAL_MS} to {MAX_INTERVAL_MS} (a tenth of a second to a day, in ms)")
            }
            Self::Enabled | Self::KeepWatched => "true or false".to_owned(),
            Self::CommandLine => "\"scrubbed\" or \"off\" (\"full\" only in the host's own file)".to_owned(),
            Self::Top | Self::MaxProcesses => format!("1 to {MAX_PROCESSES}"),
            Self::ExcludeNames | Self::ExcludeUsers => {
                format!(
                    "a list of at most {MAX_EXCLUDED} names of 1 to {MAX_NAME_BYTES} bytes, without control characters"
                )
            }
        }
    }
}

impl AskedOfAgent {
    /// The time between two samples.
    pub fn interval(&self) -> Option<Duration> {
        self.interval_ms.map(|ms| Duration::from_millis(u64::from(ms)))
    }

    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The value of `setting`, as in JSON; null where it is absent.
    pub fn value(&self, setting: Setting) -> Value {
        match setting {
            Setting::Interval => json!(self.interval_ms),
            Setting::Enabled => json!(self.enabled),
            Setting::KeepWatched => json!(self.keep_watched),
            Setting::CommandLine => json!(self.command_line),
            Setting::Top => json!(self.top),
            Setting::MaxProcesses => json!(self.max_processes),
            Setting::ExcludeNames => json!(self.exclude_names),
            Setting::ExcludeUsers => json!(self.exclude_users),
        }
    }

    /// Asks for `value`, or with null for nothing.
    ///
    /// # Errors
    /// When the value is outside the setting's range; the earlier one then stays.
    pub fn set(&mut self, setting: Setting, value: &Value) -> Result<(), BadSetting> {
        let bad = || BadSetting { setting, value: shown(value) };
        let number = |from: u64, to: u64| match value {
            Value::Null => Ok(None),
            _ => {
                let number = value.as_u64().filter(|number| (from..=to).contains(number));
                number.and_then(|number| u32::try_from(number).ok()).map(Some).ok_or_else(bad)
            }
        };
        match setting {
            Setting::Interval => self.interval_ms = number(MIN_INTERVAL_MS, MAX_INTERVAL_MS)?,
            Setting::Enabled => self.enabled = serde_json::from_value(value.clone()).map_err(|_| bad())?,
            Setting::KeepWatched => {
                self.keep_watched = serde_json::from_value(value.clone()).map_err(|_| bad())?;
            }
            Setting::CommandLine => {
                self.command_line = serde_json::from_value(value.clone()).map_err(|_| bad())?;
            }
            Setting::Top => self.top = number(1, MAX_PROCESSES as u64)?,
            Setting::MaxProcesses => self.max_processes = number(1, MAX_PROCESSES as u64)?,
            Setting::ExcludeNames => self.exclude_names = names(value).ok_or_else(bad)?,
            Setting::ExcludeUsers => self.exclude_users = names(value).ok_or_else(bad)?,
        }
        Ok(())
    }

    /// Checks every value against its range.
    ///
    /// # Errors
    /// When one is outside.
    pub fn check(&self) -> Result<(), BadSetting> {
        Setting::ALL.into_iter().try_for_each(|setting| Self::default().set(setting, &self.value(setting)))
    }
}

/// A list of names; `Some(None)` for null, `None` for anything else.
fn names(value: &Value) -> Option<Option<Vec<String>>> {
    let is_name =
        |name: &String| (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.chars().any(char::is_control);
    let names: Option<Vec<String>> = serde_json::from_value(value.clone()).ok()?;
    let fits = names.as_ref().is_none_or(|names| names.len() <= MAX_EXCLUDED && names.iter().all(is_name));
    fits.then_some(names)
}

/// A value in an error: the beginning of a long one.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_outside_their_range_are_refused_with_the_range_and_change_nothing() {
        let long = "x".repeat(MAX_NAME_BYTES + 1);
        for (setting, values) in [
            (
                Setting::Interval,
                vec![json!(0), json!(99), json!(86_400_001), json!(-1), json!(1.5), json!("10s")],
            ),
            (Setting::Enabled, vec![json!(0), json!("true")]),
            (Setting::KeepWatched, vec![json!(1), json!("kept")]),
            (Setting::CommandLine, vec![json!("full"), json!("none"), json!(1)]),
            (Setting::Top, vec![json!(0), json!(20_001)]),
            (Setting::MaxProcesses, vec![json!(0), json!(u64::MAX)]),
            (Setting::ExcludeNames, vec![json!([""]), json!([long]), json!(["a\n"]), json!("a"), json!([1])]),
            (Setting::ExcludeUsers, vec![json!(vec!["a"; MAX_EXCLUDED + 1])]),
        ] {
            for value in values {
                let mut asked = AskedOfAgent::default();
                let error = asked.set(setting, &value).unwrap_err().to_string();
                assert!(error.contains(setting.key()) && error.contains(&setting.allowed()), "{error}");
                assert!(asked.is_empty(), "{value}");
            }
        }
        let mut asked = AskedOfAgent::default();
        for (setting, value) in [
            (Setting::Interval, json!(100)),
            (Setting::Enabled, json!(false)),
            (Setting::KeepWatched, json!(true)),
            (Setting::CommandLine, json!("off")),
            (Setting::Top, json!(1)),
            (Setting::MaxProcesses, json!(20_000)),
            (Setting::ExcludeNames, json!(["ü"])),
            (Setting::ExcludeUsers, json!([])),
        ] {
            asked.set(setting, &value).unwrap();
            assert_eq!(asked.value(setting), value);
        }
        assert!(asked.check().is_ok());
        Setting::ALL.into_iter().for_each(|setting| asked.set(setting, &Value::Null).unwrap());
        assert!(asked.is_empty());
    }

    #[test]
    fn a_host_decides_before_its_groups_and_of_these_the_first_by_name() {
        let asked = |interval_ms, top| AskedOfAgent { interval_ms, top, ..AskedOfAgent::default() };
        let (host, web, all) = (asked(Some(500), None), asked(None, Some(7)), asked(Some(9000), Some(8)));
        let resolved = resolve(Some(&host), [("web", &web), ("zone=a", &all)]);
        assert_eq!(resolved.asked, asked(Some(500), Some(7)));
        assert_eq!(resolved.deciders[&Setting::Top], Decider::Group("web".to_owned()));
        assert_eq!(resolved.deciders[&Setting::Interval], Decider::Host);
        assert_eq!(resolve(None, [("web", &web), ("a", &all)]).asked, all);
        assert_eq!(resolve(None, []), Resolved::default());
    }
}
