//! Files of a container, in and out as tar archives. No path of this machine is involved, so that any engine can do it.

use std::io;
use std::pin::Pin;

use bollard::query_parameters::{DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use super::error::Object;
use super::{Engine, Error, Said, TRANSFER, name};

/// A tar archive on its way into a container.
pub enum Tar {
    /// All of it.
    Whole(Bytes),
    /// Piece by piece, as it is made or read.
    Stream(Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>),
}

impl Engine {
    /// Unpacks a tar archive into a folder of a container, which must exist. The container may be created, running or ended.
    ///
    /// Owners and modes are those of the archive's entries. What was unpacked before a failure stays.
    pub async fn put(&self, container: &str, folder: &str, tar: Tar) -> Result<(), Error> {
        let container = name::plain(Object::Container, container)?;
        let options = UploadToContainerOptionsBuilder::default().path(folder).build();
        let body = match tar {
            Tar::Whole(bytes) => bollard::body_full(bytes),
            Tar::Stream(stream) => bollard::body_try_stream(stream),
        };
        // The answer comes after the last byte.
        let docker = self.within(TRANSFER);
        let answer = docker.upload_to_container(container, Some(options), body);
        self.act(|| format!("copy files into `{folder}` of the container `{container}`"), answer).await
    }

    /// Returns a file or folder of a container as a tar archive, whose entries begin with the path's last part.
    pub fn get(&self, container: &str, path: &str) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + use<>, Error> {
        let container = name::plain(Object::Container, container)?;
        let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
        let stream = self.docker.download_from_container(container, Some(options));
        let (engine, act) = (self.clone(), format!("copy `{path}` out of the container `{container}`"));
        let path = path.to_owned();
        Ok(stream.map(move |piece| piece.map_err(|error| missing_file(engine.failed(act.clone(), error), &path))))
    }
}

/// Podman says of a missing file only that there is no such file.
fn missing_file(error: Error, path: &str) -> Error {
    match error {
        Error::Refused { source: Said(words), .. } if words.ends_with("no such file or directory") => {
            Error::Missing { object: Object::File, name: path.to_owned() }
        }
        error => error,
    }
}
