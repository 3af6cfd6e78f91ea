//! SQL questions over the history: the page, and `POST /api/v1/sql`.
//!
//! A question costs something, so it is posted: a link (`/sql?sql=…`) brings the text, and asking takes a click.

use std::time::Duration;

use askama::Template;
use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use fleetps_ingestor::history::Span;
use fleetps_nats::HostName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::page::{self, Layout};
use crate::{
    answer::{Answer, Time, shape},
    console::{Answered, EXAMPLES, Example, Question, SqlAnswer, limits},
    csv::{self, Format, InFormat},
    display::{cut, time, visible},
    extract::{Form, Query},
    live::now_us,
    openapi::{Argument, Takes},
    query::{
        parameter::{self, BadParameter, Value, is_default},
        parameters,
    },
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    url::Url,
    view::{
        time_field::{ReaderZone, TimeField, TypedTimes},
        when::{SpanQuery, TimeParam},
    },
};

/// Rows on a page: more than a person reads there; the files have all of them.
const PAGE_ROWS: usize = 500;
/// What a question is about that says only until when.
const USUAL: Duration = Duration::from_secs(86_400);
/// Characters of a value on a page; the files have all of it.
const PAGE_CHARACTERS: usize = 300;

/// The page.
#[derive(Template)]
#[template(path = "sql.html")]
struct SqlPage {
    layout: Layout,
    sql: String,
    about: AboutQuery,
    /// The fields of its time.
    times: [TimeField; 2],
    examples: &'static [Example],
    limits: String,
    /// The questions that are answered or wait, as far as they may be seen.
    questions: Vec<Question>,
    outcome: Outcome,
}

/// The query of the page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SqlQuery {
    /// The text that it brings.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    sql: String,
    /// What it is about.
    #[serde(flatten)]
    about: AboutQuery,
}

/// The time and the hosts that a question is about; absent for as far back as fits.
type About = Option<(Span, Vec<HostName>)>;

/// Which part of the history a question is about; without any parameter as far back as fits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct AboutQuery {
    /// Its time.
    #[serde(flatten)]
    span: SpanQuery,
    /// Its hosts; every host without them.
    #[serde(with = "parameter::list", skip_serializing_if = "Vec::is_empty")]
    hosts: Vec<HostName>,
}

/// The query that cancels a question.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CancelQuery {
    /// Which one; without it, all of one's own.
    #[serde(with = "parameter::optional", skip_serializing_if = "Option::is_none")]
    question: Option<QuestionNumber>,
}

parameters! {
    CancelQuery {
        question: "The number of the question; without it, all of one's own.",
    }
}

parameters! {
    AboutQuery {
        hosts: "Its hosts, with commas between: only segments with something of them are attached. Every host without it.",
        ..span,
    }
}

impl AboutQuery {
    /// The span and hosts that it means now; `None` for as far back as fits.
    fn resolved(&self) -> Result<About, BadParameter> {
        if is_default(self) {
            return Ok(None);
        }
        let now_us = now_us();
        let span = match is_default(&self.span) {
            // Of some hosts alone there is rarely too much.
            true => Span { from_us: i64::MIN, to_us: now_us },
            false => self.span.resolve(now_us, now_us, USUAL)?,
        };
        Ok(Some((span, self.hosts.clone())))
    }

    /// What the fields of a form say, whose times are in the zone of `times`, where it is told what is no time.
    fn of_form(form: &Form, times: &mut TypedTimes) -> Result<Self, BadParameter> {
        let now = times.zone.now(now_us());
        let mut time = |name: &'static str| {
            let given = form.field(name);
            let typed = (!given.trim().is_empty()).then(|| TimeParam::typed(&given, &now)).transpose();
            typed.map_err(|expected| {
                let wrong = BadParameter::new(name, &given, expected);
                times.wrong.push(wrong.clone());
                wrong
            })
        };
        let (from, to) = (time("from"), time("to"));
        let range = form.field("range");
        let range = (!range.is_empty()).then(|| Duration::read(&range)).transpose();
        let range = range.map_err(|expected| BadParameter::new("range", &form.field("range"), expected));
        let given = form.field("hosts");
        let names = given.split([',', ' ']).filter(|name| !name.is_empty());
        let read =
            |name: &str| HostName::read(name).map_err(|expected| BadParameter::new("hosts", name, expected));
        let hosts = names.map(read).collect::<Result<_, _>>();
        Ok(Self { span: SpanQuery { from: from?, to: to?, range: range? }, hosts: hosts? })
    }

    /// Its hosts as a field has them.
    fn hosts(&self) -> String {
        self.hosts.iter().map(HostName::as_str).collect::<Vec<_>>().join(", ")
    }
}

