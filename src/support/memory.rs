//! How sizes of memory and files are written: `4GiB`, `512 MB`, `1.5Gi`, `4g` (binary, as Docker and Slurm read it), `1048576`.

use schemars::{Schema, json_schema};

use super::yaml::Grammar;

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory(pub u64);

impl Grammar for Memory {
    const EXAMPLE: &'static str = "4GiB";

    fn parse(text: &str) -> Result<Self, String> {
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
        Ok(Self(bytes as u64))
    }

    fn schema() -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "minimum": 1,
            "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*([kKmMgGtT]([iI][bB]?|[bB])?|[bB])?\s*$",
            "examples": ["512MB", "4GiB"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_are_read_and_refused() {
        for (text, bytes) in
            [("4GiB", 4 << 30), ("512MB", 512_000_000), ("1.5Gi", 3 << 29), ("4g", 4 << 30), ("100", 100), ("512 MiB", 512 << 20)]
        {
            assert_eq!(Memory::parse(text), Ok(Memory(bytes)), "{text}");
        }
        for text in ["", "lots", "4 apples", "-1GiB", "0", "GiB"] {
            assert!(Memory::parse(text).is_err(), "{text}");
        }
    }
}
