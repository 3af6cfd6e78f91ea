//! Reads a filter.
//!
//! ```text
//! any  := all ("or" all)*
//! all  := one (["and"] one)*
//! one  := "not" one | "(" any ")" | field sign value | field ":" value | word
//! ```

use super::{
    FilterError,
    expression::{Expression, Order},
    field::{Field, Kind, lower},
    host_field,
    pattern::Pattern,
};

/// What a filter is about: which fields it has.
#[derive(Clone, Copy)]
pub(super) enum About<'a> {
    /// Processes.
    Processes,
    /// Hosts; whether some host has a group of this name and a value, as `env` of `env=prod`: then it is a field.
    Hosts(&'a dyn Fn(&str) -> bool),
}

impl About<'_> {
    fn find(self, word: &str) -> Option<Field> {
        match self {
            Self::Processes => Field::find(word),
            Self::Hosts(_) => host_field::find(word),
        }
    }

    fn words(self) -> String {
        match self {
            Self::Processes => Field::words(),
            Self::Hosts(_) => host_field::words(),
        }
    }

    /// Whether a character may be part of a field's name. Names of groups have more of them than those of fields.
    fn is_in_name(self, character: char) -> bool {
        let is_of_group = || character.is_ascii_digit() || matches!(character, '-' | '_' | '.');
        character.is_ascii_alphabetic() || character == '%' || matches!(self, Self::Hosts(_)) && is_of_group()
    }

    fn is_key(self, word: &str) -> bool {
        matches!(self, Self::Hosts(is_key) if is_key(word))
    }
}

/// Longer texts are not filters that a person typed.
const MAX_BYTES: usize = 1000;
/// Nesting is read by recursion.
const MAX_DEPTH: usize = 50;
/// Each may take milliseconds for one process.
const MAX_PATTERNS: usize = 10;
/// The characters of operators.
const SIGNS: [char; 5] = ['=', '!', '~', '<', '>'];

/// Reads a filter; `None` for the empty one.
pub(super) fn parse(text: &str, about: About<'_>) -> Result<Option<Expression>, FilterError> {
    if text.len() > MAX_BYTES {
        return Err(FilterError { column: 1, message: format!("a filter has at most {MAX_BYTES} bytes") });
    }
    let mut reader = Reader { about, characters: text.chars().collect(), at: 0, patterns: 0 };
    reader.skip_space();
    if reader.peek().is_none() {
        return Ok(None);
    }
    let expression = reader.any(0)?;
    match reader.peek() {
        None => Ok(Some(expression)),
        Some(_) => Err(reader.error("there is no ( for this )")),
    }
}

struct Reader<'a> {
    about: About<'a>,
    characters: Vec<char>,
    at: usize,
    /// Regular expressions so far.
    patterns: usize,
}

