//! Which arguments of a command line are looked at: whole ones from its beginning and from its end.
//!
//! A hostile command line has megabytes, and of two thousand processes each may have one. What is not looked at is not
//! sent, but for the name of an argument that is too long.

/// Bytes of arguments that are looked at from the beginning, and again from the end: four times what is sent. Scrubbing
/// both takes 3 ms at most.
const LOOKED_AT_BYTES: usize = 16 << 10;
/// Of a longer argument that does not fit, the beginning is looked at.
pub(super) const BEGINNING_BYTES: usize = 4 << 10;
/// What stands before the end may say that a secret follows: `--password`, `Authorization: Bearer`.
const LEAD_IN_BYTES: usize = 512;
/// Longest name of an argument that is too long, as `--class-path=`.
const MAX_NAME_BYTES: usize = 64;

/// The arguments before `head`, and from `tail` on, are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) head: usize,
    pub(super) tail: usize,
}

impl Window {
    pub(super) fn of<Argument: AsRef<str>>(arguments: &[Argument]) -> Self {
        let head = within_budget(&mut arguments.iter());
        let tail = arguments.len() - within_budget(&mut arguments[head..].iter().rev());
        Self { head, tail }
    }
}

fn within_budget<Argument: AsRef<str>>(arguments: &mut dyn Iterator<Item = &Argument>) -> usize {
    let mut bytes = 0;
    arguments
        .take_while(|argument| {
            // An empty argument still takes a space.
            bytes += argument.as_ref().len() + 1;
            bytes <= LOOKED_AT_BYTES
        })
        .count()
}

/// The words at the beginning of a long argument that certainly end in it; the one after them goes on, so nobody knows
/// whether it is a secret, but what stands before `=` or `:` in it is its name.
pub(super) fn beginning(argument: &str, is_delimiter: fn(char) -> bool) -> (&str, &str) {
    let piece = &argument[..argument.floor_char_boundary(BEGINNING_BYTES)];
    let (words, rest) = piece.split_at(
        piece
            .rfind(is_delimiter)
            .map_or(0, |last| last + piece[last..].chars().next().map_or(0, char::len_utf8)),
    );
    let name = rest.find(['=', ':']).filter(|end| *end < MAX_NAME_BYTES);
    (words, name.map_or("", |end| &rest[..=end]))
}

/// The end of an argument, which may say that the next one is a secret: whole words.
pub(super) fn lead_in(argument: &str, is_delimiter: fn(char) -> bool) -> &str {
    if argument.len() <= LEAD_IN_BYTES {
        return argument;
    }
    let end = &argument[argument.ceil_char_boundary(argument.len() - LEAD_IN_BYTES)..];
    end.find(is_delimiter).map_or("", |start| &end[start..])
}
