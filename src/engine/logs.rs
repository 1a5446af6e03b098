//! What a container wrote, in order of arrival.

use bollard::query_parameters::LogsOptionsBuilder;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};

use super::error::Object;
use super::{Engine, Error, name};

/// Where a log stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// At what is there now.
    No,
    /// When the container ends.
    Yes,
}

/// How many pieces that are ready are passed on as one.
const AT_ONCE: usize = 256;

impl Engine {
    /// Returns what a container wrote to stdout and stderr, in order of arrival, without the first `skip` bytes.
    ///
    /// The two are two pipes, so that what was written to both at the same moment may change places; a process that wants its own
    /// order writes both into one.
    ///
    /// Whoever keeps what it got resumes exactly: `skip` is the number of bytes kept. The engine keeps the log from the
    /// container's start, in files of its own that [`super::ContainerSpec`] never lets rotate.
    pub fn logs(
        &self,
        container: &str,
        skip: u64,
        follow: Follow,
    ) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + use<>, Error> {
        let container = name::plain(Object::Container, container)?;
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).follow(follow == Follow::Yes).build();
        let pieces = self.docker.logs(container, Some(options)).map(|piece| piece.map(bollard::container::LogOutput::into_bytes));
        let (engine, act) = (self.clone(), format!("read the log of the container `{container}`"));
        let mut skip = skip;
        let chunks = Box::pin(pieces).ready_chunks(AT_ONCE).flat_map(move |pieces| {
            let mut results = Vec::with_capacity(1);
            let mut joined = BytesMut::new();
            for piece in pieces {
                match piece {
                    Ok(piece) => joined.extend_from_slice(rest(&piece, &mut skip)),
                    Err(error) => {
                        if !joined.is_empty() {
                            results.push(Ok(joined.split().freeze()));
                        }
                        results.push(Err(engine.failed(act.clone(), error)));
                    }
                }
            }
            if !joined.is_empty() {
                results.push(Ok(joined.freeze()));
            }
            futures_util::stream::iter(results)
        });
        Ok(chunks)
    }
}

/// Returns what of a piece is still to be passed on.
fn rest<'a>(piece: &'a Bytes, skip: &mut u64) -> &'a [u8] {
    let known = usize::try_from(*skip).unwrap_or(usize::MAX).min(piece.len());
    *skip -= known as u64;
    &piece[known..]
}
