//! The files of a snapshot as the service keeps them: no links and no modes, only paths and contents.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use super::Error;
use crate::support::azure;
use crate::support::fs::Context;

/// Where a file's content is in the zip, and its size.
type Entry = (usize, u64);
type Files = BTreeMap<String, Entry>;

/// A snapshot's archive, read once from its beginning.
pub(super) struct Archive {
    path: PathBuf,
    zip: ZipArchive<BufReader<File>>,
    /// By path. A link has the content of what it leads to.
    files: Files,
    /// The files that may be executed, which the service does not keep.
    executables: Vec<String>,
}

/// The bits of a mode that say what an entry is, and the value that says a link.
const KIND: u32 = 0o170_000;
const LINK: u32 = 0o120_000;

impl Archive {
    /// Opens an archive and follows its links.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let unreadable = |source| Error::Archive { path: path.to_owned(), source };
        let file = File::open(path).context("open", path)?;
        let mut zip = ZipArchive::new(BufReader::with_capacity(1 << 16, file)).map_err(unreadable)?;
        let (mut files, mut links, mut executables) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for index in 0..zip.len() {
            let mut entry = zip.by_index(index).map_err(unreadable)?;
            let name = entry.name().map_err(unreadable)?.into_owned();
            let mode = entry.unix_mode().unwrap_or(0o100_644);
            if entry.is_dir() {
                continue;
            }
            if mode & KIND == LINK {
                let mut goal = String::new();
                entry.read_to_string(&mut goal).context("read", path)?;
                links.insert(name, goal);
            } else {
                if mode & 0o111 != 0 {
                    executables.push(name.clone());
                }
                files.insert(name, (index, entry.size()));
            }
        }
        let found: Vec<_> = links
            .iter()
            .map(|(link, goal)| followed(link, goal, &files, &links))
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flatten()
            .collect();
        files.extend(found);
        Ok(Self { path: path.to_owned(), zip, files, executables })
    }

    /// Returns path and size of each file.
    pub(super) fn files(&self) -> Vec<(String, u64)> {
        self.files.iter().map(|(path, (_, size))| (path.clone(), *size)).collect()
    }

    /// Returns the files that may be executed.
    pub(super) fn executables(&self) -> &[String] {
        &self.executables
    }

    /// Reads a file by pieces of at most this size; the last piece of all is the one after which nothing comes.
    pub(super) fn read(&mut self, path: &str, most: usize, mut piece: impl FnMut(Vec<u8>) -> Result<(), Error>) -> Result<(), Error> {
        let archive = self.path.clone();
        let (index, size) = self.files[path];
        let unreadable = |source| Error::Archive { path: archive.clone(), source };
        let mut entry = self.zip.by_index(index).map_err(unreadable)?;
        let mut left = size;
        loop {
            let length = usize::try_from(left).unwrap_or(most).min(most);
            let mut bytes = vec![0; length];
            entry.read_exact(&mut bytes).context("read", &archive)?;
            left -= length as u64;
            piece(bytes)?;
            if left == 0 {
                return Ok(());
            }
        }
    }

    /// Returns the hash by which the service knows these files again.
    pub(super) fn hash(&mut self) -> Result<String, Error> {
        let (files, path) = (self.files(), self.path.clone());
        let hash = azure::code_hash(&files, |name| {
            let mut bytes = Vec::new();
            // A file at a time: the largest decides what this takes.
            self.read(name, 1 << 22, |mut piece| {
                bytes.append(&mut piece);
                Ok(())
            })
            .map_err(std::io::Error::other)?;
            Ok(std::io::Cursor::new(bytes))
        });
        Ok(hash.context("read", &path)?)
    }
}

