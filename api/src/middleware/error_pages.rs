//! Refusals get the face that suits the address: JSON below /api, for metrics and for the health checks, a page elsewhere.

use askama::Template;
use axum::{
    extract::Request,
    http::{Method, StatusCode, header},
    middleware::Next,
    response::{Html, IntoResponse, Response},
};

use super::guard;
use crate::{handlers::page::Layout, prometheus, refusal::Refusal, url};

/// The page of a refusal.
#[derive(Template)]
#[template(path = "refusal.html")]
struct RefusalPage {
    layout: Layout,
    refusal: Refusal,
    /// Whether a form was refused.
    is_of_form: bool,
    /// The page that has the form.
    back: Option<String>,
}

/// Renders refusals, including the router's own.
pub(crate) async fn render_errors(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    let layout = Layout::of(request.extensions());
    let back = guard::page_before(request.uri(), request.headers()).filter(|_| method == Method::POST);
    let response = next.run(request).await;
    let refusal = match response.extensions().get::<Refusal>() {
        Some(refusal) => refusal.clone(),
        None => match plain_refusal(&response, &method, &path) {
            Some(refusal) => refusal,
            None => return response,
        },
    };
    let allow = response.headers().get(header::ALLOW).cloned();
    let retry_after = refusal.retry_after_s();
    let json =
        url::is_of_programs(&path) || path.starts_with("/metrics") || path == "/healthz" || path == "/readyz";
    let mut dressed = match json {
        _ if path.starts_with(url::PROMETHEUS) => prometheus::refuse(&refusal),
        true => refusal.into_json(),
        false => page(RefusalPage { layout, refusal, is_of_form: method == Method::POST, back }),
    };
    if let Some(allow) = allow {
        dressed.headers_mut().insert(header::ALLOW, allow);
    }
    if let Some(wait) = retry_after {
        dressed.headers_mut().insert(header::RETRY_AFTER, wait);
    }
    dressed
}

/// A refusal that the router made by itself; a handler's own page is not one.
fn plain_refusal(response: &Response, method: &Method, path: &str) -> Option<Refusal> {
    if response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"))
    {
        return None;
    }
    match response.status() {
        StatusCode::METHOD_NOT_ALLOWED => Some(Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            format!("{method} is not possible at {}", crate::display::cut(path, 200)),
            "the header `Allow` says what is",
        )),
        StatusCode::BAD_REQUEST => Some(Refusal::new(
            StatusCode::BAD_REQUEST,
            "the address cannot be read",
            "check what is behind each % in it",
        )),
        _ => None,
    }
}

fn page(page: RefusalPage) -> Response {
    let status = page.refusal.status;
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(_) => status.into_response(),
    }
}
