//! What containers can be given of a machine's files, tried before anything depends on it: a folder of this machine may mean nothing to an
//! engine elsewhere, in a virtual machine, or outside of the container that we are in.

use std::path::Path;

use bytes::Bytes;
use futures_util::TryStreamExt;

use super::{ContainerSpec, Engine, Error, Mount, Refusal, Removal};
use crate::support::fs;

/// Where what is tried is mounted.
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

    /// Returns which paths of the engine's machine a container cannot be given: those that are not there, or not for containers.
    ///
    /// Makes containers of `image` for it, which are never started, and removes them.
    pub async fn refused_binds<'a>(&self, sources: &[&'a str], image: &str) -> Result<Vec<&'a str>, Error> {
        if self.takes(sources, image).await? {
            return Ok(Vec::new());
        }
        let mut refused = Vec::new();
        for source in sources {
            if !self.takes(&[source], image).await? {
                refused.push(*source);
            }
        }
        Ok(refused)
    }

    async fn takes(&self, sources: &[&str], image: &str) -> Result<bool, Error> {
        let container = match self.create(&probe(sources, &token(), image)).await {
            Ok(container) => container,
            Err(Error::Refused { why: Refusal::Mount, .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        self.remove(&container, Removal::Forced).await?;
        Ok(true)
    }

    async fn has(&self, folder: &str, token: &str, image: &str) -> Result<bool, Error> {
        let container = match self.create(&probe(&[folder], token, image)).await {
            Ok(container) => container,
            // Its answer to a path that it does not have.
            Err(Error::Refused { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        let found = match self.get(&container, &format!("{TARGET}/0/{}", file_name(token))) {
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

/// Describes a container with these paths in it.
fn probe(sources: &[&str], token: &str, image: &str) -> ContainerSpec {
    let bind = |(index, source): (usize, &&str)| Mount::Bind {
        source: (*source).to_owned(),
        target: format!("{TARGET}/{index}"),
        read_only: true,
    };
    ContainerSpec {
        name: format!("sendoff-probe-{token}"),
        image: image.to_owned(),
        // Never run: an image without a command needs one to be created.
        command: vec!["true".to_owned()],
        labels: [("sendoff.probe".to_owned(), token.to_owned())].into(),
        network: Some("none".to_owned()),
        mounts: sources.iter().enumerate().map(bind).collect(),
        ..ContainerSpec::default()
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
