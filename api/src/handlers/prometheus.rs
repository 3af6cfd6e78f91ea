//! The part of Prometheus's HTTP interface that Grafana's own data source needs, below `/prometheus`.
//!
//! Questions come as GET, or as POST of the same parameters in a form. Every error is in Prometheus's form.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::{
    body::Bytes,
    extract::{FromRequest, Path, Request},
    response::{IntoResponse, Response},
};
use fleetps_ingestor::history::EventKind;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::{Value as Json, json};

use crate::{
    live::now_us,
    prometheus::{Labels, NAME, Problem, Steps, instant, metric, range, success},
    query::{
        self,
        parameter::{self, Value, is_default},
    },
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
};

/// The most selectors of a request for series.
const MAX_MATCHES: usize = 16;
/// How far back series are looked for where no time is given, in ms.
const USUAL_SPAN_MS: i64 = 3_600_000;
/// The moments that can be asked for, in s since 1970 UTC: the years 1 to 9999.
const MOMENTS_S: (f64, f64) = (-62_135_596_800.0, 253_402_300_799.0);

/// A moment in ms since 1970 UTC; in a URL, seconds or RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct MomentParam(i64);

/// A length of time in ms; in a URL, seconds or a duration as in `15s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LengthParam(i64);

impl Value for MomentParam {
    fn read(given: &str) -> Result<Self, String> {
        let expected =
            || "seconds since 1970 UTC, or a time with its zone as in 2026-11-21T03:12:00Z".to_owned();
        if let Ok(seconds) = given.parse::<f64>() {
            let is_possible = (MOMENTS_S.0..=MOMENTS_S.1).contains(&seconds);
            return is_possible.then(|| Self((seconds * 1000.0).round() as i64)).ok_or_else(expected);
        }
        // In a URL that was typed, the plus of a zone has become a space.
        let time = given.parse::<jiff::Timestamp>().or_else(|_| given.replace(' ', "+").parse());
        time.map(|time| Self(time.as_millisecond())).map_err(|_| expected())
    }

    fn written(&self) -> String {
        format!("{}", self.0 as f64 / 1000.0)
    }
}

impl Value for LengthParam {
    fn read(given: &str) -> Result<Self, String> {
        let length_ms = match given.parse::<f64>() {
            Ok(seconds) if (0.0..=MOMENTS_S.1).contains(&seconds) => Some((seconds * 1000.0).round() as i64),
            Ok(_) => None,
            Err(_) => crate::prometheus::duration_ms(given),
        };
        length_ms.map(Self).ok_or_else(|| "seconds, or a length of time as in 15s".to_owned())
    }

    fn written(&self) -> String {
        format!("{}", self.0 as f64 / 1000.0)
    }
}

/// A question about one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct InstantQuery {
    /// The question, in the supported part of PromQL.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    query: String,
    /// The moment; now without it.
    #[serde(with = "parameter::optional", skip_serializing_if = "Option::is_none")]
    time: Option<MomentParam>,
}

/// A question about many moments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RangeQuery {
    /// The question, in the supported part of PromQL.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    query: String,
    /// The first moment.
    #[serde(with = "parameter::optional", skip_serializing_if = "Option::is_none")]
    start: Option<MomentParam>,
    /// The last moment.
    #[serde(with = "parameter::optional", skip_serializing_if = "Option::is_none")]
    end: Option<MomentParam>,
    /// The time from one to the next.
    #[serde(with = "parameter::optional", skip_serializing_if = "Option::is_none")]
    step: Option<LengthParam>,
}

/// A request for series, names of labels, or their values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SeriesQuery {
    /// Selectors; one of them must let a series through.
    #[serde(rename = "match[]", with = "texts", skip_serializing_if = "Vec::is_empty")]
    matches: Vec<String>,
    /// The first moment; an hour before the last without it.
    #[serde(with = "parameter::optional", skip_serializing_if = "Option::is_none")]
    start: Option<MomentParam>,
    /// The last moment; now without it.
    #[serde(with = "parameter::optional", skip_serializing_if = "Option::is_none")]
    end: Option<MomentParam>,
    /// The most that are listed; 0 for all.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    limit: parameter::Count<0, 1_000_000>,
}

/// A request for what metrics mean.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct MetadataQuery {
    /// Only this metric.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    metric: String,
}

