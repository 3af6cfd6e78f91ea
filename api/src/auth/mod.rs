//! Accounts, sessions and principals: how a request is authenticated, and what ends that.
//!
//! `principal` is the user, host or machine that makes a request, `person` the name and grants of a user, `grant` a
//! role on some hosts; `authz` decides what that allows. For every request `middleware::authenticate` finds the
//! principal by `cookie` or token, and its `address`.
//!
//! `host_keys` says which host has signed a request.
//!
//! `accounts` is everything that is known of people: `users`, `sessions`, `tokens`, `links` and `browsers`, each `replicated` by
//! the broker and followed in memory; `signing_in` and `managing` change it, and `record` writes that into the audit.
//! `uses` is when each was used last. `password`, `secret` and `throttle` are the tools; `local` lets commands on this
//! machine in.

mod accounts;
mod address;
mod browsers;
mod cookie;
mod error;
mod grant;
mod host_keys;
mod links;
mod local;
mod managing;
mod password;
mod person;
mod principal;
mod record;
mod replicated;
mod secret;
mod sessions;
mod settings;
mod signing_in;
mod throttle;
pub(crate) mod tokens;
mod users;
mod uses;

use std::{net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

pub use accounts::Accounts;
pub(crate) use accounts::Credential;
pub use address::{Addresses, ClientInfo};
pub(crate) use cookie::read as read_cookie;
pub use cookie::{Cookie, set as set_cookie};
pub(crate) use error::AuthError;
pub use grant::{Grant, Role};
pub(crate) use grant::{NotAGrant, groups};
pub(crate) use host_keys::{HostKeys, NotAdmitted};
pub(crate) use local::Local;
pub(crate) use person::FormToken;
pub use person::Person;
pub use principal::{Principal, PrincipalKind};
pub use record::By;
pub use secret::Secret;
pub use sessions::Session;
pub(crate) use settings::Auth;
pub use settings::SignInSettings;
pub(crate) use signing_in::{SignIn, Visit};
pub(crate) use tokens::{ApiToken, BUCKET as API_TOKENS};
pub use users::UserName;
pub(crate) use users::{BUCKET as USERS, SignsIn, User};

use axum::http::StatusCode;
use throttle::Throttle;
pub(crate) use throttle::network;

use crate::refusal::Refusal;

/// Questions for JSON from one person: a hundred at once, then fifty a second; more than any page or script needs that
/// looks at the answers.
const JSON: (NonZeroU32, Duration) = (NonZeroU32::new(100).expect("a hundred"), Duration::from_millis(20));

/// Everything else from one person at one network: five hundred at once, then a hundred a second. A page is some fifteen
/// requests with its pictures, and a key that is held down steps through thirty pages a second with one picture each.
const PAGES: (NonZeroU32, Duration) =
    (NonZeroU32::new(500).expect("five hundred"), Duration::from_millis(10));

/// The people who may use this server; cheap to clone.
#[derive(Debug, Clone)]
pub struct People(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Absent where sign-in is off.
    accounts: Option<Accounts>,
    addresses: Addresses,
    json: Throttle,
    pages: Throttle,
    /// The source of CSRF tokens where there is no session.
    form_secret: Option<Secret>,
}

impl People {
    /// Everybody who reaches the server.
    pub fn anybody(addresses: Addresses) -> Self {
        Self::new(None, addresses)
    }

    /// The people with these accounts.
    pub fn of(accounts: Accounts, addresses: Addresses) -> Self {
        Self::new(Some(accounts), addresses)
    }

    fn new(accounts: Option<Accounts>, addresses: Addresses) -> Self {
        let (json, pages) = (Throttle::new(JSON.0, JSON.1), Throttle::new(PAGES.0, PAGES.1));
        Self(Arc::new(Inner { accounts, addresses, json, pages, form_secret: Secret::new().ok() }))
    }

    /// Which addresses are believed, and which may ask.
    pub fn addresses(&self) -> &Addresses {
        &self.0.addresses
    }

    /// Counts a request for JSON of the person `name`.
    ///
    /// # Errors
    /// When there have been too many, with the time to wait.
    pub fn check_json(&self, name: &str) -> Result<(), Refusal> {
        self.0.json.check(name).map_err(|wait| too_often(JSON.1, wait))
    }

    /// Counts any other request of the person `name` from a network.
    ///
    /// # Errors
    /// When there have been too many, with the time to wait.
    pub fn check_pages(&self, name: Option<&str>, from: Option<IpAddr>) -> Result<(), Refusal> {
        self.0.pages.check((name, from)).map_err(|wait| too_often(PAGES.1, wait))
    }

    /// The secret that form tokens come from where there is no session; `None` where the system had no random numbers.
    pub fn form_secret(&self) -> Option<&Secret> {
        self.0.form_secret.as_ref()
    }

    /// The accounts; `None` where sign-in is off.
    pub fn accounts(&self) -> Option<&Accounts> {
        self.0.accounts.as_ref()
    }
}

fn too_often(period: Duration, wait: Duration) -> Refusal {
    let hint = format!("ask less often: {:.0} times a second", 1.0 / period.as_secs_f64());
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, "you ask too often", hint).for_now(wait)
}
