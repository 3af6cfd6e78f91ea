//! The link "Alert on this" of other pages.

use fleetps_nats::HostName;

use crate::{
    scoped_fleet::ScopedFleet,
    url::Url,
    view::{
        alert_on::{NewRuleQuery, Proposal},
        host_filter::words,
    },
};

/// The form of a new rule, filled in; absent where nothing is proposed, where the person may not change rules for these hosts,
/// or where the host is in no group and the sentence does not name it: nobody who looks at one host means the whole fleet.
/// `host` is the one that the page is about.
pub(super) fn link(scoped: &ScopedFleet, proposal: Option<Proposal>, host: Option<&HostName>) -> Option<Url> {
    let Proposal { sentence, of_groups_of } = proposal?;
    // A sentence that names its host may be for every host; else it is for the groups of that host.
    let everywhere = of_groups_of.is_none() && scoped.may_change_rules(None);
    let host = of_groups_of.as_ref().or(host).filter(|_| !everywhere);
    let groups = words(&scoped.groups_of_new_rule(host)?);
    Some(Url::new_alert_rule().with(&NewRuleQuery { sentence, groups }))
}
