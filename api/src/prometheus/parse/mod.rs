//! Reads a question: the part of PromQL that is supported, and a refusal with its column for the rest.

mod selector;

pub(super) use self::selector::MAX_SELECTORS;
use super::{
    ast::{
        Aggregate, AggregateOperator, Binary, EachFunction, Expr, Grouping, Kind, Operator, Selector,
        WindowFunction,
    },
    lex::{self, Token, Word},
    problem::Problem,
};

/// How deep brackets and functions may be nested.
const MAX_DEPTH: usize = 48;
/// The most parts of a question; a chain of operators is as deep as it is long.
const MAX_PARTS: usize = 400;
/// The most series that `topk` is asked for.
const MAX_TOP: f64 = 10_000.0;

/// The label that holds a metric's name.
pub(crate) const NAME: &str = "__name__";

const WINDOW_FUNCTIONS: [(&str, WindowFunction); 9] = [
    ("rate", WindowFunction::Rate),
    ("increase", WindowFunction::Increase),
    ("irate", WindowFunction::Irate),
    ("avg_over_time", WindowFunction::Avg),
    ("min_over_time", WindowFunction::Min),
    ("max_over_time", WindowFunction::Max),
    ("sum_over_time", WindowFunction::Sum),
    ("count_over_time", WindowFunction::Count),
    ("last_over_time", WindowFunction::Last),
];
const EACH_FUNCTIONS: [(&str, EachFunction); 4] = [
    ("abs", EachFunction::Abs),
    ("ceil", EachFunction::Ceil),
    ("floor", EachFunction::Floor),
    ("round", EachFunction::Round),
];
const AGGREGATES: [&str; 7] = ["sum", "avg", "min", "max", "count", "topk", "bottomk"];
/// The operators with how tightly they bind.
const OPERATORS: [(&str, Operator, u8); 12] = [
    ("==", Operator::Equal, COMPARISONS),
    ("!=", Operator::NotEqual, COMPARISONS),
    ("<=", Operator::LessOrEqual, COMPARISONS),
    (">=", Operator::GreaterOrEqual, COMPARISONS),
    ("<", Operator::Less, COMPARISONS),
    (">", Operator::Greater, COMPARISONS),
    ("+", Operator::Add, SUMS),
    ("-", Operator::Subtract, SUMS),
    ("*", Operator::Multiply, PRODUCTS),
    ("/", Operator::Divide, PRODUCTS),
    ("%", Operator::Remainder, PRODUCTS),
    ("^", Operator::Power, POWERS),
];
const COMPARISONS: u8 = 1;
const SUMS: u8 = 2;
const PRODUCTS: u8 = 3;
const POWERS: u8 = 4;

/// Reads a question.
///
/// # Errors
/// When it is not in the supported part of PromQL.
pub(super) fn parse(text: &str) -> Result<Expr, Problem> {
    parse_after(text, &mut 0)
}

/// The same of a question that others belong to, which have so many conditions.
fn parse_after(text: &str, matchers: &mut usize) -> Result<Expr, Problem> {
    let mut parser = Parser::new(text, *matchers)?;
    let expr = parser.expression(0)?;
    *matchers = parser.matchers;
    match parser.peek() {
        Word::End => Ok(expr),
        word => Err(Problem::at(parser.column(), format!("{} is not expected here", words(word)))),
    }
}

/// Reads selectors by themselves, as `match[]` has them.
///
/// # Errors
/// When one is none.
pub(crate) fn parse_selectors(texts: &[String]) -> Result<Vec<Selector>, Problem> {
    let mut matchers = 0;
    let one = |text: &String| {
        let expr = parse_after(text, &mut matchers)?;
        match expr.kind {
            Kind::Instant(selector) => Ok(selector),
            _ => Err(Problem::at(expr.column, "expected a selector, as in fleetps_host_up{host=\"web-01\"}")),
        }
    };
    texts.iter().map(one).collect()
}

struct Parser {
    tokens: Vec<Token>,
    place: usize,
    depth: usize,
    parts: usize,
    selectors: usize,
    matchers: usize,
}

impl Parser {
    fn new(text: &str, matchers: usize) -> Result<Self, Problem> {
        Ok(Self { tokens: lex::tokens(text)?, place: 0, depth: 0, parts: 0, selectors: 0, matchers })
    }

    fn token(&self) -> Option<&Token> {
        self.tokens.get(self.place).or(self.tokens.last())
    }

    fn peek(&self) -> &Word {
        self.token().map_or(&Word::End, |token| &token.word)
    }

