//! Why a sign-in or a change of users failed, in words for the person who tried it.

use std::time::Duration;

use axum::http::StatusCode;
use fleetps_nats::{audit::AuditError, bucket::BucketError, patience::Passing};

use super::{grant::NotAGrant, password::Unavailable, users::NotAName};
use crate::{broker::Away, refusal::Refusal};

/// It was not done.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The name, the password or both; the answer does not say which.
    #[error("wrong name or password")]
    NotRight,
    /// The password of somebody who is signed in.
    #[error("wrong password")]
    WrongPassword,
    /// Too many tries.
    #[error("too many attempts; wait {} s", .0.as_secs() + 1)]
    TooManyTries(Duration),
    /// The link was used, has ended, or never was one.
    #[error("this link has expired or was already used")]
    Link,
    /// The password is not taken.
    #[error("this password is not accepted: {0}")]
    Password(&'static str),
    /// The two new passwords differ.
    #[error("the two passwords do not match")]
    NotRepeated,
    /// No such user.
    #[error("there is no user {0}")]
    NoSuchUser(String),
    /// The name is taken.
    #[error("there is a user {0} already")]
    UserExists(String),
    /// The name can be mistaken for another's.
    #[error("{name} looks like {other}, who is a user already")]
    LooksLike {
        /// The name.
        name: String,
        /// The existing user's name.
        other: String,
    },
    /// No administrator of every host would be left.
    #[error("{0} is the last administrator of every host")]
    LastAdministrator(String),
    /// A token that could not be used, or too many of them.
    #[error("{0}")]
    Token(&'static str),
    /// A name of a user.
    #[error(transparent)]
    Name(#[from] NotAName),
    /// A grant.
    #[error(transparent)]
    Grant(#[from] NotAGrant),
    /// Passwords cannot be checked now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The action could not be audited.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The broker.
    #[error(transparent)]
    Broker(#[from] BucketError),
    /// The broker is away.
    #[error(transparent)]
    Away(#[from] Away),
    /// The system.
    #[error("the system has no random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

impl Passing for AuthError {
    fn is_passing(&self) -> bool {
        matches!(self, Self::Audit(_) | Self::Broker(_) | Self::Away(_))
    }
}

impl AuthError {
    /// Whether it was not allowed; otherwise it did not work.
    pub(super) fn is_refusal(&self) -> bool {
        !matches!(
            self,
            Self::Unavailable(_) | Self::Audit(_) | Self::Broker(_) | Self::Away(_) | Self::Random(_)
        )
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::NotRight | Self::WrongPassword => StatusCode::UNAUTHORIZED,
            Self::TooManyTries(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Link | Self::NoSuchUser(_) => StatusCode::NOT_FOUND,
            Self::UserExists(_) | Self::LooksLike { .. } | Self::LastAdministrator(_) => StatusCode::CONFLICT,
            Self::Password(_) | Self::NotRepeated | Self::Token(_) | Self::Name(_) | Self::Grant(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::Unavailable(_) | Self::Audit(_) | Self::Broker(_) | Self::Away(_) | Self::Random(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    fn hint(&self) -> &'static str {
        match self {
            Self::NotRight => "an administrator can give you a link to choose a new password",
            Self::WrongPassword => "type the password that you sign in with",
            Self::TooManyTries(_) => "the account is not locked",
            Self::Link => {
                "ask an administrator for another one, from the page Users or `fleetps user password NAME`"
            }
            Self::Password(_) => "use several words, or let your browser generate one",
            Self::NotRepeated => "type the same password twice",
            Self::NoSuchUser(_) => "all users are listed at /users, and by `fleetps user list`",
            Self::UserExists(_) | Self::LooksLike { .. } => "choose another name",
            Self::LastAdministrator(_) => "make another one first",
            Self::Token(_) | Self::Name(_) | Self::Grant(_) => "nothing was changed",
            Self::Unavailable(_) => "try again in a few seconds",
            Self::Away(_) => {
                "pages work without it, but signing in and out and changes do not; try again in a few seconds"
            }
            Self::Audit(_) | Self::Broker(_) | Self::Random(_) => "its log says why; trying again may help",
        }
    }
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        if !error.is_refusal() {
            tracing::error!(
                error = fleetps_nats::error_chain(&error),
                "a change to users, sessions or tokens failed"
            );
        }
        let refusal = Self::new(error.status(), error.to_string(), error.hint());
        match error {
            AuthError::TooManyTries(wait) => refusal.for_now(wait),
            _ => refusal,
        }
    }
}
