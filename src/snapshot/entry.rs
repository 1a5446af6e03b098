//! What one entry of a walk is: a file of the snapshot, something that is left out, or something that cannot be packed.

use std::ffi::OsStr;
use std::fs::DirEntry;
use std::path::{Component, Path, PathBuf};

use super::error::Problem;
use super::listing::File;
use super::manifest::Mode;
use crate::support::platform;

/// An entry that is not a folder.
pub(super) enum Entry {
    /// It is packed.
    File(File),
    /// It is neither file nor link; its path.
    Special(String),
    /// It cannot be packed.
    Problem(Problem),
}

/// Looks at an entry, whose path is relative to the root.
pub(super) fn read(root: &Path, path: String, entry: &DirEntry) -> Entry {
    let metadata = match entry.metadata() {
        Ok(metadata) => metadata,
        Err(error) => return Entry::Problem(Problem { path, reason: error.to_string() }),
    };
    // The entry may have become another since its folder was read, so this asks the metadata.
    let mode = if metadata.is_symlink() {
        match link_stays_inside(root, &entry.path()) {
            Ok(()) => Mode::Link,
            Err(reason) => return Entry::Problem(Problem { path, reason }),
        }
    } else if !metadata.is_file() {
        return Entry::Special(path);
    } else if platform::is_executable(&metadata) {
        Mode::Executable
    } else {
        Mode::File
    };
    Entry::File(File { path, mode, size: metadata.len(), stamp: platform::stamp(&metadata) })
}

/// Returns a name's text, bytes that are not UTF-8 as `\xNN`.
pub(super) fn shown(name: &OsStr) -> String {
    name.as_encoded_bytes().utf8_chunks().fold(String::new(), |mut text, chunk| {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
        text
    })
}

/// A link may point at anything below the root, existing or not; never outside.
fn link_stays_inside(root: &Path, link: &Path) -> Result<(), String> {
    let target = std::fs::read_link(link).map_err(|error| error.to_string())?;
    let leaves = || Err(format!("the link leaves the source directory (it points to `{}`)", target.display()));
    if target.is_absolute() {
        return leaves();
    }
    let folder = link.parent().unwrap_or(root);
    let mut here: PathBuf = folder.strip_prefix(root).unwrap_or(folder).to_owned();
    for part in target.components() {
        match part {
            Component::ParentDir if !here.pop() => return leaves(),
            Component::Normal(name) => here.push(name),
            _ => {}
        }
    }
    match link.canonicalize() {
        Ok(real) if !real.starts_with(root) => leaves(),
        _ => Ok(()),
    }
}
