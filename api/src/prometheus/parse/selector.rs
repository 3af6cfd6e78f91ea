//! Reads selectors: a metric, conditions, a window, and when.

use super::{NAME, Parser};
use crate::prometheus::{
    ast::{At, Expr, Kind, Selector},
    lex::Word,
    matcher::Matcher,
    problem::Problem,
};

/// The most selectors: each is at least one query.
pub(in crate::prometheus) const MAX_SELECTORS: usize = 16;
/// The most conditions of all selectors together: Grafana's dashboards have three of a selector, and each may be a regular
/// expression.
const MAX_MATCHERS: usize = 64;
/// The longest window and offset, in ms: a hundred years.
const MAX_LENGTH_MS: i64 = 100 * 365 * 86_400_000;

impl Parser {
    pub(super) fn instant(&mut self, name: Option<(String, usize)>) -> Result<Expr, Problem> {
        let selector = self.selector_of(name)?;
        let column = selector.column;
        match selector.range_ms {
            Some(_) => Err(Problem::at(column, "a window needs a function, as in rate(…[5m])")),
            None => self.part(Kind::Instant(selector), column),
        }
    }

    /// A selector within a function of windows.
    pub(super) fn selector(&mut self) -> Result<Selector, Problem> {
        let column = self.column();
        let behind = self.tokens.get(self.place + 1).map(|token| &token.word);
        match self.peek().clone() {
            Word::Name(name) if behind != Some(&Word::Sign("(")) => {
                self.place += 1;
                self.selector_of(Some((name, column)))
            }
            Word::Sign("{") => self.selector_of(None),
            _ => Err(Problem::at(
                column,
                "expected a metric with a window, as in fleetps_host_cpu_percent[5m]; windows of expressions are not supported",
            )),
        }
    }

    fn selector_of(&mut self, name: Option<(String, usize)>) -> Result<Selector, Problem> {
        let column = name.as_ref().map_or(self.column(), |(_, column)| *column);
        let mut matchers: Vec<Matcher> = name.into_iter().map(|(name, _)| Matcher::is(NAME, name)).collect();
        if self.takes("{") {
            while !self.takes("}") {
                matchers.push(self.matcher()?);
                if !self.takes(",") {
                    self.expect("}")?;
                    break;
                }
            }
        }
        if matchers.is_empty() {
            return Err(Problem::at(column, "this selects everything; name a metric"));
        }
        self.selectors += 1;
        if self.selectors > MAX_SELECTORS {
            return Err(Problem::at(
                column,
                format!("this question has more than {MAX_SELECTORS} selectors"),
            ));
        }
        let range_ms = self.range()?;
        let number = self.selectors - 1;
        let mut selector = Selector { matchers, range_ms, offset_ms: 0, at: None, number, column };
        loop {
            if self.takes_keyword("offset") {
                let sign = if self.takes("-") { -1 } else { 1 };
                selector.offset_ms = sign * self.length()?;
            } else if self.takes("@") {
                selector.at = Some(self.at()?);
            } else {
                return Ok(selector);
            }
        }
    }

    fn matcher(&mut self) -> Result<Matcher, Problem> {
        let column = self.column();
        self.matchers += 1;
        if self.matchers > MAX_MATCHERS {
            let error = format!("this question has more than {MAX_MATCHERS} conditions on labels");
            return Err(Problem::at(column, error));
        }
        let Word::Name(label) = self.next() else {
            self.place -= 1;
            return Err(self.unexpected("the name of a label"));
        };
        let operator = match self.next() {
            Word::Sign(operator @ ("=" | "!=" | "=~" | "!~")) => operator,
            _ => {
                self.place -= 1;
                return Err(self.unexpected("one of = != =~ !~"));
            }
        };
        match self.next() {
            Word::Text(value) => Matcher::new(label, operator, value, column),
            _ => {
                self.place -= 1;
                Err(self.unexpected("a text in quotes"))
            }
        }
    }

    fn range(&mut self) -> Result<Option<i64>, Problem> {
        if !self.takes("[") {
            return Ok(None);
        }
        let range_ms = self.length()?;
        if *self.peek() == Word::Sign(":") {
            return Err(Problem::at(self.column(), "subqueries are not supported"));
        }
        self.expect("]")?;
        match range_ms {
            0 => Err(Problem::at(self.column(), "a window cannot be empty")),
            range_ms => Ok(Some(range_ms)),
        }
    }

    /// A length of time in ms: `5m`, or seconds as a number.
    fn length(&mut self) -> Result<i64, Problem> {
        let column = self.column();
        let length_ms = match self.next() {
            Word::Duration(length_ms) => length_ms,
            Word::Number(seconds) => (seconds * 1000.0).round() as i64,
            _ => {
                self.place -= 1;
                return Err(self.unexpected("a length of time, as in 5m"));
            }
        };
        match length_ms <= MAX_LENGTH_MS {
            true => Ok(length_ms),
            false => Err(Problem::at(column, "this is longer than a hundred years")),
        }
    }

    fn at(&mut self) -> Result<At, Problem> {
        let column = self.column();
        let is_negative = self.takes("-");
        match self.next() {
            Word::Number(seconds) if (seconds * 1000.0).abs() < 1e15 => {
                let ms = (seconds * 1000.0).round() as i64;
                Ok(At::Ms(if is_negative { -ms } else { ms }))
            }
            Word::Name(name) if !is_negative && matches!(name.as_str(), "start" | "end") => {
                self.expect("(")?;
                self.expect(")")?;
                Ok(if name == "start" { At::Start } else { At::End })
            }
            _ => Err(Problem::at(column, "expected seconds since 1970 UTC, start() or end()")),
        }
    }
}