impl Reader<'_> {
    fn any(&mut self, depth: usize) -> Result<Expression, FilterError> {
        let mut parts = vec![self.all(depth)?];
        while self.keyword("or") {
            parts.push(self.all(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::Any(parts) })
    }

    fn all(&mut self, depth: usize) -> Result<Expression, FilterError> {
        let mut parts = vec![self.one(depth)?];
        loop {
            let more =
                self.keyword("and") || !(matches!(self.peek(), None | Some(')')) || self.is_keyword("or"));
            if !more {
                break;
            }
            parts.push(self.one(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::All(parts) })
    }

    fn one(&mut self, depth: usize) -> Result<Expression, FilterError> {
        if depth >= MAX_DEPTH {
            return Err(self.error("this is nested too deeply"));
        }
        if self.keyword("not") {
            return Ok(Expression::Not(Box::new(self.one(depth + 1)?)));
        }
        for word in ["and", "or"] {
            if self.is_keyword(word) {
                let message = format!(
                    "expected a word or a comparison before `{word}`; to search for it, put it in quotes"
                );
                return Err(self.error(message));
            }
        }
        match self.peek() {
            None => Err(self.error("expected a word or a comparison, as in `nginx` or `cpu > 50`")),
            Some(')') => Err(self.error("expected a word or a comparison before this )")),
            Some('(') => {
                let opened = self.at;
                self.step();
                let inner = self.any(depth + 1)?;
                if self.peek() != Some(')') {
                    return Err(FilterError {
                        column: opened + 1,
                        message: "there is no ) for this (".to_owned(),
                    });
                }
                self.step();
                Ok(inner)
            }
            Some('"') => Ok(Expression::Word(lower(&self.quoted()?))),
            Some(_) => self.comparison_or_word(),
        }
    }

    fn comparison_or_word(&mut self) -> Result<Expression, FilterError> {
        let start = self.at;
        let about = self.about;
        let name = self.take_while(|character| about.is_in_name(character));
        let after_name = self.at;
        if let Some(field) = self.about.find(&name).filter(|_| self.is_before_value()) {
            return self.part(field);
        }
        self.skip_space();
        if !name.is_empty() && self.peek().is_some_and(|character| SIGNS.contains(&character)) {
            return match self.about.find(&name) {
                Some(field) => self.comparison(field),
                None if self.about.is_key(&name) => self.group_with_value(&name),
                None => {
                    let words = self.about.words();
                    let message = format!(
                        "there is no field `{name}`; there are {words}. To search for a text, put it in quotes"
                    );
                    Err(FilterError { column: start + 1, message })
                }
            };
        }
        self.at = after_name;
        let rest =
            self.take_while(|character| !character.is_whitespace() && !matches!(character, '(' | ')' | '"'));
        self.skip_space();
        Ok(Expression::Word(lower(&(name + &rest))))
    }

    /// Whether a colon comes, and a value right behind it: `cmd:java`, as search fields elsewhere have it.
    fn is_before_value(&self) -> bool {
        let next = self.characters.get(self.at + 1);
        self.peek() == Some(':')
            && next.is_some_and(|character| !character.is_whitespace() && !matches!(character, '(' | ')'))
    }

    /// A text that occurs in a field, or the number that it is.
    fn part(&mut self, field: Field) -> Result<Expression, FilterError> {
        self.step();
        let value_at = self.at;
        let value = self.value()?;
        let at_value = |message: String| FilterError { column: value_at + 1, message };
        if field.kind == Kind::Group {
            return Ok(Expression::Same(field, value));
        }
        if field.kind == Kind::Text {
            let pattern = self.pattern(&regex::escape(&value)).map_err(at_value)?;
            return Ok(Expression::Like(field, pattern));
        }
        let number = field.kind.read(&value).map_err(at_value)?;
        Ok(Expression::Number(field, Order::Equal, number))
    }

    /// `env = prod`: the group `env=prod`.
    fn group_with_value(&mut self, key: &str) -> Result<Expression, FilterError> {
        let sign_at = self.at;
        let sign = self.take_while(|character| SIGNS.contains(&character));
        self.skip_space();
        let group = Expression::Same(host_field::GROUP, format!("{key}={}", self.value()?));
        match sign.as_str() {
            "=" => Ok(group),
            "!=" => Ok(not(group)),
            _ => {
                let message = format!("`{key}` is the name of a group: its value can be compared by = or !=");
                Err(FilterError { column: sign_at + 1, message })
            }
        }
    }

    fn comparison(&mut self, field: Field) -> Result<Expression, FilterError> {
        let sign_at = self.at;
        let sign = self.take_while(|character| SIGNS.contains(&character));
        self.skip_space();
        let value_at = self.at;
        let value = self.value()?;
        let at_sign = |message: String| FilterError { column: sign_at + 1, message };
        let at_value = |message: String| FilterError { column: value_at + 1, message };
        if field.kind.is_text() {
            return match sign.as_str() {
                "=" => Ok(Expression::Same(field, value)),
                "!=" => Ok(not(Expression::Same(field, value))),
                "~" => Ok(Expression::Like(field, self.pattern(&value).map_err(at_value)?)),
                _ => Err(at_sign(format!("`{}` is a text: it can be compared by =, != or ~", field.word))),
            };
        }
        let number = |order| {
            let number = field.kind.read(&value).map_err(at_value)?;
            Ok(Expression::Number(field, order, number))
        };
        match sign.as_str() {
            "=" => number(Order::Equal),
            "!=" => Ok(not(number(Order::Equal)?)),
            ">" => number(Order::Greater),
            ">=" => number(Order::GreaterOrEqual),
            "<" => number(Order::Less),
            "<=" => number(Order::LessOrEqual),
            _ => Err(at_sign(format!(
                "`{}` is a number: it can be compared by =, !=, >, >=, < or <=",
                field.word
            ))),
        }
    }

    fn pattern(&mut self, text: &str) -> Result<Pattern, String> {
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            return Err(format!("a filter has at most {MAX_PATTERNS} regular expressions"));
        }
        Pattern::parse(text)
    }

    /// A value: in quotes, or up to a space or a closing parenthesis that it did not open.
    fn value(&mut self) -> Result<String, FilterError> {
        if self.peek() == Some('"') {
            return self.quoted();
        }
        let mut opened = 0_usize;
        let value = self.take_while(|character| {
            match character {
                '(' => opened += 1,
                ')' if opened == 0 => return false,
                ')' => opened -= 1,
                _ => {}
            }
            !character.is_whitespace()
        });
        if value.is_empty() {
            return Err(self.error("expected a value here; an empty one is \"\""));
        }
        self.skip_space();
        Ok(value)
    }

    /// A text in quotes; a quote inside is doubled.
    fn quoted(&mut self) -> Result<String, FilterError> {
        let opened = self.at;
        self.at += 1;
        let mut text = String::new();
        while let Some(character) = self.peek() {
            self.at += 1;
            if character != '"' {
                text.push(character);
            } else if self.peek() == Some('"') {
                self.at += 1;
                text.push('"');
            } else {
                self.skip_space();
                return Ok(text);
            }
        }
        Err(FilterError { column: opened + 1, message: "there is no second quote for this one".to_owned() })
    }

    /// Whether `word` stands here as a word of its own.
    fn is_keyword(&self, word: &str) -> bool {
        let rest = self.characters.get(self.at..).unwrap_or_default();
        let same = rest.len() >= word.len()
            && rest
                .iter()
                .zip(word.chars())
                .all(|(character, expected)| character.eq_ignore_ascii_case(&expected));
        let ends =
            rest.get(word.len()).is_none_or(|next| next.is_whitespace() || matches!(next, '(' | ')' | '"'));
        same && ends
    }

    /// Reads `word` where it stands here.
    fn keyword(&mut self, word: &str) -> bool {
        let is_here = self.is_keyword(word);
        if is_here {
            self.at += word.len();
            self.skip_space();
        }
        is_here
    }

    fn take_while(&mut self, mut belongs: impl FnMut(char) -> bool) -> String {
        let start = self.at;
        while self.peek().is_some_and(&mut belongs) {
            self.at += 1;
        }
        self.characters[start..self.at].iter().collect()
    }

    fn step(&mut self) {
        self.at += 1;
        self.skip_space();
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<char> {
        self.characters.get(self.at).copied()
    }

    fn error(&self, message: impl Into<String>) -> FilterError {
        FilterError { column: self.at + 1, message: message.into() }
    }
}

fn not(expression: Expression) -> Expression {
    Expression::Not(Box::new(expression))
}
