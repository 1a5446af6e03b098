//! Asks an image about its Python, once: the answer is remembered by the image's id, which changes with anything in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::BytesMut;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use super::super::{Error, Interpreter};
use crate::engine::{ContainerSpec, Engine, Follow, Image, Removal};
use crate::support::fs;

/// Prints one line of JSON; run by whatever Python the image has.
const QUESTION: &str = include_str!("../../../templates/image/ask.py");
/// Finds that Python.
const SEARCH: &str = include_str!("../../../templates/image/ask.sh");

/// The Python of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Python {
    /// Its program in the image.
    pub(super) program: PathBuf,
    /// Its version: `3.11.7`.
    pub(super) version: String,
    /// Its platform: `linux-x86_64`.
    pub(super) platform: String,
    /// The version of glibc; none in an image with another C library, such as Alpine's.
    pub(super) glibc: Option<String>,
    /// The packages that are there already, by their normalised names.
    pub(super) packages: BTreeMap<String, String>,
}

impl Python {
    /// Returns it as an interpreter.
    pub(super) fn interpreter(&self) -> Interpreter {
        let glibc = self.glibc.as_ref().map(|version| format!("-glibc-{version}")).unwrap_or_default();
        Interpreter::in_image(self.program.clone(), self.version.clone(), format!("{}{glibc}", self.platform))
    }

    /// Returns the packages as lines of a lock, in order. The local part of a version, which names a build (`2.3.0+cu121`), is left out: no index has it.
    pub(super) fn pins(&self) -> Vec<String> {
        let mut pins: Vec<String> = self.packages.iter().map(|(name, version)| format!("{name}=={}", public(version))).collect();
        pins.sort();
        pins
    }

    /// Says why `uv` has no name for the platform.
    pub(super) fn unsuited(&self) -> String {
        match &self.glibc {
            None => "its C library is not glibc (Alpine's is musl)".to_owned(),
            Some(glibc) => format!("it is `{}` with glibc {glibc}", self.platform),
        }
    }

    /// Returns the platform as `uv` calls it: the newest glibc that it knows and the image has.
    pub(super) fn uv_platform(&self) -> Option<String> {
        let machine = self.platform.strip_prefix("linux-")?;
        let minor: u32 = self.glibc.as_ref()?.strip_prefix("2.")?.split('.').next()?.parse().ok()?;
        let known = (31..=40).rev().chain([28, 17]).find(|known| *known <= minor)?;
        Some(format!("{machine}-manylinux_2_{known}"))
    }
}

fn public(version: &str) -> &str {
    version.split('+').next().unwrap_or(version)
}

fn file(cache: &Path, image: &Image) -> PathBuf {
    cache.join("images").join(format!("{}.python.json", image.id.as_str().trim_start_matches("sha256:")))
}

/// Returns what the image answered before.
pub(super) fn remembered(cache: &Path, image: &Image) -> Option<Python> {
    serde_json::from_slice(&std::fs::read(file(cache, image)).ok()?).ok()
}

/// Asks the image, in a container without a network, and remembers the answer.
pub(super) async fn ask(engine: &Engine, cache: &Path, image: &Image, name: &str) -> Result<Python, Error> {
    let none = |reason: &str| Error::NoPythonInImage { image: name.to_owned(), reason: reason.to_owned() };
    let spec = ContainerSpec {
        name: format!("sendoff-ask-{}", super::random_name()),
        image: image.id.to_string(),
        entrypoint: Some(vec!["/bin/sh".to_owned(), "-c".to_owned(), SEARCH.to_owned(), "sh".to_owned(), QUESTION.to_owned()]),
        labels: [("sendoff.ask".to_owned(), image.id.to_string())].into(),
        network: Some("none".to_owned()),
        no_new_privileges: true,
        ..ContainerSpec::default()
    };
    let container = engine.create(&spec).await?;
    let answer = run(engine, &container).await;
    let removed = engine.remove(&container, Removal::Forced).await;
    let (code, text) = match answer {
        Ok(answer) => answer,
        Err(crate::engine::Error::Refused { source, .. }) if source.0.contains("/bin/sh") => return Err(none("it has no shell either")),
        Err(error) => return Err(error.into()),
    };
    removed?;
    let said = text.lines().rev().find_map(|line| serde_json::from_str::<Python>(line).ok());
    let python = match (code, said) {
        (Some(0), Some(python)) => python,
        (Some(3), _) => return Err(none("neither `python3` nor `python` is on its PATH")),
        (_, _) if text.contains("exec format error") => return Err(foreign(engine, image, name).await?),
        (_, _) => return Err(none(text.lines().last().unwrap_or("it did not answer"))),
    };
    let path = file(cache, image);
    // A cache that cannot be written costs time, nothing else.
    let _ = fs::create_private_dir_all(cache.join("images"));
    if let Ok(text) = serde_json::to_vec(&python) {
        let _ = fs::write_atomic(path, &text);
    }
    Ok(python)
}

/// Says that the engine's machine cannot run what is in the image.
async fn foreign(engine: &Engine, image: &Image, name: &str) -> Result<Error, Error> {
    let about = engine.about().await?;
    let engine = format!("{}/{}", about.os, about.architecture);
    Ok(Error::ForeignPlatform { image: name.to_owned(), platform: image.platform.clone(), engine })
}

async fn run(engine: &Engine, container: &str) -> Result<(Option<i32>, String), crate::engine::Error> {
    engine.start(container).await?;
    let code = engine.wait(container).await?.and_then(|container| container.exit_code);
    let mut text = BytesMut::new();
    let mut pieces = Box::pin(engine.logs(container, 0, Follow::No)?);
    while let Some(piece) = pieces.next().await {
        text.extend_from_slice(&piece?);
    }
    Ok((code, String::from_utf8_lossy(&text).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn python(platform: &str, glibc: Option<&str>) -> Python {
        Python {
            program: "/usr/bin/python3".into(),
            version: "3.11.2".to_owned(),
            platform: platform.to_owned(),
            glibc: glibc.map(str::to_owned),
            packages: BTreeMap::new(),
        }
    }

    #[test]
    fn uv_is_told_the_newest_glibc_that_it_knows_and_the_image_has() {
        for (platform, glibc, expected) in [
            ("linux-x86_64", Some("2.36"), Some("x86_64-manylinux_2_36")),
            ("linux-aarch64", Some("2.31"), Some("aarch64-manylinux_2_31")),
            ("linux-x86_64", Some("2.41"), Some("x86_64-manylinux_2_40")),
            ("linux-x86_64", Some("2.29"), Some("x86_64-manylinux_2_28")),
            ("linux-x86_64", Some("2.5"), None),
            ("linux-x86_64", None, None),
            ("win-amd64", None, None),
        ] {
            assert_eq!(python(platform, glibc).uv_platform().as_deref(), expected, "{platform} {glibc:?}");
        }
    }
}
