//! Names of users, as `getent passwd` gives them.
//!
//! `/etc/passwd` is read by `passwd`, which needs no name service; whoever is not in it (users of LDAP, SSSD, systemd) is
//! asked of the program `getent` (`getent`), so that a statically linked agent knows them too. Both may block for as long
//! as a server or a mount is away, so a thread does it (`worker`), and a pass takes what is there: the number first, the
//! name as soon as it has come. A name that was once found stays while nothing else is heard.
//!
//! Users whose processes are not sent are looked up by name as well. While one of them is unknown, no process is sent
//! whose own user is not known.

#[cfg(target_os = "linux")]
mod getent;
#[cfg(target_os = "linux")]
mod passwd;
#[cfg(target_os = "linux")]
mod worker;

#[cfg(target_os = "linux")]
pub(crate) use linux::Users;

/// What a pass asks about users; ids are texts, for other systems than Linux.
pub(crate) trait UserNames {
    /// The name of the user with this id, or the id while or where there is none.
    fn name_or_id(&mut self, id: &str) -> String;
    /// Whether the processes of this user are not sent; `None` for a process whose user is not known.
    fn is_withheld(&mut self, id: Option<&str>) -> bool;
}

/// Names that come from somewhere else.
#[cfg(any(not(target_os = "linux"), test))]
pub(super) struct GivenNames<'a>(pub &'a dyn Fn(&str) -> Option<String>);

