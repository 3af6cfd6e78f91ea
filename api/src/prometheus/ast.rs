//! A question as a tree.

use super::matcher::Matcher;

/// An expression.
#[derive(Debug, Clone)]
pub(super) struct Expr {
    pub(super) kind: Kind,
    /// Where it begins in the question, from 1.
    pub(super) column: usize,
}

/// The kinds of expression.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// A number.
    Number(f64),
    /// Series as they were at each step.
    Instant(Selector),
    /// A function of what series were in the window before each step.
    Window(WindowFunction, Selector),
    /// A function of each value.
    Each(EachFunction, Box<Expr>),
    /// Series put together.
    Aggregate(Aggregate),
    /// Two sides.
    Binary(Box<Binary>),
    /// The negative.
    Negate(Box<Expr>),
}

/// Which series, and when.
#[derive(Debug, Clone)]
pub(crate) struct Selector {
    pub(super) matchers: Vec<Matcher>,
    /// The length of the window, in ms.
    pub(super) range_ms: Option<i64>,
    /// How long before, in ms.
    pub(super) offset_ms: i64,
    /// A moment for all steps.
    pub(super) at: Option<At>,
    /// The number of this selector in the question.
    pub(super) number: usize,
    pub(super) column: usize,
}

/// The moment of `@`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum At {
    /// In ms since 1970 UTC.
    Ms(i64),
    /// The first step.
    Start,
    /// The last step.
    End,
}

/// A function of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WindowFunction {
    Rate,
    Increase,
    Irate,
    Avg,
    Min,
    Max,
    Sum,
    Count,
    Last,
}

/// A function of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EachFunction {
    Abs,
    Ceil,
    Floor,
    Round,
}

/// Series put together.
#[derive(Debug, Clone)]
pub(super) struct Aggregate {
    pub(super) operator: AggregateOperator,
    pub(super) grouping: Grouping,
    pub(super) of: Box<Expr>,
}

/// How values become one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum AggregateOperator {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    /// The greatest so many.
    Top(usize),
    /// The least so many.
    Bottom(usize),
}

/// The labels that groups are made by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Grouping {
    By(Vec<String>),
    Without(Vec<String>),
}

/// An operator between two sides.
#[derive(Debug, Clone)]
pub(super) struct Binary {
    pub(super) operator: Operator,
    /// Whether a comparison says 0 or 1 instead of leaving out.
    pub(super) is_bool: bool,
    /// The labels by which series of two sides belong together; all but the name where there are none.
    pub(super) matching: Option<Grouping>,
    pub(super) left: Expr,
    pub(super) right: Expr,
}

/// The operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Power,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Operator {
    /// Whether it compares.
    pub(super) fn is_comparison(self) -> bool {
        use Operator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        matches!(self, Equal | NotEqual | Less | LessOrEqual | Greater | GreaterOrEqual)
    }

    /// The value; of a comparison 1 or 0.
    pub(super) fn apply(self, left: f64, right: f64) -> f64 {
        let truth = |is_so: bool| if is_so { 1.0 } else { 0.0 };
        match self {
            Self::Add => left + right,
            Self::Subtract => left - right,
            Self::Multiply => left * right,
            Self::Divide => left / right,
            Self::Remainder => left % right,
            Self::Power => left.powf(right),
            Self::Equal => truth(left == right),
            Self::NotEqual => truth(left != right),
            Self::Less => truth(left < right),
            Self::LessOrEqual => truth(left <= right),
            Self::Greater => truth(left > right),
            Self::GreaterOrEqual => truth(left >= right),
        }
    }
}
