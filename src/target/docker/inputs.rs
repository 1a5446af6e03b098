//! How inputs of this machine get into a container: a large one is bound, read-only, where a probe proves that the engine sees it; else a
//! copy is put into the container.

use std::fs::Metadata;
use std::path::{Path, PathBuf};

use super::probe;
use crate::engine::{About, Engine};
use crate::job::User;
use crate::support::platform;
use crate::support::words::Size;
use crate::target::{Brought, Error};

/// Bytes up to which a copy is made: it takes less time than a probe.
const SMALL: u64 = 16 << 20;

/// Decides for each input; `None` where the engine has no image yet to try it with.
pub(super) async fn brought(
    engine: &Engine,
    about: &About,
    user: User,
    inputs: &[PathBuf],
) -> Result<Option<Vec<(PathBuf, Brought)>>, Error> {
    let (mut image, mut decided) = (None, Vec::with_capacity(inputs.len()));
    for input in inputs {
        let why = match copied(input, about, user) {
            Some(why) => Some(why),
            None => {
                if image.is_none() {
                    image = probe::image(engine).await?;
                }
                let Some(image) = &image else { return Ok(None) };
                unseen(engine, input, image).await?
            }
        };
        decided.push((input.clone(), why.map_or(Brought::Bound, Brought::Copied)));
    }
    Ok(Some(decided))
}

/// Returns why an input is copied, as far as this machine knows.
fn copied(input: &Path, about: &About, user: User) -> Option<String> {
    let small = || format!("it has at most {}", Size(SMALL));
    if !is_larger(input, SMALL) {
        return Some(small());
    }
    if about.rootless || about.user_namespaces {
        return Some("users in this engine's containers are others outside".to_owned());
    }
    if !about.is_local {
        return Some("the container engine is on another machine".to_owned());
    }
    unreadable(input, user).map(|path| format!("the job's user {} may not read `{}`", user.uid, path.display()))
}

/// Returns why the engine cannot be shown the input itself.
async fn unseen(engine: &Engine, input: &Path, image: &str) -> Result<Option<String>, Error> {
    let real = input.canonicalize().unwrap_or_else(|_| input.to_owned());
    let folder = if real.is_dir() { real.as_path() } else { real.parent().unwrap_or(Path::new("/")) };
    Ok(match engine.sees(folder, image).await {
        Ok(true) => None,
        Ok(false) => Some("the container engine does not see it".to_owned()),
        Err(crate::engine::Error::File(_)) => {
            Some(format!("`{}` cannot be written to, so nothing proves that the container engine sees it", folder.display()))
        }
        Err(error) => return Err(error.into()),
    })
}

/// Returns whether the files of an input have more bytes, without looking at more of them than needed.
fn is_larger(input: &Path, bytes: u64) -> bool {
    let mut sum = 0;
    files(input).any(|(_, metadata)| {
        sum += if metadata.is_file() { metadata.len() } else { 0 };
        sum > bytes
    })
}

/// Returns a file or folder of an input that a user may not read.
fn unreadable(input: &Path, user: User) -> Option<PathBuf> {
    files(input).find(|(_, metadata)| !platform::may_read(metadata, user.uid, user.gid)).map(|(path, _)| path)
}

/// Returns what is in an input, itself included. Links below it are passed over: they are links in the container too.
fn files(input: &Path) -> impl Iterator<Item = (PathBuf, Metadata)> {
    let found = walkdir::WalkDir::new(input).follow_root_links(true).into_iter().flatten();
    found.filter_map(|entry| {
        let metadata = if entry.depth() == 0 { std::fs::metadata(entry.path()).ok()? } else { entry.metadata().ok()? };
        (!metadata.is_symlink()).then(|| (entry.path().to_owned(), metadata))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_as_large_as_the_files_in_it() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("below")).expect("writable");
        for name in ["one", "below/two"] {
            std::fs::write(folder.path().join(name), "12345").expect("writable");
        }
        assert!(is_larger(folder.path(), 9) && !is_larger(folder.path(), 10));
        assert!(!is_larger(&folder.path().join("missing"), 0));
    }
}
