//! What the emulator needs of the program around it: images of environments, and an MLflow server.

use std::any::Any;

use async_trait::async_trait;

/// An environment version of which a job needs an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageRequest<'a> {
    /// The base image, one that the container engine has or can get.
    pub base: &'a str,
    /// The text of its conda file, when it has one.
    pub conda_file: Option<&'a str>,
}

/// Hears lines of a log.
pub type Hear<'a> = dyn Fn(&str) + Sync + 'a;

/// An image that is there for as long as this value lives.
pub struct Image {
    /// Its name on the engine.
    pub name: String,
    /// Keeps it from being removed.
    pub held: Box<dyn Any + Send + Sync>,
}

/// Serves the emulator. An error is a text for the job's owner.
#[async_trait]
pub trait Host: Send + Sync {
    /// Makes the image of an environment version, or takes the one that is there; `say` hears lines of the build's log.
    async fn image(&self, request: ImageRequest<'_>, say: &Hear<'_>) -> Result<Image, String>;

    /// Returns the address of the MLflow server behind the emulator, which is started when it does not run.
    async fn tracker(&self) -> Result<String, String>;
}
