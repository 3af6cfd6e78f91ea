//! Taking secrets out of command lines, on the host, before anything leaves it.
//!
//! It works on the process's list of arguments, not on one joined string, so that `--password` `a b` loses both words.
//! An argument that holds a command line (`sh -c "…"`) or a connection string is split at its delimiters and treated
//! the same way. What is replaced:
//!
//! - the value of a name that sounds like a secret (`names`): `--password=x`, `--password x`, `API_TOKEN=x`,
//!   `;Password=x;`, `X-Api-Key: x`;
//! - what certain programs take as a secret (`programs`): `mysql -px`, `curl -u user:x`, `sshpass -p x`;
//! - the password in `scheme://user:x@host`;
//! - credentials after `Bearer` and `Basic`;
//! - private keys, and tokens that are known by their shape (`shapes`);
//! - fleetps's own tokens, links, cookies and keys, wherever they stand in an argument (`own`).
//!
//! It errs on the side of hiding. `corpus.txt` is what it is held to.

mod names;
mod own;
mod programs;
mod shapes;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The replacement of a secret.
pub const HIDDEN: &str = "***";

/// How much of a command line leaves the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CommandLineMode {
    /// All of it, with secrets replaced.
    #[default]
    Scrubbed,
    /// None of it.
    Off,
    /// All of it as it is.
    Full,
}

/// The command line to send for these arguments, joined by spaces; `None` when none is to be sent or there are none.
pub fn command_line<Argument: AsRef<str>>(mode: CommandLineMode, arguments: &[Argument]) -> Option<String> {
    if arguments.is_empty() {
        return None;
    }
    match mode {
        CommandLineMode::Off => None,
        CommandLineMode::Full => Some(join(arguments.iter().map(AsRef::as_ref))),
        CommandLineMode::Scrubbed => Some(scrub(arguments)),
    }
}

fn join<'a>(arguments: impl Iterator<Item = &'a str>) -> String {
    arguments.collect::<Vec<_>>().join(" ")
}

fn scrub<Argument: AsRef<str>>(arguments: &[Argument]) -> String {
    let mut words = Words::default();
    for argument in arguments {
        if !words.line.is_empty() {
            words.line.push(' ');
        }
        words.argument(argument.as_ref());
    }
    words.line
}

/// The expected meaning of the next word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Expected {
    /// Nothing special.
    #[default]
    Anything,
    /// The value of a flag or name that sounds like a secret.
    Secret,
    /// `user:password`.
    UserAndPassword,
    /// The word after `Bearer` or `Basic`: a credential, if it looks like one.
    Credential,
    /// The word after `Authorization:`: a scheme, or a secret.
    Authorization,
}

/// The scrubbed line so far.
#[derive(Default)]
struct Words {
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
    /// Adds one argument.
    fn argument(&mut self, argument: &str) {
        // The whole argument is the secret, however many words it has.
        if self.expected == Expected::Secret && !looks_like_a_flag(argument) {
            self.expected = Expected::Anything;
            self.line.push_str(if argument.is_empty() { "" } else { HIDDEN });
            return;
        }
        let without_own = own::without_own_secrets(argument);
        let without_keys = shapes::without_private_keys(&without_own);
        let mut rest: &str = &without_keys;
        while let Some(start) = rest.find(|character| !is_delimiter(character)) {
            self.line.push_str(&rest[..start]);
            rest = &rest[start..];
            let end = rest.find(is_delimiter).unwrap_or(rest.len());
            self.word(&rest[..end]);
            rest = &rest[end..];
        }
        self.line.push_str(rest);
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
        if !self.started || programs::is_known(word) {
            // The first word names the program; in `sudo mysql` and `sh -c "mysql …"` a later one does.
            self.program = programs::Program::named(word);
            self.started = true;
        }
        let scrubbed = match expected {
            Expected::Secret if !looks_like_a_flag(word) => Cow::Borrowed(HIDDEN),
            Expected::UserAndPassword if !looks_like_a_flag(word) => hide_after(word, ':'),
            Expected::Credential if shapes::looks_like_a_credential(word) => Cow::Borrowed(HIDDEN),
            Expected::Authorization => self.after_authorization(word),
            _ => self.ordinary(word),
        };
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
            programs::Meaning::UserAndPasswordFollows => self.expected = Expected::UserAndPassword,
            programs::Meaning::SecretAttached(flag_bytes) => {
                return Cow::Owned(format!("{}{HIDDEN}", &word[..flag_bytes]));
            }
            programs::Meaning::UserAndPasswordAttached => return hide_after(word, ':'),
        }
        if let Some(hidden) = shapes::hide_url_password(word) {
            return Cow::Owned(self.pair(&hidden).map_or_else(|| hidden.clone(), Cow::into_owned));
        }
        if let Some(scrubbed) = self.pair(word) {
            return scrubbed;
        }
        if word.starts_with('-') && names::is_secret(word) {
            self.expected = Expected::Secret;
        } else if names::is_credential_scheme(word) {
            self.expected = Expected::Credential;
        }
        shapes::hide_token(word)
    }

    /// `name=value` and `name:value`; `None` when the word is neither, or the name is no secret's.
    fn pair<'a>(&mut self, word: &'a str) -> Option<Cow<'a, str>> {
        let position = word.find(['=', ':'])?;
        let (name, value) = (&word[..position], &word[position + 1..]);
        let is_header = word.as_bytes()[position] == b':';
        if is_header && names::is_authorization(name) {
            self.expected = Expected::Authorization;
        } else if !names::is_secret(name) || value.starts_with("//") {
            // `token://` is a scheme. A value may be a pair of its own, as in `--set=db.password=x`.
            let inner = self.pair(value)?;
            return Some(Cow::Owned(format!("{}{inner}", &word[..=position])));
        } else if value.is_empty() && is_header {
            self.expected = Expected::Secret;
        }
        if value.is_empty() {
            return Some(Cow::Borrowed(word));
        }
        self.expected = Expected::Anything;
        Some(Cow::Owned(format!("{}{HIDDEN}", &word[..=position])))
    }
}

