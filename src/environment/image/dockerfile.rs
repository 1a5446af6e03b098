//! The user's own Dockerfile: what it copies decides its image's name, so that it is built again when any of it changes.

use std::path::{Path, PathBuf};

use super::super::{Error, Progress, inputs};
use super::Images;
use super::steps::Steps;
use crate::engine::Image;
use crate::engine::build::{Context, Mode, Order};
use crate::support::fs;

/// The label of such images.
pub(super) const DOCKERFILE: &str = "sendoff.dockerfile";

/// Returns the name of the image of a Dockerfile.
pub(super) fn tag(digest: &str) -> String {
    format!("sendoff/dockerfile:{}", &digest[..12])
}

/// Returns the files that a Dockerfile may copy, and itself, by their paths inside the context.
fn files(path: &Path, context: &Path) -> Vec<(PathBuf, PathBuf)> {
    let mut builder = ignore::WalkBuilder::new(context);
    builder.standard_filters(false).sort_by_file_name(Ord::cmp).follow_links(false);
    let rules = context.join(".dockerignore");
    if rules.is_file() {
        // Anchored at the context, as Docker reads them.
        let mut matcher = ignore::gitignore::GitignoreBuilder::new(context);
        let _ = matcher.add(&rules);
        if let Ok(matcher) = matcher.build() {
            let own = path.to_owned();
            builder.filter_entry(move |entry| {
                let is_folder = entry.file_type().is_some_and(|kind| kind.is_dir());
                entry.path() == own || is_folder || !matcher.matched_path_or_any_parents(entry.path(), is_folder).is_ignore()
            });
        }
    }
    builder
        .build()
        .flatten()
        .filter(|entry| entry.file_type().is_some_and(|kind| !kind.is_dir()))
        .map(|entry| (entry.path().strip_prefix(context).unwrap_or(entry.path()).to_owned(), entry.into_path()))
        .collect()
}

/// Hashes what the image is made from.
pub(super) fn digest(path: &Path, context: &Path, platform: Option<&str>) -> Result<String, Error> {
    let mut text = format!("{}\n{}\n", platform.unwrap_or_default(), inputs::digest(&fs::read(path)?));
    for (inside, file) in files(path, context) {
        let content = if file.is_symlink() {
            std::fs::read_link(&file).unwrap_or_default().display().to_string().into_bytes()
        } else {
            fs::read(&file)?
        };
        text.push_str(&format!("{} {} {}\n", inside.display(), Mode::of(&file) == Mode::Program, inputs::digest(&content)));
    }
    Ok(inputs::digest(text.as_bytes()))
}

/// Builds the image, and gives it its name.
pub(super) async fn build(
    images: &Images,
    path: &Path,
    context: &Path,
    name: &str,
    anew: bool,
    progress: &dyn Progress,
) -> Result<Image, Error> {
    const OWN: &str = "Dockerfile.sendoff";
    let mut archive = Context::default();
    for (inside, file) in files(path, context) {
        if file.is_symlink() {
            archive.link(inside, std::fs::read_link(&file).unwrap_or_default());
        } else {
            archive.file(inside, Mode::of(&file), &fs::read(&file)?);
        }
    }
    archive.file(OWN, Mode::Plain, &fs::read(path)?);
    let order = Order {
        context: archive.finish(),
        dockerfile: OWN.to_owned(),
        tag: name.to_owned(),
        labels: [(DOCKERFILE, name.to_owned()), (super::OWNER, super::owner(&images.dirs))]
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
        platform: images.platform.clone(),
        anew,
        ..Order::default()
    };
    let failed = |source| Error::Dockerfile { path: path.to_owned(), source: super::steps::named(source) };
    let builder = images.builder().await?;
    let id = images.engine.build(builder, order, &Steps(progress)).await.map_err(failed)?;
    images.engine.image(id.as_str()).await?.ok_or_else(|| Error::BaseGone(name.to_owned()))
}
