//! One more process in a container that runs.

use std::collections::BTreeMap;
use std::pin::Pin;

use bollard::container::LogOutput;
use bollard::exec::{ResizeExecOptions, StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::io::AsyncWrite;

use super::error::Object;
use super::{Engine, Error, Said, name};

/// What the process is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecSpec {
    /// What to run.
    pub command: Vec<String>,
    /// Variables, added to the container's.
    pub environment: BTreeMap<String, String>,
    /// `user[:group]`; the container's when not given.
    pub user: Option<String>,
    /// Where it starts; the container's when not given.
    pub working_directory: Option<String>,
    /// Whether it gets a terminal, and of which size.
    pub terminal: Option<Terminal>,
}

/// The size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminal {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

/// A piece of what a process writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// To its standard output, or to its terminal.
    Out(Bytes),
    /// To its standard error; a process with a terminal has none.
    Err(Bytes),
}

impl Piece {
    pub(super) fn read(piece: Result<LogOutput, bollard::errors::Error>) -> Result<Self, bollard::errors::Error> {
        Ok(match piece? {
            LogOutput::StdErr { message } => Self::Err(message),
            piece => Self::Out(piece.into_bytes()),
        })
    }
}

/// A process that runs, with its ends.
pub struct Exec {
    /// What it writes, to the end.
    pub output: Pin<Box<dyn Stream<Item = Result<Piece, Error>> + Send>>,
    /// What it reads.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
    /// The engine's name for it.
    pub id: String,
}

impl Engine {
    /// Starts one more process in a container that runs. Another container is a conflict.
    pub async fn exec(&self, container: &str, spec: &ExecSpec) -> Result<Exec, Error> {
        let container = name::plain(Object::Container, container)?;
        let act = format!("run `{}` in the container `{container}`", spec.command.join(" "));
        let config = ExecConfig {
            cmd: Some(spec.command.clone()),
            env: Some(spec.environment.iter().map(|(name, value)| format!("{name}={value}")).collect()),
            user: spec.user.clone(),
            working_dir: spec.working_directory.clone(),
            tty: Some(spec.terminal.is_some()),
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..ExecConfig::default()
        };
        let made = self.act(|| act.clone(), self.docker.create_exec(container, config)).await?;
        let options = StartExecOptions { tty: spec.terminal.is_some(), ..StartExecOptions::default() };
        let started = self.act(|| act.clone(), self.docker.start_exec(&made.id, Some(options))).await?;
        let StartExecResults::Attached { output, input } = started else {
            return Err(Error::Unreadable { act, source: Said("the process runs without its ends".to_owned()) });
        };
        let engine = self.clone();
        let output = output.map(move |piece| Piece::read(piece).map_err(|error| engine.failed(act.clone(), error)));
        if let Some(terminal) = spec.terminal {
            self.resize(&made.id, terminal).await?;
        }
        Ok(Exec { output: Box::pin(output), input, id: made.id })
    }

    /// Tells a process how big its terminal is.
    pub async fn resize(&self, exec: &str, terminal: Terminal) -> Result<(), Error> {
        let options = ResizeExecOptions { width: terminal.width, height: terminal.height };
        self.act(|| "resize a terminal".to_owned(), self.docker.resize_exec(exec, options)).await
    }

    /// Returns the code that a process returned; nothing while it runs.
    pub async fn exec_code(&self, exec: &str) -> Result<Option<i32>, Error> {
        let answer = self.act(|| "ask how a process ended".to_owned(), self.docker.inspect_exec(exec)).await?;
        let ended = answer.running == Some(false);
        Ok(answer.exit_code.filter(|_| ended).and_then(|code| i32::try_from(code).ok()))
    }
}
