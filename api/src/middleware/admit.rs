//! The address allow-list, and for people: the rate limit, the CSRF token of each form, the way to the sign-in, and the end of
//! a stream whose access is withdrawn.

use std::time::Duration;

use axum::{
    body::{Body, Bytes, HttpBody as _, to_bytes},
    extract::{Request, State},
    http::{Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use futures_util::StreamExt;
use subtle::ConstantTimeEq;

use super::guard;
use crate::{
    auth::{Accounts, ClientInfo, Credential, FormToken, People, Person, Principal, network},
    connections::Place,
    extract::{field, with_next},
    refusal::Refusal,
    url::{self, Url},
};

/// The longest form: a long question in SQL.
const MAX_FORM_BYTES: usize = 2 << 20;
/// The longest form before the sign-in: a name and two passwords. Many clients could send one at once.
const MAX_STRANGERS_BYTES: usize = 16 << 10;
/// How long the body of a request may take: the longest form at 70 KB a second. However slowly it comes, there is an end.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// The header of what a page asks by itself (`assets/navigate.js`), again and again.
const BY_ITSELF: &str = "x-fleetps-by-itself";
/// Where people sign in.
const SIGN_IN: &str = "/sign-in";
/// The name of the field that every form sends along.
const FIELD: &str = "form_token";

/// Lets a request through, or refuses it.
///
/// # Errors
/// When it came from an address that is not allowed, came without the form token, or is one of too many.
pub(crate) async fn admit(
    State(people): State<People>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let asked = RequestFacts::of(&request);
    if !asked.came.is_some_and(|came| people.addresses().lets_in(came.from)) {
        let hint = "the setting sign_in.allowed_from lists the allowed addresses";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "requests from your address are not allowed", hint));
    }
    // Limits and forms are people's: a host has no browser, and the routes that are open to hosts have limits of their own.
    if asked.is_of_a_host() {
        return Ok(next.run(request).await);
    }
    check_rate(&people, &asked)?;
    take_place(&asked, &request)?;
    let request = match request.method().is_safe() {
        true => request,
        false => match checked_form(&people, &asked, request).await {
            Err(refusal) if refusal.status == StatusCode::FORBIDDEN && asked.must_sign_in(&people) => {
                return Ok(asked.to_sign_in(refusal.into_response()));
            }
            checked => checked?,
        },
    };
    // One that has ended is not used any more: a use would revive it.
    let used = asked.credential.as_ref().filter(|_| asked.is_use && asked.principal.is_some());
    if let Some((accounts, credential)) = people.accounts().zip(used) {
        accounts.note_use(credential);
    }
    let response = next.run(request).await;
    Ok(match response.status() {
        StatusCode::UNAUTHORIZED if asked.principal.is_none() => asked.to_sign_in(response),
        _ if is_stream(&response) => until_other(people, asked, response),
        _ => response,
    })
}

/// Applies the rate limits: of JSON, by person; of everything else, by person and network. Sign-in attempts are counted
/// where the password is checked, and health checks have no limit, because others may come from the same address.
fn check_rate(people: &People, asked: &RequestFacts) -> Result<(), Refusal> {
    // Where sign-in is off, all requests look like one person's.
    if people.accounts().is_none() || asked.has_no_limit {
        return Ok(());
    }
    let who = asked.person().map(|person| person.name.as_str());
    match (asked.is_api, who) {
        (true, Some(name)) => people.check_json(name),
        _ => people.check_pages(who, asked.came.map(|came| network(came.from))),
    }
}

/// The parts of a request that are needed after it has been passed on.
struct RequestFacts {
    came: Option<ClientInfo>,
    principal: Option<Principal>,
    credential: Option<Credential>,
    is_api: bool,
    /// Whether somebody uses the session: an open page alone does not keep it.
    is_use: bool,
    /// Whether it may be asked however often.
    has_no_limit: bool,
    /// The page that a person reads, or is on: of a form the page that has it.
    page: Option<String>,
}

impl RequestFacts {
    fn of(request: &Request) -> Self {
        let path = request.uri().path();
        let is_api = url::is_of_programs(path);
        let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
        let is_stream = accept.is_some_and(|accept| accept.contains("text/event-stream"));
        let is_for_programs = is_api || is_stream || path == "/readyz" || path.starts_with("/metrics");
        // What is sent before the sign-in says itself what is wrong with it.
        let is_before_sign_in = path == SIGN_IN || path.starts_with("/welcome/");
        let page = match *request.method() {
            _ if is_for_programs => None,
            Method::GET => request.uri().path_and_query().map(ToString::to_string),
            Method::POST if !is_before_sign_in => guard::page_before(request.uri(), request.headers()),
            _ => None,
        };
        Self {
            came: request.extensions().get().copied(),
            principal: Principal::of(request.extensions()).cloned(),
            credential: request.extensions().get().cloned(),
            is_api,
            is_use: !is_stream && !request.headers().contains_key(BY_ITSELF),
            has_no_limit: matches!(path, "/healthz" | "/readyz")
                || path == SIGN_IN && request.method() == Method::POST,
            page,
        }
    }

