//! Environments' images on their way to a registry.

use std::path::PathBuf;

use super::super::{Environment, EnvironmentId, Error, Inspection, Progress, Spec, Step, inputs};
use super::{BuiltImage, Images, blocking};
use crate::engine::login::{self, Login};
use crate::support::fs;

/// Where an environment's image would be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// Its name there; without its tag as long as the environment has no name.
    pub image: String,
    /// Whose login it would be sent with.
    pub login: Login,
    /// Whether it was sent before.
    pub is_done: bool,
}

impl Images {
    /// Says where the image of an inspected environment would be sent, if anywhere; asks no registry, and no helper for a password.
    pub async fn would_push(&self, spec: &Spec, found: &Inspection) -> Result<Option<Push>, Error> {
        let Some(repository) = &spec.push else { return Ok(None) };
        let image = match &found.id {
            Some(id) => format!("{repository}:{}", id.short()),
            None => repository.clone(),
        };
        let is_done = match found.id.as_ref().filter(|_| found.built) {
            Some(id) => self.whole(id).await?.is_some_and(|image| self.mark(id, repository, image.id.as_str()).exists()),
            None => false,
        };
        Ok(Some(Push { login: Login::known(&image, &self.variables), image, is_done }))
    }

    /// Returns the file whose presence says that an image was sent to a repository.
    fn mark(&self, id: &EnvironmentId, repository: &str, image: &str) -> PathBuf {
        let digest = inputs::digest(format!("{repository}\n{image}").as_bytes());
        self.dirs.cache.join("images").join(format!("{}.{}.pushed", id.short(), &digest[..12]))
    }

    /// Sends an environment's image where the spec says, unless that was done before; `again` does it all the same.
    pub(super) async fn pushed(&self, made: Environment, spec: &Spec, again: bool, progress: &dyn Progress) -> Result<Environment, Error> {
        let (Some(repository), Some(image)) = (&spec.push, &made.image) else { return Ok(made) };
        // A registry that has lost it is told again with `--upgrade`.
        let mark = self.mark(&made.id, repository, &image.id);
        if again || !mark.exists() {
            let reference = self.push(image, repository, progress).await?;
            progress.step(Step::Pushed { image: reference.clone() });
            fs::write_atomic(&mark, reference.as_bytes())?;
        }
        Ok(made)
    }

    /// Sends an environment's image to a repository (`registry.test/team/images`), and returns the name with its digest, by which any machine
    /// gets exactly this image. Layers that are there already are not sent again.
    pub async fn push(&self, image: &BuiltImage, repository: &str, progress: &dyn Progress) -> Result<String, Error> {
        let tag = image.name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        let reference = format!("{repository}:{tag}");
        progress.step(Step::Pushing { image: reference.clone() });
        self.engine.tag(&image.id, &reference).await?;
        let login = {
            let reference = reference.clone();
            blocking(move || login::for_image(&reference)).await
        };
        // The client does not say which layer it is about.
        self.engine.push(&reference, login.as_ref(), &|_| {}).await?;
        let pushed = self.engine.image(&reference).await?;
        let named = |digest: &String| digest.rsplit_once('@').is_some_and(|(name, _)| name == repository);
        Ok(pushed.and_then(|image| image.digests.into_iter().find(named)).unwrap_or(reference))
    }
}
