//! Signing in and out, by a password or by a one-time link.

use fleetps_nats::now_us;

use super::{
    Accounts, By, ClientInfo, Grant, Person, Secret,
    browsers::{self, Browser},
    error::AuthError,
    links::{FIRST_FOR, Link, USERS_FOR},
    password,
    sessions::{self, Session},
    users::{SignsIn, User, UserName},
};

/// The browser of a sign-in, and how its request came.
#[derive(Debug, Clone)]
pub struct Visit {
    /// How the request came.
    pub came: ClientInfo,
    /// The header `User-Agent`.
    pub browser: String,
    /// The cookie of a known browser, if it sent one.
    pub known_as: Option<Secret>,
}

/// The secrets that a browser gets after a sign-in.
#[derive(Debug)]
pub struct SignIn {
    /// The secret of the session.
    pub session: Secret,
    /// The secret by which the browser is known from now on.
    pub browser: Secret,
}

impl Accounts {
    /// Begins a session after a check of the password. Unknown names take the same path as known ones, and every
    /// refusal of a password is the same.
    ///
    /// # Errors
    /// When the name or the password is not right, or there were too many tries, or the broker does not answer.
    pub async fn sign_in(&self, name: &str, password: String, visit: &Visit) -> Result<SignIn, AuthError> {
        let by = By::claimed(name, visit.came);
        let signing_in = async {
            let name = self.check(name, password, visit).await?;
            self.begin(&name, visit).await
        };
        self.recorded(&by, "sign-in", &visit.browser, signing_in).await
    }

    /// The password once more, before something dangerous.
    ///
    /// # Errors
    /// As [`Accounts::sign_in`].
    pub async fn confirm(&self, person: &Person, password: String, visit: &Visit) -> Result<(), AuthError> {
        let confirming = async {
            self.check_own(&person.name, password, visit).await?;
            let now_us = now_us();
            let note = |session: &mut Session| {
                session.confirmed_at_us = now_us;
                true
            };
            self.sessions.change(person.session.as_deref().unwrap_or_default(), note).await?;
            Ok(())
        };
        self.recorded(&person.into(), "sign-in.confirm", "", confirming).await
    }

    /// Whether the password of a session was given a short while ago.
    pub fn is_confirmed(&self, session: &str) -> bool {
        self.sessions.get(session).is_some_and(|session| session.is_confirmed(now_us()))
    }

    /// The same for commands to hosts, before which it is asked for more often.
    pub fn is_confirmed_for_commands(&self, session: &str) -> bool {
        self.sessions.get(session).is_some_and(|session| session.is_confirmed_for_commands(now_us()))
    }

    /// Checks the password of somebody who is signed in, as [`Self::check`].
    async fn check_own(&self, name: &str, password: String, visit: &Visit) -> Result<UserName, AuthError> {
        let checked = self.check(name, password, visit).await;
        checked.map_err(|error| match error {
            AuthError::NotRight => AuthError::WrongPassword,
            other => other,
        })
    }

    /// Checks the password of the user `name`, who must be enabled; returns the stored name.
    async fn check(&self, name: &str, password: String, visit: &Visit) -> Result<UserName, AuthError> {
        let typed = name.trim().to_lowercase();
        let browser = self.known_browser(&typed, visit);
        let checked = self.tries.check(&typed, browser.as_deref(), visit.came.from);
        checked.map_err(AuthError::TooManyTries)?;
        let name: Option<UserName> = typed.parse().ok();
        let user = name.as_ref().and_then(|name| self.users.get(name.as_str()));
        let hash = user.as_ref().and_then(|user| user.password_hash());
        let is_right = self.passwords.verify(password, hash, visit.came.from).await?;
        let may = user.is_some_and(|user| !user.is_disabled);
        name.filter(|_| is_right && may).ok_or(AuthError::NotRight)
    }

