//! Programs that take secrets in places of their own: after short flags, attached to them, or by position. Names of
//! programs are compared without case and without `.exe`.

use std::{collections::HashSet, sync::LazyLock};

use super::{
    known_programs::{
        BARE_NAMES, FLAGS, HTPASSWD, NET, ORACLE, POSITIONS, POWERSHELL, SCHEMELESS, SPACED_VALUES, Takes,
        WRAPPERS,
    },
    names,
};

/// The meaning of a word for the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Nothing special.
    None,
    /// The word is a secret.
    Secret,
    /// The next word is a secret.
    SecretFollows,
    /// The next word is `user:password`, with this separator.
    UserAndPasswordFollows(char),
    /// A secret is attached after this many bytes.
    SecretAttached(usize),
    /// `user:password` is attached, with this separator.
    UserAndPasswordAttached(char),
    /// A secret stands from one place in the word to another.
    SecretWithin(usize, usize),
}

/// The programs that the words belong to: the first, and those that are named later, as in `sudo mysql` and
/// `sh -c "mysql …"`.
#[derive(Debug, Clone, Default)]
pub(super) struct Program {
    names: Vec<&'static str>,
    is_windows: bool,
    seen: Seen,
}

/// What was seen since the program was named.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// The words that are no flags, by the place in [`POSITIONS`].
    since: [Option<usize>; POSITIONS.len()],
    /// Whether the word that some of [`FLAGS`] need was among them.
    login: bool,
    net_use: NetUse,
    htpasswd: Htpasswd,
}

/// How far `net use Z: \\server\share password` was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum NetUse {
    #[default]
    No,
    Use,
    Share,
    Password,
}

/// `htpasswd -b file user password`, or `-nb user password`.
#[derive(Debug, Clone, Copy, Default)]
struct Htpasswd {
    takes_password: bool,
    has_no_file: bool,
    seen: usize,
}

/// No name of `known_programs` is longer.
const MAX_NAME_BYTES: usize = 16;
/// Programs of any kind remembered at once; a script that names more is not followed further.
const MAX_NAMES: usize = 8;

impl Program {
    /// Goes on as the program with this name or path.
    pub(super) fn add(&mut self, word: &str) {
        let name = base_name(word);
        self.is_windows |= name.len() != file_name(word).len() || is_among(SPACED_VALUES, name);
        if self.is(WRAPPERS) {
            self.names.clear();
        }
        let known = known(name);
        let is_new = known.is_none_or(|name| !self.names.contains(&name));
        if let Some(name) = known.filter(|_| is_new) {
            self.names.truncate(MAX_NAMES - 1);
            self.names.push(name);
        }
        // In `htpasswd /etc/htpasswd` the second is none.
        if is_new || !word.contains('/') {
            self.seen = Seen::default();
            for (since, (programs, behind, _)) in self.seen.since.iter_mut().zip(POSITIONS) {
                let counts = behind.is_empty() && self.names.iter().any(|name| programs.contains(name));
                *since = counts.then_some(0);
            }
        }
    }

    /// Whether a value may stand in a word of its own behind `name=`.
    pub(super) fn has_spaced_values(&self) -> bool {
        self.is_windows
    }

    /// Whether a word that is no flag is another program.
    pub(super) fn runs_another(&self, word: &str) -> bool {
        self.is(WRAPPERS) && !word.starts_with('-')
    }

    fn is(&self, programs: &[&str]) -> bool {
        self.names.iter().any(|name| programs.contains(name))
    }

    /// The meaning of this word, which is the next one.
    pub(super) fn meaning(&mut self, word: &str) -> Meaning {
        let mut seen = self.seen;
        let meaning = self.look(word, &mut seen);
        self.seen = seen;
        meaning
    }

    /// Whether the whole next argument is a secret, or a flag with one attached, however many words it has.
    pub(super) fn meaning_of_argument(&self, argument: &str) -> Meaning {
        match self.look(argument, &mut self.seen.clone()) {
            meaning
            @ (Meaning::Secret | Meaning::SecretAttached(_) | Meaning::UserAndPasswordAttached(_)) => meaning,
            _ => Meaning::None,
        }
    }

    fn look(&self, word: &str, seen: &mut Seen) -> Meaning {
        if self.names.is_empty() {
            return Meaning::None;
        }
        let by_flag = self.by_flag(word);
        if by_flag != Meaning::None {
            return by_flag;
        }
        if self.is(POWERSHELL) && is_encoded_command(word) {
            return Meaning::SecretFollows;
        }
        if let Some((from, to)) = self.within(word) {
            return Meaning::SecretWithin(from, to);
        }
        let is_bare = || !word.starts_with('-') && !word.contains(['=', ':']) && names::is_secret(word);
        if self.is(BARE_NAMES) && is_bare() {
            return Meaning::SecretFollows;
        }
        if self.takes_by_position(word, seen) { Meaning::Secret } else { Meaning::None }
    }

    fn by_flag(&self, word: &str) -> Meaning {
        let flags = FLAGS.iter().filter(|flag| self.is(flag.programs));
        let flags = flags.filter(|flag| !flag.after_login || self.seen.login);
        let mut found = flags.filter_map(|flag| Some((flag, strip_flag(word, flag.flag)?)));
        found
            .find_map(|(flag, attached)| match (flag.takes, attached) {
                (Takes::NextWord | Takes::Either, "") => Some(Meaning::SecretFollows),
                (Takes::User(separator), "") => Some(Meaning::UserAndPasswordFollows(separator)),
                (Takes::Attached | Takes::Either, attached) if !attached.is_empty() => {
                    Some(Meaning::SecretAttached(flag.flag.len()))
                }
                (Takes::User(separator), attached)
                    if !flag.flag.starts_with("--") || attached.starts_with('=') =>
                {
                    Some(Meaning::UserAndPasswordAttached(separator))
                }
                _ => None,
            })
            .unwrap_or(Meaning::None)
    }