/// Returns the files that a link stands for: the one that it leads to, or all below the folder that it leads to.
fn followed(link: &str, goal: &str, files: &Files, links: &BTreeMap<String, String>) -> Result<Vec<(String, Entry)>, Error> {
    let lost = || Error::Link { path: link.to_owned(), goal: goal.to_owned() };
    let mut at = resolved(link, goal).ok_or_else(lost)?;
    // A link may lead to another; more of them than there are is a ring.
    let mut steps = links.len();
    while let Some(next) = links.get(&at) {
        steps = steps.checked_sub(1).ok_or_else(lost)?;
        at = resolved(&at, next).ok_or_else(lost)?;
    }
    if let Some(file) = files.get(&at) {
        return Ok(vec![(link.to_owned(), *file)]);
    }
    let folder = if at.is_empty() { String::new() } else { format!("{at}/") };
    // A folder that holds the link itself would never end.
    if link.starts_with(&folder) {
        return Err(lost());
    }
    let below: Vec<_> = files.iter().filter_map(|(path, file)| Some((format!("{link}/{}", path.strip_prefix(&folder)?), *file))).collect();
    if below.is_empty() { Err(lost()) } else { Ok(below) }
}

/// Returns the path that a link at a path leads to; `None` when that is outside.
fn resolved(link: &str, goal: &str) -> Option<String> {
    let mut parts: Vec<&str> = link.split('/').collect();
    parts.pop();
    for part in goal.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Spec, Store, list};

    fn packed(make: impl FnOnce(&Path)) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let tree = folder.path().join("tree");
        std::fs::create_dir(&tree).expect("writable");
        make(&tree);
        let spec = Spec { root: tree, include: Vec::new(), allow_files: Vec::new(), max_size: 1 << 30 };
        let store = Store::new(&folder.path().join("cache"));
        let manifest = store.scan(&spec, &list(&spec).expect("packable")).expect("readable");
        let path = store.pack(&spec, manifest).expect("writable").1.path;
        (folder, path)
    }

    fn link(goal: &str, path: PathBuf) {
        std::os::unix::fs::symlink(goal, path).expect("writable");
    }

    #[test]
    fn the_hash_of_an_archive_is_the_services_own() {
        let (_folder, path) = packed(|tree| {
            std::fs::create_dir(tree.join("sub")).expect("writable");
            std::fs::write(tree.join("train.py"), "print(\"hi\")\n").expect("writable");
            std::fs::write(tree.join("sub/util.py"), "x=1\n").expect("writable");
        });
        let hash = Archive::open(&path).expect("readable").hash().expect("readable");
        assert_eq!(hash, "24804113f0169dbb70b3aa7d87556116625877ce06c0bbbc80efd2a2792e4f38");
    }

    #[test]
    fn links_to_files_and_folders_have_their_contents_and_lost_ones_are_named() {
        let (_folder, path) = packed(|tree| {
            std::fs::create_dir_all(tree.join("data/inner")).expect("writable");
            std::fs::write(tree.join("data/inner/a"), "hello").expect("writable");
            link("data/inner/a", tree.join("one"));
            link("one", tree.join("two"));
            link("data", tree.join("folder"));
        });
        let mut archive = Archive::open(&path).expect("all of them lead somewhere");
        let paths: Vec<String> = archive.files().into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["data/inner/a", "folder/inner/a", "one", "two"]);
        let mut text = Vec::new();
        archive
            .read("two", 2, |mut piece| {
                text.append(&mut piece);
                Ok(())
            })
            .expect("readable");
        assert_eq!(text, b"hello");
        for goal in ["nowhere", "."] {
            let (_folder, path) = packed(|tree| {
                std::fs::write(tree.join("a"), "").expect("writable");
                link(goal, tree.join("lost"));
            });
            assert!(matches!(Archive::open(&path), Err(Error::Link { path, .. }) if path == "lost"), "{goal}");
        }
    }

    #[test]
    fn files_that_may_be_executed_are_known() {
        let (_folder, path) = packed(|tree| {
            std::fs::write(tree.join("run.sh"), "#!/bin/sh\n").expect("writable");
            std::fs::write(tree.join("plain"), "").expect("writable");
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(tree.join("run.sh"), mode).expect("writable");
        });
        assert_eq!(Archive::open(&path).expect("readable").executables(), ["run.sh"]);
    }
}
