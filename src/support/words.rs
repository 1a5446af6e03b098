//! Counting and listing words in messages: `1 file`, `2 files`, "`a`, `b` or `c`".

use std::fmt::{self, Display};

/// Shows a count with its noun, which takes an `s` unless there is exactly one.
///
/// ```
/// # use sendoff::support::words::Count;
/// assert_eq!(Count(1, "file").to_string(), "1 file");
/// assert_eq!(Count(1200, "file").to_string(), "1,200 files");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Count(pub usize, pub &'static str);

impl Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0 == 1 { "" } else { "s" };
        write!(f, "{} {}{plural}", grouped(self.0), self.1)
    }
}

/// Returns the number with a comma between groups of three digits.
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns the items in backticks, joined by commas and a last "or".
pub fn any_of<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    joined(items, "or")
}

/// Returns the items in backticks, joined by commas and a last "and".
pub fn all_of<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    joined(items, "and")
}

fn joined<T: Display>(items: impl IntoIterator<Item = T>, last: &str) -> String {
    let words: Vec<String> = items.into_iter().map(|item| format!("`{item}`")).collect();
    match words.as_slice() {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [head @ .., tail] => format!("{} {last} {tail}", head.join(", ")),
    }
}

/// Shows a size in bytes as people read it: `512 B`, `1.4 MiB`.
#[derive(Debug, Clone, Copy)]
pub struct Size(pub u64);

impl Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
        let mut value = self.0 as f64 / 1024.0;
        let mut unit = 0;
        while value >= 1023.95 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        write!(f, "{value:.1} {}", UNITS[unit])
    }
}

/// Shows a span of time as people read it: `0.4 s`, `12 s`, `3 m 5 s`, `2 h 4 m`, `3 d 1 h`.
#[derive(Debug, Clone, Copy)]
pub struct Span(pub std::time::Duration);

impl Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0..10 => write!(f, "{:.1} s", self.0.as_secs_f64()),
            10..60 => write!(f, "{seconds} s"),
            60..3600 => write!(f, "{} m {} s", seconds / 60, seconds % 60),
            3600..86_400 => write!(f, "{} h {} m", seconds / 3600, seconds % 3600 / 60),
            _ => write!(f, "{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_read_like_sentences() {
        assert_eq!(any_of(["a"]), "`a`");
        assert_eq!(any_of(["a", "b"]), "`a` or `b`");
        assert_eq!(all_of(["a", "b", "c"]), "`a`, `b` and `c`");
    }

    #[test]
    fn sizes_and_spans_keep_to_two_figures() {
        assert_eq!(Size(1023).to_string(), "1023 B");
        assert_eq!(Size(1_468_006).to_string(), "1.4 MiB");
        assert_eq!(Size(1024 * 1024 - 1).to_string(), "1.0 MiB");
        assert_eq!(Span(std::time::Duration::from_millis(430)).to_string(), "0.4 s");
        assert_eq!(Span(std::time::Duration::from_secs(185)).to_string(), "3 m 5 s");
    }
}
