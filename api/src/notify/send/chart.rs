//! A small line chart as a PNG, for mail. No words in it: they stand beside it, where they can be read aloud and copied.

use png::{BitDepth, ColorType, Encoder};

use crate::notify::notification::Chart;

/// Twice what it is shown at, for sharp screens.
const WIDTH: usize = 1_040;
const HEIGHT: usize = 240;
/// Room above and below the line, so that it is not cut off.
const MARGIN: f64 = 10.0;
/// Half the width of the line.
const HALF_LINE: f64 = 2.5;
/// Dashes of the threshold and the gaps between them.
const DASH: usize = 16;
/// Colours that are seen on white and on black, which a mail may be shown on.
const LINE: [u8; 3] = [0x3b, 0x82, 0xf6];
const THRESHOLD: [u8; 3] = [0xe0, 0x53, 0x1f];
/// How much of the ground the area below the line covers.
const AREA: f64 = 0.16;

/// The picture; `None` where there is nothing to draw.
pub(super) fn png(chart: &Chart) -> Option<Vec<u8>> {
    let values = chart.points.iter().filter_map(|point| point.value).chain(chart.threshold);
    let (low, high) =
        values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
    let (first, last) = (chart.points.first()?.at_us, chart.points.last()?.at_us);
    if high < low || last <= first {
        return None;
    }
    let range = if high > low { high - low } else { 1.0 };
    let y = |value: f64| MARGIN + (high - value) / range * (HEIGHT as f64 - 2.0 * MARGIN);
    let x = |at_us: i64| (at_us.saturating_sub(first)) as f64 / (last - first) as f64 * (WIDTH - 1) as f64;
    let mut picture = vec![0; WIDTH * HEIGHT * 4];
    for pair in chart.points.windows(2) {
        let [from, to] = pair else { continue };
        if let (Some(begin), Some(end)) = (from.value, to.value) {
            stroke(&mut picture, (x(from.at_us), y(begin)), (x(to.at_us), y(end)));
        }
    }
    if let Some(threshold) = chart.threshold {
        let middle = y(threshold);
        for column in (0..WIDTH).filter(|column| (column / DASH).is_multiple_of(2)) {
            for row in 0..HEIGHT {
                paint(&mut picture, column, row, THRESHOLD, 1.5 - (row as f64 - middle).abs());
            }
        }
    }
    encode(&picture)
}

/// One piece of the line, and the area below it.
fn stroke(picture: &mut [u8], from: (f64, f64), to: (f64, f64)) {
    let slope = if to.0 > from.0 { (to.1 - from.1) / (to.0 - from.0) } else { 0.0 };
    let at = |x: f64| from.1 + (x.clamp(from.0, to.0) - from.0) * slope;
    for column in from.0.floor() as usize..=(to.0.ceil() as usize).min(WIDTH - 1) {
        let (left, right) = (at(column as f64 - 0.5), at(column as f64 + 0.5));
        let (top, bottom) = (left.min(right), left.max(right));
        for row in (top - HALF_LINE).max(0.0) as usize..HEIGHT {
            let row_y = row as f64;
            let distance = (top - row_y).max(row_y - bottom).max(0.0);
            let line = (HALF_LINE + 0.5 - distance).clamp(0.0, 1.0);
            let area = if row_y > bottom { AREA } else { 0.0 };
            paint(picture, column, row, LINE, line.max(area));
        }
    }
}

/// Covers a pixel, unless more of it is covered already by the same colour.
fn paint(picture: &mut [u8], column: usize, row: usize, colour: [u8; 3], cover: f64) {
    let alpha = (cover.clamp(0.0, 1.0) * 255.0) as u8;
    let begin = (row * WIDTH + column) * 4;
    if let Some([red, green, blue, opacity]) = picture.get_mut(begin..begin + 4)
        && alpha > 0
        && (alpha >= *opacity || colour == THRESHOLD)
    {
        ([*red, *green, *blue], *opacity) = (colour, alpha.max(*opacity));
    }
}

fn encode(picture: &[u8]) -> Option<Vec<u8>> {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, WIDTH as u32, HEIGHT as u32);
    encoder.set_color(ColorType::Rgba);
    encoder.set_depth(BitDepth::Eight);
    let mut writer = encoder.write_header().ok()?;
    writer.write_image_data(picture).ok()?;
    writer.finish().ok()?;
    Some(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::{examples, notification::Point};

    #[test]
    fn a_chart_is_a_small_picture() {
        let file = png(&examples::raised().chart.unwrap()).unwrap();
        assert!(file.starts_with(b"\x89PNG\r\n\x1a\n") && file.len() < 64 << 10, "{} bytes", file.len());
    }

    #[test]
    fn any_points_make_a_picture_or_none() {
        let point = |at_us, value| Point { at_us, value };
        let drawn = |points: Vec<Point>, threshold| png(&Chart { points, threshold }).is_some();
        assert!(!drawn(Vec::new(), None));
        assert!(!drawn(vec![point(0, Some(1.0))], Some(2.0)));
        assert!(!drawn(vec![point(0, None), point(1, None)], None));
        assert!(drawn(vec![point(0, Some(3.0)), point(1, Some(3.0))], None));
        let (far, huge) = (i64::MAX, f64::from(f32::MAX));
        assert!(drawn(vec![point(0, Some(-huge)), point(1, Some(0.0)), point(far, Some(huge))], Some(huge)));
        assert!(drawn(vec![point(0, Some(1.0)), point(0, Some(2.0)), point(9, Some(1.0))], None));
    }
}
