//! The password once more, before something dangerous: a page asks for it that keeps what was filled in, and goes on with it.

use askama::Template;
use axum::{
    extract::{FromRef, FromRequest, FromRequestParts, Request},
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::page::{self, Layout};
use crate::{
    auth::Visit,
    extract::{Form, SignedIn, accounts},
    refusal::Refusal,
    state::AppState,
};

/// The field of the password: no other form has one of this name.
const PASSWORD: &str = "confirm-password";

/// A form of a person who gave the password recently, as dangerous actions require.
#[derive(Debug)]
pub(crate) struct ConfirmedForm {
    /// The person.
    pub who: SignedIn,
    /// The form.
    pub form: Form,
}

/// The same where people sign in; where nobody does, the form as it is.
#[derive(Debug)]
pub(crate) struct ConfirmedWhereSignedIn(pub Form);

impl<S: Send + Sync> FromRequest<S> for ConfirmedWhereSignedIn
where
    AppState: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        if AppState::from_ref(state).people.accounts().is_none() {
            return Form::from_request(request, state).await.map(Self).map_err(IntoResponse::into_response);
        }
        ConfirmedForm::from_request(request, state).await.map(|confirmed| Self(confirmed.form))
    }
}

/// The page that asks for the password, between a form and what it does.
#[derive(Template)]
#[template(path = "confirm.html")]
struct ConfirmPage {
    layout: Layout,
    /// The address that the form is sent to.
    action: String,
    /// The fields of the form.
    carried: Vec<(String, String)>,
    problem: Option<Refusal>,
}

impl<S: Send + Sync> FromRequest<S> for ConfirmedForm
where
    AppState: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let who =
            SignedIn::from_request_parts(&mut parts, state).await.map_err(IntoResponse::into_response)?;
        let Ok(visit) = Visit::from_request_parts(&mut parts, state).await;
        let (layout, action) = (Layout::of(&parts.extensions), parts.uri.path().to_owned());
        let form = Form::from_request(Request::from_parts(parts, body), state).await?;
        let shared = AppState::from_ref(state);
        let accounts = accounts(&shared).map_err(IntoResponse::into_response)?;
        if accounts.is_confirmed(&who.session) {
            return Ok(Self { who, form });
        }
        let password = form.field(PASSWORD);
        let problem = match password.is_empty() {
            true => None,
            false => match accounts.confirm(&who.person, password, &visit).await {
                Ok(()) => return Ok(Self { who, form }),
                Err(error) => Some(Refusal::from(error)),
            },
        };
        // Asking is no refusal, and not to be audited as one.
        let status = problem.as_ref().map_or(StatusCode::OK, |problem| problem.status);
        let carried = form.pairs().filter(|(name, _)| name != PASSWORD && name != "form_token").collect();
        let page = page::render(&ConfirmPage { layout, action, carried, problem });
        Err((status, page).into_response())
    }
}
