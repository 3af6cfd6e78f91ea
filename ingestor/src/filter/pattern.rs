//! Regular expressions, in a syntax that two engines understand alike: Rust's, which finds processes now and then, and RE2,
//! which DuckDB has, so that a pattern means the same in SQL.
//!
//! Where they read the same text differently (`\d`, `\w`, `\s` know all of Unicode in one and ASCII in the other), it is
//! rewritten to mean ASCII; what only one of them has is refused.

use regex::Regex;
use regex_syntax::ast::{
    AssertionKind, Ast, ClassAscii, ClassAsciiKind, ClassPerl, ClassPerlKind, ClassSet, ClassSetItem, Flag,
    Flags, FlagsItemKind, GroupKind, Literal, LiteralKind, RepetitionKind, RepetitionRange, parse::Parser,
};

/// RE2's own bound for `{n,m}`.
const MAX_REPETITIONS: u32 = 1000;
/// The size limit of a compiled pattern, which bounds its time as well: some 600 states, each visited at most once for
/// each byte, take 5 ms for a command line of 4 KiB. `java.{0,40}-Xmx` takes 44 KiB, a list of ten programs 6.
const MAX_COMPILED_BYTES: usize = 48 << 10;
/// The cache of each thread for one pattern; half of the default, because ten patterns are allowed.
const MAX_CACHE_BYTES: usize = 1 << 20;
/// Deeper nesting is no honest pattern, and would have to be walked by recursion.
const MAX_DEPTH: u32 = 50;

/// Why a pattern is refused.
const TOO_LARGE: &str =
    "this regular expression is too large; use smaller repetitions ({n,m}), or several plain words";

/// A regular expression.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    regex: Regex,
    text: String,
    /// Whether it has nothing but characters that stand for themselves.
    is_plain: bool,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Pattern {
    /// Parses a pattern; the error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parser = regex_syntax::ast::parse::ParserBuilder::new().nest_limit(MAX_DEPTH).build();
        let mut tree = parse(&mut parser, text)?;
        common(&mut tree)?;
        let is_plain = match &tree {
            Ast::Empty(_) | Ast::Literal(_) => true,
            Ast::Concat(parts) => parts.asts.iter().all(|part| matches!(part, Ast::Literal(_))),
            _ => false,
        };
        let text = tree.to_string();
        let mut builder = regex::RegexBuilder::new(&text);
        let built = builder.size_limit(MAX_COMPILED_BYTES).dfa_size_limit(MAX_CACHE_BYTES).build();
        let regex = built.map_err(|_| TOO_LARGE.to_owned())?;
        Ok(Self { regex, text, is_plain })
    }

    /// Whether it occurs in `text`.
    pub(super) fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// Whether it is a text that is searched as it is, which takes no longer than reading the other one.
    pub(super) fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// The text that means the same to both engines.
    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

fn parse(parser: &mut Parser, text: &str) -> Result<Ast, String> {
    parser.parse(text).map_err(|error| format!("this is no regular expression: {}", error.kind()))
}

/// Rewrites a tree so that it means the same to both engines.
fn common(tree: &mut Ast) -> Result<(), String> {
    match tree {
        Ast::Empty(_) | Ast::Dot(_) => Ok(()),
        Ast::Literal(literal) => {
            plain(literal);
            Ok(())
        }
        Ast::Flags(set) => known_flags(&set.flags),
        Ast::Assertion(assertion) => match assertion.kind {
            AssertionKind::StartLine
            | AssertionKind::EndLine
            | AssertionKind::StartText
            | AssertionKind::EndText => Ok(()),
            _ => Err("word boundaries are not supported; write what stands beside the word".to_owned()),
        },
        Ast::ClassUnicode(_) => Err(r"classes like \p{…} are not supported; name the characters".to_owned()),
        Ast::ClassPerl(class) => {
            let item = ClassSetItem::Ascii(ascii(class));
            let span = class.span;
            *tree = Ast::class_bracketed(regex_syntax::ast::ClassBracketed {
                span,
                negated: false,
                kind: ClassSet::Item(item),
            });
            Ok(())
        }
        Ast::ClassBracketed(class) => match &mut class.kind {
            ClassSet::Item(item) => common_item(item),
            ClassSet::BinaryOp(_) => Err("&&, -- and ~~ in brackets are not supported".to_owned()),
        },
        Ast::Repetition(repetition) => {
            if let RepetitionKind::Range(range) = &repetition.op.kind {
                let (RepetitionRange::Exactly(most)
                | RepetitionRange::AtLeast(most)
                | RepetitionRange::Bounded(_, most)) = range;
                if *most > MAX_REPETITIONS {
                    return Err(format!("at most {MAX_REPETITIONS} repetitions are supported"));
                }
            }
            common(&mut repetition.ast)
        }
        Ast::Group(group) => {
            match &group.kind {
                GroupKind::NonCapturing(flags) => known_flags(flags)?,
                // Names of groups are written differently, and mean nothing here.
                _ => {
                    let flags = Flags { span: group.span, items: Vec::new() };
                    group.kind = GroupKind::NonCapturing(flags);
                }
            }
            common(&mut group.ast)
        }
        Ast::Alternation(alternation) => alternation.asts.iter_mut().try_for_each(common),
        Ast::Concat(concat) => concat.asts.iter_mut().try_for_each(common),
    }
}

