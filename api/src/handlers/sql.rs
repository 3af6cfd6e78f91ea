//! Anybody's question over the history: the page, and `POST /api/v1/sql`.
//!
//! A question costs something, so it is posted: a link (`/sql?sql=…`) brings the text, and asking takes a click.

use askama::Template;
use axum::{
    body::Bytes,
    extract::RawQuery,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{
    json,
    page::{self, Layout},
};
use crate::{
    console::{Answered, EXAMPLES, Example, Question, limits},
    csv,
    display::{cut, time, time_exact, visible},
    extract::{Form, field},
    refusal::Refusal,
    sight::Sight,
    view::query::BadParameter,
};

/// Rows on a page: more than anybody reads there; the files have all of them.
const PAGE_ROWS: usize = 500;
/// Characters of a value on a page; the files have all of it.
const PAGE_CHARACTERS: usize = 300;

/// The page.
#[derive(Template)]
#[template(path = "sql.html")]
struct SqlPage {
    layout: Layout,
    sql: String,
    examples: &'static [Example],
    limits: String,
    /// The questions that are answered or wait, as far as they may be seen.
    questions: Vec<Question>,
    outcome: Outcome,
}

/// What came of a question.
enum Outcome {
    NotAsked,
    Refused(Refusal),
    Answered(Answered),
}

impl SqlPage {
    fn new(layout: Layout, sight: &Sight, sql: String, outcome: Outcome) -> Self {
        let questions = sight.sql_questions();
        Self { layout, sql, examples: &EXAMPLES, limits: limits(), questions, outcome }
    }

    /// A link that brings this text.
    fn link(&self) -> String {
        format!(
            "/sql?{}",
            form_urlencoded::Serializer::new(String::new()).append_pair("sql", &self.sql).finish()
        )
    }

    /// When a question was asked.
    fn asked_at(question: &Question) -> String {
        time(question.asked_at_us)
    }

    /// What is shown of a question.
    fn text(question: &Question) -> String {
        visible(&cut(&question.sql, PAGE_CHARACTERS)).into_owned()
    }

    /// What is shown of a value, and whether there is one.
    fn shown(value: &Option<String>) -> (String, bool) {
        match value {
            Some(text) => (visible(&cut(text, PAGE_CHARACTERS)).into_owned(), true),
            None => ("NULL".to_owned(), false),
        }
    }
}

/// The page with the text of `?sql=`, not asked yet.
pub async fn page(layout: Layout, sight: Sight, RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    let sql = field(query.unwrap_or_default().as_bytes(), "sql");
    page::render(&SqlPage::new(layout, &sight, sql, Outcome::NotAsked))
}

/// The page with the answer, or the answer as a file (`format=csv` or `json`).
pub async fn ask(layout: Layout, sight: Sight, form: Form) -> Result<Response, Refusal> {
    let sql = form.field("sql");
    let asked = sight.ask_sql(sql.clone()).await;
    match (asked, form.field("format").as_str()) {
        (Ok(answered), "csv") => Ok(csv::file("answer", answered.csv())),
        (Ok(answered), "json") => Ok(json_file(&answered)),
        (Ok(answered), _) => page::render(&SqlPage::new(layout, &sight, sql, Outcome::Answered(answered))),
        (Err(refusal), _) => {
            let status = refusal.status;
            let page = page::render(&SqlPage::new(layout, &sight, sql, Outcome::Refused(refusal)))?;
            Ok((status, page).into_response())
        }
    }
}

/// Cancels the question that the field `question` names, else all of one's own; the page keeps its text.
pub async fn cancel(layout: Layout, sight: Sight, form: Form) -> Result<Response, Refusal> {
    sight.cancel_sql(number(&form.field("question"))?);
    page::render(&SqlPage::new(layout, &sight, form.field("sql"), Outcome::NotAsked))
}

/// The number of a question; `None` where none is given, which is no wrong number.
fn number(given: &str) -> Result<Option<u64>, BadParameter> {
    let wrong =
        |_| BadParameter::new("question", given, "the number of a question, as `GET /api/v1/sql` lists them");
    if given.is_empty() { Ok(None) } else { given.parse().map(Some).map_err(wrong) }
}

/// `GET /api/v1/sql`: the questions that are answered or wait, one's own or, for who administers everything, all.
pub async fn list(sight: Sight) -> Response {
    let one = |question: &Question| {
        json!({
            "question": question.number,
            "who": question.who,
            "sql": question.sql,
            "asked_at": time_exact(question.asked_at_us),
            "is_answered_now": question.is_answered_now,
        })
    };
    let questions: Vec<_> = sight.sql_questions().iter().map(one).collect();
    json::answer(StatusCode::OK, &json!({"questions": questions}))
}

/// `POST /api/v1/sql/cancel`: cancels the question that the parameter `question` names, else all of one's own; answers
/// with what is still under way.
pub async fn cancel_by_program(sight: Sight, RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    sight.cancel_sql(number(&field(query.unwrap_or_default().as_bytes(), "question"))?);
    Ok(list(sight).await)
}

/// `POST /api/v1/sql`: the question is the body, or the field `sql` of a JSON object; `?format=csv` answers in CSV.
pub async fn answer(
    sight: Sight,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let answered = sight.ask_sql(question(&headers, &body)?).await?;
    match csv::is_asked_for(&query.unwrap_or_default()) {
        true => Ok(csv::file("answer", answered.csv())),
        false => Ok(json::answer(StatusCode::OK, &answered.json())),
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
    (headers, json::answer(StatusCode::OK, &answered.json())).into_response()
}
