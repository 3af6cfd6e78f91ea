//! Goes through a command line word by word, and replaces the secrets.

use std::borrow::Cow;

use super::{HIDDEN, Part, Send, connection, names, own, programs, shapes, window};

impl Send for Words {
    fn whole(&mut self, argument: &str) -> String {
        self.argument(argument);
        std::mem::take(&mut self.line)
    }

    fn beginning(&mut self, argument: &str) -> Part {
        if argument.len() <= window::BEGINNING_BYTES || self.expected.is_secret(argument) {
            return self.part(argument);
        }
        let (words, name) = window::beginning(argument, is_delimiter);
        let mut text = if words.is_empty() { String::new() } else { self.whole(words) };
        let is_secret = self.expected != Expected::Anything;
        if !is_secret {
            text.push_str(&self.whole(name));
        }
        self.skim(argument);
        Part { text, left_out: argument.len() - words.len() - if is_secret { 0 } else { name.len() } }
    }

    fn pass_over<Argument: AsRef<str>>(&mut self, arguments: &[Argument]) {
        let Some((last, others)) = arguments.split_last() else { return };
        for argument in others {
            if programs::is_known(argument.as_ref()) {
                self.program.add(argument.as_ref());
            }
        }
        self.skim(last.as_ref());
    }
}

/// The expected meaning of the next word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Expected {
    /// Nothing special.
    #[default]
    Anything,
    /// The value of a flag or name that sounds like a secret.
    Secret,
    /// The same, of a program of Windows, whose flags begin with a slash.
    SecretOfSlash,
    /// A secret behind any number of flags, as PowerShell's `ConvertTo-SecureString` takes it.
    SecretPastFlags,
    /// `user:password`, with this separator.
    UserAndPassword(char),
    /// The word after `Bearer` or `Basic`: a credential, if it looks like one.
    Credential,
    /// The word after `Authorization:`: a scheme, or a secret.
    Authorization,
}

impl Expected {
    /// Whether this word is the secret.
    fn is_secret(self, word: &str) -> bool {
        match self {
            Self::Secret | Self::SecretPastFlags => !looks_like_a_flag(word),
            Self::SecretOfSlash => !looks_like_a_flag(word) && !word.starts_with('/'),
            _ => false,
        }
    }
}

/// The scrubbed text so far.
#[derive(Default)]
pub(super) struct Words {
    line: String,
    program: programs::Program,
    expected: Expected,
    /// The word before was a secret's name: in `"password": "x"` the colon stands apart.
    named_secret: bool,
    started: bool,
}

/// Whether a character separates words inside one argument: blanks, quotes, and the delimiters of connection strings
/// and queries.
fn is_delimiter(character: char) -> bool {
    character.is_whitespace()
        || matches!(character, '"' | '\'' | ';' | '&' | '?' | ',' | '{' | '}' | '(' | ')')
}

impl Words {
    /// Takes from an argument that is not sent only what it says about the next one.
    fn skim(&mut self, argument: &str) {
        self.expected = Expected::Anything;
        self.argument(window::lead_in(argument, is_delimiter));
        self.line.clear();
    }

    /// Adds one argument.
    fn argument(&mut self, argument: &str) {
        if self.whole_argument(argument) {
            return;
        }
        let without_own = own::without_own_secrets(argument);
        let without_keys = shapes::without_private_keys(&without_own);
        let text = shapes::without_url_passwords(&without_keys);
        let text = connection::scrub(&text).map_or(text, Cow::Owned);
        let mut rest: &str = &text;
        while let Some(start) = rest.find(|character| !is_delimiter(character)) {
            let delimiters = &rest[..start];
            self.line.push_str(delimiters);
            rest = &rest[start..];
            if let Some(quote) = delimiters.chars().next_back().filter(|last| is_quote(*last))
                && self.expected.is_secret(rest)
            {
                // A secret in quotes ends with them.
                rest = &rest[rest.find(quote).unwrap_or(rest.len())..];
                self.expected = Expected::Anything;
                self.line.push_str(HIDDEN);
                continue;
            }
            let (word, behind) = rest.split_at(rest.find(is_delimiter).unwrap_or(rest.len()));
            self.word(word);
            rest = behind;
            // `password='x'`.
            let name = word.strip_suffix(['=', ':']).filter(|_| rest.starts_with(is_quote));
            if name.is_some_and(|name| names::is_secret(name.rsplit(['=', ':']).next().unwrap_or(name))) {
                self.expected = Expected::Secret;
            }
        }
        self.line.push_str(rest);
    }