    /// Begins a session; the one that was used the longest ago ends when there are too many.
    async fn begin(&self, name: &UserName, visit: &Visit) -> Result<SignIn, AuthError> {
        let secret = Secret::new()?;
        let session = Session::new(name.as_str(), visit.came.from.to_string(), &visit.browser, now_us());
        let since_us = self.users.get(name.as_str()).map_or(i64::MIN, |user| user.sessions_since_us);
        let session = session.not_before(since_us);
        let mut own = self.sessions_of(name.as_str());
        own.sort_by_key(|(_, session)| std::cmp::Reverse(session.used_at_us));
        for (key, _) in own.iter().skip(sessions::MAX_PER_USER - 1) {
            self.sessions.remove(key).await?;
        }
        self.sessions.add(&secret.key(), &session).await?;
        Ok(SignIn { session: secret, browser: self.know_browser(name, visit).await? })
    }

    /// Makes the link for the first administrator; none where there is an administrator.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn first_link(&self) -> Result<Option<Secret>, AuthError> {
        match self.has_administrator() {
            true => Ok(None),
            false => self.link(None, FIRST_FOR).await.map(Some),
        }
    }

    /// Makes such a link although there was an administrator before; `sign` says what knows of one. It is in the audit.
    ///
    /// # Errors
    /// When it cannot be audited, or the broker does not answer.
    pub async fn recovery_link(&self, sign: &str) -> Result<Secret, AuthError> {
        let what = format!("a link for a new administrator, though {sign}");
        self.recorded(&By::command(), "sign-in.recover", what, self.link(None, FIRST_FOR)).await
    }

    /// Makes a link by which a user chooses a password.
    ///
    /// # Errors
    /// When there is no such user, or the broker does not answer.
    pub async fn users_link(&self, by: &By, name: &UserName) -> Result<Secret, AuthError> {
        let making = async {
            self.user(name)?;
            self.link(Some(name), USERS_FOR).await
        };
        self.recorded(by, "user.link", name.as_str(), making).await
    }

    async fn link(&self, user: Option<&UserName>, holds: std::time::Duration) -> Result<Secret, AuthError> {
        let secret = Secret::new()?;
        let holds_us = i64::try_from(holds.as_micros()).unwrap_or(i64::MAX);
        let user = user.map(|name| name.as_str().to_owned());
        let link = Link { user, expires_at_us: now_us().saturating_add(holds_us), is_used: false };
        self.links.add(&secret.key(), &link).await?;
        Ok(secret)
    }

    /// The link of this secret, if it works.
    ///
    /// # Errors
    /// When it does not.
    pub fn working_link(&self, secret: &Secret) -> Result<Link, AuthError> {
        let link = self.links.get(&secret.key()).filter(|link| link.works(now_us()));
        let link = link.ok_or(AuthError::Link)?;
        let holds = match &link.user {
            Some(name) => self.users.get(name).is_some_and(|user| !user.is_disabled),
            // One that was left over must not make a second first administrator.
            None => !self.has_administrator(),
        };
        if holds { Ok((*link).clone()) } else { Err(AuthError::Link) }
    }

    /// Uses a link: its owner chooses a password, and for the first link a name, and is signed in.
    ///
    /// # Errors
    /// When it does not work, or name or password cannot be taken, or the broker does not answer. Only a link that
    /// worked is used up.
    pub async fn follow_link(
        &self,
        secret: &Secret,
        name: &str,
        password: String,
        visit: &Visit,
    ) -> Result<SignIn, AuthError> {
        let link = self.working_link(secret)?;
        let name: UserName = link.user.as_deref().unwrap_or(name).parse()?;
        let by = By::claimed(name.as_str(), visit.came);
        let following = async {
            let hash = self.hash_of_new(password, &name, visit).await?;
            if link.user.is_none() && self.users.get(name.as_str()).is_some() {
                return Err(AuthError::UserExists(name.as_str().to_owned()));
            }
            let use_up = |link: &mut Link| !std::mem::replace(&mut link.is_used, true);
            if !self.links.change(&secret.key(), use_up).await? {
                return Err(AuthError::Link);
            }
            if link.user.is_none() {
                self.new_user(&name, vec![Grant::EVERYTHING]).await?;
            }
            self.set_password(&name, hash).await?;
            self.begin(&name, visit).await
        };
        let action = if link.user.is_none() { "sign-in.first" } else { "sign-in.link" };
        self.recorded(&by, action, &visit.browser, following).await
    }

    /// Chooses a new password; every session of that user ends, and a new one begins.
    ///
    /// # Errors
    /// When the old password is not right or the new one cannot be taken, or the broker does not answer.
    pub async fn change_password(
        &self,
        person: &Person,
        old: String,
        new: String,
        visit: &Visit,
    ) -> Result<SignIn, AuthError> {
        let changing = async {
            let name = self.check_own(&person.name, old, visit).await?;
            let hash = self.hash_of_new(new, &name, visit).await?;
            self.set_password(&name, hash).await?;
            self.begin(&name, visit).await
        };
        self.recorded(&person.into(), "password.change", "", changing).await
    }

    async fn hash_of_new(
        &self,
        password: String,
        name: &UserName,
        visit: &Visit,
    ) -> Result<String, AuthError> {
        match password::problem(&password, name.as_str()) {
            Some(problem) => Err(AuthError::Password(problem)),
            None => Ok(self.passwords.hash(password, visit.came.from).await?),
        }
    }

    async fn set_password(&self, name: &UserName, hash: String) -> Result<(), AuthError> {
        let now_us = now_us();
        let set = |user: &mut User| {
            user.signs_in = SignsIn::Password(hash.clone());
            user.sessions_since_us = now_us;
        };
        self.change_user(name, set).await?;
        self.forget_browsers(name).await?;
        // An older link must not change the password again; and from now on no link makes a first administrator.
        let has_administrator = self.has_administrator();
        for (key, link) in self.links.all() {
            if link.user.as_deref().map_or(has_administrator, |user| user == name.as_str()) {
                self.links.remove(&key).await?;
            }
        }
        Ok(())
    }
}

