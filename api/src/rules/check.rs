//! Asks, before a handler runs, whether its address is open to whoever asks.

use axum::{
    extract::{RawPathParams, Request, State},
    middleware::Next,
    response::Response,
};
use fleetps_nats::HostName;

use super::{Action, Decision, may};
use crate::{people::Person, refusal::Refusal, web::Shared};

/// Lets a request through to a handler that does an action; where its address names a host, on that host.
///
/// # Errors
/// When nobody is signed in, or the action is not allowed. A host that whoever asks may not see and one that does not
/// exist are refused alike.
pub async fn check(
    State((action, shared)): State<(Action, Shared)>,
    places: RawPathParams,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    if action != Action::Anything {
        let person = request.extensions().get::<Person>().ok_or_else(Refusal::not_signed_in)?;
        let host = places.iter().find(|(place, _)| *place == "host").map(|(_, host)| host);
        allow(&shared, person, action, host)?;
    }
    Ok(next.run(request).await)
}

fn allow(shared: &Shared, person: &Person, action: Action, host: Option<&str>) -> Result<(), Refusal> {
    let unseen = || Refusal::no_such_host(host.unwrap_or_default());
    let name: Option<HostName> = host.map(str::parse).transpose().map_err(|_| unseen())?;
    let groups = name.map(|name| shared.groups.of(&name));
    match may(person, action, groups.as_ref()) {
        Decision::Allowed => Ok(()),
        Decision::Denied => Err(Refusal::not_allowed(action)),
        Decision::Unseen => Err(unseen()),
    }
}
