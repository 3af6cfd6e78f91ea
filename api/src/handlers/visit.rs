//! Finds the moment that a page about one host shows.

use axum::response::{self, IntoResponse, Redirect, Response};
use fleetps_ingestor::history::NoSnapshot;
use fleetps_nats::HostName;

use super::{
    host_head::{Bar, HostHead},
    nothing,
    page::Layout,
    unanswered::Unanswered,
};
use crate::{
    live::{Moment, now_us},
    refusal::Refusal,
    scoped_fleet::{
        ScopedFleet,
        travel::{self, PastLookup},
    },
    url::{HostTab, Url},
    view::travel::{Links, When},
};

/// What can be done where a moment took too long to find.
const NARROW: &str = "try again; a moment close to it may be quicker";

/// The content of a page about a host.
pub(crate) enum Visit {
    /// A moment: the present, or one of the past.
    Moment(HostHead, Box<Moment>),
    /// A moment without a snapshot.
    Nothing(HostHead, NoSnapshot),
    /// A moment that could not be found out.
    Unanswered(HostHead, Unanswered),
    /// The page is elsewhere.
    Elsewhere(Response),
}

impl Visit {
    /// The moment.
    ///
    /// # Errors
    /// With the page that says why nothing is known of it or why it could not be found out, or the way to where the page is.
    #[expect(clippy::result_large_err, reason = "it is axum's own error, and made once a request")]
    pub(crate) fn moment(self, layout: &Layout) -> response::Result<(HostHead, Box<Moment>)> {
        match self {
            Self::Moment(head, moment) => Ok((head, moment)),
            Self::Nothing(head, why) => Err(nothing::page(layout.clone(), head, &why)?.into()),
            Self::Unanswered(head, why) => Err(nothing::unanswered(layout.clone(), head, why)?.into()),
            Self::Elsewhere(response) => Err(response.into()),
        }
    }
}

/// Finds the moment that `links` name for the page `tab` of `host`.
///
/// # Errors
/// When the host is unknown, or the history cannot be read.
pub(crate) async fn visit(
    scoped: &ScopedFleet,
    host: &HostName,
    tab: HostTab,
    links: Links,
) -> Result<Visit, Refusal> {
    let elsewhere = |url: Url| Visit::Elsewhere(Redirect::to(&url.to_string()).into_response());
    let unknown = || Refusal::no_such_host(host.as_str());
    match links.when.at_us {
        // A link that is shared must mean the same moment later.
        Some(at_us) if links.when.is_relative => Ok(elsewhere(links.at(at_us))),
        Some(at_us) => match Unanswered::or(travel::to(scoped, host, at_us).await, NARROW, || None)? {
            // What cannot be found out must not tell whether there is such a host.
            Err(why) if scoped.summary(host).is_none() => Err(why.refusal),
            Err(why) => {
                let bar = Bar::unanswered(at_us, &links);
                Ok(Visit::Unanswered(HostHead::new(scoped, host, tab, links, Some(bar)), why))
            }
            Ok(found) => Ok(visited(scoped, host, tab, links, (at_us, found))?),
        },
        None => match scoped.moment(host) {
            Some(moment) => {
                Ok(Visit::Moment(HostHead::new(scoped, host, tab, links, None), Box::new(moment)))
            }
            // A host that is only in the history: its last snapshot is all there is.
            None => {
                let last_us = match travel::to(scoped, host, now_us()).await {
                    Ok(PastLookup::Nothing(NoSnapshot::AfterLast { last_us })) => last_us,
                    Ok(PastLookup::PastMoment(then)) => then.moment.snapshot().captured_at_us,
                    // Where there is a history, it may know the host.
                    Err(refusal) if refusal.status.is_server_error() && scoped.history().is_some() => {
                        return Err(refusal);
                    }
                    _ => return Err(unknown()),
                };
                Ok(elsewhere(links.to(&When { at_us: Some(last_us), ..links.when.clone() })))
            }
        },
    }
}

/// What was found of a moment of the past.
fn visited(
    scoped: &ScopedFleet,
    host: &HostName,
    tab: HostTab,
    links: Links,
    (at_us, found): (i64, PastLookup),
) -> Result<Visit, Refusal> {
    match found {
        PastLookup::Nothing(NoSnapshot::UnknownHost) => Err(Refusal::no_such_host(host.as_str())),
        PastLookup::Nothing(nothing) => {
            let bar = Bar::nothing(at_us, &nothing, &links);
            Ok(Visit::Nothing(HostHead::new(scoped, host, tab, links, Some(bar)), nothing))
        }
        PastLookup::PastMoment(then) => {
            let bar = Bar::then(at_us, &then, &links);
            let head = HostHead::new(scoped, host, tab, links, Some(bar));
            Ok(Visit::Moment(head, Box::new(then.moment)))
        }
    }
}

/// The same for a page about a span: a host that is only in the history is shown as it was at the end of that.
///
/// # Errors
/// When the host is unknown, or the history cannot be read.
pub(crate) async fn visit_span(
    scoped: &ScopedFleet,
    host: &HostName,
    tab: HostTab,
    mut links: Links,
) -> Result<Visit, Refusal> {
    if let (None, None, Some(span)) = (scoped.summary(host), links.when.at_us, links.when.span) {
        links.when.at_us = match travel::to(scoped, host, span.to_us).await? {
            PastLookup::PastMoment(then) => Some(then.moment.snapshot().captured_at_us),
            PastLookup::Nothing(
                NoSnapshot::AfterLast { last_us: before_us } | NoSnapshot::Gap { before_us, .. },
            ) => Some(before_us),
            PastLookup::Nothing(_) => None,
        };
    }
    visit(scoped, host, tab, links).await
}
