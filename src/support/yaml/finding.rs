//! What is wrong, where, and what to do about it.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

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

/// One thing that is wrong in a text of the user's.
#[derive(Debug, Clone)]
pub struct Finding {
    /// What is wrong, as a sentence fragment.
    pub message: String,
    /// What the marked place is.
    pub reason: String,
    /// What to do.
    pub fix: Option<String>,
    /// Where: the text and the bytes of it.
    pub source: Arc<Source>,
    /// The bytes.
    pub span: Range<usize>,
}

impl Finding {
    /// Returns line and column, both from 1.
    pub fn place(&self) -> (usize, usize) {
        self.source.place(self.span.start)
    }

    /// Renders the finding with its line and a caret.
    pub fn render(&self, colour: bool) -> String {
        let text = &self.source.text;
        let start = self.span.start.min(text.len());
        // A block spans to its end; its first line says enough.
        let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        let end = self.span.end.clamp(start, line_end.max(start));
        let name = self.source.name.display().to_string();
        let mut group = Level::ERROR.primary_title(&self.message).element(
            Snippet::source(text.as_str())
                .path(name.as_str())
                .annotation(AnnotationKind::Primary.span(start..end).label(self.reason.as_str())),
        );
        if let Some(fix) = &self.fix {
            group = group.element(Level::HELP.message(fix.as_str()));
        }
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group]).clone()
    }
}
