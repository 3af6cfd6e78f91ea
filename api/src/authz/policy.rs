//! The policy: what each role may do.

use std::collections::BTreeSet;

use crate::auth::{Grant, Person, Role};

/// The tags of one host, as in `web` or `env=prod`.
pub(crate) type HostGroups = BTreeSet<String>;

/// An action that needs permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Open to everybody, signed in or not: assets, health checks, signing in.
    Anything,
    /// To look after oneself: one's own password, sessions and tokens.
    OwnAccount,
    /// To read how fleetps itself is: its queues, refusals, times.
    ReadMetrics,
    /// To read the metrics of hosts, those that one may see.
    ReadHostMetrics,
    /// To see hosts and their processes, now and at any past moment, those that one may see.
    SeeHosts,
    /// To see the command lines of processes.
    SeeCommandLines,
    /// To ask the history in SQL, about the hosts that one may see.
    Sql,
    /// To change the rules by which alerts are raised, for the hosts that one operates.
    ManageAlerts,
    /// To make, change and try the channels that notifications go to, and the routes that lead there.
    ManageChannels,
    /// To change how hosts are sampled.
    ControlHosts,
    /// To command hosts: to start and stop units, and to signal processes.
    Command,
    /// To change what the server keeps of hosts: tags, admission.
    ManageHosts,
    /// To let hosts join the fleet: by a token, or those that wait for approval.
    AdmitHosts,
    /// To make, change and end people and what they are granted.
    ManageUsers,
    /// To read who did what.
    ReadAudit,
}

/// The decision about an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It may be done.
    Allowed,
    /// It may not be done.
    Denied,
    /// The person may not know of the host: the answer is the one for a host that does not exist.
    NotFound,
}

impl Permission {
    /// Every action.
    #[cfg(test)]
    const ALL: [Self; 15] = [
        Self::Anything,
        Self::OwnAccount,
        Self::ReadMetrics,
        Self::ReadHostMetrics,
        Self::SeeHosts,
        Self::SeeCommandLines,
        Self::Sql,
        Self::ManageAlerts,
        Self::ManageChannels,
        Self::ControlHosts,
        Self::Command,
        Self::ManageHosts,
        Self::AdmitHosts,
        Self::ManageUsers,
        Self::ReadAudit,
    ];

    /// The least role that may do it; `None` where no grant is needed.
    pub fn role(self) -> Option<Role> {
        match self {
            Self::Anything | Self::OwnAccount => None,
            Self::ReadMetrics | Self::ReadHostMetrics => Some(Role::Metrics),
            Self::SeeHosts | Self::SeeCommandLines | Self::Sql => Some(Role::Viewer),
            Self::ManageAlerts => Some(Role::Operator),
            Self::ControlHosts | Self::Command => Some(Role::Operator),
            Self::ManageChannels
            | Self::ManageHosts
            | Self::AdmitHosts
            | Self::ManageUsers
            | Self::ReadAudit => Some(Role::Administrator),
        }
    }

    /// Whether it concerns the whole fleet, so that a grant for some hosts is not enough: only an administrator of
    /// every host may make another one, the audit and notifications name every host, a host that joins is in no group yet,
    /// and fleetps's own metrics count all of them.
    pub fn is_about_all_hosts(self) -> bool {
        use Permission::{AdmitHosts, ManageChannels, ManageUsers, ReadAudit, ReadMetrics};
        matches!(self, ManageUsers | ManageChannels | AdmitHosts | ReadAudit | ReadMetrics)
    }

    /// Its words in refusals.
    pub fn words(self) -> &'static str {
        match self {
            Self::Anything => "look at this",
            Self::OwnAccount => "manage an account",
            Self::ReadMetrics => "read metrics of fleetps",
            Self::ReadHostMetrics => "read metrics of hosts",
            Self::SeeHosts => "see hosts",
            Self::SeeCommandLines => "see command lines",
            Self::Sql => "ask in SQL",
            Self::ManageAlerts => "change alert rules",
            Self::ManageChannels => "manage channels of notifications",
            Self::ControlHosts => "change how hosts are sampled",
            Self::Command => "command hosts",
            Self::ManageHosts => "manage hosts",
            Self::AdmitHosts => "let hosts join",
            Self::ManageUsers => "manage users",
            Self::ReadAudit => "read the audit",
        }
    }
}

impl Grant {
    fn allows(&self, action: Permission) -> bool {
        let is_role = action.role().is_none_or(|least| self.role >= least);
        let is_shown = action != Permission::SeeCommandLines || !self.hides_command_lines;
        let reaches = !action.is_about_all_hosts() || self.groups.is_none();
        is_role && is_shown && reaches
    }

    /// Whether it is for a host with these tags.
    fn is_for(&self, host: &HostGroups) -> bool {
        self.groups.as_ref().is_none_or(|groups| !groups.is_disjoint(host))
    }
}

/// Whether `person` may do this, on a host with the tags `host`; without one, whether at all.
pub(crate) fn permission_of(person: &Person, action: Permission, host: Option<&HostGroups>) -> Decision {
    if action.role().is_none() {
        return Decision::Allowed;
    }
    // A token without that scope is denied what a role would allow.
    let is_in_scope = action != Permission::Command || person.may_command;
    let reaching = || person.grants.iter().filter(|grant| host.is_none_or(|host| grant.is_for(host)));
    if is_in_scope && reaching().any(|grant| grant.allows(action)) {
        Decision::Allowed
    } else if host.is_some() && !reaching().any(|grant| grant.allows(Permission::SeeHosts)) {
        Decision::NotFound
    } else {
        Decision::Denied
    }
}

