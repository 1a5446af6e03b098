//! Metrics for people and gates: the last value, the extremes, a sparkline, a requirement.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::Point;

/// A metric's history in short.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The last value.
    pub last: f64,
    /// The smallest, not-a-number left out.
    pub min: f64,
    /// The largest, not-a-number left out.
    pub max: f64,
    /// How many values there are.
    pub count: usize,
}

impl Series {
    /// Sums a history up; `None` when it is empty.
    pub fn of(points: &[Point]) -> Option<Self> {
        let last = points.last()?.value;
        let min = points.iter().map(|point| point.value).fold(f64::NAN, f64::min);
        let max = points.iter().map(|point| point.value).fold(f64::NAN, f64::max);
        Some(Self { last, min, max, count: points.len() })
    }
}

/// Draws a history in at most `width` blocks; what is not a number is a space.
pub fn sparkline(points: &[Point], width: usize) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let Some(series) = Series::of(points) else { return String::new() };
    let count = points.len().min(width);
    let span = series.max - series.min;
    (0..count)
        .map(|index| {
            let value = points[index * points.len() / count].value;
            if !value.is_finite() {
                return ' ';
            }
            let share = if span > 0.0 && span.is_finite() { (value - series.min) / span } else { 0.5 };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the share is between 0 and 1")]
            BLOCKS[((share * 7.0).round() as usize).min(7)]
        })
        .collect()
}

/// A condition on a metric's last value: `accuracy>=0.9`.
#[derive(Debug, Clone, PartialEq)]
pub struct Requirement {
    metric: String,
    operator: &'static str,
    value: f64,
}

/// A text that is not a requirement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a requirement: expected a metric, one of `>=` `<=` `==` `>` `<`, and a number, like `accuracy>=0.9`")]
pub struct InvalidRequirement(String);

impl FromStr for Requirement {
    type Err = InvalidRequirement;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidRequirement(text.to_owned());
        let operator = [">=", "<=", "==", ">", "<"].into_iter().find(|operator| text.contains(operator)).ok_or_else(invalid)?;
        let (metric, value) = text.split_once(operator).ok_or_else(invalid)?;
        let value = value.trim().parse().map_err(|_| invalid())?;
        if metric.trim().is_empty() { Err(invalid()) } else { Ok(Self { metric: metric.trim().to_owned(), operator, value }) }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.metric, self.operator, self.value)
    }
}

impl Requirement {
    /// Returns `None` when the last value meets it, else why it does not; a metric that is missing does not meet it.
    pub fn failure(&self, metrics: &BTreeMap<String, Vec<Point>>) -> Option<String> {
        let Some(last) = metrics.get(&self.metric).and_then(|points| points.last()) else {
            return Some(format!("`{self}` is not met: there is no metric `{}`", self.metric));
        };
        #[expect(clippy::float_cmp, reason = "`==` is what the user asked for")]
        let met = match self.operator {
            ">=" => last.value >= self.value,
            "<=" => last.value <= self.value,
            "==" => last.value == self.value,
            ">" => last.value > self.value,
            _ => last.value < self.value,
        };
        (!met).then(|| format!("`{self}` is not met: `{}` is {}", self.metric, last.value))
    }
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
        assert_eq!(sparkline(&points(&[0.0; 100]), 10).chars().count(), 10);
        assert_eq!(sparkline(&[], 10), "");
    }

    #[test]
    fn requirements_are_read_and_judged() {
        let metrics = BTreeMap::from([("a".to_owned(), points(&[0.1, 0.9]))]);
        for (text, met) in [("a>=0.9", true), ("a > 0.9", false), ("a<1", true), ("a==0.9", true), ("b>0", false)] {
            assert_eq!(text.parse::<Requirement>().expect("well formed").failure(&metrics).is_none(), met, "{text}");
        }
        for text in ["a", "a>=x", ">=1", ""] {
            assert!(text.parse::<Requirement>().is_err(), "{text}");
        }
    }
}
