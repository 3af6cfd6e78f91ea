//! Answers as Prometheus writes them.

use std::fmt::Write;

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value as Json, json};

use super::{
    evaluate::Value,
    question::Steps,
    series::{Labels, Series},
};

/// An answer with this content.
pub(crate) fn success(data: &Json) -> Response {
    write(&json!({"status": "success", "data": data}).to_string())
}

/// The answer to a question about one moment.
pub(crate) fn instant(value: &Value, steps: Steps) -> Response {
    let mut text = begin(if matches!(value, Value::Scalar(_)) { "scalar" } else { "vector" });
    match value {
        Value::Scalar(numbers) => {
            point(&mut text, steps.start_ms, numbers.first().copied().unwrap_or(f64::NAN));
        }
        Value::Vector(all) => {
            text.push('[');
            let with_value = |series| Some((series, first(series)?));
            for (place, (series, value)) in all.iter().filter_map(with_value).enumerate() {
                metric(&mut text, place, &series.labels);
                text.push_str(",\"value\":");
                point(&mut text, steps.start_ms, value);
                text.push('}');
            }
            text.push(']');
        }
    }
    write(&(text + "}}"))
}

/// The answer to a question about many.
pub(crate) fn range(value: Value, steps: Steps) -> Response {
    let mut text = begin("matrix");
    text.push('[');
    let all = match value {
        Value::Scalar(numbers) => {
            vec![Series { labels: Labels::new(), values: numbers.into_iter().map(Some).collect() }]
        }
        Value::Vector(all) => all,
    };
    for (place, series) in all.iter().filter(|series| !series.is_empty()).enumerate() {
        metric(&mut text, place, &series.labels);
        text.push_str(",\"values\":[");
        let points = series.values.iter().enumerate();
        let points = points.filter_map(|(step, value)| Some((steps.at_ms(step), (*value)?)));
        for (place, (at_ms, value)) in points.enumerate() {
            if place > 0 {
                text.push(',');
            }
            point(&mut text, at_ms, value);
        }
        text.push_str("]}");
    }
    write(&(text + "]}}"))
}

fn first(series: &Series) -> Option<f64> {
    series.values.first().copied().flatten()
}

fn begin(kind: &str) -> String {
    format!(r#"{{"status":"success","data":{{"resultType":"{kind}","result":"#)
}

/// The beginning of a series.
fn metric(text: &mut String, place: usize, labels: &Labels) {
    if place > 0 {
        text.push(',');
    }
    text.push_str("{\"metric\":");
    let labels: serde_json::Map<String, Json> =
        labels.iter().map(|(label, value)| ((*label).to_owned(), Json::from(&**value))).collect();
    text.push_str(&Json::Object(labels).to_string());
}

/// A value with its moment: seconds as a number, and the value as a text.
fn point(text: &mut String, at_ms: i64, value: f64) {
    let (seconds, ms) = (at_ms.div_euclid(1000), at_ms.rem_euclid(1000));
    // Writing to a string does not fail.
    let _ = match (ms, seconds < 0) {
        (0, _) => write!(text, "[{seconds},\""),
        (_, false) => write!(text, "[{seconds}.{ms:03},\""),
        (_, true) => write!(text, "[{},\"", at_ms as f64 / 1000.0),
    };
    let _ = match value {
        value if value.is_nan() => write!(text, "NaN"),
        f64::INFINITY => write!(text, "+Inf"),
        f64::NEG_INFINITY => write!(text, "-Inf"),
        value => write!(text, "{value}"),
    };
    text.push_str("\"]");
}

fn write(text: &str) -> Response {
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], text.to_owned()).into_response()
}
