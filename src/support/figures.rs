//! Numbers as people read them: six figures, `3.2e-07` where zeros would hide the number, and words where there is none.

use std::fmt;

/// Shows a number with at most six significant digits; whole ones below a thousand million million are shown in full.
///
/// ```
/// # use sendoff::support::figures::Figures;
/// assert_eq!(Figures(0.123_456_789).to_string(), "0.123457");
/// assert_eq!(Figures(3.2e-7).to_string(), "3.2e-07");
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures(pub f64);

/// Shows a number with all digits that tell it from others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exact(pub f64);

/// The digits that [`Figures`] keeps.
const DIGITS: u8 = 6;

/// The powers of ten that are written out: the zeros of others are harder to count than an exponent is to read.
const WRITTEN_OUT: std::ops::Range<i32> = -4..15;

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rounded first: 9.9999999 is 10, which has another exponent.
        let rounded = format!("{:.*e}", usize::from(DIGITS) - 1, self.0);
        let Some((digits, exponent)) = parts(&rounded) else { return f.write_str(word(self.0)) };
        if !WRITTEN_OUT.contains(&exponent) {
            return scientific(f, digits, exponent);
        }
        let decimals = usize::try_from(i32::from(DIGITS) - 1 - exponent).unwrap_or(0);
        f.write_str(trimmed(&format!("{:.*}", decimals, self.0)))
    }
}

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match parts(&format!("{:e}", self.0)) {
            None => f.write_str(word(self.0)),
            Some((_, exponent)) if WRITTEN_OUT.contains(&exponent) => write!(f, "{}", self.0),
            Some((digits, exponent)) => scientific(f, digits, exponent),
        }
    }
}

fn parts(text: &str) -> Option<(&str, i32)> {
    let (digits, exponent) = text.split_once('e')?;
    Some((digits, exponent.parse().ok()?))
}

/// Writes a power of ten as Python does, with two digits.
fn scientific(f: &mut fmt::Formatter<'_>, digits: &str, exponent: i32) -> fmt::Result {
    let sign = if exponent < 0 { '-' } else { '+' };
    write!(f, "{}e{sign}{:02}", trimmed(digits), exponent.abs())
}

fn trimmed(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

fn word(value: f64) -> &'static str {
    match value {
        value if value.is_nan() => "nan",
        value if value > 0.0 => "inf",
        _ => "-inf",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_figures_are_shown_and_none_of_them_is_hidden_by_zeros() {
        let table = [
            (0.0, "0"),
            (-1.0, "-1"),
            (0.5, "0.5"),
            (0.123_456_789, "0.123457"),
            (1234.5678, "1234.57"),
            (9.999_999_9, "10"),
            (123_456_789.0, "123456789"),
            (1_234_567.8, "1234568"),
            (0.000_12, "0.00012"),
            (3.2e-7, "3.2e-07"),
            (-6.02e23, "-6.02e+23"),
            (1e-300, "1e-300"),
            (f64::MAX, "1.79769e+308"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ];
        for (value, text) in table {
            assert_eq!(Figures(value).to_string(), text, "{value:e}");
        }
    }

    #[test]
    fn an_exact_number_is_told_from_its_neighbour() {
        let table =
            [(0.899_999_99, "0.89999999"), (7.0, "7"), (3.2e-7, "3.2e-07"), (f64::MAX, "1.7976931348623157e+308"), (f64::NAN, "nan")];
        for (value, text) in table {
            assert_eq!(Exact(value).to_string(), text, "{value:e}");
        }
    }
}
