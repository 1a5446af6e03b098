//! The files of a spool that hold its records, each named by the number of its first.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::super::Error;
use super::super::record::Seq;
use crate::support::fs::Context;

/// Bytes after which a new file is begun.
pub(super) const FULL: u64 = 32 << 20;

/// Returns the file whose first record has this number.
pub(super) fn path(folder: &Path, first: Seq) -> PathBuf {
    folder.join(format!("spool-{first:012}"))
}

/// Returns the first record and the size of each file of a spool's folder, in order.
pub(super) fn list(folder: &Path) -> Result<Vec<(Seq, u64)>, Error> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).context("read", folder)?.flatten() {
        let name = entry.file_name();
        let Some(first) = name.to_str().and_then(|name| name.strip_prefix("spool-")?.parse().ok()) else { continue };
        found.push((first, entry.metadata().context("read", entry.path())?.len()));
    }
    found.sort_unstable();
    Ok(found)
}

/// Opens a file for reading and writing that only its owner may open; it is made when it is not there.
pub(super) fn private(path: &Path) -> Result<File, Error> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    Ok(options.open(path).context("open", path)?)
}
