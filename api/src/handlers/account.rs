//! One's own account: the password, sessions, API tokens.

use std::{sync::Arc, time::Duration};

use askama::Template;
use axum::{
    extract::State,
    response::{IntoResponse, Redirect, Response},
};

use super::{
    confirmed::ConfirmedForm,
    page::{self, Layout},
    session::signed_in,
};
use crate::{
    auth::{
        Accounts, AuthError, Grant, NotAGrant, Person, Role, Session, Visit, groups,
        tokens::{ApiToken, TokenScope},
    },
    extract::{Form, SignedIn, accounts},
    live::now_us,
    refusal::Refusal,
    state::AppState,
    url::Url,
};

/// How long a token can hold, in days; the second is what the form begins with.
const DAYS: [u64; 4] = [7, 30, 90, 365];

/// The page.
#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    layout: Layout,
    person: Person,
    /// The key of the session that looks at it.
    session: String,
    sessions: Vec<(String, Arc<Session>)>,
    tokens: Vec<(String, Arc<ApiToken>)>,
    /// The roles that a token of this person can have.
    roles: Vec<Role>,
    /// The token that was just made.
    new_token: Option<String>,
    /// The form of a token as it was filled in, where it was refused.
    given: Form,
    problem: Option<Refusal>,
    now_us: i64,
}

impl AccountPage {
    fn of(layout: Layout, signed_in: SignedIn, accounts: &Accounts) -> Self {
        let SignedIn { person, session } = signed_in;
        let most = person.grants.iter().map(|grant| grant.role).max();
        Self {
            layout,
            session,
            sessions: accounts.sessions_of(&person.name),
            tokens: accounts.tokens_of(&person.name),
            roles: Role::ALL.into_iter().filter(|role| Some(*role) <= most).collect(),
            new_token: None,
            given: Form::default(),
            problem: None,
            now_us: now_us(),
            person,
        }
    }

    /// Whether a token of this person could command hosts.
    fn offers_commands(&self) -> bool {
        self.roles.contains(&Role::Operator)
    }

    fn after(mut self, error: AuthError) -> Result<Response, Refusal> {
        let refusal = Refusal::from(error);
        let status = refusal.status;
        self.problem = Some(refusal);
        Ok((status, page::render(&self)?).into_response())
    }
}

/// The page.
pub(crate) async fn page(
    layout: Layout,
    signed_in: SignedIn,
    State(shared): State<AppState>,
) -> Result<Response, Refusal> {
    page::render(&AccountPage::of(layout, signed_in, accounts(&shared)?))
}

/// Chooses another password, which ends every other session.
pub(crate) async fn change_password(
    layout: Layout,
    who: SignedIn,
    State(shared): State<AppState>,
    visit: Visit,
    form: Form,
) -> Result<Response, Refusal> {
    let accounts = accounts(&shared)?;
    let (old, new) = (form.field("old"), form.field("password"));
    let changed = match new == form.field("repeated") {
        true => accounts.change_password(&who.person, old, new, &visit).await,
        false => Err(AuthError::NotRepeated),
    };
    match changed {
        Ok(sign_in) => Ok(signed_in(&sign_in, visit.came, &Url::account().to_string())),
        Err(error) => AccountPage::of(layout, who, accounts).after(error),
    }
}

/// Ends one of one's own sessions.
pub(crate) async fn end_session(
    SignedIn { person, .. }: SignedIn,
    State(shared): State<AppState>,
    form: Form,
) -> Result<Response, Refusal> {
    accounts(&shared)?.end_session(&person, &form.field("session")).await?;
    Ok(Redirect::to(&Url::account().to_string()).into_response())
}

/// Makes a token, and shows it once.
pub(crate) async fn make_token(
    layout: Layout,
    State(shared): State<AppState>,
    ConfirmedForm { who, form }: ConfirmedForm,
) -> Result<Response, Refusal> {
    let accounts = accounts(&shared)?;
    let days = form.field("days").parse().ok().filter(|days| DAYS.contains(days)).unwrap_or(DAYS[0]);
    let holds = Duration::from_secs(days * 24 * 3600);
    let made = match grant_of(&form) {
        Ok(grant) => {
            accounts.make_token(&who.person, &form.field("name"), scope_of(grant, &form), holds).await
        }
        Err(error) => Err(error),
    };
    match made {
        Ok(token) => {
            let page = AccountPage { new_token: Some(token), ..AccountPage::of(layout, who, accounts) };
            page::render(&page)
        }
        Err(error) => AccountPage { given: form, ..AccountPage::of(layout, who, accounts) }.after(error),
    }
}

fn scope_of(grant: Grant, form: &Form) -> TokenScope {
    TokenScope { grant, may_command: form.is_ticked("command") }
}

/// Revokes a token.
pub(crate) async fn revoke_token(
    SignedIn { person, .. }: SignedIn,
    State(shared): State<AppState>,
    form: Form,
) -> Result<Response, Refusal> {
    accounts(&shared)?.revoke_token(&person, &form.field("token")).await?;
    Ok(Redirect::to(&Url::account().to_string()).into_response())
}

/// The grant in the fields `role`, `groups` and `hides` of a form.
pub(crate) fn grant_of(form: &Form) -> Result<Grant, AuthError> {
    Ok(Grant {
        role: form.field("role").parse()?,
        groups: groups(&form.field("groups")).map_err(NotAGrant::from)?,
        hides_command_lines: form.is_ticked("hides"),
    })
}
