//! The body of a form.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    response::{IntoResponse, Response},
};

/// A form, read; `middleware::admit` has checked that a page of this server sent it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Form(Bytes);

impl Form {
    /// A field; empty when there is none.
    pub(crate) fn field(&self, name: &str) -> String {
        field(&self.0, name)
    }

    /// Every value of a field that is repeated, in their order.
    pub(crate) fn fields(&self, name: &str) -> Vec<String> {
        let found = form_urlencoded::parse(&self.0).filter(|(key, _)| key == name);
        found.map(|(_, value)| value.into_owned()).collect()
    }

    /// Every field with its value, in their order.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (String, String)> {
        form_urlencoded::parse(&self.0).into_owned()
    }

    /// Whether a field has this value, or is empty and this is what it begins with.
    pub(crate) fn chooses(&self, name: &str, value: &str, is_usual: bool) -> bool {
        let given = self.field(name);
        given == value || (given.is_empty() && is_usual)
    }

    /// Whether a box is ticked.
    pub(crate) fn is_ticked(&self, name: &str) -> bool {
        !self.field(name).is_empty()
    }
}

/// A field of a form or of a URL; empty when there is none.
pub(crate) fn field(form: &[u8], name: &str) -> String {
    let found = form_urlencoded::parse(form).find(|(key, _)| key == name);
    found.map(|(_, value)| value.into_owned()).unwrap_or_default()
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        Bytes::from_request(request, state).await.map(Self).map_err(IntoResponse::into_response)
    }
}
