//! Users, sessions, tokens and links; and which principal a request's credentials belong to.

use std::time::Duration;

use async_nats::Client;
use fleetps_nats::{audit::Audit, bucket::BucketError, now_us};

use super::{
    ClientInfo, Grant, Person, Principal, Secret, SignInSettings,
    browsers::{self, Browser},
    error::AuthError,
    links::{self, Link},
    password::Passwords,
    replicated::ReplicatedBucket,
    sessions::{self, Session},
    throttle::Tries,
    tokens::{self, ApiToken},
    users::{self, User},
    uses::{Uses, Writing},
};
use crate::metrics::Bounded;

/// How often an open page checks whether its session has expired; a session that is ended closes its pages at once.
const LOOK_EVERY: Duration = Duration::from_secs(20);
/// How often expired records are removed.
const TIDY_EVERY: Duration = Duration::from_secs(600);
/// How long a token is still listed after its end.
const LISTED_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// The credentials of a request.
#[derive(Debug, Clone)]
pub enum Credential {
    /// A browser's cookie.
    Session(Secret),
    /// An API token.
    Token(Secret),
}

/// Whose credentials they are.
struct Known {
    name: String,
    grants: Vec<Grant>,
    /// The key of the session where it is one.
    session: Option<String>,
    may_command: bool,
}

/// Everything that is known of people. The rest of it: `signing_in` and `managing`.
#[derive(Debug)]
pub struct Accounts {
    /// Users, by name.
    pub users: ReplicatedBucket<User>,
    /// Sessions, by the key of their secret.
    pub sessions: ReplicatedBucket<Session>,
    /// API tokens, by the key of their secret.
    pub tokens: ReplicatedBucket<ApiToken>,
    pub(super) links: ReplicatedBucket<Link>,
    pub(super) browsers: ReplicatedBucket<Browser>,
    pub(super) passwords: Passwords,
    pub(super) tries: Tries,
    pub(super) settings: SignInSettings,
    pub(super) audit: Audit,
    pub(super) client: Client,
    pub(super) uses: Uses,
    /// The key of the token that lies in the data folder, for commands on this machine.
    local: Option<String>,
}

