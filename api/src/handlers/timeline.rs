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
pub(crate) async fn picture(
    scoped: ScopedFleet,
    Host(host): Host,
    Query(query): Query<SpanQuery>,
) -> Result<Response, Refusal> {
    let now_us = now_us();
    let span = query.resolve(now_us, now_us, USUAL)?;
    let newer = scoped.newer(&host, span).await;
    let bands = scoped.alert_bands(&host, span, |_| true);
    let silent_since_us = scoped.silent_since(&host);
    let metrics =
        scoped.ask(move |history| history.host_metrics(&host, span, POINTS, &newer.snapshots)).await?;
    let mut chart = hosts::timeline(&with_the_last_gap(metrics, span, now_us, silent_since_us), span);
    bands::draw(&mut chart, &bands, span);
    let svg = chart.render().map_err(|error| Refusal::fault("could not draw the timeline", &error))?;
    Ok(([(header::CONTENT_TYPE, "image/svg+xml")], svg).into_response())
}

/// Without the gap at the end that is only there because newer samples are not in the history yet; and with the one of a host
/// that has sent nothing since, which the history does not know where it has heard of no other host since, either.
pub(crate) fn with_the_last_gap(
    mut metrics: HostMetrics,
    span: Span,
    now_us: i64,
    silent_since_us: Option<i64>,
) -> HostMetrics {
    metrics.gaps.retain(|gap| gap.to_us < span.to_us || now_us.saturating_sub(gap.from_us) > NOT_YET_US);
    let last_us = metrics.points.last().map(|point| point.to_us);
    if let Some(since_us) = silent_since_us.filter(|since_us| *since_us < span.to_us) {
        // The last point and the last snapshot may be apart by how they are rounded.
        let from_us = since_us.max(last_us.unwrap_or(since_us)).max(span.from_us);
        metrics.gaps.retain(|gap| gap.to_us <= from_us || gap.from_us < from_us);
        metrics.gaps.iter_mut().for_each(|gap| gap.to_us = gap.to_us.min(from_us));
        metrics.gaps.push(Span { from_us, to_us: span.to_us.min(now_us).max(from_us) });
    }
    metrics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_sends_nothing_has_a_gap_from_its_last_snapshot_until_now() {
        const SECOND_US: i64 = 1_000_000;
        let span = Span { from_us: 0, to_us: 1_000 * SECOND_US };
        let now_us = span.to_us;
        let gap = |from_s: i64, to_s: i64| Span { from_us: from_s * SECOND_US, to_us: to_s * SECOND_US };
        for (known, silent_since_s, expected) in [
            (vec![], None, vec![]),
            (vec![gap(100, 200), gap(980, 1_000)], None, vec![gap(100, 200)]),
            (vec![], Some(400), vec![gap(400, 1_000)]),
            (vec![gap(100, 200), gap(400, 1_000)], Some(400), vec![gap(100, 200), gap(400, 1_000)]),
            (vec![], Some(-50), vec![gap(0, 1_000)]),
            (vec![gap(100, 200)], Some(2_000), vec![gap(100, 200)]),
        ] {
            let metrics = HostMetrics { gaps: known, ..HostMetrics::default() };
            let silent_since_us = silent_since_s.map(|since_s: i64| since_s * SECOND_US);
            let drawn = with_the_last_gap(metrics, span, now_us, silent_since_us);
            assert_eq!(drawn.gaps, expected, "{silent_since_s:?}");
        }
    }
}
