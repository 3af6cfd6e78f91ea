//! Works out an expression at every step, from what its selectors found. Pure.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap},
};

use super::{
    ast::{Aggregate, AggregateOperator, Binary, EachFunction, Expr, Grouping, Kind},
    parse::NAME,
    problem::Problem,
    series::{Labels, Series, grouped, without_name},
};

/// A value at every step: a number, or series.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Scalar(Vec<f64>),
    Vector(Vec<Series>),
}

/// What selectors found, by their numbers.
pub(super) type Found = HashMap<usize, Vec<Series>>;

/// The value of `expr` at `steps` steps. `check` is called before each part and says whether there is time for it.
///
/// # Errors
/// When two sides do not go together, and those of `check`.
pub(super) fn evaluate<E: From<Problem>>(
    expr: &Expr,
    found: &Found,
    steps: usize,
    check: &impl Fn() -> Result<(), E>,
) -> Result<Value, E> {
    check()?;
    Ok(match &expr.kind {
        Kind::Number(number) => Value::Scalar(vec![*number; steps]),
        Kind::Instant(selector) | Kind::Window(_, selector) => {
            Value::Vector(found.get(&selector.number).cloned().unwrap_or_default())
        }
        Kind::Each(function, of) => {
            let value = evaluate(of, found, steps, check)?;
            match value {
                Value::Vector(_) => each(value, |value| apply(*function, value)),
                Value::Scalar(_) => {
                    return Err(Problem::at(of.column, "expected series here, found a number").into());
                }
            }
        }
        Kind::Negate(of) => each(evaluate(of, found, steps, check)?, |value| -value),
        Kind::Aggregate(aggregate) => match evaluate(&aggregate.of, found, steps, check)? {
            Value::Vector(series) => Value::Vector(self::aggregate(aggregate, series, steps)),
            Value::Scalar(_) => {
                return Err(Problem::at(aggregate.of.column, "expected series here, found a number").into());
            }
        },
        Kind::Binary(binary) => {
            let (left, right) =
                (evaluate(&binary.left, found, steps, check)?, evaluate(&binary.right, found, steps, check)?);
            self::binary(binary, expr.column, left, right)?
        }
    })
}

fn apply(function: EachFunction, value: f64) -> f64 {
    match function {
        EachFunction::Abs => value.abs(),
        EachFunction::Ceil => value.ceil(),
        EachFunction::Floor => value.floor(),
        // Halves are rounded up, as Prometheus does.
        EachFunction::Round => (value + 0.5).floor(),
    }
}

fn each(value: Value, function: impl Fn(f64) -> f64) -> Value {
    match value {
        Value::Scalar(values) => Value::Scalar(values.into_iter().map(function).collect()),
        Value::Vector(series) => Value::Vector(
            series
                .into_iter()
                .map(|series| Series {
                    labels: without_name(series.labels),
                    values: series.values.into_iter().map(|value| value.map(&function)).collect(),
                })
                .collect(),
        ),
    }
}

fn aggregate(aggregate: &Aggregate, series: Vec<Series>, steps: usize) -> Vec<Series> {
    let mut groups: BTreeMap<Labels, Vec<Series>> = BTreeMap::new();
    for series in series {
        groups.entry(grouped(&series.labels, &aggregate.grouping)).or_default().push(series);
    }
    let of_group = |(labels, group): (Labels, Vec<Series>)| match aggregate.operator {
        AggregateOperator::Top(count) => ranked(group, count, steps, |a, b| b.total_cmp(a)),
        AggregateOperator::Bottom(count) => ranked(group, count, steps, f64::total_cmp),
        operator => {
            let at = |step: usize| {
                summed(operator, group.iter().filter_map(|series| series.values.get(step).copied().flatten()))
            };
            vec![Series { labels, values: (0..steps).map(at).collect() }]
        }
    };
    let mut all: Vec<Series> = groups.into_iter().flat_map(of_group).collect();
    all.retain(|series| !series.is_empty());
    all
}

fn summed(operator: AggregateOperator, values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut count, mut sum, mut min, mut max) = (0, 0.0, f64::NAN, f64::NAN);
    for value in values {
        count += 1;
        sum += value;
        // Not a number only where all are.
        min = value.min(min);
        max = value.max(max);
    }
    (count > 0).then(|| match operator {
        AggregateOperator::Avg => sum / f64::from(count),
        AggregateOperator::Min => min,
        AggregateOperator::Max => max,
        AggregateOperator::Count => f64::from(count),
        _ => sum,
    })
}