/// The outcome of a question.
enum Outcome {
    NotAsked,
    Refused(Refusal),
    Answered(Answered),
}

impl SqlPage {
    fn new(
        layout: Layout,
        scoped: &ScopedFleet,
        SqlQuery { sql, about }: SqlQuery,
        outcome: Outcome,
    ) -> Self {
        let questions = scoped.sql_questions();
        let now_us = now_us();
        let span = about.span.resolve(now_us, now_us, USUAL).ok().filter(|_| !is_default(&about.span));
        let times = [
            layout.times.field("from", "From", span.map(|span| span.from_us)),
            layout.times.field("to", "to", span.filter(|_| about.span.to.is_some()).map(|span| span.to_us)),
        ];
        Self { layout, sql, about, times, examples: &EXAMPLES, limits: limits(), questions, outcome }
    }

    /// A link that brings this text and what it is about.
    fn link(&self) -> Url {
        Url::sql().with(&SqlQuery { sql: self.sql.clone(), about: self.about.clone() })
    }

    /// The hidden fields of forms that ask about the same.
    fn carried(&self) -> Vec<(String, String)> {
        Url::sql().with(&self.about).parameters()
    }

    /// When a question was asked.
    fn asked_at(question: &Question) -> String {
        time(question.asked_at_us)
    }

    /// A question as the page shows it.
    fn text(question: &Question) -> String {
        visible(&cut(&question.sql, PAGE_CHARACTERS)).into_owned()
    }

    /// A value as the page shows it, and whether there is one.
    fn shown(value: &Option<String>) -> (String, bool) {
        match value {
            Some(text) => (visible(&cut(text, PAGE_CHARACTERS)).into_owned(), true),
            None => ("NULL".to_owned(), false),
        }
    }
}

/// The page with the text of `?sql=`, not asked yet.
pub(crate) async fn page(
    layout: Layout,
    scoped: ScopedFleet,
    Query(query): Query<SqlQuery>,
) -> Result<Response, Refusal> {
    page::render(&SqlPage::new(layout, &scoped, query, Outcome::NotAsked))
}

/// The page with the answer, or the answer as a file (`format=csv` or `json`).
pub(crate) async fn ask(mut layout: Layout, scoped: ScopedFleet, form: Form) -> Result<Response, Refusal> {
    let (query, about) = read(&mut layout, &form);
    let asked = match about {
        Ok(about) => scoped.ask_sql(query.sql.clone(), about).await,
        Err(wrong) => Err(wrong.into()),
    };
    match (asked, form.field("format").as_str()) {
        (Ok(answered), "csv") => Ok(csv::file("answer", answered.csv())),
        (Ok(answered), "json") => Ok(json_file(&answered)),
        (Ok(answered), _) => page::render(&SqlPage::new(layout, &scoped, query, Outcome::Answered(answered))),
        (Err(refusal), _) => {
            let status = refusal.status;
            let page = page::render(&SqlPage::new(layout, &scoped, query, Outcome::Refused(refusal)))?;
            Ok((status, page).into_response())
        }
    }
}

/// The question of a form, with its times as the page shows them; and what it is about.
fn read(layout: &mut Layout, form: &Form) -> (SqlQuery, Result<About, BadParameter>) {
    if let Some(zone) = ReaderZone::find(&form.field("zone")) {
        layout.times.zone = zone;
    }
    let about = AboutQuery::of_form(form, &mut layout.times);
    let resolved = about.as_ref().map_err(Clone::clone).and_then(AboutQuery::resolved);
    (SqlQuery { sql: form.field("sql"), about: about.unwrap_or_default() }, resolved)
}

/// Cancels the question that the field `question` names, else all of one's own; the page keeps its text.
pub(crate) async fn cancel(mut layout: Layout, scoped: ScopedFleet, form: Form) -> Result<Response, Refusal> {
    let given = form.field("question");
    let number = (!given.is_empty()).then(|| QuestionNumber::read(&given)).transpose();
    let number = number.map_err(|expected| BadParameter::new("question", &given, expected))?;
    scoped.cancel_sql(number.map(|QuestionNumber(number)| number));
    let (query, _) = read(&mut layout, &form);
    page::render(&SqlPage::new(layout, &scoped, query, Outcome::NotAsked))
}

