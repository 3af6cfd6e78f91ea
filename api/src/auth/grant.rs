//! Grants: a role, and the hosts it is for. As text: `viewer`, `operator:web,env=prod`, `viewer:web:no-command-lines`.

use std::{collections::BTreeSet, fmt, str::FromStr};

use fleetps_nats::hosts::{NotAGroup, read_groups};
use serde::{Deserialize, Serialize};

/// The last part of a grant's text that hides command lines.
const NO_COMMAND_LINES: &str = "no-command-lines";

/// A role, and the hosts it is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// What may be done.
    pub role: Role,
    /// On hosts that have any of these tags; `None` for every host.
    pub groups: Option<BTreeSet<String>>,
    /// Whether command lines stay hidden.
    #[serde(default)]
    pub hides_command_lines: bool,
}

/// What may be done; each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads metrics: for a program that collects them and sees nothing else.
    Metrics,
    /// Looks.
    Viewer,
    /// Looks, and acts on hosts.
    Operator,
    /// Everything, people and settings included.
    Administrator,
}

/// The text is no grant.
#[derive(Debug, thiserror::Error)]
pub enum NotAGrant {
    /// No such role.
    #[error("{0:?} is no role: expected metrics, viewer, operator or administrator")]
    Role(String),
    /// No group.
    #[error(transparent)]
    Group(#[from] NotAGroup),
    /// Something behind the groups.
    #[error("{0:?} is no part of a grant: expected ROLE, ROLE:GROUP,GROUP or ROLE:GROUP:no-command-lines")]
    Rest(String),
}

impl Role {
    /// Every role, the least first.
    pub const ALL: [Self; 4] = [Self::Metrics, Self::Viewer, Self::Operator, Self::Administrator];

    /// As text.
    pub fn name(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Administrator => "administrator",
        }
    }
}

impl FromStr for Role {
    type Err = NotAGrant;

    fn from_str(text: &str) -> Result<Self, NotAGrant> {
        let found = Self::ALL.into_iter().find(|role| role.name() == text);
        found.ok_or_else(|| NotAGrant::Role(crate::display::cut(text, 64).into_owned()))
    }
}

impl Grant {
    /// Everything, on every host.
    pub const EVERYTHING: Self = Self { role: Role::Administrator, groups: None, hides_command_lines: false };

    /// Whether this is for an administrator of the whole fleet.
    pub fn administers_all(&self) -> bool {
        self.role == Role::Administrator && self.groups.is_none()
    }

    /// What it lets somebody see in metrics of hosts: the same hosts, whatever the role, and no command lines.
    pub fn for_metrics(&self) -> Self {
        Self { role: self.role.max(Role::Viewer), hides_command_lines: true, ..self.clone() }
    }

    /// The intersection of this grant and another one.
    pub fn within(&self, limit: &Self) -> Self {
        let groups = match (&self.groups, &limit.groups) {
            (Some(own), Some(limit)) => Some(own.intersection(limit).cloned().collect()),
            (own, limit) => own.clone().or_else(|| limit.clone()),
        };
        Self {
            role: self.role.min(limit.role),
            groups,
            hides_command_lines: self.hides_command_lines || limit.hides_command_lines,
        }
    }
}

/// Reads groups as people write them; `None` where there are none, which means every host.
///
/// # Errors
/// When one of them cannot be the tag of a host.
pub(crate) fn groups(text: &str) -> Result<Option<BTreeSet<String>>, NotAGroup> {
    Ok(Some(read_groups(text)?).filter(|groups| !groups.is_empty()))
}

impl fmt::Display for Grant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.role.name())?;
        if let Some(groups) = &self.groups {
            write!(formatter, ":{}", groups.iter().map(String::as_str).collect::<Vec<_>>().join(","))?;
        }
        if self.hides_command_lines {
            write!(formatter, ":{NO_COMMAND_LINES}")?;
        }
        Ok(())
    }
}

impl FromStr for Grant {
    type Err = NotAGrant;

    fn from_str(text: &str) -> Result<Self, NotAGrant> {
        let (text, hides_command_lines) = match text.strip_suffix(NO_COMMAND_LINES) {
            Some(rest) => (rest.strip_suffix(':').unwrap_or(rest), true),
            None => (text, false),
        };
        let (role, rest) = text.split_once(':').map_or((text, None), |(role, rest)| (role, Some(rest)));
        let role = role.parse()?;
        let groups = match rest {
            // `viewer:` must not mean every host.
            Some(list) => Some(groups(list)?.ok_or_else(|| NotAGrant::Rest(text.to_owned()))?),
            None => None,
        };
        Ok(Self { role, groups, hides_command_lines })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for text in
            ["viewer", "operator:env=prod,web", "viewer:no-command-lines", "viewer:web:no-command-lines"]
        {
            assert_eq!(text.parse::<Grant>().unwrap().to_string(), text);
        }
        for bad in ["", "root", "viewer:", "viewer:a:b", "viewer: ,", "viewer:a b:c", "viewer:<b>", "Viewer"]
        {
            assert!(bad.parse::<Grant>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_left_within_a_limit_is_never_more_than_either() {
        let within = |own: &str, limit: &str| {
            own.parse::<Grant>().unwrap().within(&limit.parse().unwrap()).to_string()
        };
        assert_eq!(within("administrator", "viewer"), "viewer");
        assert_eq!(within("viewer", "administrator"), "viewer");
        assert_eq!(within("operator", "viewer:web"), "viewer:web");
        assert_eq!(within("operator:web,db", "operator:web,env=prod"), "operator:web");
        assert_eq!(within("operator:web", "operator:no-command-lines"), "operator:web:no-command-lines");
        // No host at all, which is not every host.
        let nothing = "viewer:web".parse::<Grant>().unwrap().within(&"viewer:db".parse().unwrap());
        assert_eq!(nothing.groups, Some(BTreeSet::new()));
    }
}
