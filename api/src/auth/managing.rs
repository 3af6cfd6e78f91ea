//! Changes to users, sessions and tokens; each is in the audit.

use std::{sync::Arc, time::Duration};

use fleetps_nats::now_us;

use super::{
    Accounts, By, Grant, Person, Secret,
    error::AuthError,
    sessions::Session,
    tokens::{self, ApiToken, TokenScope},
    users::{User, UserName},
};
use crate::display::is_treacherous;

impl Accounts {
    /// The user of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn user(&self, name: &UserName) -> Result<Arc<User>, AuthError> {
        self.users.get(name.as_str()).ok_or_else(|| AuthError::NoSuchUser(name.as_str().to_owned()))
    }

    /// Whether there is an administrator of every host.
    pub fn has_administrator(&self) -> bool {
        self.users.all().iter().any(|(_, user)| user.is_administrator())
    }

    /// Adds a user; returns the secret of the link by which the user chooses a password.
    ///
    /// # Errors
    /// When there is one of this name, or the broker does not answer.
    pub async fn add_user(&self, by: &By, name: &UserName, grants: Vec<Grant>) -> Result<Secret, AuthError> {
        let words: Vec<_> = grants.iter().map(ToString::to_string).collect();
        let what = format!("{}: {}", name.as_str(), words.join(" "));
        self.recorded(by, "user.add", what, self.new_user(name, grants)).await?;
        self.users_link(by, name).await
    }

    pub(super) async fn new_user(&self, name: &UserName, grants: Vec<Grant>) -> Result<(), AuthError> {
        let looks_like_it = |other: &String| {
            other != name.as_str() && other.parse().is_ok_and(|other: UserName| other.looks() == name.looks())
        };
        if let Some((other, _)) = self.users.all().into_iter().find(|(other, _)| looks_like_it(other)) {
            return Err(AuthError::LooksLike { name: name.as_str().to_owned(), other });
        }
        match self.users.add(name.as_str(), &User::new(grants, now_us())).await? {
            true => Ok(()),
            false => Err(AuthError::UserExists(name.as_str().to_owned())),
        }
    }

    /// Disables a user and ends the user's sessions, or enables the user again.
    ///
    /// # Errors
    /// When there is no such user, when no administrator would be left, or when the broker does not answer.
    pub async fn set_disabled(&self, by: &By, name: &UserName, is_disabled: bool) -> Result<(), AuthError> {
        let now_us = now_us();
        let set = |user: &mut User| {
            user.is_disabled = is_disabled;
            user.sessions_since_us = now_us;
        };
        let action = if is_disabled { "user.disable" } else { "user.enable" };
        self.recorded(by, action, name.as_str(), self.change_access(name, set)).await
    }

    /// Grants something, or takes a grant back.
    ///
    /// # Errors
    /// As [`Accounts::set_disabled`].
    pub async fn set_grant(
        &self,
        by: &By,
        name: &UserName,
        grant: &Grant,
        is_granted: bool,
    ) -> Result<(), AuthError> {
        let set = |user: &mut User| {
            user.grants.retain(|other| other != grant);
            if is_granted {
                user.grants.push(grant.clone());
            }
        };
        let action = if is_granted { "user.grant" } else { "user.take-back" };
        let what = format!("{}: {grant}", name.as_str());
        self.recorded(by, action, what, self.change_access(name, set)).await
    }

    /// Changes a user, unless there would be no administrator any more. Two who take that from each other at once are not
    /// noticed; the next start says so, and makes another only with `--recover`.
    async fn change_access(&self, name: &UserName, set: impl Fn(&mut User)) -> Result<(), AuthError> {
        let mut user = (*self.user(name)?).clone();
        let was = user.is_administrator();
        set(&mut user);
        let all = self.users.all();
        let mut others = all.iter().filter(|(other, _)| other != name.as_str());
        if was && !user.is_administrator() && !others.any(|(_, other)| other.is_administrator()) {
            return Err(AuthError::LastAdministrator(name.as_str().to_owned()));
        }
        self.change_user(name, set).await
    }

    pub(super) async fn change_user(
        &self,
        name: &UserName,
        change: impl Fn(&mut User),
    ) -> Result<(), AuthError> {
        let change = |user: &mut User| {
            change(user);
            true
        };
        match self.users.change(name.as_str(), change).await? {
            true => Ok(()),
            false => Err(AuthError::NoSuchUser(name.as_str().to_owned())),
        }
    }

    /// The sessions of a user that hold, by their keys.
    pub fn sessions_of(&self, name: &str) -> Vec<(String, Arc<Session>)> {
        let Some(user) = self.users.get(name) else { return Vec::new() };
        let now_us = now_us();
        let mut all = self.sessions.all();
        all.retain(|(_, session)| session.user == name && session.is_of(&user));
        all.iter_mut().for_each(|(key, session)| *session = Arc::new(self.as_used(key, session)));
        all.retain(|(_, session)| session.is_within_limits(&self.settings, now_us));
        all
    }

    /// Ends one of a person's own sessions; nothing happens when it is another's.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn end_session(&self, person: &Person, key: &str) -> Result<(), AuthError> {
        match self.sessions.get(key).filter(|session| session.user == person.name) {
            Some(session) => {
                let what = format!("the session from {}", session.from);
                let removing = self.sessions.remove(key);
                self.recorded(&person.into(), "sign-out", what, removing).await
            }
            None => Ok(()),
        }
    }

    /// The tokens of a user, by their keys.
    pub fn tokens_of(&self, name: &str) -> Vec<(String, Arc<ApiToken>)> {
        let mut all = self.tokens.all();
        all.retain(|(_, token)| token.user == name);
        for (key, token) in &mut all {
            let used_at_us = self.uses.last_us(key).max(token.used_at_us);
            *token = Arc::new(ApiToken { used_at_us, ..(**token).clone() });
        }
        all
    }

    /// Makes a token for `person`; returns it as text, which cannot be read again.
    ///
    /// # Errors
    /// When it could do nothing, has no name, or there are too many; or when the broker does not answer.
    pub async fn make_token(
        &self,
        person: &Person,
        name: &str,
        scope: impl Into<TokenScope>,
        holds: Duration,
    ) -> Result<String, AuthError> {
        let scope = scope.into();
        let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
        let name = name.as_str();
        let what = format!("{name}: {scope}");
        self.recorded(&person.into(), "token.make", what, self.new_token(person, name, scope, holds)).await
    }

    async fn new_token(
        &self,
        person: &Person,
        name: &str,
        TokenScope { grant: scope, may_command }: TokenScope,
        holds: Duration,
    ) -> Result<String, AuthError> {
        if name.is_empty() || name.chars().count() > tokens::MAX_NAME {
            return Err(AuthError::Token("a token needs a name of at most 60 characters"));
        }
        if !name.starts_with(char::is_alphanumeric) || name.chars().any(is_treacherous) {
            return Err(AuthError::Token(
                "the name of a token begins with a letter or digit, and has no invisible characters",
            ));
        }
        let is_name = |token: &ApiToken| token.name.to_lowercase() == name.to_lowercase();
        if self.tokens_of(&person.name).iter().any(|(_, token)| is_name(token) && !token.has_ended(now_us()))
        {
            return Err(AuthError::Token("you have a token of this name already"));
        }
        let is_own = |group| {
            person.grants.iter().any(|own| own.groups.as_ref().is_none_or(|groups| groups.contains(group)))
        };
        if !scope.groups.iter().flatten().all(is_own) {
            return Err(AuthError::Token("a token cannot reach groups that its owner does not"));
        }
        if self.tokens_of(&person.name).len() >= tokens::MAX_PER_USER {
            return Err(AuthError::Token("you have 50 tokens already, which is the most"));
        }
        let (secret, now_us) = (Secret::new()?, now_us());
        let holds_us = i64::try_from(holds.as_micros()).unwrap_or(i64::MAX);
        let token = ApiToken {
            name: name.to_owned(),
            user: person.name.clone(),
            scope,
            may_command,
            made_at_us: now_us,
            expires_at_us: now_us.saturating_add(holds_us),
            used_at_us: None,
        };
        self.tokens.add(&secret.key(), &token).await?;
        Ok(tokens::text(&secret))
    }

    /// Revokes one of a person's own tokens; nothing happens when it is another's.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn revoke_token(&self, person: &Person, key: &str) -> Result<(), AuthError> {
        match self.tokens.get(key).filter(|token| token.user == person.name) {
            Some(token) => {
                let removing = self.tokens.remove(key);
                self.recorded(&person.into(), "token.revoke", token.name.clone(), removing).await
            }
            None => Ok(()),
        }
    }
}