/// Texts of a repeated parameter, which may have commas.
mod texts {
    use super::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
        Vec::deserialize(deserializer)
    }

    pub(super) fn serialize<S: Serializer>(texts: &[String], serializer: S) -> Result<S::Ok, S::Error> {
        texts.serialize(serializer)
    }
}

/// The parameters of a URL and of a form together.
pub(crate) struct UrlOrForm<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for UrlOrForm<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let mut text = request.uri().query().unwrap_or_default().to_owned();
        if request.method() == axum::http::Method::POST {
            let body = Bytes::from_request(request, state).await.map_err(IntoResponse::into_response)?;
            text.push('&');
            text.push_str(&String::from_utf8_lossy(&body));
        }
        query::read(&text).map(Self).map_err(IntoResponse::into_response)
    }
}

/// Answers a question about one moment.
pub(crate) async fn query(
    scoped: ScopedFleet,
    UrlOrForm(asked): UrlOrForm<InstantQuery>,
) -> Result<Response, Refusal> {
    let steps = Steps::one(asked.time.map_or_else(now_ms, |time| time.0));
    answered(&scoped, &asked.query, Ok(steps), |value, steps| instant(&value, steps)).await
}

/// Answers a question about many moments.
pub(crate) async fn query_range(
    scoped: ScopedFleet,
    UrlOrForm(asked): UrlOrForm<RangeQuery>,
) -> Result<Response, Refusal> {
    let missing = |name: &str| Problem::of_all(format!("the parameter {name} is missing"));
    let steps = || {
        let start = asked.start.ok_or_else(|| missing("start"))?;
        let end = asked.end.ok_or_else(|| missing("end"))?;
        let step = asked.step.ok_or_else(|| missing("step"))?;
        Steps::between(start.0, end.0, step.0)
    };
    answered(&scoped, &asked.query, steps(), range).await
}

async fn answered(
    scoped: &ScopedFleet,
    text: &str,
    steps: Result<Steps, Problem>,
    write: impl FnOnce(crate::prometheus::Value, Steps) -> Response,
) -> Result<Response, Refusal> {
    let steps = match steps {
        Ok(steps) => steps,
        Err(problem) => return Ok(problem.into_response()),
    };
    Ok(match scoped.ask_prometheus(text.to_owned(), steps).await? {
        Ok(value) => write(value, steps),
        Err(problem) => problem.into_response(),
    })
}

fn now_ms() -> i64 {
    now_us().div_euclid(1000)
}

impl SeriesQuery {
    fn within_ms(&self) -> (i64, i64) {
        let end_ms = self.end.map_or_else(now_ms, |end| end.0);
        (self.start.map_or(end_ms.saturating_sub(USUAL_SPAN_MS), |start| start.0), end_ms)
    }

    fn limited<T>(&self, all: impl IntoIterator<Item = T>) -> Vec<T> {
        let limit = if self.limit.get() == 0 { usize::MAX } else { self.limit.get() };
        all.into_iter().take(limit).collect()
    }
}

/// The series that selectors are about.
pub(crate) async fn series(
    scoped: ScopedFleet,
    UrlOrForm(asked): UrlOrForm<SeriesQuery>,
) -> Result<Response, Refusal> {
    if asked.matches.is_empty() {
        return Ok(Problem::of_all("the parameter match[] is missing").into_response());
    }
    listed(&scoped, &asked, |sets| asked.limited(&sets).into_iter().map(labels_json).collect()).await
}

async fn listed(
    scoped: &ScopedFleet,
    asked: &SeriesQuery,
    list: impl FnOnce(BTreeSet<Labels>) -> Vec<Json>,
) -> Result<Response, Refusal> {
    if asked.matches.len() > MAX_MATCHES {
        let problem = Problem::of_all(format!("these are more than {MAX_MATCHES} selectors"));
        return Ok(problem.into_response());
    }
    Ok(match scoped.label_sets(asked.matches.clone(), asked.within_ms()).await? {
        Ok(sets) => success(&Json::Array(list(sets))),
        Err(problem) => problem.into_response(),
    })
}

fn labels_json(labels: &Labels) -> Json {
    labels.iter().map(|(label, value)| ((*label).to_owned(), Json::from(&**value))).collect()
}

