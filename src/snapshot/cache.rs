//! The stat cache: digests of files that have not changed since, so that an unchanged tree costs a walk and not a read.
//!
//! One flat file per source directory: the time of writing, then for each file the length of its path (u16), the path, size, modification
//! time, change time, inode and SHA-256, integers little-endian. An entry counts only when its file's times are at least two seconds older
//! than the writing: a file that changes within the same tick of the clock cannot be told apart.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::select::File;
use crate::support::fs;

const MAGIC: &[u8; 8] = b"sendoff1";
const MARGIN: i128 = 2_000_000_000;

/// The digests of a source directory.
#[derive(Debug, Default)]
pub(super) struct StatCache {
    entries: HashMap<Vec<u8>, ([u8; 48], [u8; 32])>,
    written: i128,
}

pub(super) fn path_for(cache: &Path, root: &Path) -> PathBuf {
    let digest = Sha256::digest(root.as_os_str().as_encoded_bytes());
    let name: String = digest[..12].iter().map(|byte| char::from(b'a' + byte % 26)).collect();
    cache.join("stat").join(name)
}

fn key(file: &File) -> [u8; 48] {
    let mut key = [0; 48];
    key[..8].copy_from_slice(&file.size.to_le_bytes());
    key[8..24].copy_from_slice(&file.stamp.0.to_le_bytes());
    key[24..40].copy_from_slice(&file.stamp.1.to_le_bytes());
    key[40..].copy_from_slice(&file.stamp.2.to_le_bytes());
    key
}

impl StatCache {
    /// Reads the cache; a missing or broken one is empty.
    pub(super) fn read(path: &Path) -> Self {
        std::fs::read(path).ok().and_then(|bytes| Self::parse(&bytes)).unwrap_or_default()
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let (written, tail) = rest.split_first_chunk::<16>()?;
        let written = i128::from_le_bytes(*written);
        rest = tail;
        let mut entries = HashMap::new();
        while !rest.is_empty() {
            let (length, tail) = rest.split_first_chunk::<2>()?;
            let (path, tail) = tail.split_at_checked(u16::from_le_bytes(*length).into())?;
            let (key, tail) = tail.split_first_chunk::<48>()?;
            let (digest, tail) = tail.split_first_chunk::<32>()?;
            entries.insert(path.to_vec(), (*key, *digest));
            rest = tail;
        }
        Some(Self { entries, written })
    }

    /// Returns the digest of a file that has certainly not changed.
    pub(super) fn get(&self, file: &File) -> Option<[u8; 32]> {
        let (stored, digest) = self.entries.get(file.path.as_bytes())?;
        let settled = file.stamp.0.max(file.stamp.1) + MARGIN <= self.written;
        (settled && *stored == key(file)).then_some(*digest)
    }

    /// Replaces the cache's file.
    pub(super) fn write(path: &Path, started: i128, files: &[(&File, [u8; 32])]) -> Result<(), fs::Error> {
        let mut bytes = Vec::with_capacity(files.len() * 140);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn young_and_changed_entries_do_not_count() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("c");
        let file = |mtime| File { path: "a".into(), mode: super::super::Mode::File, size: 1, stamp: (mtime, 0, 1) };
        let now = 10_000_000_000;
        for (mtime, counts) in [(7_999_999_999, true), (8_000_000_000, true), (8_000_000_001, false)] {
            StatCache::write(&path, now, &[(&file(mtime), [7; 32])]).expect("writable");
            assert_eq!(StatCache::read(&path).get(&file(mtime)).is_some(), counts, "{mtime}");
            assert_eq!(StatCache::read(&path).get(&file(1)), None);
        }
        std::fs::write(&path, b"sendoff1broken").expect("writable");
        assert!(StatCache::read(&path).entries.is_empty());
    }
}
