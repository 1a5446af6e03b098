//! Scalars with a grammar of their own.

use schemars::{Schema, json_schema};

/// A scalar that is read from its source text.
pub trait Grammar: Sized {
    /// A value as the user may write it, for fix-its.
    const EXAMPLE: &'static str;

    /// Reads the text; the error says what was expected.
    fn parse(text: &str) -> Result<Self, String>;

    /// Describes the texts that are accepted.
    fn schema() -> Schema;
}

impl Grammar for bool {
    const EXAMPLE: &'static str = "true";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "true" | "True" | "yes" | "on" => Ok(true),
            "false" | "False" | "no" | "off" => Ok(false),
            _ => Err("expected `true` or `false`".to_owned()),
        }
    }

    fn schema() -> Schema {
        json_schema!({ "enum": [true, false, "True", "False", "yes", "no", "on", "off"] })
    }
}

/// Reads one of a closed set of words.
pub(crate) fn word<T: Copy>(text: &str, all: &[(&'static str, T)]) -> Result<T, String> {
    all.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
        let words = || all.iter().map(|(word, _)| *word);
        match crate::support::suggest::nearest(text, words()) {
            Some(near) => format!("expected {}: did you mean `{near}`?", crate::support::words::any_of(words())),
            None => format!("expected {}", crate::support::words::any_of(words())),
        }
    })
}
