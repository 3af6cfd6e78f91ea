//! Regular expressions in questions to the history: DuckDB calls the engine that rows in memory are tested by, as the
//! function `matches_pattern`. So both let the same rows through, the same patterns are refused as too large, and a
//! question ends at its deadline: DuckDB's own engine takes minutes for a block of 2,048 long command lines, and looks
//! whether it was interrupted only between blocks.

use std::{
    collections::HashMap,
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use arrow::{
    array::{Array, AsArray, BooleanArray, RecordBatch},
    datatypes::{DataType, UInt64Type},
};
use duckdb::{
    Connection,
    vscalar::{ArrowFunctionSignature, VArrowScalar},
};
use parking_lot::Mutex;

use super::pattern::Pattern;
use crate::query::{Deadline, Stopped};

/// The function's name: `matches_pattern(text, question, index of the pattern)`.
const FUNCTION: &str = "matches_pattern";

/// The patterns of the questions that are being answered by one DuckDB engine. A clone is the same one.
#[derive(Debug, Clone, Default)]
pub struct AskedPatterns(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    next: AtomicU64,
    by_question: Mutex<HashMap<u64, Arc<Question>>>,
}

#[derive(Debug)]
struct Question {
    patterns: Vec<Pattern>,
    deadline: Deadline,
}

/// A question that is being answered; its patterns are forgotten when it is dropped.
pub(super) struct QuestionGuard<'a> {
    patterns: &'a AskedPatterns,
    number: u64,
}

impl AskedPatterns {
    /// Patterns that `engine` can ask for.
    pub fn of(engine: &Connection) -> duckdb::Result<Self> {
        let patterns = Self::default();
        engine.register_scalar_function_with_state::<MatchesPattern>(FUNCTION, &patterns)?;
        Ok(patterns)
    }

    /// Begins a question about `patterns`.
    pub(super) fn ask(&self, patterns: Vec<Pattern>, deadline: &Deadline) -> QuestionGuard<'_> {
        let number = self.0.next.fetch_add(1, Relaxed);
        let question = Question { patterns, deadline: deadline.clone() };
        self.0.by_question.lock().insert(number, Arc::new(question));
        QuestionGuard { patterns: self, number }
    }

    fn question(&self, number: u64) -> Option<Arc<Question>> {
        self.0.by_question.lock().get(&number).map(Arc::clone)
    }
}

impl QuestionGuard<'_> {
    /// Its number, as the function is given it.
    pub(super) fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for QuestionGuard<'_> {
    fn drop(&mut self) {
        self.patterns.0.by_question.lock().remove(&self.number);
    }
}

struct MatchesPattern;

impl VArrowScalar for MatchesPattern {
    type State = AskedPatterns;

    fn invoke(state: &AskedPatterns, input: RecordBatch) -> Result<Arc<dyn Array>, Box<dyn Error>> {
        let [texts, questions, indexes] = input.columns() else { return Err("three arguments".into()) };
        let texts = texts.as_string_opt::<i32>().ok_or("the text is no text")?;
        let numbers = |array: &Arc<dyn Array>| array.as_primitive_opt::<UInt64Type>()?.iter().next()?;
        let Some((question, index)) = numbers(questions).zip(numbers(indexes)) else {
            return Ok(Arc::new(BooleanArray::new_null(texts.len())));
        };
        let question = state.question(question).ok_or("this question has ended")?;
        let pattern = usize::try_from(index).ok().and_then(|index| question.patterns.get(index));
        let pattern = pattern.ok_or("there is no such pattern")?;
        let matches = |text: Option<&str>| {
            question.deadline.check()?;
            Ok(text.map(|text| pattern.matches(text)))
        };
        let found = texts.iter().map(matches).collect::<Result<BooleanArray, Stopped>>()?;
        Ok(Arc::new(found))
    }

    fn signatures() -> Vec<ArrowFunctionSignature> {
        let arguments = vec![DataType::Utf8, DataType::UInt64, DataType::UInt64];
        vec![ArrowFunctionSignature::exact(arguments, DataType::Boolean)]
    }
}
