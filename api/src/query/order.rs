//! The order of a table: its column and direction.

use serde::{Deserialize, Serialize};

use serde_json::Value as Json;

use super::{
    described::{Parameter, Parameters},
    parameter::{Value, optional, words},
};

/// Which way a table is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The least first.
    Ascending,
    /// The greatest first.
    Descending,
}

impl Value for Direction {
    fn read(given: &str) -> Result<Self, String> {
        match given {
            "asc" => Ok(Self::Ascending),
            "desc" => Ok(Self::Descending),
            _ => Err("`asc` or `desc`".to_owned()),
        }
    }

    fn written(&self) -> String {
        match self {
            Self::Ascending => "asc",
            Self::Descending => "desc",
        }
        .to_owned()
    }

    fn schema() -> Json {
        words(["asc", "desc"])
    }
}

/// A column that a table can be sorted by.
pub trait SortColumn: Value + Copy + PartialEq {
    /// The default column.
    const USUAL: Self;

    /// Whether sorting by it starts with the greatest unless asked otherwise.
    fn starts_with_greatest(self) -> bool;
}

/// The order of a table: the parameters `sort` and `dir`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "OrderQuery<C>", into = "OrderQuery<C>", bound = "C: SortColumn")]
pub struct Order<C> {
    /// The column.
    pub column: C,
    /// Whether the greatest comes first.
    pub descending: bool,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(bound = "C: SortColumn")]
struct OrderQuery<C> {
    #[serde(default = "none", with = "optional", skip_serializing_if = "Option::is_none")]
    sort: Option<C>,
    #[serde(default, with = "optional", skip_serializing_if = "Option::is_none")]
    dir: Option<Direction>,
}

fn none<T>() -> Option<T> {
    None
}

impl<C: SortColumn> Order<C> {
    /// By `column`, in `direction` or, without one, in the column's usual way.
    pub fn by(column: C, direction: Option<Direction>) -> Self {
        let descending = match direction {
            Some(direction) => direction == Direction::Descending,
            None => column.starts_with_greatest(),
        };
        Self { column, descending }
    }

    /// By `column`; the other way round if it is that already.
    pub fn sorted_by(self, column: C) -> Self {
        if self.column == column {
            Self { descending: !self.descending, ..self }
        } else {
            Self::by(column, None)
        }
    }
}

impl<C: SortColumn> Parameters for Order<C> {
    fn parameters() -> Vec<Parameter> {
        vec![
            Parameter::of("sort", "What the rows are sorted by.", |order: &Self| &order.column),
            Parameter {
                name: "dir".to_owned(),
                description: "Which way: the greatest first, or the least.",
                schema: Direction::schema(),
            },
        ]
    }
}

impl<C: SortColumn> Default for Order<C> {
    fn default() -> Self {
        Self::by(C::USUAL, None)
    }
}

impl<C: SortColumn> From<OrderQuery<C>> for Order<C> {
    fn from(query: OrderQuery<C>) -> Self {
        Self::by(query.sort.unwrap_or(C::USUAL), query.dir)
    }
}

impl<C: SortColumn> From<Order<C>> for OrderQuery<C> {
    fn from(order: Order<C>) -> Self {
        let direction = if order.descending { Direction::Descending } else { Direction::Ascending };
        Self {
            sort: Some(order.column).filter(|column| *column != C::USUAL),
            dir: Some(direction).filter(|_| order.descending != order.column.starts_with_greatest()),
        }
    }
}
