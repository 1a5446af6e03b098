//! The list of a snapshot's files with their hashes; its own hash is the snapshot's name.

use std::collections::BTreeMap;
use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::SnapshotId;

/// What an entry of a snapshot is, by git's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// A file: 100644.
    File,
    /// A file that may be executed: 100755.
    Executable,
    /// A symbolic link, whose content is its target: 120000.
    Link,
}

impl Mode {
    /// Returns git's six digits.
    pub fn digits(self) -> &'static str {
        match self {
            Self::File => "100644",
            Self::Executable => "100755",
            Self::Link => "120000",
        }
    }
}

/// The files of a snapshot.
///
/// As text: a line `<mode> <SHA-256 of the content> <path>` per file, ended by a newline, sorted by the path's bytes. In a path, a backslash
/// is written `\\` and a newline `\n`. For one file `a.txt` that holds `hello`:
///
/// ```text
/// 100644 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824 a.txt
/// ```
///
/// and its id is `9506c1d9a915f2fa6aba8cd30e5d137a...` (the unit test has it whole).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    files: BTreeMap<String, (Mode, [u8; 32])>,
}

/// How a path differs between two manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Only the second has it.
    Added,
    /// Only the first has it.
    Removed,
    /// Its content or mode differs.
    Changed,
}

impl Manifest {
    /// Adds a file.
    pub fn insert(&mut self, path: String, mode: Mode, digest: [u8; 32]) {
        self.files.insert(path, (mode, digest));
    }

    /// Returns the files by path.
    pub fn files(&self) -> impl Iterator<Item = (&str, Mode, &[u8; 32])> {
        self.files.iter().map(|(path, (mode, digest))| (path.as_str(), *mode, digest))
    }

    /// Returns the text.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(self.files.len() * 110);
        for (path, (mode, digest)) in &self.files {
            text.push_str(mode.digits());
            text.push(' ');
            hex(digest, &mut text);
            text.push(' ');
            text.push_str(&path.replace('\\', "\\\\").replace('\n', "\\n"));
            text.push('\n');
        }
        text
    }

    /// Returns the snapshot's name.
    pub fn id(&self) -> SnapshotId {
        let mut digits = String::with_capacity(64);
        hex(&Sha256::digest(self.text().as_bytes()).into(), &mut digits);
        SnapshotId::new(digits)
    }

    /// Reads the text back; `None` when it is not a manifest.
    pub fn parse(text: &str) -> Option<Self> {
        let mut manifest = Self::default();
        for line in text.lines() {
            let mut parts = line.splitn(3, ' ');
            let mode = match parts.next()? {
                "100644" => Mode::File,
                "100755" => Mode::Executable,
                "120000" => Mode::Link,
                _ => return None,
            };
            let digits = parts.next().filter(|digits| digits.len() == 64)?;
            let mut digest = [0; 32];
            for (index, byte) in digest.iter_mut().enumerate() {
                *byte = u8::from_str_radix(digits.get(index * 2..index * 2 + 2)?, 16).ok()?;
            }
            let path = parts.next()?.replace("\\n", "\n").replace("\\\\", "\\");
            manifest.insert(path, mode, digest);
        }
        Some(manifest)
    }

    /// Returns the paths in which another manifest differs from this one.
    pub fn changes(&self, other: &Self) -> Vec<(String, Change)> {
        let mut changes: BTreeMap<&str, Change> = BTreeMap::new();
        for (path, entry) in &self.files {
            match other.files.get(path) {
                None => drop(changes.insert(path, Change::Removed)),
                Some(theirs) if theirs != entry => drop(changes.insert(path, Change::Changed)),
                Some(_) => {}
            }
        }
        for path in other.files.keys().filter(|path| !self.files.contains_key(*path)) {
            changes.insert(path, Change::Added);
        }
        changes.into_iter().map(|(path, change)| (path.to_owned(), change)).collect()
    }
}

fn hex(bytes: &[u8; 32], text: &mut String) {
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_vector_holds() {
        let mut manifest = Manifest::default();
        manifest.insert("a.txt".into(), Mode::File, Sha256::digest(b"hello").into());
        assert_eq!(manifest.text(), "100644 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824 a.txt\n");
        assert_eq!(manifest.id().as_str(), "9506c1d9a915f2fa6aba8cd30e5d137acb829b445c3002868ee05650f067ee1e");
        assert_eq!(Manifest::parse(&manifest.text()), Some(manifest));
    }

    #[test]
    fn changes_are_named_by_path() {
        let of = |entries: &[(&str, u8)]| {
            let mut manifest = Manifest::default();
            for (path, byte) in entries {
                manifest.insert((*path).to_owned(), Mode::File, [*byte; 32]);
            }
            manifest
        };
        let changes = of(&[("a", 1), ("b", 1), ("c", 1)]).changes(&of(&[("b", 2), ("c", 1), ("d", 1)]));
        assert_eq!(changes, [("a".into(), Change::Removed), ("b".into(), Change::Changed), ("d".into(), Change::Added)]);
    }
}
