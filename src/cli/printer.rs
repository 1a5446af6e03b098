//! Who may print where: stdout is the answer, stderr is talk.

use std::io::{IsTerminal, Write};

use serde::Serialize;

use super::Output;

/// The way out for everything that a command says.
#[derive(Debug, Clone)]
pub(crate) struct Printer {
    output: Output,
    quiet: bool,
    colour: bool,
}

impl Printer {
    pub(crate) fn new(output: Output, quiet: bool) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { output, quiet, colour: wanted && std::io::stderr().is_terminal() }
    }

    /// Returns whether the answer is JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.output == Output::Json
    }

    /// Returns whether talk may be coloured.
    pub(crate) fn colour(&self) -> bool {
        self.colour
    }

    /// Returns whether only the answer is wanted.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Prints the answer. A reader that went away is fine.
    pub(crate) fn answer(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes());
        if !text.ends_with('\n') && !text.is_empty() {
            let _ = out.write_all(b"\n");
        }
        let _ = out.flush();
    }

    /// Prints the answer as one JSON object.
    pub(crate) fn json<T: Serialize>(&self, value: &T) {
        let text = serde_json::to_string_pretty(value).expect("report types are plain data");
        self.answer(&text);
    }

    /// Prints one JSON object of several on a line of its own.
    pub(crate) fn json_line<T: Serialize>(&self, value: &T) {
        self.answer(&serde_json::to_string(value).expect("report types are plain data"));
    }

    /// Says something to the user, unless only the answer is wanted.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            self.complain(text);
        }
    }

    /// Says something that must not be missed.
    pub(crate) fn complain(&self, text: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    /// Returns the text in a style, where colour is wanted.
    pub(crate) fn styled(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
