//! What a container reads from its standard input: the way in that leaves no trace in its description.

use bollard::query_parameters::AttachContainerOptionsBuilder;
use tokio::io::AsyncWriteExt;

use super::error::Object;
use super::{Engine, Error, Said, name};

impl Engine {
    /// Starts a container and gives its process `input`, then the end of the input.
    ///
    /// The container must have been made with [`super::ContainerSpec::open_stdin`]. The connection is made before the start, so that
    /// nothing is lost, and closed after the last byte. A process that ends without reading it all is no error.
    pub async fn start_with_input(&self, container: &str, input: &[u8]) -> Result<(), Error> {
        let container = name::plain(Object::Container, container)?;
        let act = || format!("pass the input of the container `{container}`");
        let options = AttachContainerOptionsBuilder::default().stream(true).stdin(true).build();
        let mut attached = self.act(act, self.docker.attach_container(container, Some(options))).await?;
        self.start(container).await?;
        let written = async {
            attached.input.write_all(input).await?;
            attached.input.flush().await?;
            attached.input.shutdown().await
        };
        // A process that has ended reads no more, and the engine leaves the writer waiting.
        let written = tokio::select! {
            written = written => written,
            ended = self.wait(container) => return ended.map(|_| ()),
        };
        match written {
            Err(error) if !matches!(error.kind(), std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset) => {
                Err(Error::Lost { act: act(), source: Said(error.to_string()) })
            }
            _ => Ok(()),
        }
    }
}