    /// Adds an argument that is a secret, or a flag with one, however many words that has.
    fn whole_argument(&mut self, argument: &str) -> bool {
        if self.expected.is_secret(argument) {
            self.expected = Expected::Anything;
            self.line.push_str(if argument.is_empty() { "" } else { HIDDEN });
            return true;
        }
        if let Expected::UserAndPassword(separator) = self.expected
            && !looks_like_a_flag(argument)
        {
            self.expected = Expected::Anything;
            self.line.push_str(&hide_after(argument, separator));
            return true;
        }
        if self.expected != Expected::Anything || !self.started {
            return false;
        }
        match self.program.meaning_of_argument(argument) {
            programs::Meaning::Secret => {
                let _ = self.program.meaning(argument);
                self.line.push_str(HIDDEN);
            }
            programs::Meaning::SecretAttached(flag_bytes) => {
                self.line.push_str(&argument[..flag_bytes]);
                self.line.push_str(HIDDEN);
            }
            programs::Meaning::UserAndPasswordAttached(separator) => {
                self.line.push_str(&hide_after(argument, separator));
            }
            _ => match flag_with_secret(argument) {
                Some(name_bytes) => {
                    self.line.push_str(&argument[..name_bytes]);
                    self.line.push_str(HIDDEN);
                }
                None => return false,
            },
        }
        self.named_secret = false;
        true
    }

    /// Adds one word.
    fn word(&mut self, word: &str) {
        let expected = std::mem::take(&mut self.expected);
        let named_secret = std::mem::replace(&mut self.named_secret, names::is_secret(word));
        if named_secret && let Some(value) = word.strip_prefix([':', '=']) {
            if value.is_empty() {
                self.expected = Expected::Secret;
            }
            self.line.push_str(&word[..1]);
            self.line.push_str(if value.is_empty() { "" } else { HIDDEN });
            return;
        }
        if expected.is_secret(word) {
            self.line.push_str(HIDDEN);
            return;
        }
        let is_anything = matches!(expected, Expected::Anything);
        if !self.started || programs::is_known(word) || (is_anything && self.program.runs_another(word)) {
            // The first word names the program; in `sudo mysql` and `sh -c "mysql …"` a later one does.
            self.program.add(word);
            self.started = true;
        }
        let scrubbed = match expected {
            Expected::UserAndPassword(separator) if !looks_like_a_flag(word) => hide_after(word, separator),
            Expected::Credential if shapes::looks_like_a_credential(word) => Cow::Borrowed(HIDDEN),
            Expected::Authorization => self.after_authorization(word),
            _ => self.ordinary(word),
        };
        if expected == Expected::SecretPastFlags && self.expected == Expected::Anything {
            self.expected = expected;
        }
        self.line.push_str(&scrubbed);
    }

