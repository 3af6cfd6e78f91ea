//! A host's past hour, small enough for a row of the table of hosts.

use std::fmt::Write;

/// Height of 100 %, in the units of the drawing (the viewBox in `parts/row.html`), in which a minute is one wide.
const HEIGHT: u8 = 16;

/// The outline of percentages as an SVG path, filled from below. 0 % still has a height of one; an unknown value is a
/// hole.
pub(super) fn outline(percent: &[Option<u8>]) -> String {
    let height = |percent: u8| 1 + (u16::from(percent.min(100)) * u16::from(HEIGHT - 1)).div_ceil(100);
    let mut path = format!("M0 {HEIGHT}");
    let mut drawn = 0;
    // Steps of the same height are one; up is negative in SVG.
    for step in percent.chunk_by(|a, b| a.map(height) == b.map(height)) {
        let next = step.first().copied().flatten().map_or(0, height);
        let _ = write!(path, "v{}h{}", i32::from(drawn) - i32::from(next), step.len());
        drawn = next;
    }
    let _ = write!(path, "v{drawn}z");
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_go_up_and_down_and_what_is_not_known_is_left_open() {
        assert_eq!(
            outline(&[Some(0), Some(0), Some(100), None, None, Some(50)]),
            "M0 16v-1h2v-15h1v16h2v-9h1v9z"
        );
        assert_eq!(outline(&[None; 60]), "M0 16v0h60v0z");
        assert_eq!(outline(&[Some(255)]), "M0 16v-16h1v16z");
    }
}
