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

use super::{
    csv,
    form::{Form, field},
    json,
    page::{self, Layout},
};
use crate::{
    console::{Answered, EXAMPLES, Example, limits},
    display::{cut, visible},
    refusal::Refusal,
    rules::Sight,
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
    outcome: Outcome,
}

/// What came of a question.
enum Outcome {
    NotAsked,
    Refused(Refusal),
    Answered(Answered),
}

impl SqlPage {
    fn new(layout: Layout, sql: String, outcome: Outcome) -> Self {
        Self { layout, sql, examples: &EXAMPLES, limits: limits(), outcome }
    }

    /// A link that brings this text.
    fn link(&self) -> String {
        format!(
            "/sql?{}",
            form_urlencoded::Serializer::new(String::new()).append_pair("sql", &self.sql).finish()
        )
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
pub async fn page(layout: Layout, RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    page::render(&SqlPage::new(layout, field(query.unwrap_or_default().as_bytes(), "sql"), Outcome::NotAsked))
}

/// The page with the answer, or the answer as a file (`format=csv` or `json`).
pub async fn ask(layout: Layout, sight: Sight, form: Form) -> Result<Response, Refusal> {
    let sql = form.field("sql");
    let asked = sight.ask_sql(sql.clone()).await;
    match (asked, form.field("format").as_str()) {
        (Ok(answered), "csv") => Ok(csv::file("answer", answered.csv())),
        (Ok(answered), "json") => Ok(json_file(&answered)),
        (Ok(answered), _) => page::render(&SqlPage::new(layout, sql, Outcome::Answered(answered))),
        (Err(refusal), _) => {
            let status = refusal.status;
            let page = page::render(&SqlPage::new(layout, sql, Outcome::Refused(refusal)))?;
            Ok((status, page).into_response())
        }
    }
}

/// Cancels the question that is being answered; the page keeps its text.
pub async fn cancel(layout: Layout, sight: Sight, form: Form) -> Result<Response, Refusal> {
    sight.cancel_sql();
    page::render(&SqlPage::new(layout, form.field("sql"), Outcome::NotAsked))
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
