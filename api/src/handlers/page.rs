//! Common parts of all pages.

use std::convert::Infallible;

use askama::Template;
use axum::{
    extract::FromRequestParts,
    http::{Extensions, request::Parts},
    response::{Html, IntoResponse, Response},
};
use fleetps_ingestor::history::Resolution;
use fleetps_nats::HostName;

use super::no_snapshot;
use crate::{
    auth::{ClientInfo, FormToken, Person, Principal},
    authz::{Decision, Permission, permission_of},
    broker::AwaySince,
    live::Moment,
    refusal::Refusal,
    scoped_fleet::{
        ScopedFleet,
        travel::{self, PastLookup},
    },
    view::{span::Stamp, time_field::TypedTimes},
};

/// The frame of every page.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// Where the assets of this build are.
    pub assets: String,
    /// The server's clock, against which a page corrects its own, in ms since 1970 UTC.
    pub now_ms: i64,
    /// The person who looks; `None` before the sign-in.
    pub person: Option<Person>,
    /// Whether the browser speaks TLS.
    pub over_tls: bool,
    /// The CSRF token of every form of the page that changes something.
    pub form_token: String,
    /// Since when the broker is away.
    pub broker_away: Option<Stamp>,
    /// The reader's zone, and times that could not be read.
    pub times: TypedTimes,
}

impl Layout {
    /// The frame of the answer to a request, by what the request was found to be.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        Self {
            assets: super::assets::prefix(),
            now_ms: crate::live::now_us() / 1000,
            person: Principal::of(extensions).and_then(Principal::person).cloned(),
            over_tls: extensions.get::<ClientInfo>().is_some_and(|came| came.over_tls),
            broker_away: extensions.get::<AwaySince>().map(|since| Stamp::of(since.0)),
            times: extensions.get().cloned().unwrap_or_default(),
            form_token: extensions.get::<FormToken>().map(|token| token.0.clone()).unwrap_or_default(),
        }
    }
}

impl Layout {
    /// When the page was made.
    pub(crate) fn loaded(&self) -> Stamp {
        Stamp::clock(self.now_ms.saturating_mul(1_000))
    }

    /// The page itself with its query, as a link: that is what an empty address means.
    pub(crate) fn same_page(&self) -> &'static str {
        ""
    }

    /// Whether the person may read the audit.
    pub(crate) fn reads_audit(&self) -> bool {
        self.permission_of(Permission::ReadAudit)
    }

    /// Whether the person may manage channels of notifications.
    pub(crate) fn manages_channels(&self) -> bool {
        self.permission_of(Permission::ManageChannels)
    }

    /// Whether the person may let hosts join.
    pub(crate) fn admits_hosts(&self) -> bool {
        self.permission_of(Permission::AdmitHosts)
    }

    /// Whether the person may manage users, which exist where people sign in.
    pub(crate) fn manages_users(&self) -> bool {
        self.permission_of(Permission::ManageUsers) && self.has_account()
    }

    /// Whether the person may command some hosts.
    pub(crate) fn commands_hosts(&self) -> bool {
        self.permission_of(Permission::Command)
    }

    /// Whether the person has an account, which exists where people sign in.
    pub(crate) fn has_account(&self) -> bool {
        self.person.as_ref().is_some_and(|person| person.session.is_some())
    }

    fn permission_of(&self, action: Permission) -> bool {
        self.person.as_ref().is_some_and(|person| permission_of(person, action, None) == Decision::Allowed)
    }
}

impl<S: Sync> FromRequestParts<S> for Layout {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions))
    }
}

/// Renders a page.
pub(crate) fn render(page: &impl Template) -> Result<Response, Refusal> {
    let html = page.render().map_err(|error| Refusal::fault("could not write the page", &error))?;
    Ok(Html(html).into_response())
}

/// Makes an answer that takes long (of many rows) on a thread that serves no requests.
///
/// # Errors
/// When it panicked.
pub(crate) async fn aside<T: Send + 'static>(
    make: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    let making = tokio::task::spawn_blocking(make);
    making.await.map_err(|error| Refusal::fault("could not write the answer", &error))
}

/// The same for a page.
///
/// # Errors
/// When it cannot be written.
pub(crate) async fn render_aside<T: Template>(
    make: impl FnOnce() -> T + Send + 'static,
) -> Result<Response, Refusal> {
    aside(move || render(&make())).await?
}

/// The host that a URL names, now or at a moment, with how finely that moment is kept.
///
/// # Errors
/// When there is no such host, or nothing is known of it at that moment.
pub(crate) async fn moment_at(
    scoped: &ScopedFleet,
    host: &HostName,
    at_us: Option<i64>,
) -> Result<(Moment, Option<Resolution>), Refusal> {
    let Some(at_us) = at_us else { return Ok((moment_of(scoped, host)?, None)) };
    match travel::to(scoped, host, at_us).await? {
        PastLookup::PastMoment(then) => Ok((then.moment, Some(then.resolution))),
        PastLookup::Nothing(nothing) => Err(no_snapshot::refusal(host, at_us, &nothing)),
    }
}

/// The host that a URL names, now.
pub(crate) fn moment_of(scoped: &ScopedFleet, host: &HostName) -> Result<Moment, Refusal> {
    scoped.moment(host).ok_or_else(|| Refusal::no_such_host(host.as_str()))
}
