//! Texts, and places in them.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// A text with a name: a file, or a flag that holds YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file, or `--set`.
    pub name: PathBuf,
    /// Its text.
    pub text: String,
}

impl Source {
    /// Returns line and column (in characters) of a byte, both from 1.
    pub fn place(&self, byte: usize) -> (usize, usize) {
        let mut byte = byte.min(self.text.len());
        while !self.text.is_char_boundary(byte) {
            byte -= 1;
        }
        let before = &self.text[..byte];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

/// Some bytes of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The text.
    pub source: Arc<Source>,
    /// The bytes.
    pub span: Range<usize>,
}

impl Place {
    /// Returns the whole of a text that is no file: a flag, a variable.
    pub fn whole(name: impl Into<PathBuf>, text: &str) -> Self {
        Self { source: Arc::new(Source { name: name.into(), text: text.to_owned() }), span: 0..text.len() }
    }

    /// Returns the line on which it starts, from 1.
    pub fn line(&self) -> usize {
        self.source.place(self.span.start).0
    }
}
