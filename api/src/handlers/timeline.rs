//! `/hosts/{host}/timeline.svg`: the picture of a host's timeline.

use std::time::Duration;

use askama::Template;
use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use fleetps_ingestor::history::{HostMetrics, Span};

use crate::{
    extract::{Host, Query},
    live::now_us,
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    view::{
        chart::{bands, hosts},
        when::SpanQuery,
    },
};

/// Points requested: about one for every two pixels of a wide page.
const POINTS: usize = 600;
/// The span unless one is given.
const USUAL: Duration = Duration::from_secs(3_600);
/// Snapshots of the last minute are not in the history yet: that is no gap.
const NOT_YET_US: i64 = 60_000_000;

/// The picture.
pub async fn picture(
    scoped: ScopedFleet,
    Host(host): Host,
    Query(query): Query<SpanQuery>,
) -> Result<Response, Refusal> {
    let now_us = now_us();
    let span = query.resolve(now_us, now_us, USUAL)?;
    let newer = scoped.newer(&host, span).await;
    let bands = scoped.alert_bands(&host, span, |_| true);
    let metrics =
        scoped.ask(move |history| history.host_metrics(&host, span, POINTS, &newer.snapshots)).await?;
    let mut chart = hosts::timeline(&without_the_newest_gap(metrics, span, now_us), span);
    bands::draw(&mut chart, &bands, span);
    let svg = chart.render().map_err(|error| Refusal::fault("could not draw the timeline", &error))?;
    Ok(([(header::CONTENT_TYPE, "image/svg+xml")], svg).into_response())
}

/// Without the gap at the end that is only there because newer samples are not in the history yet.
pub fn without_the_newest_gap(mut metrics: HostMetrics, span: Span, now_us: i64) -> HostMetrics {
    metrics.gaps.retain(|gap| gap.to_us < span.to_us || now_us.saturating_sub(gap.from_us) > NOT_YET_US);
    metrics
}
