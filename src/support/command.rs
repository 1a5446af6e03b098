//! Runs other programs and says well how they failed.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Seek};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use super::platform::{self, Signal};
use super::{shell, stop};

/// A program could not be run, or ended badly.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be started at all.
    #[error("could not start `{program}`")]
    Start {
        /// The program as it was called.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It ended with a status that is not success.
    #[error("`{line}` {}{}", ending(*status), tail(stderr))]
    Failed {
        /// The whole command line.
        line: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it said.
        stderr: String,
    },
    /// It took longer than it may.
    #[error("`{line}` did not end within {}", super::words::Span(*limit))]
    TooSlow {
        /// The whole command line.
        line: String,
        /// How long it had.
        limit: Duration,
    },
    /// It was ended because this process was asked to stop.
    #[error("`{line}` was interrupted")]
    Interrupted {
        /// The whole command line.
        line: String,
    },
}

/// Returns "exited with status 2" or "was killed by signal 9".
pub fn ending(status: ExitStatus) -> String {
    if let Some(signal) = platform::ending_signal(status) {
        return format!("was killed by signal {signal}");
    }
    format!("exited with status {}", status.code().unwrap_or(-1))
}

fn tail(stderr: &str) -> String {
    let lines: Vec<&str> = stderr.trim_end().lines().collect();
    let shown = &lines[lines.len().saturating_sub(20)..];
    if shown.is_empty() { String::new() } else { format!(":\n{}", shown.join("\n")) }
}

/// Returns the command as a line that could be typed.
pub fn line(command: &Command) -> String {
    let words: Vec<OsString> = std::iter::once(command.get_program()).chain(command.get_args()).map(OsStr::to_owned).collect();
    shell::join(words.iter().map(|word| word.to_string_lossy()))
}

/// Runs a program to its end without stdin, and returns what it printed; a bad status is an error.
pub fn capture(command: &mut Command, limit: Duration) -> Result<Output, Error> {
    capture_with(command, limit, None)
}

/// Like [`capture`], with a file as stdin.
pub fn capture_with(command: &mut Command, limit: Duration, input: Option<std::fs::File>) -> Result<Output, Error> {
    let output = run(command, limit, input)?;
    if output.status.success() {
        return Ok(output);
    }
    let stderr = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
    Err(Error::Failed { line: line(command), status: output.status, stderr: String::from_utf8_lossy(stderr).into_owned() })
}

/// Like [`capture`], where a bad status is an answer and not an error.
pub fn capture_any(command: &mut Command, limit: Duration) -> Result<Output, Error> {
    run(command, limit, None)
}

fn run(command: &mut Command, limit: Duration, input: Option<std::fs::File>) -> Result<Output, Error> {
    let start = |source| Error::Start { program: command_name(command), source };
    // Files, not pipes: no reader threads, and nothing blocks when the program talks a lot.
    let mut stdout = tempfile::tempfile().map_err(start)?;
    let mut stderr = tempfile::tempfile().map_err(|source| Error::Start { program: command_name(command), source })?;
    let clones = stdout.try_clone().and_then(|out| Ok((out, stderr.try_clone()?)));
    let (out, err) = clones.map_err(|source| Error::Start { program: command_name(command), source })?;
    let _at_work = stop::AtWork::begin();
    // A group of its own: what the program starts in turn ends with it, and Ctrl-C is ours to hand on.
    let mut child = platform::own_group(command)
        .stdin(input.map_or_else(Stdio::null, Stdio::from))
        .stdout(Stdio::from(out))
        .stderr(Stdio::from(err))
        .spawn()
        .map_err(|source| Error::Start { program: command_name(command), source })?;
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_micros(500);
    let status = loop {
        match child.try_wait().map_err(|source| Error::Start { program: command_name(command), source })? {
            Some(status) => break status,
            None if Instant::now() >= deadline => {
                end(&mut child);
                return Err(Error::TooSlow { line: line(command), limit });
            }
            None if stop::is_asked() => {
                end(&mut child);
                return Err(Error::Interrupted { line: line(command) });
            }
            None => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(20));
            }
        }
    };
    let read = |file: &mut std::fs::File| {
        let mut bytes = Vec::new();
        let _ = file.rewind().and_then(|()| file.read_to_end(&mut bytes));
        bytes
    };
    Ok(Output { status, stdout: read(&mut stdout), stderr: read(&mut stderr) })
}

/// Ends a program and what it started: as Ctrl-C would, and for good after two seconds.
fn end(child: &mut Child) {
    let group = i32::try_from(child.id()).unwrap_or(0);
    platform::signal_group(group, Signal::Interrupt);
    let deadline = Instant::now() + Duration::from_secs(2);
    while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    // The group keeps its number as long as anybody is in it, and the child is not reaped by anybody else.
    platform::signal_group(group, Signal::Kill);
    let _ = child.kill();
    let _ = child.wait();
}

fn command_name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}