    /// Where a password stands in `user/password@database` and `user:password@host`.
    fn within(&self, word: &str) -> Option<(usize, usize)> {
        let is_name = |text: &str| {
            !text.is_empty()
                && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "_$#.\\-".contains(letter))
                && !text.starts_with('-')
        };
        let before = word.rfind('@');
        if self.is(ORACLE) {
            let slash = word.find('/')?;
            // The database may have an @ behind slashes of its own.
            let end = word[slash..].find('@').map_or(word.len(), |end| slash + end);
            let user = &word[..slash];
            let user = strip_prefix(user, "userid=").unwrap_or(user);
            return (is_name(user) && slash + 1 < end).then_some((slash + 1, end));
        }
        if self.is(SCHEMELESS) {
            let (colon, end) = (word.find(':')?, before?);
            return (is_name(&word[..colon]) && colon + 1 < end).then_some((colon + 1, end));
        }
        None
    }

    fn takes_by_position(&self, word: &str, seen: &mut Seen) -> bool {
        if self.is(HTPASSWD) && word.starts_with('-') {
            seen.htpasswd.takes_password |= word.contains('b');
            seen.htpasswd.has_no_file |= word.contains('n');
        }
        let is_flag = word.starts_with('-') || (self.has_slash_flags() && word.starts_with('/'));
        if is_flag || word.is_empty() {
            return false;
        }
        seen.login |= word == "login";
        let mut is_secret = self.is(NET) && seen.net_use.takes(word);
        is_secret |= self.is(HTPASSWD) && seen.htpasswd.takes();
        for (since, (programs, behind, number)) in seen.since.iter_mut().zip(POSITIONS) {
            match since {
                Some(seen) => {
                    is_secret |= *seen == *number;
                    *seen += 1;
                }
                None if self.is(programs) && word.eq_ignore_ascii_case(behind) => *since = Some(0),
                None => {}
            }
        }
        // `*` asks for one.
        is_secret && word != "*"
    }

    /// Flags of these begin with a slash, and paths of the others.
    fn has_slash_flags(&self) -> bool {
        self.is_windows || self.is(NET) || self.is(&["rasdial"])
    }
}

impl NetUse {
    /// Goes on; whether the word is the password.
    fn takes(&mut self, word: &str) -> bool {
        let is_share = word.starts_with("\\\\") || word.contains("://");
        *self = match *self {
            Self::No if word.eq_ignore_ascii_case("use") => Self::Use,
            Self::Use if is_share => Self::Share,
            Self::Share => Self::Password,
            other => other,
        };
        *self == Self::Password && !is_share
    }
}

impl Htpasswd {
    /// Goes on; whether the word is the password.
    fn takes(&mut self) -> bool {
        let place = self.seen;
        self.seen += usize::from(self.takes_password);
        self.takes_password && place == if self.has_no_file { 1 } else { 2 }
    }
}

/// Whether a word names one of the programs.
pub(super) fn is_known(word: &str) -> bool {
    known(base_name(word)).is_some()
}

/// The name as it stands above. Every word of a command line is looked up, and of some millions.
fn known(name: &str) -> Option<&'static str> {
    static ALL: LazyLock<HashSet<&str>> = LazyLock::new(|| {
        let others = [BARE_NAMES, ORACLE, SCHEMELESS, POWERSHELL, SPACED_VALUES, WRAPPERS, HTPASSWD, NET];
        let flags = FLAGS.iter().map(|flag| flag.programs);
        let positions = POSITIONS.iter().map(|(programs, ..)| *programs);
        flags.chain(positions).chain(others).flatten().copied().collect()
    });
    let mut small = [0; MAX_NAME_BYTES];
    let small = small.get_mut(..name.len())?;
    small.copy_from_slice(name.as_bytes());
    small.make_ascii_lowercase();
    ALL.get(std::str::from_utf8(small).ok()?).copied()
}

fn is_among(programs: &[&str], name: &str) -> bool {
    programs.iter().any(|program| program.eq_ignore_ascii_case(name))
}

/// PowerShell takes every beginning of a flag, with any dash: `-e`, `-enc`, `/EncodedCommand`. A whole script follows,
/// which may hold anything.
fn is_encoded_command(word: &str) -> bool {
    let Some(name) = word.strip_prefix(['-', '/', '–', '—', '―']) else { return false };
    let name = name.to_ascii_lowercase();
    !name.is_empty() && ("encodedcommand".starts_with(&name) || name == "ec")
}

/// What is attached to a flag; `None` where the word is another.
fn strip_flag<'a>(word: &'a str, flag: &str) -> Option<&'a str> {
    match flag.starts_with('/') {
        true if flag.ends_with(':') => strip_prefix(word, flag),
        true => word.eq_ignore_ascii_case(flag).then_some(""),
        false => word.strip_prefix(flag),
    }
}

fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn file_name(word: &str) -> &str {
    word.rsplit(['/', '\\']).next().unwrap_or(word)
}

fn base_name(word: &str) -> &str {
    let name = file_name(word);
    let stem = name.len().checked_sub(4).and_then(|stem| name.split_at_checked(stem));
    stem.filter(|(_, end)| end.eq_ignore_ascii_case(".exe")).map_or(name, |(stem, _)| stem)
}
