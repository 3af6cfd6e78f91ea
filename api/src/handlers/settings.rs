//! The part of a host's System page that shows and changes how the host is sampled.

use std::time::Duration;

use axum::{http::StatusCode, response::Response};
use fleetps_nats::{
    HostName,
    agent_settings::{AskedOfAgent, Setting},
    units,
};
use serde_json::{Value, json};

use super::{page::Layout, refused_form};
use crate::{
    authz::Permission,
    control::{SettingsOfHost, Target},
    extract::{Form, Host},
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    url::{HostTab, Url},
};

/// The settings of a host, as the page has them.
pub(crate) struct Section {
    /// Each setting: its label, the value in force, and who decided it.
    pub rows: Vec<(&'static str, String, String)>,
    /// What the page says of the whole.
    pub note: String,
    /// The forms: of the host, and of those of its groups that the person may change. None where nothing can be asked.
    pub forms: Vec<SettingsForm>,
}

/// A form that asks for settings.
pub(crate) struct SettingsForm {
    /// What it is for, in words.
    pub title: String,
    /// The group that it is for; empty for the host itself.
    pub group: String,
    /// The settings.
    pub fields: Vec<Field>,
}

/// A setting in a form.
pub(crate) struct Field {
    /// Its name in the form.
    pub key: &'static str,
    /// Its label.
    pub label: &'static str,
    /// What is asked now; empty where nothing is.
    pub value: String,
    /// The values to choose from; empty where it is written.
    pub choices: Vec<&'static str>,
    /// What can be written.
    pub hint: &'static str,
    /// The host's own file decides it.
    pub is_pinned: bool,
}

/// The section of the page; absent where nothing is known of the host's settings.
pub(crate) fn section(scoped: &ScopedFleet, host: &HostName) -> Option<Section> {
    let known = scoped.settings(host).ok()?;
    let rows = Setting::ALL.map(|setting| {
        let value = shown(setting, &known.in_force(setting), known.applied.is_some());
        (setting.label(), value, known.decision(setting).to_string())
    });
    let may = scoped.permission_of(Permission::ControlHosts, host);
    let forms = if may && known.obstacle().is_none() { forms(scoped, host, &known) } else { Vec::new() };
    Some(Section { rows: rows.into(), note: note(&known), forms })
}

fn note(known: &SettingsOfHost) -> String {
    let applied = known.applied.as_ref();
    let problem = applied.and_then(|applied| applied.problem.as_deref());
    let slowed_to_s = applied.and_then(|applied| applied.slowed_to_s);
    match (known.obstacle(), problem) {
        (Some(obstacle), _) => format!("These cannot be changed from here: {obstacle}."),
        (None, Some(problem)) => format!("The host did not believe the last settings: {problem}."),
        (None, None) if known.applied.is_none() => "The host has not reported its settings.".to_owned(),
        (None, None) if !known.is_applied() => "The host has not applied the last change yet.".to_owned(),
        (None, None) => slowed_to_s.map_or_else(String::new, |seconds| {
            format!(
                "Somebody watches this host. It is sampled every {seconds} s for that: more often would take more than a twentieth \
                 of one of its cores."
            )
        }),
    }
}

fn forms(scoped: &ScopedFleet, host: &HostName, known: &SettingsOfHost) -> Vec<SettingsForm> {
    let of_host = SettingsForm {
        title: format!("Change for {host}"),
        group: String::new(),
        fields: fields(&known.own, |setting| known.is_pinned(setting)),
    };
    let groups = scoped.groups(host);
    let of_group = |group: &String| {
        let asked = scoped.settings_of_group(group).ok()?;
        let title = format!("Change for every host of {group}");
        Some(SettingsForm { title, group: group.clone(), fields: fields(&asked, |_| false) })
    };
    std::iter::once(of_host).chain(groups.iter().filter_map(of_group)).collect()
}

fn fields(asked: &AskedOfAgent, is_pinned: impl Fn(Setting) -> bool) -> Vec<Field> {
    let field = |setting: Setting| {
        let (choices, hint): (&[&str], _) = match setting {
            Setting::Interval => (&[], "10s"),
            Setting::Enabled => (&["on", "paused"], ""),
            Setting::KeepWatched => (&["kept", "thinned"], ""),
            Setting::CommandLine => (&["scrubbed", "off"], ""),
            Setting::Top | Setting::MaxProcesses => (&[], "number"),
            Setting::ExcludeNames => (&[], "names, one a line"),
            Setting::ExcludeUsers => (&[], "users, one a line"),
        };
        Field {
            key: setting.key(),
            label: setting.label(),
            value: written(setting, &asked.value(setting)),
            choices: choices.to_vec(),
            hint,
            is_pinned: is_pinned(setting),
        }
    };
    Setting::ALL.map(field).into()
}

impl Field {
    /// Whether it is written in several lines.
    pub(crate) fn is_list(&self) -> bool {
        self.hint.ends_with("one a line")
    }
}

/// A value in force, for people.
fn shown(setting: Setting, value: &Value, is_reported: bool) -> String {
    match (setting, value) {
        (_, Value::Null) if !is_reported => "unknown".to_owned(),
        (Setting::CommandLine, Value::Null) => "full".to_owned(),
        (Setting::Top, Value::Null) => "all".to_owned(),
        // An agent of a version before this setting.
        (Setting::KeepWatched, Value::Null) => "thinned".to_owned(),
        (Setting::ExcludeNames | Setting::ExcludeUsers, Value::Array(names)) if names.is_empty() => {
            "none".to_owned()
        }
        (Setting::ExcludeNames | Setting::ExcludeUsers, _) => written(setting, value).replace('\n', ", "),
        _ => written(setting, value),
    }
}

/// A value as forms have it; empty for null.
fn written(setting: Setting, value: &Value) -> String {
    match (setting, value) {
        (Setting::Interval, Value::Number(ms)) => {
            units::format_duration(Duration::from_millis(ms.as_u64().unwrap_or_default()))
        }
        (Setting::KeepWatched, Value::Bool(true)) => "kept".to_owned(),
        (Setting::KeepWatched, Value::Bool(false)) => "thinned".to_owned(),
        (_, Value::Bool(true)) => "on".to_owned(),
        (_, Value::Bool(false)) => "paused".to_owned(),
        (_, Value::Array(names)) => names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"),
        (_, Value::String(text)) => text.clone(),
        (_, Value::Null) => String::new(),
        (_, other) => other.to_string(),
    }
}

/// What was written in a form, as JSON; null for an empty field.
fn read(setting: Setting, text: &str) -> Value {
    let text = text.trim();
    if text.is_empty() {
        return Value::Null;
    }
    match setting {
        Setting::Interval => {
            let interval = units::parse_duration(text).ok();
            interval.map_or_else(|| json!(text), |interval| json!(interval.as_millis() as u64))
        }
        Setting::Enabled => match text {
            "on" => json!(true),
            "paused" => json!(false),
            _ => json!(text),
        },
        Setting::KeepWatched => match text {
            "kept" => json!(true),
            "thinned" => json!(false),
            _ => json!(text),
        },
        Setting::CommandLine => json!(text),
        Setting::Top | Setting::MaxProcesses => {
            text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number))
        }
        Setting::ExcludeNames | Setting::ExcludeUsers => {
            json!(text.lines().map(str::trim).filter(|name| !name.is_empty()).collect::<Vec<_>>())
        }
    }
}