    /// `Bearer` and its like stay; anything else after `Authorization:` is the secret.
    fn after_authorization<'a>(&mut self, word: &'a str) -> Cow<'a, str> {
        if names::is_scheme(word) {
            self.expected = Expected::Secret;
            return Cow::Borrowed(word);
        }
        Cow::Borrowed(HIDDEN)
    }

    fn ordinary<'a>(&mut self, word: &'a str) -> Cow<'a, str> {
        match self.program.meaning(word) {
            programs::Meaning::None => {}
            programs::Meaning::SecretFollows => self.expected = Expected::Secret,
            programs::Meaning::Secret => return Cow::Borrowed(HIDDEN),
            programs::Meaning::SecretWithin(from, to) => {
                return Cow::Owned(format!("{}{HIDDEN}{}", &word[..from], &word[to..]));
            }
            programs::Meaning::UserAndPasswordFollows(separator) => {
                self.expected = Expected::UserAndPassword(separator);
            }
            programs::Meaning::SecretAttached(flag_bytes) => {
                return Cow::Owned(format!("{}{HIDDEN}", &word[..flag_bytes]));
            }
            programs::Meaning::UserAndPasswordAttached(separator) => return hide_after(word, separator),
        }
        if let Some(hidden) = shapes::hide_url_password(word) {
            return Cow::Owned(self.pair(&hidden).map_or_else(|| hidden.clone(), Cow::into_owned));
        }
        if let Some(scrubbed) = self.pair(word) {
            return scrubbed;
        }
        if word.starts_with('-') && names::is_secret(word) {
            self.expected = Expected::Secret;
        } else if is_slash_flag(word) && names::is_secret(word) {
            self.expected = Expected::SecretOfSlash;
        } else if word.eq_ignore_ascii_case("ConvertTo-SecureString") {
            self.expected = Expected::SecretPastFlags;
        } else if names::is_credential_scheme(word) {
            self.expected = Expected::Credential;
        }
        shapes::hide_token(word)
    }

    /// `name=value` and `name:value`; `None` when the word is neither, or the name is no secret's. A value may be a pair of
    /// its own, as in `--set=db.password=x`.
    fn pair<'a>(&mut self, word: &'a str) -> Option<Cow<'a, str>> {
        let mut from = 0;
        while let Some(position) = word[from..].find(['=', ':']).map(|position| from + position) {
            let (name, value) = (&word[from..position], &word[position + 1..]);
            let is_header = word.as_bytes()[position] == b':';
            from = position + 1;
            if is_header && names::is_authorization(name) {
                self.expected = Expected::Authorization;
            } else if !names::is_secret(name) || value.starts_with("//") {
                // `token://` is a scheme.
                continue;
            } else if value.is_empty() && is_header {
                self.expected = Expected::Secret;
            }
            if value.is_empty() {
                // `sc config app password= x`.
                if self.program.has_spaced_values() && !is_header {
                    self.expected = Expected::SecretOfSlash;
                }
                return Some(Cow::Borrowed(word));
            }
            self.expected = Expected::Anything;
            return Some(Cow::Owned(format!("{}{HIDDEN}", &word[..=position])));
        }
        None
    }
}

/// `--x` and `-x`, but not `-` and not a number: what comes instead of a value, not as one.
fn looks_like_a_flag(word: &str) -> bool {
    let mut characters = word.chars();
    characters.next() == Some('-')
        && characters.next().is_some_and(|second| second == '-' || second.is_ascii_alphabetic())
}

/// `/password`, as programs of Windows have it, but no path. Folders are often called `/secrets`.
fn is_slash_flag(word: &str) -> bool {
    word.strip_prefix('/').is_some_and(|name| !name.contains('/') && !name.ends_with('s'))
}

fn is_quote(character: char) -> bool {
    matches!(character, '"' | '\'')
}

/// The bytes before the value in an argument that is one flag with a secret, as `--password=two words`.
fn flag_with_secret(argument: &str) -> Option<usize> {
    let is_flag = looks_like_a_flag(argument) || argument.starts_with('/');
    let (mut from, name_end) = (0, argument.find(is_delimiter).unwrap_or(argument.len()));
    while is_flag && let Some(at) = argument[from..name_end].find(['=', ':']).map(|at| from + at) {
        let name = &argument[from..at];
        if names::is_secret(name) && at + 1 < argument.len() && !argument[at + 1..].starts_with("//") {
            return Some(at + 1);
        }
        from = at + 1;
    }
    None
}

/// The word with everything after the first `separator` hidden.
fn hide_after(word: &str, separator: char) -> Cow<'_, str> {
    match word.split_once(separator) {
        Some((before, after)) if !after.is_empty() => Cow::Owned(format!("{before}{separator}{HIDDEN}")),
        _ => Cow::Borrowed(word),
    }
}
