//! A filter as a condition in SQL. Values are bound, so nothing that was typed is ever part of the text.

use duckdb::types::Value;

use super::{SqlCondition, expression::Expression};

/// The placeholder for the number of the question in a condition.
pub(super) const QUESTION: &str = "$question";

/// The condition that lets the same rows through.
pub(super) fn condition(expression: &Expression) -> SqlCondition {
    let mut condition = SqlCondition { text: String::new(), values: Vec::new(), patterns: Vec::new() };
    write(expression, &mut condition);
    condition
}

fn write(expression: &Expression, into: &mut SqlCondition) {
    match expression {
        Expression::Word(word) => {
            into.text += "(contains(lower(name), ?) OR coalesce(contains(lower(command_line), ?), false))";
            into.values.extend([Value::Text(word.clone()), Value::Text(word.clone())]);
        }
        Expression::Same(field, text) => {
            into.text += &format!("coalesce({} = ?, false)", field.column);
            into.values.push(Value::Text(text.clone()));
        }
        Expression::Like(field, pattern) => {
            let (column, index) = (field.column, into.patterns.len());
            into.text += &format!(
                "coalesce(matches_pattern({column}::VARCHAR, {QUESTION}::UBIGINT, {index}::UBIGINT), false)"
            );
            into.patterns.push(pattern.clone());
        }
        Expression::Number(field, order, number) => {
            into.text += &format!("coalesce({}::DOUBLE {} ?, false)", field.column, order.sign());
            into.values.push(Value::Double(*number));
        }
        Expression::Not(inner) => {
            into.text += "NOT ";
            write(inner, into);
        }
        Expression::All(inner) => join(inner, " AND ", into),
        Expression::Any(inner) => join(inner, " OR ", into),
    }
}

fn join(expressions: &[Expression], between: &str, into: &mut SqlCondition) {
    into.text.push('(');
    for (index, expression) in expressions.iter().enumerate() {
        if index > 0 {
            into.text += between;
        }
        write(expression, into);
    }
    into.text.push(')');
}
