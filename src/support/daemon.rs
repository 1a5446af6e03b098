//! A daemon of ours: it is told what to do by one message over its standard input, and says by one line of its standard output that it answers.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A daemon that was started, and has said that it answers, or has ended.
#[derive(Debug)]
pub struct Started {
    child: Child,
    /// Whether it said that it answers.
    pub is_ready: bool,
}

/// Starts one, which writes what it has to say to `log`, and waits for its word.
pub fn start(command: &mut Command, log: std::fs::File, order: &impl Serialize) -> io::Result<Started> {
    let mut child = command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::from(log)).spawn()?;
    let message = serde_json::to_vec(order).expect("plain data of ours always serialises");
    if let Some(mut pipe) = child.stdin.take() {
        // One that does not read has ended, which shows below.
        let _ = pipe.write_all(&message);
    }
    let mut word = String::new();
    if let Some(pipe) = child.stdout.take() {
        let _ = BufReader::new(pipe).read_line(&mut word);
    }
    Ok(Started { child, is_ready: !word.is_empty() })
}

impl Started {
    /// Lets it run. It is reaped while this process lives, so that one that dies is seen to be dead.
    pub fn release(mut self) {
        std::thread::spawn(move || self.child.wait());
    }

    /// Ends it.
    pub fn end(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads what this process, a daemon, has to do.
pub fn order<T: DeserializeOwned>() -> io::Result<T> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text)?)
}

/// Says that this process, a daemon, answers. Whoever started it may be gone.
pub fn is_ready() {
    let _ = io::stdout().write_all(b"ready\n").and_then(|()| io::stdout().flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(script: &str) -> Started {
        let log = tempfile::tempfile().expect("writable");
        start(Command::new("sh").args(["-c", script]), log, &["an order"]).expect("it starts")
    }

    #[test]
    fn it_gets_its_order_and_is_ready_when_it_says_so() {
        let said = started(r#"[ "$(cat)" = '["an order"]' ] && echo ready; exec sleep 60"#);
        assert!(said.is_ready);
        said.end();
    }

    #[test]
    fn one_that_ends_without_a_word_is_not_ready() {
        let said = started("exit 3");
        assert!(!said.is_ready);
        said.end();
    }
}
