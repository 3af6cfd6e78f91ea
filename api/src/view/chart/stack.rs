//! A breakdown over time: the programs that used most above one another, and all others on top.

use fleetps_ingestor::history::Breakdown;

use super::{Frame, Pen, Shape};

/// The greatest sum of all layers.
pub(crate) fn greatest(breakdown: &Breakdown) -> f64 {
    let parts = breakdown.bounds_us.len().saturating_sub(1);
    (0..parts).map(|part| heights(breakdown, part).last().copied().unwrap_or_default()).fold(0.0, f64::max)
}

/// The shapes, one for each layer and one for the others, with the classes `layer k0`, `layer k1`, … and `layer other`.
pub(crate) fn shapes(frame: &Frame, breakdown: &Breakdown) -> Vec<Shape> {
    let parts: Vec<(f64, f64, Vec<f64>)> = breakdown
        .bounds_us
        .windows(2)
        .enumerate()
        .filter_map(|(part, bounds)| match bounds {
            [from_us, to_us] => Some((frame.x(*from_us), frame.x(*to_us), heights(breakdown, part))),
            _ => None,
        })
        .collect();
    let layer = |number: usize| {
        let class = match number < breakdown.layers.len() {
            true => format!("layer k{number}"),
            false => "layer other".to_owned(),
        };
        Shape { class, path: path(frame, &parts, number) }
    };
    (0..=breakdown.layers.len()).map(layer).filter(|shape| !shape.path.is_empty()).collect()
}

/// The layers' upper edges in one part, from the bottom: as many as there are layers and one for the others; none where
/// nothing is known.
fn heights(breakdown: &Breakdown, part: usize) -> Vec<f64> {
    let values = breakdown.layers.iter().map(|layer| &layer.values).chain([&breakdown.other]);
    let values: Vec<Option<f64>> = values.map(|values| values.get(part).copied().flatten()).collect();
    if values.iter().all(Option::is_none) {
        return Vec::new();
    }
    let mut sum = 0.0;
    let mut add = |value: &Option<f64>| {
        sum += value.unwrap_or_default().max(0.0);
        sum
    };
    values.iter().map(&mut add).collect()
}

/// The outline of one layer: one polygon for each run of parts that are known.
fn path(frame: &Frame, parts: &[(f64, f64, Vec<f64>)], number: usize) -> String {
    let mut pen = Pen::default();
    for run in parts.split(|(_, _, heights)| heights.is_empty()) {
        let edge = |below: usize| {
            run.iter().flat_map(move |(left, right, heights)| {
                let height =
                    below.checked_sub(1).and_then(|place| heights.get(place)).copied().unwrap_or_default();
                [(*left, frame.y(height)), (*right, frame.y(height))]
            })
        };
        let mut outline: Vec<(f64, f64)> = edge(number + 1).collect();
        let mut floor: Vec<(f64, f64)> = edge(number).collect();
        floor.reverse();
        outline.extend(floor);
        pen.polygon(&outline);
    }
    pen.text
}

#[cfg(test)]
mod tests {
    use fleetps_ingestor::history::{Layer, Resolution, Span};

    use super::*;

    fn breakdown() -> Breakdown {
        let layer =
            |name: &str, values: [Option<f64>; 3]| Layer { name: name.to_owned(), values: values.into() };
        Breakdown {
            resolution: Resolution::Samples,
            bounds_us: vec![0, 10, 20, 30],
            layers: vec![
                layer("java", [Some(50.0), None, Some(20.0)]),
                layer("nginx", [Some(25.0), None, None]),
            ],
            other: vec![Some(0.0), None, Some(5.0)],
        }
    }

    #[test]
    fn layers_lie_above_one_another_and_leave_out_what_is_not_known() {
        let breakdown = breakdown();
        let frame = Frame::whole(Span { from_us: 0, to_us: 30 }, 100.0);
        let shapes = shapes(&frame, &breakdown);
        let drawn: Vec<_> = shapes.iter().map(|shape| (shape.class.as_str(), shape.path.as_str())).collect();
        assert_eq!(drawn[0], ("layer k0", "M0 200h667v200h-667zM1333 320h667v80h-667z"));
        assert_eq!(drawn[1], ("layer k1", "M0 100h667v100h-667zM1333 320h667h-667z"));
        assert_eq!(drawn[2], ("layer other", "M0 100h667h-667zM1333 300h667v20h-667z"));
        assert_eq!(greatest(&breakdown), 75.0);
    }
}
