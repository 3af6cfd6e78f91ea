//! Asks, before a handler runs, whether its address is open to whoever asks.

use axum::{
    extract::{RawPathParams, Request, State},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Response},
};
use fleetps_nats::HostName;

use crate::{
    people::Person,
    records::Asked,
    refusal::Refusal,
    rules::{Action, Decision, may},
    state::AppState,
};

/// Lets a request through to a handler that does an action; where its address names a host, on that host.
///
/// # Errors
/// When nobody is signed in, or the action is not allowed. A host that whoever asks may not see and one that does not
/// exist are refused alike.
pub async fn authorize(
    State((action, shared)): State<(Action, AppState)>,
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
    let decision = decide(&shared, &person, action, host);
    let response = match decision {
        Decision::Allowed => next.run(request).await,
        Decision::Denied => not_allowed(action).into_response(),
        Decision::Unseen => Refusal::no_such_host(host.unwrap_or_default()).into_response(),
    };
    let host: Option<HostName> = host.and_then(|host| host.parse().ok());
    let groups = host.as_ref().map(|host| shared.groups.of(host));
    let sees_command_lines = may(&person, Action::SeeCommandLines, groups.as_ref()) == Decision::Allowed;
    let status = response.status();
    let is_unseen = decision == Decision::Unseen;
    let asked = Asked {
        person: &person,
        action,
        method: &method,
        uri: &uri,
        host,
        is_unseen,
        sees_command_lines,
        status,
    };
    shared.records.request(asked);
    Ok(response)
}

fn decide(shared: &AppState, person: &Person, action: Action, host: Option<&str>) -> Decision {
    // What is no name is the name of no host.
    let Ok(name) = host.map(str::parse::<HostName>).transpose() else { return Decision::Unseen };
    may(person, action, name.map(|name| shared.groups.of(&name)).as_ref())
}

fn not_allowed(action: Action) -> Refusal {
    let hint = "an administrator decides who may, on the page of users";
    Refusal::new(StatusCode::FORBIDDEN, format!("you may not {}", action.words()), hint)
}
