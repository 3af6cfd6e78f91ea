//! The page of a moment that has no snapshot.

use askama::Template;
use axum::response::Response;
use fleetps_ingestor::history::NoSnapshot;

use super::{
    host_head::HostHead,
    no_snapshot::{in_words, nearest},
    page::{self, Layout},
    unanswered::Unanswered,
};
use crate::{refusal::Refusal, view::View};

#[derive(Template)]
#[template(path = "nothing.html")]
struct NothingPage {
    layout: Layout,
    head: HostHead,
    view: View,
    title: &'static str,
    reason: &'static str,
    /// Their labels and times.
    nearest: Vec<(&'static str, i64)>,
    unanswered: Option<Unanswered>,
}

/// The page that says why nothing is known of a moment.
///
/// # Errors
/// When it cannot be rendered.
pub(crate) fn page(layout: Layout, head: HostHead, nothing: &NoSnapshot) -> Result<Response, Refusal> {
    let (title, reason) = in_words(nothing);
    let nearest = nearest(nothing);
    let view = View::default();
    page::render(&NothingPage { layout, head, view, title, reason, nearest, unanswered: None })
}

/// The page of a moment that could not be found out.
///
/// # Errors
/// When it cannot be rendered.
pub(crate) fn unanswered(layout: Layout, head: HostHead, why: Unanswered) -> Result<Response, Refusal> {
    let (view, nearest, unanswered) = (View::default(), Vec::new(), Some(why.clone()));
    let page = NothingPage { layout, head, view, title: "", reason: "", nearest, unanswered };
    Ok(Unanswered::dress(Some(&why), page::render(&page)?))
}
