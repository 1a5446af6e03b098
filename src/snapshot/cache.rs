//! The stat cache: digests of files that have not changed since, so that an unchanged tree costs a walk and not a read.
//!
//! One flat file per source directory: the time of writing, then for each file, sorted by path, the length of its path (u16), the path, size,
//! modification time, change time, inode and SHA-256, integers little-endian. An entry counts only when its file's times are at least two
//! seconds older than the writing: a file that changes within the same tick of the clock cannot be told apart.
//!
//! Both the cache and a listing are sorted, so they are merged, without an index and without a copy.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::listing::File;
use crate::support::fs;

const MAGIC: &[u8; 8] = b"sendoff2";
const MARGIN: i64 = 2_000_000_000;

/// The digests of a source directory.
#[derive(Debug, Default)]
pub(super) struct StatCache {
    bytes: Vec<u8>,
}

struct Entry<'a> {
    path: &'a [u8],
    key: &'a [u8; 32],
    digest: &'a [u8; 32],
}

/// Returns the file that holds the cache of a source directory.
pub(super) fn path_for(cache: &Path, root: &Path) -> PathBuf {
    let digest = Sha256::digest(root.as_os_str().as_encoded_bytes());
    let name: String = digest[..12].iter().map(|byte| char::from(b'a' + byte % 26)).collect();
    cache.join("stat").join(name)
}

fn key(file: &File) -> [u8; 32] {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&file.size.to_le_bytes());
    key[8..16].copy_from_slice(&file.stamp.modified.to_le_bytes());
    key[16..24].copy_from_slice(&file.stamp.changed.to_le_bytes());
    key[24..].copy_from_slice(&file.stamp.inode.to_le_bytes());
    key
}

impl StatCache {
    /// Reads the cache; a missing or foreign one is empty.
    pub(super) fn read(path: &Path) -> Self {
        Self { bytes: std::fs::read(path).unwrap_or_default() }
    }

    /// Returns the digest of each file that has certainly not changed; the files are sorted by path.
    pub(super) fn digests(&self, files: &[File]) -> Vec<Option<[u8; 32]>> {
        let (written, mut entries) = self.open().unwrap_or((0, Entries { rest: &[] }));
        let mut next = entries.next();
        files
            .iter()
            .map(|file| {
                loop {
                    let entry = next.as_ref()?;
                    match entry.path.cmp(file.path.as_bytes()) {
                        Ordering::Greater => return None,
                        Ordering::Less => next = entries.next(),
                        Ordering::Equal => {
                            let settled = file.stamp.modified.max(file.stamp.changed).saturating_add(MARGIN) <= written;
                            return (settled && *entry.key == key(file)).then_some(*entry.digest);
                        }
                    }
                }
            })
            .collect()
    }

    fn open(&self) -> Option<(i64, Entries<'_>)> {
        let (written, rest) = self.bytes.strip_prefix(MAGIC)?.split_first_chunk()?;
        Some((i64::from_le_bytes(*written), Entries { rest }))
    }

    /// Replaces the cache's file; the files are sorted by path, and `started` is a time before the first of them was looked at.
    pub(super) fn write<'a>(path: &Path, started: i64, files: impl Iterator<Item = (&'a File, &'a [u8; 32])>) -> Result<(), fs::Error> {
        let mut bytes = Vec::with_capacity(files.size_hint().0 * 120);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&started.to_le_bytes());
        for (file, digest) in files {
            let Ok(length) = u16::try_from(file.path.len()) else { continue };
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(file.path.as_bytes());
            bytes.extend_from_slice(&key(file));
            bytes.extend_from_slice(digest);
        }
        if let Some(folder) = path.parent() {
            fs::create_private_dir_all(folder)?;
        }
        fs::write_atomic(path, &bytes)
    }
}

/// Reads entry by entry; ends where the bytes are not what was written.
struct Entries<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let (length, rest) = self.rest.split_first_chunk()?;
        let (path, rest) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
        let (key, rest) = rest.split_first_chunk()?;
        let (digest, rest) = rest.split_first_chunk()?;
        self.rest = rest;
        Some(Entry { path, key, digest })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Mode;
    use super::*;
    use crate::support::platform::Stamp;

    fn file(path: &str, modified: i64) -> File {
        File { path: path.into(), mode: Mode::File, size: 1, stamp: Stamp { modified, changed: 0, inode: 1 } }
    }

    fn stored(path: &Path, written: i64, files: &[File]) -> StatCache {
        let digests: Vec<[u8; 32]> = (0..).map(|number| [number; 32]).take(files.len()).collect();
        StatCache::write(path, written, files.iter().zip(&digests)).expect("writable");
        StatCache::read(path)
    }

    #[test]
    fn young_and_changed_entries_do_not_count() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let now = 10_000_000_000;
        for (modified, counts) in [(7_999_999_999, true), (8_000_000_000, true), (8_000_000_001, false)] {
            let cache = stored(&folder.path().join("c"), now, &[file("a", modified)]);
            assert_eq!(cache.digests(&[file("a", modified)])[0].is_some(), counts, "{modified}");
            assert_eq!(cache.digests(&[file("a", 1)]), [None]);
        }
    }

    #[test]
    fn files_that_came_and_went_do_not_hide_the_others() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cache = stored(&folder.path().join("c"), i64::MAX, &["b", "c", "e"].map(|path| file(path, 1)));
        let found = cache.digests(&["a", "b", "d", "e", "f"].map(|path| file(path, 1)));
        assert_eq!(found, [None, Some([0; 32]), None, Some([2; 32]), None]);
    }

    #[test]
    fn a_broken_cache_is_as_good_as_none() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("c");
        stored(&path, i64::MAX, &["a", "b"].map(|path| file(path, 1)));
        let bytes = std::fs::read(&path).expect("readable");
        for length in 0..bytes.len() {
            std::fs::write(&path, &bytes[..length]).expect("writable");
            assert_eq!(StatCache::read(&path).digests(&["a", "b"].map(|path| file(path, 1)))[1], None, "{length}");
        }
        std::fs::write(&path, b"sendoff1 of an older version").expect("writable");
        assert_eq!(StatCache::read(&path).digests(&[file("a", 1)]), [None]);
    }
}
