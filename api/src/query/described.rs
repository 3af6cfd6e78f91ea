//! What a query's parameters are, for the description of the routes that take them.
//!
//! `parameters!` names every field of a query's struct once more, with its words; the compiler refuses a list that leaves
//! one out. The type of each field says which values it can have.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::parameter::Value;

/// A parameter of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: &'static str,
    /// The JSON schema of its values. A list has type `array`, written with commas between.
    pub schema: Json,
}

impl Parameter {
    /// A parameter of the type that `read` takes from its query.
    pub fn of<Q, T: Described>(name: &str, description: &'static str, _read: fn(&Q) -> &T) -> Self {
        Self { name: name.to_owned(), description, schema: T::schema() }
    }
}

/// A query whose parameters are known.
pub(crate) trait Parameters {
    /// The parameters, in the order of the struct.
    fn parameters() -> Vec<Parameter>;
}

/// The parameters of the query that `read` takes from the one that it is a part of.
pub(crate) fn flattened<Q, T: Parameters>(_read: fn(&Q) -> &T) -> Vec<Parameter> {
    T::parameters()
}

/// The type of a parameter: a value, one that may be absent, or a list.
pub trait Described {
    /// The JSON schema of its values.
    fn schema() -> Json;
}

impl<T: Value> Described for T {
    fn schema() -> Json {
        <T as Value>::schema()
    }
}

impl<T: Value> Described for Option<T> {
    fn schema() -> Json {
        <T as Value>::schema()
    }
}

impl<T: Value> Described for Vec<T> {
    fn schema() -> Json {
        json!({"type": "array", "items": <T as Value>::schema()})
    }
}

impl<T: Value> Described for BTreeSet<T> {
    fn schema() -> Json {
        Vec::<T>::schema()
    }
}

/// `parameters! { Query { field: "what it is for", renamed as "kind": "…"; ..flattened, } }` describes a query.
macro_rules! parameters {
    ($query:ident { $($field:ident $(as $name:literal)?: $words:literal,)* $(..$part:ident,)* }) => {
        impl $crate::query::Parameters for $query {
            fn parameters() -> Vec<$crate::query::Parameter> {
                // Fails to compile when a field is missing here.
                let _complete = |query: &Self| {
                    let Self { $($field: _,)* $($part: _,)* } = query;
                };
                #[allow(unused_mut, reason = "a query may have no parts, or no parameter")]
                let mut all: Vec<$crate::query::Parameter> = vec![
                    $($crate::query::Parameter::of(
                        $crate::query::described::name_of!($field $(, $name)?),
                        $words,
                        |query: &Self| &query.$field,
                    ),)*
                ];
                $(all.extend($crate::query::described::flattened(|query: &Self| &query.$part));)*
                all
            }
        }
    };
}

/// The name of a parameter: the field's, or the one that it is renamed to.
macro_rules! name_of {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident, $name:literal) => {
        $name
    };
}

pub(crate) use name_of;
pub(crate) use parameters;
