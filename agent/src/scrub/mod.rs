//! Taking secrets out of command lines, on the host, before anything leaves it.
//!
//! It works on the process's list of arguments, not on one joined string, so that `--password` `a b` loses both words.
//! An argument that holds a command line (`sh -c "…"`) or a connection string is split at its delimiters and treated
//! the same way. What is replaced:
//!
//! - the value of a name that sounds like a secret (`names`): `--password=x`, `--password x`, `API_TOKEN=x`,
//!   `;Password=x;`, `X-Api-Key: x`;
//! - what certain programs take as a secret (`programs`): `mysql -px`, `curl -u user:x`, `net user mira x`;
//! - values of connection strings (`connection`): `Server=db;Password=two words;`;
//! - scripts that PowerShell takes encoded, and what it makes a secure string of;
//! - the password in `scheme://user:x@host`;
//! - credentials after `Bearer` and `Basic`;
//! - private keys, and tokens that are known by their shape (`shapes`);
//! - fleetps's own tokens, links, cookies and keys, wherever they stand in an argument (`own`).
//!
//! It errs on the side of hiding. `corpus.txt` is what it is held to.

mod connection;
mod known_programs;
mod names;
mod own;
mod programs;
mod shapes;
mod window;
mod words;

use serde::{Deserialize, Serialize};
use window::Window;
use words::Words;

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

/// A part of a command line, as it may leave the host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Part {
    /// An argument, or the beginning of one that is too long to be looked at.
    pub text: String,
    /// How many bytes stand after it that were not looked at.
    pub left_out: usize,
}

/// The parts of the command line to send for these arguments; `None` when none is to be sent or there are none.
pub fn command_line<Argument: AsRef<str>>(
    mode: CommandLineMode,
    arguments: &[Argument],
) -> Option<Vec<Part>> {
    let length = arguments.iter().rposition(|argument| !argument.as_ref().is_empty()).map(|last| last + 1)?;
    let arguments = &arguments[..length];
    match mode {
        CommandLineMode::Off => None,
        CommandLineMode::Full => Some(parts(arguments, &mut AsItIs)),
        CommandLineMode::Scrubbed => Some(parts(arguments, &mut Words::default())),
    }
}

/// What is sent of arguments.
trait Send {
    /// An argument that is looked at whole.
    fn whole(&mut self, argument: &str) -> String;

    /// The same as a part.
    fn part(&mut self, argument: &str) -> Part {
        Part { text: self.whole(argument), left_out: 0 }
    }

    /// The beginning of an argument that is too long for it.
    fn beginning(&mut self, argument: &str) -> Part;

    /// Arguments that are not looked at.
    fn pass_over<Argument: AsRef<str>>(&mut self, arguments: &[Argument]);
}

/// The parts of a command line: its first and last arguments, and what was left out between them.
fn parts<Argument: AsRef<str>>(arguments: &[Argument], send: &mut impl Send) -> Vec<Part> {
    let Window { head, tail } = Window::of(arguments);
    let mut parts: Vec<Part> =
        arguments[..head].iter().map(|argument| send.part(argument.as_ref())).collect();
    if let Some((begun, others)) = arguments[head..tail].split_first() {
        parts.push(send.beginning(begun.as_ref()));
        send.pass_over(others);
        if !others.is_empty() {
            let left_out = others.iter().map(|argument| argument.as_ref().len() + 1).sum::<usize>() - 1;
            match parts.last_mut().filter(|part| part.left_out > 0) {
                Some(part) => part.left_out += left_out + 1,
                None => parts.push(Part { text: String::new(), left_out }),
            }
        }
    }
    parts.extend(arguments[tail..].iter().map(|argument| send.part(argument.as_ref())));
    parts
}

/// Sends everything that is looked at.
struct AsItIs;

impl Send for AsItIs {
    fn whole(&mut self, argument: &str) -> String {
        argument.to_owned()
    }

    fn beginning(&mut self, argument: &str) -> Part {
        let text = argument[..argument.floor_char_boundary(window::BEGINNING_BYTES)].to_owned();
        Part { left_out: argument.len() - text.len(), text }
    }

    fn pass_over<Argument: AsRef<str>>(&mut self, _arguments: &[Argument]) {}
}

#[cfg(test)]
mod tests;
