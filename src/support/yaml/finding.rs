//! What is wrong, where, and what to do about it.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::Place;

/// One thing that is wrong in a text of the user's.
#[derive(Debug, Clone)]
pub struct Finding {
    /// What is wrong, as a sentence fragment.
    pub message: String,
    /// What the marked place is.
    pub reason: String,
    /// What to do.
    pub fix: Option<String>,
    /// Where.
    pub place: Place,
}

impl Finding {
    /// Returns line and column, both from 1.
    pub fn place(&self) -> (usize, usize) {
        self.place.source.place(self.place.span.start)
    }

    /// Renders the finding with its line and a caret.
    pub fn render(&self, colour: bool) -> String {
        let Place { source, span } = &self.place;
        let text = &source.text;
        let start = span.start.min(text.len());
        // A block spans to its end; its first line says enough.
        let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        let end = span.end.clamp(start, line_end.max(start));
        let name = source.name.display().to_string();
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