    fn column(&self) -> usize {
        self.token().map_or(1, |token| token.column)
    }

    fn next(&mut self) -> Word {
        let word = self.peek().clone();
        self.place += 1;
        word
    }

    fn takes(&mut self, sign: &'static str) -> bool {
        let is_it = *self.peek() == Word::Sign(sign);
        self.place += usize::from(is_it);
        is_it
    }

    fn expect(&mut self, sign: &'static str) -> Result<(), Problem> {
        match self.takes(sign) {
            true => Ok(()),
            false => Err(self.unexpected(&format!("`{sign}`"))),
        }
    }

    fn unexpected(&self, expected: &str) -> Problem {
        Problem::at(self.column(), format!("expected {expected}, found {}", words(self.peek())))
    }

    fn takes_keyword(&mut self, keyword: &str) -> bool {
        let is_it = matches!(self.peek(), Word::Name(name) if name.eq_ignore_ascii_case(keyword));
        self.place += usize::from(is_it);
        is_it
    }

    /// An expression whose operators bind more tightly than `above`.
    fn expression(&mut self, above: u8) -> Result<Expr, Problem> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Problem::at(self.column(), format!("this is nested more than {MAX_DEPTH} deep")));
        }
        let mut left = self.operand()?;
        while let Some((operator, binds)) = self.operator()? {
            if binds <= above {
                break;
            }
            self.place += 1;
            let column = left.column;
            let is_bool = operator.is_comparison() && self.takes_keyword("bool");
            let matching = self.matching()?;
            // Powers are read from the right.
            let right = self.expression(if binds == POWERS { binds - 1 } else { binds })?;
            let binary = Binary { operator, is_bool, matching, left, right };
            left = self.part(Kind::Binary(Box::new(binary)), column)?;
        }
        self.depth -= 1;
        Ok(left)
    }

    fn part(&mut self, kind: Kind, column: usize) -> Result<Expr, Problem> {
        self.parts += 1;
        match self.parts > MAX_PARTS {
            true => Err(Problem::at(column, format!("this question has more than {MAX_PARTS} parts"))),
            false => Ok(Expr { kind, column }),
        }
    }

    fn operator(&self) -> Result<Option<(Operator, u8)>, Problem> {
        match self.peek() {
            Word::Sign(sign) => {
                let found = OPERATORS.iter().find(|(known, ..)| known == sign);
                Ok(found.map(|(_, operator, binds)| (*operator, *binds)))
            }
            Word::Name(name) if matches!(name.as_str(), "and" | "or" | "unless" | "atan2") => {
                Err(Problem::at(self.column(), format!("`{name}` is not supported here")))
            }
            _ => Ok(None),
        }
    }

    /// `on (…)` or `ignoring (…)` behind an operator.
    fn matching(&mut self) -> Result<Option<Grouping>, Problem> {
        let matching = if self.takes_keyword("on") {
            Grouping::By(self.labels()?)
        } else if self.takes_keyword("ignoring") {
            Grouping::Without(self.labels()?)
        } else {
            return Ok(None);
        };
        match self.peek() {
            Word::Name(name) if name.starts_with("group_") => Err(Problem::at(
                self.column(),
                format!("`{name}` is not supported; both sides need the same labels"),
            )),
            _ => Ok(Some(matching)),
        }
    }

    fn labels(&mut self) -> Result<Vec<String>, Problem> {
        self.expect("(")?;
        let mut labels = Vec::new();
        while !self.takes(")") {
            match self.next() {
                Word::Name(label) => labels.push(label),
                _ => {
                    self.place -= 1;
                    return Err(self.unexpected("the name of a label"));
                }
            }
            if !self.takes(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(labels)
    }

    fn operand(&mut self) -> Result<Expr, Problem> {
        let column = self.column();
        match self.peek().clone() {
            Word::Number(value) => {
                self.place += 1;
                self.part(Kind::Number(value), column)
            }
            Word::Sign("-") => {
                self.place += 1;
                let of = self.expression(PRODUCTS)?;
                self.part(Kind::Negate(Box::new(of)), column)
            }
            Word::Sign("+") => {
                self.place += 1;
                self.expression(PRODUCTS)
            }
            Word::Sign("(") => {
                self.place += 1;
                let inner = self.expression(0)?;
                self.expect(")")?;
                self.refuse_modifier("an expression in brackets")?;
                Ok(inner)
            }
            Word::Sign("{") => self.instant(None),
            Word::Name(name) => self.named(name, column),
            _ => Err(self.unexpected("a metric, a function or a number")),
        }
    }

    fn named(&mut self, name: String, column: usize) -> Result<Expr, Problem> {
        let lower = name.to_ascii_lowercase();
        let behind = self.tokens.get(self.place + 1).map(|token| &token.word);
        let is_call = behind == Some(&Word::Sign("("));
        let is_grouped = matches!(behind, Some(Word::Name(word)) if matches!(word.to_ascii_lowercase().as_str(), "by" | "without"));
        if AGGREGATES.contains(&lower.as_str()) && (is_call || is_grouped) {
            self.place += 1;
            return self.aggregate(&lower, column);
        }
        if !is_call {
            return match lower.as_str() {
                "inf" | "nan" => {
                    self.place += 1;
                    self.part(Kind::Number(if lower == "inf" { f64::INFINITY } else { f64::NAN }), column)
                }
                _ => {
                    self.place += 1;
                    self.instant(Some((name, column)))
                }
            };
        }
        self.place += 2;
        if let Some((_, function)) = WINDOW_FUNCTIONS.iter().find(|(known, _)| *known == name) {
            let selector = self.selector()?;
            self.expect(")")?;
            if selector.range_ms.is_none() {
                let error = format!("{name} needs a window behind its metric, as in [5m]");
                return Err(Problem::at(selector.column, error));
            }
            return self.part(Kind::Window(*function, selector), column);
        }
        if let Some((_, function)) = EACH_FUNCTIONS.iter().find(|(known, _)| *known == name) {
            let of = self.expression(0)?;
            self.expect(")")?;
            return self.part(Kind::Each(*function, Box::new(of)), column);
        }
        let known = WINDOW_FUNCTIONS.iter().map(|(name, _)| *name).chain(AGGREGATES);
        let known: Vec<&str> = known.chain(EACH_FUNCTIONS.iter().map(|(name, _)| *name)).collect();
        let name = crate::display::cut(&name, 40);
        Err(Problem::at(
            column,
            format!("the function {name} is not supported; there are {}", known.join(", ")),
        ))
    }

    fn aggregate(&mut self, name: &str, column: usize) -> Result<Expr, Problem> {
        let before = self.grouping()?;
        self.expect("(")?;
        let operator = match name {
            "sum" => AggregateOperator::Sum,
            "avg" => AggregateOperator::Avg,
            "min" => AggregateOperator::Min,
            "max" => AggregateOperator::Max,
            "count" => AggregateOperator::Count,
            _ => {
                let column = self.column();
                let count = match self.next() {
                    Word::Number(count) if (0.0..=MAX_TOP).contains(&count) => count as usize,
                    _ => return Err(Problem::at(column, format!("expected a number from 0 to {MAX_TOP}"))),
                };
                self.expect(",")?;
                if name == "topk" { AggregateOperator::Top(count) } else { AggregateOperator::Bottom(count) }
            }
        };
        let of = Box::new(self.expression(0)?);
        self.expect(")")?;
        let after = self.grouping()?;
        if before.is_some() && after.is_some() {
            return Err(Problem::at(column, format!("{name} has two groupings")));
        }
        let grouping = before.or(after).unwrap_or(Grouping::By(Vec::new()));
        self.refuse_modifier("an aggregation")?;
        self.part(Kind::Aggregate(Aggregate { operator, grouping, of }), column)
    }

    fn grouping(&mut self) -> Result<Option<Grouping>, Problem> {
        if self.takes_keyword("by") {
            Ok(Some(Grouping::By(self.labels()?)))
        } else if self.takes_keyword("without") {
            Ok(Some(Grouping::Without(self.labels()?)))
        } else {
            Ok(None)
        }
    }

    fn refuse_modifier(&self, what: &str) -> Result<(), Problem> {
        let is_modifier = match self.peek() {
            Word::Sign(sign) => matches!(*sign, "[" | "@"),
            Word::Name(name) => name.eq_ignore_ascii_case("offset"),
            _ => false,
        };
        match is_modifier {
            true => Err(Problem::at(
                self.column(),
                format!("subqueries, offset and @ of {what} are not supported"),
            )),
            false => Ok(()),
        }
    }
}

/// A word as an error names it.
fn words(word: &Word) -> String {
    match word {
        Word::Name(name) => format!("{:?}", crate::display::cut(name, 40)),
        Word::Number(_) => "a number".to_owned(),
        Word::Duration(_) => "a length of time".to_owned(),
        Word::Text(_) => "a text".to_owned(),
        Word::Sign(sign) => format!("`{sign}`"),
        Word::End => "the end".to_owned(),
    }
}