/// The number of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct QuestionNumber(u64);

impl Value for QuestionNumber {
    fn read(given: &str) -> Result<Self, String> {
        let number = given.parse().map(Self);
        number.map_err(|_| "the number of a question, as `GET /api/v1/sql` lists them".to_owned())
    }

    fn written(&self) -> String {
        self.0.to_string()
    }

    fn schema() -> Json {
        json!({"type": "integer", "format": "int64", "minimum": 0})
    }
}

/// The questions that are answered or wait.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Questions {
    questions: Vec<UnderWay>,
}

/// A question that is answered or waits.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Question")]
struct UnderWay {
    /// Its number, by which it can be cancelled.
    question: u64,
    who: String,
    /// The beginning of it.
    sql: String,
    asked_at: Time,
    /// Whether it is its turn.
    is_answered_now: bool,
}

shape!(Questions);

/// `GET /api/v1/sql`: the questions that are answered or wait, one's own or, for who administers everything, all.
pub(crate) async fn list(scoped: ScopedFleet) -> Answer<Questions> {
    let one = |question: Question| UnderWay {
        question: question.number,
        who: question.who,
        sql: question.sql,
        asked_at: Time(question.asked_at_us),
        is_answered_now: question.is_answered_now,
    };
    Answer::of(&Questions { questions: scoped.sql_questions().into_iter().map(one).collect() })
}

/// `POST /api/v1/sql/cancel`: cancels the question that the parameter `question` names, else all of the person's own;
/// answers with the questions still under way.
pub(crate) async fn cancel_by_program(
    scoped: ScopedFleet,
    Query(query): Query<CancelQuery>,
) -> Answer<Questions> {
    scoped.cancel_sql(query.question.map(|QuestionNumber(number)| number));
    list(scoped).await
}

/// The question of a program: the body, or the field `sql` of a JSON object.
#[derive(Debug)]
pub(crate) struct SqlBody(String);

impl<S: Send + Sync> FromRequest<S> for SqlBody {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let headers = request.headers().clone();
        let body = Bytes::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        question(&headers, &body).map(Self).map_err(IntoResponse::into_response)
    }
}

impl Argument for SqlBody {
    fn describe(takes: &mut Takes) {
        let sql = json!({"type": "string", "description": "One statement of DuckDB that only reads."});
        let object = json!({"type": "object", "properties": {"sql": sql}, "required": ["sql"]});
        takes.body = vec![("text/plain", sql), ("application/json", object)];
    }
}

/// `POST /api/v1/sql`: the answer to a question; `?format=csv` answers in CSV, `from`, `to` and `hosts` say what it is about.
pub(crate) async fn answer(
    scoped: ScopedFleet,
    Query(asked): Query<InFormat<AboutQuery>>,
    SqlBody(question): SqlBody,
) -> Result<Answer<SqlAnswer<'static>>, Refusal> {
    let answered = scoped.ask_sql(question, asked.query.resolved()?).await?;
    match asked.format {
        Format::Csv => Ok(Answer::of_csv(csv::file("answer", answered.csv()))),
        Format::Json => Ok(Answer::of(&answered.json())),
    }
}

fn question(headers: &HeaderMap, body: &Bytes) -> Result<String, Refusal> {
    let bad = |error: &str| {
        let hint =
            "send the question as text, or as {\"sql\": \"SELECT …\"} with content-type: application/json";
        Refusal::new(StatusCode::BAD_REQUEST, error, hint)
    };
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/json") {
        return String::from_utf8(body.to_vec()).map_err(|_| bad("the question is not UTF-8"));
    }
    let object: serde_json::Value = serde_json::from_slice(body).map_err(|_| bad("the body is not JSON"))?;
    object["sql"].as_str().map(str::to_owned).ok_or_else(|| bad("the JSON has no text `sql`"))
}

fn json_file(answered: &Answered) -> Response {
    let headers = [(header::CONTENT_DISPOSITION, "attachment; filename=\"answer.json\"")];
    (headers, Answer::of(&answered.json())).into_response()
}
