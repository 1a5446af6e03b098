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
    /// The last lines that are whole.
    lines: Vec<String>,
    /// What came after them, by stream.
    unfinished: BTreeMap<i64, String>,
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
            self.steps.entry(log.vertex).or_default().print(log.stream, &String::from_utf8_lossy(&log.bytes), watch);
        }
    }

    /// Reads a piece of the classic builder's output: `Step 2/3 : RUN make` begins a step, ` ---> ` tells of images.
    fn classic(&mut self, text: &str, watch: &dyn Watch) {
        let step = self.steps.entry(String::new()).or_default();
        if let Some(name) = text.strip_prefix("Step ").and_then(|rest| rest.split_once(" : ")) {
            *step = Step { name: name.1.trim().to_owned(), told: true, ..Step::default() };
            watch.step(&step.name, false);
        } else if !text.starts_with(" ---> ") && !text.starts_with("Successfully ") && !text.starts_with("Removing intermediate") {
            step.print(0, text, watch);
        }
    }

    /// Says how it ended.
    pub(super) fn finish(mut self) -> Result<String, Error> {
        let Some(error) = self.error else { return self.image.ok_or(Error::NoResult) };
        let (key, reason) = self.failed.unwrap_or((String::new(), error));
        let step = self.steps.remove(&key).unwrap_or_default();
        let mut lines = step.lines;
        lines.extend(step.unfinished.into_values().filter(|line| !line.is_empty()));
        let shown = lines.split_off(lines.len().saturating_sub(SHOWN));
        Err(Error::failed(step.name, reason, shown))
    }
}

impl Step {
    fn print(&mut self, stream: i64, text: &str, watch: &dyn Watch) {
        let unfinished = self.unfinished.entry(stream).or_default();
        unfinished.push_str(text);
        while let Some(end) = unfinished.find('\n') {
            let line: String = unfinished.drain(..=end).collect();
            // A line that was written over itself shows its last state.
            let line = line.trim_end().rsplit('\r').next().unwrap_or_default().to_owned();
            if line.is_empty() {
                continue;
            }
            watch.line(&line);
            self.lines.push(line);
            if self.lines.len() > 4 * SHOWN {
                self.lines.drain(..2 * SHOWN);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::messages::{Log, Time};
    use super::*;

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Watch for Heard {
        fn step(&self, name: &str, cached: bool) {
            self.0.lock().expect("nobody panics").push(format!("{name}{}", if cached { " (cached)" } else { "" }));
        }

        fn line(&self, text: &str) {
            self.0.lock().expect("nobody panics").push(format!("| {text}"));
        }
    }

    /// Reads an answer in pieces of a few bytes, and returns what was heard and how it ended.
    fn read(answer: &str) -> (Vec<String>, Result<String, Error>) {
        let (mut reader, heard) = (Reader::default(), Heard::default());
        for piece in answer.as_bytes().chunks(7) {
            reader.read(piece, &heard);
        }
        (heard.0.into_inner().expect("nobody panics"), reader.finish())
    }

    fn trace(status: &Status) -> String {
        let packed = base64::engine::general_purpose::STANDARD.encode(status.encode_to_vec());
        format!("{{\"id\":\"moby.buildkit.trace\",\"aux\":\"{packed}\"}}\r\n")
    }

    fn vertex(name: &str, cached: bool, error: &str) -> Vertex {
        let digest = format!("sha256:{}", name.len());
        Vertex { digest, name: name.to_owned(), cached, started: Some(Time { seconds: 1 }), completed: None, error: error.to_owned() }
    }

    fn log(name: &str, stream: i64, text: &str) -> Log {
        Log { vertex: format!("sha256:{}", name.len()), stream, bytes: text.as_bytes().to_vec() }
    }

    #[test]
    fn buildkit_tells_steps_and_their_lines_and_the_image() {
        let first = Status { vertexes: vec![vertex("[1/2] FROM x", true, ""), vertex("[2/2] RUN make", false, "")], logs: vec![] };
        let logs = vec![log("[2/2] RUN make", 1, "one\ntw"), log("[2/2] RUN make", 2, "50 %\r100 %\n"), log("[2/2] RUN make", 1, "o\n")];
        let second = Status { vertexes: vec![vertex("[2/2] RUN make", false, "")], logs };
        let answer = trace(&first) + &trace(&second) + "{\"id\":\"moby.image.id\",\"aux\":{\"ID\":\"sha256:01\"}}\r\n";
        let (heard, ended) = read(&answer);
        assert_eq!(heard, ["[1/2] FROM x (cached)", "[2/2] RUN make", "| one", "| 100 %", "| two"]);
        assert_eq!(ended.expect("it has an image"), "sha256:01");
    }

    #[test]
    fn a_failure_has_the_step_and_its_last_lines() {
        let lines: String = (0..90).map(|number| format!("line {number}\n")).collect();
        let logs = vec![log("[2/2] RUN make", 1, &(lines + "unfinished"))];
        let status = Status { vertexes: vec![vertex("[2/2] RUN make", false, ""), vertex("other", false, "")], logs };
        let ended = Status { vertexes: vec![vertex("[2/2] RUN make", false, "exit code: 2")], logs: vec![] };
        let answer = trace(&status) + &trace(&ended) + "{\"errorDetail\":{\"message\":\"whole\"},\"error\":\"whole\"}\r\n";
        let Err(Error::Failed { step, reason, lines }) = read(&answer).1 else { panic!("it failed") };
        assert_eq!((step.as_str(), reason.as_str(), lines.len()), ("[2/2] RUN make", "exit code: 2", SHOWN));
        assert_eq!(lines[SHOWN - 2..], ["line 89", "unfinished"]);
    }

    #[test]
    fn the_classic_builder_is_read_too() {
        let good = concat!(
            r#"{"stream":"Step 1/2 : FROM x"}"#,
            r#"{"stream":"\n"}"#,
            r#"{"stream":" ---\u003e 5927\n"}"#,
            r#"{"stream":"Step 2/2 : RUN make"}"#,
            r#"{"stream":"\n"}"#,
            r#"{"stream":"hello\n"}"#,
        );
        let (heard, ended) = read(&format!("{good}{}", r#"{"aux":{"ID":"sha256:02"}}{"stream":"Successfully built 02\n"}"#));
        assert_eq!(heard, ["FROM x", "RUN make", "| hello"]);
        assert_eq!(ended.expect("it has an image"), "sha256:02");
        let Err(Error::Failed { step, lines, .. }) = read(&format!("{good}{}", r#"{"error":"returned a non-zero code: 2"}"#)).1 else {
            panic!("it failed")
        };
        assert_eq!((step.as_str(), lines), ("RUN make", vec!["hello".to_owned()]));
    }

    #[test]
    fn a_full_disk_and_an_answer_that_breaks_off_are_told_apart() {
        let full = r#"{"error":"write /x: no space left on device"}"#;
        assert!(matches!(read(full).1, Err(Error::DiskFull { .. })));
        assert!(matches!(read("").1, Err(Error::NoResult)));
    }
}
