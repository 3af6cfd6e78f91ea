//! A filter as a condition in SQL. Values are bound, so nothing that was typed is ever part of the text.

use duckdb::types::Value;

use super::{SqlCondition, expression::Expression};

/// The condition that lets the same rows through.
pub(super) fn condition(expression: &Expression) -> SqlCondition {
    let mut condition =
        SqlCondition { pieces: vec![String::new()], values: Vec::new(), patterns: Vec::new() };
    write(expression, &mut condition);
    condition
}

fn write(expression: &Expression, into: &mut SqlCondition) {
    match expression {
        Expression::Word(word) => {
            into.push("(contains(lower(name), ?) OR coalesce(contains(lower(command_line), ?), false))");
            into.values.extend([Value::Text(word.clone()), Value::Text(word.clone())]);
        }
        Expression::Same(field, text) => {
            into.push(&format!("coalesce({} = ?, false)", field.column));
            into.values.push(Value::Text(text.clone()));
        }
        Expression::Like(field, pattern) => {
            let (column, index) = (field.column, into.patterns.len());
            into.push(&format!("coalesce(matches_pattern({column}::VARCHAR, "));
            into.push_question();
            into.push(&format!("::UBIGINT, {index}::UBIGINT), false)"));
            into.patterns.push(pattern.clone());
        }
        Expression::Number(field, order, number) => {
            into.push(&format!("coalesce({}::DOUBLE {} ?, false)", field.column, order.sign()));
            into.values.push(Value::Double(*number));
        }
        Expression::Not(inner) => {
            into.push("NOT ");
            write(inner, into);
        }
        Expression::All(inner) => join(inner, " AND ", into),
        Expression::Any(inner) => join(inner, " OR ", into),
    }
}

fn join(expressions: &[Expression], between: &str, into: &mut SqlCondition) {
    into.push("(");
    for (index, expression) in expressions.iter().enumerate() {
        if index > 0 {
            into.push(between);
        }
        write(expression, into);
    }
    into.push(")");
}
