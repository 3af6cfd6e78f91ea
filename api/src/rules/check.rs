//! Asks, before a handler runs, whether its address is open to whoever asks.

use axum::{
    extract::{RawPathParams, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use fleetps_nats::HostName;

use super::{Action, Decision, may};
use crate::{people::Person, records::Asked, refusal::Refusal, web::Shared};

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
    if action == Action::Anything {
        return Ok(next.run(request).await);
    }
    let person = request.extensions().get::<Person>().cloned().ok_or_else(Refusal::not_signed_in)?;
    let host = places.iter().find(|(place, _)| *place == "host").map(|(_, host)| host);
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let response = match allow(&shared, &person, action, host) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    let host: Option<HostName> = host.and_then(|host| host.parse().ok());
    let groups = host.as_ref().map(|host| shared.groups.of(host));
    let sees_command_lines = may(&person, Action::SeeCommandLines, groups.as_ref()) == Decision::Allowed;
    let status = response.status();
    let asked =
        Asked { person: &person, action, method: &method, uri: &uri, host, sees_command_lines, status };
    shared.records.request(asked);
    Ok(response)
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
