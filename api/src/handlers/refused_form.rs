//! The answer to a form that changes something: back to its page. Where it was refused, the reason, and the form as it was
//! filled in, to be corrected and sent again. Pages are not kept by browsers, so the way back would lead to an empty form.

use askama::Template;
use axum::response::{IntoResponse, Redirect, Response};

use super::page::{self, Layout};
use crate::{extract::Form, refusal::Refusal, url::Url};

/// The page.
#[derive(Template)]
#[template(path = "refused_form.html")]
struct RefusedForm {
    layout: Layout,
    problem: Option<Refusal>,
    /// The address that the form is sent to.
    action: Url,
    /// The page that the form is on.
    back: Url,
    /// The fields, each with its label; without a label it is not shown.
    fields: Vec<(String, &'static str, String)>,
}

/// The answer to `form`, which was sent to `action` from the page `back`, when this has become of it; `label` names a field for
/// people.
///
/// # Errors
/// When the page cannot be written.
pub(super) fn answer(
    layout: Layout,
    (action, back): (Url, Url),
    form: &Form,
    label: impl Fn(&str) -> &'static str,
    changed: Result<(), Refusal>,
) -> Result<Response, Refusal> {
    let Err(refusal) = changed else { return Ok(Redirect::to(&back.to_string()).into_response()) };
    let status = refusal.status;
    let is_kept = |(name, _): &(String, String)| name != "form_token";
    let fields = form.pairs().filter(is_kept).map(|(name, value)| {
        let label = label(&name);
        (name, label, value)
    });
    let page = RefusedForm { layout, problem: Some(refusal), action, back, fields: fields.collect() };
    Ok((status, page::render(&page)?).into_response())
}