/// The first `count` series of each step.
fn ranked(
    mut group: Vec<Series>,
    count: usize,
    steps: usize,
    order: impl Fn(&f64, &f64) -> Ordering,
) -> Vec<Series> {
    for step in 0..steps {
        let values = group.iter().enumerate();
        let mut ranking: Vec<(usize, f64)> = values
            .filter_map(|(place, series)| Some((place, series.values.get(step).copied().flatten()?)))
            .collect();
        ranking.sort_by(|a, b| a.1.is_nan().cmp(&b.1.is_nan()).then_with(|| order(&a.1, &b.1)));
        for (place, _) in ranking.into_iter().skip(count) {
            if let Some(value) = group.get_mut(place).and_then(|series| series.values.get_mut(step)) {
                *value = None;
            }
        }
    }
    if steps == 1 {
        // An answer about one moment is in their order.
        let value = |series: &Series| series.values.first().copied().flatten().unwrap_or(f64::NAN);
        group.sort_by(|a, b| order(&value(a), &value(b)));
    }
    group
}

fn binary(binary: &Binary, column: usize, left: Value, right: Value) -> Result<Value, Problem> {
    let operator = binary.operator;
    let keeps = operator.is_comparison() && !binary.is_bool;
    if binary.matching.is_some() && !matches!((&left, &right), (Value::Vector(_), Value::Vector(_))) {
        return Err(Problem::at(column, "`on` and `ignoring` need series on both sides"));
    }
    Ok(match (left, right) {
        (Value::Scalar(_), Value::Scalar(_)) if keeps => {
            return Err(Problem::at(column, "comparing two numbers needs `bool` behind the operator"));
        }
        (Value::Scalar(left), Value::Scalar(right)) => Value::Scalar(
            left.into_iter().zip(right).map(|(left, right)| operator.apply(left, right)).collect(),
        ),
        (Value::Vector(series), Value::Scalar(numbers)) => {
            Value::Vector(with_numbers(series, &numbers, keeps, |value, number| {
                operator.apply(value, number)
            }))
        }
        (Value::Scalar(numbers), Value::Vector(series)) => {
            Value::Vector(with_numbers(series, &numbers, keeps, |value, number| {
                operator.apply(number, value)
            }))
        }
        (Value::Vector(left), Value::Vector(right)) => {
            let ignoring_name = Grouping::Without(Vec::new());
            let matching = binary.matching.as_ref().unwrap_or(&ignoring_name);
            Value::Vector(paired(binary, matching, keeps, column, left, right)?)
        }
    })
}

fn with_numbers(
    series: Vec<Series>,
    numbers: &[f64],
    keeps: bool,
    apply: impl Fn(f64, f64) -> f64,
) -> Vec<Series> {
    let one = |series: Series| {
        let values = series.values.into_iter().zip(numbers);
        let value = |(value, number): (Option<f64>, &f64)| {
            let value = value?;
            let result = apply(value, *number);
            if keeps { (result != 0.0).then_some(value) } else { Some(result) }
        };
        let values = values.map(value).collect();
        let labels = if keeps { series.labels } else { without_name(series.labels) };
        Series { labels, values }
    };
    let mut all: Vec<Series> = series.into_iter().map(one).collect();
    all.retain(|series| !series.is_empty());
    all
}

/// Series of two sides whose labels are the same.
fn paired(
    binary: &Binary,
    matching: &Grouping,
    keeps: bool,
    column: usize,
    left: Vec<Series>,
    right: Vec<Series>,
) -> Result<Vec<Series>, Problem> {
    let mut others: BTreeMap<Labels, Series> = BTreeMap::new();
    let twice = || {
        let hint =
            "several series of one side have the same labels; sum them up first, or match by more labels";
        Problem::at(column, hint)
    };
    for series in right {
        if others.insert(grouped(&series.labels, matching), series).is_some() {
            return Err(twice());
        }
    }
    let mut all: BTreeMap<Labels, Series> = BTreeMap::new();
    for series in left {
        let key = grouped(&series.labels, matching);
        let Some(other) = others.get(&key) else { continue };
        let value = |(left, right): (&Option<f64>, &Option<f64>)| {
            let (left, right) = ((*left)?, (*right)?);
            let result = binary.operator.apply(left, right);
            if keeps { (result != 0.0).then_some(left) } else { Some(result) }
        };
        let values = series.values.iter().zip(&other.values).map(value).collect();
        let mut labels = match &binary.matching {
            Some(_) => key.clone(),
            None => series.labels.clone(),
        };
        if keeps {
            labels.extend(series.labels.get_key_value(NAME).map(|(name, value)| (*name, value.clone())));
        } else {
            labels.remove(NAME);
        }
        if all.insert(key, Series { labels, values }).is_some() {
            return Err(twice());
        }
    }
    Ok(all.into_values().filter(|series| !series.is_empty()).collect())
}
