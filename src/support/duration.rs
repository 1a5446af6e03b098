//! How durations are written: `90` (seconds), `90s`, `30m`, `1h 30m`, `2d`.

use std::time::Duration;

use schemars::{Schema, json_schema};

use super::yaml::Grammar;

impl Grammar for Duration {
    const EXAMPLE: &'static str = "30m";

    fn parse(text: &str) -> Result<Self, String> {
        if let Ok(seconds) = text.parse::<u64>() {
            return nonzero(Self::from_secs(seconds));
        }
        let span: jiff::SignedDuration = text
            .parse::<jiff::Span>()
            .and_then(|span| span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()))
            .map_err(|_| "expected a duration".to_owned())?;
        nonzero(Self::try_from(span).map_err(|_| "a duration cannot be negative".to_owned())?)
    }

    fn schema() -> Schema {
        json_schema!({ "type": ["string", "integer"], "minimum": 1, "pattern": "[0-9]", "examples": ["90s", "30m", "1h 30m", "2d"] })
    }
}

fn nonzero(duration: Duration) -> Result<Duration, String> {
    if duration.is_zero() { Err("a duration of nothing".to_owned()) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_that_are_read_and_refused() {
        for (text, seconds) in [("90", 90), ("90s", 90), ("30m", 1800), ("1h 30m", 5400), ("1h30m", 5400), ("2d", 172_800)] {
            assert_eq!(Duration::parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "soon", "-5m", "0", "1x", "5 parsecs"] {
            assert!(Duration::parse(text).is_err(), "{text}");
        }
    }
}
