//! Images: what is known of them, and the ways in and out of a registry.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use bollard::auth::DockerCredentials;
use bollard::models::{ErrorDetail, ImageInspect, ImageSummary, ProgressDetail};
use bollard::query_parameters::{
    CreateImageOptionsBuilder, ListImagesOptionsBuilder, PushImageOptionsBuilder, RemoveImageOptionsBuilder, TagImageOptionsBuilder,
};
use futures_util::StreamExt;
use jiff::Timestamp;

use super::container::label_filter;
use super::{Credentials, Engine, Error, Said, TRANSFER, classify, known, name};

/// The engine's own name of an image: the digest of its description, `sha256:...`. It changes with anything in the image.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageId(pub(super) String);

impl ImageId {
    /// Returns the id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is known of an image. A list leaves out what it does not show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its id.
    pub id: ImageId,
    /// Its names with tags.
    pub tags: Vec<String>,
    /// Its names with digests, as registries know them.
    pub digests: Vec<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its size in bytes, with the layers that it shares.
    pub size: u64,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// What it runs on: `linux/amd64`, `linux/arm/v7`; empty in a list.
    pub platform: String,
    /// The environment of its containers; empty in a list.
    pub environment: Vec<(String, String)>,
    /// The user of its containers; root when empty.
    pub user: String,
    /// The program that its containers run, before the command.
    pub entrypoint: Vec<String>,
    /// What its containers run when they are told nothing else.
    pub command: Vec<String>,
    /// Where its containers start.
    pub working_directory: String,
}

/// A step of a pull or push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullProgress {
    /// The layer, by the start of its digest; none for what concerns the image, and none of a push.
    pub layer: Option<String>,
    /// What happens, in the engine's words: `Downloading`, `Pull complete`.
    pub status: String,
    /// How many bytes of the layer are done, and of how many.
    pub bytes: Option<(u64, u64)>,
}

impl Engine {
    /// Returns what is known of an image by its reference or id; nothing when the engine has none.
    pub async fn image(&self, reference: &str) -> Result<Option<Image>, Error> {
        let reference = name::image(reference)?;
        let answer = self.act(|| format!("inspect the image `{reference}`"), self.docker.inspect_image(reference)).await;
        Ok(known(answer)?.map(read))
    }

    /// Lists the images that have all the labels. An empty value asks only for the label's presence.
    pub async fn images(&self, labels: &[(&str, &str)]) -> Result<Vec<Image>, Error> {
        self.filtered_images(label_filter(labels)).await
    }

    /// Lists the images with these labels that have no name: what a build that failed, or a newer image of the same name, leaves.
    pub async fn dangling_images(&self, labels: &[(&str, &str)]) -> Result<Vec<Image>, Error> {
        let mut filters = label_filter(labels);
        filters.insert("dangling".to_owned(), vec!["true".to_owned()]);
        self.filtered_images(filters).await
    }

    async fn filtered_images(&self, filters: HashMap<String, Vec<String>>) -> Result<Vec<Image>, Error> {
        let options = ListImagesOptionsBuilder::default().filters(&filters).build();
        let found = self.act(|| "list images".to_owned(), self.docker.list_images(Some(options))).await?;
        Ok(found.into_iter().map(read_listed).collect())
    }

    /// Brings an image from its registry. `platform` such as `linux/arm64` chooses among those that it has.
    pub async fn pull(
        &self,
        reference: &str,
        platform: Option<&str>,
        credentials: Option<&Credentials>,
        progress: &(dyn Fn(PullProgress) + Sync),
    ) -> Result<(), Error> {
        let reference = name::image(reference)?;
        let (repository, tag) = split(reference);
        // Without a tag the engine would bring all of them.
        let options = CreateImageOptionsBuilder::default().from_image(repository).tag(tag).platform(platform.unwrap_or_default()).build();
        let failed = |said: String| pull_failed(reference, said);
        let mut steps = Box::pin(self.within(TRANSFER).create_image(Some(options), None, credentials.map(Credentials::header)));
        while let Some(step) = steps.next().await {
            let step = step.map_err(|error| self.transfer_failed(error, format!("pull the image `{reference}`"), failed))?;
            pass_on(step.id, step.status, step.progress_detail, step.error_detail, progress).map_err(failed)?;
        }
        Ok(())
    }

    /// Sends an image to the registry that its name says.
    pub async fn push(
        &self,
        reference: &str,
        credentials: Option<&Credentials>,
        progress: &(dyn Fn(PullProgress) + Sync),
    ) -> Result<(), Error> {
        let reference = name::image(reference)?;
        let (repository, tag) = split(reference);
        let options = PushImageOptionsBuilder::default().tag(tag).build();
        let failed = |said: String| push_failed(reference, said);
        // The engine wants a header of credentials, be it empty.
        let credentials = credentials.map_or_else(DockerCredentials::default, Credentials::header);
        let mut steps = Box::pin(self.within(TRANSFER).push_image(repository, Some(options), Some(credentials)));
        while let Some(step) = steps.next().await {
            let step = step.map_err(|error| self.transfer_failed(error, format!("push the image `{reference}`"), failed))?;
            // The client leaves out which layer it is.
            pass_on(None, step.status, step.progress_detail, step.error_detail, progress).map_err(failed)?;
        }
        Ok(())
    }