/// Takes a form of the page.
pub(crate) async fn change(
    layout: Layout,
    scoped: ScopedFleet,
    Host(host): Host,
    form: Form,
) -> Result<Response, Refusal> {
    let addresses = (Url::host_settings(host.as_str()), Url::host(host.as_str(), HostTab::System));
    let changed = ask(&scoped, &host, &form).await;
    refused_form::answer(layout, addresses, &form, label_of, changed)
}

/// The label of a field; empty for the one that says whose settings they are.
fn label_of(field: &str) -> &'static str {
    match Setting::ALL.into_iter().find(|setting| setting.key() == field) {
        Some(setting) => setting.label(),
        None if field == "why" => "Reason",
        None => "",
    }
}

async fn ask(scoped: &ScopedFleet, host: &HostName, form: &Form) -> Result<(), Refusal> {
    let group = form.field("group");
    let target = match group.is_empty() {
        true => Target::Host(host.clone()),
        false => Target::Group(group),
    };
    let mut changes = Vec::new();
    for setting in Setting::ALL {
        let value = read(setting, &form.field(setting.key()));
        AskedOfAgent::default().set(setting, &value).map_err(|error| {
            Refusal::new(StatusCode::BAD_REQUEST, error.to_string(), "correct it and send it again")
        })?;
        changes.push((setting, value));
    }
    scoped.ask_settings(&target, &changes, &form.field("why")).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use fleetps_nats::agent_settings::Applied;

    use super::*;

    #[test]
    fn what_a_form_shows_is_read_from_it_again() {
        let mut asked = AskedOfAgent::default();
        for (setting, value) in [
            (Setting::Interval, json!(1500)),
            (Setting::Enabled, json!(false)),
            (Setting::KeepWatched, json!(true)),
            (Setting::CommandLine, json!("off")),
            (Setting::Top, json!(7)),
            (Setting::ExcludeNames, json!(["a b", "c"])),
        ] {
            asked.set(setting, &value).unwrap();
        }
        for setting in Setting::ALL {
            let value = asked.value(setting);
            assert_eq!(read(setting, &written(setting, &value)), value);
        }
        for (setting, text) in [(Setting::Interval, "soon"), (Setting::Enabled, "x"), (Setting::Top, "-1")] {
            assert!(AskedOfAgent::default().set(setting, &read(setting, text)).is_err(), "{text}");
        }
    }
    #[test]
    fn a_host_that_cannot_be_sampled_as_often_as_those_who_watch_wish_says_so() {
        let applied = Applied { is_controlled: true, slowed_to_s: Some(6), ..Applied::default() };
        let known = SettingsOfHost { applied: Some(applied), can_sign: true, ..SettingsOfHost::default() };
        assert!(note(&known).contains("every 6 s"), "{}", note(&known));
    }
}