fn common_item(item: &mut ClassSetItem) -> Result<(), String> {
    match item {
        ClassSetItem::Empty(_) | ClassSetItem::Ascii(_) => Ok(()),
        ClassSetItem::Literal(literal) => {
            plain(literal);
            Ok(())
        }
        ClassSetItem::Range(range) => {
            plain(&mut range.start);
            plain(&mut range.end);
            Ok(())
        }
        ClassSetItem::Perl(class) => {
            *item = ClassSetItem::Ascii(ascii(class));
            Ok(())
        }
        ClassSetItem::Union(union) => union.items.iter_mut().try_for_each(common_item),
        ClassSetItem::Unicode(_) => {
            Err(r"classes like \p{…} are not supported; name the characters".to_owned())
        }
        ClassSetItem::Bracketed(_) => Err("brackets inside brackets are not supported".to_owned()),
    }
}

/// `\d`, `\s` and `\w` as both engines know them in brackets.
fn ascii(class: &ClassPerl) -> ClassAscii {
    let kind = match class.kind {
        ClassPerlKind::Digit => ClassAsciiKind::Digit,
        ClassPerlKind::Space => ClassAsciiKind::Space,
        ClassPerlKind::Word => ClassAsciiKind::Word,
    };
    ClassAscii { span: class.span, kind, negated: class.negated }
}

/// A character however it was written: escapes are not the same in both.
fn plain(literal: &mut Literal) {
    let escaped = regex_syntax::is_meta_character(literal.c);
    literal.kind = if escaped { LiteralKind::Meta } else { LiteralKind::Verbatim };
}

fn known_flags(flags: &Flags) -> Result<(), String> {
    let known = |kind: &FlagsItemKind| match kind {
        FlagsItemKind::Negation => true,
        FlagsItemKind::Flag(flag) => matches!(flag, Flag::CaseInsensitive | Flag::DotMatchesNewLine),
    };
    let all = flags.items.iter().all(|item| known(&item.kind));
    if all { Ok(()) } else { Err("of the flags only (?i) and (?s) are supported".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_ascii_and_has_no_names() {
        for (given, written) in [
            (r"^kworker", "^kworker"),
            (r"\d+", "[[:digit:]]+"),
            (r"[\w.-]+", r"[[:word:]\.\-]+"),
            (r"[^\s]", "[^[:space:]]"),
            (r"\D", "[[:^digit:]]"),
            (r"(a|b)(?P<x>c)", "(?:a|b)(?:c)"),
            (r"\u0041\x42", "AB"),
            (r"(?i)java", "(?i)java"),
            (r"\[kernel\]", r"\[kernel\]"),
        ] {
            assert_eq!(Pattern::parse(given).unwrap().text(), written, "{given}");
        }
    }

    #[test]
    fn what_only_one_engine_has_is_refused() {
        for given in [r"\bx", r"\pL", r"[a&&b]", r"[a[b]]", "(?x)a", "(?u)a", "(", "a{1001}", "[z-a]", "*"] {
            assert!(Pattern::parse(given).is_err(), "{given}");
        }
        assert!(Pattern::parse(&"(".repeat(3000)).is_err());
    }

    #[test]
    fn what_is_large_when_compiled_is_refused_and_what_people_type_is_not() {
        let classes: String =
            (0..200).map(|number| format!("[^{}]", char::from(b'a' + number % 26))).collect();
        for given in ["1[01]{900}x", "((a{900}){900}){900}", "(?i)(.{1,9}[^x]{1,99}){9}", &classes] {
            assert_eq!(Pattern::parse(given), Err(TOO_LARGE.to_owned()), "{given}");
        }
        for given in [
            "^kworker",
            "(?i)(postgres|mysqld|redis-server|nginx|java|python3)",
            "java.{0,40}-Xmx[0-9]+g",
            r"\d{1,3}(\.\d{1,3}){3}",
        ] {
            assert!(Pattern::parse(given).is_ok(), "{given}");
        }
    }
}
