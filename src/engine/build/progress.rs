//! Reads what a builder says while it builds: JSON messages, and in BuildKit's case the steps packed into them.

use std::collections::BTreeMap;

use base64::Engine as _;
use prost::Message as _;
use serde::Deserialize;

use super::messages::{Status, Vertex};
use super::{Error, Watch};

/// How many of a failed step's last lines are shown.
const SHOWN: usize = 20;

/// One message of the answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Message {
    id: Option<String>,
    aux: Option<serde_json::Value>,
    /// What the classic builder prints.
    stream: Option<String>,
    /// A layer's download, by the classic builder.
    status: Option<String>,
    error: Option<String>,
}

/// A step as far as it is known.
#[derive(Debug, Default)]
struct Step {
    name: String,
    /// Whether somebody was told of it.
    told: bool,
    /// The last lines, the last one perhaps unfinished.
    lines: Vec<String>,
    unfinished: String,
}

/// Collects the answer.
#[derive(Debug, Default)]
pub(super) struct Reader {
    buffer: Vec<u8>,
    steps: BTreeMap<String, Step>,
    /// The key of the step that failed, with the reason; of the classic builder's current step the key is empty.
    failed: Option<(String, String)>,
    error: Option<String>,
    image: Option<String>,
}

impl Reader {
    /// Takes the next bytes.
    pub(super) fn read(&mut self, bytes: &[u8], watch: &dyn Watch) {
        self.buffer.extend_from_slice(bytes);
        let buffer = std::mem::take(&mut self.buffer);
        let mut messages = serde_json::Deserializer::from_slice(&buffer).into_iter::<Message>();
        while let Some(Ok(message)) = messages.next() {
            self.take(message, watch);
        }
        // What is left is the start of a message.
        self.buffer = buffer[messages.byte_offset()..].to_vec();
    }

    fn take(&mut self, message: Message, watch: &dyn Watch) {
        match (message.id.as_deref(), message.aux) {
            (Some("moby.buildkit.trace"), Some(serde_json::Value::String(packed))) => {
                let bytes = base64::engine::general_purpose::STANDARD.decode(packed).unwrap_or_default();
                // A message that a newer BuildKit writes otherwise costs its progress, nothing else.
                if let Ok(status) = Status::decode(&bytes[..]) {
                    self.status(status, watch);
                }
            }
            (_, Some(aux)) => {
                if let Some(id) = aux.get("ID").and_then(serde_json::Value::as_str) {
                    self.image = Some(id.to_owned());
                }
            }
            _ => {}
        }
        if let Some(text) = message.stream {
            self.classic(&text, watch);
        }
        if let Some(error) = message.error {
            self.error = Some(error);
        }
    }

    fn status(&mut self, status: Status, watch: &dyn Watch) {
        for Vertex { digest, name, cached, started, error, .. } in status.vertexes {
            let step = self.steps.entry(digest.clone()).or_default();
            step.name = name;
            if (started.is_some() || cached) && !step.told {
                step.told = true;
                watch.step(&step.name, cached);
            }
            if !error.is_empty() && self.failed.is_none() {
                self.failed = Some((digest, error));
            }
        }
        for log in status.logs {
            self.steps.entry(log.vertex).or_default().print(&String::from_utf8_lossy(&log.bytes), watch);
        }
    }

    /// Reads a piece of the classic builder's output: `Step 2/3 : RUN make` begins a step, ` ---> ` tells of images.
    fn classic(&mut self, text: &str, watch: &dyn Watch) {
        let step = self.steps.entry(String::new()).or_default();
        if let Some(name) = text.strip_prefix("Step ").and_then(|rest| rest.split_once(" : ")) {
            *step = Step { name: name.1.trim().to_owned(), told: true, ..Step::default() };
            watch.step(&step.name, false);
        } else if !text.starts_with(" ---> ") && !text.starts_with("Successfully ") && !text.starts_with("Removing intermediate") {
            step.print(text, watch);
        }
    }

    /// Says how it ended.
    pub(super) fn finish(mut self) -> Result<String, Error> {
        let Some(error) = self.error else { return self.image.ok_or(Error::NoResult) };
        let (key, reason) = self.failed.unwrap_or((String::new(), error));
        let step = self.steps.remove(&key).unwrap_or_default();
        let mut lines = step.lines;
        if !step.unfinished.is_empty() {
            lines.push(step.unfinished);
        }
        let shown = lines.split_off(lines.len().saturating_sub(SHOWN));
        Err(Error::failed(step.name, reason, shown))
    }
}

impl Step {
    fn print(&mut self, text: &str, watch: &dyn Watch) {
        self.unfinished.push_str(text);
        while let Some(end) = self.unfinished.find('\n') {
            let line: String = self.unfinished.drain(..=end).collect();
            // A line that was written over itself shows its last state.
            let line = line.trim_end().rsplit('\r').next().unwrap_or_default().to_owned();
            watch.line(&line);
            self.lines.push(line);
            if self.lines.len() > 4 * SHOWN {
                self.lines.drain(..2 * SHOWN);
            }
        }
    }
}