/// The names of labels.
pub(crate) async fn labels(
    scoped: ScopedFleet,
    UrlOrForm(asked): UrlOrForm<SeriesQuery>,
) -> Result<Response, Refusal> {
    if asked.matches.is_empty() {
        let all = [
            NAME,
            metric::GROUP,
            metric::HOST,
            metric::KIND,
            metric::MINUTES,
            metric::MODE,
            metric::PROGRAM,
            metric::UNIT,
            metric::USER,
        ];
        return Ok(success(&json!(asked.limited(all))));
    }
    let list = |sets: BTreeSet<Labels>| {
        let mut names: BTreeSet<&str> = sets.iter().flat_map(|labels| labels.keys().copied()).collect();
        if names.contains(metric::HOST) {
            names.insert(metric::GROUP);
        }
        asked.limited(names).into_iter().map(Json::from).collect()
    };
    listed(&scoped, &asked, list).await
}

/// The values of a label.
pub(crate) async fn label_values(
    scoped: ScopedFleet,
    Path(label): Path<String>,
    UrlOrForm(asked): UrlOrForm<SeriesQuery>,
) -> Result<Response, Refusal> {
    let simple = |all: BTreeSet<String>| Ok(success(&json!(asked.limited(all))));
    match label.as_str() {
        NAME if asked.matches.is_empty() => {
            return simple(metric::METRICS.iter().map(|metric| metric.name.to_owned()).collect());
        }
        metric::GROUP => return simple(scoped.known_hosts().await?.groups(asked.within_ms())),
        metric::KIND if asked.matches.is_empty() => {
            return simple(EventKind::ALL.into_iter().map(|kind| kind.id().to_owned()).collect());
        }
        metric::MINUTES | metric::MODE if asked.matches.is_empty() => {
            let fixed = metric::METRICS.iter().filter_map(|metric| metric.label);
            return simple(
                fixed.filter(|(known, _)| *known == label).map(|(_, value)| value.to_owned()).collect(),
            );
        }
        NAME
        | metric::HOST
        | metric::KIND
        | metric::MINUTES
        | metric::MODE
        | metric::PROGRAM
        | metric::USER
        | metric::UNIT => {}
        _ => return simple(BTreeSet::new()),
    }
    let mut asked_of = asked.clone();
    if asked.matches.is_empty() {
        // A metric that has the label.
        let of_hosts = label == metric::HOST;
        let name = if of_hosts { "fleetps_host_up" } else { "fleetps_program_processes" };
        asked_of.matches.push(name.to_owned());
    }
    let list = |sets: BTreeSet<Labels>| {
        let values: BTreeSet<&Arc<str>> =
            sets.iter().filter_map(|labels| labels.get(label.as_str())).collect();
        asked.limited(values).into_iter().map(|value| Json::from(&**value)).collect()
    };
    listed(&scoped, &asked_of, list).await
}

/// What metrics mean.
pub(crate) async fn metadata(UrlOrForm(asked): UrlOrForm<MetadataQuery>) -> Response {
    let is_asked = |metric: &&metric::Metric| asked.metric.is_empty() || asked.metric == metric.name;
    let about = |metric: &metric::Metric| {
        let about = json!([{"type": metric.kind(), "help": metric.help, "unit": metric.unit}]);
        (metric.name.to_owned(), about)
    };
    // Metrics of one name are described alike.
    let all: BTreeMap<String, Json> = metric::METRICS.iter().filter(is_asked).map(about).collect();
    success(&json!(all))
}

/// What this server is: Grafana's data source asks before it takes one for Prometheus.
pub(crate) async fn build_info() -> Response {
    // The version is that of the Prometheus whose questions are understood; Grafana chooses by it how to ask.
    success(&json!({
        "version": "2.53.0",
        "revision": env!("CARGO_PKG_VERSION"),
        "branch": "fleetps",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
        "features": {},
    }))
}

/// There are no rules here.
pub(crate) async fn rules() -> Response {
    success(&json!({"groups": []}))
}

/// There are no alerts here.
pub(crate) async fn alerts() -> Response {
    success(&json!({"alerts": []}))
}

/// There are no exemplars here.
pub(crate) async fn exemplars() -> Response {
    success(&json!([]))
}
