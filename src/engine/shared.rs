//! Whether the engine sees a folder of this machine: not when it is elsewhere, in a virtual machine, or when we are in a container.

use std::path::Path;

use bytes::Bytes;
use futures_util::TryStreamExt;

use super::{ContainerSpec, Engine, Error, Mount, Removal};
use crate::support::fs;

/// Where the probe is mounted.
const TARGET: &str = "/sendoff-probe";

impl Engine {
    /// Returns whether a folder of this machine, bound into a container, is the same folder there.
    ///
    /// Leaves a file with a name that no other has in the folder for a moment, and a container of `image` that is never started: the
    /// path alone proves nothing, since another machine may have the same one.
    pub async fn sees(&self, folder: &Path, image: &str) -> Result<bool, Error> {
        let Some(source) = folder.to_str().filter(|_| folder.is_absolute()) else { return Ok(false) };
        let token = token();
        let file = folder.join(file_name(&token));
        fs::create_new(&file)?;
        let seen = self.has(source, &token, image).await;
        fs::remove_file(&file)?;
        seen
    }

    async fn has(&self, folder: &str, token: &str, image: &str) -> Result<bool, Error> {
        let spec = ContainerSpec {
            name: format!("sendoff-probe-{token}"),
            image: image.to_owned(),
            // Never run: an image without a command needs one to be created.
            command: vec!["true".to_owned()],
            labels: [("sendoff.probe".to_owned(), token.to_owned())].into(),
            network: Some("none".to_owned()),
            mounts: vec![Mount::Bind { source: folder.to_owned(), target: TARGET.to_owned(), read_only: true }],
            ..ContainerSpec::default()
        };
        let container = match self.create(&spec).await {
            Ok(container) => container,
            // Its answer to a path that it does not have.
            Err(Error::Refused { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        let found = match self.get(&container, &format!("{TARGET}/{}", file_name(token))) {
            Ok(pieces) => pieces.try_collect::<Vec<Bytes>>().await,
            Err(error) => Err(error),
        };
        self.remove(&container, Removal::Forced).await?;
        match found {
            Ok(_) => Ok(true),
            Err(Error::Missing { .. } | Error::Refused { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn file_name(token: &str) -> String {
    format!(".sendoff-probe-{token}")
}

/// Returns a word that no other probe has.
fn token() -> String {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