    fn person(&self) -> Option<&Person> {
        self.principal.as_ref().and_then(Principal::person)
    }

    /// Whether nobody is signed in where people are.
    fn must_sign_in(&self, people: &People) -> bool {
        self.principal.is_none() && self.page.is_some() && people.accounts().is_some()
    }

    fn is_of_a_host(&self) -> bool {
        matches!(self.principal, Some(Principal::Host(_)))
    }

    /// The way to the sign-in and back, for people; programs get the refusal. What was typed into a form waits in the browser
    /// meanwhile (`assets/kept.js`): nothing is done before it is sent once more.
    fn to_sign_in(&self, response: Response) -> Response {
        let Some(page) = &self.page else { return response };
        Redirect::to(&with_next(Url::sign_in(), page).to_string()).into_response()
    }
}

/// Counts the connection as the person's; tests have none.
fn take_place(asked: &RequestFacts, request: &Request) -> Result<(), Refusal> {
    let (Some(place), Some(person)) = (request.extensions().get::<Place>(), asked.person()) else {
        return Ok(());
    };
    place.give_to(person).map_err(|most| {
        let error = format!("you have {most} connections to this server, and all of them are in use");
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error, "close some pages, or ask less at once")
    })
}

/// The request with its body read, if it may do more than show something.
async fn checked_form(people: &People, asked: &RequestFacts, request: Request) -> Result<Request, Refusal> {
    let (head, body) = request.into_parts();
    let body = read_body(body, asked.principal.is_some()).await?;
    let wanted = head.extensions.get::<FormToken>();
    check_form(people, asked, wanted, &body)?;
    Ok(Request::from_parts(head, Body::from(body)))
}

/// All of a body, however it comes; no handler reads from a connection.
async fn read_body(body: Body, is_signed_in: bool) -> Result<Bytes, Refusal> {
    let (most, words) = match is_signed_in {
        true => (MAX_FORM_BYTES, "send at most 2 MiB"),
        false => (MAX_STRANGERS_BYTES, "sign in, or send at most 16 KiB"),
    };
    let too_long = || Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "this form is too long", words);
    if body.size_hint().lower() > most as u64 {
        return Err(too_long());
    }
    let read = tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, most)).await.map_err(|_| {
        let error = format!("this request was not sent within {} s", BODY_TIMEOUT.as_secs());
        Refusal::new(StatusCode::REQUEST_TIMEOUT, error, "send it again, faster")
    })?;
    read.map_err(|error| {
        // The type of the limit is not axum's own.
        match error.to_string().contains("length limit") {
            true => too_long(),
            false => Refusal::new(StatusCode::BAD_REQUEST, "the request broke off", "send it again, whole"),
        }
    })
}

/// Lets what changes something through only with the token that pages of this server have, or that a program was given.
fn check_form(
    people: &People,
    asked: &RequestFacts,
    wanted: Option<&FormToken>,
    body: &[u8],
) -> Result<(), Refusal> {
    if asked.principal.is_some() && matches!(asked.credential, Some(Credential::Token(_))) {
        return Ok(());
    }
    if asked.is_api {
        // A browser sends its cookie with requests of other sites too, and a GET has no form.
        return match asked.principal.is_some() && people.accounts().is_some() {
            true => {
                Err(Refusal::new(StatusCode::FORBIDDEN, "a cookie is not enough here", "send an API token"))
            }
            false => Ok(()),
        };
    }
    let given = field(body, FIELD);
    let is_right = wanted.is_some_and(|wanted| {
        !wanted.0.is_empty() && bool::from(given.as_bytes().ct_eq(wanted.0.as_bytes()))
    });
    match is_right {
        true => Ok(()),
        false => Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "since this page was opened you signed out or in again, or the server was restarted, so nothing was done",
            "go back to the form and send it again; if that happens each time, allow cookies",
        )),
    }
}

fn is_stream(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// The same answer, which ends when its person is signed out, disabled, or granted something else.
fn until_other(people: People, asked: RequestFacts, response: Response) -> Response {
    let (Some(principal), Some(credential), Some(came)) = (asked.principal, asked.credential, asked.came)
    else {
        return response;
    };
    let other = async move {
        match people.accounts() {
            Some(accounts) => Accounts::until_other(accounts, &credential, &principal, came).await,
            None => std::future::pending().await,
        }
    };
    response.map(|body| Body::from_stream(body.into_data_stream().take_until(Box::pin(other))))
}
