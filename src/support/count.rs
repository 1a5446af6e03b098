//! How counts are written: whole numbers, zero included or not.

use std::num::NonZeroU32;

use schemars::{Schema, json_schema};

use super::yaml::Grammar;

impl Grammar for u32 {
    const EXAMPLE: &'static str = "1";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "expected a whole number".to_owned())
    }

    fn schema() -> Schema {
        json_schema!({ "type": ["integer", "string"], "minimum": 0, "pattern": "^[0-9]+$" })
    }
}

impl Grammar for NonZeroU32 {
    const EXAMPLE: &'static str = "2";

    fn parse(text: &str) -> Result<Self, String> {
        Self::new(u32::parse(text)?).ok_or_else(|| "expected at least 1".to_owned())
    }

    fn schema() -> Schema {
        json_schema!({ "type": ["integer", "string"], "minimum": 1, "pattern": "^0*[1-9][0-9]*$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_are_read_and_refused() {
        assert_eq!((u32::parse("0"), NonZeroU32::parse("2").map(NonZeroU32::get)), (Ok(0), Ok(2)));
        for text in ["", "two", "-1", "1.5", "0"] {
            assert!(NonZeroU32::parse(text).is_err(), "{text}");
        }
    }
}