/// `--x` and `-x`, but not `-` and not a number: what comes instead of a value, not as one.
fn looks_like_a_flag(word: &str) -> bool {
    let mut characters = word.chars();
    characters.next() == Some('-')
        && characters.next().is_some_and(|second| second == '-' || second.is_ascii_alphabetic())
}

/// The word with everything after the first `separator` hidden.
fn hide_after(word: &str, separator: char) -> Cow<'_, str> {
    match word.split_once(separator) {
        Some((before, after)) if !after.is_empty() => Cow::Owned(format!("{before}{separator}{HIDDEN}")),
        _ => Cow::Borrowed(word),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One case a line: arguments separated by `|`, ` -> `, what is sent. `\n` in an argument is a line break.
    const CORPUS: &str = include_str!("corpus.txt");

    fn cases() -> impl Iterator<Item = (&'static str, &'static str)> {
        let lines = CORPUS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(|line| line.split_once(" -> ").expect("every case has an arrow"))
    }

    #[test]
    fn the_corpus_holds() {
        let mut wrong = Vec::new();
        for (given, expected) in cases() {
            let arguments: Vec<String> =
                given.split('|').map(|argument| argument.replace("\\n", "\n")).collect();
            let scrubbed = command_line(CommandLineMode::Scrubbed, &arguments).unwrap();
            if scrubbed != expected.replace("\\n", "\n") {
                wrong.push(format!("{given}\n  expected {expected}\n  got      {scrubbed}"));
            }
        }
        assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases().count(), wrong.join("\n"));
    }

    #[test]
    fn the_corpus_is_large_and_has_both_kinds() {
        let (secret, harmless): (Vec<_>, Vec<_>) =
            cases().partition(|(_, expected)| expected.contains(HIDDEN));
        assert!(secret.len() >= 80 && harmless.len() >= 40, "{} and {}", secret.len(), harmless.len());
    }

    #[test]
    fn off_sends_nothing_and_full_sends_everything() {
        let arguments = ["mysql", "-psecret"];
        assert_eq!(command_line(CommandLineMode::Off, &arguments), None);
        assert_eq!(command_line(CommandLineMode::Full, &arguments).as_deref(), Some("mysql -psecret"));
        assert_eq!(command_line::<&str>(CommandLineMode::Full, &[]), None);
    }

    proptest! {
        #[test]
        fn no_arguments_make_it_panic(arguments in prop::collection::vec("[ -~äß\u{0}-\u{1f}=:@/'\"-]{0,40}", 0..8)) {
            let _ = command_line(CommandLineMode::Scrubbed, &arguments);
        }

        #[test]
        fn the_value_of_a_password_flag_never_gets_through(value in "[A-Za-z0-9 ;&,'\"=:@/]{6,30}") {
            let sent = command_line(CommandLineMode::Scrubbed, &["app", "--password", &value]).unwrap();
            prop_assert_eq!(sent, "app --password ***");
        }
    }
}
