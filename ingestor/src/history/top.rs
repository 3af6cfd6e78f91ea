//! Who used most.

use super::{
    History, HistoryError,
    answers::{Listing, TopQuery, TopRow},
};

impl History {
    /// The top over a span.
    pub fn top(&self, query: &TopQuery) -> Result<Listing<TopRow>, HistoryError> {
        let _ = query;
        Err(HistoryError::NotYet("top"))
    }
}