impl Accounts {
    /// Opens the broker's buckets. A request with the token `local` is an administrator's.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn open(
        client: &Client,
        audit: Audit,
        settings: SignInSettings,
        local: Option<&Secret>,
    ) -> Result<Self, BucketError> {
        Ok(Self {
            users: ReplicatedBucket::open(client, users::BUCKET).await?,
            sessions: ReplicatedBucket::open(client, sessions::BUCKET).await?,
            tokens: ReplicatedBucket::open(client, tokens::BUCKET).await?,
            links: ReplicatedBucket::open(client, links::BUCKET).await?,
            browsers: ReplicatedBucket::open(client, browsers::BUCKET).await?,
            passwords: Passwords::default(),
            tries: Tries::default(),
            settings,
            audit,
            client: client.clone(),
            uses: Uses::default(),
            local: local.map(Secret::key),
        })
    }

    /// The audit of people's actions.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// How full the room for hashes of passwords is.
    pub fn bounded(&self) -> Vec<Bounded> {
        self.passwords.bounded()
    }

    /// How many hashes of passwords were computed so far.
    pub fn hashes_computed(&self) -> u64 {
        self.passwords.computed()
    }

    /// The principal with these credentials; `None` when they are invalid or have expired. From memory.
    pub fn recognise(&self, credential: &Credential, came: ClientInfo) -> Option<Principal> {
        let Known { name, grants, session, may_command } = match credential {
            Credential::Token(secret) if self.local.as_ref() == Some(&secret.key()) => {
                return Some(Principal::ThisMachine(Person::local(came.from)));
            }
            Credential::Session(secret) => self.by_session(secret.key())?,
            Credential::Token(secret) => self.by_token(&secret.key())?,
        };
        Some(Principal::User(Person { name, grants, session, from: came.from, may_command }))
    }

    fn by_session(&self, key: String) -> Option<Known> {
        let session = self.sessions.get(&key)?;
        let user = self.users.get(&session.user)?;
        let holds = session.is_of(&user) && self.is_within_limits(&key, &session, now_us());
        let (name, grants) = (session.user.clone(), user.grants.clone());
        holds.then_some(Known { name, grants, session: Some(key), may_command: true })
    }

    fn by_token(&self, key: &str) -> Option<Known> {
        let token = self.tokens.get(key)?;
        let user = self.users.get(&token.user)?;
        let holds = !user.is_disabled && !token.has_ended(now_us());
        let grants = user.grants.iter().map(|grant| grant.within(&token.scope)).collect();
        let (name, may_command) = (token.user.clone(), token.may_command);
        holds.then_some(Known { name, grants, session: None, may_command })
    }

    /// Notes that a session or token is used: here at once, and with the broker aside, at most once a minute.
    pub fn note_use(&self, credential: &Credential) {
        match credential {
            Credential::Session(secret) => self.note_session(secret.key()),
            Credential::Token(secret) => self.note_token(secret.key()),
        }
    }

    fn note_session(&self, key: String) {
        let (sessions, now_us) = (self.sessions.clone(), now_us());
        let Some(session) = sessions.get(&key) else { return };
        if let Some(writing) = self.uses.note(&key, session.used_at_us, now_us) {
            let write =
                async move { sessions.change(&key, |session| set(&mut session.used_at_us, now_us)).await };
            write_aside(write, writing);
        }
    }

    fn note_token(&self, key: String) {
        let (tokens, now_us) = (self.tokens.clone(), now_us());
        let Some(token) = tokens.get(&key) else { return };
        if let Some(writing) = self.uses.note(&key, token.used_at_us.unwrap_or_default(), now_us) {
            let write =
                async move { tokens.change(&key, |token| set(&mut token.used_at_us, Some(now_us))).await };
            write_aside(write, writing);
        }
    }

    /// A session with its last use, written or only known here.
    pub(super) fn as_used(&self, key: &str, session: &Session) -> Session {
        let used_at_us = self.uses.last_us(key).unwrap_or_default().max(session.used_at_us);
        Session { used_at_us, ..session.clone() }
    }

    /// Whether a session has not ended by itself.
    fn is_within_limits(&self, key: &str, session: &Session, now_us: i64) -> bool {
        self.as_used(key, session).is_within_limits(&self.settings, now_us)
    }

    /// Returns when `credential` no longer stands for `principal`, or when something else was granted.
    pub async fn until_other(&self, credential: &Credential, principal: &Principal, came: ClientInfo) {
        let (mut users, mut sessions, mut tokens) =
            (self.users.follow(), self.sessions.follow(), self.tokens.follow());
        while self.recognise(credential, came).as_ref() == Some(principal) {
            tokio::select! {
                () = users.changed() => {}
                () = sessions.changed() => {}
                () = tokens.changed() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Removes expired records, for as long as this is awaited.
    pub async fn tidy(&self) {
        loop {
            if let Err(error) = self.tidy_once().await {
                tracing::warn!(%error, "sessions that have ended could not be removed; trying again later");
            }
            tokio::time::sleep(TIDY_EVERY).await;
        }
    }

    async fn tidy_once(&self) -> Result<(), AuthError> {
        let now_us = now_us();
        self.uses.keep(|key| self.sessions.get(key).is_some() || self.tokens.get(key).is_some());
        for (key, session) in self.sessions.all() {
            let user = self.users.get(&session.user);
            let holds = user.is_some_and(|user| session.is_of(&user));
            if !holds || !self.is_within_limits(&key, &session, now_us) {
                self.sessions.remove(&key).await?;
            }
        }
        for (key, token) in self.tokens.all() {
            // Not `is_within`: that takes what lies more than a day ahead for the work of a clock that was set back.
            let ended_us = u128::try_from(now_us.saturating_sub(token.expires_at_us)).unwrap_or(0);
            if ended_us >= LISTED_FOR.as_micros() {
                self.tokens.remove(&key).await?;
            }
        }
        for (key, link) in self.links.all() {
            if !link.works(now_us) {
                self.links.remove(&key).await?;
            }
        }
        for (key, browser) in self.browsers.all() {
            if !browser.is_known(now_us) {
                self.browsers.remove(&key).await?;
            }
        }
        Ok(())
    }
}

/// Records a use in the background. If the write fails, the next use repeats it.
fn write_aside(write: impl Future<Output = Result<bool, AuthError>> + Send + 'static, writing: Writing) {
    tokio::spawn(async move {
        if let Err(error) = write.await {
            tracing::debug!(%error, "a last use was not written down");
        }
        drop(writing);
    });
}

fn set<T>(value: &mut T, to: T) -> bool {
    *value = to;
    true
}
