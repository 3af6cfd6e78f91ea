//! How long answers took, by route.

use std::{collections::BTreeMap, time::Duration};

use axum::http::{Method, StatusCode};
use parking_lot::Mutex;

use super::{Family, exposition::Samples, names};

/// The bounds of the buckets, in seconds: a page about one host takes 10 ms, a question about the past may take 5 s, a
/// file of one 60.
const BOUNDS_S: [f64; 9] = [0.005, 0.01, 0.025, 0.1, 0.3, 1.0, 2.5, 5.0, 60.0];
/// The route of a request for an address that does not exist.
const NO_ROUTE: &str = "none";

/// How long answers took, by route, method and class of status. There are as many of them as the table of routes has.
#[derive(Debug, Default)]
pub struct RequestTimes(Mutex<BTreeMap<(String, &'static str, &'static str), Histogram>>);

#[derive(Debug, Clone, Copy, Default)]
struct Histogram {
    /// The answers in each bucket, not added up.
    buckets: [u64; BOUNDS_S.len()],
    count: u64,
    sum_s: f64,
}

impl RequestTimes {
    /// Counts an answer that began after `took`. `route` is the path of a route of the table; `None` where there is none.
    pub fn note(&self, route: Option<&str>, method: &Method, status: StatusCode, took: Duration) {
        let method = match *method {
            Method::GET => "GET",
            Method::POST => "POST",
            _ => "other",
        };
        let key = (route.unwrap_or(NO_ROUTE).to_owned(), method, class(status));
        self.0.lock().entry(key).or_default().note(took.as_secs_f64());
    }

    /// Writes them.
    pub fn write(&self, mut samples: Samples<'_>) {
        let times = self.0.lock().clone();
        for ((route, method, class), histogram) in &times {
            let mut below = 0;
            let buckets: Vec<(f64, u64)> = BOUNDS_S
                .iter()
                .zip(histogram.buckets)
                .map(|(bound, count)| {
                    below += count;
                    (*bound, below)
                })
                .collect();
            samples.add_histogram(&[route, method, class], &buckets, histogram.count, histogram.sum_s);
        }
    }

    /// The family that they are.
    pub const FAMILY: &'static Family = &names::HTTP_REQUEST_DURATION;
}

impl Histogram {
    fn note(&mut self, seconds: f64) {
        let bucket = BOUNDS_S.iter().position(|bound| seconds <= *bound);
        if let Some(bucket) = bucket.and_then(|bucket| self.buckets.get_mut(bucket)) {
            *bucket += 1;
        }
        self.count += 1;
        self.sum_s += seconds;
    }
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}
