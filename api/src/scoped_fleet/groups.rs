//! Changes what a host belongs to.

use async_nats::Client;
use fleetps_nats::{
    HostName,
    audit::Outcome,
    bucket::Entry,
    error_chain,
    hosts::{self, HostRecord},
};

use super::ScopedFleet;
use crate::{audit_log, authz::HostGroups, broker, refusal::Refusal};

/// The record may be changed at the same moment, and again.
const MAX_ATTEMPTS: usize = 5;

impl ScopedFleet {
    /// Changes what a host belongs to, and writes down what it was and became.
    ///
    /// # Errors
    /// When the host is unknown, or the broker refuses the change.
    pub(crate) async fn set_groups(&self, host: &HostName, groups: HostGroups) -> Result<(), Refusal> {
        let were = self.replace_groups(host, &groups).await?;
        let what = audit_log::groups_changed(&were, &groups);
        self.shared.audit_log.note(&self.person, "host.group", Some(host.clone()), what, Outcome::Done);
        Ok(())
    }

    /// Replaces the groups; returns the former ones.
    async fn replace_groups(&self, host: &HostName, groups: &HostGroups) -> Result<HostGroups, Refusal> {
        let Some(client) = &self.shared.broker else { return Err(Refusal::no_such_host(host.as_str())) };
        broker::ask(client, self.replace_groups_in(client, host, groups)).await?
    }

    async fn replace_groups_in(
        &self,
        client: &Client,
        host: &HostName,
        groups: &HostGroups,
    ) -> Result<HostGroups, Refusal> {
        let failed = |error| Refusal::fault("could not change the groups of a host", &error_chain(&error));
        let records = hosts::open(client).await.map_err(failed)?;
        for _ in 0..MAX_ATTEMPTS {
            let (changed, were) = match records.get(host.as_str()).await.map_err(failed)? {
                Some(Entry { mut value, revision }) => {
                    let were = std::mem::replace(&mut value.groups, groups.clone());
                    (records.update(host.as_str(), &value, revision).await, were)
                }
                // A host that the broker knows by its configuration alone.
                None if self.summary(host).is_some() => {
                    let record = HostRecord::in_groups(groups.clone());
                    (records.create(host.as_str(), &record).await, HostGroups::new())
                }
                None => return Err(Refusal::no_such_host(host.as_str())),
            };
            if changed.map_err(failed)? {
                return Ok(were);
            }
        }
        Err(Refusal::fault("could not change the groups of a host", &"others change them all the time"))
    }
}
