//! Authorization: who may do what on which host. This is the one place that decides; what no rule allows is denied.
//!
//! **Grants.** A person has grants: a role (metrics, viewer, operator, administrator) on every host or on the hosts with any of
//! some groups, with or without command lines. Of several grants, the widest that fits counts.
//!
//! **Decision.** `permission_of` takes a person, a [`Permission`] and the groups of a host, as the server knows them,
//! never as a request says. It allows, denies, or answers [`Decision::NotFound`]: a hidden host must look as one that
//! does not exist.
//!
//! **Enforcement.** Every route names its action (`routes`). `middleware::authorize` calls `permission_of` before the
//! handler runs, on the host that the address names. The handler then reads the present and the past only through a
//! `ScopedFleet`, whose scope `groups` computes: the hosts and command lines that the person may see. `groups` follows
//! the broker's bucket of hosts.
//!
//! The matrix of roles is in docs/users.md; `api/tests/it/authz.rs` checks it for every route.

mod groups;
mod policy;

pub(crate) use groups::{Groups, TaggedHosts};
pub use policy::Permission;
pub(crate) use policy::{Decision, HostGroups, permission_of};
