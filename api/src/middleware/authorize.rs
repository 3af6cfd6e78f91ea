//! Authorizes every request before its handler runs, by the route's policy.

use axum::{
    extract::{RawPathParams, Request, State},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Response},
};
use fleetps_nats::HostName;
use serde::{Deserialize, Serialize};

use crate::{
    audit_log::{AuditClass, AuditedRequest},
    auth::{Person, Principal, PrincipalKind},
    authz::{Decision, Permission, permission_of},
    csv::{Format, InFormat},
    query::{self, parameter},
    refusal::Refusal,
    state::AppState,
};

/// The searched text, if any.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Searched {
    #[serde(with = "parameter")]
    q: String,
}

/// The policy of a route: its principals, the action, and the audit class of its requests.
#[derive(Debug, Clone, Copy)]
pub struct RoutePolicy {
    /// The kinds of principal that may come.
    pub open_to: &'static [PrincipalKind],
    /// The action that must be allowed.
    pub action: Permission,
    /// Which of its requests are audited.
    pub audit: AuditClass,
    /// Whether answers may show command lines.
    pub shows_command_lines: bool,
    /// The page by which looks at a route about many hosts are counted, for its JSON too.
    pub page: &'static str,
}

/// Lets a request through to a handler of a route with this policy; where its address names a host, on that host.
///
/// # Errors
/// When the request is not authenticated, the route is not open to such a principal, or the action is not allowed. A
/// hidden host and one that does not exist are refused alike.
pub(crate) async fn authorize(
    State((policy, shared)): State<(RoutePolicy, AppState)>,
    places: RawPathParams,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let principal = Principal::of(request.extensions()).cloned();
    if principal.as_ref().is_some_and(|principal| !policy.open_to.contains(&principal.kind())) {
        return Err(not_open(policy.open_to));
    }
    if policy.action == Permission::Anything {
        return Ok(next.run(request).await);
    }
    let person = principal.as_ref().and_then(Principal::person).ok_or_else(Refusal::not_signed_in)?;
    let host = places.iter().find(|(place, _)| *place == "host").map(|(_, host)| host);
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let decision = decide(&shared, person, policy.action, host);
    let response = match decision {
        Decision::Allowed => next.run(request).await,
        Decision::Denied => not_allowed(policy.action).into_response(),
        Decision::NotFound => Refusal::no_such_host(host.unwrap_or_default()).into_response(),
    };
    let host: Option<HostName> = host.and_then(|host| host.parse().ok());
    let groups = host.as_ref().map(|host| shared.groups.of(host));
    let sees_command_lines =
        permission_of(person, Permission::SeeCommandLines, groups.as_ref()) == Decision::Allowed;
    // A query that cannot be read has been refused.
    let query: InFormat<Searched> = query::read(uri.query().unwrap_or_default()).unwrap_or_default();
    shared.audit_log.request(AuditedRequest {
        person,
        class: policy.audit,
        method: &method,
        uri: &uri,
        host,
        page: policy.page,
        is_unseen: decision == Decision::NotFound,
        shows_command_lines: policy.shows_command_lines && sees_command_lines,
        is_export: query.format == Format::Csv,
        is_search: !query.query.q.is_empty(),
        status: response.status(),
    });
    Ok(response)
}

fn decide(shared: &AppState, person: &Person, action: Permission, host: Option<&str>) -> Decision {
    // An invalid name is the name of no host.
    let Ok(name) = host.map(str::parse::<HostName>).transpose() else { return Decision::NotFound };
    permission_of(person, action, name.map(|name| shared.groups.of(&name)).as_ref())
}

fn not_open(open_to: &[PrincipalKind]) -> Refusal {
    if open_to == PrincipalKind::HOSTS {
        return Refusal::unsigned(StatusCode::FORBIDDEN, "this address is for hosts");
    }
    let hint = "hosts send snapshots; pages and JSON are for people who are signed in";
    Refusal::new(StatusCode::FORBIDDEN, "this address is not for hosts", hint)
}

fn not_allowed(action: Permission) -> Refusal {
    let hint = "an administrator decides who may, on the page of users";
    Refusal::new(StatusCode::FORBIDDEN, format!("you may not {}", action.words()), hint)
}