impl Accounts {
    /// The key of the browser of a visit, where the user of this name has signed in with it.
    fn known_browser(&self, name: &str, visit: &Visit) -> Option<String> {
        let key = visit.known_as.as_ref()?.key();
        let browser = self.browsers.get(&key)?;
        (browser.user == name && browser.is_known(now_us())).then_some(key)
    }

    /// Knows the browser of a visit from now on; returns the secret for its cookie.
    async fn know_browser(&self, name: &UserName, visit: &Visit) -> Result<Secret, AuthError> {
        let now_us = now_us();
        if let (Some(key), Some(secret)) = (self.known_browser(name.as_str(), visit), &visit.known_as) {
            let note = |browser: &mut Browser| {
                browser.used_at_us = now_us;
                true
            };
            self.browsers.change(&key, note).await?;
            return Ok(secret.clone());
        }
        let mut own = self.browsers.all();
        own.retain(|(_, browser)| browser.user == name.as_str());
        own.sort_by_key(|(_, browser)| std::cmp::Reverse(browser.used_at_us));
        for (key, _) in own.iter().skip(browsers::MAX_PER_USER - 1) {
            self.browsers.remove(key).await?;
        }
        let secret = Secret::new()?;
        let browser = Browser { user: name.as_str().to_owned(), used_at_us: now_us };
        self.browsers.add(&secret.key(), &browser).await?;
        Ok(secret)
    }

    /// Knows no browser of a user any more.
    async fn forget_browsers(&self, name: &UserName) -> Result<(), AuthError> {
        for (key, browser) in self.browsers.all() {
            if browser.user == name.as_str() {
                self.browsers.remove(&key).await?;
            }
        }
        Ok(())
    }
}