#[cfg(any(not(target_os = "linux"), test))]
impl UserNames for GivenNames<'_> {
    fn name_or_id(&mut self, id: &str) -> String {
        (self.0)(id).unwrap_or_else(|| id.to_owned())
    }

    fn is_withheld(&mut self, _: Option<&str>) -> bool {
        false
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        collections::HashMap,
        path::PathBuf,
        time::{Duration, Instant},
    };

    use super::{
        UserNames,
        getent::Program,
        worker::{Answer, Question, Worker},
    };

    /// Names in use are asked for again after this time; the worker remembers what `getent` said for longer.
    const ASK_AGAIN: Duration = Duration::from_secs(60);
    /// A name is kept for this long after it was last found, so that a name service that is away for a moment turns nobody
    /// into a number.
    const KEEP_NAME: Duration = Duration::from_secs(600);
    /// Users without processes are forgotten after this time.
    const KEEP_UNUSED: Duration = Duration::from_secs(600);
    /// Users that are known at once. Those beyond stay numbers; a machine with so many users at work is a large one.
    const MOST_USERS: usize = 4096;
    /// A question that waits for this long is told in the log: `getent` itself has 5 s.
    const TOLD_AFTER: Duration = Duration::from_secs(30);

    /// The names of the users of processes.
    #[derive(Debug)]
    pub(crate) struct Users {
        worker: Worker,
        known: HashMap<u32, User>,
        excluded: Vec<Excluded>,
        now: Instant,
        is_told: bool,
    }

    #[derive(Debug)]
    struct User {
        name: Option<String>,
        found_at: Option<Instant>,
        asked_at: Instant,
        /// Whether the latest question was answered.
        is_answered: bool,
        /// Whether it was ever said what the name is, or that there is none.
        is_certain: bool,
        used_at: Instant,
    }

    /// A user whose processes are not sent.
    #[derive(Debug)]
    struct Excluded {
        name: String,
        uid: Option<u32>,
        is_certain: bool,
        asked_at: Instant,
    }

    impl Users {
        /// Reads the machine's own users in a thread; processes of `excluded` (names or numbers) are not sent.
        pub(crate) fn new(excluded: &[String]) -> Self {
            Self::reading("/etc/passwd".into(), Program::of_system(), excluded)
        }

        pub(super) fn reading(passwd: PathBuf, getent: Program, excluded: &[String]) -> Self {
            let now = Instant::now();
            let worker = Worker::start(passwd, getent);
            let excluded = excluded.iter().map(|name| Excluded {
                name: name.clone(),
                uid: name.parse().ok(),
                is_certain: name.parse::<u32>().is_ok(),
                asked_at: now,
            });
            let excluded: Vec<Excluded> = excluded.collect();
            for user in excluded.iter().filter(|user| !user.is_certain) {
                worker.ask(Question::Name(user.name.clone()));
            }
            Self { worker, known: HashMap::new(), excluded, now, is_told: false }
        }

        /// Waits for at most `patience` until all questions are answered.
        pub(crate) fn settle(&mut self, patience: Duration) {
            self.worker.wait(patience);
            self.refresh();
        }

        /// Takes the answers that have come; once a pass.
        pub(crate) fn refresh(&mut self) {
            self.now = Instant::now();
            for (question, answer) in self.worker.answers() {
                self.take(&question, answer);
            }
            let now = self.now;
            self.known.retain(|_, user| now.duration_since(user.used_at) < KEEP_UNUSED);
            for user in &mut self.excluded {
                // Numbers are asked as well: a user's name may be one.
                if now.duration_since(user.asked_at) >= ASK_AGAIN && user.name.parse::<u32>().is_err() {
                    user.asked_at = now;
                    self.worker.ask(Question::Name(user.name.clone()));
                }
            }
            let waits = self.is_stuck();
            if waits && !self.is_told {
                tracing::warn!("the names of users are not answered; a name service or /etc hangs");
            }
            self.is_told = waits;
        }

        /// Whether questions have waited for long.
        pub(crate) fn is_stuck(&self) -> bool {
            self.worker.waits_since().is_some_and(|since| self.now.duration_since(since) >= TOLD_AFTER)
        }

        fn take(&mut self, question: &Question, answer: Answer) {
            match question {
                Question::Uid(uid) => {
                    let Some(user) = self.known.get_mut(uid) else { return };
                    user.is_answered = true;
                    match answer {
                        Answer::Found { name, .. } => {
                            user.name = Some(name);
                            user.found_at = Some(self.now);
                            user.is_certain = true;
                        }
                        Answer::None => {
                            user.is_certain = true;
                            if user.found_at.is_none_or(|found| self.now.duration_since(found) >= KEEP_NAME) {
                                user.name = None;
                            }
                        }
                        Answer::Unknown => {}
                    }
                }
                Question::Name(name) => {
                    for user in self.excluded.iter_mut().filter(|user| user.name == *name) {
                        match answer {
                            Answer::Found { uid, .. } => (user.uid, user.is_certain) = (Some(uid), true),
                            Answer::None => user.is_certain = true,
                            Answer::Unknown => {}
                        }
                    }
                }
            }
        }

        fn user(&mut self, uid: u32) -> Option<&User> {
            let now = self.now;
            if let Some(user) = self.known.get_mut(&uid) {
                user.used_at = now;
                if user.is_answered && now.duration_since(user.asked_at) >= ASK_AGAIN {
                    (user.asked_at, user.is_answered) = (now, false);
                    self.worker.ask(Question::Uid(uid));
                }
            } else if self.known.len() < MOST_USERS {
                let user = User {
                    name: None,
                    found_at: None,
                    asked_at: now,
                    is_answered: false,
                    is_certain: false,
                    used_at: now,
                };
                self.known.insert(uid, user);
                self.worker.ask(Question::Uid(uid));
            }
            self.known.get(&uid)
        }
    }

    impl UserNames for Users {
        fn name_or_id(&mut self, id: &str) -> String {
            let name = id.parse().ok().and_then(|uid| self.user(uid)).and_then(|user| user.name.clone());
            name.unwrap_or_else(|| id.to_owned())
        }

        fn is_withheld(&mut self, id: Option<&str>) -> bool {
            if self.excluded.is_empty() {
                return false;
            }
            let Some(uid) = id.and_then(|id| id.parse::<u32>().ok()) else { return true };
            let (name, is_certain) =
                self.user(uid).map_or((None, false), |user| (user.name.clone(), user.is_certain));
            let is_excluded = |user: &Excluded| user.uid == Some(uid) || Some(&user.name) == name.as_ref();
            let may_be = || !is_certain && self.excluded.iter().any(|user| !user.is_certain);
            self.excluded.iter().any(is_excluded) || may_be()
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
