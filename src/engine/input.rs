//! What a container reads from its standard input: the way in that leaves no trace in its description.

use std::pin::Pin;

use bollard::query_parameters::AttachContainerOptionsBuilder;
use futures_util::{Stream, StreamExt};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::error::Object;
use super::{Engine, Error, Piece, Said, name};

/// Both ends of a container that has been started.
pub struct Ends {
    /// What it writes, to its end.
    pub output: Pin<Box<dyn Stream<Item = Result<Piece, Error>> + Send>>,
    /// What it reads.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
}

/// The open standard input of a container that has been started.
pub struct Input {
    engine: Engine,
    container: String,
    writer: Pin<Box<dyn AsyncWrite + Send>>,
    /// Dropping it would end the connection.
    _output: Box<dyn Send>,
}

impl Engine {
    /// Starts a container and gives its process `input`, then the end of the input.
    ///
    /// The container must have been made with [`super::ContainerSpec::open_stdin`]. The connection is made before the start, so that
    /// nothing is lost, and closed after the last byte. A process that ends without reading it all is no error.
    pub async fn start_with_input(&self, container: &str, input: &[u8]) -> Result<(), Error> {
        self.start_attached(container).await?.send(input).await
    }

    /// Starts a container whose input follows: see [`Engine::start_with_input`].
    pub async fn start_attached(&self, container: &str) -> Result<Input, Error> {
        let container = name::plain(Object::Container, container)?;
        let options = AttachContainerOptionsBuilder::default().stream(true).stdin(true).build();
        let attached = self.act(|| act(container), self.docker.attach_container(container, Some(options))).await?;
        self.start(container).await?;
        Ok(Input { engine: self.clone(), container: container.to_owned(), writer: attached.input, _output: Box::new(attached.output) })
    }

    /// Starts a container and returns both of its ends, from its first byte on.
    ///
    /// The container must have been made with [`super::ContainerSpec::open_stdin`]; its input ends when the connection does.
    pub async fn start_with_ends(&self, container: &str) -> Result<Ends, Error> {
        let container = name::plain(Object::Container, container)?.to_owned();
        let options = AttachContainerOptionsBuilder::default().stream(true).stdin(true).stdout(true).stderr(true).build();
        let attached = self.act(|| act(&container), self.docker.attach_container(&container, Some(options))).await?;
        self.start(&container).await?;
        let engine = self.clone();
        let output = attached.output.map(move |piece| Piece::read(piece).map_err(|error| engine.failed(act(&container), error)));
        Ok(Ends { output: Box::pin(output), input: attached.input })
    }
}

impl Input {
    /// Gives the process all of its input, then the end.
    pub async fn send(self, input: &[u8]) -> Result<(), Error> {
        let Self { engine, container, mut writer, _output } = self;
        let written = async {
            writer.write_all(input).await?;
            writer.flush().await?;
            writer.shutdown().await
        };
        // A process that has ended reads no more, and the engine leaves the writer waiting.
        let written = tokio::select! {
            written = written => written,
            ended = engine.wait(&container) => return ended.map(|_| ()),
        };
        match written {
            Err(error) if !matches!(error.kind(), std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset) => {
                Err(Error::Lost { act: act(&container), source: Said(error.to_string()) })
            }
            _ => Ok(()),
        }
    }
}

fn act(container: &str) -> String {
    format!("pass the input of the container `{container}`")
}
