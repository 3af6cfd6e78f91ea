//! Signing in and out.

use askama::Template;
use axum::{
    extract::State,
    response::{IntoResponse, Redirect, Response},
};

use super::{
    page::{self, Layout},
    session::{signed_in, with_session},
};
use crate::{
    auth::{AuthError, Secret, Visit},
    extract::{Form, NextQuery, Query, SignedIn, accounts, own_page},
    refusal::Refusal,
    state::AppState,
    url::Url,
};

/// The page that asks for name and password.
#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    layout: Layout,
    /// Where to go afterwards.
    next: String,
    name: String,
    problem: Option<Refusal>,
}

impl SignInPage {
    fn asking(layout: Layout, next: &str) -> Self {
        let next = own_page(next).to_owned();
        Self { layout, next, name: String::new(), problem: None }
    }

    fn after(mut self, name: String, error: AuthError) -> Result<Response, Refusal> {
        let refusal = Refusal::from(error);
        let status = refusal.status;
        self.name = name;
        self.problem = Some(refusal);
        Ok((status, page::render(&self)?).into_response())
    }
}

/// The page; a signed-in person goes on at once.
pub(crate) async fn page(
    layout: Layout,
    State(shared): State<AppState>,
    Query(NextQuery { next }): Query<NextQuery>,
) -> Result<Response, Refusal> {
    accounts(&shared)?;
    match layout.person {
        Some(_) => Ok(Redirect::to(own_page(&next)).into_response()),
        None => page::render(&SignInPage::asking(layout, &next)),
    }
}

/// Begins a session. The secret that the browser had before is of no use any more.
pub(crate) async fn sign_in(
    layout: Layout,
    State(shared): State<AppState>,
    visit: Visit,
    form: Form,
) -> Result<Response, Refusal> {
    let accounts = accounts(&shared)?;
    let (name, next) = (form.field("name"), form.field("next"));
    if let Some((before, session)) =
        layout.person.as_ref().and_then(|person| Some((person, person.session.as_ref()?)))
    {
        accounts.end_session(before, session).await?;
    }
    match accounts.sign_in(&name, form.field("password"), &visit).await {
        Ok(sign_in) => Ok(signed_in(&sign_in, visit.came, own_page(&next))),
        Err(error) => SignInPage::asking(layout, &next).after(name, error),
    }
}

/// Ends the session.
pub(crate) async fn sign_out(
    SignedIn { person, session }: SignedIn,
    State(shared): State<AppState>,
    visit: Visit,
) -> Result<Response, Refusal> {
    accounts(&shared)?.end_session(&person, &session).await?;
    // Another secret, of no session.
    let secret = Secret::new().map_err(AuthError::from)?;
    Ok(with_session(&secret, visit.came, &Url::sign_in().to_string()))
}
