//! The page of a moment that has no snapshot.

use askama::Template;
use axum::response::{self, Response};
use fleetps_ingestor::history::NoSnapshot;

use super::{
    host_head::{HostHead, Visit},
    no_snapshot::{in_words, nearest},
    page::{self, Layout},
};
use crate::{live::Moment, refusal::Refusal, view::View};

#[derive(Template)]
#[template(path = "nothing.html")]
struct NothingPage {
    layout: Layout,
    head: HostHead,
    view: View,
    title: &'static str,
    reason: &'static str,
    /// What they are, and when.
    nearest: Vec<(&'static str, i64)>,
}

/// The moment that `visit` found.
///
/// # Errors
/// With the page that says why nothing is known of it, or the way to where the page is.
#[expect(clippy::result_large_err, reason = "it is axum's own error, and made once a request")]
pub fn moment_or_page(visit: Visit, layout: &Layout) -> response::Result<(HostHead, Box<Moment>)> {
    match visit {
        Visit::Moment(head, moment) => Ok((head, moment)),
        Visit::Nothing(head, why) => Err(page(layout.clone(), head, &why)?.into()),
        Visit::Elsewhere(response) => Err(response.into()),
    }
}

fn page(layout: Layout, head: HostHead, nothing: &NoSnapshot) -> Result<Response, Refusal> {
    let (title, reason) = in_words(nothing);
    let nearest = nearest(nothing);
    page::render(&NothingPage { layout, head, view: View::default(), title, reason, nearest })
}
