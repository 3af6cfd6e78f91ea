//! Finds out who asks, for every request.

use axum::{extract::Request, middleware::Next, response::Response};

use super::{FormToken, Person, person::From};

/// Puts the [`Person`] and the [`FormToken`] into the request, unless somebody in front, as in tests, has said who asks.
pub async fn identify(mut request: Request, next: Next) -> Response {
    let From(from) = request.extensions().get().copied().unwrap_or_default();
    if request.extensions().get::<Person>().is_none() {
        request.extensions_mut().insert(Person::nobody_in_particular(from));
    }
    request.extensions_mut().insert(FormToken::default());
    next.run(request).await
}
