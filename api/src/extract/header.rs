//! The text of a header.

use axum::http::HeaderMap;

/// The value of the header `name`, where it is text.
pub(crate) fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
