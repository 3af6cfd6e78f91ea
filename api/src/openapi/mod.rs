//! The description of the JSON interface: an OpenAPI 3.1 document, made from the table of routes.
//!
//! Nothing is written down twice. A route below `/api/v1` is made by a constructor that takes its description from the
//! handler's own signature:
//!
//! * its arguments ([`Argument`]) say which parameters and which body it reads: the query's struct lists them with
//!   `parameters!`, and the compiler refuses a list that leaves a field out;
//! * its result ([`Answers`]) says what it answers: an [`Answer`] of a struct is made from such a struct only, and the
//!   struct's `JsonSchema` follows its `Serialize`;
//! * its policy says who may ask, and with it which refusals there are.
//!
//! `answer` has the types of answers, `operation` reads signatures, `document` writes the document, whole or as far as
//! one person may use it. The tests validate every answer that they get against it, and take a field that it does not have
//! for a mistake.

mod answer;
mod document;
mod operation;

pub(crate) use answer::shape;
pub use answer::{Answer, Answers, Content, Described, OrUnavailable, Shape, Stream, Time, response};
pub use document::{Interface, Listed};
pub use operation::{Argument, Describe, Operation, Takes};
