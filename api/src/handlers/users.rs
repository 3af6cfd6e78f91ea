//! All users, for administrators.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State},
    http::HeaderMap,
    response::{IntoResponse, Redirect, Response},
};

use super::{
    account::grant_of,
    add_host::Address,
    confirmed::ConfirmedForm,
    page::{self, Layout},
};
use crate::{
    auth::{Accounts, AuthError, By, Secret, User, UserName},
    extract::{Form, SignedIn, accounts},
    refusal::Refusal,
    state::AppState,
    url::Url,
};

/// The list.
#[derive(Template)]
#[template(path = "users.html")]
struct UsersPage {
    layout: Layout,
    users: Vec<(String, Arc<User>)>,
    /// The form as it was filled in, where it was refused.
    given: Form,
    problem: Option<Refusal>,
}

/// One user.
#[derive(Template)]
#[template(path = "user.html")]
struct UserPage {
    layout: Layout,
    name: String,
    user: Arc<User>,
    /// Where the user chooses a password, once.
    link: Option<String>,
    /// The form as it was filled in, where it was refused.
    given: Form,
    problem: Option<Refusal>,
}

impl UserPage {
    fn of(layout: Layout, accounts: &Accounts, name: &UserName) -> Result<Self, Refusal> {
        let (user, name) = (accounts.user(name)?, name.as_str().to_owned());
        Ok(Self { layout, name, user, link: None, given: Form::default(), problem: None })
    }
}

/// The list.
pub(crate) async fn page(
    layout: Layout,
    _: SignedIn,
    State(shared): State<AppState>,
) -> Result<Response, Refusal> {
    let (users, given) = (accounts(&shared)?.users.all(), Form::default());
    page::render(&UsersPage { layout, users, given, problem: None })
}

/// Adds a user, and shows the link by which the user chooses a password.
pub(crate) async fn add(
    layout: Layout,
    State(shared): State<AppState>,
    headers: HeaderMap,
    ConfirmedForm { who, form }: ConfirmedForm,
) -> Result<Response, Refusal> {
    let accounts = accounts(&shared)?;
    match add_user(accounts, &By::from(&who.person), &form).await {
        Ok((name, secret)) => {
            let link = Some(link(&headers, &layout, &secret));
            page::render(&UserPage { link, ..UserPage::of(layout, accounts, &name)? })
        }
        Err(error) => {
            let problem = Refusal::from(error);
            let status = problem.status;
            let (users, given) = (accounts.users.all(), form);
            let page = UsersPage { layout, users, given, problem: Some(problem) };
            Ok((status, page::render(&page)?).into_response())
        }
    }
}

async fn add_user(accounts: &Accounts, by: &By, form: &Form) -> Result<(UserName, Secret), AuthError> {
    let name: UserName = form.field("name").parse()?;
    let secret = accounts.add_user(by, &name, vec![grant_of(form)?]).await?;
    Ok((name, secret))
}

/// One user.
pub(crate) async fn user(
    layout: Layout,
    _: SignedIn,
    State(shared): State<AppState>,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    page::render(&UserPage::of(layout, accounts(&shared)?, &user_name(&name)?)?)
}

/// Changes one user, as the button says that was pressed.
pub(crate) async fn change(
    layout: Layout,
    State(shared): State<AppState>,
    Path(name): Path<String>,
    headers: HeaderMap,
    ConfirmedForm { who, form }: ConfirmedForm,
) -> Result<Response, Refusal> {
    let accounts = accounts(&shared)?;
    let name = user_name(&name)?;
    match make_change(accounts, &By::from(&who.person), &name, &form).await {
        Ok(Some(secret)) => {
            let link = Some(link(&headers, &layout, &secret));
            page::render(&UserPage { link, ..UserPage::of(layout, accounts, &name)? })
        }
        Ok(None) => Ok(Redirect::to(&Url::user(name.as_str()).to_string()).into_response()),
        Err(error) => {
            let problem = Refusal::from(error);
            let status = problem.status;
            let page =
                UserPage { given: form, problem: Some(problem), ..UserPage::of(layout, accounts, &name)? };
            Ok((status, page::render(&page)?).into_response())
        }
    }
}

/// Returns the secret of a new link, where the change makes one.
async fn make_change(
    accounts: &Accounts,
    by: &By,
    name: &UserName,
    form: &Form,
) -> Result<Option<Secret>, AuthError> {
    match form.field("do").as_str() {
        "disable" => accounts.set_disabled(by, name, true).await?,
        "enable" => accounts.set_disabled(by, name, false).await?,
        "grant" => accounts.set_grant(by, name, &grant_of(form)?, true).await?,
        "take" => accounts.set_grant(by, name, &form.field("grant").parse()?, false).await?,
        _ => return accounts.users_link(by, name).await.map(Some),
    }
    Ok(None)
}

fn user_name(text: &str) -> Result<UserName, AuthError> {
    text.parse().map_err(|_| AuthError::NoSuchUser(crate::display::cut(text, 64).into_owned()))
}

/// The whole address, to be sent to the user, with the server's name as the browser calls it.
fn link(headers: &HeaderMap, layout: &Layout, secret: &Secret) -> String {
    let origin = Address::of(headers, layout.over_tls).origin();
    format!("{origin}{}", Url::welcome(&secret.text()))
}
