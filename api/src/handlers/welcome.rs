//! One-time links: the first administrator, and users who choose a password.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};

use super::{
    page::{self, Layout},
    session::signed_in,
};
use crate::{
    auth::{AuthError, Secret, Visit},
    extract::{Form, accounts},
    refusal::Refusal,
    state::AppState,
    url::Url,
};

/// The page behind a link.
#[derive(Template)]
#[template(path = "welcome.html")]
struct WelcomePage {
    layout: Layout,
    page: Url,
    /// The user who chooses a password; `None` for a first administrator.
    user: Option<String>,
    name: String,
    problem: Option<Refusal>,
}

fn secret(text: &str) -> Result<Secret, AuthError> {
    Secret::read(text).ok_or(AuthError::Link)
}

/// The page. Looking at it uses nothing up, because chat programs look at links as well.
pub(crate) async fn page(
    layout: Layout,
    State(shared): State<AppState>,
    Path(text): Path<String>,
) -> Result<Response, Refusal> {
    let link = accounts(&shared)?.working_link(&secret(&text)?)?;
    let page = Url::welcome(&text);
    page::render(&WelcomePage { layout, page, user: link.user, name: String::new(), problem: None })
}

/// Uses the link.
pub(crate) async fn follow(
    layout: Layout,
    State(shared): State<AppState>,
    Path(text): Path<String>,
    visit: Visit,
    form: Form,
) -> Result<Response, Refusal> {
    let accounts = accounts(&shared)?;
    let secret = secret(&text)?;
    let link = accounts.working_link(&secret)?;
    let (name, password) = (form.field("name"), form.field("password"));
    let followed = match password == form.field("repeated") {
        true => accounts.follow_link(&secret, &name, password, &visit).await,
        false => Err(AuthError::NotRepeated),
    };
    match followed {
        Ok(sign_in) => Ok(signed_in(&sign_in, visit.came, "/")),
        Err(error) => {
            let problem = Refusal::from(error);
            let (status, page) = (problem.status, Url::welcome(&text));
            let page = WelcomePage { layout, page, user: link.user, name, problem: Some(problem) };
            Ok((status, page::render(&page)?).into_response())
        }
    }
}
