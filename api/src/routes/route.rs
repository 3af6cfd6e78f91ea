//! One route: an address with its handler and its policy, and how each kind of route is written.

use axum::{
    handler::Handler,
    http::Method,
    routing::{self, MethodRouter},
};

use crate::{
    audit_log::AuditClass,
    auth::PrincipalKind,
    authz::Permission,
    middleware::authorize::RoutePolicy,
    openapi::{Describe, Operation},
    state::AppState,
};

/// A handler at an address, with its policy.
#[derive(Clone)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The address, with places to fill in.
    pub path: &'static str,
    /// Its principals, action and audit class.
    pub policy: RoutePolicy,
    /// Its description, where it is a part of the JSON interface.
    pub operation: Option<Operation>,
    pub(super) handler: MethodRouter<AppState>,
}

impl Route {
    fn new(
        method: Method,
        path: &'static str,
        action: Permission,
        audit: AuditClass,
        handler: MethodRouter<AppState>,
    ) -> Self {
        let page = path.strip_prefix("/api/v1").unwrap_or(path);
        let open_to = PrincipalKind::PEOPLE;
        let policy = RoutePolicy { open_to, action, audit, shows_command_lines: false, page };
        Self { method, path, policy, operation: None, handler }
    }

    pub(super) fn described(self, operation: Operation) -> Self {
        Self { operation: Some(operation), ..self }
    }

    /// Says what the body is, where no argument of the handler does.
    pub(super) fn with_body(mut self, kind: &'static str, schema: serde_json::Value) -> Self {
        if let Some(operation) = &mut self.operation {
            operation.takes.body.push((kind, schema));
        }
        self
    }

    pub(super) fn open_to_all(mut self) -> Self {
        self.policy.open_to = PrincipalKind::ALL;
        self
    }

    pub(super) fn open_to_hosts(mut self) -> Self {
        self.policy.open_to = PrincipalKind::HOSTS;
        self
    }

    pub(super) fn shows_command_lines(mut self) -> Self {
        self.policy.shows_command_lines = true;
        self
    }

    pub(super) fn audited(mut self, audit: AuditClass) -> Self {
        self.policy.audit = audit;
        self
    }
}

/// A route that people look at.
pub(super) fn get<T: 'static>(
    path: &'static str,
    action: Permission,
    handler: impl Handler<T, AppState>,
) -> Route {
    Route::new(Method::GET, path, action, AuditClass::Looks, routing::get(handler))
}

/// A route by which people change something.
pub(super) fn post<T: 'static>(
    path: &'static str,
    action: Permission,
    handler: impl Handler<T, AppState>,
) -> Route {
    Route::new(Method::POST, path, action, AuditClass::Changes, routing::post(handler))
}

/// A route of the JSON interface that looks. Its description is in the signature of its handler.
pub(super) fn json<T: 'static, H>(
    path: &'static str,
    action: Permission,
    summary: &'static str,
    handler: H,
) -> Route
where
    H: Handler<T, AppState> + Describe<T>,
{
    let operation = Operation::of(summary, &handler);
    get(path, action, handler).described(operation)
}

/// A route of the JSON interface that changes something.
pub(super) fn post_json<T: 'static, H>(
    path: &'static str,
    action: Permission,
    summary: &'static str,
    handler: H,
) -> Route
where
    H: Handler<T, AppState> + Describe<T>,
{
    let operation = Operation::of(summary, &handler);
    post(path, action, handler).described(operation)
}

/// A route of the JSON interface that replaces, changes or removes something, by this method.
pub(super) fn change_json<T: 'static, H>(
    method: Method,
    path: &'static str,
    action: Permission,
    summary: &'static str,
    handler: H,
) -> Route
where
    H: Handler<T, AppState> + Describe<T>,
{
    let operation = Operation::of(summary, &handler);
    let handler = match method.as_str() {
        "PUT" => routing::put(handler),
        "PATCH" => routing::patch(handler),
        _ => routing::delete(handler),
    };
    Route::new(method, path, action, AuditClass::FailedChanges, handler).described(operation)
}

/// A question of a monitoring system, which also comes as a form.
pub(super) fn asks<H: Handler<T, AppState>, T: 'static>(path: &'static str, handler: H) -> [Route; 2] {
    let form = routing::post(handler.clone());
    [
        get(path, Permission::SeeHosts, handler),
        Route::new(Method::POST, path, Permission::SeeHosts, AuditClass::Looks, form),
    ]
}
