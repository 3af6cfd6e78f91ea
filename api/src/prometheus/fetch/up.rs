//! Whether hosts were up, and for which part of the time.

use std::collections::HashMap;

use fleetps_ingestor::history::{Bucket, FigureSeries, HostFigure};
use fleetps_nats::HostName;

use super::{
    Failure, Reader, instants,
    labels::{has_no_program, labels},
};
use crate::prometheus::{known::KnownHost, question::Selection, series::Series};

/// A host that is not in the fleet any more was silent for so long at least before it was gone: long enough for an alert.
const GONE_MS: i64 = 3_600_000;

impl Reader<'_> {
    pub(super) fn up(&self, selection: &Selection) -> Result<Vec<Series>, Failure> {
        if !has_no_program(selection) {
            return Ok(Vec::new());
        }
        let figure = if selection.function.is_some() { HostFigure::Time } else { HostFigure::Heard };
        let figures = self.host_figures(selection, figure)?;
        self.check_work(&figures.series, selection)?;
        let found: HashMap<&HostName, &FigureSeries> =
            figures.series.iter().map(|series| (&series.host, series)).collect();
        let mut all = Vec::new();
        for (host, known) in
            selection.hosts.iter().filter_map(|host| Some((host, self.known.hosts.get(host)?)))
        {
            let buckets = found.get(host).map(|series| series.buckets.as_slice()).unwrap_or_default();
            let values = match selection.function {
                None => self.is_up(selection, (host, known), buckets, figures.spacing_ms),
                Some(_) => self.part_up(selection, (host, known), buckets, figures.spacing_ms),
            };
            all.push(Series { labels: labels(selection, host, None), values });
        }
        all.retain(|series| !series.is_empty());
        Ok(all)
    }

    /// 1 or 0 at each step between when a host was first heard of and when it leaves the fleet.
    fn is_up(
        &self,
        selection: &Selection,
        (host, known): (&HostName, &KnownHost),
        buckets: &[(i64, Bucket)],
        spacing_ms: u32,
    ) -> Vec<Option<f64>> {
        let validity = self.validity(host, spacing_ms);
        let values = instants(selection, buckets, &validity);
        let down_for_ms = i64::try_from(self.known.down_for.as_millis()).unwrap_or(i64::MAX).max(GONE_MS);
        let gone_ms = match known.now {
            Some(_) => i64::MAX,
            None => known.last_ms.saturating_add(down_for_ms),
        };
        let at = |(step, value): (usize, Option<f64>)| {
            let at_ms = selection.times.at_ms(step);
            value.or((known.first_ms <= at_ms && at_ms <= gone_ms && at_ms <= now_ms()).then_some(0.0))
        };
        values.into_iter().enumerate().map(at).collect()
    }

    /// The part of each window in which a host was up, since it was first heard of: the time between its samples, and after
    /// the last one while that says how it is.
    fn part_up(
        &self,
        selection: &Selection,
        (host, known): (&HostName, &KnownHost),
        buckets: &[(i64, Bucket)],
        spacing_ms: u32,
    ) -> Vec<Option<f64>> {
        let validity = self.validity(host, spacing_ms);
        let range_ms = selection.selector.range_ms.unwrap_or(1);
        let since_ms = |latest: Option<&Bucket>, at_ms: i64| {
            let is_valid = |bucket: &&Bucket| validity.is_valid((bucket.last_ms, bucket.interval_ms), at_ms);
            latest.filter(is_valid).map_or(0.0, |bucket| at_ms.saturating_sub(bucket.last_ms) as f64)
        };
        let ends = selection.windows.before(buckets).zip(selection.windows.latest(buckets));
        let all = selection.windows.of(buckets).zip(ends).enumerate();
        let part = |(step, (window, (before, latest)))| {
            let at_ms = selection.times.at_ms(step);
            let window: &[(i64, Bucket)] = window;
            let length_ms = range_ms.min(at_ms.saturating_sub(known.first_ms));
            let between_ms: f64 = window.iter().map(|(_, bucket)| bucket.elapsed_ms).sum();
            let up_ms =
                between_ms + since_ms(latest, at_ms) - since_ms(before, at_ms.saturating_sub(range_ms));
            (length_ms > 0 && at_ms <= now_ms()).then(|| (up_ms / length_ms as f64).clamp(0.0, 1.0))
        };
        all.map(part).collect()
    }
}

fn now_ms() -> i64 {
    crate::live::now_us().div_euclid(1000)
}