    /// Gives an image one more name.
    pub async fn tag(&self, image: &str, reference: &str) -> Result<(), Error> {
        let (image, reference) = (name::image(image)?, name::image(reference)?);
        let (repository, tag) = split(reference);
        let options = TagImageOptionsBuilder::default().repo(repository).tag(tag).build();
        self.act(|| format!("name the image `{image}` `{reference}`"), self.docker.tag_image(image, Some(options))).await
    }

    /// Takes a name from an image, and removes the image with its last name. One that is gone already is no error, one that a
    /// container was made from is a conflict.
    pub async fn remove_image(&self, reference: &str) -> Result<(), Error> {
        let reference = name::image(reference)?;
        let options = RemoveImageOptionsBuilder::default().build();
        let answer = self.docker.remove_image(reference, Some(options), None);
        known(self.act(|| format!("remove the image `{reference}`"), answer).await).map(|_| ())
    }

    /// Tells a refusal of the registry from a failure on the way to the engine.
    fn transfer_failed(&self, error: bollard::errors::Error, act: String, failed: impl FnOnce(String) -> Error) -> Error {
        let words = classify::words(&error);
        match self.failed(act, error) {
            Error::Refused { .. } | Error::Missing { .. } | Error::Conflict { .. } => failed(words),
            error => error,
        }
    }
}

fn pull_failed(image: &str, said: String) -> Error {
    if let Error::DiskFull { act, source } = classify::refused(format!("pull the image `{image}`"), 500, &said) {
        return Error::DiskFull { act, source };
    }
    Error::Pull { image: image.to_owned(), why: classify::pull_failure(&said), source: Said(said) }
}

fn push_failed(image: &str, said: String) -> Error {
    Error::Push { image: image.to_owned(), why: classify::pull_failure(&said), source: Said(said) }
}

fn pass_on(
    layer: Option<String>,
    status: Option<String>,
    detail: Option<ProgressDetail>,
    error: Option<ErrorDetail>,
    progress: &(dyn Fn(PullProgress) + Sync),
) -> Result<(), String> {
    if let Some(message) = error.and_then(|error| error.message) {
        return Err(message);
    }
    let number = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
    if let Some(status) = status {
        let bytes = detail.and_then(|detail| Some((number(detail.current)?, number(detail.total)?)));
        progress(PullProgress { layer, status, bytes });
    }
    Ok(())
}

/// Splits a reference into repository and tag, or digest.
fn split(reference: &str) -> (&str, &str) {
    if let Some((repository, digest)) = reference.split_once('@') {
        return (repository, digest);
    }
    match reference.rsplit_once(':') {
        // A colon before a slash belongs to the registry's port.
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (reference, "latest"),
    }
}

fn read(answer: ImageInspect) -> Image {
    let config = answer.config.unwrap_or_default();
    let parts = [answer.os, answer.architecture, answer.variant];
    let variable = |pair: String| pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    Image {
        id: ImageId(answer.id.unwrap_or_default()),
        tags: answer.repo_tags.unwrap_or_default(),
        digests: answer.repo_digests.unwrap_or_default(),
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        size: answer.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
        created_at: answer.created.and_then(|time| time.parse().ok()),
        platform: parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"),
        environment: config.env.unwrap_or_default().into_iter().filter_map(variable).collect(),
        user: config.user.unwrap_or_default(),
        entrypoint: config.entrypoint.unwrap_or_default(),
        command: config.cmd.unwrap_or_default(),
        working_directory: config.working_dir.unwrap_or_default(),
    }
}

fn read_listed(answer: ImageSummary) -> Image {
    // An image without a name is listed under this one.
    let named = |names: Vec<String>| names.into_iter().filter(|name| !name.contains("<none>")).collect();
    Image {
        id: ImageId(answer.id),
        tags: named(answer.repo_tags),
        digests: named(answer.repo_digests),
        labels: answer.labels.into_iter().collect(),
        size: u64::try_from(answer.size).unwrap_or_default(),
        created_at: Timestamp::from_second(answer.created).ok(),
        platform: String::new(),
        environment: Vec::new(),
        user: String::new(),
        entrypoint: Vec::new(),
        command: Vec::new(),
        working_directory: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_split_where_the_tag_begins() {
        for (reference, expected) in [
            ("python", ("python", "latest")),
            ("python:3.11-slim", ("python", "3.11-slim")),
            ("localhost:5000/team/job", ("localhost:5000/team/job", "latest")),
            ("localhost:5000/team/job:1", ("localhost:5000/team/job", "1")),
            ("team/job@sha256:01", ("team/job", "sha256:01")),
        ] {
            assert_eq!(split(reference), expected);
        }
    }
}
