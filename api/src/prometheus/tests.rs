//! Questions by themselves: what they mean, and that nothing makes reading them fail otherwise than by a refusal.

use std::collections::BTreeSet;

use fleetps_nats::model::host::HOST;
use proptest::prelude::*;

use super::{
    ast::Expr,
    evaluate::{self, Found, Value},
    lex::duration_ms,
    metric::{METRICS, Source},
    parse::parse,
    problem::Problem,
    series::{Labels, Series},
};

fn evaluate(expr: &Expr, found: &Found, steps: usize) -> Result<Value, Problem> {
    evaluate::evaluate(expr, found, steps, &|| Ok(()))
}

fn number(text: &str) -> f64 {
    match evaluate(&parse(text).unwrap(), &Found::new(), 1).unwrap() {
        Value::Scalar(numbers) => numbers[0],
        Value::Vector(series) => panic!("{text}: {series:?}"),
    }
}

#[test]
fn operators_bind_as_in_prometheus() {
    for (text, value) in [
        ("1 + 2 * 3", 7.0),
        ("(1 + 2) * 3", 9.0),
        ("2 ^ 3 ^ 2", 512.0),
        ("-2 ^ 2", -4.0),
        ("10 - 3 - 2", 5.0),
        ("2 * -3", -6.0),
        ("7 % 4", 3.0),
        ("1 < bool 2", 1.0),
        ("3 > bool 2 + 2", 0.0),
        ("0x1f + 1e2 + .5", 131.5),
        ("+1 # a comment\n+ 1", 2.0),
    ] {
        assert_eq!(number(text), value, "{text}");
    }
    assert!(number("0 / 0").is_nan());
}

#[test]
fn lengths_of_time_have_units() {
    assert_eq!(duration_ms("1h30m"), Some(5_400_000));
    assert_eq!(duration_ms("250ms"), Some(250));
    for text in ["", "5", "m", "5x", "5m3", "1h 30m", "-1m", "99999999999999999999d"] {
        assert_eq!(duration_ms(text), None, "{text}");
    }
}

#[test]
fn every_number_of_a_host_is_a_metric_and_names_follow_their_kind() {
    let fields = METRICS.iter().filter_map(|metric| match metric.source {
        Source::Host(field) => Some(field),
        _ => None,
    });
    let fields: BTreeSet<&str> = fields.collect();
    // Idle time is told less what `iowait` has.
    for field in HOST.iter().filter(|field| field.is_number() && field.name != "cpu_idle_ms") {
        assert!(fields.contains(field.name), "no metric is the field {}", field.name);
    }
    let names: BTreeSet<_> = METRICS.iter().map(|metric| (metric.name, metric.label)).collect();
    assert_eq!(names.len(), METRICS.len());
    for metric in METRICS {
        let is_total = metric.name.ends_with("_total");
        assert!(!is_total || metric.is_counter(), "{} is no counter", metric.name);
        assert!(metric.unit.is_empty() || metric.name.contains(metric.unit), "{} has no unit", metric.name);
    }
}

#[test]
fn every_metric_is_in_the_manual() {
    let manual = include_str!("../../../docs/grafana.md");
    for metric in METRICS {
        let name = metric.name.trim_start_matches("fleetps_host").trim_start_matches("fleetps_program");
        assert!(manual.contains(name), "{}", metric.name);
    }
}

#[test]
fn the_greatest_are_chosen_at_each_step() {
    let series = |host: &'static str, values: [f64; 2]| Series {
        labels: Labels::from([("host", host.into())]),
        values: values.map(Some).to_vec(),
    };
    let found = Found::from([(
        0,
        vec![series("a", [1.0, 9.0]), series("b", [2.0, f64::NAN]), series("c", [3.0, 3.0])],
    )]);
    let Value::Vector(chosen) = evaluate(&parse("topk(2, x)").unwrap(), &found, 2).unwrap() else { panic!() };
    let values: Vec<_> = chosen.iter().map(|series| series.values.clone()).collect();
    assert_eq!(values[0], [None, Some(9.0)]);
    assert_eq!(values[1], [Some(2.0), None], "what is no number comes last");
    assert_eq!(values[2], [Some(3.0), Some(3.0)]);
}

#[test]
fn a_question_that_took_too_long_is_a_timeout_and_refusals_keep_their_status() {
    use axum::http::StatusCode;

    use super::refuse;
    use crate::refusal::Refusal;

    for (status, told) in [
        (StatusCode::GATEWAY_TIMEOUT, StatusCode::SERVICE_UNAVAILABLE),
        (StatusCode::SERVICE_UNAVAILABLE, StatusCode::SERVICE_UNAVAILABLE),
        (StatusCode::TOO_MANY_REQUESTS, StatusCode::TOO_MANY_REQUESTS),
        (StatusCode::UNAUTHORIZED, StatusCode::UNAUTHORIZED),
        (StatusCode::INTERNAL_SERVER_ERROR, StatusCode::INTERNAL_SERVER_ERROR),
    ] {
        assert_eq!(refuse(&Refusal::new(status, "no", "wait")).status(), told);
    }
}

#[test]
fn metrics_that_are_also_scraped_have_the_same_help() {
    use crate::metrics::{Kind, names};

    // What these say here differs: a host that is silent is 0, and counters do not begin with the first scrape.
    let differ = ["fleetps_host_up", "fleetps_program_cpu_seconds_total"];
    let mut same = 0;
    for family in names::ALL {
        let end = if family.kind == Kind::Counter { "_total" } else { "" };
        let name = format!("{}{end}", family.name);
        for metric in METRICS.iter().filter(|metric| metric.name == name && !differ.contains(&metric.name)) {
            assert_eq!(metric.help, family.help, "{name}");
            same += 1;
        }
    }
    assert!(same > 15, "{same} metrics are in both");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn any_text_of_words_is_read_or_refused(
        words in prop::collection::vec(prop::sample::select(vec![
            "sum", "by", "(", ")", "{", "}", "[", "]", "5m", "1", "-", "+", "*", "^", "fleetps_host_up", "rate", "host",
            "=", "=~", "\"a\"", ",", "offset", "@", "on", "bool", "==", "topk", "without", "abs", "start", "NaN",
        ]), 0..60)
    ) {
        if let Ok(expr) = parse(&words.join(" ")) {
            let _ = evaluate(&expr, &Found::new(), 3);
        }
    }
}