/// Whether these grants allow an action that needs a role, on a host with the tags `host`.
pub(super) fn grants_allow(grants: &[Grant], action: Permission, host: &HostGroups) -> bool {
    grants.iter().any(|grant| grant.is_for(host) && grant.allows(action))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn groups(tags: &[&str]) -> HostGroups {
        tags.iter().map(|tag| (*tag).to_owned()).collect()
    }

    fn grant(role: Role, of: Option<&[&str]>) -> Grant {
        Grant { role, groups: of.map(groups), hides_command_lines: false }
    }

    fn person(grants: Vec<Grant>) -> Person {
        let from = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Person { grants, session: None, ..Person::nobody_in_particular(from) }
    }

    #[test]
    fn without_a_grant_nothing_is_allowed_but_what_needs_none() {
        let nobody = person(Vec::new());
        for action in Permission::ALL {
            let needs_none = matches!(action, Permission::Anything | Permission::OwnAccount);
            let expected = if needs_none { Decision::Allowed } else { Decision::Denied };
            assert_eq!(permission_of(&nobody, action, None), expected, "{action:?}");
        }
        assert_eq!(permission_of(&nobody, Permission::SeeHosts, Some(&groups(&["web"]))), Decision::NotFound);
    }

    #[test]
    fn each_role_may_do_its_own_and_what_those_before_it_may() {
        use Permission::{ControlHosts, ManageHosts, ManageUsers, ReadAudit, SeeCommandLines, SeeHosts, Sql};
        let of_all = |role| person(vec![grant(role, None)]);
        let permission_of = |role, action| permission_of(&of_all(role), action, None) == Decision::Allowed;
        for role in [Role::Viewer, Role::Operator, Role::Administrator] {
            assert!([SeeHosts, SeeCommandLines, Sql].into_iter().all(|action| permission_of(role, action)));
            let manages = [ManageHosts, ManageUsers, ReadAudit].map(|action| permission_of(role, action));
            assert_eq!(manages, [role == Role::Administrator; 3], "{role:?}");
            assert_eq!(permission_of(role, ControlHosts), role >= Role::Operator, "{role:?}");
        }
    }

    #[test]
    fn whoever_reads_metrics_sees_nothing_else_and_those_of_fleetps_only_with_every_host() {
        let allowed = |of: Option<&[&str]>| {
            let reads = person(vec![grant(Role::Metrics, of)]);
            let may = |action: &Permission| permission_of(&reads, *action, None) == Decision::Allowed;
            Permission::ALL.into_iter().filter(may).collect::<Vec<_>>()
        };
        use Permission::{Anything, OwnAccount, ReadHostMetrics, ReadMetrics};
        assert_eq!(allowed(None), [Anything, OwnAccount, ReadMetrics, ReadHostMetrics]);
        assert_eq!(allowed(Some(&["web"])), [Anything, OwnAccount, ReadHostMetrics]);
    }

    #[test]
    fn a_grant_for_some_hosts_reaches_those_with_any_of_its_tags_and_never_the_fleet() {
        let webmaster = person(vec![grant(Role::Administrator, Some(&["web", "env=test"]))]);
        let on = |action, tags: &[&str]| permission_of(&webmaster, action, Some(&groups(tags)));
        assert_eq!(on(Permission::ManageHosts, &["web", "env=prod"]), Decision::Allowed);
        assert_eq!(on(Permission::ManageHosts, &["env=prod"]), Decision::NotFound);
        assert_eq!(on(Permission::SeeHosts, &[]), Decision::NotFound);
        for action in [Permission::ManageUsers, Permission::ReadAudit] {
            assert_eq!(permission_of(&webmaster, action, None), Decision::Denied);
        }
    }

    #[test]
    fn a_token_without_the_scope_commands_nothing_whatever_its_grants() {
        let with = |may_command| Person { may_command, ..person(vec![Grant::EVERYTHING]) };
        for (may_command, expected) in [(true, Decision::Allowed), (false, Decision::Denied)] {
            let on = |host| permission_of(&with(may_command), Permission::Command, host);
            assert_eq!((on(None), on(Some(&groups(&["web"])))), (expected, expected));
        }
        assert_eq!(permission_of(&with(false), Permission::ControlHosts, None), Decision::Allowed);
        let viewer = person(vec![grant(Role::Viewer, None)]);
        assert_eq!(permission_of(&viewer, Permission::Command, None), Decision::Denied);
    }

    #[test]
    fn the_widest_grant_that_fits_counts() {
        let hidden = Grant { hides_command_lines: true, ..grant(Role::Viewer, None) };
        let mixed = person(vec![hidden, grant(Role::Operator, Some(&["web"]))]);
        let on = |tags: &[&str]| permission_of(&mixed, Permission::SeeCommandLines, Some(&groups(tags)));
        assert_eq!((on(&["web"]), on(&["db"])), (Decision::Allowed, Decision::Denied));
        assert_eq!(permission_of(&mixed, Permission::SeeHosts, Some(&groups(&["db"]))), Decision::Allowed);
    }
}
