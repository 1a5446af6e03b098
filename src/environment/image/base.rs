//! The image that an environment starts from: found, pulled, or built from the user's own Dockerfile.

use std::str::FromStr;
use std::sync::Mutex;
use std::time::Instant;

use pep508_rs::pep440_rs::{Version, VersionSpecifiers};
use serde::{Deserialize, Serialize};

use super::super::{Base, Error, Progress, Spec, Step, python, resolve};
use super::layers::Layers;
use super::{Images, dockerfile};
use crate::engine::{self, Image, login};
use crate::support::dirs::Dirs;
use crate::support::uv::Uv;

/// The Pythons that public images have, the one first that most packages are made for.
const PYTHONS: [&str; 4] = ["3.12", "3.13", "3.11", "3.10"];

/// An image that an environment is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseImage {
    /// Its name, as people know it.
    pub name: String,
    /// Its id on the engine.
    pub id: String,
    /// Its platform (`linux/amd64`).
    pub platform: String,
}

impl BaseImage {
    pub(super) fn of(name: &str, image: &Image) -> Self {
        Self { name: name.to_owned(), id: image.id.to_string(), platform: image.platform.clone() }
    }
}

/// Returns the name of the public Python image for a request; where that leaves a choice, the Python of this machine's own jobs decides, so
/// that a job finds the same one here and there.
fn python_image(dirs: &Dirs, request: Option<&str>) -> String {
    format!("python:{}-slim", python_version(dirs, request))
}

/// Returns the version that a request means away from this machine, by the same rule.
pub(in crate::environment) fn python_version(dirs: &Dirs, request: Option<&str>) -> String {
    let is_exact = |text: &str| text.split('.').count() > 1 && text.chars().all(|c| c.is_ascii_digit() || c == '.');
    if let Some(exact) = request.filter(|text| is_exact(text)) {
        return exact.to_owned();
    }
    let found = || {
        let found = python::find(&Uv::find(&dirs.data)?, request).ok()?;
        // Who only plans makes no folder.
        if dirs.cache.is_dir() {
            python::remember(&dirs.cache, request, &found);
        }
        Some(found)
    };
    let here = python::cached(&dirs.cache, request)
        .or_else(found)
        .and_then(|python| python.version.rsplit_once('.').map(|(minor, _)| minor.to_owned()));
    here.unwrap_or_else(|| newest(request))
}

fn newest(request: Option<&str>) -> String {
    let range = request.and_then(|text| VersionSpecifiers::from_str(text).ok());
    // The last release of a minor version: a bound inside of it does not exclude the whole.
    let fits = |minor: &str| {
        range.as_ref().is_none_or(|range| Version::from_str(&format!("{minor}.99")).is_ok_and(|version| range.contains(&version)))
    };
    PYTHONS.into_iter().find(|minor| fits(minor)).unwrap_or(PYTHONS[0]).to_owned()
}

/// Returns the base image if it is there; changes nothing.
pub(super) async fn find(images: &Images, spec: &Spec) -> Result<(String, Option<Image>), Error> {
    let name = match &spec.base {
        Base::Python => {
            let (dirs, request) = (images.dirs.clone(), resolve::python_request(spec)?);
            super::blocking(move || python_image(&dirs, request.as_deref())).await
        }
        Base::Image(name) => name.clone(),
        Base::Dockerfile { path, context } => {
            let (path, context, platform) = (path.clone(), context.clone(), images.platform.clone());
            let digest = super::blocking(move || dockerfile::digest(&path, &context, platform.as_deref())).await?;
            dockerfile::tag(&digest)
        }
    };
    let image = images.engine.image(&name).await?.filter(|image| images.suits(image));
    Ok((name, image))
}

/// Returns the base image, which is pulled or built if it is not there; `anew` asks the registry, and builds, all the same.
pub(super) async fn ensure(images: &Images, spec: &Spec, anew: bool, progress: &dyn Progress) -> Result<(String, Image), Error> {
    let (name, found) = find(images, spec).await?;
    if let Some(image) = found.clone().filter(|_| !anew) {
        return Ok((name, image));
    }
    let made = match &spec.base {
        Base::Dockerfile { path, context } => dockerfile::build(images, path, context, &name, anew, progress).await,
        Base::Python | Base::Image(_) => pull(images, &name, progress).await,
    };
    match (made, found) {
        (Ok(image), _) => Ok((name, image)),
        // An image that no registry has is as new as it gets.
        (Err(Error::Engine(engine::Error::Pull { .. })), Some(image)) => Ok((name, image)),
        (Err(error), _) => Err(error),
    }
}

/// Names the base image for messages.
pub(super) fn shown(spec: &Spec, name: &str) -> String {
    match &spec.base {
        Base::Python | Base::Image(_) => format!("`{name}`"),
        Base::Dockerfile { path, .. } => format!("of `{}`", path.display()),
    }
}

/// Pulls an image, for the platform that is wanted.
pub(super) async fn pull(images: &Images, name: &str, progress: &dyn Progress) -> Result<Image, Error> {
    progress.step(Step::Pulling { image: name.to_owned() });
    let login = {
        let name = name.to_owned();
        super::blocking(move || login::for_image(&name)).await
    };
    let layers = Mutex::new(Layers::new(Instant::now()));
    let heard = |step| {
        let line = layers.lock().expect("nobody panics meanwhile").hear(&step, Instant::now());
        if let Some(line) = line {
            progress.step(Step::Transfer(line));
        }
    };
    images.engine.pull(name, images.platform.as_deref(), login.as_ref(), &heard).await?;
    images.engine.image(name).await?.ok_or_else(|| Error::BaseGone(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_chooses_among_the_public_pythons() {
        for (range, expected) in
            [(None, "3.12"), (Some(">=3.10"), "3.12"), (Some(">=3.10,<3.12"), "3.11"), (Some(">=3.12.3"), "3.12"), (Some(">3.13"), "3.13")]
        {
            assert_eq!(newest(range), expected, "{range:?}");
        }
    }
}
