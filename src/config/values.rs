//! Values with a grammar of their own: durations and sizes of memory.

use std::time::Duration;

/// Reads a duration: `90` (seconds), `90s`, `30m`, `1h 30m`, `2d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse::<u64>() {
        return nonzero(Duration::from_secs(seconds));
    }
    let span: jiff::SignedDuration = text
        .parse::<jiff::Span>()
        .and_then(|span| span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()))
        .map_err(|_| "expected a duration".to_owned())?;
    nonzero(Duration::try_from(span).map_err(|_| "a duration cannot be negative".to_owned())?)
}

fn nonzero(duration: Duration) -> Result<Duration, String> {
    if duration.is_zero() { Err("a duration of nothing".to_owned()) } else { Ok(duration) }
}

/// Reads a size of memory in bytes: `4GiB`, `512 MB`, `1.5Gi`, `4g` (binary, as Docker and Slurm read it), `1048576`.
pub fn memory(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..split].parse().map_err(|_| "expected a number and a unit".to_owned())?;
    let unit = match text[split..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "ki" | "kib" => 1024.0,
        "kb" => 1e3,
        "m" | "mi" | "mib" => 1_048_576.0,
        "mb" => 1e6,
        "g" | "gi" | "gib" => 1_073_741_824.0,
        "gb" => 1e9,
        "t" | "ti" | "tib" => 1_099_511_627_776.0,
        "tb" => 1e12,
        other => return Err(format!("`{other}` is not a unit of memory")),
    };
    let bytes = number * unit;
    if !(1.0..1e18).contains(&bytes) {
        return Err("that is not a size that memory can have".to_owned());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was checked above")]
    Ok(bytes as u64)
}

/// Reads a count that may be zero.
pub fn count(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "expected a whole number".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_that_are_read_and_refused() {
        for (text, seconds) in [("90", 90), ("90s", 90), ("30m", 1800), ("1h 30m", 5400), ("1h30m", 5400), ("2d", 172_800)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "soon", "-5m", "0", "1x", "5 parsecs"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_that_are_read_and_refused() {
        for (text, bytes) in
            [("4GiB", 4 << 30), ("512MB", 512_000_000), ("1.5Gi", 3 << 29), ("4g", 4 << 30), ("100", 100), ("512 MiB", 512 << 20)]
        {
            assert_eq!(memory(text), Ok(bytes), "{text}");
        }
        for text in ["", "lots", "4 apples", "-1GiB", "0", "GiB"] {
            assert!(memory(text).is_err(), "{text}");
        }
    }
}
