//! Metrics for people: the latest value, the extremes, a sparkline.

use super::Point;

/// A metric's history in short.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The latest value.
    pub last: f64,
    /// The smallest, not-a-number left out.
    pub min: f64,
    /// The largest, not-a-number left out.
    pub max: f64,
    /// How many values there are.
    pub count: usize,
}

impl Series {
    /// Sums a history up, which must be in the order of [`Point::rank`]; `None` when it is empty.
    pub fn of(points: &[Point]) -> Option<Self> {
        let last = points.last()?.value;
        let min = points.iter().map(|point| point.value).fold(f64::NAN, f64::min);
        let max = points.iter().map(|point| point.value).fold(f64::NAN, f64::max);
        Some(Self { last, min, max, count: points.len() })
    }
}

/// Draws a history in at most `width` blocks; what is infinite or not a number is a space.
pub fn sparkline(points: &[Point], width: usize) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let finite = || points.iter().map(|point| point.value).filter(|value| value.is_finite());
    let (min, max) = (finite().fold(f64::NAN, f64::min), finite().fold(f64::NAN, f64::max));
    let count = points.len().min(width);
    // The first and the last point are always shown.
    let shown = |index: usize| if count > 1 { index * (points.len() - 1) / (count - 1) } else { 0 };
    (0..count)
        .map(|index| {
            let value = points[shown(index)].value;
            if !value.is_finite() {
                return ' ';
            }
            let share = if max > min { (value / 2.0 - min / 2.0) / (max / 2.0 - min / 2.0) } else { 0.5 };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the share is between 0 and 1")]
            BLOCKS[((share * 7.0).round() as usize).min(7)]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: &[f64]) -> Vec<Point> {
        values.iter().map(|value| Point { step: 0, timestamp: 0, value: *value }).collect()
    }

    #[test]
    fn a_sparkline_shows_the_course_and_survives_odd_values() {
        assert_eq!(sparkline(&points(&[0.0, 0.5, 1.0]), 10), "▁▅█");
        assert_eq!(sparkline(&points(&[1.0, f64::NAN, 1.0]), 10), "▅ ▅");
        assert_eq!(sparkline(&points(&[0.0, f64::INFINITY, 1.0, f64::MAX, f64::MIN]), 10), "▅ ▅█▁");
        assert_eq!(sparkline(&points(&[0.0, 0.0, 0.0, 1.0]), 2), "▁█");
        assert_eq!(sparkline(&points(&[0.0; 100]), 10).chars().count(), 10);
        assert_eq!(sparkline(&[], 10), "");
    }
}
